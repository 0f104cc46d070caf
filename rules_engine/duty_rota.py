"""Duty rota (pure): who is on duty at a moment, by week, shift and holiday, with swaps and hand-over.

    cycle of weeks × shifts ─► holiday of the calendar? ─► swap agreed? ─► people of the shift
                                                                             + those of the shift before, until the
                                                                               new ones have taken over

Nobody falls into the crack between two shifts: until somebody of the new shift says "I have taken over", the old one
is told as well. Where a plan names nobody, its stand-ins are on duty, so that the answer is never empty.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from device_model.clock import HOUR_US, MINUTE_US
from device_model.site import Text

# Taking over later than this after the shift began is shown as overdue.
TAKE_OVER_US = 15 * MINUTE_US
# The old shift is told as well at most so long: then it sleeps, and the missing hand-over is a finding.
OVERLAP_US = 2 * HOUR_US
# Swaps and hand-overs are kept for the shifts of so many days back.
KEPT_DAYS = 35
SWAPS_MAX = 1_000


class Person(msgspec.Struct, frozen=True):
    """Somebody who can be on duty. endpoints: names of the cloud's settings by which this person is told."""

    id: str
    name: str
    phone: str = ""
    endpoints: tuple[str, ...] = ()


class ShiftPlan(msgspec.Struct, frozen=True):
    """One shift of a day: minutes from local midnight; ends on the next day where end is not after start."""

    name: str
    start: int
    end: int


class Rota(msgspec.Struct, frozen=True):
    """One rota. weeks: a cycle, each shift → people, or weekday → shift → people. begins: Monday of its first week.
    holidays: shift → people on dates of the calendar. stand_in: who it is where nobody is named."""

    id: str
    title: Text
    shifts: tuple[ShiftPlan, ...]
    begins: date
    weeks: tuple[tuple[dict[str, tuple[str, ...]], ...], ...]  # cycle × seven days × shift → people
    holidays: dict[str, tuple[str, ...]]
    stand_in: tuple[str, ...]


class DutyPlan(msgspec.Struct, frozen=True):
    """All rotas of a duty file, with its people and calendar."""

    timezone: str
    people: dict[str, Person]
    holidays: dict[str, str]  # date → name
    rotas: dict[str, Rota]


class Shift(msgspec.Struct, frozen=True):
    """One shift on one day. people: who has it, swaps included; standing_in: nobody was named for it."""

    rota: str
    day: str
    name: str
    starts_us: int
    ends_us: int
    people: tuple[str, ...]
    standing_in: bool = False

    @property
    def key(self) -> str:
        """What names it."""
        return f"{self.rota}|{self.day}|{self.name}"


class OnDuty(msgspec.Struct, frozen=True):
    """Who is told at a moment: the shift's people, and those of the shift before until somebody took over."""

    shift: Shift
    people: tuple[str, ...]
    taken_over_by: str = ""
    overdue: bool = False


class Swap(msgspec.Struct, frozen=True):
    """`leaving` does not have that shift, `coming` has it; agreed by who, with a reason."""

    rota: str
    day: str
    shift: str
    leaving: str
    coming: str
    who: str
    why: str
    at_us: int


class HandOver(msgspec.Struct, frozen=True):
    """Somebody of a shift has taken over, with a note of what stands."""

    shift: str
    who: str
    at_us: int
    note: str = ""


class DutyBookState(msgspec.Struct):
    """The checkpoint."""

    swaps: list[Swap]
    handovers: dict[str, HandOver]
    version: int = 1


_decoder = msgspec.json.Decoder(DutyBookState)


