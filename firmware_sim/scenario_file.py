"""A scenario from one YAML file.

    text ──parse_scenario──► Scenario      or ConfigError with every finding: file, line, what, remedy
"""

from __future__ import annotations

from collections.abc import Mapping

from device_model.errors import ConfigError, Finding
from device_model.profile import DeviceProfile
from device_model.yaml_source import convert, parse_yaml
from firmware_sim.scenario import Scenario
from firmware_sim.scenario_checks import ScenarioCheck


def parse_scenario(text: str, file: str, profiles: Mapping[str, DeviceProfile]) -> Scenario:
    """Read a scenario. Raises ConfigError with all findings."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    scenario = convert(source, (), Scenario, findings)
    if scenario is not None:
        findings.extend(ScenarioCheck(source, scenario, profiles).findings())
    if findings or scenario is None:
        raise ConfigError(findings)
    return scenario
