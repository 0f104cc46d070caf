"""What the pages of environment read: air, dust, noise and water of a place over 30 days (values only)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.site import Text


class Limit(msgspec.Struct, frozen=True):
    """What a value is held against. most, least: in `unit`; night_most: 22:00 to 06:00; None none. over: of what
    stretch the mean is held against it, hours; 8: the largest one of a day. source: the standard; certainty: how sure
    that number is. factor: a value in the line's unit times it is in `unit`. since, until: days of that edition."""

    source: Text
    certainty: str
    over: int = 1
    most: float | None = None
    least: float | None = None
    night_most: float | None = None
    unit: str = ""
    factor: float = 1.0
    since: str = ""
    until: str = ""


class LimitFound(msgspec.Struct, frozen=True):
    """A limit and what was beyond it. exceeded: how many stretches; shown: the newest, (µs, mean in the line's
    unit)."""

    limit: Limit
    exceeded: int
    shown: tuple[tuple[int, float], ...]


class EnvironmentLine(msgspec.Struct, frozen=True):
    """One measured point. hours: (beginning of the hour µs, mean), an hour without values is not there. last_us: end
    of the newest hour that has values, 0 none. limits: what it is held against, () nothing."""

    name: Text
    zone: Text
    quantity: str
    title: Text
    unit: str
    group: str
    hours: tuple[tuple[int, float], ...]
    last: float | None
    last_us: int
    limits: tuple[LimitFound, ...]


class Countdown(msgspec.Struct, frozen=True):
    """A rectification: its number and deadline, never its facts. done_us 0: open."""

    number: str
    due_us: int
    done_us: int


class EnvironmentSite(msgspec.Struct, frozen=True):
    """A site that can be chosen. published: since when everybody may see it, 0 not."""

    path: str
    name: Text
    published_us: int
    published_by: str


class EnvironmentPage(msgspec.Struct, frozen=True):
    """All of /environment or /public. path "": none chosen."""

    at_us: int
    sites: tuple[EnvironmentSite, ...]
    path: str
    lines: tuple[EnvironmentLine, ...]
    rectifications: tuple[Countdown, ...]
    from_us: int


class Environment(Protocol):
    """What a program brings."""

    async def page(self, scope: str, path: str) -> EnvironmentPage:
        """The sites of a scope that measure something, and one of them."""
        ...

    async def public(self, path: str) -> EnvironmentPage:
        """The same of published sites only, without names of people."""
        ...

    async def publish(self, path: str, *, on: bool, who: str, why: str) -> str:
        """Let everybody see a site's environment, or not any longer: "" or why not."""
        ...
