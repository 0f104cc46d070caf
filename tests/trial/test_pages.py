"""The pages that are written from packs and scenarios: complete, and shown to people."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules_engine.packs import pack_names, shipped_packs
from tools.pages import PAGES, pack_page, scenario_page
from trial.scenario_files import shipped_scenarios

ROOT = Path(__file__).resolve().parents[2]


def test_every_rule_stands_there_with_its_numbers_and_source() -> None:
    page = pack_page()
    for rule in shipped_packs(pack_names()).deciding:
        row = next(line for line in page.splitlines() if line.startswith(f"| {rule.id} |"))
        assert rule.title.zh in row and rule.title.en in row
        assert rule.source.replace("|", "\\|") in row
        for name, parameter in rule.parameters.items():
            assert f"{name} **{parameter.default}**" in row


def test_every_scenario_stands_there_with_what_it_is_proved_by() -> None:
    page = scenario_page()
    assert all(f"| {name} |" in page for name in shipped_scenarios())
    assert "*bare-threshold*" in page


@pytest.mark.parametrize("name", PAGES)
def test_the_page_in_the_docs_is_of_this_kind(name: str) -> None:
    shown = (ROOT / name).read_text(encoding="utf-8").splitlines()
    fresh = PAGES[name]().splitlines()
    assert shown[0] == fresh[0]
    # What the docs name exists: `make golden` adds what is new.
    heads = {line.split("|")[1].strip() for line in fresh if line.startswith("| ")}
    gone = {line.split("|")[1].strip() for line in shown if line.startswith("| ")} - heads
    assert not gone, f"run `make golden`: {sorted(gone)}"
