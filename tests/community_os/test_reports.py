"""Reports, rectification notices and dossiers: the right days, rows that stand, documents that can be read."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from community_os.officer_service import OfficerService
from community_os.officer_store import OfficerStore
from community_os.report_commands import report_of
from community_os.report_figures import COLUMNS, csv_of, period_of
from community_os.report_service import ReportService
from community_os.report_words import WORDS
from community_os.store import IncidentStore, inline
from dashboards.officer import PlaceFigures
from dashboards.report import NoticeDraft
from device_model.clock import SECOND_US
from device_model.errors import LocalFault
from device_model.library import read_inventory
from device_model.site import Text
from device_model.system_clock import SystemClock

SHANGHAI = ZoneInfo("Asia/Shanghai")
PATH = "hangzhou/yuhang/cangqian/lakeside"


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp()) * SECOND_US


@pytest.fixture
def reports(request) -> ReportService:
    store = IncidentStore("sqlite://")
    store.open()
    sites = {PATH: read_inventory(request.config.rootpath / "demo/sites/lakeside.yaml")}
    clock = SystemClock()
    return ReportService(store, inline, OfficerService(store, inline, None, clock, sites=sites), clock, sites=sites)


@pytest.mark.parametrize(("name", "now", "first", "last"), [
    ("day", "2026-03-03T00:00:01", "2026-03-02T00:00", "2026-03-03T00:00"),
    ("week", "2026-03-03T09:00", "2026-02-23T00:00", "2026-03-02T00:00"),
    ("week", "2026-03-02T00:00", "2026-02-23T00:00", "2026-03-02T00:00"),
    ("month", "2026-03-01T00:00", "2026-02-01T00:00", "2026-03-01T00:00"),
    ("month", "2026-01-15T12:00", "2025-12-01T00:00", "2026-01-01T00:00")])
def test_a_period_is_the_last_whole_one_of_local_time(name: str, now: str, first: str, last: str) -> None:
    period = period_of(name, at(now), SHANGHAI)
    assert (period.from_us, period.to_us) == (at(first), at(last))


def test_a_week_with_a_clock_change_has_its_true_length() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    now = round(datetime(2026, 3, 31, 12, tzinfo=berlin).timestamp()) * SECOND_US
    period = period_of("week", now, berlin)
    assert (period.to_us - period.from_us) // SECOND_US == 7 * 86_400 - 3600


def test_an_unknown_period_or_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="one of day, week, month"):
        period_of("year", at("2026-03-03"), SHANGHAI)


async def test_a_report_comes_as_pdf_and_csv(reports: ReportService) -> None:
    for language in ("zh", "en"):
        pdf = await reports.report("hangzhou", "week", "pdf", language)
        assert pdf.body.startswith(b"%PDF-") and pdf.name.endswith("hangzhou.pdf")
        assert (b"STSong-Light" in pdf.body) == (language == "zh")
    sheet = await reports.report("", "month", "csv", "zh")
    rows = list(csv.DictReader(io.StringIO(sheet.body.decode("utf-8-sig"))))
    assert [row["name"] for row in rows] == ["全部单位", "湖畔雅苑"] and tuple(rows[0])[:len(COLUMNS)] == COLUMNS
    with pytest.raises(ValueError, match="pdf or csv"):
        await reports.report("", "day", "docx", "zh")


async def test_no_cell_of_a_csv_is_a_formula(reports: ReportService) -> None:
    from community_os.report_figures import ReportFigures

    period = period_of("day", at("2026-03-03"), SHANGHAI)
    evil = PlaceFigures("a/b/c/d", Text("=cmd|' /C calc'!A0", "=1+1"), 1)
    figures = ReportFigures(0, period, "", Text("@x", "@x"), evil, (evil,), (), (), (), 0, "Asia/Shanghai")
    rows = list(csv.reader(io.StringIO(csv_of(figures, "zh").decode("utf-8-sig"))))
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "@", "+", "-")]


async def test_a_notice_gets_the_next_number_a_deadline_and_a_document(reports: ReportService) -> None:
    draft = NoticeDraft("疏散通道堵塞", "《消防法》第二十八条", "立即清理", 7.0, "湖畔雅苑物业")
    first, second = await reports.issue(PATH, draft, "李娜"), await reports.issue(PATH, draft, "李娜")
    assert first.number.endswith("第0001号") and second.number.endswith("第0002号")
    assert first.due_us - first.issued_us == 7 * 86_400 * SECOND_US
    document = await reports.notice(first.id, "hangzhou")
    assert document is not None and document.body.startswith(b"%PDF-")
    assert await reports.notice(first.id, "hangzhou/xihu") is None
    assert await reports.done(first.id, "hangzhou", "孙波", "") != ""
    assert await reports.done(first.id, "hangzhou/xihu", "孙波", "seen") != ""
    assert await reports.done(first.id, "hangzhou", "孙波", "通道已清理") == ""
    assert "already" in await reports.done(first.id, "hangzhou", "孙波", "again")
    page = await reports.page("hangzhou")
    assert [(one.number[-6:], one.done_by) for one in page.notices] == [
        ("第0002号"[-6:], ""), ("第0001号"[-6:], "孙波")]


@pytest.mark.parametrize(("path", "change", "says"), [
    ("a/b/c/d", {}, "no such site"), (PATH, {"facts": " "}, "are needed"), (PATH, {"days": 0.0}, "1 to 366"),
    (PATH, {"days": float("nan")}, "1 to 366"), (PATH, {"clause": "x" * 2001}, "2,000"),
    (PATH, {"incident": "i-none"}, "no such incident")])
async def test_a_notice_that_says_too_little_is_not_issued(
        reports: ReportService, path: str, change: dict[str, object], says: str) -> None:
    draft = NoticeDraft(**{"facts": "f", "clause": "c", "demand": "d", "days": 3.0, "to": "x", **change})
    with pytest.raises(ValueError, match=says):
        await reports.issue(path, draft, "Li")


async def test_markup_in_facts_is_text(reports: ReportService) -> None:
    draft = NoticeDraft("<b>& <img src=x>", "<para>", "</font>", 1.0, "<x>")
    issued = await reports.issue(PATH, draft, "Li")
    document = await reports.notice(issued.id, "")
    assert document is not None and document.body.startswith(b"%PDF-")


def test_the_command_writes_files_and_says_what_is_missing(tmp_path) -> None:
    config = tmp_path / "cloud.yaml"
    config.write_text(f"state: {tmp_path}/state\nsign_in: required\n")
    written = report_of(config, "week", "", pdf=tmp_path / "out/week.pdf", csv=None, language="zh")
    assert (tmp_path / "out/week.pdf").read_bytes().startswith(b"%PDF-") and written.bytes[0] > 1000
    with pytest.raises(LocalFault, match="--pdf"):
        report_of(config, "week", "", pdf=None, csv=None, language="zh")
    with pytest.raises(LocalFault, match="one of day"):
        report_of(config, "year", "", pdf=tmp_path / "x.pdf", csv=None, language="zh")
    with pytest.raises(LocalFault, match="no incident"):
        report_of(config, "week", "", pdf=tmp_path / "x.pdf", csv=None, language="zh", dossier="i-none")


def test_every_word_stands_in_both_languages() -> None:
    assert all(text.en.strip() and text.zh.strip() for text in WORDS.values())


def test_numbers_of_notices_have_no_hole_and_no_double_with_several_writers(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/incidents.sqlite"
    IncidentStore(url).open()

    def writer(name: str) -> list[str]:
        store = IncidentStore(url)  # a process has a store of its own
        own = OfficerStore(store)
        names = [own.put_numbered("notice", PATH, "R2026-hangzhou", lambda n: str(n).encode(), within="hangzhou",
                                  who=name, why="x", at_us=n).name for n in range(5)]
        store.close()
        return names

    with ThreadPoolExecutor(4) as pool:
        taken = [name for names in pool.map(writer, "abcd") for name in names]
    assert sorted(taken) == [f"R2026-hangzhou-{n:04d}" for n in range(1, 21)]
    own = OfficerStore(IncidentStore(url))
    assert own.put_numbered("notice", PATH, "R2026-hang", lambda n: b"", within="hangzhou", who="e", why="x",
                            at_us=1).name == "R2026-hang-0001"  # a longer name of the same beginning does not count
    assert own.put_numbered("notice", PATH, "R2027-hangzhou", lambda n: b"", within="hangzhou", who="e", why="x",
                            at_us=1).name == "R2027-hangzhou-0001"
