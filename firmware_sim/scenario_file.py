"""A scenario from one YAML file.

    text ──parse_scenario──► Scenario      or ConfigError with every finding: file, line, what, remedy
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from device_model.errors import ConfigError, Finding
from device_model.profile import DeviceProfile
from device_model.yaml_source import convert, parse_yaml
from firmware_sim.scenario import Scenario
from firmware_sim.scenario_checks import ScenarioCheck


def parse_scenario(
    text: str, file: str, profiles: Mapping[str, DeviceProfile],
    complete: Callable[[Scenario], Scenario] | None = None,
) -> Scenario:
    """Read a scenario. Raises ConfigError with all findings.

    complete: adds what the scenario leaves to its site file (lines, devices) before names are checked.
    """
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    scenario = convert(source, (), Scenario, findings)
    if scenario is not None:
        scenario = complete(scenario) if complete is not None else scenario
        findings.extend(ScenarioCheck(source, scenario, profiles).findings())
    if findings or scenario is None:
        raise ConfigError(findings)
    return scenario
