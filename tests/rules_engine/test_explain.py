"""Rules in words: every shipped rule has words in both languages; numbers in force and points are the site's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from device_model.errors import LocalFault
from rules_engine.commands import explain_rule
from rules_engine.explain import explain
from rules_engine.packs import PACKS, read_pack
from rules_engine.rule import RuleSet
from tocsin import app

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "examples" / "site" / "riverside.yaml"
RULES = [rule for path in sorted(PACKS.glob("*.yaml")) if not path.name.endswith(".test.yaml")
         for rule in RuleSet([read_pack(path)]).deciding]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_shipped_rule_can_be_said_in_both_languages(rule):
    said = explain(rule)
    for language in ("zh", "en"):
        text = said.text(language)
        assert rule.title.in_language(language) in text and rule.source.split(":")[0] in text
        assert "param." not in said.in_words.in_language(language), "numbers in force, not their names"
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in said.in_words.en), said.in_words.en
    assert any("\u4e00" <= letter <= "\u9fff" for letter in said.in_words.zh), said.in_words.zh


@pytest.mark.parametrize(("when", "en", "zh"), [
    ("value >= param.level - 5 °C", "the value is at least 52 °C", "该值 达到或高于 52 °C"),
    ("value > 57 °C && (rise(value, 60 s) >= 5 °C || silent(value, 2 h))",
     "the value is above 57 °C and (the rise of the value within 1 min is at least 5 °C "
     "or the value is silent for 2 h)",
     "该值 高于 57 °C，且（该值在1 分钟内的升幅 达到或高于 5 °C，或该值静默超过2 小时）"),
    ("zone.count(temperature > 54 °C) >= 2",
     "the number of temperature in the zone for which (it is above 54 °C) is at least 2", None),
    ("!(value > 3 °C) && time_between(\"22:00\", \"06:00\")", "not (the value is above 3 °C) and the time is between "
     "22:00 and 06:00", None),
    ("held(value > 50 °C, 30 s)", "(the value is above 50 °C) without a break for 30 s", None),
])
def test_words_of_conditions(when, en, zh):
    from rules_engine.rule import parse_pack

    pack = parse_pack(f"""
pack: test
version: 1
title: {{en: t, zh: 测}}
rules:
- id: test.one
  version: 1
  title: {{en: One, zh: 一}}
  hazard: environment
  severity: notice
  bind: {{quantities: [temperature]}}
  when: '{when}'
  parameters: {{level: {{default: 57 °C, en: level, zh: 值}}}}
  source: made for this test
  certainty: B
  response: {{en: none, zh: 无}}
""", "test.yaml")
    said = explain(pack.rules[0])
    assert said.in_words.en == en
    assert zh is None or said.in_words.zh == zh


def test_numbers_of_a_site_and_what_it_watches(tmp_path):
    text = SITE.read_text(encoding="utf-8")
    assert "rules:" in text
    plain = explain_rule("fire.heat", SITE)
    assert plain.subjects == ("climate-3.temperature",) and plain.at_once and plain.latched
    assert plain.clears.en.endswith("a named person resets it on site")
    level = next(p for p in plain.parameters if p.name == "level")
    assert level.value == level.default or level.value in text
    with pytest.raises(LocalFault, match=r"no rule 'fire.hot'; there are: fire\."):
        explain_rule("fire.hot", None)


def test_the_command_speaks_to_people_and_machines():
    said = CliRunner().invoke(app, ["rules", "explain", "fire.heat", "--language", "zh"])
    assert said.exit_code == 0 and "报警条件" in said.stdout
    machine = json.loads(CliRunner().invoke(app, ["rules", "explain", "fire.heat", "--json"]).stdout)
    assert machine["rule"] == "fire.heat" and machine["parameters"][0]["name"] == "level"
