"""Failures that the simulation found, as the shortest story that shows each. All are mended; these keep it so."""

from __future__ import annotations

import pytest

from device_model.alarm import Hazard
from tests.simulation.schedule import Event, Fire, Plan
from tests.simulation.world import World

SMOKE_1, SMOKE_2, RADIO, GAS = range(4)
FOREVER = 1000.0


def played(plan: Plan, seed: int = 1) -> World:
    world = World(seed, plan=plan)
    verdict = world.run()
    assert verdict.problems == (), verdict.problems
    return world


def test_a_fire_during_a_disk_that_hangs_at_boot_is_sounded_and_shown() -> None:
    """The gateway waited for its journal before it read its first device (law 4)."""
    world = played(Plan((1,), (Event(10.0, "disk_hang", 1, 60.0), Event(12.0, "power_cut", 1, 2.0, 1.0)),
                        (Fire(30.0, 1, SMOKE_1, FOREVER),), 110.0))
    stimulus = world.witness.stimuli[0]
    assert stimulus.sounder_due and 0 < stimulus.sounded_us < 33_000_000 and stimulus.shown_us < 34_000_000


@pytest.mark.parametrize("disk", ["disk_full", "disk_read_only", "disk_hang"])
def test_a_silence_told_from_memory_by_a_life_that_died_ends(disk: str) -> None:
    """The next life had never heard of it, and nobody ended it on the board."""
    played(Plan((1,), (Event(20.0, disk, 1, 25.0), Event(22.0, "mute", 1, 16.0, 0.0),
                       Event(34.0, "kill_gateway", 1, 8.0)), (), 120.0))


def test_a_silence_of_a_gateway_does_not_outlive_the_worker_that_stored_it() -> None:
    """Killed between the store's commit and the checkpoint of a tick, whose finding is in no message."""
    def plan(kill_s: float) -> Plan:
        return Plan((1,), (Event(20.0, "uplink_cut", 1, 40.0), Event(kill_s, "kill_worker_behind_commit", -1, 1.0)),
                    (), 120.0)

    # The commit that says "silent" comes some 30 s after the last message; one of these kills is right behind it.
    for kill_s in (40.0, 45.0, 48.0, 50.0):
        played(plan(kill_s))


def test_a_detector_raised_again_after_the_clock_was_set_back_is_shown_raised() -> None:
    """Its event time looked older than the end of the first alarm (seeds 14, 55, 65)."""
    back = 0.5 - 2400 / 7200  # 40 minutes back
    world = played(Plan((1,), (Event(35.0, "clock_step", 1, 0.0, back),),
                        (Fire(15.0, 1, SMOKE_1, 10.0), Fire(45.0, 1, SMOKE_1, FOREVER)), 80.0))
    (incident,) = (i for i in world.at_end if i.hazard is Hazard.FIRE)
    assert [alarm.state for alarm in incident.alarms] == ["raised"]


def test_an_end_that_overtakes_a_beginning_from_a_clock_that_was_ahead() -> None:
    """Live goes before backlog, and the beginning lay an hour in the future (seeds 104, 111)."""
    ahead = 0.95
    played(Plan((1,), (Event(30.0, "clock_step", 1, 0.0, ahead), Event(31.0, "disk_read_only", 1, 12.0),
                       Event(33.0, "mute", 1, 14.0, 0.0)), (), 130.0))


@pytest.mark.parametrize("seed", range(3))
def test_a_gas_detector_that_is_busy_is_bad_and_comes_back(seed: int) -> None:
    """A refused block that held value, unit, decimals and state tripped over itself (seed 5)."""
    world = played(Plan((1,), (Event(20.0, "line_bad", 1, 30.0, 0.3),), (Fire(70.0, 1, GAS, FOREVER),), 110.0), seed)
    assert world.witness.stimuli[0].shown_us


@pytest.mark.parametrize("disk", ["disk_full", "disk_read_only"])
def test_an_end_told_from_memory_by_a_life_that_died_is_taken_back(disk: str) -> None:
    """The next life went on from 'raised' and had nothing to say of the second fire (seeds 425, 621)."""
    world = played(Plan((1,), (Event(30.0, disk, 1, 25.0), Event(45.0, "kill_gateway", 1, 14.0)),
                        (Fire(15.0, 1, SMOKE_1, 22.0), Fire(52.0, 1, SMOKE_1, FOREVER)), 90.0))
    (incident,) = (i for i in world.at_end if i.hazard is Hazard.FIRE)
    assert [alarm.state for alarm in incident.alarms] == ["raised"]


def test_all_at_once() -> None:
    """Power gone while the disk hangs, the uplink is cut and the worker dies: the fire is there in the end."""
    world = played(Plan((1,), (
        Event(20.0, "uplink_cut", 1, 50.0), Event(22.0, "disk_hang", 1, 20.0), Event(30.0, "power_cut", 1, 5.0),
        Event(60.0, "kill_worker_behind_commit", -1, 2.0), Event(62.0, "kill_ingest", -1, 3.0),
    ), (Fire(24.0, 1, SMOKE_2, FOREVER),), 180.0))
    assert world.witness.stimuli[0].shown_us
