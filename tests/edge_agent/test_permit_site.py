"""What the people on site are shown of permits, and what their presses become: the gateway's own word, in tables."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.local_permit_view import LocalPermit, PermitAsk
from device_model.clock import MINUTE_US, Now
from device_model.inventory import Inventory
from device_model.permit import (
    GAS_LEL,
    PERMIT_ON_SITE,
    GasSample,
    PermitAct,
    PermitLevel,
    PermitPlan,
    PermitPolicy,
    PermitStep,
)
from device_model.site import Text
from edge_agent.cameras_place import cameras_place
from edge_agent.events import Live
from edge_agent.permit_desk import bookkeeper
from edge_agent.permit_site import ACTS, PermitSite, percent_of
from rules_engine.permit import PermitBook, PermitRefusal
from rules_engine.rule_tests import TestPoint, synthetic_inventory

BEGIN = 1_772_499_600_000_000  # 2026-03-03 09:00 in Shanghai, a Tuesday
ZONE = ZoneInfo("Asia/Shanghai")
POINTS = {"lel.gas": TestPoint(quantity="combustible_gas"), "eye.score": TestPoint(quantity="hot_work_score"),
          "ch4.gas": TestPoint(quantity="methane"), "far.gas": TestPoint(quantity="combustible_gas", zone="z2"),
          "s.smoke": TestPoint(quantity="smoke_alarm")}


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return synthetic_inventory(POINTS)


def at(minutes: float) -> int:
    return BEGIN + round(minutes * MINUTE_US)


def live(point: str, value: object, minutes: float = 0.0, quality: str = "good") -> Live:
    return Live(point, value, quality, Now(at(minutes), 0, "b"))  # type: ignore[arg-type]


class Day:
    """A permit's day: the book as the gateway keeps it, and what is shown of it."""

    def __init__(self, inventory: Inventory, level: PermitLevel = PermitLevel.ONE) -> None:
        self.book: PermitBook = bookkeeper(inventory, ZONE)
        self.site = PermitSite(inventory, ZONE)
        plan = PermitPlan("z1", level, BEGIN, at(240), ("Wang",), "Zhao", gases=("methane",),
                          measures=PermitPolicy().measures)
        self.act("create", 0, "Chen", plan=plan)

    def act(self, act: str, minutes: float, who: str = "Li", **more: object) -> None:
        self.book.apply(PermitStep("HW-1", PermitAct(act), **more), who, "", at(minutes))  # type: ignore[arg-type]

    def sample(self, minutes: float, percent: float = 0.05) -> None:
        self.act("sample", minutes, "Qian", sample=GasSample(at(minutes), percent, "Qian", "methane"))

    def shown(self, minutes: float, *values: Live) -> LocalPermit:
        (one,) = self.site.views(self.book.permits(), values, {"z1": (Text("x", "x"),)}, at(minutes))
        return one

    def working(self) -> None:
        for act, who in (("approve", "Li"), ("countersign", "Sun"), ("watcher_on", "Zhao")):
            self.act(act, 1, who)
        self.sample(2)
        self.act("start", 3, "Wang")


def may(permit: LocalPermit) -> set[str]:
    return {act.act for act in permit.acts if not act.why_not.en}


def test_what_is_missing_step_by_step(inventory):
    day = Day(inventory)
    assert "not approved" in day.shown(0).missing[0].en and day.shown(0).missing[0].zh
    day.act("approve", 1)
    assert any("second person" in one.en for one in day.shown(1).missing)
    day.act("countersign", 1, "Sun")
    shown = day.shown(1)
    assert [one.zh for one in shown.missing] == ["监护人未到位。", "未做气体分析。"]
    assert may(shown) == {"watcher_on", "sample"}
    day.act("watcher_on", 1, "Zhao")
    day.sample(2)
    assert day.shown(3).missing == () and "start" in may(day.shown(3))
    assert "40 min old" in day.shown(42).missing[0].en and "start" not in may(day.shown(42))
    day.act("start", 3, "Wang")
    assert may(day.shown(4)) == {"sample", "suspend", "finish", "watcher_off"} and day.shown(4).missing == ()
    day.act("suspend", 10)
    assert "resume" in may(day.shown(15)) and "resume" not in may(day.shown(100))
    assert any("break" in one.en for one in day.shown(100).missing)
    day.sample(101)
    assert "resume" in may(day.shown(101))
    day.act("finish", 102)
    shown = day.shown(103)
    assert shown.fire_watch_until_us == at(162) and "close" not in may(shown)
    assert "59 min" in " ".join(one.en for one in shown.missing)
    assert "close" in may(day.shown(163))


def test_a_watcher_who_leaves_and_gas_above_the_limit_are_said_during_the_work(inventory):
    day = Day(inventory)
    day.working()
    day.act("watcher_off", 5, "Zhao")
    shown = day.shown(6, live("lel.gas", 10.5, 6), live("eye.score", 0.9, 6), live("ch4.gas", 4000.0, 6))
    said = " ".join(one.en for one in shown.missing)
    assert "watcher is not on the spot" in said and "more than the limit" in said
    assert [(one.point, one.kind, one.high) for one in shown.meters] == [
        ("lel.gas", "gas", True), ("eye.score", "camera", False), ("ch4.gas", "gas", False)]
    assert shown.said == (Text("x", "x"),) and shown.sample is not None and shown.sample.percent_lel == 1.0


