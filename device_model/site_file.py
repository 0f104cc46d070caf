"""Site file: YAML text → Site, with every error named by file, line, column and remedy.

    site: {path: city/district/street/site, name: {en: …, zh: …}, …}
    gateway: {id: gw-1, …}
    lines: [ … ]                       one TCP endpoint, serial port or broker each
    buildings:
      - id: b1
        floors:
          - id: f3
            zones: [ {id: b1-301, …} ]     a zone knows its floor by where it stands
    devices: [ … ]   outputs: [ … ]   contacts: [ … ]   rules: { … }   permits: { … }

A text for people is `{en: …, zh: …}`, or one plain text for both. What contradicts the profiles or a law of safety
is found by `site_checks.py`. Pure: paths stay as written; `library.py` resolves them against the file's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from device_model.alarm import Hazard
from device_model.errors import ConfigError, Finding
from device_model.permit import PermitPolicy
from device_model.profile import DeviceProfile
from device_model.site import (
    FORBIDDEN_OUTPUTS,
    Building,
    Contact,
    Device,
    Floor,
    GatewaySettings,
    Line,
    LineKind,
    Output,
    OutputPurpose,
    OutputState,
    Plan,
    Position,
    RuleChoice,
    Site,
    Tenancy,
    Text,
    Zone,
)
from device_model.site_checks import Written, check_site
from device_model.yaml_source import Path, Source, convert, parse_yaml

T = TypeVar("T")
DEFAULT_PORTS: dict[LineKind, int] = {
    LineKind.MODBUS_TCP: 502, LineKind.MODBUS_RTU_TCP: 502, LineKind.MODBUS_TLS: 802, LineKind.MQTT: 1883,
}
NO_TEXT = Text("", "")


class SiteEntry(msgspec.Struct, frozen=True):
    """`site:` of the file. path is city/district/street/site."""

    path: str
    name: Any
    address: Any = None
    position: Position | None = None
    access_point: Position | None = None
    access_note: Any = None
    time_zone: str = "Asia/Shanghai"
    unanswered_limit_s: float = 120.0


class ZoneEntry(msgspec.Struct, frozen=True):
    """One of `zones:`."""

    id: str
    name: Any
    kind: str = "room"
    people_limit: int | None = None


class FloorEntry(msgspec.Struct, frozen=True):
    """One of `floors:`."""

    id: str
    name: Any
    plan: Plan | None = None
    zones: Any = ()


class BuildingEntry(msgspec.Struct, frozen=True):
    """One of `buildings:`."""

    id: str
    name: Any
    position: Position | None = None
    floors: Any = ()


class DeviceEntry(msgspec.Struct, frozen=True):
    """One of `devices:`; place may be left out where the zone says enough."""

    id: str
    profile: str
    line: str
    zone: str
    place: Any = None
    unit: int = 0
    address: str = ""
    serial: str = ""
    plan_x: float | None = None
    plan_y: float | None = None
    tags: tuple[str, ...] = ()


class OutputEntry(msgspec.Struct, frozen=True):
    """One of `outputs:`; `drives:` names the writable point as "device.point"."""

    id: str
    drives: str
    purpose: str
    hazards: tuple[Hazard, ...]
    on_power_loss: OutputState
    on_agent_death: OutputState
    on_restart: OutputState
    zones: tuple[str, ...] = ()
    proof: str = ""
    proof_within_s: float = 5.0
    restart_hold_off_s: float = 60.0
    rated_for: str = ""
    rules: tuple[str, ...] = ()


class RulesEntry(msgspec.Struct, frozen=True):
    """`rules:` of the file."""

    packs: tuple[str, ...] = RuleChoice().packs
    files: tuple[str, ...] = ()
    parameters: dict[str, dict[str, bool | int | float | str]] = {}


class SiteFile(msgspec.Struct, frozen=True):
    """The keys at the top of a site file."""

    site: Any
    gateway: Any
    lines: Any
    buildings: Any
    devices: Any
    outputs: Any = ()
    contacts: Any = ()
    rules: Any = None
    permits: Any = None


def parse_site(text: str, file: str, profiles: Mapping[str, DeviceProfile]) -> Site:
    """Read and check one site against the known profiles. Raises ConfigError with all findings."""
    source = parse_yaml(text, file)
    reader = _Reader(source)
    site = reader.site()
    reader.findings.extend(check_site(site, source, profiles, reader.written))
    if reader.findings:
        raise ConfigError(reader.findings)
    return msgspec.structs.replace(site, file=file)


class _Reader:
    """Converts piece by piece: a wrong piece is left out and found, and the rest is still checked."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.findings: list[Finding] = []
        self.written = Written()

    def add(self, path: Path, what: str, remedy: str) -> None:
        self.findings.append(self.source.finding(path, what, remedy))

    def site(self) -> Site:
        """What could be read; only whole when there are no findings."""
        convert(self.source, (), SiteFile, self.findings)
        head = self._one(("site",), SiteEntry) or SiteEntry("a/b/c/d", "")
        gateway = self._one(("gateway",), GatewaySettings) or GatewaySettings("gateway")
        buildings, zones = self._places()
        return Site(
            tenancy=self._tenancy(head.path), name=self._text(("site", "name")), gateway=gateway,
            buildings=buildings, zones=zones,
            lines=tuple(self._line(line) for line in self._list(("lines",), Line)),
            devices=tuple(self._device(path, d) for path, d in self._placed(("devices",), DeviceEntry)),
            outputs=tuple(
                made for path, o in self._placed(("outputs",), OutputEntry) if (made := self._output(path, o))
            ),
            contacts=tuple(self._list(("contacts",), Contact)), rules=self._rules(),
            permits=self._one(("permits",), PermitPolicy) or PermitPolicy(),
            address=self._text(("site", "address"), NO_TEXT), position=head.position,
            access_point=head.access_point, access_note=self._text(("site", "access_note"), NO_TEXT),
            time_zone=head.time_zone, unanswered_limit_s=head.unanswered_limit_s,
        )

    def _one(self, path: Path, kind: type[T]) -> T | None:
        parent = self.source.get(path[:-1])
        if not isinstance(parent, dict) or path[-1] not in parent:
            return None  # its absence is found where the whole file is converted
        return convert(self.source, path, kind, self.findings)

    def _placed(self, path: Path, kind: type[T]) -> list[tuple[Path, T]]:
        """The items of a list that convert, each with its path. All ids are noted, so that a reference to an
        item with another mistake is no second error."""
        content = self.source.get(path)
        if content is None or content == ():
            return []
        if not isinstance(content, list):
            self.add(path, f"{path[-1]} must be a list", "write `- item` lines below it")
            return []
        for item in content:
            if isinstance(item, dict) and isinstance(item.get("id"), str):
                self.written.note(str(path[-1]), item["id"])
        found = [((*path, i), convert(self.source, (*path, i), kind, self.findings)) for i in range(len(content))]
        kept = [(at, item) for at, item in found if item is not None]
        self.written.paths.setdefault(str(path[-1]), []).extend(at for at, _ in kept)
        return kept

    def _list(self, path: Path, kind: type[T]) -> list[T]:
        return [item for _, item in self._placed(path, kind)]

    def _text(self, path: Path, default: Text | None = None) -> Text:
        content = self.source.get(path)
        if content is None and default is not None:
            return default
        if isinstance(content, str) and content.strip():
            return Text(content, content)
        if content is None or content == "":
            if self.source.get(path[:-1]) is not None:
                self.add(path, f"{path[-1]} is empty", "write {en: …, zh: …}, or one text for both")
            return NO_TEXT
        return convert(self.source, path, Text, self.findings) or NO_TEXT

    def _tenancy(self, path: str) -> Tenancy:
        try:
            return Tenancy.of(path)
        except ValueError:
            self.add(("site", "path"), f"path {path!r} does not have four parts", "write city/district/street/site")
            return Tenancy("a", "b", "c", "d")

    def _places(self) -> tuple[tuple[Building, ...], tuple[Zone, ...]]:
        buildings: list[Building] = []
        zones: list[Zone] = []
        for at, building in self._placed(("buildings",), BuildingEntry):
            floors: list[Floor] = []
            for floor_at, floor in self._placed((*at, "floors"), FloorEntry):
                floors.append(Floor(floor.id, self._text((*floor_at, "name")), floor.plan))
                zones.extend(
                    Zone(zone.id, self._text((*zone_at, "name")), building.id, floor.id, zone.kind, zone.people_limit)
                    for zone_at, zone in self._placed((*floor_at, "zones"), ZoneEntry)
                )
            buildings.append(
                Building(building.id, self._text((*at, "name")), tuple(floors), building.position))
        return tuple(buildings), tuple(zones)

    @staticmethod
    def _line(line: Line) -> Line:
        return line if line.port else msgspec.structs.replace(line, port=DEFAULT_PORTS.get(line.kind, 0))

    def _device(self, at: Path, entry: DeviceEntry) -> Device:
        return Device(
            id=entry.id, profile=entry.profile, line=entry.line, zone=entry.zone,
            place=self._text((*at, "place"), NO_TEXT), unit=entry.unit, address=entry.address, serial=entry.serial,
            plan_x=entry.plan_x, plan_y=entry.plan_y, tags=entry.tags,
        )

    def _output(self, at: Path, entry: OutputEntry) -> Output | None:
        if entry.purpose in FORBIDDEN_OUTPUTS:
            self.add((*at, "purpose"), f"refused by law of safety 5: {FORBIDDEN_OUTPUTS[entry.purpose]}",
                     "remove the output; read the equipment's state as an ordinary device instead")
            self.written.drop("outputs", at)
            return None
        if entry.purpose not in set(OutputPurpose):
            self.add((*at, "purpose"), f"purpose {entry.purpose!r} is not one that a gateway may switch (law 5)",
                     "one of: " + ", ".join(OutputPurpose))
            self.written.drop("outputs", at)
            return None
        device, _, point = entry.drives.partition(".")
        return Output(
            id=entry.id, device=device, point=point, purpose=OutputPurpose(entry.purpose), hazards=entry.hazards,
            on_power_loss=entry.on_power_loss, on_agent_death=entry.on_agent_death, on_restart=entry.on_restart,
            zones=entry.zones, proof=entry.proof, proof_within_s=entry.proof_within_s,
            restart_hold_off_s=entry.restart_hold_off_s, rated_for=entry.rated_for, rules=entry.rules,
        )

    def _rules(self) -> RuleChoice:
        entry = self._one(("rules",), RulesEntry) or RulesEntry()
        parameters = {
            rule: {name: _parameter_text(value) for name, value in values.items()}
            for rule, values in entry.parameters.items()
        }
        return RuleChoice(packs=entry.packs, files=entry.files, parameters=parameters)


def _parameter_text(value: bool | int | float | str) -> str:
    """A parameter as rule files write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
