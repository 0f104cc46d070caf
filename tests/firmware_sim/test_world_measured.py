"""The two-zone room against measured fires: gas burners in the UL FSRI compartment with an open door."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_sim.recording_folder import read_set
from firmware_sim.surroundings import Surroundings
from firmware_sim.world_plan import DoorPlan, OutdoorPlan, RoomPlan, SourceKind, SourcePlan, WorldPlan


@pytest.mark.parametrize(("experiment", "kw"), [
    ("100kW_Open_Back_1", 100.0), ("100kW_Open_Corner_1", 100.0), ("100kW_Open_Side_1", 100.0),
    ("250kW_Open_Back_1", 250.0), ("250kW_Open_Center_1", 250.0), ("250kW_Open_Side_1", 250.0),
    ("500kW_Open_Center_1", 500.0),
])
def test_layer_temperatures_are_near_the_measured_ones(shared_sensors: Path, experiment: str, kw: float) -> None:
    """3.7 x 3.7 x 2.4 m, one door; mean of four thermocouple trees 0.3 m below the ceiling, 120 s after ignition.

    Left out: 500 kW in a corner, where an axisymmetric plume is no model (measured rise 404 K, modelled 260 K).
    """
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pq.read_table(shared_sensors / "fsri_compartments" / "timeseries.parquet", columns=["experiment", "t_s"],
                          filters=[("experiment", "=", experiment)])
    first_s = float(table["t_s"][0].as_py())  # the record begins so long before ignition
    recording = read_set(f"fsri_compartments/{experiment}", shared_sensors)

    def mean(depth: str, at_s: float) -> float:
        names = [name for name in recording.columns if f"Temperature {depth} m Below" in name]
        return sum(recording.at(name, at_s - first_s) for name in names) / len(names)

    ambient = mean("0.3", -10.0)
    world = Surroundings(WorldPlan(
        outdoor=OutdoorPlan(temperature=ambient), rooms=(RoomPlan("room", 13.7, 2.4, temperature=ambient),),
        doors=(DoorPlan("door", ("room", "outdoor")),),
        sources=(SourcePlan("burner", SourceKind.HEAT, "room", kw=kw),)))
    for number in range(1, 481):
        world.step(number * 0.25, 0.25)
    measured, modelled = mean("0.3", 120.0) - ambient, world.read("room.temperature", 2.1) - ambient
    assert modelled == pytest.approx(measured, rel=0.3)
    # Below the layer it stays cool in both.
    assert world.read("room.temperature", 0.6) - ambient < 0.25 * modelled
    assert mean("1.8", 120.0) - ambient < 0.25 * measured
