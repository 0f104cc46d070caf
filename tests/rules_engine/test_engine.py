"""The engine: event time, lateness, silence, laws of safety, checkpoints, a bad rule among good ones."""

from __future__ import annotations

import msgspec
import pytest

from device_model.alarm import alarm_id
from device_model.errors import LawRefusal
from device_model.profile import Certainty, DeviceClass
from device_model.reading import Reason
from rules_engine.rule_tests import TestPoint
from tests.rules_engine.rule_house import T0, House, now, rule, told

HOT = {"a.t": "temperature", "b.t": "temperature"}


def test_for_and_keep_run_in_event_time_though_the_tick_comes_late() -> None:
    house = House(HOT, rule("value > 50 °C", for_="10 s", keep="30 s"))
    assert house.say(1, a__t=60.0) == ["t.rule a.t pending @1"]
    assert house.engine.due_us() == T0 + 11_000_000
    house.engine.step((), now(1), ("a.t",))
    assert told(house.engine.step((), now(47.25), ("a.t",))) == ["t.rule a.t raised @11"]
    assert house.say(50, a__t=40.0) == ["t.rule a.t held @50"]
    assert house.say(70, a__t=60.0) == ["t.rule a.t raised @70"]  # the same alarm, not a new one
    assert house.say(80, a__t=40.0) == ["t.rule a.t held @80"]
    assert house.say(200, b__t=0.0) == ["t.rule a.t cleared @110"]
    assert house.engine.open_alarms() == ()


def test_what_ends_before_its_time_is_over_was_nothing() -> None:
    house = House(HOT, rule("value > 50 °C", for_="10 s"))
    assert house.say(1, a__t=60.0) == ["t.rule a.t pending @1"]
    assert house.say(10.9, a__t=40.0) == ["t.rule a.t inactive @10.9"]
    assert house.say(60, a__t=40.0) == []


def test_pending_goes_on_when_the_point_becomes_unknown() -> None:
    house = House(HOT, rule("value > 50 °C", for_="10 s"))
    house.say(1, a__t=60.0)
    assert house.say(5, a__t=Reason.GARBLED) == []
    assert house.say(12, b__t=0.0) == ["t.rule a.t raised @11"]
    assert house.say(100, a__t=Reason.SILENT) == []  # raised stays raised (law 3)


def test_the_id_comes_from_site_rule_subject_and_onset() -> None:
    house = House(HOT, rule("value > 50 °C"))
    (step,) = house.engine.step([house.reading("a.t", 60.0, 1.5)], now(3))
    assert step.onset_us == step.at_us == T0 + 1_500_000
    assert step.alarm == alarm_id("city/district/street/site", step.key, T0 + 1_500_000)
    assert step.detail == "temperature 60 °C > 50 °C"
    assert (step.zone, step.device, step.points, step.decided) == ("z1", "a", ("a.t",), "edge")


def test_clear_makes_hysteresis() -> None:
    house = House(HOT, rule("value > 50 °C", clear="value < 40 °C"))
    assert house.say(1, a__t=51.0) == ["t.rule a.t raised @1"]
    assert house.say(2, a__t=45.0) == []
    assert house.say(3, a__t=39.0) == ["t.rule a.t cleared @3"]
    assert house.say(4, a__t=45.0) == []


def test_readings_of_one_batch_are_judged_in_their_own_order_and_the_newest_wins() -> None:
    house = House(HOT, rule("value > 50 °C", keep="1 s"))
    batch = [house.reading("a.t", 40.0, 3), house.reading("a.t", 60.0, 2), house.reading("a.t", 40.0, 1)]
    assert told(house.engine.step(batch, now(4))) == ["t.rule a.t raised @2", "t.rule a.t held @3",
                                                      "t.rule a.t cleared @4"]
    old = house.reading("a.t", 99.0, 2.5)
    assert told(house.engine.step([old], now(5))) == []
    assert house.engine.counts["out_of_order"] == 1


def test_points_of_one_instant_are_judged_together() -> None:
    house = House({"a.s": "smoke_alarm", "b.s": "smoke_alarm"},
                  rule("zone.count(smoke_alarm) == 1", bind="{per: zone}"))
    assert house.say(1, a__s=True, b__s=True) == []  # never seen as one


