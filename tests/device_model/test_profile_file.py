"""Profile files: what is inherited, and every error with line, column and remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.errors import ConfigError, Finding
from device_model.profile import Certainty, RegisterType, Table
from device_model.profile_file import parse_profile

HEAD = """\
profile: acme-one
version: 1
maker: Acme
model: One
en: a sensor
zh: 传感器
class: climate
certainty: A
source: manual page 3
modbus: {}
table: input
points:
"""
FIRST = HEAD.count("\n") + 1  # the line of the first point


def findings(text: str) -> list[Finding]:
    with pytest.raises(ConfigError) as caught:
        parse_profile(text, "one.yaml")
    return list(caught.value.findings)


def test_points_inherit_and_say_little() -> None:
    profile = parse_profile(HEAD + "  t: {quantity: temperature, unit: Cel, address: 4, type: s16, scale: 0.1}\n"
                                   "  wet: {quantity: leak, address: 7, bit: 3, certainty: B}\n"
                                   "  on: {quantity: relay, table: coil, address: 0, writable: true}\n", "one.yaml")
    t, wet, relay = profile.points
    assert (t.register.table, t.register.type, t.source, t.certainty) == (
        Table.INPUT, RegisterType.S16, "manual page 3", Certainty.A)
    assert (t.en, t.zh, t.stale_after_s) == ("temperature", "温度", 30.0)
    assert (wet.register.type, wet.register.bit, wet.unit, wet.certainty) == (RegisterType.BIT, 3, "1", Certainty.B)
    assert (relay.id, relay.register.table, relay.register.type) == ("on", Table.COIL, RegisterType.BIT)
    assert profile.file == "one.yaml"


# (point line, column of the finding, part of what, part of the remedy)
POINT_ERRORS = [
    ("p: {quantity: temprature, unit: Cel, address: 0}", 17, "'temprature' is not known", "'temperature'"),
    ("p: {quantity: temperature, unit: °C, address: 0}", 36, "written 'Cel'", '"Cel"'),
    ("p: {quantity: temperature, unit: Pa, address: 0}", 36, "may not carry the unit 'Pa'", "Cel, K"),
    ("p: {quantity: temperature, address: 0}", 3, "needs a unit", "Cel"),
    ("p: {quantity: humidity, addres: 0}", 35, "unknown key 'addres'", "'address'"),
    ("p: {quantity: humidity}", 3, "stands nowhere", "address:"),
    ("p: {quantity: humidity, path: a, address: 1}", 33, "'path' does not go with", "remove one"),
    ("p: {quantity: humidity, path: a}", 3, "without `mqtt:`", "base_topic"),
    ("p: {quantity: humidity, address: -1}", 36, "not within 0..65535", "zero-based"),
    ("p: {quantity: humidity, address: 65535, type: u32}", 36, "65535..65536", "zero-based"),
    ("p: {quantity: humidity, address: 65533, type: u64}", 36, "65533..65536", "zero-based"),
    ("p: {quantity: humidity, address: x}", 36, "expected `int`", "whole number"),
    ("p: {quantity: humidity, table: coil, address: 1}", 17, "a number, the register is one bit", "true/false"),
    ("p: {quantity: leak, table: coil, address: 1, type: u16}", 3, "holds bits only", "leave out"),
    ("p: {quantity: leak, address: 1}", 17, "true or false, the register is a number", "bit:"),
    ("p: {quantity: leak, address: 1, bit: 16}", 40, "bit 16 is not within 0..15", "lowest"),
    ("p: {quantity: leak, address: 1, type: bit}", 3, "needs `bit:`", "to 15"),
    ("p: {quantity: humidity, address: 1, type: u16, bit: 2}", 55, "does not go with type u16", "leave out"),
    ("p: {quantity: humidity, address: 1, writable: true}", 49, "cannot be written", "coils and holding"),
    ("p: {quantity: humidity, address: 1, scale: 0}", 46, "scale 0", "factor"),
    ("p: {quantity: humidity, address: 1, scale: .inf}", 46, "not a finite number", "plain number"),
    ("p: {quantity: humidity, address: 1, type: s16, error_values: [0xFFFF]}", 65, "cannot stand in a s16", "-1"),
    ("p: {quantity: humidity, address: 1, error_values: [-1]}", 54, "cannot stand in a u16", "type"),
    ("p: {quantity: humidity, address: 1, unit_point: q, unit_codes: {1: '%'}}", 51, "not another point", "one of"),
    ("p: {quantity: humidity, address: 1, unit_point: p, unit_codes: {1: '%'}}", 51, "not another point", "one of"),
    ("p: {quantity: humidity, address: 1, decimals_codes: {1: 2}}", 3, "needs `decimals_point:`", "name"),
    ("p: {quantity: humidity, address: 1, decimals_codes: {a: 2}}", 59, "key 'a'", "whole number"),
    ("p: {quantity: humidity, address: 1, poll_interval_s: 60}", 3, "always silent", "missed polls"),
    ("p: {quantity: humidity, address: 1, poll_interval_s: 0}", 56, "must be positive", "seconds"),
    ("p: {quantity: humidity, address: 1, minimum: 5, maximum: 5}", 48, "not below maximum", "swap"),
    ("p: {quantity: humidity, address: 1, deadband: -1}", 49, "negative", "0 or more"),
    ("p: {quantity: leak, address: 1, bit: 1, deadband: 1}", 53, "no meaning for leak", "leave it out"),
    ("p: {quantity: state_code, address: 1, state_codes: [{code: 1, en: a, zh: b, reason: odd}]}", 87,
     "reason 'odd' is not known", "warm_up"),
    ("p: {quantity: state_code, address: 1, state_codes: [{code: 1, en: a, zh: b, affects: [x]}]}", 79,
     "'x' is not a point", "one of: p"),
    ("P-1: {quantity: humidity, address: 1}", 3, "point id 'P-1'", "cell_1_voltage"),
    ("p: {quantity: humidity, address: 1, mask: 0x10000}", 45, "leaves nothing or does not fit", "16-bit"),
]


@pytest.mark.parametrize(("line", "column", "what", "remedy"), POINT_ERRORS)
def test_point_errors_are_placed(line: str, column: int, what: str, remedy: str) -> None:
    found = findings(f"{HEAD}  {line}\n")
    match = [f for f in found if what in f.what and remedy in f.remedy]
    assert match, found
    assert (match[0].file, match[0].line, match[0].column) == ("one.yaml", FIRST, column), match


# (what is replaced in HEAD, by what, line, part of what)
HEAD_ERRORS = [
    ("profile: acme-one", "profile: Acme One", 1, "profile id 'Acme One'"),
    ("version: 1", "version: 0", 2, "version must be 1"),
    ("maker: Acme\n", "", 1, "lacks 'maker'"),
    ("class: climate", "class: climat", 7, "climat"),
    ("certainty: A", "certainty: D", 8, "certainty"),
    ("source: manual page 3", "source: ' '", 9, "source is empty"),
    ("modbus: {}", "modbus: {max_registers: 200}", 10, "max_registers 200"),
    ("modbus: {}\n", "", 1, "exactly one of"),
    ("modbus: {}", "mqtt: {base_topic: 'a/+'}", 10, "wildcard"),
    ("modbus: {}", "mqtt: {base_topic: 'a/{name}'}", 10, "placeholder"),
    ("modbus: {}", "mqtt: {base_topic: 'a/b'}", 10, "same for all devices"),
    ("modbus: {}", "modbus: {}\nmodbus: {}", 11, "stands twice"),
]


@pytest.mark.parametrize(("old", "new", "line", "what"), HEAD_ERRORS)
def test_head_errors_are_placed(old: str, new: str, line: int, what: str) -> None:
    assert old in HEAD
    found = findings(HEAD.replace(old, new, 1) + "  p: {quantity: humidity, address: 1}\n")
    assert any(f.line == line and what in f.what and f.remedy for f in found), found


def test_all_errors_at_once_and_a_broken_point_causes_no_second_error() -> None:
    found = findings(HEAD.replace("version: 1", "version: 0") + """\
  unit: {quantity: state_code, addres: 2}
  a: {quantity: level, unit: cm, address: 1, unit_point: unit, unit_codes: {1: cm}}
  b: {quantity: levle, unit: cm, address: 1}
  a: {quantity: humidity, address: 9}
