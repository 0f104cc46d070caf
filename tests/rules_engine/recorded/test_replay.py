"""`tocsin rules replay|diff` on records in long form, and on the recorded sets where they stand beside."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from device_model.errors import ConfigError
from device_model.profile import DeviceClass
from rules_engine.packs import pack_names, shipped_packs
from rules_engine.recorded.experiment import Experiment, RecordedPoint
from rules_engine.recorded.field_faults import FIELD_FAULTS, ROW_FAULTS
from rules_engine.recorded.replay import episodes_of
from rules_engine.recorded.sets import SETS
from rules_engine.replay_commands import ReplayAsked, diff, replay
from tocsin import app

ROOT = Path(__file__).resolve().parents[3]
SENSORS = ROOT.parent / "shared" / "data" / "sensors"
NIST = ROOT / "demo" / "recordings" / "nist_sdc02.csv.gz"


def long_form(folder: Path, *, quality: bool = False) -> Path:
    """A recorded house fire (NIST SDC02, an excerpt of the demo's) rewritten as anybody would hand in a record."""
    lines = gzip.decompress(NIST.read_bytes()).decode().split("\n")
    names, units, *rows = (line.split(",") for line in lines if line)
    wanted = [index for index, name in enumerate(names) if name.startswith(("SM", "TC"))]
    points = ["point,quantity,unit,zone,height_m,profile"]
    for index in wanted:
        quantity = "obscuration" if names[index].startswith("SM") else "temperature"
        points.append(f"{names[index].lower()},{quantity},{units[index]},{names[index][2].lower()},2.4,")
    readings = ["experiment,t_s,point,value" + (",quality" if quality else "")]
    readings += [f"house,{row[0]},{names[index].lower()},{row[index]}" + (",good" if quality else "")
                 for row in rows for index in wanted]
    (folder / "points.csv").write_text("\n".join(points), encoding="utf-8")
    (folder / "readings.csv").write_text("\n".join(readings), encoding="utf-8")
    (folder / "events.csv").write_text("experiment,event,start_s,class\nhouse,fire,0,fire\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("quality", [False, True])
def test_a_fire_in_long_form_is_found(tmp_path: Path, *, quality: bool) -> None:
    report = replay(ReplayAsked(readings=long_form(tmp_path, quality=quality)))
    assert report.summary.missed == 0 and report.summary.events == 1
    assert report.summary.delay_median_s is not None and 15 < report.summary.delay_median_s < 120
    keys = {"experiment", "rule", "subject", "start_s", "end_s", "event", "delay_s", "false"}
    assert keys <= set(report.episodes[0])


def test_nothing_that_comes_later_can_be_known_earlier(tmp_path: Path) -> None:
    whole = replay(ReplayAsked(readings=long_form(tmp_path)))
    first = whole.episodes[0]["start_s"]
    half = replay(ReplayAsked(readings=tmp_path, to_s=first + 1))
    assert half.episodes[0]["start_s"] == first


@pytest.mark.parametrize("fault", sorted({*FIELD_FAULTS, *ROW_FAULTS}))
def test_field_faults_neither_hide_the_fire_nor_make_one(tmp_path: Path, fault: str) -> None:
    folder = long_form(tmp_path)
    quiet = replay(ReplayAsked(readings=folder, to_s=15, fault=fault, seed=3))
    assert [e for e in quiet.episodes if e["hazard"] == "fire"] == []
    assert replay(ReplayAsked(readings=folder, fault=fault, seed=3)).summary.missed == 0


@pytest.mark.parametrize("fault", sorted(ROW_FAULTS))
def test_repeats_and_a_clock_that_steps_change_no_alarm(tmp_path: Path, fault: str) -> None:
    """The monotonic clock tells the time between readings, whatever the wall clock says."""
    plain = replay(ReplayAsked(readings=long_form(tmp_path)))
    upset = replay(ReplayAsked(readings=tmp_path, fault=fault, seed=5))
    assert upset.summary == plain.summary
    assert [(e["rule"], e["subject"]) for e in upset.episodes] == [(e["rule"], e["subject"]) for e in plain.episodes]


def test_a_stuck_value_is_told_where_it_should_tremble(tmp_path: Path) -> None:
    points = [RecordedPoint(f"n{number}.level", "noise", "dB", "hall", DeviceClass.AIR, natural_noise=0.5 * number)
              for number in range(2)]
    rows = [(60.0 * minute, (50.0, 50.0)) for minute in range(90)]
    told = episodes_of(Experiment("hall", points, rows, []), shipped_packs(pack_names()))
    assert [(e.rule, e.subject, e.start_s) for e in told] == [("device.stuck", "device:n1", 3600.0)]


@pytest.mark.parametrize("name", ["cms_methane", "skab_water_loop", "groundwater_river_level"])
def test_a_folder_without_experiments_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        replay(ReplayAsked(set_name=name, path=tmp_path))


def test_a_site_without_releases_and_one_without_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = [datetime(2026, 5, 9, tzinfo=UTC) + timedelta(minutes=minute) for minute in range(120)]
    site = pyarrow.table({"time": times, "ch4_ppm_1": [2.0] * 120})
    parquet.write_table(site, tmp_path / "site.parquet")
    report = replay(ReplayAsked(set_name="cms_methane", path=tmp_path))
    assert (report.summary.events, report.summary.false_alarms) == (0, 0)
    parquet.write_table(site.slice(0, 0), tmp_path / "site.parquet")
    with pytest.raises(ConfigError, match="no rows"):
        replay(ReplayAsked(set_name="cms_methane", path=tmp_path))


def test_names_of_other_scripts_stay_apart_and_are_found(tmp_path: Path) -> None:
    points = ["point,quantity,unit,zone", "厨房.温度,temperature,Cel,厨房", "客厅,temperature,Cel,客厅"]
    (tmp_path / "points.csv").write_text("\n".join(points), encoding="utf-8")
    rows = [f"{t},{name},{20 if t < 60 or name == '客厅' else t - 40}" for t in range(0, 200, 2)
            for name in ("厨房.温度", "客厅")]
    (tmp_path / "readings.csv").write_text("\n".join(["t_s,point,value", *rows]), encoding="utf-8")
    (tmp_path / "events.csv").write_text("start_s,class,zone\n60,fire,厨房\n", encoding="utf-8")
    report = replay(ReplayAsked(readings=tmp_path))
    assert report.summary.missed == 0 and report.summary.false_alarms == 0 and len(report.episodes) == 1


def test_a_list_of_events_without_any_hides_no_false_alarm(tmp_path: Path) -> None:
    folder = long_form(tmp_path)
    (folder / "events.csv").write_text("experiment,event,start_s,class\n", encoding="utf-8")
    assert replay(ReplayAsked(readings=folder)).summary.false_alarms > 0


def test_a_diff_names_what_is_lost(tmp_path: Path) -> None:
    folder = long_form(tmp_path)
    rules = ROOT / "rules_engine" / "packs" / "water.yaml"
    report = diff(ReplayAsked(readings=folder, rules=(rules,)))
    assert report.lost == ("house fire@0",) and report.only_active and not report.only_changed
    assert "lost: house fire@0" in report.text()


@pytest.mark.parametrize(("file", "text", "where", "what"), [
    ("points.csv", "point,quantity\na,warmth\n", "points.csv:2", "no quantity 'warmth'"),
    ("points.csv", "point,quantity\nsma 1,temperature\nsma-1,temperature\n", "points.csv:3", "stands there twice"),
    ("points.csv", "point,quantity,unit\na,temperature,V\n", "points.csv:2", "may not be in 'V'"),
    ("points.csv", "name,quantity\na,temperature\n", "points.csv:1", "no column point"),
    ("readings.csv", "t_s,point,value\n0,nobody,1\n", "readings.csv:2", "not in points.csv"),
    ("readings.csv", "t_s,point,value\n0,sma_1,warm\n", "readings.csv:2", "'warm' is no number"),
    ("events.csv", "start_s,class\n0,flood of frogs\n", "events.csv:2", "no class"),
])
def test_bad_input_is_named_with_file_and_line(tmp_path: Path, file: str, text: str, where: str, what: str) -> None:
    long_form(tmp_path)
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        replay(ReplayAsked(readings=tmp_path))
    assert where in str(error.value) and what in str(error.value)


def test_the_command_prints_json_and_refuses_an_unknown_set(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["rules", "replay", "--readings", str(long_form(tmp_path)), "--json"])
    assert done.exit_code == 0
    printed = msgspec.json.decode(done.stdout)
    assert set(printed["summary"]) == {"events", "missed", "delay_median_s", "delay_p90_s", "delay_worst_s",
                                       "false_alarms", "sensor_hours", "false_per_sensor_year", "interval_95"}
    refused = CliRunner().invoke(app, ["rules", "replay", "--set", "nobody", "--path", str(tmp_path)])
    assert refused.exit_code == 1 and "no set 'nobody'" in refused.stderr


LONG = {"fsri_compartments", "fsri_hvac_gasburner"}  # a quarter of a minute each: read in `make soak`


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.soak] if name in LONG else []) for name in sorted(SETS)])
def test_every_recorded_set_is_readable(name: str) -> None:
    folder = SENSORS / name
    if not folder.is_dir():
        pytest.skip(f"the recorded experiments are not beside this checkout ({name})")
    report = replay(ReplayAsked(set_name=name, path=folder, to_s=7200.0))
    assert report.set == name
    assert report.summary.false_alarms == sum(episode["false"] for episode in report.episodes)
