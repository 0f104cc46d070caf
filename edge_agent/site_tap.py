"""SiteTap (I/O): takes signed site files and numbers out of what the cloud sends, and gives everything else on to the
uplink."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from device_model.messages import parse_topic
from device_model.ports import Message, MessageLink

WAITING_MAX = 4  # site files that came and were not looked at; a sender repeats


class SiteTap:
    """A message link that keeps site files for us and gives everything else on."""

    def __init__(self, link: MessageLink) -> None:
        self._link = link
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MAX)
        self.numbers: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MAX)
        self.dropped = 0

    @property
    def connected(self) -> bool:
        """As the link's."""
        return self._link.connected

    async def publish(self, topic: str, payload: bytes) -> None:
        """As the link's."""
        await self._link.publish(topic, payload)

    async def messages(self) -> AsyncIterator[Message]:
        """All but site files and numbers."""
        async for message in self._link.messages():
            kind = _kind_of(message)
            if kind not in ("site", "numbers"):
                yield message
                continue
            queue = self.waiting if kind == "site" else self.numbers
            if queue.full():
                self.dropped += 1
            else:
                queue.put_nowait(message.payload)

    async def close(self) -> None:
        """As the link's."""
        await self._link.close()


def _kind_of(message: Message) -> str:
    try:
        _, direction, kind = parse_topic(message.topic)
    except ValueError:
        return ""
    return kind if direction == "down" else ""
