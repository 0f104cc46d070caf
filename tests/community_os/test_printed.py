"""Documents as people get them: Chinese and Latin words that can be read, nothing beyond the page, numbered pages."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from community_os.officer_figures import DAY_US
from community_os.report_figures import ReportFigures, period_of
from community_os.report_pdf import notice_pdf, report_pdf
from dashboards.officer import Day, OverdueCheck, PlaceFigures
from dashboards.report import NoticeDraft, Rectification
from device_model.clock import SECOND_US
from device_model.site import Text
from provisioning.printed_text import CHINESE, LATIN, is_chinese, markup, runs

ZONE = "Asia/Shanghai"
AT_US = round(datetime(2026, 3, 3, 12, tzinfo=ZoneInfo(ZONE)).timestamp()) * SECOND_US
WORD = re.compile(r'<word xMin="([-0-9.]+)" yMin="([-0-9.]+)" xMax="([-0-9.]+)" yMax="([-0-9.]+)">([^<]*)</word>')
PAGE = re.compile(r'<page width="([0-9.]+)" height="([0-9.]+)">')


@pytest.mark.parametrize(("text", "found"), [
    ("车间 Workshop", [(CHINESE, "车间"), (LATIN, " Workshop")]), ("CH₄ 60 µg/m³", [(LATIN, "CH4 60 µg/m³")]),
    ("A · B — C", [(LATIN, "A · B — C")]), ("他说“好”", [(CHINESE, "他说“好”")]), ("≤ Ⅲ ①", None),
    ("a😀b\x00c", [(LATIN, "a?bc")]), ("一\n二", [(CHINESE, "一\n二")])])
def test_each_character_is_set_in_a_font_that_has_it(text: str, found: list[tuple[str, str]] | None) -> None:
    if found is not None:
        assert runs(text) == found
    for font, part in runs(text):
        for letter in part.replace("\n", ""):
            assert is_chinese(letter) or letter.encode("cp1252"), (font, letter)


@given(st.text(max_size=60))
def test_any_text_can_be_printed(text: str) -> None:
    for font, part in runs(text):
        assert font in (LATIN, CHINESE) and part
        assert all(letter == "\n" or is_chinese(letter) or letter.encode("cp1252") for letter in part)
    assert "<script" not in markup(f"<script>{text}")


def words_of(body: bytes, folder: Path) -> list[tuple[list[float], str]]:
    """Every word with its box, checked to lie within its page."""
    program = shutil.which("pdftotext")
    if program is None:
        pytest.skip("Debian's poppler-utils is not installed")
    file = folder / "document.pdf"
    file.write_bytes(body)
    text = subprocess.run([program, "-bbox", str(file), "-"], capture_output=True, check=True).stdout.decode()
    found = []
    for page in text.split("<page ")[1:]:
        width, height = map(float, PAGE.findall("<page " + page)[0])
        for *box, word in WORD.findall(page):
            x0, y0, x1, y1 = map(float, box)
            assert x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height, (word, box)
            # Nothing but the margins' own width stays free of print.
            assert x0 >= 50 and x1 <= width - 50, (word, box)
            found.append(([x0, y0, x1, y1], word))
    assert len(text.split("<page ")) > 1
    return found


def figures(count: int) -> ReportFigures:
    sites = tuple(PlaceFigures(
        f"hangzhou/yuhang/cangqian/s{n}", Text(f"Works number {n} of a long name", f"第{n}号试验工厂"), sites=1,
        expected=9999, connected=9999, proven=9999, handled_s=5400.0) for n in range(count))
    overdue = tuple(OverdueCheck(sites[0].path, sites[0].name, Text("Weekly walk of the hydrants", "每周消火栓巡查"),
                                 "赵敏", AT_US) for _ in range(3))
    period = period_of("week", AT_US, ZoneInfo(ZONE))
    days = tuple(Day(period.from_us + n * DAY_US, 3, 2, 1, 0) for n in range(7))
    return ReportFigures(AT_US, period, "hangzhou", Text("Hangzhou", "杭州"), sites[0], sites, (("fire", 21),), days,
                         overdue, 2, ZONE)


@pytest.mark.parametrize(("language", "expected"), [("zh", ("安全周报", "单位", "第3号试验工厂")),
                                                    ("en", ("Weekly", "Proven", "Works"))])
def test_a_report_is_whole_within_its_pages_and_they_are_counted(tmp_path, language, expected) -> None:
    words = words_of(report_pdf(figures(60), language), tmp_path)
    text = "".join(word for _, word in words)
    assert all(word in text for word in expected)
    assert any(word == "2" for _, word in words) and "1/3" in text.replace(" ", "") and "3/3" in text.replace(" ", "")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_notice_says_what_was_written_in_both_scripts(tmp_path, language) -> None:
    draft = NoticeDraft("焊接工位旁堆放油漆桶 12 只；CH₄ 28 %LEL · 60 µg/m³", "GB 55037-2022 Ⅲ类",
                        "立即清除可燃物，" * 120, 7.0, "河滨焊接公司")
    notice = Rectification("R1", "整改〔2026〕第0001号", "a/b/c/d", Text("Works", "试验工厂"), AT_US, AT_US,
                           "Li 李娜", draft, 0, "", "")
    text = "".join(word for _, word in words_of(notice_pdf(notice, language, ZONE), tmp_path))
    for word in ("责令整改通知书", "整改〔2026〕第0001号", "CH428%LEL·60µg/m³", "Ⅲ类", "2026-03-03", "李娜", "1/1"):
        assert word in text
    assert ("Rectification" in text) == (language == "en")
