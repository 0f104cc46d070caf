"""Every shipped scenario passes, and fails with each of its protections disabled."""

from __future__ import annotations

from functools import cache

import pytest
import yaml

from trial.commands import run_trial
from trial.scenario_files import read_trial, shipped_scenarios, titles_of
from trial.setup import TrialSetup

SHIPPED = shipped_scenarios()
PROTECTIONS = [(name, protection) for name, path in SHIPPED.items()
               for protection in yaml.safe_load(path.read_text(encoding="utf-8")).get("expect", {})
               .get("protected_by", ())]


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
    assert setup.scenario.expect.protected_by, "name what protects"
    assert all(titles_of(SHIPPED[name]))


@pytest.mark.parametrize(("name", "protection"), PROTECTIONS)
def test_it_fails_without_its_protection(name: str, protection: str) -> None:
    verdict, _, _ = run_trial(name, setup=setup_of(name), disabled=(protection,))
    assert not verdict.passed, f"{name} passes without {protection}: it protects nothing there"
    assert verdict.without == (protection,)
