"""What the page of rule packs reads and does (values only)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.site import Text


class ParameterView(msgspec.Struct, frozen=True):
    """A number of a rule: in force, as the pack says, and between what a site may choose."""

    name: str
    meaning: Text
    value: str
    default: str
    least: str
    most: str


class ParameterChange(msgspec.Struct, frozen=True):
    """Somebody changed it. version: of the site file that carries it."""

    at_us: int
    who: str
    why: str
    name: str
    value: str
    before: str
    version: int


class RuleView(msgspec.Struct, frozen=True):
    """A rule in words. at_once: law 2 holds for it. subjects: how many places of the site it watches."""

    id: str
    title: Text
    hazard: str
    severity: str
    words: Text
    clears: Text
    when: str
    source: str
    certainty: str
    at_once: bool
    latched: bool
    subjects: int
    parameters: tuple[ParameterView, ...]
    changes: tuple[ParameterChange, ...]


class PackView(msgspec.Struct, frozen=True):
    """A pack that a site runs."""

    id: str
    version: int
    title: Text
    rules: tuple[RuleView, ...]


class PackSite(msgspec.Struct, frozen=True):
    """A site whose packs can be looked at."""

    path: str
    name: Text


class PacksPage(msgspec.Struct, frozen=True):
    """All of /packs. path "": none chosen."""

    at_us: int
    sites: tuple[PackSite, ...]
    path: str
    packs: tuple[PackView, ...]


class TestAlarm(msgspec.Struct, frozen=True):
    """One alarm of a back-test. ended_us 0: it stood at the end."""

    subject: str
    at_us: int
    ended_us: int


class TestLine(msgspec.Struct, frozen=True):
    """What a point did, thinned for a plot: (µs, value), value None breaks the line."""

    point: str
    unit: str
    samples: tuple[tuple[int, float | None], ...]


class BackTest(msgspec.Struct, frozen=True):
    """A change held against what was recorded. state: running, done, failed. gone, new: alarms that only the rule in
    force, only the changed one raises. refusal: why it cannot be switched on, "" it can."""

    id: str
    path: str
    rule: str
    name: str
    value: str
    before: str
    who: str
    state: str
    from_us: int
    to_us: int
    samples: int = 0
    kept: tuple[TestAlarm, ...] = ()
    gone: tuple[TestAlarm, ...] = ()
    new: tuple[TestAlarm, ...] = ()
    lines: tuple[TestLine, ...] = ()
    refusal: str = ""
    fault: str = ""


class Packs(Protocol):
    """What a program brings."""

    async def page(self, scope: str, path: str) -> PacksPage:
        """The sites of a scope, and the packs of one."""
        ...

    async def test(self, path: str, rule: str, name: str, value: str, hours: float, who: str) -> BackTest:
        """Begin a back-test. Raises ValueError where the value may not be."""
        ...

    async def result(self, test: str, scope: str) -> BackTest | None:
        """How far it is."""
        ...

    async def switch_on(self, test: str, scope: str, who: str, why: str) -> str:
        """Write the tested value into the site file: "" or why not."""
        ...
