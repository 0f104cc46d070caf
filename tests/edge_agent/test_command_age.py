"""Commands from afar and a clock that may be wrong: an expired one is never carried out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.clock import DAY_US, HOUR_US, MINUTE_US, Now
from device_model.command import Command, CommandKind, CommandOutcome, CommandResult
from device_model.messages import CommandResultRecord
from edge_agent.command_age import SLACK_US, SWITCHES, WEAKENS, too_late
from edge_agent.events import CommandReceived, OnSiteAction

T = 1_780_000_000_000_000
K = CommandKind
EXPIRED, REFUSED = CommandOutcome.EXPIRED, CommandOutcome.REFUSED


def command(kind: CommandKind, issued_us: int = T, expires_us: int = T + 10 * MINUTE_US) -> Command:
    return Command("c1", kind, "bell", "Li Wei", "test", issued_us, expires_us, True)


@pytest.mark.parametrize(("kind", "wall_us", "error_us", "expected", "said"), [
    (K.WRITE_OUTPUT, T, 0, None, ""),
    (K.WRITE_OUTPUT, T + 11 * MINUTE_US, 0, EXPIRED, "too late"),
    (K.WRITE_OUTPUT, T, 5 * MINUTE_US, None, ""),  # an RTC with a battery
    (K.WRITE_OUTPUT, T + 6 * MINUTE_US, 5 * MINUTE_US, REFUSED, "wrong by 5 min"),
    (K.WRITE_OUTPUT, T, DAY_US, REFUSED, "wrong by 24 h, and the command ends in 10 min"),
    (K.WRITE_OUTPUT, 3 * MINUTE_US, -1, REFUSED, "has not been set"),  # booted in 1970
    (K.WRITE_OUTPUT, T - 2 * HOUR_US, 0, REFUSED, "lies before"),  # the time of the last shutdown
    (K.WRITE_OUTPUT, T - SLACK_US, 0, None, ""),  # two right clocks
    (K.ISOLATE, 3 * MINUTE_US, -1, REFUSED, "has not been set"),
    (K.TEST_MODE, T - 2 * HOUR_US, 0, REFUSED, "lies before"),
    (K.TEST_MODE, T, DAY_US, None, ""),  # it ends by itself
    (K.PERMIT, 3 * MINUTE_US, -1, REFUSED, "do it on site"),
    (K.PERMIT, T + HOUR_US, DAY_US, EXPIRED, "too late"),
    (K.ALARM_ACKNOWLEDGED, 3 * MINUTE_US, -1, None, ""),
    (K.RESTORE, 3 * MINUTE_US, -1, None, ""),
    (K.PROOF_ALARM, T - DAY_US, DAY_US, None, ""),
])
def test_what_a_clock_can_tell(kind, wall_us, error_us, expected, said):
    found = too_late(command(kind), Now(wall_us, 0, "b", error_us))
    assert (found[0] if found else None) is expected
    assert said in (found[1] if found else "")


@given(st.sampled_from(sorted(SWITCHES | WEAKENS)), st.integers(-DAY_US, DAY_US), st.integers(0, DAY_US),
       st.integers(0, DAY_US), st.integers(0, DAY_US))
def test_nothing_that_switches_is_carried_out_after_its_end(kind, skew_us, error_us, true_us, lasts_us):
    """However the clock is wrong, as long as it is wrong by no more than it says."""
    wish = command(kind, T, T + lasts_us)
    skew_us = max(-error_us, min(skew_us, error_us))
    found = too_late(wish, Now(T + true_us + skew_us, 0, "b", error_us))
    if true_us > lasts_us and kind in SWITCHES:
        assert found is not None
    if error_us == 0 and true_us <= lasts_us:
        assert found is None


def result_of(effects) -> CommandResult:
    return next(record.body.result for effect in effects for _, record in getattr(effect, "records", ())
                if isinstance(record.body, CommandResultRecord))


def test_a_gateway_that_booted_in_1970_refuses_says_so_upward_and_obeys_whoever_is_there(kit):
    core = kit.core()
    now = msgspec.structs.replace(kit.at(1), wall_us=90_000_000, wall_error_us=-1)
    wish = command(K.WRITE_OUTPUT)
    told = result_of(core.step(CommandReceived(wish), now))
    assert told.outcome is REFUSED and "clock has not been set" in told.detail and not core.outputs.state("bell").on
    core.step(OnSiteAction(msgspec.structs.replace(wish, id="c2", expires_us=0)), now)
    assert core.outputs.state("bell").on
