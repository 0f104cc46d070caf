"""The report: one page that needs nothing else, in both languages, with everything an acceptance file wants."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trial.commands import run_trial, sim_run
from trial.plot import Mark, plot_svg, ticks_of
from trial.report import write_report
from trial.report_page import report_page
from trial.verdict import Verdict

VOID = {"meta", "line", "path", "br"}


class Balance(HTMLParser):
    """Finds tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<line/>` opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(tag)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_stands_alone_and_says_everything(tmp_path: Path, language: str) -> None:
    verdict, witness, setup = run_trial("water-leak")
    files = write_report(tmp_path, verdict, witness, setup, language=language, tester="<Chen & Jing>")
    page = files[1].read_text(encoding="utf-8")
    balance = Balance()
    balance.feed(page)
    assert not balance.wrong and not balance.stack
    assert not re.search(r"https?:|src=|<script|@import|url\(", page), "no outside host, no script"
    assert "&lt;Chen &amp; Jing&gt;" in page
    for wanted in (verdict.digest, setup.hashes.scenario, setup.hashes.site, *setup.hashes.packs.values(), "<svg",
                   "water.leak", {"zh": "通过", "en": "PASS"}[language], {"zh": "签字", "en": "Signature"}[language]):
        assert wanted in page
    assert msgspec.json.decode(files[0].read_bytes(), type=Verdict).digest == verdict.digest


def test_a_run_without_protection_says_so_first() -> None:
    verdict, witness, setup = run_trial("water-leak", disabled=("water-valve",))
    page = report_page(verdict, witness, setup, language="en")
    assert "FAIL" in page and "water-valve" in page[:page.index("<h2>")]


def test_exit_codes_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim_run("water-leak", as_json=True) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["verdict"] == "pass"
    assert sim_run("water-leak", as_json=True, disabled=("water-valve",)) == 1
    assert msgspec.json.decode(capsys.readouterr().out)["without"] == ["water-valve"]
    assert sim_run("water-leak", as_json=True, proving=True) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["without"] == {"water.leak": "fail", "water-valve": "fail"}
    assert sim_run("no-such-scenario") == 1
    assert "no such scenario" in capsys.readouterr().err


numbers = st.floats(-1e9, 1e9)


@given(st.lists(st.tuples(st.floats(0, 1e5), st.none() | numbers), max_size=40), st.floats(1, 1e5))
def test_any_samples_make_a_plot_of_finite_numbers(samples: list[tuple[float, float | None]], end_s: float) -> None:
    svg = plot_svg("<a&b>", "m", samples, end_s, [Mark(end_s / 2, "<fire>", "alarm")], steps=True)
    assert "nan" not in svg and "inf" not in svg and "<a&b>" not in svg and "<fire>" not in svg
    assert bool(svg) == any(value is not None for _, value in samples)


@given(numbers, numbers)
def test_ticks_cover_what_is_shown(one: float, other: float) -> None:
    low, high = sorted((one, other))
    ticks = ticks_of(low, high)
    assert ticks[0] <= low + abs(low) * 1e-9 + 1e-9 and ticks[-1] >= high - abs(high) * 1e-9 - 1e-9
    assert 2 <= len(ticks) <= 8 and ticks == sorted(ticks)
