"""What the README and the schema say of worlds is what the loader takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from device_model.library import shipped_profiles
from device_model.yaml_source import parse_yaml
from firmware_sim.device_bugs import DeviceBug
from firmware_sim.faults import FaultKind
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.scenario_schema import scenario_schema, schema_text
from firmware_sim.world import SimWorld
from firmware_sim.world_checks import FIELDS
from firmware_sim.world_names import BY_QUANTITY, KNOBS, READABLE
from firmware_sim.world_plan import SourceKind

PACKAGE = Path(__file__).resolve().parents[2] / "firmware_sim"
README = (PACKAGE / "README.md").read_text(encoding="utf-8")


def test_the_example_of_the_readme_runs() -> None:
    block = next(text for text in re.findall(r"```yaml\n(.*?)```", README, re.S) if text.startswith("world:"))
    profiles = shipped_profiles()
    scenario = parse_scenario("scenario: r\nlines: [{id: bus, kind: modbus_tcp}]\n" + block, "README.md", profiles)
    world = SimWorld(scenario, profiles, {})
    truths = world.advance(120.0)
    assert {"pan", "kitchen-door", "fill-valve"} <= {truth.device for truth in truths if truth.what == "world"}


def test_the_readme_names_every_source_fault_and_bug() -> None:
    for name in (*SourceKind, *FaultKind, *DeviceBug):
        assert f"`{name}`" in README, name
    assert set(FIELDS) == set(SourceKind)


def test_what_devices_read_by_themselves_can_be_read() -> None:
    assert set(READABLE) == set(KNOBS) == set(BY_QUANTITY)
    for noun, usual in BY_QUANTITY.items():
        assert set(usual.values()) <= set(READABLE[noun])


def test_the_schema_file_is_current() -> None:
    path = PACKAGE / "schemas" / "scenario.schema.json"
    assert path.read_text(encoding="utf-8") == schema_text(), "run `make golden`"


@pytest.mark.parametrize("path", sorted((PACKAGE / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_knows_every_key_that_scenarios_use(path: Path) -> None:
    schema = scenario_schema()

    def unknown(content: Any, node: dict[str, Any], where: str) -> list[str]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        if isinstance(content, list):
            return [bad for item in content for bad in unknown(item, node.get("items", {}), where)]
        if not isinstance(content, dict) or "properties" not in node:
            return []
        return [f"{where}.{key}" for key in content if key not in node["properties"]] + [
            bad for key, value in content.items() for bad in unknown(value, node["properties"].get(key, {}), key)]

    assert unknown(parse_yaml(path.read_text(encoding="utf-8"), path.name).content, schema, path.stem) == []
