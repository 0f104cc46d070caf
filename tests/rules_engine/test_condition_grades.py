"""grade(…) and sum(…): steps of a scale, and totals that are known only whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.reading import Reason
from rules_engine.condition_check import Vocabulary, check_condition
from rules_engine.condition_parse import ConditionError, parse_condition
from rules_engine.condition_types import Type
from tests.rules_engine.rule_house import House, now, rule

WATER = Type("number", "mg/L")


@pytest.mark.parametrize(("value", "grade"), [(0.1, 1), (0.15, 1), (0.2, 2), (0.9, 3), (1.2, 4), (1.9, 5), (9.0, 6)])
def test_a_rising_scale(value: float, grade: int) -> None:
    house = House({"s.n": "ammonia_nitrogen"}, *[rule(
        f"grade(value, 0.15 mg/L, 0.5 mg/L, 1 mg/L, 1.5 mg/L, 2 mg/L) == {n}", id=f"t.is{n}",
        bind="{quantities: [ammonia_nitrogen]}") for n in range(1, 7)])
    house.engine.step([house.reading("s.n", value, 1)], now(1))
    assert [step.key.rule for step in house.engine.open_alarms()] == [f"t.is{grade}"]


def test_a_falling_scale_and_the_unknown() -> None:
    house = House({"s.o": "dissolved_oxygen"}, rule(
        "grade(value, 7.5 mg/L, 6 mg/L, 5 mg/L, 3 mg/L, 2 mg/L) > 3", bind="{quantities: [dissolved_oxygen]}"))
    house.engine.step([house.reading("s.o", 5.0, 1)], now(1))
    assert not house.engine.open_alarms()
    house.engine.step([house.reading("s.o", Reason.SILENT, 2)], now(2))
    assert not house.engine.open_alarms()
    house.engine.step([house.reading("s.o", 4.9, 3)], now(3))
    assert len(house.engine.open_alarms()) == 1


@pytest.mark.parametrize("text", [
    "grade(value) > 1", "grade(value, 2 mg/L, 1 mg/L, 3 mg/L) > 1", "grade(value, 1 °C) > 1", "grade(value, 1) > 1",
    "grade(value, 1 mg/L, 1 mg/L) > 1", "grade(true, 1) > 1",
])
def test_what_is_no_scale_does_not_load(text: str) -> None:
    with pytest.raises(ConditionError):
        check_condition(parse_condition(text), Vocabulary(WATER))


@given(st.lists(st.integers(0, 500), min_size=1, max_size=5), st.integers(0, 1000))
def test_a_sum_is_of_all_members(values: list[int], limit: int) -> None:
    house = House({f"g{i}.n": "entries" for i in range(len(values))},
                  rule(f"zone.sum(entries) > {limit}", bind="{per: zone}"))
    house.engine.step([house.reading(f"g{i}.n", float(value), 1) for i, value in enumerate(values)], now(1))
    assert bool(house.engine.open_alarms()) is (sum(values) > limit)


def test_a_sum_with_an_unknown_member_is_unknown() -> None:
    house = House({"a.n": "entries", "b.n": "entries"},
                  rule("zone.sum(entries) > 3", id="t.over", bind="{per: zone}"),
                  rule("!(zone.sum(entries) > 3)", id="t.under", bind="{per: zone}"))
    house.engine.step([house.reading("a.n", 5.0, 1), house.reading("b.n", Reason.SILENT, 1)], now(1))
    assert not house.engine.open_alarms()
    house.engine.step([house.reading("b.n", 0.0, 2)], now(2))
    assert [step.key.rule for step in house.engine.open_alarms()] == ["t.over"]
