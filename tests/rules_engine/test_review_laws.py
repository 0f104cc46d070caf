"""A hostile reading of the laws of safety, as tests of the engine."""

from __future__ import annotations

import pytest

from device_model.alarm import AlarmState
from device_model.errors import LawRefusal
from device_model.reading import Reason
from tests.rules_engine.rule_house import T0, House, now, rule, told

SMOKE = {"a.s": "smoke_alarm"}


def fire() -> str:
    return rule("value", bind="{quantities: [smoke_alarm]}", hazard="fire", id="t.smoke")


def test_a_device_clock_that_is_set_back_mutes_nothing() -> None:
    """What is received later in one boot is newer, whatever the device's own clock says (law 1)."""
    house = House(SMOKE, fire())
    house.say(100, a__s=False)
    stamped = house.reading("a.s", True, 99, receive_time_us=T0 + 101_000_000, mono_us=101_000_000)
    assert told(house.engine.step([stamped], now(101))) == ["t.smoke a.s raised @99"]


def test_a_point_that_was_called_silent_is_believed_again_whatever_its_stamp() -> None:
    house = House(SMOKE, fire())
    house.say(1, a__s=False)
    house.say(100, a__s=Reason.SILENT)
    stamped = house.reading("a.s", True, 99.5, receive_time_us=T0 + 100_600_000, mono_us=100_600_000)
    assert told(house.engine.step([stamped], now(100.6))) == ["t.smoke a.s raised @99.5"]


def test_gas_over_range_then_silent_then_a_restart_stays_latched() -> None:
    house = House({"g.g": "combustible_gas"}, rule(
        'value >= 10 %LEL || reason(value) == "over_range"', bind="{quantities: [combustible_gas]}", id="t.gas",
        hazard="gas_high", for_="2 s"))
    assert house.say(1, g__g=Reason.OVER_RANGE) == ["t.gas g.g pending @1"]
    assert house.say(1.5, g__g=Reason.SILENT) == []  # silent before `for` is over: the timer runs on
    house.restart()
    assert told(house.engine.step((), now(500, boot="b2"))) == ["t.gas g.g raised @3"]
    clean = house.reading("g.g", 0.0, 501, boot="b2")
    assert told(house.engine.step([clean], now(501, boot="b2"))) == ["t.gas g.g held @501"]
    assert [step.latched for step in house.engine.open_alarms()] == [True]


def test_an_alarm_under_test_that_turns_silent_is_real_when_the_test_ends() -> None:
    house = House(SMOKE, fire())
    house.say(1, a__s=False)
    house.engine.test_mode("a", T0 + 60_000_000)
    assert house.say(2, a__s=True) == ["t.smoke a.s raised test @2"]
    assert house.say(10, a__s=Reason.SILENT) == []
    assert told(house.engine.step((), now(100))) == ["t.smoke a.s raised @60"]


def test_what_is_true_when_an_isolation_ends_is_raised_at_once() -> None:
    house = House(SMOKE, fire())
    house.say(1, a__s=False)
    house.engine.isolate("a", T0 + 10_000_000)
    assert house.say(2, a__s=True) == []
    assert told(house.engine.step((), now(20))) == ["t.smoke a.s raised @10"]


def test_a_memory_read_late_does_not_stand_beside_what_burns_again() -> None:
    """A journal that opens late brings back the alarm of the former life; this life has raised the same one itself.
    Two of one rule and subject would be reset one by one, and the board showed the burning one cleared (law 3)."""
    house = House(SMOKE, rule("value", bind="{quantities: [smoke_alarm]}", hazard="fire", id="t.smoke",
                              latch="true"))
    house.say(1, a__s=False)
    house.say(2, a__s=True)
    (before,) = house.engine.open_alarms()
    kept = house.engine.checkpoint()
    house.engine = house.fresh_engine()
    assert house.say(10, a__s=True) == ["t.smoke a.s raised @10"]
    (mine,) = house.engine.open_alarms()
    assert house.engine.merge(kept, now(20)) == ()
    assert house.engine.open_alarms() == (mine,) and mine.alarm != before.alarm
    assert house.engine.reset(before.alarm, "Li", now(21)) == ()
    with pytest.raises(LawRefusal):
        house.engine.reset(mine.alarm, "Li", now(21))


def test_a_memory_read_late_stands_where_this_life_found_nothing() -> None:
    house = House(SMOKE, rule("value", bind="{quantities: [smoke_alarm]}", hazard="fire", id="t.smoke",
                              latch="true"))
    house.say(1, a__s=False)
    house.say(2, a__s=True)
    kept = house.engine.checkpoint()
    house.engine = house.fresh_engine()
    house.say(10, a__s=False)
    house.engine.merge(kept, now(20))
    assert [step.state for step in house.engine.open_alarms()] == [AlarmState.HELD]
