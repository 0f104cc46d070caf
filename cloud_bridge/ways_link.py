"""WaysLink (I/O): one message link made of several: Ethernet and a cellular spare, all connected, one used.

    Uplink ─publish─► the way in use        every way ─messages─► Uplink (an acknowledgement may come over any)
                          ▲ WayChoice, looked at each second

A message that the broker sends to two of our connections is given on once. Nothing is kept here: what was under way
when a way died is sent again by the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from cloud_bridge.ways import WayChoice, WayState
from device_model.clock import SECOND_US, Clock
from device_model.ports import Message, MessageLink

log = structlog.get_logger(__name__)
LOOK_EVERY_S = 1.0
TWICE_WITHIN_US = 3 * SECOND_US  # less than any sender waits before it repeats itself
REMEMBERED_MAX = 512


class WaysLink:
    """`device_model.ports.MessageLink` over several links, best first."""

    def __init__(self, links: Sequence[tuple[str, MessageLink]], clock: Clock, *, fail_over_s: float = 10.0,
                 fail_back_s: float = 120.0, told: Callable[[WayState], None] | None = None) -> None:
        """links: (name, link), the preferred one first. told: each way that came or went, and the switch."""
        self._links = tuple(link for _, link in links)
        self._clock, self._told = clock, told
        self.choice = WayChoice([name for name, _ in links], fail_over_s=fail_over_s, fail_back_s=fail_back_s)
        self._states: tuple[WayState, ...] = ()
        self._seen: dict[tuple[str, int, int], tuple[int, int]] = {}  # topic, checksum, length → way, when
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether the way in use is connected."""
        return self._links[self.choice.used].connected

    def states(self) -> tuple[WayState, ...]:
        """All ways as last looked at."""
        return self.choice.states()

    async def publish(self, topic: str, payload: bytes) -> None:
        """Over the way in use. Raises PeerSilent as that link does."""
        await self._links[self.choice.used].publish(topic, payload)

    async def messages(self) -> AsyncIterator[Message]:
        """What arrives over any way; acknowledged on it when the consumer asks for the next one."""
        waiting: asyncio.Queue[tuple[Message, asyncio.Event] | None] = asyncio.Queue(len(self._links))
        tasks = [asyncio.ensure_future(self._pump(way, link, waiting)) for way, link in enumerate(self._links)]
        tasks.append(asyncio.ensure_future(self._watch()))
        ended = 0
        try:
            while ended < len(self._links):
                entry = await waiting.get()
                if entry is None:
                    ended += 1
                    continue
                message, consumed = entry
                try:
                    yield message
                finally:
                    consumed.set()
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self, way: int, link: MessageLink, waiting: asyncio.Queue[tuple[Message, asyncio.Event] | None],
    ) -> None:
        async for message in link.messages():
            if self._twice(way, message):
                continue
            consumed = asyncio.Event()
            await waiting.put((message, consumed))
            await consumed.wait()
        await waiting.put(None)

    def _twice(self, way: int, message: Message) -> bool:
        """Whether another way brought the same a moment ago."""
        now_us = self._clock.now().mono_us
        what = (message.topic, zlib.crc32(message.payload), len(message.payload))
        before = self._seen.pop(what, None)
        self._seen[what] = (way, now_us)
        while len(self._seen) > REMEMBERED_MAX:
            del self._seen[next(iter(self._seen))]
        return before is not None and before[0] != way and now_us - before[1] < TWICE_WITHIN_US

    async def _watch(self) -> None:
        while not self._closed:
            self._look()
            await self._clock.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        used = self.choice.used
        self.choice.look([link.connected for link in self._links], self._clock.now().mono_us)
        states = self.choice.states()
        if self.choice.used != used:
            log.warning("uplink goes another way", now=states[self.choice.used].name, before=states[used].name)
        for index, state in enumerate(states):
            if index >= len(self._states) or self._states[index].up is not state.up:
                (log.info if state.up else log.warning)("way to the cloud", way=state.name, up=state.up)
                if self._told is not None:
                    self._told(state)
        self._states = states

    async def close(self) -> None:
        """Close all ways; idempotent."""
        self._closed = True
        for link in self._links:
            await link.close()