def test_late_readings_are_findings_not_live_alarms() -> None:
    house = House(HOT, rule("value > 50 °C", for_="2 s"), lateness_s=10)
    house.say(100, a__t=20.0)
    late = [house.reading("a.t", 60.0, 50), house.reading("a.t", 60.0, 55), house.reading("a.t", 20.0, 60)]
    assert told(house.engine.step(late, now(101))) == ["t.rule a.t raised late @52"]
    assert house.engine.open_alarms() == () and house.engine.counts["late"] == 3
    house.restart()
    assert told(house.engine.step(late, now(102))) == []  # told once
    nearly = house.reading("a.t", 60.0, 100.5)
    assert told(house.engine.step([nearly], now(110))) == ["t.rule a.t pending @100.5", "t.rule a.t raised @102.5"]


def test_a_point_without_a_fresh_value_is_unknown_and_freshness_brings_it_back() -> None:
    house = House({"a.t": TestPoint("temperature", stale_after_s=30)},
                  rule("value < 50 °C", id="t.cold", keep="5 s"), rule("silent(value)", id="t.silent"))
    assert house.say(0, a__t=20.0) == ["t.cold a.t raised @0"]
    for second in range(10, 60, 10):
        assert told(house.engine.step((), now(second), ("a.t",))) == []
    assert told(house.engine.step((), now(100))) == ["t.silent a.t raised @80"]
    assert told(house.engine.step((), now(120), ("a.t",))) == ["t.silent a.t cleared @120"]


def test_unknown_past_its_limit_is_itself_an_alarm_of_hazard_fault() -> None:
    house = House({"a.t": TestPoint("temperature", stale_after_s=30)}, rule("value > 50 °C", unknown_after="5 min"))
    house.say(0, a__t=20.0)
    steps = house.engine.step((), now(1000))
    assert told(steps) == ["t.rule.unknown a.t raised @330"] and steps[0].hazard == "fault"
    assert house.rules.rules["t.rule.unknown"].title.zh
    assert house.say(1001, a__t=20.0) == ["t.rule.unknown a.t cleared @1001"]


@pytest.mark.parametrize("hazard", ["fire", "call_point", "gas_high", "co"])
def test_life_safety_latches_whatever_the_rule_says(hazard: str) -> None:
    house = House(HOT, rule("value > 50 °C", hazard=hazard, keep="1 s"))
    house.say(1, a__t=60.0)
    assert house.say(2, a__t=20.0) == ["t.rule a.t held @2"]
    assert house.say(30, fresh=("a.t",), b__t=20.0) == []
    # Silent while held: nobody knows, so it is raised again, and a reset is refused (law 3).
    assert house.say(1000, b__t=20.0) == ["t.rule a.t raised @90"]
    (step,) = house.engine.open_alarms()
    with pytest.raises(LawRefusal):
        house.engine.reset(step.alarm, "Li Lei", now(1000))


def test_reset_is_refused_while_in_alarm_bad_or_silent_and_without_a_name() -> None:
    house = House(HOT, rule("value > 50 °C", hazard="fire"))
    house.say(1, a__t=60.0)
    alarm = house.engine.open_alarms()[0].alarm
    for value, who in ((60.0, "Li Lei"), (Reason.SILENT, "Li Lei"), (20.0, " ")):
        house.say(2, a__t=value)
        with pytest.raises(LawRefusal) as caught:
            house.engine.reset(alarm, who, now(3))
        assert caught.value.law == 3
    (step,) = house.engine.reset(alarm, "Li Lei", now(4))
    assert step.state == "cleared" and "Li Lei" in step.detail and step.at_us == T0 + 4_000_000
    assert house.engine.reset(alarm, "Li Lei", now(5)) == () and house.engine.open_alarms() == ()
    assert house.say(6, a__t=60.0) == ["t.rule a.t raised @6"]


