"""The duty file: people, calendar, rotas, escalation policies. YAML to checked values; all errors at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.site import Text
from device_model.yaml_source import Path, Source, convert, parse_yaml
from rules_engine.duty_rota import DutyPlan, Person, Rota, ShiftPlan
from rules_engine.escalation import Policy, Step, Target
from rules_engine.routing_file import duration_us

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Nobody would read a longer cycle, and a policy of more steps calls nobody sooner.
WEEKS_MAX = 53
STEPS_MAX = 20


class _ShiftText(msgspec.Struct, frozen=True):
    name: str
    start: str
    end: str


class _RotaText(msgspec.Struct, frozen=True):
    id: str
    title: Text
    shifts: tuple[_ShiftText, ...]
    begins: str
    weeks: tuple[dict[str, Any], ...]
    stand_in: tuple[str, ...]
    holidays: dict[str, tuple[str, ...]] = {}


class _StepText(msgspec.Struct, frozen=True):
    after: str
    people: tuple[str, ...] = ()
    rotas: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()


class _PolicyText(msgspec.Struct, frozen=True):
    id: str
    steps: tuple[_StepText, ...]
    acknowledgements: int = 1
    reminder: str = "0s"
    rounds: int = 1
    round: str = "0s"


class _HolidayText(msgspec.Struct, frozen=True):
    date: str
    name: str


class _FileText(msgspec.Struct, frozen=True):
    timezone: str
    people: tuple[Person, ...]
    rotas: tuple[_RotaText, ...] = ()
    holidays: tuple[_HolidayText, ...] = ()
    escalations: tuple[_PolicyText, ...] = ()


class DutyFile(msgspec.Struct, frozen=True):
    """A checked duty file."""

    plan: DutyPlan
    policies: dict[str, Policy]


def parse_duty(text: str, file: str) -> DutyFile:
    """Raises ConfigError with every finding."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    written = convert(source, (), _FileText, findings)
    if written is None:
        raise ConfigError(findings)
    duty = _Reader(source, written, findings).duty()
    if findings:
        raise ConfigError(findings)
    return duty


