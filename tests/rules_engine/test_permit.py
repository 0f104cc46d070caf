"""Permits for hot work: the life, the gas rules, the calendar, tables and a stateful model; smoke's audience."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from device_model.alarm import AlarmState
from device_model.clock import Now
from device_model.errors import ConfigError
from device_model.permit import (
    GAS_LEL,
    PERMIT_ENDED,
    GasSample,
    Permit,
    PermitAct,
    PermitLevel,
    PermitPlan,
    PermitPolicy,
    PermitState,
    PermitStep,
)
from device_model.site import GatewaySettings, Site, Tenancy, Text, Zone
from rules_engine import Engine
from rules_engine.permit import ALLOWED, PermitBook, PermitRefusal
from rules_engine.permit_names import PERMIT_DEFAULTS
from rules_engine.permit_watch import PermitWatch, facts_of, shields_of
from rules_engine.rule_tests import TestPoint
from tests.rules_engine.rule_house import House, now, rule_set
from tests.rules_engine.rule_house import rule as rule_text

ZONE = ZoneInfo("Asia/Shanghai")
MIN = 60_000_000
HOUR = 60 * MIN
ALL = PermitPolicy().measures


def at(text: str) -> int:
    """Local time of the site as µs."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()) * 1_000_000


START = at("2026-03-03T09:00")  # a Tuesday


def site(*zones: tuple[str, str]) -> Site:
    found = zones or (("works", "plant"), ("hall", "mall"))
    return Site(Tenancy("c", "d", "s", "x"), Text("x", "场所"), GatewaySettings("g"), (),
                tuple(Zone(name, Text(name, name), "b", "f", kind) for name, kind in found), (), ())


def book(policy: PermitPolicy | None = None, *, detector: bool = True) -> PermitBook:
    return PermitBook(site(), policy or PermitPolicy(), ZONE, lambda zone: detector)


def plan(level: PermitLevel = PermitLevel.TWO, starts: int = START, hours: float = 4, **more: object) -> PermitPlan:
    return msgspec.structs.replace(
        PermitPlan("works", level, starts, starts + round(hours * HOUR), ("Wang",), "Zhao", gases=("methane",),
                   measures=ALL), **more)


def do(b: PermitBook, act: str, who: str = "Li", when: int = START, **more: object) -> Permit:
    return b.apply(PermitStep("P1", PermitAct(act), **more), who, "", when)  # type: ignore[arg-type]


def ready(b: PermitBook, level: PermitLevel = PermitLevel.TWO, when: int = START, **more: object) -> Permit:
    do(b, "create", "Chen", when, plan=plan(level, **more))
    permit = do(b, "approve", "Li", when)
    return permit if permit.state is PermitState.READY else do(b, "countersign", "Sun", when)


def sampled(b: PermitBook, when: int, percent: float = 0.1, gas: str = "methane") -> Permit:
    return do(b, "sample", "Qian", when, sample=GasSample(when, percent, "Qian", gas))


def working(b: PermitBook, level: PermitLevel = PermitLevel.TWO, when: int = START) -> Permit:
    ready(b, level, when)
    sampled(b, when)
    do(b, "watcher_on", "Zhao", when)
    return do(b, "start", "Wang", when)


# --- the life -----------------------------------------------------------------------------------------------------


def test_a_whole_life() -> None:
    b = book()
    assert working(b, PermitLevel.ONE).state is PermitState.WORKING
    assert do(b, "suspend", when=START + HOUR).state is PermitState.SUSPENDED
    assert do(b, "resume", when=START + HOUR + 20 * MIN).state is PermitState.WORKING
    done = do(b, "finish", when=START + 2 * HOUR)
    assert (done.state, done.fire_watch_until_us) == (PermitState.FIRE_WATCH, START + 3 * HOUR)
    with pytest.raises(PermitRefusal, match="30 min more"):
        do(b, "close", when=START + 2 * HOUR + 30 * MIN)
    closed = do(b, "close", when=START + 3 * HOUR)
    assert closed.state is PermitState.CLOSED
    assert [sign.act for sign in closed.story] == [
        "create", "approve", "countersign", "sample", "watcher_on", "start", "suspend", "resume", "finish", "close"]
    assert all(sign.who for sign in closed.story)


