"""Documents that could drift from the code: README's table of the alarm life, the schema, the shipped profiles."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

import device_model
from device_model.alarm import LATCHED_TRANSITIONS, TRANSITIONS, AlarmCause, AlarmState, next_state
from device_model.library import PROFILES_FOLDER, shipped_profiles
from device_model.profile import FIRE_CLASSES, Certainty
from device_model.profile_schema import profile_schema, schema_text
from device_model.quantities import QUANTITIES
from device_model.version import VERSION

PACKAGE = Path(device_model.__file__).parent
README = (PACKAGE / "README.md").read_text(encoding="utf-8")


def alarm_table() -> str:
    """The README's table, made from the transition tables."""
    lines = ["| state | " + " | ".join(AlarmCause) + " |", "|---|" + "---|" * len(AlarmCause)]
    for state in AlarmState:
        cells = []
        for cause in AlarmCause:
            plain, latched = (next_state(state, cause, latched=flag) for flag in (False, True))
            text = "·" if plain is state else str(plain)
            if latched is not plain:
                text += f" (latched: {'·' if latched is state else latched})"
            cells.append(text)
        lines.append(f"| **{state}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_readme_draws_the_alarm_life_as_it_is() -> None:
    assert alarm_table() in README, "paste this into device_model/README.md:\n" + alarm_table()
    assert len(TRANSITIONS) == len(LATCHED_TRANSITIONS) == 8


def test_the_readme_names_every_file_of_the_package() -> None:
    assert [path.name for path in sorted(PACKAGE.glob("*.py")) if f"`{path.name}`" not in README] == []


def test_the_schema_file_is_current() -> None:
    path = PACKAGE / "schemas" / "profile.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(), (
        f"write device_model.profile_schema.schema_text() to {path}")


def test_the_schema_knows_every_key_that_shipped_profiles_use() -> None:
    parts = profile_schema()["$defs"]
    for path in PROFILES_FOLDER.glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert set(content) <= set(parts["ProfileEntry"]["properties"])
        for point in content["points"].values():
            assert set(point) <= set(parts["PointEntry"]["properties"])
            assert point["quantity"] in parts["PointEntry"]["properties"]["quantity"]["enum"]


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_shipped_profiles_are_fit_for_use(name: str) -> None:
    profile = shipped_profiles()[name]
    assert Path(profile.file).stem == profile.id == name
    for point in profile.points:
        quantity = QUANTITIES[point.quantity]
        assert point.source and point.en and point.zh
        # A number without a deadband would journal its noise; codes and flags are journaled as they change.
        assert point.deadband > 0 or quantity.boolean or point.quantity in ("state_code", "count")
    if profile.device_class in FIRE_CLASSES:
        assert profile.certainty is not Certainty.C
        # A dead detector is found at least this soon; battery radios speak rarely.
        gases = ("co", "combustible_gas", "call_point")
        alarms = [p for p in profile.points if p.quantity.endswith("_alarm") or p.quantity in gases]
        assert alarms and all(p.stale_after_s <= (60 if profile.protocol == "modbus" else 7200) for p in alarms)
    texts = [point.en for point in profile.points]
    assert len(set(texts)) == len(texts), "people must be able to tell the points apart"


def test_the_package_offers_what_it_names() -> None:
    assert all(hasattr(device_model, name) for name in device_model.__all__)


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == VERSION
