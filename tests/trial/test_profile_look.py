"""The profile editor's look: findings at their line, samples through the gateway's map, and nothing ever raised."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.commands import check_profiles
from device_model.library import shipped_profiles
from trial.profile_look import TEXT_MAX, look_at, unplayed

SHIPPED = shipped_profiles()
TEXTS = {name: Path(profile.file).read_text(encoding="utf-8") for name, profile in SHIPPED.items()}
CLIMATE = """\
profile: my-climate
version: 1
maker: Acme
model: T1
en: climate
zh: 温湿度计
class: climate
certainty: C
source: "a manual, page 7"
modbus: {}
table: input
points:
  temperature: {quantity: temperature, unit: Cel, address: 1, type: s16, scale: 0.1, minimum: -40, maximum: 80}
  energy: {quantity: energy, unit: kW.h, address: 8, type: u32, scale: 0.01, word_order: low_first}
  door: {quantity: door_open, table: discrete_input, address: 3}
"""


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_profile_is_shown_with_values_where_it_can_be_played(name: str) -> None:
    look = look_at(TEXTS[name], {})
    assert look.ok and [point.id for point in look.points] == [point.id for point in SHIPPED[name].points]
    assert all(TEXTS[name].splitlines()[point.line - 1].strip().startswith(f"{point.id}:") for point in look.points)
    if not unplayed(SHIPPED[name]):
        assert {point.quality for point in look.points} == {"good"} and look.remarks == ()


def test_the_findings_are_those_of_the_command(tmp_path: Path) -> None:
    text = CLIMATE.replace("scale: 0.1", "scail: 0.1").replace("kW.h", "furlong")
    file = tmp_path / "profile"
    file.write_text(text, encoding="utf-8")
    said = [(f.line, f.column, f.what, f.remedy) for f in check_profiles([file])]
    look = look_at(text, {})
    assert not look.ok and [(f.line, f.column, f.what, f.remedy) for f in look.findings] == said
    assert [line for line, *_ in said] == [13, 14] and "did you mean 'scale'?" in said[0][3]


@pytest.mark.parametrize(("point", "words", "value", "unit", "quality", "reason"), [
    ("temperature", "00D7", 21.5, "Cel", "good", ""),
    ("temperature", "0xFFCE", -5.0, "Cel", "good", ""),
    ("temperature", "7FFF", None, "Cel", "bad", "out_of_limits"),
    ("energy", "86A0 0001", 1000.0, "kW.h", "good", ""),
    ("door", "1", True, "1", "good", ""),
])
def test_samples_by_hand(point: str, words: str, value: object, unit: str, quality: str, reason: str) -> None:
    look = look_at(CLIMATE, {point: words})
    row = next(row for row in look.points if row.id == point)
    assert (row.value, row.canonical_unit) == (pytest.approx(value), unit)
    assert (row.quality, row.reason, row.problem) == (quality, reason, "")


def test_how_a_row_says_its_place_and_its_arithmetic() -> None:
    rows = {row.id: row for row in look_at(CLIMATE, {"energy": "86A0 0001"}).points}
    energy = rows["energy"]
    assert (energy.place, energy.form, energy.rule) == ("input 8–9", "u32 low_first", "× 0.01")
    assert (energy.words, energy.raw) == (("86A0", "0001"), 100_000)
    assert rows["door"].place == "discrete_input 3" and rows["door"].words == ("0",)


@pytest.mark.parametrize(("words", "problem"), [
    ("zz", "hex"), ("1 2", "count"), ("", "count"), ("12345", "hex"), ("-1", "hex")])
def test_a_sample_that_is_none_is_said_and_the_old_words_stay(words: str, problem: str) -> None:
    row = look_at(CLIMATE, {"temperature": words}).points[0]
    assert (row.problem, row.words, row.value) == (problem, ("00D2",), pytest.approx(21.0))


def test_payloads_are_samples_by_topic() -> None:
    text, topic = TEXTS["zigbee2mqtt-smoke"], "zigbee2mqtt/sample"
    rows = {row.id: row for row in look_at(text, {topic: '{"smoke": true, "battery": 7}'}).points}
    assert rows["smoke"].value is True and rows["battery"].value == 7 and rows["smoke"].topic == topic
    broken = look_at(text, {topic: '{"smoke": maybe'})
    assert {(row.quality, row.value) for row in broken.points} == {("bad", None)}
    assert look_at(TEXTS["hj212-dust"], {"2011": "{"}).topics[0].problem == "json"
    assert look_at(text, {topic: "x" * 5000}).topics[0].problem == "long"


def test_bounds_and_what_is_not_played() -> None:
    assert "larger" in look_at("x" * (TEXT_MAX + 1), {}).findings[0].what
    assert "homie" in look_at(TEXTS["homie-climate"], {}).remarks[0]
    assert "gateway" in look_at(TEXTS["tocsin-gateway"], {}).remarks[0]


@given(st.data())
def test_nothing_that_a_person_types_raises(draw: st.DataObject) -> None:
    """A shipped profile with up to three things spoiled: a value, a line, a character."""
    text = TEXTS[draw.draw(st.sampled_from(sorted(TEXTS)))]
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, max(0, len(text) - 1)))
        how = draw.draw(st.sampled_from(("value", "line", "character")))
        if how == "value":
            colon = text.find(": ", at)
            end = min((n for n in (text.find(sign, colon + 2) for sign in ",}\n") if n > 0), default=len(text))
            odd = draw.draw(st.sampled_from(("1.0e+308", "-1", ".nan", "99999999999999999999", "[]",
                                             '"\\ud800"', "f64", "65536", "null", "true", "5.0e-324")))
            text = text if colon < 0 else text[:colon + 2] + odd + text[end:]
        elif how == "line":
            text = text[:at] + text[text.find("\n", at) + 1:]
        else:
            text = text[:at] + draw.draw(st.characters()) + text[at + 1:]
    look = look_at(text, {"temperature": "FFFF", "voltage": "7FC0 0000"})
    assert look.ok or (look.findings and all(finding.remedy for finding in look.findings))