@pytest.mark.parametrize(("value", "unit", "gas", "percent"), [
    (0.3, "vol", "", 0.3), (10.0, "lel", "methane", 0.5), (8.0, "lel", "acetylene", 0.2), (5000.0, "[ppm]", "", 0.5),
    (1.0, "%[LEL]", "hydrogen", 0.04), (10.0, "lel", "", None), (10.0, "lel", "steam", None), (1.0, "mg", "", None),
])
def test_samples_are_percent_by_volume(value, unit, gas, percent):
    if percent is None:
        with pytest.raises(ValueError, match=" · "):
            percent_of(value, unit, gas)
    else:
        assert percent_of(value, unit, gas) == pytest.approx(percent)


@given(st.sampled_from(sorted(GAS_LEL)))
def test_the_limit_is_the_same_in_both_units(gas):
    policy = PermitPolicy()
    limit = policy.limit_vol(gas)
    assert limit is not None and percent_of(policy.limit_lel(gas), "lel", gas) == pytest.approx(limit)


@pytest.mark.parametrize(("point", "values", "said"), [
    ("lel.gas", (live("lel.gas", 2.0, 9.5),), ""),
    ("ch4.gas", (live("ch4.gas", 1000.0, 9.5),), ""),
    ("lel.gas", (live("lel.gas", 2.0, 8.0),), "older than a minute"),
    ("lel.gas", (live("lel.gas", 2.0, 9.5, "bad"),), "no good value"),
    ("lel.gas", (live("lel.gas", 2.0, 9.5, "uncertain"),), "no good value"),
    ("lel.gas", (), "no good value"),
    ("far.gas", (live("far.gas", 0.0, 9.5),), "no gas where the work is"),
    ("s.smoke", (live("s.smoke", False, 9.5),), "no gas where the work is"),
    ("none", (), "no gas where the work is"),
])
def test_a_sample_taken_from_a_detector_is_its_own_value_and_time(inventory, point, values, said):
    day = Day(inventory)
    ask = PermitAsk("HW-1", "sample", "press-01", point=point)
    if said:
        with pytest.raises(ValueError, match=said):
            day.site.step(ask, day.book.permits(), values, "Qian", at(10))
        return
    sample = day.site.step(ask, day.book.permits(), values, "Qian", at(10)).sample
    assert sample is not None and sample.at_us == at(9.5) and (sample.analyst, sample.where) == ("Qian", point)
    assert sample.percent_vol == pytest.approx(0.1) and sample.gas == "methane"


def test_a_sample_by_hand_and_what_is_not_done_here(inventory):
    day = Day(inventory)
    ask = PermitAsk("HW-1", "sample", "press-01", value=4.0, unit="lel", gas="methane", minutes_ago=3.0, where="pit")
    step = day.site.step(ask, (), (), "Qian", at(10))
    assert step.sample == GasSample(at(7), 0.2, "Qian", "methane", "pit")
    for wrong in ({"value": None}, {"minutes_ago": -1.0}, {"act": "approve"}, {"act": "create"}, {"act": "none"}):
        with pytest.raises(ValueError, match=" · "):
            day.site.step(msgspec.structs.replace(ask, **wrong), (), (), "Qian", at(10))
    assert {act.value for act in PERMIT_ON_SITE} <= ACTS, "what is done on site only can be done on the page"


@given(st.lists(
    st.tuples(st.sampled_from([*sorted(ACTS), "approve", "countersign"]), st.integers(0, 20)), max_size=14))
def test_what_the_page_offers_the_gateway_takes_and_what_it_withholds_the_gateway_refuses(steps):
    day = Day(synthetic_inventory(POINTS))
    minutes = 1.0
    for act, later in steps:
        minutes += later
        before = {one.act: one.why_not for one in day.shown(minutes).acts}
        try:
            if act == "sample":
                day.sample(minutes)
            else:
                day.act(act, minutes, "Zhao" if act != "countersign" else "Sun")
            done = True
        except PermitRefusal:
            done = False
        if act in ACTS and act not in ("watcher_on", "watcher_off"):
            assert done == (act in before and not before[act].en), (act, before)


@pytest.mark.parametrize(("text", "who", "found"), [
    ("page: {port: 9000, people: {Li Wei: property}}", "Li Wei", (9000, False)),
    ("page: {certificate_file: c.pem, people: {Li Wei: property}}", "Li Wei", (8444, True)),
    ("page: {people: {Li Wei: property}}", "Zhao Min", None), ("page: {people: {Li Wei: resident}}", "Li Wei", None),
    ("page: {people: {Li Wei: property}}", "", None), ("page: [", "Li Wei", None), ("page: 3", "Li Wei", None),
    ("[]", "Li Wei", None), ("page: {port: x, people: {Li Wei: property}}", "Li Wei", (8444, False)),
])
def test_where_the_cameras_page_is(tmp_path, text, who, found):
    file = tmp_path / "vision.yaml"
    file.write_text(text, encoding="utf-8")
    place = cameras_place(file, who)
    assert (None if place is None else (place.port, place.secure)) == found
    assert cameras_place(tmp_path / "none.yaml", who) is None
