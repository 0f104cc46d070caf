"""Watch: one rule on one subject, and the alarm life that it drives.

    closure says true / false / unknown ──► AlarmCause ──► device_model.alarm.next_state ──► AlarmTransition
    beside it, a life of faults, never incidents: `unknown` (cannot be judged), `broken` (the rule failed), `refused`

Everything happens at event times: a reading's source time, or the moment a timer was due. `due_us` is when time
alone would change something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from device_model.alarm import (
    AlarmCause,
    AlarmKey,
    AlarmState,
    AlarmTransition,
    Hazard,
    Severity,
    alarm_id,
    next_state,
)
from device_model.errors import LawRefusal
from rules_engine.cell import Cell
from rules_engine.condition_compile import Closure, LastingState, Say, Wakes
from rules_engine.rule import Rule

Out = list[AlarmTransition]
# A board line and a plot show a few points; a zone of hundreds is named by its rule.
POINTS_MAX = 8
# What a condition may raise when it meets something its author did not think of.
RULE_ERRORS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# What welding and cutting make beside heat and light.
SMOKE = frozenset({"smoke_alarm", "obscuration", "smoke_score"})
_ACTIVE = (AlarmState.RAISED, AlarmState.HELD)
_OVER = (AlarmState.INACTIVE, AlarmState.CLEARED)


@dataclass
class House:
    """What all watches of an engine share: the site, which end decides, the devices under test, and the zones in
    which smoke goes to the people of a permit (`AlarmTransition.audience`)."""

    site_path: str
    decides: str
    testing: dict[str, int] = field(default_factory=dict)  # device → until, µs
    shields: dict[str, str] = field(default_factory=dict)  # zone → audience


class WatchState(msgspec.Struct, array_like=True):
    """A watch in the checkpoint. `lasting` is dropped on load when the rule's text changed."""

    fingerprint: str
    state: AlarmState
    onset_us: int
    due_us: int
    wake_us: int
    unknown_since_us: int
    sides: dict[str, int]
    lasting: list[int]
    test: bool
    last: AlarmTransition | None
    side_last: dict[str, AlarmTransition]


