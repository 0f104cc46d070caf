"""A model of ports.Stream: JetStream as the rest of the system sees it, deterministic, in virtual time.

It is no kinder than the real one (tests/contracts/test_stream_contract.py runs on both): an answer may be lost
before or after the effect, a server may be away, and readers come back where they were.

    StreamModel(clock)             one client of a new server
    model.another()                another client of the same server (another process)
    model.server.down = True       nobody gets an answer; what is stored stays
    model.server.decide = f        f("publish" | "put" | "get" | "last") -> StreamFault, before each request
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from device_model.clock import SECOND_US, Clock
from device_model.errors import PeerSilent
from device_model.ports import StaleRevision, StreamMessage


class StreamFault(msgspec.Struct, frozen=True):
    """What goes wrong with one request. delay_s: before the effect. lost: no effect, no answer.
    answer_lost: the effect happens, its answer does not come."""

    delay_s: float = 0.0
    lost: bool = False
    answer_lost: bool = False


GOOD = StreamFault()
ANSWER_WITHIN_S = 5.0


class StreamServer:
    """What survives: messages, ids seen within the window, keys."""

    def __init__(self, clock: Clock, duplicate_window_s: float) -> None:
        self.clock = clock
        self.window_us = round(duplicate_window_s * SECOND_US)
        self.messages: list[StreamMessage] = []
        self.keys: dict[str, tuple[bytes, int, tuple[int, int]]] = {}
        self.revision = 0
        self.clients = 0
        self.decide: Callable[[str], StreamFault] | None = None
        self._down = False
        self._ids: dict[str, tuple[int, int]] = {}
        self._ids_by_age: deque[tuple[int, str]] = deque()
        self._news: dict[asyncio.Event, None] = {}  # not a set: the order of waking must be that of asking

    @property
    def down(self) -> bool:
        """Whether the server is away."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        self.tell()

    def store(self, subject: str, payload: bytes, message_id: str) -> int:
        """Store once per id within the window."""
        now_us = self.clock.now().mono_us
        while self._ids_by_age and now_us - self._ids_by_age[0][0] > self.window_us:
            at_us, old = self._ids_by_age.popleft()
            if self._ids.get(old, (0, 0))[1] == at_us:
                del self._ids[old]
        if message_id in self._ids:
            return self._ids[message_id][0]
        sequence = len(self.messages) + 1
        self.messages.append(StreamMessage(sequence, subject, payload))
        self._ids[message_id] = (sequence, now_us)
        self._ids_by_age.append((now_us, message_id))
        self.tell()
        return sequence

    def write(self, key: str, value: bytes, expected: int, client: int) -> int:
        """Compare and set; the same client's same write is recognised."""
        present = self.keys.get(key)
        if present is not None and present[0] == value and present[2] == (client, expected):
            return present[1]
        if (present[1] if present else 0) != expected:
            raise StaleRevision(f"{key} has revision {present[1] if present else 0}, not {expected}")
        self.revision += 1
        self.keys[key] = (value, self.revision, (client, expected))
        return self.revision

    def tell(self) -> None:
        """Wake the readers."""
        for event in list(self._news):
            event.set()

    async def news(self, seen: int) -> None:
        """Return once the server is up and holds more than `seen` messages."""
        event = asyncio.Event()
        self._news[event] = None
        try:
            while self._down or len(self.messages) <= seen:
                event.clear()
                await event.wait()
        finally:
            del self._news[event]


class StreamModel:
    """One client; implements `device_model.ports.Stream`."""

    def __init__(
        self, clock: Clock, *, duplicate_window_s: float = 120.0, server: StreamServer | None = None,
    ) -> None:
        self.server = server or StreamServer(clock, duplicate_window_s)
        self.server.clients += 1
        self._client = self.server.clients
        self._clock = clock

    def another(self) -> StreamModel:
        """Another client of the same server."""
        return StreamModel(self._clock, server=self.server)

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """See the port."""
        fault = await self._reach("publish")
        sequence = self.server.store(subject, payload, message_id)
        await self._answer(fault)
        return sequence

    async def read(self, after: int, subject_filter: str) -> AsyncIterator[StreamMessage]:
        """See the port."""
        at = after
        while True:
            await self.server.news(at)
            message = self.server.messages[at]
            at = message.sequence
            if subject_matches(message.subject, subject_filter):
                yield message

    async def last_sequence(self) -> int:
        """See the port."""
        fault = await self._reach("last")
        await self._answer(fault)
        return len(self.server.messages)

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """See the port."""
        fault = await self._reach("get")
        present = self.server.keys.get(key)
        await self._answer(fault)
        return (present[0], present[1]) if present else None

    async def put(self, key: str, value: bytes, *, expected_revision: int) -> int:
        """See the port."""
        fault = await self._reach("put")
        revision = self.server.write(key, value, expected_revision, self._client)
        await self._answer(fault)
        return revision

    async def close(self) -> None:
        """Nothing to let go."""

    async def _reach(self, operation: str) -> StreamFault:
        fault = self.server.decide(operation) if self.server.decide else GOOD
        if fault.delay_s:
            await self._clock.sleep(fault.delay_s)
        if self.server.down:
            await self._clock.sleep(0.01)
            raise PeerSilent("the model's server is away")
        if fault.lost:
            await self._clock.sleep(ANSWER_WITHIN_S)
            raise PeerSilent("the model lost a request")
        return fault

    async def _answer(self, fault: StreamFault) -> None:
        if fault.answer_lost:
            await self._clock.sleep(ANSWER_WITHIN_S)
            raise PeerSilent("the model lost an answer")


def subject_matches(subject: str, subject_filter: str) -> bool:
    """NATS wildcards: `*` is one token, a final `>` one or more."""
    have, want = subject.split("."), subject_filter.split(".")
    for place, token in enumerate(want):
        if token == ">":
            return place == len(want) - 1 and len(have) > place
        if place >= len(have) or token not in ("*", have[place]):
            return False
    return len(have) == len(want)


__all__ = ["GOOD", "StreamFault", "StreamModel", "StreamServer", "subject_matches"]