@pytest.mark.parametrize("state", list(PermitState))
@pytest.mark.parametrize("act", [act for act in PermitAct if act is not PermitAct.CREATE])
def test_an_act_is_possible_only_where_the_table_says(state: PermitState, act: PermitAct) -> None:
    b = book()
    b.resume([msgspec.structs.replace(Permit("P1", plan(), "Chen"), state=state)])
    if state in ALLOWED[act]:
        return
    with pytest.raises(PermitRefusal, match=f"the permit is {state.value}") as refusal:
        do(b, act.value)
    assert refusal.value.text.zh


@pytest.mark.parametrize(("level", "hours", "fits"), [
    (PermitLevel.SPECIAL, 8, True), (PermitLevel.SPECIAL, 8.1, False), (PermitLevel.ONE, 8, True),
    (PermitLevel.ONE, 9, False), (PermitLevel.TWO, 12, True), (PermitLevel.TWO, 73, False)])
def test_how_long_a_permit_may_be(level: PermitLevel, hours: float, fits: bool) -> None:
    b = book(PermitPolicy(off_hours_raise=False))
    if fits:
        assert do(b, "create", plan=plan(level, hours=hours)).state is PermitState.DRAFT
    else:
        with pytest.raises(PermitRefusal, match="at most"):
            do(b, "create", plan=plan(level, hours=hours))


@pytest.mark.parametrize(("starts", "refused"), [
    ("2026-03-03T09:00", False), ("2026-03-03T23:00", True), ("2026-03-03T19:00", True), ("2026-03-07T09:00", True),
    ("2026-03-04T09:00", True)])
def test_nights_weekends_and_holidays_need_one_level_more(starts: str, refused: bool) -> None:
    b = book(PermitPolicy(holidays=("2026-03-04",)))
    if refused:
        with pytest.raises(PermitRefusal, match="level one"):
            do(b, "create", when=at(starts), plan=plan(starts=at(starts)))
    do(b, "create", when=at(starts), plan=plan(PermitLevel.ONE if refused else PermitLevel.TWO, starts=at(starts)))


def test_a_crowded_place_is_refused_while_it_is_open() -> None:
    b = book(PermitPolicy(open_hours={"mall": "10:00-22:00"}))
    with pytest.raises(PermitRefusal, match="open to the public"):
        do(b, "create", plan=plan(zone="hall"))
    do(b, "create", when=at("2026-03-03T06:00"), plan=plan(zone="hall", starts=at("2026-03-03T06:00"), hours=4))
    with pytest.raises(PermitRefusal, match="open to the public"):  # without hours it counts as always open
        book().apply(PermitStep("P9", PermitAct.CREATE, plan(zone="hall")), "Chen", "", START)


def test_who_may_do_what() -> None:
    b = book()
    with pytest.raises(PermitRefusal, match="cannot watch"):
        do(b, "create", "Chen", plan=plan(watcher="Wang"))
    do(b, "create", "Chen", plan=plan(PermitLevel.ONE))
    for who in ("Chen", "Wang", "Zhao"):
        with pytest.raises(PermitRefusal, match="cannot approve"):
            do(b, "approve", who)
    do(b, "approve", "Li")
    with pytest.raises(PermitRefusal, match="second person"):
        do(b, "countersign", "Li")
    with pytest.raises(PermitRefusal, match="nobody"):
        do(b, "countersign", " ")
    with pytest.raises(PermitRefusal, match="cannot watch"):
        do(b, "watcher_on", "Wang")


def test_measures_are_confirmed_before_approval() -> None:
    b = book()
    do(b, "create", "Chen", plan=plan(measures=ALL[1:]))
    with pytest.raises(PermitRefusal, match="combustibles_cleared"):
        do(b, "approve")


def test_special_work_needs_a_detector() -> None:
    with pytest.raises(PermitRefusal, match="continuous"):
        do(book(detector=False), "create", plan=plan(PermitLevel.SPECIAL))


# --- gas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gas", "vol", "lel"), [
    ("methane", 0.5, 10.0), ("propane", 0.2, 9.5), ("acetylene", 0.2, 8.0), ("ethylene", 0.2, 7.4),
    ("ethanol", 0.2, 6.1), ("hydrogen", 0.5, 12.5)])
def test_limits_of_gases(gas: str, vol: float, lel: float) -> None:
    assert PermitPolicy().limit_vol(gas) == vol
    assert PermitPolicy().limit_lel(gas) == pytest.approx(lel, abs=0.06)  # the figures of hot_work.md section 3


