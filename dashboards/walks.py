"""What the page of tests and acceptances shows (pure): by site, what is expected, connected and proven alive."""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.messages import WalkRecord
from device_model.site import Text

GOOD = frozenset({"arrived", "proved"})


class KeptWalk(msgspec.Struct, frozen=True):
    """One test, and the gateway that sent it; the gateway may be gone since."""

    gateway: str
    record: WalkRecord


class WalkLine(msgspec.Struct, frozen=True):
    """One device or output with its newest test; test None: never tested. known: it is in the site file of now."""

    subject: str
    place: Text
    test: KeptWalk | None
    known: bool = True

    @property
    def proven(self) -> bool:
        """Whether the newest test has shown it to work."""
        return self.test is not None and self.test.record.result in GOOD


class SiteWalks(msgspec.Struct, frozen=True):
    """One site. expected: devices and outputs of its site file; connected: devices that its gateways say are alive
    now; accepted: the newest acceptance."""

    path: str
    name: Text
    expected: int
    devices: int
    connected: int
    silent: bool
    lines: tuple[WalkLine, ...]
    accepted: KeptWalk | None = None

    @property
    def proven(self) -> int:
        """How many of the expected have been shown to work."""
        return sum(line.proven and line.known for line in self.lines)


class Walks(Protocol):
    """What a program offers."""

    async def sites(self, scope: str) -> tuple[SiteWalks, ...]:
        """All sites within a scope."""
        ...


def lines_of(expected: dict[str, Text], tests: tuple[KeptWalk, ...]) -> tuple[WalkLine, ...]:
    """Each device and output with its newest test; what was tested and is gone since stands at the end."""
    newest = {one.record.subject: one for one in tests if one.record.kind != "accepted"}
    lines = [WalkLine(subject, place, newest.get(subject)) for subject, place in expected.items()]
    lines.sort(key=lambda line: (line.proven, line.test is not None, line.subject))
    return (*lines, *(WalkLine(subject, Text("", ""), one, False) for subject, one in sorted(newest.items())
                      if subject not in expected))
