"""Properties of the nouns: ranges against a plain set, the alarm life, readings, impairments, conversions."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from device_model.alarm import (
    ALWAYS_LATCHED,
    LATCHED_TRANSITIONS,
    LIFE_SAFETY,
    TRANSITIONS,
    AlarmCause,
    AlarmKey,
    AlarmState,
    Hazard,
    Severity,
    alarm_id,
    next_state,
)
from device_model.clock import Now, TimeScale
from device_model.impairment import Impairment, ImpairmentKind, ImpairmentRegister
from device_model.quantities import (
    ALL_UNIT_CODES,
    QUANTITIES,
    UNIT_ALIASES,
    to_canonical,
    unit_code,
    unit_display,
)
from device_model.ranges import RangeSet
from device_model.reading import Quality, Reading, Reason

NUMBERS = st.integers(-5, 60)


class RangeSetMachine(RuleBasedStateMachine):
    """A RangeSet does what a set of numbers does."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges = RangeSet()
        self.model: set[int] = set()

    @rule(first=NUMBERS, length=st.integers(0, 9))
    def add(self, first: int, length: int) -> None:
        self.ranges.add(first, first + length)
        self.model.update(range(first, first + length + 1))

    @rule(first=NUMBERS)
    def refuse_empty(self, first: int) -> None:
        with pytest.raises(ValueError, match="empty"):
            self.ranges.add(first, first - 1)

    @rule(first=NUMBERS, last=NUMBERS)
    def missing(self, first: int, last: int) -> None:
        gaps = self.ranges.missing(first, last)
        assert {n for a, b in gaps for n in range(a, b + 1)} == set(range(first, last + 1)) - self.model
        assert all(a <= b for a, b in gaps)
        assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(gaps))

    @rule()
    def copy_is_independent(self) -> None:
        twin = self.ranges.copy()
        assert twin == self.ranges
        twin.add(1000, 1001)
        assert 1000 not in self.ranges

    @invariant()
    def same(self) -> None:
        assert self.ranges.count() == len(self.model)
        assert self.ranges.highest() == (max(self.model) if self.model else None)
        assert all((n in self.ranges) == (n in self.model) for n in range(-8, 75))
        ranges = list(self.ranges)
        assert len(self.ranges) == len(ranges)
        # Sorted, disjoint and not adjacent: the shortest way to say it.
        assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(ranges))


TestRangeSet = RangeSetMachine.TestCase

CAUSES = st.lists(st.sampled_from(AlarmCause), max_size=30)


@given(CAUSES)
def test_a_latched_alarm_clears_by_reset_only(causes: list[AlarmCause]) -> None:
    state = AlarmState.INACTIVE
    for cause in causes:
        before, state = state, next_state(state, cause, latched=True)
        if state is AlarmState.CLEARED and before is not AlarmState.CLEARED:
            assert (before, cause) == (AlarmState.HELD, AlarmCause.RESET)


@given(CAUSES, st.booleans())
def test_unknown_never_clears_or_lowers(causes: list[AlarmCause], latched: bool) -> None:
    state = AlarmState.INACTIVE
    for cause in causes:
        before, state = state, next_state(state, cause, latched=latched)
        if cause is AlarmCause.CONDITION_UNKNOWN:
            assert state is (AlarmState.RAISED if before is AlarmState.HELD else before)


@given(CAUSES, st.booleans())
def test_raised_only_after_the_condition_was_true(causes: list[AlarmCause], latched: bool) -> None:
    state, was_true = AlarmState.INACTIVE, False
    for cause in causes:
        was_true |= cause is AlarmCause.CONDITION_TRUE
        state = next_state(state, cause, latched=latched)
        assert was_true or state is AlarmState.INACTIVE


def test_the_two_tables_differ_in_one_row_and_latching_covers_life_safety() -> None:
    assert set(TRANSITIONS) - set(LATCHED_TRANSITIONS) == {(AlarmState.HELD, AlarmCause.KEEP_OVER)}
    assert set(LATCHED_TRANSITIONS) - set(TRANSITIONS) == {(AlarmState.HELD, AlarmCause.RESET)}
    assert LIFE_SAFETY <= ALWAYS_LATCHED and {Hazard.FIRE, Hazard.GAS_HIGH} <= ALWAYS_LATCHED
    assert [s.rank for s in Severity] == [0, 1, 2, 3]


@given(st.text(max_size=9), st.text(max_size=9), st.integers(0, 2**53))
def test_alarm_ids_are_deterministic_and_tell_onsets_apart(rule_id: str, subject: str, onset: int) -> None:
    key = AlarmKey(rule_id, subject)
    assert alarm_id("a/b/c/d", key, onset) == alarm_id("a/b/c/d", AlarmKey(rule_id, subject), onset)
    assert alarm_id("a/b/c/d", key, onset) != alarm_id("a/b/c/d", key, onset + 1)
    assert len(alarm_id("a/b/c/d", key, onset)) == 16