def test_an_unknown_gas_has_the_lower_limit() -> None:
    assert PermitPolicy().limit_lel("phlogiston") == 5.0
    b = book()
    ready(b)
    sampled(b, START, 0.3, "phlogiston")
    do(b, "watcher_on", "Zhao")
    with pytest.raises(PermitRefusal, match=r"above the limit of 0\.2"):
        do(b, "start", "Wang")


@pytest.mark.parametrize(("minutes", "percent", "what"), [
    (30, 0.5, ""), (31, 0.5, "31 min old"), (5, 0.51, "above the limit"), (None, 0.0, "no gas sample")])
def test_the_sample_before_the_start(minutes: int | None, percent: float, what: str) -> None:
    b = book()
    ready(b)
    if minutes is not None:
        sampled(b, START, percent)
    do(b, "watcher_on", "Zhao")
    when = START + (minutes or 0) * MIN
    if what:
        with pytest.raises(PermitRefusal, match=what):
            do(b, "start", "Wang", when)
    else:
        assert do(b, "start", "Wang", when).state is PermitState.WORKING


@pytest.mark.parametrize(("level", "minutes", "again"), [
    (PermitLevel.SPECIAL, 30, False), (PermitLevel.SPECIAL, 31, True), (PermitLevel.ONE, 31, True),
    (PermitLevel.TWO, 60, False), (PermitLevel.TWO, 61, True)])
def test_a_break_that_is_too_long_needs_a_new_sample(level: PermitLevel, minutes: int, again: bool) -> None:
    b = book()
    working(b, level)
    do(b, "suspend", when=START + HOUR)
    when = START + HOUR + minutes * MIN
    if again:
        with pytest.raises(PermitRefusal, match="after so long a break"):
            do(b, "resume", when=when)
        sampled(b, when)
    assert do(b, "resume", when=when).state is PermitState.WORKING


def test_a_bad_sample_during_the_work_stops_it() -> None:
    b = book()
    working(b)
    assert sampled(b, START + HOUR, 0.6).state is PermitState.SUSPENDED
    with pytest.raises(PermitRefusal, match="above the limit"):
        do(b, "resume", when=START + HOUR)
    sampled(b, START + HOUR + MIN, 0.1)
    assert do(b, "resume", when=START + HOUR + MIN).state is PermitState.WORKING


def test_nothing_starts_without_the_watcher_or_before_its_time() -> None:
    b = book()
    ready(b, starts=START + HOUR)
    sampled(b, START)
    with pytest.raises(PermitRefusal, match="time has not come"):
        do(b, "start")
    sampled(b, START + HOUR)
    with pytest.raises(PermitRefusal, match="watcher"):
        do(b, "start", when=START + HOUR)


# --- time ---------------------------------------------------------------------------------------------------------


def test_time_ends_everything() -> None:
    b = book()
    working(b)
    ends = START + 4 * HOUR
    assert b.due_us() == ends
    assert b.tick(ends - 1) == ()
    (over,) = b.tick(ends)
    assert (over.state, over.over_time) == (PermitState.FIRE_WATCH, True)
    with pytest.raises(PermitRefusal):
        do(b, "resume", when=ends)
    never = book()
    ready(never)
    assert never.tick(ends)[0].state is PermitState.EXPIRED
    assert never.due_us() is None


# --- a model of it ------------------------------------------------------------------------------------------------