def test_isolation_raises_nothing_new_keeps_what_is_raised_and_ends_by_itself() -> None:
    house = House(HOT, rule("value > 50 °C", hazard="fire"), rule("zone.any(temperature > 50 °C)", id="t.zone",
                                                                  bind="{per: zone}"),
                  rule("value > 50 °C", id="t.fault", hazard="fault"))
    house.say(1, a__t=20.0, b__t=60.0)
    assert house.engine.isolate("a", now(100).wall_us) == ()
    assert house.say(10, a__t=60.0) == ["t.fault a.t raised @10"]
    house.restart()
    assert told(house.engine.step((), now(99), ("a.t", "b.t"))) == []
    assert told(house.engine.step((), now(101), ("a.t", "b.t"))) == ["t.rule a.t raised @100"]
    house.engine.isolate("b", now(500).wall_us)
    assert "t.rule b.t" in {f"{s.key.rule} {s.key.subject}" for s in house.engine.open_alarms()}
    assert told(house.engine.restore_device("b")) == []


def test_a_test_is_marked_ends_by_itself_and_never_covers_others() -> None:
    points = {"a.s": TestPoint("smoke_alarm", DeviceClass.SMOKE), "b.s": TestPoint("smoke_alarm", DeviceClass.SMOKE),
              "c.p": TestPoint("call_point", DeviceClass.CALL_POINT)}
    house = House(points, rule("value", bind="{quantities: [smoke_alarm]}", hazard="fire"),
                  rule("zone.any(smoke_alarm)", id="t.zone", bind="{per: zone}", hazard="fire"),
                  rule("value", id="t.call", bind="{quantities: [call_point]}", hazard="call_point"))
    house.say(0, a__s=False, b__s=False, c__p=False)
    house.engine.test_mode("a", now(1000).wall_us)
    assert house.say(1, a__s=True) == ["t.rule a.s raised test @1", "t.zone zone:z1 raised test @1"]
    assert house.say(2, b__s=True, c__p=True) == ["t.rule b.s raised @2", "t.call c.p raised @2"]
    house.restart()
    fresh = ("a.s", "b.s", "c.p")
    for second in range(30, 1000, 30):
        house.engine.step((), now(second), fresh)
    assert told(house.engine.step((), now(1001), fresh)) == ["t.rule a.s raised @1000", "t.zone zone:z1 raised @1000"]
    for device, until in (("c", 1100), ("a", 1000 + 7200)):
        with pytest.raises(LawRefusal) as caught:
            house.engine.test_mode(device, now(until).wall_us)
        assert caught.value.law == 6


def test_what_ended_before_the_test_did_is_done_with() -> None:
    house = House({"a.s": "smoke_alarm"}, rule("value", bind="{quantities: [smoke_alarm]}", hazard="fire"))
    house.say(0, a__s=False)
    house.engine.test_mode("a", now(100).wall_us)
    house.say(1, a__s=True)
    house.say(50, a__s=False)
    assert told(house.engine.step((), now(101), ("a.s",))) == ["t.rule a.s cleared test @100"]


def test_unchecked_profiles_are_refused_for_life_safety_and_it_is_said() -> None:
    house = House({"a.s": TestPoint("smoke_alarm", certainty=Certainty.C)},
                  rule("value", bind="{quantities: [smoke_alarm]}", hazard="fire"))
    assert house.say(1, a__s=True) == ["t.rule.refused a.s raised @1"]
    assert house.say(2, a__s=True) == []


def test_one_bad_rule_is_a_fault_and_the_others_go_on() -> None:
    house = House(HOT, rule("value > 50 °C", id="t.bad"), rule("value > 50 °C", id="t.good"))
    bad = next(watch for watch in house.engine._watches if watch.key.rule == "t.bad" and watch.device == "a")
    whole = bad.when

    def broken(at: int) -> bool:
        raise OverflowError("too much")
    bad.when = broken
    assert house.say(1, a__t=60.0) == ["t.bad.broken a.t raised @1", "t.good a.t raised @1"]
    bad.when = whole
    assert house.say(2, a__t=61.0) == ["t.bad.broken a.t cleared @2", "t.bad a.t raised @2"]


def test_each_end_decides_its_own_rules() -> None:
    rules = [rule("value > 50 °C", id=f"t.{runs}", runs=runs) for runs in ("edge", "cloud", "both")]
    for decides, wanted in (("edge", {"t.edge", "t.both"}), ("cloud", {"t.cloud", "t.both"})):
        house = House(HOT, *rules, decides=decides)
        steps = house.engine.step([house.reading("a.t", 60.0, 1)], now(1))
        assert {step.key.rule for step in steps} == wanted and {step.decided for step in steps} == {decides}


