"""parse_yaml: bounded, placed, and nothing but a ConfigError comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.errors import ConfigError
from device_model.library import shipped_profiles
from device_model.profile_file import parse_profile
from device_model.yaml_source import TEXT_BYTES_MAX, parse_yaml


@pytest.mark.parametrize(("text", "line", "column", "what"), [
    ("a: 1\na: 2", 2, 1, "'a' stands twice"),
    ("a: {b: 1, b: 2}", 1, 11, "'b' stands twice"),
    ("a: &x 1\nb: *x", 2, 4, "aliases"),
    ("a: &a [*a]", 1, 8, "aliases"),
    ("a: [1\nb: 2", 2, 2, "not YAML"),
    ("a:\n\t- 1", 2, 1, "not YAML"),
    ("[1]: 2", 1, 1, "key must be"),
    ("~: 2", 1, 1, "key must be"),
    ("", 0, 0, "empty"),
    ("# nothing", 0, 0, "empty"),
    ("a: 1\n---\nb: 2", 2, 1, "not YAML"),
    ('a: "\\UFFFFFFFF"', 1, 1, "not YAML"),
    ("a: \x00", 1, 1, "not YAML"),
    ("x" * (TEXT_BYTES_MAX + 1), 0, 0, "larger"),
    ("[" * 5000, 1, 33, "deeper"),
    ("[" * 40 + "]" * 40, 1, 33, "deeper"),
    ("- " * 5000, 1, 65, "deeper"),
    ("a: \ud800", 1, 1, "not YAML"),
])
def test_bad_texts_are_placed(text: str, line: int, column: int, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    (finding,) = caught.value.findings
    assert (finding.file, finding.line, finding.column) == ("f.yaml", line, column), finding
    assert what in finding.what and finding.remedy


def test_a_bomb_of_aliases_is_refused_before_it_explodes() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    with pytest.raises(ConfigError, match="aliases"):
        parse_yaml(bomb, "bomb.yaml")


def test_marks_point_at_values_and_at_keys_of_blocks() -> None:
    source = parse_yaml("on: yes\nlist:\n  - {a: 1, b: 0x10}\nday: 2026-01-02\n", "f.yaml")
    assert source.content == {"on": True, "list": [{"a": 1, "b": 16}], "day": "2026-01-02"}
    assert source.mark(("list", 0, "b")) == (3, 15)
    assert source.mark(("list",)) == (2, 1)
    assert source.mark(("list", 0, "absent", "deeper")) == (3, 5)
    assert source.get(("list", 0, "b")) == 16 and source.get(("list", 7)) is None


@given(st.text(max_size=80) | st.text(alphabet="ab:-[]{},&*!|>'\"\n #?%@\\\t01.~", max_size=60))
def test_any_text_is_content_or_a_config_error(text: str) -> None:
    try:
        source = parse_yaml(text, "fuzz.yaml")
    except ConfigError as error:
        assert error.findings and str(error).startswith("fuzz.yaml")
    else:
        assert source.mark(()) >= (1, 1)


def test_half_a_character_in_a_text_is_said_at_its_line() -> None:
    with pytest.raises(ConfigError, match="half a character") as caught:
        parse_profile('profile: x\nversion: 1\nmaker: "\\ud800"\n', "f.yaml")
    assert any(finding.line == 3 for finding in caught.value.findings)


@pytest.mark.parametrize("scale", ["5.0e-324", "-1.0e-310", "1.0e+308", "0"])
def test_a_scale_that_is_no_factor_is_refused_at_its_line(scale: str) -> None:
    profile = next(p for p in shipped_profiles().values() if p.id == "xy-md04")
    text = Path(profile.file).read_text(encoding="utf-8").replace("scale: 0.1", f"scale: {scale}", 1)
    with pytest.raises(ConfigError, match=r"scale .*(factor|same)") as caught:
        parse_profile(text, "f.yaml")
    assert [finding.line for finding in caught.value.findings] == [15]