class PermitLife(RuleBasedStateMachine):
    """Any acts of anybody at any time. What must hold is said without the code's own words."""

    @initialize(level=st.sampled_from(list(PermitLevel)))
    def begin(self, level: PermitLevel) -> None:
        self.book, self.level, self.time = book(PermitPolicy(off_hours_raise=False)), level, START
        self.clean_at = self.clean_until = -1
        self.rested_at: int | None = None
        self.signs: set[str] = set()
        do(self.book, "create", "Chen", plan=plan(level, hours=6))

    @property
    def permit(self) -> Permit:
        return self.book.permits()[0]

    @rule(minutes=st.integers(1, 100))
    def wait(self, minutes: int) -> None:
        self.time += minutes * MIN
        self.book.tick(self.time)

    @rule(act=st.sampled_from(["approve", "countersign", "suspend", "finish", "close", "cancel", "watcher_on",
                               "watcher_off"]), who=st.sampled_from(["Li", "Sun", "Zhao", "Wang", "Chen"]))
    def act(self, act: str, who: str) -> None:
        before = self.permit.state
        try:
            do(self.book, act, who, self.time)
        except PermitRefusal:
            assert self.permit.state in (before, PermitState.FIRE_WATCH, PermitState.EXPIRED)
            return
        if act in ("approve", "countersign"):
            assert who in ("Li", "Sun")
            self.signs.add(who)
        if act == "suspend":
            self.rested_at = self.time

    @rule(percent=st.sampled_from([0.0, 0.5, 0.6]))
    def sample(self, percent: float) -> None:
        try:
            sampled(self.book, self.time, percent)
        except PermitRefusal:
            return
        self.clean_at = self.time if percent <= 0.5 else -1
        if percent > 0.5:
            assert self.permit.state is not PermitState.WORKING
            if self.permit.suspended_us == self.time:
                self.rested_at = self.time

    @rule(act=st.sampled_from(["start", "resume"]))
    def go(self, act: str) -> None:
        watched = self.permit.watched
        try:
            do(self.book, act, "Wang", self.time)
        except PermitRefusal:
            return
        assert watched and START <= self.time < START + 6 * HOUR
        assert len(self.signs) >= (1 if self.level is PermitLevel.TWO else 2)
        assert self.clean_at >= 0
        if act == "start":
            assert self.time - self.clean_at <= 30 * MIN
        else:
            assert self.rested_at is not None
            rest = self.time - self.rested_at
            if rest > (60 if self.level is PermitLevel.TWO else 30) * MIN:
                assert self.clean_at >= self.rested_at and self.time - self.clean_at <= 30 * MIN

    @precondition(lambda self: hasattr(self, "book"))
    @invariant()
    def holds(self) -> None:
        permit = self.permit
        if self.time >= START + 6 * HOUR:
            assert permit.state is PermitState.FIRE_WATCH or permit.state in PERMIT_ENDED
        assert bool(shields_of([permit], self.time)) == (permit.state is PermitState.WORKING and permit.watched)
        again = book()
        again.resume(msgspec.json.decode(msgspec.json.encode(self.book.permits()), type=tuple[Permit, ...]))
        assert again.permits() == self.book.permits()


TestPermitLife = PermitLife.TestCase
TestPermitLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.integers(-2**63, 2**63 - 1), st.integers(-2**63, 2**63 - 1), st.text(max_size=3000), st.floats())
@settings(deadline=None)
def test_whatever_is_sent_is_done_or_refused(starts: int, ends: int, words: str, percent: float) -> None:
    b = book()
    for step in (PermitStep("P1", PermitAct.CREATE, plan(starts_us=starts, ends_us=ends, work=words)),
                 PermitStep(words, PermitAct.CREATE, plan(workers=(words,) * 9)),
                 PermitStep("P1", PermitAct.SAMPLE, sample=GasSample(starts, percent, words, words))):
        try:
            b.apply(step, words or "Li", words, START)
        except PermitRefusal as refusal:
            assert refusal.text.zh and refusal.text.en
    assert len(msgspec.json.encode(b.permits())) < 20_000


# --- what it means to rules and to people ---------------------------------------------------------------------------


def test_facts_without_a_permit_are_the_defaults() -> None:
    assert facts_of("works", [], PermitPolicy(), START) == PERMIT_DEFAULTS
    watch = PermitWatch(("works",))
    assert watch.readings([], PermitPolicy(), Now(START, 1, "b")) == ()


def test_a_clock_that_went_back_shields_nothing() -> None:
    b = book()
    working(b)
    assert shields_of(b.permits(), START + MIN) == {"works": "permit:P1"}
    assert shields_of(b.permits(), START - 2 * MIN) == {}
    late = msgspec.structs.replace(b.permits()[0], plan=plan(starts=START - HOUR, hours=8))
    assert shields_of([late], START - 2 * MIN) == {}


def test_few_permits_that_are_over_are_kept() -> None:
    b = book()
    for number in range(30):
        name = f"P{number}"
        b.apply(PermitStep(name, PermitAct.CREATE, plan()), "Chen", "", START)
        b.apply(PermitStep(name, PermitAct.CANCEL), "Chen", "", START)
    assert [permit.id for permit in b.permits()] == [f"P{number}" for number in range(20, 30)]
    for number in range(50):
        b.apply(PermitStep(f"Q{number}", PermitAct.CREATE, plan()), "Chen", "", START)
    with pytest.raises(PermitRefusal, match="too many"):
        b.apply(PermitStep("Q50", PermitAct.CREATE, plan()), "Chen", "", START)


