"""How alarms are judged: delays, misses, false alarms, and their interval, on hand-made runs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.alarm import Hazard, Severity
from rules_engine.recorded import Episode, Experiment, LabelledEvent, RecordedPoint, judge, poisson_interval
from rules_engine.recorded.quality import merged, summarize

FIRE = frozenset({Hazard.FIRE})


def episode(start_s: float, end_s: float, subject: str = "a.smoke", hazard: Hazard = Hazard.FIRE,
            severity: Severity = Severity.CRITICAL, zone: str = "z") -> Episode:
    return Episode("run", "fire.smoke", subject, zone, hazard, severity, start_s, end_s)


def run(*events: LabelledEvent, learning_until_s: float = float("-inf")) -> Experiment:
    point = RecordedPoint("a.smoke", "smoke_alarm", "1", "z")
    return Experiment("run", [point], [(-60.0, (0.0,)), (600.0, (0.0,))], events, learning_until_s=learning_until_s)


@pytest.mark.parametrize(("episodes", "delay_s", "false_alarms"), [
    pytest.param([episode(30, 90)], 30, 0, id="found"),
    pytest.param([], None, 0, id="missed"),
    pytest.param([episode(-20, 90)], None, 1, id="before the onset is false, and no answer"),
    pytest.param([episode(-20, -10, "b.smoke"), episode(40, 50)], 40, 1, id="both"),
    pytest.param([episode(30, 90, hazard=Hazard.WATER)], None, 0, id="another class does not count"),
    pytest.param([episode(30, 90, severity=Severity.NOTICE)], None, 0, id="too low does not count"),
    pytest.param([episode(230, 240)], None, 0, id="within recovery: neither answer nor false"),
    pytest.param([episode(400, 410)], None, 1, id="after recovery"),
])
def test_an_event_and_its_first_alarm(episodes: list[Episode], delay_s: float | None, false_alarms: int) -> None:
    judged, (answer,) = judge(run(LabelledEvent("fire", 0, 200)), episodes, hazards=FIRE, least=Severity.ALARM,
                              recovery_s=100)
    assert answer.delay_s == delay_s
    assert sum(one.false_alarm for one in judged) == false_alarms


def test_an_alarm_while_learning_is_false_whatever_the_label_says() -> None:
    judged, (answer,) = judge(run(LabelledEvent("fire", 0), learning_until_s=15), [episode(10, 90)], hazards=FIRE,
                              least=Severity.ALARM, recovery_s=0)
    assert judged[0].false_alarm and answer.delay_s is None


def test_an_event_may_ask_for_its_zone() -> None:
    event = LabelledEvent("fire", 0, 200, zones=("kitchen",))
    judged, (answer,) = judge(run(event), [episode(5, 9), episode(20, 30, "b.smoke", zone="kitchen")], hazards=FIRE,
                              least=Severity.ALARM, recovery_s=0)
    assert answer.delay_s == 20 and [one.false_alarm for one in judged] == [True, False]


def test_episodes_of_a_point_within_five_minutes_are_one() -> None:
    near = merged([episode(0, 10), episode(300, 310), episode(620, 630), episode(5, 6, "b.smoke")])
    assert [(e.subject, e.start_s, e.end_s) for e in near] == [
        ("a.smoke", 0, 310), ("b.smoke", 5, 6), ("a.smoke", 620, 630)]


# Garwood's exact limits, from the tables of Pearson and Hartley (Biometrika Tables, table 40).
@pytest.mark.parametrize(("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (3, 0.619, 8.767),
                                                    (10, 4.795, 18.390), (30, 20.241, 42.827)])
def test_the_interval_is_the_exact_one(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), abs=2e-3)


@settings(max_examples=25)
@given(st.integers(0, 400))
def test_the_interval_holds_the_count_and_grows(count: int) -> None:
    low, high = poisson_interval(count)
    assert low <= count <= high
    assert poisson_interval(count + 1)[1] > high


def test_a_summary_states_rate_and_interval_by_sensor_years() -> None:
    judged, answers = judge(run(LabelledEvent("fire", 0, 200)), [episode(30, 90), episode(400, 410, "b.smoke")],
                            hazards=FIRE, least=Severity.ALARM, recovery_s=0)
    summary = summarize(answers, judged, 8766.0)
    assert (summary.events, summary.missed, summary.delay_median_s, summary.false_alarms) == (1, 0, 30, 1)
    assert summary.false_per_sensor_year == 1 and summary.interval_95 == (0.025, 5.572)
    assert summarize([], [], 0.0).false_per_sensor_year is None