class Watch:
    """One rule on one subject. Moves only when told: `judge`, `tick`, `reset`."""

    __slots__ = ("_house", "_say", "cells", "clear", "device", "due_us", "index", "key", "last", "lasting",
                 "onset_us", "rule", "scheduled_us", "side_last", "sides", "state", "test", "testable",
                 "unknown_since_us", "wakes", "when", "zone")

    def __init__(self, rule: Rule, key: AlarmKey, *, index: int, house: House, zone: str, device: str,
                 testable: bool) -> None:
        self.rule, self.key, self.index, self._house = rule, key, index, house
        self.zone, self.device, self.testable = zone, device, testable
        self.when: Closure = _unknown
        self._say: Say = _nothing
        self.clear: Closure | None = None
        self.cells: tuple[Cell, ...] = ()
        self.wakes = Wakes()
        self.lasting: list[LastingState] = []
        self.state = AlarmState.INACTIVE
        self.onset_us = self.due_us = self.unknown_since_us = 0
        self.scheduled_us = 0  # what stands in the engine's heap for this watch
        self.sides: dict[str, int] = {}
        self.test = False
        self.last: AlarmTransition | None = None
        self.side_last: dict[str, AlarmTransition] = {}

    def arm(self, when: Closure, say: Say, clear: Closure | None, cells: Sequence[Cell]) -> None:
        """Give it the compiled condition and the cells that it reads."""
        self.when, self._say, self.clear, self.cells = when, say, clear, tuple(cells)

    # --- moving ---

    def judge(self, at: int, out: Out) -> None:
        """Evaluate at an event time, and move."""
        self.wakes.at = None
        self._move(self._cause(at, out), at, out)

    def tick(self, at: int, out: Out) -> None:
        """Time has come to `at`: end `for`, `keep`, the limit of unknown; look again where a closure asked."""
        woken = self.wakes.at is not None and self.wakes.at <= at
        if self.due_us and self.due_us <= at:
            due, self.due_us = self.due_us, 0
            over = AlarmCause.FOR_OVER if self.state is AlarmState.PENDING else AlarmCause.KEEP_OVER
            self._move(over, due, out)
        limit = self._unknown_due()
        if limit and limit <= at:
            self._side("unknown", self.unknown_since_us, limit, self._values(), out)
        if woken:
            self.judge(at, out)

    def next_due(self) -> int:
        """The earliest time at which `tick` has something to do; 0 never."""
        dues = [due for due in (self.due_us, self._unknown_due(), self.wakes.at or 0) if due]
        return min(dues, default=0)

    def _unknown_due(self) -> int:
        if not self.unknown_since_us or not self.rule.unknown_after_us or "unknown" in self.sides:
            return 0
        return self.unknown_since_us + self.rule.unknown_after_us

    def _cause(self, at: int, out: Out) -> AlarmCause:
        try:
            truth = self.when(at)
            ended = None if self.clear is None else self.clear(at)
        except RULE_ERRORS as error:  # one bad rule must not stop the others: it is unknown, and says so as a fault
            self._side("broken", at, at, f"{type(error).__name__}: {error}", out)
            truth = ended = None
        else:
            if "broken" in self.sides:
                self._side_over("broken", at, out)
        self._note_unknown(truth, at, out)
        if truth:
            return AlarmCause.CONDITION_TRUE
        if self.clear is None or self.state not in _ACTIVE:
            return AlarmCause.CONDITION_UNKNOWN if truth is None else AlarmCause.CONDITION_FALSE
        if truth is None or ended is None:
            return AlarmCause.CONDITION_UNKNOWN
        return AlarmCause.CONDITION_FALSE if ended else AlarmCause.CONDITION_TRUE  # between: not yet over

    def _note_unknown(self, truth: bool | None, at: int, out: Out) -> None:
        if truth is None:
            self.unknown_since_us = self.unknown_since_us or at
        else:
            self.unknown_since_us = 0
            if "unknown" in self.sides:
                self._side_over("unknown", at, out)

    def _move(self, cause: AlarmCause, at: int, out: Out) -> None:
        if cause is AlarmCause.CONDITION_TRUE and self.state in _OVER and self._isolated():
            return
        before = self.state
        state = next_state(before, cause, latched=self.rule.latched)
        if state is before:
            return
        self.due_us = 0
        if state is AlarmState.PENDING:
            self.onset_us = at
            self.test = self._under_test(at)
            if self.rule.for_us:
                self.due_us = at + self.rule.for_us
            else:  # nothing to wait for: one step for people, not two
                before, state = AlarmState.PENDING, AlarmState.RAISED
        elif state is AlarmState.HELD and not self.rule.latched:
            if self.rule.keep_us:
                self.due_us = at + self.rule.keep_us
            else:
                before, state = AlarmState.HELD, AlarmState.CLEARED
        elif state is AlarmState.RAISED and before is AlarmState.HELD and self.test:
            self.test = self._under_test(at)
        self.state = state
        self._tell(before, at, out)

    def _isolated(self) -> bool:
        if self.rule.hazard is Hazard.FAULT or not self.device:
            return False
        return any(cell.isolated for cell in self.cells if cell.device == self.device)

    def _under_test(self, at: int) -> bool:
        """Whether this is a test: without the devices under test the condition would not be true (law 6)."""
        testing = self._house.testing
        if not testing or not self.testable:
            return False
        masked = [cell for cell in self.cells if cell.device in testing and not cell.isolated]
        if not masked:
            return False
        if self.device:
            return self.device in testing
        self.wakes.dry = True
        for cell in masked:
            cell.isolated = True
        try:
            return self.when(at) is not True
        finally:
            for cell in masked:
                cell.isolated = False
            self.wakes.dry = False

    def _tell(self, before: AlarmState, at: int, out: Out) -> None:
        rule = self.rule
        true_now = self.state in (AlarmState.PENDING, AlarmState.RAISED)
        step = AlarmTransition(
            alarm=alarm_id(self._house.site_path, self.key, self.onset_us), key=self.key, state=self.state,
            previous=before, hazard=rule.hazard, severity=rule.severity, at_us=at, onset_us=self.onset_us,
            zone=self.zone, device=self.device, points=self._points(),
            detail=self._words(at) if true_now else self._values(), latched=rule.latched, test=self.test,
            decided=self._house.decides, audience=self._audience())
        self.last = step
        out.append(step)

    def _audience(self) -> str:
        """Only smoke is ever kept from the brigade: heat, flame, call points, gas and CO never are."""
        rule, shields = self.rule, self._house.shields
        if not shields or rule.hazard is not Hazard.FIRE or not SMOKE.issuperset(rule.bind.quantities or ("",)):
            return ""
        return shields.get(self.zone, "")

    def tell_audience(self, at: int, out: Out) -> None:
        """Work under a permit began or ended in its zone: who is to be told of what stands has changed."""
        if self.state not in _OVER and self.last is not None and self.last.audience != self._audience():
            self._tell(self.state, at, out)

    def _words(self, at: int) -> str:
        try:
            return self._say(at) if not self.unknown_since_us else f"{self._values()} (was: {self._was()})"
        except RULE_ERRORS:  # words must never cost an alarm
            return self._values()

    def _was(self) -> str:
        return self.last.detail if self.last is not None else ""

    def _values(self) -> str:
        return ", ".join(_shown(cell) for cell in self.cells[:POINTS_MAX])

    def _points(self) -> tuple[str, ...]:
        cells = [cell for cell in self.cells if cell.device]
        if len(cells) <= POINTS_MAX:
            return tuple(cell.name for cell in cells)
        true = [cell.name for cell in cells if cell.value is True]
        return tuple((true or [cell.name for cell in cells])[:POINTS_MAX])

    # --- derived faults ---

    def _side(self, suffix: str, onset: int, at: int, detail: str, out: Out) -> None:
        if suffix not in self.sides:
            self.sides[suffix] = onset
            out.append(self._side_step(suffix, AlarmState.RAISED, onset, at, detail))

    def _side_over(self, suffix: str, at: int, out: Out) -> None:
        onset = self.sides.pop(suffix)
        out.append(self._side_step(suffix, AlarmState.CLEARED, onset, at, self._values()))

    def end_sides(self, at: int, out: Out) -> None:
        """Its subject is gone from the site: its derived faults are over."""
        for suffix in sorted(self.sides):
            self._side_over(suffix, at, out)

    def end_gone(self, at: int, out: Out) -> None:
        """Its subject or rule is gone from the site, and nothing of it must stand: tell that it is over."""
        self.end_sides(at, out)
        if self.state not in _OVER:
            before, self.state, self.due_us = self.state, AlarmState.CLEARED, 0
            self._tell(before, at, out)

    def refuse(self, at: int, detail: str, out: Out) -> None:
        """State that the rule does not watch its subject."""
        self._side("refused", at, at, detail, out)

    def _side_step(self, suffix: str, state: AlarmState, onset: int, at: int, detail: str) -> AlarmTransition:
        before = AlarmState.PENDING if state is AlarmState.RAISED else AlarmState.HELD
        key = AlarmKey(f"{self.rule.id}.{suffix}", self.key.subject)
        step = AlarmTransition(
            alarm=alarm_id(self._house.site_path, key, onset), key=key, state=state, previous=before,
            hazard=Hazard.FAULT, severity=Severity.WARNING, at_us=at, onset_us=onset, zone=self.zone,
            device=self.device, points=self._points(), detail=detail, decided=self._house.decides)
        self.side_last[suffix] = step
        return step

    # --- people ---

    def reset(self, at: int, out: Out) -> None:
        """By a person, on site. Raises LawRefusal(3) while the condition is true, unknown or the point bad."""
        if self.state in _OVER:
            return
        if not self._isolated():
            truth = self._dry(at)
            if truth is None or any(cell.value is None for cell in self.cells if cell.device == self.device):
                raise LawRefusal(3, f"{self.key.subject} is bad or silent; it cannot be said to be safe")
            if truth or self.state is not AlarmState.HELD:
                raise LawRefusal(3, f"{self.key.subject} is still in alarm: {self._words(at)}")
        self._end(at, out)

    def _dry(self, at: int) -> bool | None:
        self.wakes.dry = True
        try:
            return self.when(at)  # type: ignore[no-any-return]  # a condition is bool or None by its check
        except RULE_ERRORS:  # a broken rule is unknown: the reset is refused
            return None
        finally:
            self.wakes.dry = False

    def _end(self, at: int, out: Out) -> None:
        before, self.state, self.due_us = self.state, AlarmState.CLEARED, 0
        self._tell(before, at, out)

    def end_isolated(self, at: int, out: Out) -> None:
        """The device has been isolated: what was only pending is no alarm."""
        if self.state is AlarmState.PENDING and self._isolated():
            before, self.state, self.due_us = self.state, AlarmState.INACTIVE, 0
            self._tell(before, at, out)

    def end_test(self, at: int, out: Out) -> None:
        """Its test is over: what is still true is real from now on; what has ended is done with."""
        if not self.test or self._under_test(at):
            return
        self.test = False
        if self.state is AlarmState.HELD:
            self.test = True
            self._end(at, out)
        elif self.state in (AlarmState.PENDING, AlarmState.RAISED):
            self._tell(self.state, at, out)

    # --- keeping ---

    def open_steps(self) -> list[AlarmTransition]:
        """The latest step of its alarm and of its derived faults, where they stand."""
        steps = [self.last] if self.last is not None and self.state not in _OVER else []
        return steps + [self.side_last[suffix] for suffix in sorted(self.sides)]

    def dump(self) -> WatchState | None:
        """Its state for the checkpoint; None where it has never moved."""
        lasting = [entry.since for entry in self.lasting]
        wake = self.wakes.at or 0
        if self.state is AlarmState.INACTIVE and not (self.unknown_since_us or self.sides or wake or any(lasting)):
            return None
        return WatchState(self.rule.fingerprint, self.state, self.onset_us, self.due_us, wake, self.unknown_since_us,
                          dict(sorted(self.sides.items())), lasting, self.test,
                          None if self.state in _OVER else self.last,
                          {suffix: self.side_last[suffix] for suffix in sorted(self.sides)})

    def load(self, state: WatchState) -> None:
        """The state that `dump` gave; a rule whose text changed keeps its alarm, not the memory of its parts."""
        self.state, self.onset_us, self.due_us = state.state, state.onset_us, state.due_us
        self.unknown_since_us, self.sides, self.test = state.unknown_since_us, dict(state.sides), state.test
        self.last, self.side_last = state.last, dict(state.side_last)
        self.wakes.at = state.wake_us or None
        if state.fingerprint == self.rule.fingerprint:
            for entry, since in zip(self.lasting, state.lasting, strict=False):
                entry.since = since

    def shift(self, by: int) -> None:
        """The wall clock stepped by that many µs: timers move along; onsets already told stay (they name alarms)."""
        self.due_us += by if self.due_us else 0
        self.unknown_since_us += by if self.unknown_since_us else 0
        self.wakes.at = None if self.wakes.at is None else self.wakes.at + by
        for entry in self.lasting:
            entry.shift(by)


def _shown(cell: Cell) -> str:
    if cell.value is None:
        return f"{cell.label} unknown ({cell.reason})"
    if isinstance(cell.value, bool):
        return f"{cell.label} {'true' if cell.value else 'false'}"
    return f"{cell.label} {cell.value:.4g} {cell.unit}".strip() if isinstance(cell.value, float) else str(cell.value)


def _unknown(at: int) -> None:
    return None


def _nothing(at: int) -> str:
    return ""


