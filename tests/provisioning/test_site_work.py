"""Drafts, versions, tables and reports of the installer's day."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.install_view import WalkStep
from device_model.errors import ConfigError, LocalFault
from device_model.library import profiles_for, read_inventory, read_site
from device_model.site_file import parse_site
from edge_agent.install_words import value_words
from provisioning.acceptance import AcceptanceParts, acceptance_pdf, content_hash
from provisioning.acceptance import _Report as Report
from provisioning.device_exchange import export_devices, import_devices, read_table
from provisioning.device_table import COLUMNS, Known, as_csv, csv_rows, read_rows, rows_of
from provisioning.site_draft import (
    NewDevice,
    as_text,
    content_of,
    difference,
    first_site,
    replaced,
    token,
    with_device,
    with_line,
    with_zone,
    without_device,
)
from provisioning.site_versions import SiteVersions
from provisioning.walk_book import WalkBook

ROOT = Path(__file__).resolve().parents[2]
JPEG = b"\xff\xd8\xff\xe0" + bytes(200)


@pytest.fixture
def config(tmp_path):
    content = first_site("a/b/c/d", "gw-1", name_zh="新居", name_en="House")
    content = with_line(content, {"id": "l1", "kind": "modbus_tcp", "host": "127.0.0.1", "port": 1502})
    content = with_device(content, NewDevice("duct", "calectro-ug3", "l1", "b1-f1", 1, place_zh="风管", plan_x=120.0,
                                             plan_y=80.0))
    file = tmp_path / "site.yaml"
    SiteVersions(file).save(as_text(content), "Li Wei", "first")
    return file


def test_a_first_site_file_holds_and_grows(config):
    site = read_site(config)
    assert [device.id for device in site.devices] == ["gw-1", "duct"] and site.name.zh == "新居"
    content = with_zone(content_of(config.read_text(encoding="utf-8")), "kitchen", "厨房", "", floor="f2")
    content = with_device(content, NewDevice("gas", "gas-module-ch4", "l1", "kitchen", 2))
    grown = parse_site(as_text(content), "x", profiles_for(config))
    assert grown.zone("kitchen").floor == "f2" and [d.id for d in grown.devices][-1] == "gas"
    assert "id: gas" in difference(as_text(content), as_text(without_device(content, "gas")))
    new = replaced(content, "duct", serial="SN-2", unit=9)
    changed = next(d for d in new["devices"] if d["id"] == "duct")
    assert (changed["serial"], changed["unit"], changed["place"]["zh"]) == ("SN-2", 9, "风管")
    with pytest.raises(LookupError):
        replaced(content, "nobody")
    assert token("Smoke 3/F!", ["smoke-3-f"]) == "smoke-3-f-2"


def test_versions_are_checked_kept_shown_and_undone(config):
    versions = SiteVersions(config)
    before = versions.text()
    with pytest.raises(ConfigError):
        versions.save(before.replace("calectro-ug3", "no-such-profile"), "Li", "wrong")
    assert versions.text() == before, "a wrong file is never written"
    versions.save(before.replace("风管", "回风管"), "Wang", "moved")
    assert [(v.number, v.who, v.why) for v in versions.history()] == [(1, "Li Wei", "first"), (2, "Wang", "moved")]
    assert "+    zh: 回风管" in versions.changed(2)
    versions.undo("Wang")
    assert versions.text() == before and versions.history()[-1].why.startswith("undo of 2")


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_devices_go_out_and_come_in_unchanged(config, tmp_path, ending):
    table = tmp_path / f"devices.{ending}"
    assert export_devices(config, table) == 2
    heading, rows = read_table(table)
    assert heading == list(COLUMNS) and rows == rows_of(read_site(config))
    report = import_devices(config, table, "Li", dry_run=True)
    assert not report.errors and not report.diff and report.devices == 2


def test_every_error_of_a_table_is_named_and_nothing_is_written(config, tmp_path):
    table = tmp_path / "devices.csv"
    table.write_text("id;profile;line;unit;zone;plan_x\nHeat 1;calectro-ug33;l9;300;b1-f1;x\n"
                     "duct;calectro-ug3;l1;1;b1-f1;\nduct;calectro-ug3;l1;2;b1-f1;\n", encoding="utf-8")
    before = config.read_bytes()
    report = import_devices(config, table, "Li")
    assert {(e.row, e.column) for e in report.errors} == {
        (2, "id"), (2, "profile"), (2, "line"), (2, "unit"), (2, "plan_x"), (4, "id")}
    assert "calectro-ug3" in str(report.errors[1]) and config.read_bytes() == before
    table.write_text("id,profile,line,unit,zone\ntwin,calectro-ug3,l1,1,b1-f1\n", encoding="utf-8")
    twin = import_devices(config, table, "Li")
    assert twin.errors and config.read_bytes() == before, "two devices of one unit"
    table.write_text("id,profile,line,unit,zone\nsecond,calectro-ug3,l1,2,b1-f1\n", encoding="utf-8")
    assert import_devices(config, table, "Li", dry_run=True).diff and config.read_bytes() == before
    assert import_devices(config, table, "Li").written and len(read_site(config).devices) == 3
    SiteVersions(config).undo("Li")
    assert len(read_site(config).devices) == 2
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(LocalFault, match="no XLSX"):
        read_table(tmp_path / "broken.xlsx")


def test_a_cell_is_never_a_formula():
    row = dict.fromkeys(COLUMNS, "") | {"id": "a", "place_zh": "=HYPERLINK(1)"}
    assert "'=HYPERLINK" in as_csv([row]) and csv_rows(as_csv([row]))[1][0]["place_zh"] == "=HYPERLINK(1)"


@settings(max_examples=60)
@given(st.text(max_size=300))
def test_no_table_breaks_the_reader(text):
    heading, rows = csv_rows(text)
    devices, errors = read_rows(heading, rows, Known(frozenset({"p"}), frozenset({"l"}), frozenset({"z"})))
    assert not devices or not errors or len(rows) >= len(devices)


def test_the_book_of_tests_survives_a_cut_line_and_keeps_photos(config):
    book = WalkBook(config.parent)
    with pytest.raises(LocalFault, match="not been tested"):
        book.keep_photo("duct", JPEG)
    book.keep(WalkStep("duct", "walk", "Li", 1_000_000, result="running"))
    book.keep(WalkStep("duct", "walk", "Li", 1_000_000, result="arrived", took_ms=800, value="True"))
    name = book.keep_photo("duct", JPEG)
    assert name == hashlib.sha256(JPEG).hexdigest() and book.photo(name) == JPEG
    with (config.parent / "walk" / "records.jsonl").open("ab") as file:
        file.write(b'{"device": "du')
    assert book.newest()["duct"].photos == (name,) and len(book.steps()) == 1
    with pytest.raises(LocalFault, match="JPEG"):
        book.keep_photo("duct", b"<svg/>")
    with pytest.raises(LocalFault, match="no such photo"):
        book.photo("../../etc/passwd")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_acceptance_report_says_what_is_there_under_one_hash(config, language):
    picture = (ROOT / "docs/pictures").glob("*.jpg")
    photo = next(picture, None)
    steps = (WalkStep("duct", "walk", "Li Wei", 1_700_000_000_000_000, result="arrived", point="duct.smoke",
                      value="True", took_ms=900, delivered=True, photos=("0" * 64,)),)

    def bytes_of(name: str) -> bytes:
        if photo is None:
            raise LocalFault("there is no such photo")
        return photo.read_bytes()

    parts = AcceptanceParts(read_inventory(config), steps, (), config.parent, 1_700_000_100_000_000, 3, True,
                            bytes_of)
    pdf = acceptance_pdf(parts, language)
    assert pdf.startswith(b"%PDF") and len(pdf) > 3000
    assert content_hash(parts) != content_hash(AcceptanceParts(
        parts.inventory, (), (), config.parent, parts.at_us, 3, True, bytes_of))


@pytest.mark.parametrize(("value", "unit", "zh", "en"), [
    (True, "", "是", "yes"), (False, "", "否", "no"), (None, " ppm", "—", "—"),
    (21.0004, " °C", "21.0 °C", "21.0 °C"),
    ("text", "", "text", "text")])
def test_values_are_said_as_people_say_them(value, unit, zh, en):
    said = value_words(value, unit)
    assert (said.zh, said.en) == (zh, en)


@pytest.mark.parametrize(("language", "words", "took"), [
    ("zh", "感烟报警 是", "即时"), ("en", "smoke alarm yes", "at once")])
def test_the_report_speaks_no_programs_words(config, language, words, took):
    step = WalkStep("duct", "walk", "Li Wei", 1_700_000_000_000_000, result="arrived", point="duct.smoke",
                    value="True")
    parts = AcceptanceParts(read_inventory(config), (step,), (), config.parent, 1_700_000_100_000_000, 3, True, bytes)
    report = Report(parts, language)
    assert (report._heard(step), report._took(step)) == (words, took)
    assert report._heard(msgspec.structs.replace(step, point="gone.x", value="7.5")) == "gone.x 7.5"
