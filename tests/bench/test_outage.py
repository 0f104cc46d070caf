"""The outage keeps its promises, a seed is a story, and each figure is shown to be able to fail."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from bench.outage import Outcome, judge, outage
from bench.outage_plan import ARMED_FOR_S, FIRST_S, POINTS, plan_of
from bench.outage_run import FarEnd, Outage
from device_model.messages import Lane, Record
from device_model.ports import JournalState
from edge_agent import telemetry
from trial.store_model import StoreModel

SECONDS = 1_000_000


def kept(outcome: Outcome) -> bool:
    return (outcome.problems == () and outcome.alarms_lost == outcome.duplicates == outcome.unexplained_gaps == 0
            and outcome.declared_lost == outcome.mistakes == 0 and outcome.telemetry_lost_s <= 1.0)


@pytest.mark.parametrize("lying", [False, True])
def test_a_hundred_kills_cost_no_alarm(lying: bool) -> None:
    outcome = outage(6.0, 100, 5, lying=lying)
    assert kept(outcome), outcome
    assert outcome.kills == 100 and outcome.stimuli_owed >= 20 and outcome.telemetry_readings > 2000


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("lying", [False, True])
def test_72_hours_and_200_kills(lying: bool) -> None:
    outcome = outage(72.0, 200, 1, lying=lying)
    assert kept(outcome), outcome


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_10_000_kills(seed: int) -> None:
    outcome = outage(24.0, 2500, 100 + seed, lying=seed % 2 == 1)
    assert kept(outcome), outcome
    assert outcome.kills == 2500


def test_the_same_seed_is_the_same_story() -> None:
    assert outage(1.0, 10, 7) == outage(1.0, 10, 7) != outage(1.0, 10, 8)


def test_a_plan_kills_at_every_point_and_only_the_living() -> None:
    plan = plan_of(Random(3), 72.0, 200)
    assert {kill.point for kill in plan.kills} == set(POINTS) and {kill.power for kill in plan.kills} == {True, False}
    for earlier, later in zip(plan.kills, plan.kills[1:], strict=False):
        assert later.at_s > earlier.at_s + earlier.away_s
    assert all(FIRST_S <= kill.at_s < plan.end_s + ARMED_FOR_S for kill in plan.kills)
    assert len({stimulus.detector for stimulus in plan.stimuli}) == len(plan.stimuli) == 24


# -- each figure can fail ------------------------------------------------------------------------------------------


def broken(seed: int = 5, kills: int = 40) -> Outcome:
    return judge(Outage(plan_of(Random(seed), 2.0, kills), seed).run())


def test_a_disk_that_forgets_what_it_said_it_had_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = StoreModel._write

    def forgets(self: StoreModel, rows: Sequence[tuple[Lane, int, bytes]], checkpoint: bytes | None) -> None:
        real(self, [row for row in rows if row[1] % 3], checkpoint)

    monkeypatch.setattr(StoreModel, "_write", forgets)
    outcome = broken()
    assert not kept(outcome) and outcome.declared_lost + outcome.unexplained_gaps + outcome.duplicates > 0


def test_telemetry_that_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "CYCLE_US", 3 * SECONDS)
    assert broken().telemetry_lost_s > 1.0


def test_numbers_used_twice_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = StoreModel.open

    async def from_one(self: StoreModel) -> JournalState:
        state = await real(self)
        return JournalState(state.epoch, (), state.checkpoint, ())

    monkeypatch.setattr(StoreModel, "open", from_one)
    assert broken().duplicates > 0


def test_a_state_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its checkpoint a gateway raises the same alarm again, under another id."""
    real = StoreModel._write

    def without(self: StoreModel, rows: Sequence[tuple[Lane, int, bytes]], checkpoint: bytes | None) -> None:
        real(self, rows, None)

    monkeypatch.setattr(StoreModel, "_write", without)
    assert broken().duplicates > 0


def test_an_alarm_that_does_not_arrive_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FarEnd._take

    def deaf(self: FarEnd, record: Record, *, memory: bool) -> None:
        real(self, record, memory=memory)
        self.raised.pop("d3.leak", None)

    monkeypatch.setattr(FarEnd, "_take", deaf)
    assert broken().alarms_lost == 1


def test_an_acknowledgement_of_what_was_never_stored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The far end forgets records that it acknowledged: values are missing that the gateway need not send again."""
    real = FarEnd._take

    def forgets(self: FarEnd, record: Record, *, memory: bool) -> None:
        if record.sequence % 5:
            real(self, record, memory=memory)

    monkeypatch.setattr(FarEnd, "_take", forgets)
    outcome = broken()
    assert outcome.telemetry_lost_s > 1.0
