"""Alarm life after ISA-18.2 beside the transition table: shelved, suppressed by design, out of service. Pure.

    standing ──shelve (≤ 8 h)──────────► shelved ───────┐
             ──suppress (a stated reason)─► suppressed ─┼─ time over, or ended by a person ─► told again if it stands
             ──out of service (≤ 30 d)──► out_of_service┘

Every step has who, when, why and an end. The alarm itself goes on living: it is raised, held and cleared as ever, and
the board shows it; only people are not called for it. Fire, call point, high gas and CO are never shelved (law 2):
their devices are isolated by name, which is an impairment.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.alarm import LIFE_SAFETY, AlarmState, AlarmTransition
from device_model.clock import HOUR_US
from device_model.errors import LawRefusal
from rules_engine.incident_record import entry_name

# ISA-18.2 asks for a bounded time; a shift is the usual one.
SHELF_US_MAX = 8 * HOUR_US
OTHER_US_MAX = 30 * 24 * HOUR_US
ENTRIES_MAX = 500


class ShelfKind(StrEnum):
    """Why nobody is called for it."""

    SHELVED = "shelved"  # an operator, for a short time
    SUPPRESSED = "suppressed"  # by design: the plant's state makes it meaningless
    OUT_OF_SERVICE = "out_of_service"  # for maintenance


class Shelved(msgspec.Struct, frozen=True):
    """One alarm ("rule|subject") that nobody is called for. Times µs since 1970 UTC."""

    alarm: str
    kind: ShelfKind
    who: str
    why: str
    since_us: int
    until_us: int


class ShelfState(msgspec.Struct):
    """The checkpoint. waiting: the latest step of each alarm that stands on the shelf."""

    entries: dict[str, Shelved] = {}
    waiting: dict[str, AlarmTransition] = {}


class AlarmShelf:
    """One site's shelf. Owned by its worker."""

    def __init__(self) -> None:
        self.state = ShelfState({}, {})

    def put(self, entry: Shelved, standing: AlarmTransition | None = None) -> None:
        """On the shelf, or its time changed. standing: the alarm's latest step, where it stands now. Raises
        ValueError, LawRefusal."""
        if not entry.who.strip() or not entry.why.strip():
            raise ValueError("say who you are and why")
        limit_us = SHELF_US_MAX if entry.kind is ShelfKind.SHELVED else OTHER_US_MAX
        if not 0 < entry.until_us - entry.since_us <= limit_us:
            raise ValueError(f"{entry.kind.value} lasts {limit_us // HOUR_US} hours at most, and has an end")
        if standing is not None and standing.hazard in LIFE_SAFETY:
            raise LawRefusal(2, f"{standing.hazard.value} is never {entry.kind.value}; isolate the device by name")
        if entry.alarm not in self.state.entries and len(self.state.entries) >= ENTRIES_MAX:
            raise ValueError(f"more than {ENTRIES_MAX} alarms stand on the shelf: that is a matter for the design")
        self.state.entries[entry.alarm] = entry
        if standing is not None:
            self.state.waiting[entry.alarm] = standing

    def end(self, alarm: str) -> tuple[Shelved, AlarmTransition | None]:
        """Off the shelf: the entry, and the alarm's step where it stands (to be told). Raises ValueError."""
        entry = self.state.entries.pop(alarm, None)
        if entry is None:
            raise ValueError(f"{alarm} does not stand on the shelf")
        return entry, self.state.waiting.pop(alarm, None)

    def holds(self, step: AlarmTransition) -> bool:
        """Whether nobody is to be called for this step. Remembers it, for when the shelf's time is over."""
        name = entry_name(step.key)
        if step.hazard in LIFE_SAFETY or name not in self.state.entries:
            return False
        if step.state in (AlarmState.RAISED, AlarmState.HELD):
            self.state.waiting[name] = step
        else:
            self.state.waiting.pop(name, None)
        return True

    def expire(self, now_us: int) -> list[tuple[Shelved, AlarmTransition | None]]:
        """What has had its time, each with the alarm's step where it stands."""
        over = [entry.alarm for entry in self.state.entries.values() if entry.until_us <= now_us]
        return [self.end(alarm) for alarm in over]

    def due_us(self) -> int | None:
        """When `expire` will next have something."""
        return min((entry.until_us for entry in self.state.entries.values()), default=None)

    def kind_of(self, alarm: str) -> str:
        """For the board: the kind, or ""."""
        entry = self.state.entries.get(alarm)
        return entry.kind.value if entry is not None else ""