def test_after_forgetting_all_is_said_again() -> None:
    watch = PermitWatch(("works",))
    assert watch.readings([], PermitPolicy(), Now(START, 1, "b")) == ()
    watch.forget()
    assert len(watch.readings([], PermitPolicy(), Now(START, 1, "b"))) == 2 * len(PERMIT_DEFAULTS)
    assert watch.readings([], PermitPolicy(), Now(START, 2, "b")) == ()


def test_facts_of_a_working_permit() -> None:
    b = book()
    working(b, PermitLevel.SPECIAL)
    here = facts_of("works", b.permits(), b.policy, START)
    assert all(here[name] for name in ("here", "working", "watched", "continuous", "in_time"))
    assert here["gas_limit"] == 10.0
    other = facts_of("hall", b.permits(), b.policy, START)
    assert other["elsewhere"] and not other["here"] and not other["working"]
    b.tick(START + 4 * HOUR)
    after = facts_of("works", b.permits(), b.policy, START + 4 * HOUR)
    assert after["over_time"] and after["fire_watch"] and not after["working"]


def test_every_gas_with_a_limit_is_plausible() -> None:
    assert all(0 < PermitPolicy().limit_lel(gas) < 20 for gas in GAS_LEL)


def smoke_house() -> House:
    points = {
        "s.smoke": TestPoint(quantity="smoke_alarm", zone="works"),
        "s.heat": TestPoint(quantity="heat_alarm", zone="works"),
        "c.pressed": TestPoint(quantity="call_point", zone="works"),
        "g.co": TestPoint(quantity="co_alarm", zone="works"),
        "far.smoke": TestPoint(quantity="smoke_alarm", zone="hall"),
    }
    life = {"unknown_after": "10 min"}
    return House(points, *[
        rule_text("value", id=f"t.{quantity}", bind=f"{{quantities: [{quantity}]}}", hazard=hazard, **life)
        for quantity, hazard in (("smoke_alarm", "fire"), ("heat_alarm", "fire"), ("call_point", "call_point"),
                                 ("co_alarm", "co"))])


def test_only_smoke_of_the_zone_goes_to_the_people_of_the_permit() -> None:
    house = smoke_house()
    house.engine.shield({"works": "permit:P1"}, now(0))
    house.engine.step([house.reading(point, True, 1) for point in house.inventory.points], now(1))
    told = {step.points[0]: step.audience for step in house.engine.open_alarms()}
    assert told == {"s.smoke": "permit:P1", "s.heat": "", "c.pressed": "", "g.co": "", "far.smoke": ""}


def test_it_ends_with_the_work_and_what_stands_is_told_anew() -> None:
    house = smoke_house()
    house.engine.shield({"works": "permit:P1"}, now(0))
    house.engine.step([house.reading("s.smoke", True, 1)], now(1))
    house.restart()
    steps = house.engine.shield({}, now(5))
    assert [(step.state, step.previous, step.audience) for step in steps] == [
        (AlarmState.RAISED, AlarmState.RAISED, "")]
    assert house.engine.shield({}, now(6)) == ()


@pytest.mark.parametrize("runs", ["cloud", "both"])
def test_a_rule_on_permits_runs_at_the_gateway(runs: str) -> None:
    with pytest.raises(ConfigError, match="known at the gateway only"):
        rule_set(rule_text("value && !permit.working", bind="{quantities: [contact]}", runs=runs))


def test_facts_reach_rules_as_readings_and_survive_a_restart() -> None:
    house = House({"cam.s": TestPoint(quantity="hot_work_score", zone="works")},
                  rule_text("value > 0.5 && !permit.working", bind="{quantities: [hot_work_score]}"))
    engine: Engine = house.engine
    b = book()
    working(b)
    watch = PermitWatch(("works",))
    engine.step(watch.readings(b.permits(), b.policy, Now(now(0).wall_us, 0, "b")), now(0))
    engine.step([house.reading("cam.s", 0.9, 1)], now(1))
    assert not house.engine.open_alarms()
    house.restart()
    house.engine.step([house.reading("cam.s", 0.8, 2)], now(2))
    assert not house.engine.open_alarms()
    b.apply(PermitStep("P1", PermitAct.FINISH), "Wang", "", START + HOUR)
    house.engine.step(watch.readings(b.permits(), b.policy, now(3)), now(3))
    assert len(house.engine.open_alarms()) == 1
    assert house.engine.open_alarms()[0].points == ("cam.s",)
