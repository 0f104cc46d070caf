"""The sheet says what the gateway does: the same bindings, the same function, every zone; and what binds wrongly."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard
from device_model.clock import Now
from device_model.errors import ConfigError
from device_model.impairment import ImpairmentRegister
from device_model.inventory import Inventory
from device_model.library import read_inventory
from device_model.site import Output, OutputPurpose, OutputState
from edge_agent.cause_effect import CauseEffect, cause_effect, output_findings
from edge_agent.cause_effect_sheet import WORDS, as_csv, as_html, as_text, sheet_rows
from edge_agent.matrix_commands import site_matrix_text
from edge_agent.outputs import OutputBook
from rules_engine import RuleSet
from rules_engine.packs import rules_of_site

FILE = Path(__file__).resolve().parents[2] / "examples" / "site" / "riverside.yaml"


@pytest.fixture(scope="module")
def site() -> tuple[Inventory, RuleSet]:
    inventory = read_inventory(FILE)
    return inventory, rules_of_site(inventory.site)


@pytest.fixture(scope="module")
def sheet(site: tuple[Inventory, RuleSet]) -> CauseEffect:
    return cause_effect(*site)


def with_output(inventory: Inventory, **changes: object) -> Inventory:
    """The site with its first output changed."""
    first, *others = inventory.site.outputs
    changed = msgspec.structs.replace(first, **changes)
    return Inventory(msgspec.structs.replace(inventory.site, outputs=(changed, *others)), inventory.profiles)


def test_every_cell_is_what_the_outputs_do(site: tuple[Inventory, RuleSet], sheet: CauseEffect) -> None:
    """Each rule raised in each of its zones moves exactly the outputs whose cell names that zone."""
    inventory, _ = site
    now = Now(1_790_000_000_000_000, 1_000_000, "boot", 0)
    tried = 0
    for cause in sheet.causes:
        for zone in cause.zones:
            book = OutputBook(inventory, ImpairmentRegister())
            step = book.transitions([AlarmTransition(
                "a-1", AlarmKey(cause.rule, "x"), AlarmState.RAISED, AlarmState.PENDING, cause.hazard,
                cause.severity, now.wall_us, now.wall_us, zone=zone)], now)
            named = {c.output for c in sheet.crossings if c.rule == cause.rule and zone in c.zones}
            assert {drive.output for drive in step.drives} == named, (cause.rule, zone)
            tried += 1
    assert tried > 20 and sheet.crossings


def test_fire_sounds_and_never_closes_water(sheet: CauseEffect) -> None:
    assert sheet.crossing("fire.smoke", "horn") is not None
    assert sheet.crossing("fire.smoke", "water-302") is None
    (water,) = [effect for effect in sheet.effects if effect.output == "water-302"]
    assert water.latching and water.purpose is OutputPurpose.WATER_VALVE_BRANCH and water.zones == ("b1-302",)
    assert water.on_restart is OutputState.HOLD and not water.proof


def test_an_output_bound_to_one_rule_follows_that_rule_alone(site: tuple[Inventory, RuleSet]) -> None:
    inventory, rules = site
    sheet = cause_effect(with_output(inventory, rules=("fire.smoke",)), rules)
    assert {c.rule for c in sheet.crossings if c.output == "horn"} == {"fire.smoke"}


def test_an_output_that_nothing_moves_is_said(site: tuple[Inventory, RuleSet]) -> None:
    inventory, rules = site
    sheet = cause_effect(with_output(inventory, hazards=(Hazard.HOT_WORK,)), rules)
    assert sheet.idle == ("horn",)
    assert "horn" in as_text(sheet, "en").splitlines()[-1]


@pytest.mark.parametrize(("rules_named", "what"), [
    (("fire.smok",), "a rule that this site does not run"),
    (("water.leak",), "whose hazard water it does not list"),
])
def test_bindings_that_cannot_be_are_found(
    site: tuple[Inventory, RuleSet], rules_named: tuple[str, ...], what: str,
) -> None:
    inventory, rules = site
    found = output_findings(with_output(inventory, rules=rules_named), rules)
    assert len(found) == 1 and what in found[0].what and found[0].remedy


def test_a_good_site_has_no_findings(site: tuple[Inventory, RuleSet]) -> None:
    assert output_findings(*site) == []


@pytest.mark.parametrize("language", ["zh", "en"])
def test_csv_and_html_hold_the_same_cells(sheet: CauseEffect, language: str) -> None:
    rows = list(csv.reader(io.StringIO(as_csv(sheet, language))))
    assert len(rows) == len(sheet_rows(sheet, language))
    assert rows[0][-len(sheet.effects):] == [effect.output for effect in sheet.effects]
    page = as_html(sheet, language)
    assert page.count("<tr>") == len(rows) - 1 and "<script" not in page and "http" not in page


def test_what_a_site_file_says_is_escaped_on_the_page_and_no_formula_in_a_spreadsheet(sheet: CauseEffect) -> None:
    evil = msgspec.structs.replace(sheet, idle=("=cmd()", "<script>"), effects=(
        msgspec.structs.replace(sheet.effects[0], output="=HYPERLINK(1)", rated_for="<b>"), *sheet.effects[1:]))
    assert "<script" not in as_html(evil) and "<b>" not in as_html(evil)
    assert all(not cell.startswith("=") for row in csv.reader(io.StringIO(as_csv(evil))) for cell in row)


def test_every_word_is_in_both_languages_and_every_purpose_has_one() -> None:
    assert all(en and zh and en != zh for en, zh in WORDS.values())
    assert {purpose.value for purpose in OutputPurpose} | {state.value for state in OutputState} <= set(WORDS)


@pytest.mark.parametrize("form", ["text", "json", "csv", "html"])
def test_the_command_gives_every_form(form: str) -> None:
    text = site_matrix_text(FILE, form, "en")
    assert "fire.smoke" in text and "horn" in text
    if form == "json":
        assert msgspec.json.decode(text, type=CauseEffect).crossings


def test_a_rule_that_is_not_there_is_refused_by_the_command(tmp_path: Path) -> None:
    water = "    hazards: [water]\n"
    text = FILE.read_text(encoding="utf-8").replace(water, water + "    rules: [no.rule]\n")
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        site_matrix_text(file, "text", "en")
    assert "no.rule" in refused.value.findings[0].what


def test_outputs_bind_by_hazard_zone_and_rule() -> None:
    from edge_agent.outputs import acts_on

    valve = Output("v", "d", "p", OutputPurpose.FILL_VALVE, (Hazard.WATER,), OutputState.OFF, OutputState.HOLD,
                   OutputState.HOLD, zones=("tank",), rules=("process.overfill",))
    table = {
        ("process.overfill", Hazard.WATER, "tank"): True,
        ("process.overfill", Hazard.WATER, ""): True,
        ("process.overfill", Hazard.WATER, "hall"): False,
        ("process.overfill", Hazard.FIRE, "tank"): False,
        ("water.leak", Hazard.WATER, "tank"): False,
    }
    for (rule, hazard, zone), moves in table.items():
        assert acts_on(valve, rule, hazard, zone) is moves
