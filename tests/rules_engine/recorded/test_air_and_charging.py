"""The packs about hazards on recorded air, gas, noise, water, a battery; skipped where no records are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from rules_engine.recorded.air_sets import exceedances
from rules_engine.replay_commands import ReplayAsked, ReplayReport, replay

ROOT = Path(__file__).resolve().parents[3]
SENSORS = ROOT.parent / "shared" / "data" / "sensors"
HALF_YEAR_S = 182 * 86_400.0


def replayed(name: str, to_s: float = float("inf"), fault: str = "") -> ReplayReport:
    folder = SENSORS / name
    if not folder.is_dir():
        pytest.skip(f"the recorded experiments are not beside this checkout ({name})")
    return replay(ReplayAsked(set_name=name, path=folder, to_s=to_s, fault=fault))


def test_an_exceedance_lasts_and_a_pause_does_not_end_it() -> None:
    times = [3600.0 * hour for hour in range(12)]
    values = [10, 20, 20, 10, 20, 20, 10, 10, 10, 20, None, 10]
    assert [(e.start_s, e.end_s) for e in exceedances(times, values, 15, 7200, 7200)] == [(3600, 25200)]


@pytest.mark.parametrize("fault", ["", "lost_polls", "error_value"])
def test_a_heated_battery_is_told_long_before_it_runs_away(fault: str) -> None:
    report = replayed("fsri_liion_runaway", fault=fault)
    assert report.summary.missed == 0 and report.summary.false_alarms == 0
    assert report.summary.delay_worst_s is not None and report.summary.delay_worst_s < 700


def test_fine_particles_are_one_alarm_an_episode() -> None:
    report = replayed("beijing_pm25", HALF_YEAR_S)
    alarms = [e for e in report.episodes if e["rule"] == "air.pm25_heavy"]
    assert len(alarms) > 50 and sum(e["false"] for e in alarms) <= len(alarms) // 20
    by_station: dict[str, list[float]] = {}
    for alarm in alarms:
        by_station.setdefault(alarm["subject"], []).append(alarm["start_s"])
    pauses = [later - sooner for starts in by_station.values()
              for sooner, later in pairwise(starts)]
    assert min(pauses) > 5 * 3600.0, "chatter"


def test_smoke_and_mixture_at_gas_elements_but_not_perfume() -> None:
    report = replayed("mq_gas_array")
    assert (report.summary.events, report.summary.missed, report.summary.false_alarms) == (2, 0, 0)


def test_a_main_that_loses_flow_three_times() -> None:
    report = replayed("water_flow_river")
    assert (report.summary.events, report.summary.missed, report.summary.false_alarms) == (3, 0, 0)


def test_noise_is_told_when_it_lasts() -> None:
    report = replayed("noise_laeq")
    assert report.summary.missed == 0 and report.summary.false_alarms <= 1
