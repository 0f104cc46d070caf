"""The engine against a slow, obvious model of rule and alarm life, and against itself restarted at any step.

The model keeps all it ever saw and reckons each second anew; it shares with the engine only the words for states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition
from hypothesis.stateful import rule as action

from device_model.alarm import AlarmTransition
from device_model.errors import LawRefusal
from device_model.reading import Reason
from rules_engine.rule_tests import TestPoint
from tests.rules_engine.rule_house import T0, House, now, rule

POINT = {"a.t": TestPoint("temperature", stale_after_s=10)}
FOR, KEEP, STALE = 3, 4, 10


@dataclass
class Model:
    """One rule `value > 50` with for, keep, latch on one point, in whole seconds."""

    latched: bool
    for_s: int
    keep_s: int
    state: str = "inactive"
    since: int = 0  # of pending or held
    value: float | None = None
    heard: int = 0
    steps: list[str] = field(default_factory=list)

    def second(self, at: int, heard: float | Reason | None) -> None:
        """Second `at`: silence a moment after its limit, then what was due by now, then what was heard."""
        if at > self.heard + STALE:
            self.value = None
            self.judge(at)
        if self.state == "pending" and at >= self.since + self.for_s:
            self.go("raised", self.since + self.for_s)
        if self.state == "held" and not self.latched and at >= self.since + self.keep_s:
            self.go("cleared", self.since + self.keep_s)
        if isinstance(heard, float):
            self.value, self.heard = heard, at
        elif heard is not None:
            self.value = None
        self.judge(at)

    def judge(self, at: int) -> None:
        """What the value means now."""
        truth = None if self.value is None else self.value > 50
        if truth and self.state in ("inactive", "cleared"):
            self.since = at
            self.go("pending" if self.for_s else "raised", at)
        elif truth is False and self.state == "pending":
            self.go("inactive", at)
        elif truth is False and self.state == "raised":
            self.since = at
            self.go("held" if self.latched or self.keep_s else "cleared", at)
        elif truth is not False and self.state == "held":
            self.go("raised", at)

    def go(self, state: str, at: int) -> None:
        self.state = state
        self.steps.append(f"{state} @{at}")


class AlarmLife(RuleBasedStateMachine):
    """Random readings, gaps, resets and restarts; engine and model tell the same story."""

    @initialize(latched=st.booleans(), for_s=st.sampled_from([0, FOR]), keep_s=st.sampled_from([0, KEEP]))
    def begin(self, latched: bool, for_s: int, keep_s: int) -> None:
        self.house = House(POINT, rule("value > 50 °C", latch=str(latched).lower(), for_=f"{for_s} s",
                                       keep=f"{keep_s} s"))
        self.model = Model(latched, for_s, keep_s)
        self.at = 0
        self.told: list[str] = []
        self.alarms: set[str] = set()
        self.take(self.house.engine.step((), now(0)))

    def take(self, steps: tuple[AlarmTransition, ...]) -> None:
        for step in steps:
            # Silence is found one µs after its limit; the model counts whole seconds.
            self.told.append(f"{step.state} @{-(-(step.at_us - T0) // 1_000_000)}")
            assert step.onset_us <= step.at_us

    def pass_seconds(self, seconds: int, heard: float | Reason | None) -> None:
        for second in range(1, seconds + 1):
            self.model.second(self.at + second, heard if second == seconds else None)
        self.at += seconds
        readings = [] if heard is None else [self.house.reading("a.t", heard, self.at)]
        self.take(self.house.engine.step(readings, now(self.at)))

    @action(seconds=st.integers(1, 6), value=st.sampled_from([20.0, 60.0, 51.0]))
    def hears(self, seconds: int, value: float) -> None:
        self.pass_seconds(seconds, value)

    @action(seconds=st.integers(1, 20))  # longer after a restart would be our own absence
    def hears_nothing(self, seconds: int) -> None:
        self.pass_seconds(seconds, None)

    @action(seconds=st.integers(1, 3), reason=st.sampled_from([Reason.GARBLED, Reason.SILENT]))
    def hears_that_it_is_bad(self, seconds: int, reason: Reason) -> None:
        self.pass_seconds(seconds, reason)

    @action()
    def restarts(self) -> None:
        self.house.restart()

    @precondition(lambda self: self.house.engine.open_alarms())
    @action()
    def resets(self) -> None:
        (step,) = self.house.engine.open_alarms()
        allowed = self.model.state == "held" and self.model.value is not None
        try:
            self.take(self.house.engine.reset(step.alarm, "Li Lei", now(self.at)))
        except LawRefusal:
            assert not allowed
        else:
            assert allowed
            self.model.go("cleared", self.at)

    @invariant()
    def tell_the_same_story(self) -> None:
        assert self.told == self.model.steps
        open_now = [step.state.value for step in self.house.engine.open_alarms()]
        assert open_now == ([self.model.state] if self.model.state in ("pending", "raised", "held") else [])


AlarmLife.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestAlarmLife = AlarmLife.TestCase


def trace(random: Random, steps: int = 16) -> AlarmLife:
    """One random life, held against the model at each step; made by a seed, without a search for small examples."""
    life = AlarmLife()
    life.begin(random.random() < 0.5, random.choice([0, FOR]), random.choice([0, KEEP]))
    for _ in range(steps):
        draw = random.random()
        if draw < 0.5:
            life.hears(random.randint(1, 6), random.choice([20.0, 60.0, 51.0]))
        elif draw < 0.7:
            life.hears_nothing(random.randint(1, 20))
        elif draw < 0.8:
            life.hears_that_it_is_bad(random.randint(1, 3), random.choice([Reason.GARBLED, Reason.SILENT]))
        elif draw < 0.88:
            life.restarts()
        elif life.house.engine.open_alarms():
            life.resets()
        life.tell_the_same_story()
    return life


def traces(seed: int, count: int) -> dict[str, int]:
    """So many lives; how often each state was reached."""
    random = Random(seed)
    reached: dict[str, int] = {}
    for _ in range(count):
        for step in trace(random).told:
            state = step.partition(" ")[0]
            reached[state] = reached.get(state, 0) + 1
    return reached


def test_two_thousand_random_lives() -> None:
    reached = traces(1, 2_000)
    assert min(reached.get(state, 0) for state in ("pending", "raised", "held", "cleared", "inactive")) > 50, reached


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100))
def test_a_million_random_lives(seed: int) -> None:
    assert traces(1_000 + seed, 10_000)["raised"] > 5_000


RULES = [
    rule("value > 50 °C", for_="3 s", keep="4 s", unknown_after="20 s"),
    rule("rise(value, 20 s) > 8 °C || delta(value, 10 s) > 5 °C", id="t.rise", hazard="fire"),
    rule("mean(value, 20 s) > 40 °C && value > baseline(value, 1 min)", id="t.mean", clear="value < 30 °C"),
    rule("held(value > 45 °C, 5 s)", id="t.held"),
    rule("seen(zone.any(temperature > 58 °C), 15 s) && zone.count(temperature > 40 °C) >= 2", id="t.zone",
         bind="{per: zone}"),
    rule("dose(value, 20 ppm, 50 ppm, 1.35) > 30 s", id="t.dose", bind="{quantities: [co]}", hazard="co"),
    rule("age(value) > 12 s || silent(value, 17 s)", id="t.age"),
    rule("device.all(silent(point))", id="t.silent", bind="{per: device}", for_="1 s", hazard="fault"),
]
NAMES = {"a.t": TestPoint("temperature", stale_after_s=15), "b.t": TestPoint("temperature", stale_after_s=15),
         "c.co": TestPoint("co", stale_after_s=15)}
value = st.sampled_from([20.0, 35.0, 47.0, 60.0, 300.0, Reason.GARBLED, Reason.OVER_RANGE])
moments = st.lists(
    st.tuples(st.integers(1, 80), st.dictionaries(st.sampled_from(list(NAMES)), value, max_size=3),
              st.sets(st.sampled_from(list(NAMES))), st.integers(0, 30)),
    min_size=3, max_size=25)


@settings(max_examples=60)
@given(moments, st.integers(0, 24))
def test_a_restart_at_any_step_changes_nothing(story: list, cut: int) -> None:
    through, restarted, ticked = House(NAMES, *RULES), House(NAMES, *RULES), House(NAMES, *RULES)
    at = 0.0
    for number, (tenths, heard, fresh, lag) in enumerate(story):
        before, at = at, at + tenths / 4
        if number == cut or number % 5 == cut % 5:
            restarted.restart()
        readings = [through.reading(name, what, max(0.0, at - lag / 10)) for name, what in heard.items()]
        args = (readings, now(at), tuple(sorted(fresh)))
        steps = through.engine.step(*args)
        assert restarted.engine.step(*args) == steps
        assert restarted.engine.checkpoint() == through.engine.checkpoint()
        # Ticking exactly when asked gives the same steps, only sooner.
        early = []
        while not heard and (due := ticked.engine.due_us()) is not None and due < now(at).wall_us and not fresh:
            early.extend(ticked.engine.step((), now((due - T0) / 1e6)))
        assert (*early, *ticked.engine.step(*args)) == steps
        assert before <= at


@settings(max_examples=40)
@given(moments, st.randoms(use_true_random=False))
def test_the_order_of_points_in_a_batch_does_not_matter(story: list, random: object) -> None:
    one, other = House(NAMES, *RULES), House(NAMES, *RULES)
    at = 0.0
    for tenths, heard, fresh, _ in story:
        at += tenths / 4
        readings = [one.reading(name, what, at) for name, what in heard.items()]
        steps = one.engine.step(readings, now(at), sorted(fresh))
        assert other.engine.step(readings[::-1], now(at), sorted(fresh, reverse=True)) == steps
