"""Batches: files and lines read with every finding, tables that open, a night that goes on where it was cut."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.errors import ConfigError
from device_model.system_clock import SystemClock
from trial.batch import Batch, Unit, UnitResult, as_csv, batch_page, parse_batch, parse_lines
from trial.batch_run import BatchRun

FILE = """
batch: night
tester: Chen Jing
units:
  - {serial: SN-1, firmware: "2.4", test: sdm120}
  - {serial: SN-2, test: no-such-scenario, seed: 3}
"""


def test_a_file_reads() -> None:
    assert parse_batch(FILE, "night.yaml") == Batch(
        "night", (Unit("SN-1", "sdm120", "2.4"), Unit("SN-2", "no-such-scenario", "", 3)), "Chen Jing")


@pytest.mark.parametrize(("text", "words"), [
    ("batch: x\nunits: []\n", "name 1 to"),
    ("batch: x\nunits: [{serial: '', test: y}]\n", "must be said"),
    ("batch: x\nunits: [{serial: a, test: y}, {serial: a, test: y}]\n", "stands twice"),
    ("batch: x\nunits: [{serial: a, test: y, seed: often}]\n", "Expected `int"),
    ("units: 7\n", "batch"),
])
def test_every_mistake_is_named(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_batch(text, "night.yaml")
    assert words in str(refusal.value)


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_any_typed_lines_are_units_or_findings(text: str) -> None:
    try:
        batch = parse_lines(text, "typed")
    except ConfigError as refusal:
        assert refusal.findings
    else:
        assert batch.units and all(unit.serial and unit.test for unit in batch.units)


def test_the_tables_hold_every_unit_and_no_formula_or_markup_runs() -> None:
    results = [UnitResult("=cmd()", "1.0", "sdm120", "pass"),
               UnitResult("<b>", "2", "x", "fail", 4, 2, detail="说明")]
    rows = list(csv.reader(io.StringIO(as_csv(results).removeprefix("\ufeff"))))
    assert rows[1][0] == "'=cmd()" and rows[2][3:6] == ["4", "fail", "2"]
    page = batch_page(Batch("night", (), "Chen"), results, "en")
    assert "&lt;b&gt;" in page and "<b>" not in page and "2 units: 1 pass, 1 fail, 0 not tested" in page
    assert "不通过" in batch_page(Batch("night", ()), results, "zh")


async def test_a_night_that_was_cut_goes_on_where_it_stood(tmp_path: Path) -> None:
    batch = parse_batch(FILE, "night.yaml")
    done = UnitResult("SN-1", "2.4", "sdm120", "pass", detail="of the first night")
    other = UnitResult("SN-9", "1", "sdm120", "fail")
    torn = msgspec.json.encode(done)[:20]
    (tmp_path / "night.jsonl").write_bytes(b"\n".join([msgspec.json.encode(done), msgspec.json.encode(other), torn]))
    told: list[str] = []
    work = BatchRun(batch, tmp_path, SystemClock())
    results = await work.run(lambda result: told.append(result.serial))
    assert told == ["SN-2"] and [result.verdict for result in results] == ["pass", "error"]
    assert "no such scenario" in results[1].detail and work.done
    assert "of the first night" in work.csv_file.read_text(encoding="utf-8-sig")
    again = BatchRun(batch, tmp_path, SystemClock())
    await again.run(lambda result: told.append(result.serial))
    assert told == ["SN-2"] and len(again.results) == 2


async def test_a_profile_is_tested_by_its_checklist(tmp_path: Path) -> None:
    work = BatchRun(Batch("one", (Unit("SN-1", "sdm120"),)), tmp_path, SystemClock())
    (result,) = await work.run()
    assert (result.verdict, result.deviations) == ("pass", 0) and result.took_s >= 0 and result.began
