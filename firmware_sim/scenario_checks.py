"""The meaning of a scenario: every name must name something, every number must make sense."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from device_model.errors import Finding
from device_model.profile import DeviceProfile
from device_model.quantities import QUANTITIES
from device_model.reading import Value
from device_model.yaml_source import Path, Source
from firmware_sim.device_bugs import MODBUS_ONLY
from firmware_sim.faults import CAMERA_FAULTS, DEVICE_FAULTS, POINT_FAULTS, WHOLE_LINE_FAULTS, Fault, FaultKind
from firmware_sim.scenario import BUTTONS, Event, Scenario
from firmware_sim.scenario_lines import LINE_PROTOCOLS, address_finding, line_findings
from firmware_sim.world_checks import WorldCheck

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


class ScenarioCheck:
    """The meaning of a scenario: every name must name something."""

    def __init__(self, source: Source, scenario: Scenario, profiles: Mapping[str, DeviceProfile]) -> None:
        self._source = source
        self._it = scenario
        self._profiles = profiles
        self._out: list[Finding] = []
        self._world = WorldCheck(scenario.world, self._say)

    def findings(self) -> list[Finding]:
        self._ids()
        self._lines()
        self._devices()
        self._world.check(self._commands)
        for i, replay in enumerate(self._it.replays):
            for j, feed in enumerate(replay.feeds):
                self._point(feed.point, ("replays", i, "feeds", j, "point"), fed=True)
            self._positive(replay.speed, ("replays", i, "speed"))
        for i, event in enumerate(self._it.events):
            self._event(event, i)
        for i, fault in enumerate(self._it.faults):
            self._fault(fault, i)
        self._links()
        devices = {device.id for device in self._it.devices}
        for i, fire in enumerate(self._it.expect.fires):
            for name in fire.devices:
                self._known(name, devices, "device", ("expect", "fires", i, "devices"))
        for name in self._it.expect.silent_devices:
            self._known(name, devices, "device", ("expect", "silent_devices"))
        return self._out

    def _say(self, path: Path, what: str, remedy: str) -> None:
        self._out.append(self._source.finding(path, what, remedy))

    def _known(self, name: str, known: Iterable[str], noun: str, path: Path) -> None:
        if name not in known:
            self._say(path, f"no {noun} {name!r}", f"{noun}s: {', '.join(sorted(known)[:12]) or 'none yet'}")

    def _positive(self, number: float, path: Path) -> None:
        if number <= 0:
            self._say(path, "must be more than 0", "write a positive number")

    def _ids(self) -> None:
        seen: set[str] = set()
        for key in ("lines", "devices", "proxies"):
            for i, item in enumerate(getattr(self._it, key)):
                if not _ID.match(item.id):
                    self._say((key, i, "id"), f"{item.id!r} is no id", "use a-z, 0-9, - and _")
                if item.id in seen:
                    self._say((key, i, "id"), f"the id {item.id!r} stands twice", "faults name it: make it unique")
                seen.add(item.id)

    def _lines(self) -> None:
        for i, line in enumerate(self._it.lines):
            for key, what, remedy in line_findings(line):
                self._say(("lines", i, key), what, remedy)

    def _devices(self) -> None:
        lines = {line.id: line for line in self._it.lines}
        taken: dict[tuple[str, int], str] = {}
        for i, device in enumerate(self._it.devices):
            at: Path = ("devices", i)
            self._known(device.line, lines, "line", (*at, "line"))
            self._known(device.profile, self._profiles, "profile", (*at, "profile"))
            line, profile = lines.get(device.line), self._profiles.get(device.profile)
            if line is None or profile is None:
                continue
            if profile.protocol != LINE_PROTOCOLS[line.kind]:
                self._say((*at, "line"), f"{profile.id} speaks {profile.protocol}, the line is {line.kind}",
                          "put it on a line of its own protocol")
            wrong = address_finding(line, device.address or device.id)
            if wrong is not None:
                self._say((*at, "address"), *wrong)
            if LINE_PROTOCOLS[line.kind] in ("modbus", "lls"):
                other = taken.setdefault((line.id, device.unit), device.id)
                if other != device.id:
                    self._say((*at, "unit"), f"unit {device.unit} of {line.id} is {other}'s", "give another unit")
                if not 1 <= device.unit <= 247:
                    self._say((*at, "unit"), f"{device.unit} is no unit id", "write 1 to 247")
            self._world.senses(profile, device.place, device.senses, at)
            for j, bug in enumerate(device.bugs):
                if bug in MODBUS_ONLY and profile.protocol != "modbus":
                    self._say((*at, "bugs", j), f"{bug} is a bug of Modbus devices", f"{profile.id} is none")
            for point_id in device.ageing.drift_per_year:
                self._point(f"{device.id}.{point_id}", (*at, "ageing", "drift_per_year", point_id), fed=True)
            for point_id, value in device.start.items():
                self._point(f"{device.id}.{point_id}", (*at, "start", point_id), value)

    def _point(self, name: str, path: Path, value: Value | None = None, *, fed: bool = False) -> None:
        device_id, _, point_id = name.partition(".")
        device = self._it.device(device_id)
        if device is None:
            self._say(path, f"no device {device_id!r} (for {name!r})", "write device.point of this scenario")
            return
        profile = self._profiles.get(device.profile)
        if profile is None:
            return
        point = profile.point(point_id)
        if point is None:
            ids = ", ".join(p.id for p in profile.points)
            self._say(path, f"{device_id} has no point {point_id!r}", f"points of {profile.id}: {ids}")
            return
        quantity = QUANTITIES[point.quantity]
        if fed and quantity.text:
            self._say(path, f"{name} is a text", "feed a number or an alarm")
        if value is not None and not quantity.text and isinstance(value, bool) != quantity.boolean:
            wanted = "true or false" if quantity.boolean else "a number"
            self._say(path, f"{name} takes {wanted}, not {value!r}", f"write {wanted}")

    def _commands(self, name: str, path: Path) -> None:
        """An actuator is commanded by this point."""
        self._point(name, path, fed=True)
        device = self._it.device(name.partition(".")[0])
        profile = self._profiles.get(device.profile) if device is not None else None
        point = profile.point(name.partition(".")[2]) if profile is not None else None
        if point is not None and not QUANTITIES[point.quantity].boolean:
            self._say(path, f"{name} is no switch", "name a point that is true or false")

    def _event(self, event: Event, i: int) -> None:
        for name, turned in event.world.items():
            self._world.knob(name, turned, ("events", i, "world", name))
        for name, value in event.set.items():
            self._point(name, ("events", i, "set", name), value)
        if event.press:
            self._known(event.press, BUTTONS, "button", ("events", i, "press"))
            self._known(event.device, {d.id for d in self._it.devices}, "device", ("events", i, "device"))
        elif not event.set and not event.world:
            self._say(("events", i), "the event does nothing", "add `set:`, `world:` or `press:`")

    def _fault(self, fault: Fault, i: int) -> None:
        at: Path = ("faults", i, "target")
        devices = {device.id for device in self._it.devices}
        if fault.kind in POINT_FAULTS:
            self._point(fault.target, at)
        elif fault.kind is FaultKind.JAMMED:
            self._known(fault.target, {actuator.id for actuator in self._it.world.actuators}, "actuator", at)
        elif fault.kind in CAMERA_FAULTS:
            pass  # cameras are no devices of a line; camera_server.py knows them
        elif fault.kind in DEVICE_FAULTS:
            self._known(fault.target, devices, "device", at)
        elif fault.kind in WHOLE_LINE_FAULTS:
            self._known(fault.target, {line.id for line in self._it.lines}, "line", at)
        else:
            self._known(fault.target, devices | {line.id for line in self._it.lines}, "device or line", at)
        if not 0.0 <= fault.chance <= 1.0:
            self._say(("faults", i, "chance"), f"{fault.chance} is no chance", "write 0 to 1")

    def _links(self) -> None:
        for i, proxy in enumerate(self._it.proxies):
            for key in ("listen", "to"):
                host, _, port = getattr(proxy, key).rpartition(":")
                if not host or not port.isdigit() or int(port) > 65535:
                    self._say(("proxies", i, key), f"{getattr(proxy, key)!r} is no address", "write host:port")
        for i, cut in enumerate(self._it.cuts):
            self._known(cut.proxy, {proxy.id for proxy in self._it.proxies}, "proxy", ("cuts", i, "proxy"))
            self._positive(cut.for_s, ("cuts", i, "for_s"))
