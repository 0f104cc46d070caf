"""Rule files: errors with line and column, parameters of a site, the shipped packs and the tests beside them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from device_model.alarm import ALWAYS_LATCHED, Hazard
from device_model.errors import ConfigError
from rules_engine.commands import check_rules, run_rule_tests
from rules_engine.packs import PACKS, pack_names, rules_of_site, shipped_packs
from rules_engine.rule import parse_pack
from rules_engine.rule_tests import read_series
from tests.rules_engine.rule_house import House, inventory, rule, rule_set

HEAD = "pack: t\nversion: 1\ntitle: {en: T, zh: 测}\nrules:"


def findings(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ConfigError) as caught:
        parse_pack(text, "f.yaml")
    assert all(finding.remedy and finding.file == "f.yaml" for finding in caught.value.findings)
    return [(finding.line, finding.column, finding.what) for finding in caught.value.findings]


def test_an_error_inside_a_condition_points_at_the_word() -> None:
    for written, line, column in (
        ("    when: value > 10 %LEL\n", 14, 19),
        ("    when: 'value > 10 %LEL'\n", 14, 20),
        ('    when: "value > 10 %LEL"\n', 14, 20),
        ("    when: >-\n      value < 80 °C\n      && value > 10 %LEL\n", 16, 18),
        ("    when: |\n      value\n      > 10 %LEL\n", 16, 9),
    ):
        text = HEAD + rule("@")[:-1].rpartition("\n")[0] + "\n" + written
        ((at, col, what),) = findings(text)
        assert (at, col) == (line, column) and what == "10 %LEL cannot be a number in °C", written


@pytest.mark.parametrize(("text", "line", "what"), [
    (rule("value > 5 °C", id="Wrong"), 5, "not a rule id"),
    (rule("value > 5 °C", id="t.unknown"), 5, "engine uses itself"),
    (rule("value > 5 °C", bind="{quantities: [warmth]}"), 13, "not a quantity"),
    (rule("value > 5 °C", bind="{per: zone, quantities: [temperature]}"), 13, "exactly when it is per point"),
    (rule("value > 5 °C", bind="{quantities: [temperature, humidity]}"), 13, "do not share one unit"),
    (rule("value > 5 °C", hazard="flames"), 8, "hazard"),
    (rule("value > 5 °C", for_="10 °C"), 15, "10 °C cannot be"),
    (rule("value > 5 °C", keep="soon"), 15, "'soon' is not known"),
    (rule("value > 5 °C", clear="value < 5 ppm"), 15, "5 ppm cannot be"),
    (rule("value > 5 °C", colour="red"), 15, "unknown key 'colour'"),
    (rule("value > param.x", parameters="{x: {default: 5 ppm, en: x, zh: x}}"), 14, "5 ppm cannot be"),
    (rule("value > param.x", parameters="{x: {default: hot, en: x, zh: x}}"), 15, "not a fixed value"),
    (rule("value > param.x", parameters="{x: {default: 5 °C, least: 6 °C, en: x, zh: x}}"), 15, "below 6 °C"),
    (rule("value > param.x", parameters="{x: {default: 5 °C, most: 6 s, en: x, zh: x}}"), 15, "does not fit"),
    (rule("value > 5 °C").replace('"a standard, clause 1"', '""'), 10, "no source"),
    (rule("value > 5 °C", hazard="fire").replace("certainty: A", "certainty: C"), 11, "life-safety rule"),
    (rule("value > 5 °C").replace("zh: 标题", "zh: ''"), 7, "empty in one language"),
])
def test_errors_of_a_rule_name_their_line(text: str, line: int, what: str) -> None:
    found = findings(HEAD + text)
    assert any(what in message for _, _, message in found), found
    assert next(at for at, _, message in found if what in message) == line


def test_all_errors_of_a_file_are_reported_at_once() -> None:
    text = HEAD + rule("value > 5 ppm") + rule("valu > 5 °C", id="t.two") + rule("value > 5 °C", id="t.two")
    assert len(findings(text)) == 3
    with pytest.raises(ConfigError, match="stands twice"):
        rule_set(rule("value > 5 °C"), rule("value > 5 °C"))


LEVEL = "{level: {default: 50 °C, least: 40 °C, most: 60 °C, en: level, zh: 值}, wait: {default: 5 s, en: w, zh: w}}"


def test_a_site_sets_its_own_numbers_within_bounds() -> None:
    house = House({"a.t": "temperature"}, rule("value > param.level", for_="param.wait", parameters=LEVEL))
    changed = house.rules.with_parameters({"t.rule": {"level": "315 K", "wait": "1 min"}}, "site.yaml")
    assert changed.rules["t.rule"].for_us == 60_000_000
    assert changed.rules["t.rule"].fingerprint != house.rules.rules["t.rule"].fingerprint
    for name, text, what in (("level", "39 °C", "below"), ("level", "61 °C", "above"),
                             ("level", "50 ppm", "does not fit"),
                             ("levle", "50 °C", "no parameter"), ("level", "hot", "not a fixed value")):
        with pytest.raises(ConfigError, match=what):
            house.rules.with_parameters({"t.rule": {name: text}}, "site.yaml")
    with pytest.raises(ConfigError, match="in no chosen pack"):
        house.rules.with_parameters({"t.other": {}}, "site.yaml")


def test_the_shipped_packs_pass_their_tests_and_each_rule_is_tested() -> None:
    assert set(pack_names()) >= {"fire", "co", "gas", "water", "device"}
    assert check_rules([PACKS]) == []
    report = run_rule_tests(None)
    assert report.failed == 0 and report.passed > 30, report.text()
    for name in pack_names():
        tests = (PACKS / f"{name}.test.yaml").read_text(encoding="utf-8")
        untested = [one.id for one in shipped_packs([name]).deciding if f"{one.id} " not in tests]
        assert not untested, f"{name}: no test raises {untested}"


def test_shipped_rules_latch_cite_and_never_judge_faults_as_incidents() -> None:
    rules = shipped_packs(pack_names()).deciding
    for one in rules:
        assert one.latched or one.hazard not in ALWAYS_LATCHED, one.id
        assert any(word in one.source for word in (
            "thresholds.md", "alarm_quality.md", "DESIGN", "hot_work.md", "GB ", "[KNOWN]", "[INFER]")), one.id
        assert (one.hazard is Hazard.FAULT) == one.id.startswith("device."), one.id
        assert one.unknown_after_us > 0 or one.hazard not in ALWAYS_LATCHED, one.id


def test_a_failing_test_says_where_and_what(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(HEAD + rule("value > 5 °C"), encoding="utf-8")
    (tmp_path / "p.test.yaml").write_text(
        "pack: p.yaml\ntests:\n  - name: n\n    points: {a.t: {quantity: temperature}}\n    series: {a.t: 1 6}\n"
        "    expect:\n      - {at: 10 s, alarms: []}\n      - {at: 20 s, alarms: [t.rule a.t held]}\n",
        encoding="utf-8")
    report = run_rule_tests([tmp_path / "p.yaml"])
    assert (report.passed, report.failed) == (0, 1)
    assert "p.test.yaml:7: at 10 s: unexpected ['t.rule a.t raised']" in report.text()
    assert "p.test.yaml:8: at 20 s: missing ['t.rule a.t held']" in report.text()
    assert msgspec.json.encode(report)
    (tmp_path / "q.test.yaml").write_text(
        "pack: p.yaml\ntests:\n  - name: n\n    points: {a.t: {quantity: warmth}}\n"
        "    series: {a.t: 1 hot, b.t: 1 2}\n"
        "    expect:\n      - {at: soon, alarms: []}\n", encoding="utf-8")
    found = check_rules([tmp_path / "q.test.yaml", tmp_path / "gone.yaml"])
    assert [finding.line for finding in found] == [4, 5, 5, 7, 0]
    assert run_rule_tests([tmp_path / "gone.test.yaml"]).failed == 1


def test_series_notation() -> None:
    assert read_series("5 -1.5x2 20+5x3 5-1x2 true _x2 =") == [
        5.0, -1.5, -1.5, 20.0, 25.0, 30.0, 5.0, 4.0, True, None, None, ""]
    assert read_series("bad:silentx2 text:open") == ["silent", "silent", "open"]
    for wrong in ("hot", "bad:tired", "5x99999"):
        with pytest.raises(ValueError, match=wrong.partition("x")[0]):
            read_series(wrong)


def test_a_site_chooses_packs_files_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(HEAD + rule("value > 5 °C"), encoding="utf-8")
    site = inventory({"a.t": "temperature"}).site
    chosen = msgspec.structs.replace(site.rules, packs=("fire",), files=("own.yaml",),
                                     parameters={"fire.heat": {"level": "60 °C"}})
    rules = rules_of_site(msgspec.structs.replace(site, rules=chosen, file=str(tmp_path / "site.yaml")))
    assert {"t.rule", "fire.heat", "fire.heat.unknown"} <= set(rules.rules)
    with pytest.raises(ConfigError, match="no shipped pack 'fier'"):
        shipped_packs(["fier"])
