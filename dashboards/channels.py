"""What the page of channels shows and does (pure): where notices go, and a message that is no alarm to try one."""

from __future__ import annotations

from typing import Protocol

import msgspec


class ChannelRow(msgspec.Struct, frozen=True):
    """One endpoint of cloud.yaml, without anything of its address. kind: webhook, apprise; language, audience: of
    messages for people, "" for programs; per_minute: 0 for no limit."""

    name: str
    kind: str
    language: str = ""
    audience: str = ""
    per_minute: int = 0


class Tried(msgspec.Struct, frozen=True):
    """How a test message went. reason: "" when the service took it; wait_s: not sent, one went out just before."""

    reason: str = ""
    seconds: float = 0.0
    wait_s: float = 0.0


class ChannelDesk(Protocol):
    """What a program offers the page."""

    def rows(self) -> tuple[ChannelRow, ...]:
        """All, in the order of the file."""
        ...

    async def test(self, name: str) -> Tried | None:
        """Send one; None where there is no such channel."""
        ...
