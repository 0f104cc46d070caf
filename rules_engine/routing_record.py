"""What routing remembers and says: alarms, groups, what was sent, silences, notifications. Values only.

All of it stands in one checkpoint; the id of a notification follows from what it says, so that a replay neither says
the same thing twice nor keeps anything back that was not said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from rules_engine.routing_match import Labels, Matcher, matches_all

VERSION = 1


class Routed(msgspec.Struct):
    """One alarm as routing knows it. ended_us 0: it stands."""

    labels: dict[str, str]
    started_us: int
    ended_us: int = 0

    def standing_at(self, at_us: int) -> bool:
        """Whether it stood at that moment."""
        return not self.ended_us or self.ended_us > at_us


class Group(msgspec.Struct):
    """Alarms of one route with the same group labels. next_us: when it speaks next; emptied_us: since when it holds
    none; express: of the class that law 2 protects; more: alarms beyond the bound, counted only."""

    route: str
    labels: dict[str, str]
    express: bool
    next_us: int
    members: dict[str, None] = {}
    flushed: bool = False
    emptied_us: int = 0
    more: int = 0


class Sent(msgspec.Struct):
    """What a group's receiver was told last; kept beyond the group's life."""

    at_us: int
    firing: list[str]
    resolved: list[str]
    number: int
    expires_us: int


class Silence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody wants to hear nothing of what matches, for a reason, until a time. ended_by: who ended it early."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_us: int
    ends_us: int
    who: str
    why: str
    ended_by: str = ""

    def holds(self, labels: Labels, at_us: int) -> bool:
        """Whether it silences these labels then."""
        return self.starts_us <= at_us < self.ends_us and matches_all(self.matchers, labels)


class RouterState(msgspec.Struct):
    """The checkpoint. plan: fingerprint of the routing file by which groups were made."""

    plan: str
    alarms: dict[str, Routed]
    groups: dict[str, Group]
    sent: dict[str, Sent]
    silences: list[Silence]
    overflow: int = 0
    version: int = VERSION


class Why(StrEnum):
    """What a notification is about."""

    NEW = "new"
    RESOLVED = "resolved"
    REPEAT = "repeat"


class ToldAlarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alarm within a notification."""

    labels: dict[str, str]
    started_us: int
    ended_us: int = 0


class Notification(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to tell one receiver. firing, resolved: how many in all; `alarms` lists the first of them; more:
    alarms that stand beyond the bound of the group and are counted only."""

    id: str
    receiver: str
    route: str
    group: dict[str, str]
    why: Why
    at_us: int
    alarms: tuple[ToldAlarm, ...]
    firing: int
    resolved: int
    life_safety: bool = False
    more: int = 0

    @property
    def state(self) -> str:
        """ "firing" while anything of it stands."""
        return "firing" if self.firing else "resolved"


def fingerprint(labels: Mapping[str, str]) -> str:
    """The same labels have the same 16 hex digits."""
    text = "\x1f".join(f"{name}\x1e{labels[name]}" for name in sorted(labels))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def group_key(route: str, labels: Mapping[str, str], express: bool) -> str:
    """The name of a group."""
    inner = ",".join(f"{name}={labels[name]!r}" for name in sorted(labels))
    return f"{route}:{{{inner}}}{'!' if express else ''}"


def told_order(labels: Mapping[str, str]) -> tuple[object, ...]:
    """Alarms of a notification in a fixed order: by job and instance where they have any, fewer labels first, then
    by label. Alertmanager's order, so that templates made for it go on working."""
    first = tuple((0, labels[name]) if name in labels else (1, "") for name in ("job", "instance"))
    return (*first, len(labels), _pairs(labels))


def _pairs(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, labels[name]) for name in sorted(labels))