@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False), st.sampled_from(Quality))
def test_a_value_is_there_exactly_when_the_quality_is_not_bad(value: object, quality: Quality) -> None:
    if (value is None) == (quality is Quality.BAD):
        reading = Reading("d-1.t", value, "Cel", quality, Reason.NONE)
        assert reading.device == "d-1" and reading.same_as(reading)
    else:
        with pytest.raises(ValueError, match="does not go with quality"):
            Reading("d-1.t", value, "Cel", quality, Reason.NONE)


def test_same_as_tells_true_from_one_and_ignores_times() -> None:
    one, true = Reading("d.p", 1, "1"), Reading("d.p", True, "1")
    assert not one.same_as(true)
    assert true.same_as(Reading("d.p", True, "1", receive_time_us=5, sequence=9))


SUBJECTS = st.sampled_from(["a", "b"])
KINDS = st.sampled_from([ImpairmentKind.SILENT, ImpairmentKind.ISOLATED])


class RegisterMachine(RuleBasedStateMachine):
    """An ImpairmentRegister does what a dict does, and reports each change once."""

    def __init__(self) -> None:
        super().__init__()
        self.register = ImpairmentRegister()
        self.model: dict[tuple[ImpairmentKind, str], Impairment] = {}

    @rule(kind=KINDS, subject=SUBJECTS, since=st.integers(1, 9), expires=st.integers(0, 20))
    def begin(self, kind: ImpairmentKind, subject: str, since: int, expires: int) -> None:
        impairment = Impairment(kind, subject, since, expires_us=expires)
        change = self.register.begin(impairment)
        assert (change is None) == (impairment.key in self.model)
        self.model.setdefault(impairment.key, impairment)

    @rule(kind=KINDS, subject=SUBJECTS, at=st.integers(0, 20))
    def end(self, kind: ImpairmentKind, subject: str, at: int) -> None:
        change = self.register.end(kind, subject, at)
        gone = self.model.pop((kind, subject), None)
        assert (change is None) == (gone is None)
        assert change is None or (change.impairment == gone and change.ended_us > 0)

    @rule(at=st.integers(1, 20))
    def expire(self, at: int) -> None:
        changes = self.register.expire(at)
        over = {key for key, i in self.model.items() if 0 < i.expires_us <= at}
        assert {change.impairment.key for change in changes} == over
        for key in over:
            del self.model[key]

    @invariant()
    def same(self) -> None:
        assert {i.key: i for i in self.register.present()} == self.model
        assert all(self.register.stands(*key) for key in self.model)


TestImpairmentRegister = RegisterMachine.TestCase


@pytest.mark.parametrize(("quantity", "unit", "value", "canonical"), [
    ("temperature", "[degF]", 212, 100), ("temperature", "K", 273.15, 0), ("obscuration", "1/m", 0.05, 0.5),
    ("pressure", "bar", 1.5, 150_000), ("level", "mm", 850, 0.85), ("co", "[ppb]", 8500, 8.5), ("co", "%", 0.01, 100),
    ("energy", "W.h", 12345, 12.345), ("flow", "L/s", 1, 3.6), ("pm25", "mg/m3", 0.035, 35), ("age", "min", 2, 120),
])
def test_conversions_by_hand(quantity: str, unit: str, value: float, canonical: float) -> None:
    assert to_canonical(quantity, unit, value) == pytest.approx(canonical)


@given(st.sampled_from(sorted(QUANTITIES)), st.floats(-1e6, 1e6))
def test_every_unit_converts_and_the_canonical_one_changes_nothing(name: str, value: float) -> None:
    quantity = QUANTITIES[name]
    assert to_canonical(name, quantity.canonical, value) == value
    for unit in quantity.units:
        assert math.isfinite(to_canonical(name, unit.code, value)) and unit.factor > 0
    with pytest.raises(KeyError):
        to_canonical(name, "furlong", value)


def test_names_people_write_lead_to_codes_and_back() -> None:
    assert all(code in ALL_UNIT_CODES for code in UNIT_ALIASES.values())
    assert all(unit_code(unit_display(code)) == code for code in ALL_UNIT_CODES if code != "1")
    assert unit_code("furlong") is None and unit_display("1") == ""


@given(st.integers(0, 2**50), st.floats(0.1, 1000), st.integers(0, 10**9))
def test_shown_time_runs_at_its_speed(anchor: int, speed: float, real_us: int) -> None:
    scale = TimeScale(speed, 0, anchor)
    assert scale.shown(0) == anchor
    assert scale.shown(real_us) - anchor == pytest.approx(real_us * speed, abs=1)
    assert Now(anchor, 5, "b").later(7) == Now(anchor + 7, 12, "b")
