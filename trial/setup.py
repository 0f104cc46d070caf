"""TrialSetup: a complete scenario resolved: site, inventory, rules, recordings; and what is left out on purpose.

    scenario ─┬─ site ─► devices and lines that the scenario does not write itself are those of the site
              └─ without: a rule or an output is disabled here, never by editing a pack
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

import msgspec

from device_model.command import CommandKind
from device_model.errors import ConfigError, Finding
from device_model.inventory import Inventory
from device_model.profile import DeviceProfile
from device_model.site import Line, Site
from firmware_sim.expectations import Variant
from firmware_sim.recording import Recording
from firmware_sim.scenario import Proxy, Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind as SimLineKind
from firmware_sim.scenario_lines import SimLine
from rules_engine.condition_parse import ConditionError
from rules_engine.rule import Rule, RuleSet, build_rule

UPLINK = "uplink"
# What a person does at the gateway; every other deed is an act at the board.
AT_GATEWAY = {"reset": CommandKind.RESET_ALARM, "silence": CommandKind.SILENCE_SOUNDER,
              "test": CommandKind.TEST_MODE, "isolate": CommandKind.ISOLATE, "restore": CommandKind.RESTORE,
              "permit": CommandKind.PERMIT}
_KINDS = {"modbus_tcp": "modbus_tcp", "modbus_rtu_tcp": "modbus_tcp", "modbus_tls": "modbus_tcp",
          "modbus_rtu": "pty", "mqtt": "mqtt",
          "gbt26875_tcp_server": "gbt26875", "gbt26875_tcp_client": "gbt26875", "gbt26875_udp": "gbt26875",
          "hj212_tcp_server": "hj212"}


class Hashes(msgspec.Struct, frozen=True):
    """sha256 of what the run was made from. packs: pack file name → hash."""

    scenario: str
    site: str
    packs: dict[str, str] = {}


class TrialSetup(msgspec.Struct, frozen=True):
    """Everything that a run needs. file: as the person named the scenario. began_us: wall time of
    its beginning, µs since 1970 UTC."""

    scenario: Scenario
    inventory: Inventory
    rules: RuleSet
    zone: tzinfo
    profiles: dict[str, DeviceProfile]
    recordings: dict[str, Recording]
    file: str
    hashes: Hashes
    began_us: int
    without: tuple[str, ...] = ()

    @property
    def site(self) -> Site:
        """The site, without the outputs that are disabled."""
        return self.inventory.site


def completed(scenario: Scenario, site: Site) -> Scenario:
    """The scenario with the site's lines and devices, where it does not write its own; "uplink" may be cut.
    A device stands in the room of the world that is called as its zone, unless it says where."""
    lines = {line.id: line for line in scenario.lines}
    for line in site.lines:
        if line.id not in lines and (kind := _kind(line)) is not None:
            lines[line.id] = SimLine(line.id, kind, port=line.port, path=f"./{line.id}", baud=line.baud,
                                     url=f"mqtt://127.0.0.1:{line.port or 1883}")
    written = {device.id: device for device in scenario.devices}
    rooms = {room.id for room in scenario.world.rooms}
    devices = []
    for device in site.devices:
        entry = written.pop(device.id, SimDevice(device.id))
        if device.line not in lines:
            continue
        if not entry.profile:
            entry = msgspec.structs.replace(entry, profile=device.profile, unit=device.unit, address=device.address)
        place = entry.place or (device.zone if device.zone in rooms and not entry.senses else "")
        devices.append(msgspec.structs.replace(entry, line=entry.line or device.line, place=place))
    proxies = scenario.proxies
    if any(cut.proxy == UPLINK for cut in scenario.cuts) and all(proxy.id != UPLINK for proxy in proxies):
        proxies = (*proxies, Proxy(UPLINK, "127.0.0.1:0", "127.0.0.1:1"))
    return msgspec.structs.replace(
        scenario, lines=tuple(lines.values()), devices=(*devices, *written.values()), proxies=proxies)


def _kind(line: Line) -> SimLineKind | None:
    """How the simulator makes such a line; None where it has no such thing."""
    value = _KINDS.get(line.kind.value, line.kind.value)
    return SimLineKind(value) if value in list(SimLineKind) else None


def protections(scenario: Scenario) -> tuple[str, ...]:
    """All without which the verdict must fail: rules and outputs that are disabled, variants that are weaker."""
    expect = scenario.expect
    return (*expect.protected_by, *(variant.id for variant in expect.variants))


def varied(setup: TrialSetup, variant: Variant) -> TrialSetup:
    """The same trial with some rules written otherwise. Raises ConfigError where a rule or its new text is wrong."""
    def other(rule: Rule) -> Rule:
        changes = variant.rules.get(rule.id)
        if changes is None:
            return rule
        known = {key for key in changes if key in rule.written.__struct_fields__}
        if known != set(changes):
            raise ConditionError(0, f"a rule has no {', '.join(sorted(set(changes) - known))}",
                                 "see rules_engine/README.md")
        chosen = setup.site.rules.parameters.get(rule.id, {})
        return build_rule(msgspec.structs.replace(rule.written, **changes), chosen)

    missing = set(variant.rules) - {rule.id for rule in setup.rules.deciding}
    if missing:
        raise ConfigError([Finding(setup.file, 0, 0, f"variant {variant.id}: no rule {name!r} runs at this site",
                                   "choose its pack in the site file") for name in sorted(missing)])
    try:
        packs = [msgspec.structs.replace(pack, rules=tuple(other(rule) for rule in pack.rules))
                 for pack in setup.rules.packs]
    except ConditionError as error:
        raise ConfigError([Finding(setup.file, 0, 0, f"variant {variant.id}: {error.what}", error.remedy)]) from error
    return msgspec.structs.replace(setup, rules=RuleSet(packs), without=(*setup.without, variant.id))


def without(setup: TrialSetup, names: Iterable[str]) -> TrialSetup:
    """The same trial with rules or outputs disabled, or in a variant. Raises ConfigError for any other name."""
    names = tuple(names)
    for variant in setup.scenario.expect.variants:
        if variant.id in names:
            setup, names = varied(setup, variant), tuple(name for name in names if name != variant.id)
    if not names:
        return setup
    rules = {rule.id for rule in setup.rules.deciding}
    outputs = {output.id for output in setup.site.outputs}
    unknown = [name for name in names if name not in rules | outputs]
    if unknown:
        known = ", ".join(sorted(outputs) + sorted(rules)[:12])
        raise ConfigError([Finding(setup.file, 0, 0, f"no rule and no output {name!r} runs at this site",
                                   f"known: {known} …") for name in unknown])
    packs = [msgspec.structs.replace(pack, rules=tuple(rule for rule in pack.rules if rule.id not in names))
             for pack in setup.rules.packs]
    site = msgspec.structs.replace(
        setup.site, outputs=tuple(output for output in setup.site.outputs if output.id not in names))
    return msgspec.structs.replace(
        setup, rules=RuleSet(packs), inventory=Inventory(site, setup.inventory.profiles),
        without=(*setup.without, *names))


def duration_s(scenario: Scenario) -> float:
    """How long the scenario is watched."""
    expect = scenario.expect
    if expect.duration_s > 0:
        return expect.duration_s
    moments = moments_of(scenario)
    ends = [0.0, *moments.values(), *(fault.end_s for fault in scenario.faults if fault.for_s > 0),
            *(cut.from_s + cut.for_s for cut in scenario.cuts),
            *(fire.onset_s + fire.within_s for fire in expect.fires),
            *(wish.to_s for wish in expect.world), *(wish.to_s for wish in expect.no_alarms)]
    timed = [(wish.of, wish.after_s, wish.within_s) for wish in (*expect.alarms, *expect.faults)]
    timed += [(wish.of, wish.after_s, wish.within_s) for wish in expect.incidents]
    timed += [(wish.of, wish.after_s, wish.within_s) for wish in expect.outputs]
    timed += [(wish.of, wish.after_s, wish.within_s) for wish in expect.impairments]
    timed += [(wish.of, wish.after_s, wish.within_s) for wish in expect.readings]
    ends += [moments.get(of, 0.0) + after_s + within_s for of, after_s, within_s in timed]
    return max(ends) + 60.0


def moments_of(scenario: Scenario) -> dict[str, float]:
    """What `of:` may name → scenario seconds."""
    moments = {"": 0.0}
    timed = {
        "event": [event.at_s for event in scenario.events], "fault": [fault.from_s for fault in scenario.faults],
        "replay": [replay.start_s for replay in scenario.replays], "cut": [cut.from_s for cut in scenario.cuts],
        "deed": [deed.at_s for deed in scenario.people],
    }
    for kind, entries in timed.items():
        moments.update({f"{kind}:{i}": at_s for i, at_s in enumerate(entries)})
    moments.update({source.id: source.start_s for source in scenario.world.sources})
    fires = [(event.fire, event.at_s) for event in scenario.events]
    fires += [(source.fire, source.start_s) for source in scenario.world.sources]
    for name, at_s in [*fires, *((replay.fire, replay.start_s) for replay in scenario.replays)]:
        if name:
            moments[name] = min(at_s, moments.get(name, at_s))
    for fire in scenario.expect.fires:
        moments.setdefault(fire.id, fire.onset_s)
    return moments
