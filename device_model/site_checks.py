"""What contradicts itself, the profiles or a law of safety in a site file. Used by site_file.py."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Collection, Iterable, Mapping

from device_model.alarm import Hazard
from device_model.errors import Finding
from device_model.messages import TOKEN
from device_model.profile import FIRE_CLASSES, Certainty, DeviceClass, DeviceProfile, ProfilePoint
from device_model.quantities import QUANTITIES
from device_model.site import (
    FORBIDDEN_NAMES,
    FORBIDDEN_OUTPUTS,
    CloudLink,
    Device,
    GatewaySettings,
    Line,
    LineKind,
    Output,
    OutputPurpose,
    OutputState,
    Position,
    SeriesKind,
    SeriesSettings,
    Site,
)
from device_model.yaml_source import Path, Source

SERIAL_KINDS = frozenset({LineKind.MODBUS_RTU, LineKind.LLS_SERIAL})
LATENESS_LEAST_S = 5.0
METERED_LEAST = 3_000_000  # bytes: what a heartbeat each 30 s costs, and a little telemetry
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ROLL_BACK_LEAST_S = 30.0
WAYS_MAX = 4
CONTACT_ROLES = ("owner", "key_holder", "duty", "micro_station", "brigade", "monitoring_centre")
# What fire rules are made of: such a point of certainty C would raise or miss a fire by guesswork.
FIRE_QUANTITIES = frozenset({
    "smoke_alarm", "heat_alarm", "fire_alarm", "call_point", "co_alarm", "gas_alarm", "obscuration",
    "combustible_gas", "co",
})
# What may switch an output of that purpose; a purpose that is not listed takes every hazard. A fire never closes
# water (law 5: water closes a domestic branch only).
HAZARDS_OF_PURPOSE: dict[OutputPurpose, frozenset[Hazard]] = {
    OutputPurpose.GAS_VALVE: frozenset({Hazard.GAS, Hazard.GAS_HIGH, Hazard.CO, Hazard.FIRE, Hazard.CALL_POINT}),
    OutputPurpose.WATER_VALVE_BRANCH: frozenset({Hazard.WATER}),
    # Not fire_water: that class is water which is missing, and a tank that runs empty must go on filling.
    OutputPurpose.FILL_VALVE: frozenset({Hazard.WATER}),
    OutputPurpose.CHARGER_CUT_OFF: frozenset({Hazard.CHARGING, Hazard.ELECTRICAL, Hazard.FIRE, Hazard.CALL_POINT}),
}
_ADDRESS = re.compile(r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/[^\s]*)?")
PANEL_ADDRESS = re.compile(r"(\d{1,15}|\*)(/\d{1,3}\.\d{1,3}(/[0-9A-F]{8})?)?", re.ASCII)
STATION_ADDRESS = re.compile(r"[0-9A-Za-z_]{1,24}", re.ASCII)
# A name that ends so is of something that sounds; a word before one of these names a place.
SOUNDING_NAMES = frozenset({"horn", "sounder", "bell", "siren", "strobe", "beacon", "buzzer"})
PLACE_NAMES = frozenset({"lobby", "room", "hall", "shaft", "house", "car", "landing"})
# Devices of which no point is ever an output, whatever purpose is written beside it (law 5).
NEVER_DRIVEN = frozenset({DeviceClass.PUMP, DeviceClass.DOOR, DeviceClass.FIRE_PANEL})
RATED_HAZARDS = frozenset({Hazard.GAS, Hazard.GAS_HIGH, Hazard.CO})  # a fan that one of these starts must be rated
FIRE_HAZARDS = frozenset({Hazard.FIRE, Hazard.CALL_POINT})


class Written:
    """What stands in the file, whether or not it converted: ids by kind, and the path of each kept item."""

    def __init__(self) -> None:
        self.ids: dict[str, list[str]] = {}
        self.paths: dict[str, list[Path]] = {}

    def note(self, kind: str, item_id: str) -> None:
        """An id that the file defines."""
        self.ids.setdefault(kind, []).append(item_id)

    def drop(self, kind: str, path: Path) -> None:
        """That item is not kept after all."""
        self.paths[kind].remove(path)

    def known(self, kind: str) -> Collection[str]:
        """All ids of a kind."""
        return self.ids.get(kind, [])

    def at(self, kind: str) -> list[Path]:
        """Paths of the kept items, in their order."""
        return self.paths.get(kind, [])


def check_site(
    site: Site, source: Source, profiles: Mapping[str, DeviceProfile], written: Written
) -> list[Finding]:
    """Everything that is wrong with the meaning of a site."""
    checker = _Checker(site, source, profiles, written)
    checker.check()
    return checker.findings


class _Checker:
    """Collects findings; one method a noun."""

    def __init__(
        self, site: Site, source: Source, profiles: Mapping[str, DeviceProfile], written: Written
    ) -> None:
        self.site = site
        self.source = source
        self.profiles = profiles
        self.written = written
        self.findings: list[Finding] = []

    def add(self, path: Path, what: str, remedy: str) -> None:
        self.findings.append(self.source.finding(path, what, remedy))

    def check(self) -> None:
        site = self.site
        parts = (site.tenancy.city, site.tenancy.district, site.tenancy.street, site.tenancy.site)
        for part in parts:
            if not TOKEN.fullmatch(part):
                self._token(("site", "path"), part)
        self._position(("site", "position"), site.position)
        self._position(("site", "access_point"), site.access_point)
        if not _time_zone_known(site.time_zone):
            self.add(("site", "time_zone"), f"time zone {site.time_zone!r} is not known",
                     "write it like Asia/Shanghai")
        if site.unanswered_limit_s <= 0:
            self.add(("site", "unanswered_limit_s"), "unanswered_limit_s must be positive (law 1)", "write seconds")
        self._gateway(site.gateway)
        for kind in ("lines", "buildings", "zones", "devices", "outputs"):
            self._ids(kind)
        self._floors()
        for at, building in zip(self.written.at("buildings"), site.buildings, strict=True):
            self._position((*at, "position"), building.position)
        self._lines()
        self._devices()
        devices = {device.id: device for device in site.devices}
        driven: dict[tuple[str, str], str] = {}
        for at, output in zip(self.written.at("outputs"), site.outputs, strict=True):
            self._output(at, output, devices)
            first = driven.setdefault((output.device, output.point), output.id)
            if first != output.id:
                self.add((*at, "drives"), f"outputs {first!r} and {output.id!r} drive the same point",
                         "join them: one output may have several hazards and zones")
        for at, contact in zip(self.written.at("contacts"), site.contacts, strict=True):
            if contact.role not in CONTACT_ROLES:
                self.add((*at, "role"), f"role {contact.role!r} is not known", "one of: " + ", ".join(CONTACT_ROLES))
            if not contact.phone.strip():
                self.add((*at, "phone"), f"{contact.name} has no phone number", "quote it: \"+86 …\"")

    def _token(self, path: Path, text: str) -> None:
        self.add(path, f"{text!r} is not 1 to 40 lower case letters, digits and hyphens",
                 "it is part of topics and certificates; write it like `river-street`")

    def _unknown(self, path: Path, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        near = difflib.get_close_matches(name, names, n=1)
        some = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        remedy = f"did you mean {near[0]!r}?" if near else f"known: {some or '-'}"
        self.add(path, f"{what} {name!r} is not known", remedy)

    def _position(self, path: Path, position: Position | None) -> None:
        if position is not None and not (abs(position.latitude) <= 90 and abs(position.longitude) <= 180):
            self.add(path, "latitude is not within -90..90 or longitude not within -180..180",
                     "degrees; latitude first (Shanghai is 31.2, 121.5)")

    def _gateway(self, gateway: GatewaySettings) -> None:
        if not TOKEN.fullmatch(gateway.id):
            self._token(("gateway", "id"), gateway.id)
        for key in ("journal_quota_mib", "heartbeat_s", "telemetry_heartbeat_s"):
            if getattr(gateway, key) <= 0:
                self.add(("gateway", key), f"{key} must be positive", "leave it out for the default")
        if gateway.metered_bytes_per_day and gateway.metered_bytes_per_day < METERED_LEAST:
            self.add(("gateway", "metered_bytes_per_day"), f"metered_bytes_per_day is less than {METERED_LEAST}",
                     "heartbeats alone need some two million; leave it out for a link that is not metered")
        if not 0 <= gateway.proof_hour <= 23:
            self.add(("gateway", "proof_hour"), "proof_hour is not within 0..23", "the local hour of the proof alarm")
        if not gateway.lateness_s >= LATENESS_LEAST_S:  # also what is not a number
            # Shorter, and a moment's delay would turn live alarms into findings about the past (law 1).
            self.add(("gateway", "lateness_s"), f"lateness_s is less than {LATENESS_LEAST_S:g}",
                     "leave it out for the default of 10 s")
        if not 0 <= gateway.metrics_port <= 65535:
            self.add(("gateway", "metrics_port"), "port is not within 0..65535", "0 is off; Prometheus likes 9108")
        if gateway.cloud is not None:
            self._cloud(gateway.cloud)
        page, remote = gateway.page, gateway.remote_configuration
        if page is not None and not 1 <= page.port <= 65535:
            self.add(("gateway", "page", "port"), "port is not within 1..65535", "leave it out for 8443")
        if page is not None and page.host not in LOOPBACK and not (page.certificate_file and page.key_file):
            self.add(("gateway", "page", "host"), f"the page would be seen on {page.host} without TLS",
                     "add certificate_file and key_file, or leave host out: then it is on this machine only")
        if remote is not None and not (remote.key_file and remote.roll_back_after_s >= ROLL_BACK_LEAST_S):
            self.add(("gateway", "remote_configuration"),
                     f"key_file is missing or roll_back_after_s is less than {ROLL_BACK_LEAST_S:g}",
                     "name the public key that signs site files; a link needs a while to come back")
        numbers = gateway.remote_numbers
        if numbers is not None and not (gateway.cloud is not None and numbers.roll_back_after_s >= ROLL_BACK_LEAST_S):
            self.add(("gateway", "remote_numbers"),
                     f"there is no cloud, or roll_back_after_s is less than {ROLL_BACK_LEAST_S:g}",
                     "numbers come through `cloud:`, signed by its authority; a link needs a while to come back")
        if gateway.series is not None:
            self._series(gateway.series)

    def _series(self, series: SeriesSettings) -> None:
        at: Path = ("gateway", "series")
        for key in ("raw_days", "minute_days", "quarter_days", "hour_days", "quota_mib", "group_s"):
            if not getattr(series, key) > 0:
                self.add((*at, key), f"{key} must be positive", "leave it out for the default")
        seen: set[str] = set()
        for n, remote in enumerate(series.remotes):
            of_remote = (*at, "remotes", n)
            if not TOKEN.fullmatch(remote.id) or remote.id in seen:
                self.add((*of_remote, "id"), f"id {remote.id!r} is no token, or stands twice", "such as `influx`")
            seen.add(remote.id)
            address = _ADDRESS.fullmatch(remote.url)
            if address is None:
                self.add((*of_remote, "url"), f"{remote.url!r} is no address", "write https://host:port")
            elif address["scheme"] == "http" and address["host"].strip("[]") not in LOOPBACK:
                self.add((*of_remote, "url"), "readings and secret would travel in the clear",
                         "write https://, or http:// on this machine only")
            if remote.kind is SeriesKind.INFLUX_2 and not remote.org:
                self.add((*of_remote, "org"), "influxdb2 needs its organisation", "add `org: name`")

    def _cloud(self, cloud: CloudLink) -> None:
        for path, port in ((("gateway", "cloud", "port"), cloud.port),
                           *((("gateway", "cloud", "spares", n, "port"), end.port)
                             for n, end in enumerate(cloud.spares))):
            if not 1 <= port <= 65535:
                self.add(path, "port is not within 1..65535", "write the TLS port of the cloud's broker")
        ends = [(cloud.host, cloud.port, cloud.interface), *((e.host, e.port, e.interface) for e in cloud.spares)]
        if len(set(ends)) != len(ends):
            self.add(("gateway", "cloud", "spares"), "two ways to the cloud are the same",
                     "give each its own address or its own interface")
        if len(ends) > WAYS_MAX:
            self.add(("gateway", "cloud", "spares"), f"more than {WAYS_MAX - 1} spares", "each costs a connection")
        for key in ("fail_over_s", "fail_back_s"):
            if not getattr(cloud, key) > 0:
                self.add(("gateway", "cloud", key), f"{key} must be positive", "leave it out for the default")

    def _ids(self, kind: str) -> None:
        seen: dict[str, Path] = {}
        for at in self.written.at(kind):
            item_id = self.source.get((*at, "id"))
            if not isinstance(item_id, str):
                continue
            if not TOKEN.fullmatch(item_id):
                self._token((*at, "id"), item_id)
            if item_id in seen:
                line, _ = self.source.mark(seen[item_id])
                self.add((*at, "id"), f"id {item_id!r} stands twice among the {kind}",
                         f"the first is in line {line}; give each its own")
            seen.setdefault(item_id, at)

    def _floors(self) -> None:
        """Floor ids need be unique only within their building."""
        seen: set[tuple[Path, str]] = set()
        for at in self.written.at("floors"):
            floor_id = self.source.get((*at, "id"))
            if not TOKEN.fullmatch(str(floor_id)):
                self._token((*at, "id"), str(floor_id))
            if (at[:2], str(floor_id)) in seen:
                self.add((*at, "id"), f"floor {floor_id!r} stands twice in this building", "give each its own id")
            seen.add((at[:2], str(floor_id)))

    def _lines(self) -> None:
        masters: dict[tuple[str, object], str] = {}
        for at, line in zip(self.written.at("lines"), self.site.lines, strict=True):
            if line.kind is LineKind.GATEWAY:
                end: tuple[str, object] = ("the machine itself", "")
            elif line.kind in SERIAL_KINDS:
                if not line.port_path:
                    self.add(at, f"line {line.id!r} has no port_path", "write it like /dev/serial/by-id/…")
                if line.baud <= 0 or line.stop_bits not in (1, 2):
                    self.add(at, "baud must be positive and stop_bits 1 or 2", "see the devices' manuals")
                end = (line.port_path, "")
            else:
                if not line.host:
                    self.add(at, f"line {line.id!r} has no host", "write the address of the device or broker")
                if not 1 <= line.port <= 65535:
                    self.add((*at, "port"), f"port {line.port} is not within 1..65535", "Modbus TCP has 502")
                end = (line.host, line.port)
            if line.reconnect_max_s <= 0:
                self.add((*at, "reconnect_max_s"), "reconnect_max_s must be positive", "write seconds")
            if line.kind is not LineKind.MQTT and end[0]:
                if end in masters:
                    self.add(at, f"lines {masters[end]!r} and {line.id!r} have the same end: two masters disturb "
                                 "each other", "put all devices on one line")
                masters.setdefault(end, line.id)

    def _devices(self) -> None:
        lines = {line.id: line for line in self.site.lines}
        taken: dict[tuple[str, object], str] = {}
        for at, device in zip(self.written.at("devices"), self.site.devices, strict=True):
            if device.zone not in self.written.known("zones"):
                self._unknown((*at, "zone"), "zone", device.zone, self.written.known("zones"))
            line = lines.get(device.line)
            if device.line not in self.written.known("lines"):
                self._unknown((*at, "line"), "line", device.line, self.written.known("lines"))
            profile = self.profiles.get(device.profile)
            if profile is None:
                self._unknown((*at, "profile"), "profile", device.profile, self.profiles)
                continue
            self._certainty((*at, "profile"), profile)
            if line is not None:
                self._device_on_line(at, device, profile, line, taken)

    def _device_on_line(
        self, at: Path, device: Device, profile: DeviceProfile, line: Line, taken: dict[tuple[str, object], str]
    ) -> None:
        if line.kind.protocol != profile.protocol:
            self.add((*at, "line"), f"{profile.id} speaks {profile.protocol}, line {line.id!r} is {line.kind}",
                     "choose a line of the device's protocol")
            return
        if line.kind is LineKind.GATEWAY:
            key: tuple[str, object] = (line.id, "")
            what = "the gateway itself"
        elif line.kind.protocol in ("gbt26875", "hj212"):
            self._heard_address(at, device, profile, line)
            key = (line.id, device.address)
            what = f"address {device.address!r}"
        elif line.kind is not LineKind.MQTT:
            if not 1 <= device.unit <= 247:
                self.add((*at, "unit"), f"unit {device.unit} is not within 1..247", "the unit id set on the device")
            key = (line.id, device.unit)
            what = f"unit {device.unit}"
        else:
            base = profile.mqtt.base_topic if profile.mqtt else ""
            if "{address}" in base and (not device.address or any(sign in device.address for sign in "+#")):
                self.add((*at, "address"), f"address {device.address!r} is not one topic level name",
                         f"write what stands for {{address}} in {base!r}")
            key = (line.id, base.replace("{address}", device.address).replace("{device}", device.id))
            what = f"address {device.address!r}"
        if key in taken:
            self.add(at, f"{device.id!r} and {taken[key]!r} both have {what} on line {line.id!r}",
                     "give each its own")
        taken.setdefault(key, device.id)

    def _heard_address(self, at: Path, device: Device, profile: DeviceProfile, line: Line) -> None:
        """Devices that speak by themselves and name themselves: panels and stations."""
        if profile.protocol == "hj212":
            if not STATION_ADDRESS.fullmatch(device.address):
                self.add((*at, "address"), f"address {device.address!r} is no MN", "write the station's MN, quoted")
            return
        if not PANEL_ADDRESS.fullmatch(device.address):
            self.add((*at, "address"), f"address {device.address!r} names nothing behind a transmission device",
                     'write "889", "889/1.1" (system type.number) or "889/1.1/0A000200" (component, wire order)')
            return
        uitd, _, behind = device.address.partition("/")
        if behind and not any(d.line == line.id and d.address == uitd for d in self.site.devices):
            self.add((*at, "address"), f"no device on line {line.id!r} has the address {uitd!r}",
                     "add the transmission device itself: what is lost without it must be seen")
        if not behind and not any(p.quantity == "fire_alarm" and p.payload and p.payload.path == "fire"
                                  for p in profile.points):
            self.add((*at, "profile"), f"{profile.id} has no point for the fires of components that are not listed",
                     "give it a point `fire: {quantity: fire_alarm, path: fire}`")

    def _certainty(self, path: Path, profile: DeviceProfile) -> None:
        """Certainty C is refused for fire rules: for what detects fire, and for single points that would."""
        doubtful = sorted(
            p.id for p in profile.points if p.certainty is Certainty.C and p.quantity in FIRE_QUANTITIES)
        if profile.device_class in FIRE_CLASSES and (profile.certainty is Certainty.C or doubtful):
            what = f" (points {', '.join(doubtful)})" if doubtful else ""
            self.add(path, f"profile {profile.id} is of certainty C{what}: refused for a device of class "
                           f"{profile.device_class}",
                     "verify the map on the device, then write a profile of certainty B that says how")

    def _output(self, at: Path, output: Output, devices: Mapping[str, Device]) -> None:
        self._monitor_only(at, output, devices.get(output.device))
        target = f"{output.device}.{output.point}"
        point = self._point((*at, "drives"), target, devices)
        if point is not None:
            if not point.writable or not QUANTITIES[point.quantity].boolean:
                self.add((*at, "drives"), f"{target} cannot be switched", "name a writable true/false point")
            if point.certainty is Certainty.C:
                self.add((*at, "drives"), f"{target} is of certainty C: refused for an output", "verify the register")
        if not output.hazards:
            self.add((*at, "hazards"), f"output {output.id!r} has no hazards: nothing would switch it", "name some")
        allowed = HAZARDS_OF_PURPOSE.get(output.purpose)
        wrong = sorted(set(output.hazards) - allowed) if allowed is not None else []
        if wrong and allowed is not None:
            self.add((*at, "hazards"), f"{output.purpose} may not be switched by {', '.join(wrong)} (law 5)",
                     "only: " + ", ".join(sorted(allowed)))
        if output.purpose is OutputPurpose.FAN:
            self._fan(at, output)
        for index, zone in enumerate(output.zones):
            if zone not in self.written.known("zones"):
                self._unknown((*at, "zones", index), "zone", zone, self.written.known("zones"))
        if output.proof_within_s <= 0 or output.restart_hold_off_s < 0:
            self.add(at, "times of an output must be positive", "leave them out for the defaults")
        if output.proof:
            self._proof((*at, "proof"), output, target, devices)

    def _fan(self, at: Path, output: Output) -> None:
        if RATED_HAZARDS & set(output.hazards) and not output.rated_for.strip():
            self.add(at, "a fan starts for gas only if declared rated for that gas and zone (law 5)",
                     "state the rating in `rated_for:`, or remove the gas hazards")
        if FIRE_HAZARDS & set(output.hazards):
            self.add((*at, "hazards"), "a fan that a fire starts is smoke control: monitor-only (law 5)",
                     "remove fire and call_point; leave smoke to the approved system")
        if output.on_restart is OutputState.ON:
            self.add((*at, "on_restart"), "a fan starts by its rule only, not by a restart (law 5)",
                     "write on_restart: hold, or \"off\"")

    def _monitor_only(self, at: Path, output: Output, device: Device | None) -> None:
        """Law 5 also where the purpose says something else: what the driven device is, is tagged, or is called."""
        profile = self.profiles.get(device.profile) if device is not None else None
        if profile is not None and profile.device_class in NEVER_DRIVEN:
            self.add((*at, "drives"), f"refused by law of safety 5: {output.device} is a {profile.device_class}: "
                     "watched, never driven", "drive a relay module made for the purpose, or remove the output")
        names = {output.id, output.device, *(device.tags if device is not None else ())}
        for name in sorted(names):
            found = _forbidden(name)
            if found is not None:
                self.add(at, f"refused by law of safety 5: {name!r}: {FORBIDDEN_OUTPUTS[found]}",
                         "remove the output; read the equipment's state as an ordinary device instead")

    def _proof(self, path: Path, output: Output, target: str, devices: Mapping[str, Device]) -> None:
        point = self._point(path, output.proof, devices)
        if output.proof == target or (point is not None and point.writable):
            self.add(path, f"{output.proof} is an echo, no proof (law 5)",
                     "name an input that sees the effect: limit switch, flow, current; or leave `proof:` out")
        elif point is not None and not QUANTITIES[point.quantity].boolean:
            self.add(path, f"{output.proof} is not true or false", "name a true/false input")
        elif point is not None and point.certainty is Certainty.C:
            self.add(path, f"{output.proof} is of certainty C: refused as proof", "verify the register")

    def _point(self, path: Path, name: str, devices: Mapping[str, Device]) -> ProfilePoint | None:
        device_id, _, point_id = name.partition(".")
        if device_id not in self.written.known("devices"):
            self._unknown(path, "device", device_id, self.written.known("devices"))
            return None
        device = devices.get(device_id)
        profile = self.profiles.get(device.profile) if device is not None else None
        if profile is None:
            return None  # found where the device stands
        point = profile.point(point_id)
        if point is None:
            self._unknown(path, f"point of {profile.id}", point_id, (p.id for p in profile.points))
        return point


def _forbidden(name: str) -> str | None:
    """Law 5's equipment in a name: `roof-fire-pump-a` has some, `lift-lobby-horn` and `ship-lifting` none."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if len(word) > 1]
    if words and words[-1] in SOUNDING_NAMES:
        return None
    line = "_" + "_".join(words) + "_"
    for word, meant in FORBIDDEN_NAMES.items():
        _, found, after = line.partition(f"_{word}_")
        if found and after.split("_")[0] not in PLACE_NAMES:
            return meant
    return None


def _time_zone_known(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # A machine without a time zone table cannot judge any name.
        return not zoneinfo.available_timezones()
    return True
