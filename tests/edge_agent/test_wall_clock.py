"""How far the wall clock may be wrong: tables and seeds of accidents. The truth lies within the bound wherever one is
given, except for a time server that lies from the beginning, which nobody on the machine can know."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, Now
from edge_agent.clock_look import look_at_clock
from edge_agent.wall_clock import RTC_ERROR_US, ClockLook, TrustedClock, WallTrust, chrony_look

T = 1_790_000_000_000_000
CHRONY = ("A29FC87B,162.159.200.123,4,1795408000.1,0.000012345,0.00001,0.00002,-5.1,0.001,0.02,0.012,0.0034,"
          "64.2,Normal")


def test_a_clock_that_was_never_set_has_no_bound():
    assert WallTrust().error_us(5 * SECOND_US, 5 * SECOND_US) == -1


def test_bounds_by_source():
    trust = WallTrust()
    assert trust.error_us(T, 0) == DAY_US
    trust.looked(ClockLook(rtc=True, source="rtc"), 0)
    assert trust.error_us(T, 0) == RTC_ERROR_US
    trust.looked(ClockLook(True, 20_000, source="ntp"), SECOND_US)
    assert trust.error_us(T + SECOND_US, SECOND_US) == 20_000
    trust.looked(ClockLook(), HOUR_US)
    assert trust.error_us(T + HOUR_US + SECOND_US, HOUR_US + SECOND_US) == 20_000 + 360_000, "drifts when left alone"


@pytest.mark.parametrize("step", [HOUR_US, -HOUR_US, 300 * DAY_US])
def test_a_step_is_a_doubt_for_a_while(step):
    trust = WallTrust()
    trust.looked(ClockLook(True, 20_000), 0)
    trust.error_us(T, 0)
    assert trust.error_us(T + step + SECOND_US, SECOND_US) == abs(step) and trust.steps == 1
    assert trust.error_us(T + step + 11 * MINUTE_US, 11 * MINUTE_US) < SECOND_US


def test_the_first_setting_and_a_leap_second_are_no_steps_of_doubt():
    trust = WallTrust()
    trust.looked(ClockLook(True, 20_000), 0)
    assert trust.error_us(60 * SECOND_US, 60 * SECOND_US) == -1
    assert trust.error_us(T, 61 * SECOND_US) < SECOND_US
    assert trust.error_us(T - SECOND_US + SECOND_US, 62 * SECOND_US) < SECOND_US


@pytest.mark.parametrize("seed", range(200))
def test_the_truth_lies_within_the_bound_over_seeds(seed):
    random, trust = Random(seed), WallTrust()
    drift, mono, wall_offset = random.uniform(-90, 90) / 1e6, 0, random.choice([0, T])
    right, lied_until = wall_offset == T, -1
    for _ in range(200):
        mono += random.randrange(1, 120) * SECOND_US
        true = T + round(mono * (1 + drift))
        chance = random.random()
        if chance < 0.05:
            wall_offset, right = true - mono, True
            trust.error_us(wall_offset + mono, mono)
            trust.looked(ClockLook(True, 5_000, source="ntp"), mono)
        elif chance < 0.07 and right:
            wall_offset += random.choice([-1, 1]) * random.randrange(3, 4000) * SECOND_US
            right, lied_until = False, mono + 10 * MINUTE_US
        error = trust.error_us(wall_offset + mono, mono)
        if error == -1:
            assert wall_offset == 0
        elif right or mono < lied_until:
            assert abs(wall_offset + mono - true) <= error + SECOND_US, (seed, mono)


def test_chrony_says_how_far():
    look = chrony_look(CHRONY)
    assert look == ClockLook(True, 9412, source="chrony")
    assert chrony_look(CHRONY.replace("Normal", "Not synchronised")) == ClockLook(False, 9412)
    assert chrony_look("506 Cannot talk to daemon") is None and chrony_look("") is None


STRANGE = st.lists(st.floats().map(str) | st.text(max_size=5), min_size=14, max_size=14).map(",".join)


@given(st.text(max_size=100) | STRANGE)
def test_a_strange_chronyc_is_no_chrony(text):
    look = chrony_look(text)
    assert look is None or look.error_us >= 0


def test_this_machine_can_be_asked(tmp_path):
    assert isinstance(look_at_clock(), ClockLook) and look_at_clock(tmp_path).rtc is False
    (tmp_path / "sys/class/rtc/rtc0").mkdir(parents=True)
    for text, good in (("1795408000\n", True), ("946684800\n", False), ("x", False)):
        (tmp_path / "sys/class/rtc/rtc0/since_epoch").write_text(text)
        assert look_at_clock(tmp_path).rtc is good


def test_the_clock_carries_its_bound():
    class Raw:
        speed = 1.0

        def now(self):
            return Now(5, 5, "b")

        async def sleep(self, delay_s):
            raise AssertionError

    assert TrustedClock(Raw(), WallTrust()).now() == Now(5, 5, "b", -1)