def test_a_step_of_the_wall_clock_neither_fires_nor_loses_timers() -> None:
    for offset in (3600.0, -3600.0):
        house = House(HOT, rule("value > 50 °C", for_="10 s"))
        house.say(1, a__t=60.0, b__t=20.0)
        stepped = now(5, wall_offset_s=offset)
        assert told(house.engine.step((), stepped, ("a.t", "b.t"))) == []
        due = house.engine.due_us()
        assert due == T0 + 11_000_000 + round(offset * 1e6)
        steps = house.engine.step((), now(11.5, wall_offset_s=offset), ("a.t", "b.t"))
        assert [step.at_us for step in steps] == [due]
        # A reading from before the step is judged by monotonic time, not thrown away as an hour late.
        old = house.reading("b.t", 60.0, 4.5)
        assert len(house.engine.step([old], now(12, wall_offset_s=offset))) == 1


def test_a_restart_without_a_battery_clock_still_takes_readings() -> None:
    house = House(HOT, rule("value > 50 °C"))
    house.say(1000, a__t=20.0)
    house.restart()
    reading = house.reading("a.t", 60.0, 1, boot="next")
    assert told(house.engine.step([reading], now(1, boot="next"))) == ["t.rule a.t raised @1"]


def test_our_own_absence_is_not_held_against_the_devices() -> None:
    house = House(HOT, rule("silent(value)", id="t.silent"), rule("value > 50 °C", for_="10 s"))
    house.say(0, a__t=60.0, b__t=20.0)
    house.engine.step((), now(5), ("a.t", "b.t"))
    house.restart()
    assert told(house.engine.step((), now(600))) == ["t.rule a.t raised @10"]  # its timer ran on, though
    assert told(house.engine.step((), now(650), ("a.t",))) == []
    assert told(house.engine.step((), now(700), ("a.t",))) == ["t.silent b.t raised @660"]


def test_sequence_lasting_and_time_of_day() -> None:
    house = House({"a.s": "smoke_alarm", "b.t": "temperature"},
                  rule("seen(zone.any(smoke_alarm), 2 min) && zone.any(temperature > 50 °C)", id="t.after",
                       bind="{per: zone}"),
                  rule("held(value > 50 °C, 20 s)", id="t.held"),
                  rule('time_between("09:00", "09:05")', id="t.clock", bind="{per: site}"))  # T0 is 08:00 in Shanghai
    house.say(0, a__s=True, b__t=20.0)
    house.say(10, a__s=False, b__t=20.0)
    house.say(60, fresh=("a.s",), b__t=20.0)
    assert house.say(100, fresh=("a.s",), b__t=60.0) == ["t.after zone:z1 raised @100"]
    assert house.say(119.5, b__t=60.0) == []
    assert "t.held b.t raised @120" in house.say(120, b__t=60.0)
    assert "t.after zone:z1 cleared @130" in house.say(140, b__t=60.0)
    assert told(house.engine.step((), now(2 * 3600), ("b.t", "a.s"))) == ["t.clock site raised @3600",
                                                                         "t.clock site cleared @3900"]


def test_unknown_points_are_counted_and_change_nothing() -> None:
    house = House(HOT, rule("value > 50 °C"))
    stranger = msgspec.structs.replace(house.reading("a.t", 60.0, 1), point="x.t")
    assert house.engine.step([stranger], now(1)) == () and house.engine.counts["unknown_point"] == 1


def test_alarms_of_rules_that_are_gone_stay_until_a_person_resets_them() -> None:
    house = House(HOT, rule("value > 50 °C", hazard="fire"))
    house.say(1, a__t=60.0)
    kept = house.engine.checkpoint()
    other = House(HOT, rule("value > 70 °C", id="t.other"))
    other.engine.resume(kept)
    (step,) = other.engine.open_alarms()
    assert step.key.rule == "t.rule"
    assert told(other.engine.reset(step.alarm, "Li Lei", now(2))) == ["t.rule a.t cleared @2"]
    with pytest.raises(ValueError, match="checkpoint"):
        other.engine.resume(b"{}")