class DutyBook:
    """Who is on duty, with what people changed. Owned by one worker."""

    def __init__(self, plan: DutyPlan) -> None:
        self.plan = plan
        self._zone = ZoneInfo(plan.timezone)
        self._state = DutyBookState([], {})

    def on_duty(self, rota: str, at_us: int) -> OnDuty:
        """Who is on duty then. KeyError for a rota that does not exist."""
        shift = self.shift_at(rota, at_us)
        taken = self._state.handovers.get(shift.key)
        if taken is not None and taken.at_us <= at_us:
            return OnDuty(shift, shift.people, taken.who)
        before = self.shift_at(rota, shift.starts_us - 1)
        same = set(before.people) == set(shift.people)
        if same or at_us >= shift.starts_us + OVERLAP_US:
            return OnDuty(shift, shift.people, overdue=not same)
        both = tuple(dict.fromkeys((*shift.people, *before.people)))
        return OnDuty(shift, both, overdue=at_us > shift.starts_us + TAKE_OVER_US)

    def shift_at(self, rota: str, at_us: int) -> Shift:
        """The shift that covers that moment; hours that no shift covers belong to the stand-ins."""
        plan = self.plan.rotas[rota]
        local = self._local(at_us)
        around = [self._shift(plan, local.date() + timedelta(days=day), shift)
                  for day in (-1, 0, 1) for shift in plan.shifts]
        for shift in around:
            if shift.starts_us <= at_us < shift.ends_us:
                return shift
        started = max((s.ends_us for s in around if s.ends_us <= at_us), default=at_us)
        ends = min((s.starts_us for s in around if s.starts_us > at_us), default=at_us + 24 * HOUR_US)
        return Shift(rota, local.date().isoformat(), "", started, ends, plan.stand_in, True)

    def calendar(self, rota: str, from_us: int, days: int) -> tuple[Shift, ...]:
        """Its shifts from the day of that moment on."""
        plan, first = self.plan.rotas[rota], self._local(from_us).date()
        found = [self._shift(plan, first + timedelta(days=i), shift) for i in range(days) for shift in plan.shifts]
        return tuple(sorted(found, key=lambda shift: shift.starts_us))

    # --- what people change -------------------------------------------------------------------------------

    def swap(self, swap: Swap) -> None:
        """Take a swap in. Raises ValueError where it does not fit."""
        rota = self.plan.rotas.get(swap.rota)
        shift = next((s for s in rota.shifts if s.name == swap.shift), None) if rota else None
        if rota is None or shift is None:
            raise ValueError(f"there is no shift {swap.shift!r} of a rota {swap.rota!r}")
        if not swap.who.strip() or not swap.why.strip():
            raise ValueError("a swap needs a name and a reason")
        if swap.coming not in self.plan.people:
            raise ValueError(f"nobody is called {swap.coming!r}")
        try:
            stands = self._shift(rota, date.fromisoformat(swap.day), shift)
        except ValueError as error:
            raise ValueError(f"{swap.day!r} is not a date such as 2026-10-01") from error
        if swap.leaving not in stands.people:
            raise ValueError(f"{swap.leaving} does not have that shift")
        if swap.coming in stands.people:
            raise ValueError(f"{swap.coming} has that shift already")
        if stands.ends_us <= swap.at_us:
            raise ValueError("that shift is over")
        self._trim(swap.at_us)
        if len(self._state.swaps) >= SWAPS_MAX:
            raise ValueError(f"more than {SWAPS_MAX} swaps stand")
        self._state.swaps.append(swap)

    def take_over(self, rota: str, who: str, at_us: int, note: str = "") -> HandOver:
        """Somebody of the shift says "I have taken over"; the first one counts. Raises ValueError for others."""
        if rota not in self.plan.rotas:
            raise ValueError(f"there is no rota {rota!r}")
        shift = self.shift_at(rota, at_us)
        if who not in shift.people:
            raise ValueError(f"{who} does not have this shift; {', '.join(shift.people)} can take over")
        self._trim(at_us)
        return self._state.handovers.setdefault(shift.key, HandOver(shift.key, who, at_us, note))

    # --- small steps --------------------------------------------------------------------------------------

    def _shift(self, rota: Rota, day: date, shift: ShiftPlan) -> Shift:
        named = self._named(rota, day, shift.name)
        people = list(named or rota.stand_in)
        for swap in self._state.swaps:
            if (swap.rota, swap.day, swap.shift) == (rota.id, day.isoformat(), shift.name) and swap.leaving in people:
                people[people.index(swap.leaving)] = swap.coming
        last = day if shift.end > shift.start else day + timedelta(days=1)
        return Shift(rota.id, day.isoformat(), shift.name, self._moment(day, shift.start),
                     self._moment(last, shift.end), tuple(people), not named)

    def _named(self, rota: Rota, day: date, shift: str) -> tuple[str, ...]:
        if day.isoformat() in self.plan.holidays and shift in rota.holidays:
            return rota.holidays[shift]
        week = (day - rota.begins).days // 7 % len(rota.weeks) if rota.weeks else 0
        return rota.weeks[week][day.weekday()].get(shift, ()) if rota.weeks else ()

    def _local(self, at_us: int) -> datetime:
        return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(self._zone)

    def _moment(self, day: date, minute: int) -> int:
        """A local time of day as µs since 1970; one that summer time skips is the moment after."""
        extra, minute = divmod(minute, 24 * 60)
        local = datetime.combine(day + timedelta(days=extra), time(minute // 60, minute % 60), self._zone)
        return int(local.timestamp()) * 1_000_000

    def _trim(self, at_us: int) -> None:
        """Forget what is long over."""
        oldest = (self._local(at_us).date() - timedelta(days=KEPT_DAYS)).isoformat()
        self._state.swaps = [swap for swap in self._state.swaps if swap.day >= oldest]
        self._state.handovers = {k: h for k, h in self._state.handovers.items() if k.split("|")[1] >= oldest}

    def checkpoint(self) -> bytes:
        """What people changed, as JSON."""
        return msgspec.json.encode(self._state)

    def resume(self, checkpoint: bytes) -> None:
        """From a checkpoint; ValueError where it does not fit."""
        self._state = _decoder.decode(checkpoint)