""".replace("  a: {quantity: humidity, address: 9}\n", ""))
    assert [(f.line, f.what.split()[0]) for f in found] == [
        (2, "version"), (FIRST, "unknown"), (FIRST + 2, "quantity")]


def test_duplicate_points_are_named() -> None:
    (found,) = findings(HEAD + "  a: {quantity: humidity, address: 1}\n  a: {quantity: humidity, address: 2}\n")
    assert "'a' stands twice" in found.what and (found.line, found.column) == (FIRST + 1, 3)


def test_lost_yaml_words_are_named() -> None:
    text = HEAD.replace("modbus: {}", "mqtt: {base_topic: 'z/{address}'}") + (
        "  p: {quantity: relay, path: state, true_values: [ON], false_values: [\"OFF\"]}\n")
    (found,) = findings(text)
    assert "reads this word as true or false" in found.what and (found.line, found.column) == (FIRST, 51)
    good = parse_profile(text.replace("[ON]", "['ON', true, 1]"), "x")
    assert good.points[0].payload is not None
    assert good.points[0].payload.true_values == ("ON", "true", "1")


LINES = [
    *HEAD.splitlines(), "  p: {quantity: humidity, address: 1}", "  - x", "\t", "points: [",
    "  q: {unit: &a 1, z: *a}",
]


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=30), max_size=25))
def test_any_text_gives_a_profile_or_a_config_error(lines: list[str]) -> None:
    try:
        profile = parse_profile("\n".join(lines), "fuzz.yaml")
    except ConfigError as error:
        assert error.findings and all(f.file == "fuzz.yaml" and f.remedy for f in error.findings)
    else:
        assert profile.points


@given(st.data())
def test_a_profile_with_one_value_replaced_gives_a_profile_or_a_config_error(data: st.DataObject) -> None:
    lines = (HEAD + "  p: {quantity: humidity, address: 1, type: s16, scale: 0.1, error_values: [-1]}\n").splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    key = lines[index].partition(":")[0]
    value = data.draw(st.sampled_from(["", "[]", "{}", "~", "-1", "1e400", ".nan", "true", "!!binary AAAA", "1:2:3",
                                       "2001-01-01", "'x", "{a: {b: {c: d}}}", "9" * 5000, '"\\UFFFFFFFF"']))
    lines[index] = f"{key}: {value}"
    try:
        profile = parse_profile("\n".join(lines), "fuzz.yaml")
    except ConfigError as error:
        assert error.findings
    else:
        assert profile.id
