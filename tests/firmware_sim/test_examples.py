"""Every shipped scenario loads with the shipped profiles, and its fires come where it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_sim.commands import read_scenario

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "scenario").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_does_what_it_says(path: Path) -> None:
    world = read_scenario(path)
    truths = world.advance(400.0)
    for fire in world.scenario.expect.fires:
        raised = [t for t in truths if t.fire == fire.id and (t.value is True or t.kind == "over")]
        seen = {t.device: t.at_s for t in reversed(raised)}
        assert set(seen) == set(fire.devices)
        assert fire.onset_s < min(seen.values()) <= fire.onset_s + fire.within_s
    assert world.scenario.en and world.scenario.zh


def test_other_addresses_by_line() -> None:
    path = next(p for p in EXAMPLES if p.stem == "house_fire")
    world = read_scenario(path, lines={"bus": "127.0.0.1:0", "air": "mqtt://127.0.0.1:1"})
    assert world.scenario.lines[0].port == 0
    assert world.scenario.lines[1].url == "mqtt://127.0.0.1:1"
    bad = next(p for p in EXAMPLES if p.stem == "bad_line")
    assert read_scenario(bad, lines={"rs485": "./x"}).scenario.lines[0].path == "./x"
