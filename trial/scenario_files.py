"""Scenario files (I/O): reads a complete scenario with its site, recordings, rules; lists what ships.

    scenarios/NAME.yaml ─┬─ site: sites/estate.yaml   (or inline)
                         └─ recordings/NAME.csv.gz
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

from device_model.clock import SECOND_US
from device_model.errors import ConfigError, Finding
from device_model.inventory import Inventory
from device_model.library import profiles_for, read_site, read_text, resolve_paths
from device_model.profile import DeviceProfile
from device_model.read_models import IncidentAction
from device_model.site import Site
from device_model.site_file import parse_site
from device_model.yaml_source import parse_yaml
from firmware_sim.commands import read_recording
from firmware_sim.scenario import Scenario
from firmware_sim.scenario_file import parse_scenario
from rules_engine.packs import PACKS, rules_of_site
from trial.setup import AT_GATEWAY, Hashes, TrialSetup, completed, moments_of

SHIPPED = Path(__file__).resolve().parent.parent / "firmware_sim" / "scenarios"
DEEDS = frozenset(AT_GATEWAY) | frozenset(action.value for action in IncidentAction)
BEGINS = "2026-06-15T10:00"  # an ordinary Monday morning, where a scenario does not say


def find_scenario(name: str | Path) -> Path:
    """A scenario file by its path, or a shipped one by its name. Raises ConfigError."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = SHIPPED / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    raise ConfigError([Finding(str(name), 0, 0, "no such scenario", "name a file, or one of `tocsin sim list`")])


def is_complete(path: Path) -> bool:
    """Whether the scenario names a site, so that a verdict can be had."""
    content = parse_yaml(read_text(path), str(path)).content
    return isinstance(content, dict) and bool(content.get("site"))


def read_trial(path: Path) -> TrialSetup:
    """A complete scenario, checked as a whole. Raises ConfigError with all findings, LocalFault."""
    text = read_text(path)
    source = parse_yaml(text, str(path))
    named = source.get(("site",))
    if not named:
        raise ConfigError([source.finding((), "the scenario names no site", "add `site: sites/my-site.yaml`")])
    site, profiles, site_text = _site(named, path)
    scenario = parse_scenario(text, str(path), profiles, lambda it: completed(it, site))
    findings = _moments(scenario, path)
    if findings:
        raise ConfigError(findings)
    recordings = {name: read_recording(name, path.parent) for name in {r.recording for r in scenario.replays}}
    rules = rules_of_site(site)
    packs = {pack: _hash((PACKS / f"{pack}.yaml").read_bytes()) for pack in site.rules.packs}
    packs.update({Path(name).name: _hash(Path(name).read_bytes()) for name in site.rules.files})
    zone = ZoneInfo(site.time_zone)
    return TrialSetup(scenario, Inventory(site, profiles), rules, zone, profiles, recordings, str(path),
                      Hashes(_hash(text.encode()), _hash(site_text.encode()), packs), _began_us(scenario, zone, path))


def _began_us(scenario: Scenario, zone: ZoneInfo, path: Path) -> int:
    try:
        began = datetime.fromisoformat(scenario.begins or BEGINS)
    except ValueError as error:
        raise ConfigError([Finding(str(path), 0, 0, f"begins: {scenario.begins!r} is no date and time",
                                   "write 2026-01-15T23:30, in the site's own time")]) from error
    return round(began.replace(tzinfo=zone).timestamp()) * SECOND_US


def _site(named: object, path: Path) -> tuple[Site, dict[str, DeviceProfile], str]:
    if isinstance(named, str):
        file = path.parent / named
        profiles = profiles_for(file)
        return read_site(file, profiles), profiles, read_text(file)
    text = yaml.safe_dump(named, allow_unicode=True, sort_keys=False)
    profiles = profiles_for(path)
    return resolve_paths(parse_site(text, f"{path} (site)", profiles), path.resolve().parent), profiles, text


def _moments(scenario: Scenario, path: Path) -> list[Finding]:
    """`of:` that names nothing would count from zero, unseen."""
    known = moments_of(scenario)
    expect = scenario.expect
    named = [*(wish.of for wish in (*expect.alarms, *expect.faults)), *(wish.of for wish in expect.incidents),
             *(wish.of for wish in expect.outputs), *(wish.of for wish in expect.impairments),
             *(wish.of for wish in expect.readings)]
    deeds = [Finding(str(path), 0, 0, f"people.{i}: nobody {deed.does!r}", f"one of: {', '.join(sorted(DEEDS))}")
             for i, deed in enumerate(scenario.people) if deed.does not in DEEDS]
    moments = f"moments: {', '.join(sorted(known)).lstrip(', ')[:200]}"
    return deeds + [Finding(str(path), 0, 0, f"`of: {name}` names no moment", moments)
                    for name in dict.fromkeys(named) if name not in known]


def shipped_scenarios() -> dict[str, Path]:
    """All that ship, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def titles_of(path: Path) -> tuple[str, str]:
    """(zh, en) of a scenario."""
    content = parse_yaml(read_text(path), str(path)).content
    return str(content.get("zh", "")), str(content.get("en", ""))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
