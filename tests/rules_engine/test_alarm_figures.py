"""Figures for people: quality of rules, false alarms by model and cause, load on operators."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.alarm import Hazard, Severity
from device_model.clock import HOUR_US, MINUTE_US, SECOND_US
from device_model.handling import Cause, Handling, Stage
from device_model.read_models import AlarmView, IncidentState, IncidentView, Verification
from device_model.site import Text
from rules_engine.alarm_figures import quality
from rules_engine.intervals import poisson, wilson
from rules_engine.people_load import Raise, load
from tests.rules_engine.incident_house import T0, T

NOWHERE = Text("", "")


def ended(number: int, cause: Cause, device: str = "d1", rule: str = "fire.smoke", **more: Any) -> IncidentView:
    alarm = AlarmView(f"a{number}", rule, NOWHERE, device, NOWHERE, "z", "cleared", Severity.CRITICAL, Hazard.FIRE,
                      T0)
    return IncidentView(
        f"i{number}", T, NOWHERE, more.get("state", IncidentState.CLOSED), Hazard.FIRE, Severity.CRITICAL,
        Verification.NONE, NOWHERE, NOWHERE, "z", NOWHERE, T0, T0, drill=more.get("drill", False), alarms=(alarm,),
        handling=Handling(Stage.ALL, T0, cause=cause))


MODELS = {(T.path, f"d{n}"): "smoke-x" for n in range(1, 51)}


def test_verdicts_become_shares_with_intervals_and_rates_by_model_and_cause() -> None:
    views = [ended(n, Cause.REAL, "d9") for n in range(3)] + [ended(n, Cause.COOKING) for n in range(3, 7)]
    views += [ended(7, Cause.UNSTATED), ended(8, Cause.UNSTATED, state=IncidentState.FALSE),
              ended(9, Cause.COOKING, drill=True), ended(10, Cause.COOKING, state=IncidentState.NEW)]
    report = quality(views, MODELS, 365.25)
    (rule,) = report.rules
    assert (rule.true, rule.false, rule.unstated) == (3, 5, 1) and rule.share_true == 3 / 8
    assert rule.interval_95[0] < 3 / 8 < rule.interval_95[1]
    cooking = next(rate for rate in report.rates if rate.cause is Cause.COOKING)
    assert (cooking.false, cooking.detectors, cooking.per_100_and_year) == (4, 50, 8.0)
    assert cooking.interval_95[0] == pytest.approx(2.18, abs=0.01)
    (task,) = report.tasks
    assert (task.device, task.times) == ("d1", 4) and "kitchen" in task.remedy.en
    assert "smoke-x" in report.text() and report.incidents == 9


def test_a_broken_or_misplaced_detector_is_a_task_at_once() -> None:
    assert len(quality([ended(1, Cause.WRONG_PLACE)], MODELS, 30).tasks) == 1
    assert quality([], {}, 0).rules == ()


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)])
def test_poisson_intervals_are_the_exact_ones(count: int, low: float, high: float) -> None:
    found = poisson(count, 1.0)
    assert found == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))
    assert poisson(count, 0) == (0.0, math.inf)


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_holds_the_share(hits: int, more: int) -> None:
    low, high = wilson(hits, hits + more)
    assert 0 <= low <= high <= 1
    if hits + more:
        assert low - 1e-12 <= hits / (hits + more) <= high + 1e-12
    assert wilson(5, 10) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))


def test_load_counts_slots_chatter_stale_and_standing_alarms() -> None:
    start, S = T0, SECOND_US
    raises = [Raise("chatter", start + n * 20 * S, start + n * 20 * S + S) for n in range(40)]
    raises += [Raise("old", start - 30 * HOUR_US), Raise("new", start + HOUR_US),
               Raise("past", start - HOUR_US, start)]
    report = load(raises, from_us=start, to_us=start + 2 * HOUR_US, operators=2)
    assert (report.raises, report.peak_10_min) == (41, 30) and report.per_operator_and_10_min == 41 / 2 / 12
    assert [one.alarm for one in report.chattering] == ["chatter"]
    assert report.stale == ("old",) and report.standing == ("new", "old")
    assert report.flooded_share == 1 / 12
    words = " ".join(advice.en for advice in report.advice)
    assert "Chattering" in words and "Stale" in words and "Floods" in words
    assert "41 alarms" in report.text()


def test_quiet_times_need_no_advice() -> None:
    report = load([Raise("a", T0 + MINUTE_US, T0 + 2 * MINUTE_US)], from_us=T0, to_us=T0 + 24 * HOUR_US)
    assert report.advice == () and report.raises == 1
    with pytest.raises(ValueError, match="time"):
        load([], from_us=T0, to_us=T0)