class _Reader:
    def __init__(self, source: Source, written: _FileText, findings: list[Finding]) -> None:
        self._source, self._written, self._findings = source, written, findings
        self._people = {person.id: person for person in written.people}

    def duty(self) -> DutyFile:
        written = self._written
        try:
            ZoneInfo(written.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._find(("timezone",), f"there is no time zone {written.timezone!r}", "write Asia/Shanghai")
        self._twice("people", [person.id for person in written.people])
        self._twice("rotas", [rota.id for rota in written.rotas])
        self._twice("escalations", [policy.id for policy in written.escalations])
        holidays = {}
        for i, holiday in enumerate(written.holidays):
            day = self._date(("holidays", i, "date"), holiday.date)
            if day is not None:
                holidays[day.isoformat()] = holiday.name
        rotas = [self._rota(rota, ("rotas", i)) for i, rota in enumerate(written.rotas)]
        policies = [self._policy(policy, ("escalations", i)) for i, policy in enumerate(written.escalations)]
        return DutyFile(DutyPlan(written.timezone, self._people, holidays, {rota.id: rota for rota in rotas}),
                        {policy.id: policy for policy in policies})

    def _rota(self, text: _RotaText, path: Path) -> Rota:
        shifts = tuple(ShiftPlan(shift.name, self._minute((*path, "shifts", i, "start"), shift.start),
                                 self._minute((*path, "shifts", i, "end"), shift.end))
                       for i, shift in enumerate(text.shifts))
        if not shifts:
            self._find((*path, "shifts"), "there is no shift", "add one, as in examples/routing/duty.yaml")
        self._no_overlap(shifts, path)
        begins = self._date((*path, "begins"), text.begins)
        if begins is not None and begins.weekday():
            self._find((*path, "begins"), f"{text.begins} is not a Monday", "weeks begin on Mondays")
        if not 1 <= len(text.weeks) <= WEEKS_MAX:
            self._find((*path, "weeks"), f"a cycle has 1 to {WEEKS_MAX} weeks", "name who has which shift")
        if not text.stand_in:
            self._find((*path, "stand_in"), "nobody stands in where no one is named", "name at least one person")
        self._known((*path, "stand_in"), text.stand_in)
        names = {shift.name for shift in shifts}
        for name, people in text.holidays.items():
            self._shift_known((*path, "holidays", name), name, names)
            self._known((*path, "holidays", name), people)
        weeks = tuple(self._week(week, (*path, "weeks", i), names) for i, week in enumerate(text.weeks))
        return Rota(text.id, text.title, shifts, begins or date(2026, 1, 5), weeks, text.holidays, text.stand_in)

    def _week(self, week: dict[str, Any], path: Path, names: set[str]) -> tuple[dict[str, tuple[str, ...]], ...]:
        """Seven days; keys are shifts (every day) or weekdays (shift → people), the latter win."""
        days: list[dict[str, tuple[str, ...]]] = [{} for _ in DAYS]
        for key, value in sorted(week.items(), key=lambda item: item[0] in DAYS):
            if key in DAYS:
                if not isinstance(value, dict):
                    self._find((*path, key), f"{key} must say who has which shift", "write {day: [li]}")
                    continue
                for name, people in value.items():
                    self._shift_known((*path, key, name), name, names)
                    days[DAYS.index(key)][name] = self._list((*path, key, name), people)
            else:
                self._shift_known((*path, key), key, names)
                named = self._list((*path, key), value)
                for day in days:
                    day[key] = named
        return tuple(days)

    def _list(self, path: Path, people: Any) -> tuple[str, ...]:
        if not isinstance(people, list) or not all(isinstance(person, str) for person in people):
            self._find(path, "must be a list of people", "write [li, wang]")
            return ()
        self._known(path, people)
        return tuple(people)

    def _no_overlap(self, shifts: tuple[ShiftPlan, ...], path: Path) -> None:
        minutes: dict[int, str] = {}
        for i, shift in enumerate(shifts):
            length = (shift.end - shift.start) % 1440 or 1440
            for minute in range(shift.start, shift.start + length):
                other = minutes.setdefault(minute % 1440, shift.name)
                if other != shift.name:
                    self._find((*path, "shifts", i), f"{shift.name} overlaps {other}",
                               "one shift ends where the next begins; put several people into one shift")
                    break

    def _policy(self, text: _PolicyText, path: Path) -> Policy:
        steps: list[Step] = []
        for i, step in enumerate(text.steps):
            self._known((*path, "steps", i, "people"), step.people)
            for rota in step.rotas:
                if rota not in {known.id for known in self._written.rotas}:
                    self._find((*path, "steps", i, "rotas"), f"there is no rota {rota!r}", "see `rotas:`")
            if not (step.people or step.rotas or step.receivers):
                self._find((*path, "steps", i), "this step tells nobody", "add people, rotas or receivers")
            after = self._duration((*path, "steps", i, "after"), step.after)
            if steps and after <= steps[-1].after_us:
                self._find((*path, "steps", i, "after"), "is not later than the step before", "steps go upwards")
            steps.append(Step(after, Target(step.people, step.rotas, step.receivers)))
        if not 1 <= len(steps) <= STEPS_MAX:
            self._find((*path, "steps"), f"a policy has 1 to {STEPS_MAX} steps", "add a step")
        if not 1 <= text.acknowledgements <= 20:
            self._find((*path, "acknowledgements"), "must be 1 to 20", "how many different people must answer")
        if not 1 <= text.rounds <= 100:
            self._find((*path, "rounds"), "must be 1 to 100", "how often all steps are gone through")
        round_us = self._duration((*path, "round"), text.round)
        if text.rounds > 1 and steps and round_us <= steps[-1].after_us:
            self._find((*path, "round"), "a round is shorter than its steps", "make it longer than the last `after`")
        reminder_us = self._duration((*path, "reminder"), text.reminder)
        if 0 < reminder_us < 10_000_000:
            self._find((*path, "reminder"), "reminders within 10 s only disturb", "write 1m or more")
        return Policy(text.id, tuple(steps), text.acknowledgements, reminder_us, text.rounds, round_us)

    def _minute(self, path: Path, text: str) -> int:
        hour, _, minute = text.partition(":")
        if len(text) == 5 and hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60:
            return int(hour) * 60 + int(minute)
        self._find(path, f"{text!r} is not a time of day", 'write "08:00"')
        return 0

    def _date(self, path: Path, text: str) -> date | None:
        try:
            return date.fromisoformat(text)
        except ValueError:
            self._find(path, f"{text!r} is not a date", "write 2026-10-01")
            return None

    def _duration(self, path: Path, text: str) -> int:
        try:
            return duration_us(text)
        except ValueError as error:
            self._find(path, str(error), "write 30s, 5m or 1h")
            return 0

    def _known(self, path: Path, people: Iterable[str]) -> None:
        for person in people:
            if person not in self._people:
                self._find(path, f"nobody is called {person!r}", "see `people:`")

    def _shift_known(self, path: Path, name: str, names: set[str]) -> None:
        if name not in names:
            self._find(path, f"there is no shift {name!r}", f"known: {', '.join(sorted(names))}, and weekdays")

    def _twice(self, key: str, names: list[str]) -> None:
        for i, name in enumerate(names):
            if name in names[:i]:
                self._find((key, i), f"{name!r} stands twice", "rename or remove one")

    def _find(self, path: Path, what: str, remedy: str) -> None:
        self._findings.append(self._source.finding(path, what, remedy))
