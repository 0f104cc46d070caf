"""Published experiments are played by name; what is missing, unknown or wrong is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.errors import ConfigError
from firmware_sim.recording_folder import read_set, recordings_folder
from firmware_sim.recording_sets import SETS, Column, SetLayout, layout_of, recording_of, seconds_of


@pytest.mark.parametrize(("name", "column", "unit", "low", "high"), [
    ("nist_smoke_alarms/SDC05", "SMB_1", "1/m", -1.0, 20.0),
    ("nist_smoke_alarms/SDC07", "GASB_1", "[ppm]", -2000.0, 100_000.0),
    ("fsri_hvac_gasburner/1", "Bedroom 1 Temperature 1.52 m Above Floor", "Cel", -10.0, 1200.0),
    ("fsri_liion_runaway", "Cell 1 Temperature (C)", "Cel", 0.0, 1500.0),
    ("cms_methane", "ch4_ppm_E", "[ppm]", 0.0, 5000.0),
    ("beijing_pm25/Changping", "PM2.5", "ug/m3", 0.0, 2000.0),
    ("noise_laeq/laeq1m", "laeq_db", "dB[A]", 10.0, 130.0),
    ("water_flow_river", "Water flow [l/s]", "L/s", 0.0, 1e5),
    ("nab_ambient", "value", "[degF]", 30.0, 120.0),
    ("groundwater_river_level/heby_head", "Head", "m", 0.0, 1000.0),
    ("uci_air_quality", "T", "Cel", -250.0, 60.0),
    ("iot_smoke_detection", "Temperature[C]", "Cel", -50.0, 100.0),
])
def test_an_experiment_is_read_by_name(
    shared_sensors: Path, name: str, column: str, unit: str, low: float, high: float
) -> None:
    pytest.importorskip("pyarrow")
    recording = read_set(name, shared_sensors)
    assert recording.units[column] == unit and recording.times_s[0] == 0.0 and recording.end_s > 0.0
    assert low <= min(recording.columns[column]) <= max(recording.columns[column]) <= high


@pytest.mark.parametrize("set_name", [name for name, layout in SETS.items() if layout.key])
def test_an_unknown_experiment_says_which_there_are(shared_sensors: Path, set_name: str) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(ConfigError) as error:
        read_set(f"{set_name}/nothing", shared_sensors)
    known = error.value.findings[0].remedy.removeprefix("there are: ").split(", ")[0]
    assert read_set(f"{set_name}/{known}", shared_sensors).end_s > 0.0


@pytest.mark.parametrize(("name", "what"), [
    ("nothing/at-all", "no set 'nothing'"), ("nist_smoke_alarms", "holds many experiments"),
    ("nist_smoke_alarms/../../etc", "is no experiment"), ("nist_smoke_alarms/SDC99", "no file"),
])
def test_a_wrong_name_is_refused(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        read_set(name, tmp_path)


def test_without_a_folder_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOCSIN_RECORDINGS", raising=False)
    assert recordings_folder() is None
    with pytest.raises(ConfigError) as error:
        read_set("cms_methane", None)
    assert "TOCSIN_RECORDINGS" in error.value.findings[0].remedy
    monkeypatch.setenv("TOCSIN_RECORDINGS", "/some/where")
    assert recordings_folder() == Path("/some/where")


def test_gaps_hold_and_times_rise(tmp_path: Path) -> None:
    folder = tmp_path / "water_flow_river"
    folder.mkdir()
    (folder / "water_flow.csv").write_text(
        "Time,Water flow [l/s],note\n2022-03-20T11:00:00+01:00,,x\n2022-03-20T12:00:00+01:00,5,x\n"
        "2022-03-20T12:00:00+01:00,6,x\nnever,7,x\n2022-03-20T13:00:00+01:00,,x\n")
    recording = read_set("water_flow_river", tmp_path)
    assert recording.times_s == (0.0, 3600.0, 7200.0)
    assert recording.columns == {"Water flow [l/s]": (5.0, 5.0, 5.0)}


@given(st.lists(st.tuples(st.one_of(st.none(), st.text(max_size=8), st.floats(), st.integers())), max_size=20),
       st.lists(st.one_of(st.none(), st.text(max_size=5), st.floats(), st.booleans()), min_size=20, max_size=20))
def test_any_rows_are_a_recording_or_a_finding(clock: list[tuple[object]], values: list[object]) -> None:
    layout = SetLayout("x", ("t",), (Column("a", "Cel"),))
    try:
        recording = recording_of("x", layout, clock, {"a": values})
    except ConfigError as error:
        assert error.findings
    else:
        assert list(recording.times_s) == sorted(set(recording.times_s))


def test_names_and_times() -> None:
    assert layout_of("fsri_compartments/CHAIR_OPEN_1")[:2] == ("fsri_compartments", "CHAIR_OPEN_1")
    assert seconds_of(("2022-01-01", "00:00:10")) == seconds_of(("2022-01-01 00:00:10",))
    assert seconds_of(("",)) is None and seconds_of((None,)) is None and seconds_of((3,)) == 3.0
