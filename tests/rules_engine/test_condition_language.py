"""The language: grammar, units, three values, errors with their column, bounds, and a parser that only refuses."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.errors import ConfigError
from rules_engine import ConditionError, Vocabulary, check_condition, parse_condition, parse_pack
from rules_engine.condition_types import BOOL, SECONDS, Literal, Type, type_of_quantity
from tests.rules_engine.rule_house import House, rule

TEMPERATURE = Vocabulary(type_of_quantity("temperature"), {"level": Literal(0, 57.0, "Cel"), "on": Literal(0, True)})


def check(text: str, quantity: str = "temperature", wanted: Type = BOOL):
    words = Vocabulary(type_of_quantity(quantity), TEMPERATURE.parameters)
    return check_condition(parse_condition(text), words, wanted)


GOOD = [
    ("value > 57 °C", "temperature"), ("value >= 57℃ && value < 330 K", "temperature"),
    ("value > param.level", "temperature"), ("param.on || value > param.level", "temperature"),
    ("value >= 10 %LEL", "combustible_gas"), ("value > 0.5 dB/m", "obscuration"), ("value > 0.05 1/m", "obscuration"),
    ("rise(value, 60 s) > 8.3 °C", "temperature"), ("rise(value, 1 min) > 8.3 K", "temperature"),
    ("rate(value, 5 min) > 5 °C/min", "temperature"), ("value - baseline(value, 2 h) > 5 K", "temperature"),
    ("value > mean(value, 10 min) + 5 °C", "temperature"), ("2 * (value - 10 °C) > 5 °C", "temperature"),
    ("delta(value, 60 s) / 60 s > 1 °C/min", "temperature"), ("value / 2 °C > 3", "temperature"),
    ("rate(value, 1 min) * 10 min > 8 °C", "temperature"), ("abs(delta(value, 10 s)) > 0.05 MPa", "pressure"),
    ("held(value > 5 °C, 30 s) && !seen(value < 0 °C, 1 h)", "temperature"), ("value", "smoke_alarm"),
    ("!value && known(value)", "smoke_alarm"), ("value == false", "smoke_alarm"), ("age(value) > 10 min", "co"),
    ('reason(value) == "over_range" || quality(value) != "good"', "co"), ("silent(value, 2 h)", "co"),
    ("dose(value, 30 ppm, 50 ppm, 1.35) >= 80 min", "co"),
    ("zone.any(smoke_alarm) || site.zones(smoke_alarm) >= 2", "co"),
    ("zone.count(temperature > 54 °C) >= 2", "co"), ("zone.max(temperature) > 54 °C", "co"),
    ("site.count(rise(temperature, 60 s) > 5 K) * 2 > 3", "co"), ("device.all(silent(point))", "co"),
    ("floor.mean(temperature) < 5 °C", "co"), ("device.head_present", "co"), ("value > -5 °C", "temperature"),
    ('local_hour >= 22 || weekday == 7 || time_between("22:00", "06:00")', "co"),
    ('on_dates("2026-10-01", "2026-10-02")', "co"), ("1 + 2 * 3 == 7", "co"), ("value > 1.5e1 °C", "temperature"),
    ("value == 3", "state_code"), ('value == "open"', "text"), ("value > 25 cm", "level"), ("value > 24 h", "uptime"),
]


@pytest.mark.parametrize(("text", "quantity"), GOOD)
def test_what_the_language_can_say(text: str, quantity: str) -> None:
    assert check(text, quantity).type is BOOL


WRONG = [  # text, quantity, column, part of the message
    ("value > 10 %LEL", "temperature", 8, "10 %LEL cannot be a number in °C"),
    ("value > param.level", "combustible_gas", 8, "57 °C cannot be"),
    ("value + 5 s > 3 °C", "temperature", 8, "5 s cannot be"),
    ("value > 57", "temperature", 8, "57 cannot be"),
    ("value > 57 °C &&", "temperature", 16, "ends too early"),
    ("value > 57 °C and value < 60 °C", "temperature", 14, "'and' is not expected"),
    ("value = 57 °C", "temperature", 6, "'=' means nothing"),
    ("value > 57 foo", "temperature", 11, "'foo' is not a unit"),
    ("valu > 57 °C", "temperature", 0, "'valu' is not known"),
    ("temperature > 57 °C", "temperature", 0, "of which point"),
    ("value > param.levle", "temperature", 8, "no parameter 'levle'"),
    ("ris(value, 60 s) > 1 °C", "temperature", 0, "no function 'ris'"),
    ("rise(value) > 1 °C", "temperature", 0, "takes 2"),
    ("rise(value, 60 °C) > 1 °C", "temperature", 12, "60 °C cannot be"),
    ("rise(value, 9 d) > 1 °C", "temperature", 12, "not a length of time"),
    ("rise(value, value) > 1 °C", "temperature", 12, "fixed length"),
    ("rise(5 °C, 60 s) > 1 °C", "temperature", 5, "a point is expected"),
    ("mean(value, 60 s)", "smoke_alarm", 5, "not a number"),
    ("value && true", "temperature", 0, "not true/false"),
    ("value > true", "temperature", 6, "is compared with"),
    ("value < false", "smoke_alarm", 6, "has no order"),
    ("1 < 2 < 3", "temperature", 6, "two comparisons"),
    ("(value > 5 °C", "temperature", 13, "')' is missing"),
    ("zone.any(zone.any(smoke_alarm))", "co", 9, "inside an aggregate"),
    ("zone.any(smoke_alarm && heat_alarm)", "co", 24, "one aggregate looks at one quantity"),
    ("zone.any(true)", "co", 9, "no quantity"),
    ("zone.some(smoke_alarm)", "co", 0, "no zone.some"),
    ("house.any(smoke_alarm)", "co", 0, "no scope"),
    ("zone.any(point)", "co", 9, "no common value"),
    ('time_between("25:00", "06:00")', "co", 13, "not a time of day"),
    ('on_dates("1 May")', "co", 9, "not a date"),
    ("dose(value, 50 ppm, 30 ppm, 1.3) > 1 min", "co", 12, "above the floor"),
    ("value > 5 ppm # high", "co", 14, "'#' means nothing"),
    ("reason(value) == over", "co", 17, "'over' is not known"),
    ('reason(value) == "over', "co", 17, "does not end"),
    ("value * value > 5 °C", "temperature", 6, "has no unit"),
    ("value > 5", "temperature", 8, "5 cannot be"),
    ("", "temperature", 0, "ends too early"),
    ("5", "temperature", 0, "not true/false"),
    ("value > 1e400 °C", "temperature", 8, "too large"),
]


@pytest.mark.parametrize(("text", "quantity", "column", "message"), WRONG)
def test_errors_name_the_place_and_a_remedy(text: str, quantity: str, column: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        check(text, quantity)
    assert message in caught.value.what
    assert caught.value.offset == column
    assert caught.value.remedy


def test_source_depth_and_terms_are_bounded() -> None:
    for text, message in (("(" * 40 + "true" + ")" * 40, "nested deeper"), ("!" * 40 + "true", "nested deeper"),
                          (" || ".join(["true"] * 201), "more than 200 terms"), ("true" + " " * 2048, "2048 bytes")):
        with pytest.raises(ConditionError) as caught:
            check(text)
        assert message in caught.value.what


def test_lengths_of_time_agree() -> None:
    terms = {check(text, wanted=SECONDS).value for text in ("120 s", "2 min", "120000 ms")}  # type: ignore[attr-defined]
    assert terms == {120.0}


def test_a_difference_of_temperature_has_no_zero_point() -> None:
    absolute, difference = check("value > 300 K"), check("rise(value, 60 s) > 10 K")
    assert absolute.right.value == pytest.approx(26.85)  # type: ignore[attr-defined]
    assert difference.right.value == 10.0  # type: ignore[attr-defined]


# --- three values: Kleene's tables, by bits that are true, false, or never read ---

KLEENE = {
    "a__x && b__x": lambda a, b: False if a is False or b is False else None if a is None or b is None else True,
    "a__x || b__x": lambda a, b: True if a is True or b is True else None if a is None or b is None else False,
    "!a__x": lambda a, b: None if a is None else not a,
    "a__x == b__x": lambda a, b: None if a is None or b is None else a == b,
    "known(a__x)": lambda a, b: a is not None,
}


@pytest.mark.parametrize("text", KLEENE)
def test_three_values(text: str) -> None:
    words = text.replace("a__x", "device.smoke_alarm").replace("b__x", "device.heat_alarm")
    for a, b in itertools.product((True, False, None), repeat=2):
        house = House({"d.a": "smoke_alarm", "d.b": "heat_alarm", "d.t": "temperature"},
                      rule(words), rule(f"!({words})", id="t.not"))
        values = {f"d__{name}": value for name, value in (("a", a), ("b", b)) if value is not None}
        found = {step.split()[0] for step in house.say(1.0, **values)}
        wanted = KLEENE[text](a, b)
        assert found == ({"t.rule"} if wanted else {"t.not"} if wanted is False else set()), (text, a, b)


@pytest.mark.parametrize(("words", "values", "wanted"), [
    ("value / 0 > 1 °C", {"d__t": 5.0}, None),
    ("value > 5 °C", {"d__t": float("nan")}, None),
    ("value > 5 °C", {"d__t": float("inf")}, None),
    ("value + device.temperature > 5 °C", {}, None),
    ("zone.count(temperature > 5 °C) >= 1", {"d__t": 6.0}, True),
    ("zone.count(temperature > 5 °C) >= 1", {"d__t": 4.0}, None),  # the other might be above
    ("zone.count(temperature > 5 °C) >= 3", {"d__t": 6.0}, False),  # there are but two
    ("zone.count(temperature > 5 °C) == 3", {"d__t": 6.0}, False),
    ("zone.count(temperature > 5 °C) >= 2", {"d__t": 6.0, "e__t": 6.0}, True),
    ("zone.any(temperature > 5 °C)", {"e__t": 6.0}, True),
    ("zone.all(temperature > 5 °C)", {"e__t": 4.0}, False),
    ("zone.all(temperature > 5 °C)", {"e__t": 6.0}, None),
    ("zone.max(temperature) > 5 °C", {"e__t": 6.0}, True),
    ("zone.max(temperature) > 5 °C", {"e__t": 4.0}, None),
    ("zone.min(temperature) < 5 °C", {"e__t": 4.0}, True),
    ("zone.mean(temperature) > 5 °C", {"e__t": 6.0}, True),
    ("site.zones(temperature > 5 °C) >= 1", {"e__t": 6.0}, True),
    ("3 °C < value", {"d__t": 4.0}, True),
])
def test_unknown_in_numbers_and_aggregates(words: str, values: dict[str, float], wanted: bool | None) -> None:
    house = House({"d.t": "temperature", "e.t": "temperature"}, rule(words), rule(f"!({words})", id="t.not"))
    found = {step.split()[0] for step in house.say(1.0, **values) if "d.t" in step}
    assert found == ({"t.rule"} if wanted else {"t.not"} if wanted is False else set())


# --- fuzz ---

WORDS = st.sampled_from([
    *"()!+-*/,.<>=\"'&|{}[]%°\\\n\t 1234567890", "value", "&&", "||", "==", " °C", " %LEL", "60 s", "rise(", "zone.",
    "any(", "param.level", "true", "temperature", "5", "point", "count(", "K/min"])


@settings(max_examples=400)
@given(st.lists(WORDS, max_size=40).map("".join) | st.text(max_size=80))
def test_any_text_is_a_condition_or_an_error_with_a_place(text: str) -> None:
    try:
        term = check(text)
    except ConditionError as error:
        assert 0 <= error.offset <= len(text)
        assert error.what and error.remedy
    else:
        assert term.type is BOOL


@settings(max_examples=150)
@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=60))
def test_any_rule_file_is_a_pack_or_findings_with_a_line(text: str) -> None:
    written = "pack: t\nversion: 1\ntitle: {en: T, zh: 测}\nrules:" + rule(text.replace("\n", " "))
    for candidate in (written, written[: len(written) // 2] + text, text):
        try:
            parse_pack(candidate, "f.yaml")
        except ConfigError as error:
            assert error.findings and all(f.file == "f.yaml" and f.remedy for f in error.findings)
