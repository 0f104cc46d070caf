"""Every shipped scenario passes, and fails with each of its protections disabled."""

from __future__ import annotations

from functools import cache

import pytest
import yaml

from device_model.errors import ConfigError
from firmware_sim.expectations import Variant
from trial.commands import run_trial
from trial.scenario_files import read_trial, shipped_scenarios, titles_of
from trial.setup import TrialSetup, protections, varied

SHIPPED = shipped_scenarios()


def named_in(name: str) -> list[str]:
    """What must protect, read from the file itself: at collection nothing is checked yet."""
    expect = yaml.safe_load(SHIPPED[name].read_text(encoding="utf-8")).get("expect", {})
    return [*expect.get("protected_by", ()), *(variant["id"] for variant in expect.get("variants", ()))]


# The first of each scenario in every run, the others in `make soak`: each is a whole virtual day of its own.
PROTECTIONS = [pytest.param(name, protection, marks=[pytest.mark.soak] if number else [])
               for name in SHIPPED for number, protection in enumerate(named_in(name))]


@cache
def setup_of(name: str) -> TrialSetup:
    return read_trial(SHIPPED[name])


def test_there_are_some() -> None:
    assert len(SHIPPED) >= 3


@pytest.mark.parametrize("name", SHIPPED)
def test_it_passes(name: str) -> None:
    verdict, _, setup = run_trial(name, setup=setup_of(name))
    assert verdict.passed, [check for check in verdict.expected if not check.ok] + list(verdict.unexpected)
    assert setup.scenario.scenario == name
    assert protections(setup.scenario), "name what protects"
    assert all(titles_of(SHIPPED[name]))


@pytest.mark.parametrize(("name", "protection"), PROTECTIONS)
def test_it_fails_without_its_protection(name: str, protection: str) -> None:
    verdict, _, _ = run_trial(name, setup=setup_of(name), disabled=(protection,))
    assert not verdict.passed, f"{name} passes without {protection}: it protects nothing there"
    assert verdict.without == (protection,)


def test_a_variant_that_changes_nothing_known_is_refused() -> None:
    setup = setup_of("panel-fire")
    for rules, what in (({"fire.nothing": {"for": "0 s"}}, "no rule 'fire.nothing'"),
                        ({"fire.fire_alarm": {"wen": "value"}}, "a rule has no wen"),
                        ({"fire.fire_alarm": {"when": "value > 5 °C"}}, "compared")):
        with pytest.raises(ConfigError) as error:
            varied(setup, Variant("weak", "弱", "weak", rules))
        assert what in str(error.value)
