"""The tester's guide is true: its commands parse, its pictures are there and small, both languages say the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.commands import read_scenario
from trial.batch import parse_batch
from trial.page_commands import scenario_of_profiles

ROOT = Path(__file__).resolve().parents[2]
GUIDES = {language: (ROOT / "docs" / name).read_text(encoding="utf-8")
          for language, name in (("en", "guide-tester.md"), ("zh", "guide-tester.zh.md"))}
COMMAND = re.compile(r"tocsin sim [a-z]+(?: (?:[A-Za-z0-9_./:-]+))*")


def commands(text: str) -> list[str]:
    return [" ".join(found.split()) for found in COMMAND.findall(text)]


def test_both_guides_show_the_same_commands_and_pictures() -> None:
    assert set(commands(GUIDES["en"])) == set(commands(GUIDES["zh"])) and len(commands(GUIDES["en"])) > 12
    pictures = [sorted(re.sub("-(en|zh).png", "", name) for name in re.findall(r"\((pictures/[^)]+)\)", text))
                for text in GUIDES.values()]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 8


@pytest.mark.parametrize("language", GUIDES)
def test_every_picture_is_there_and_small(language: str) -> None:
    for name in re.findall(r"\((pictures/[^)]+)\)", GUIDES[language]):
        picture = ROOT / "docs" / name
        assert 5_000 < picture.stat().st_size < 150_000 and name.endswith(f"-{language}.png")


@pytest.mark.parametrize("command", sorted(set(commands(GUIDES["en"]))))
def test_every_command_is_one_with_these_arguments(command: str, tmp_path: Path, monkeypatch) -> None:
    from command_line.sim import group

    words = shlex.split(command)[2:]
    if words[0] in ("replay",) and len(words) == 1:
        words = ["replay", "--help"]
    elif words[0] in ("page", "fleet", "batch"):
        words = [*words, "--help"]  # they would run for minutes
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(group, words)
    # Without a running simulator the terminal's commands say so (1); 2 is a word that the command does not know.
    assert outcome.exit_code in (0, 1), outcome.output
    assert outcome.exit_code == 0 or "no simulator runs here" in outcome.output


def test_the_examples_are_what_the_guide_starts() -> None:
    world = read_scenario(ROOT / "examples" / "tester" / "house.yaml")
    assert list(world.devices) == ["duct", "co", "relay"] and "pan.on" in world.surroundings.knobs()
    batch = parse_batch((ROOT / "examples" / "tester" / "night.yaml").read_text(encoding="utf-8"), "night.yaml")
    assert len(batch.units) == 3


def test_a_device_of_every_protocol_stands_on_a_line_of_its_own() -> None:
    from device_model.library import shipped_profiles

    known = shipped_profiles()
    names = ["sdm120", "gas-module-co", "zigbee2mqtt-smoke", "gbt26875-component", "hj212-dust"]
    scenario = scenario_of_profiles(names, known, "mqtt://127.0.0.1:1884")
    assert [(device.profile, device.unit) for device in scenario.devices[:2]] == [("sdm120", 1), ("gas-module-co", 2)]
    assert len(scenario.lines) == 4 and len(scenario.devices) == 5
