"""Scenario: lines, devices, world, faults and what must come of it, in one YAML file (README.md shows how).

    text ──parse_scenario──► Scenario      or ConfigError with every finding: file, line, what, remedy
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.profile import DeviceProfile
from device_model.quantities import QUANTITIES
from device_model.reading import Value
from device_model.yaml_source import Path, Source, convert, parse_yaml
from firmware_sim.faults import POINT_FAULTS, POWER_FAULTS, WHOLE_LINE_FAULTS, Fault

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_BROKER = re.compile(r"mqtt://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(?::([0-9]{1,5}))?/?\Z")
BUTTONS = ("test", "silence", "reset")


class LineKind(StrEnum):
    """What a line of simulated devices is."""

    MODBUS_TCP = "modbus_tcp"
    PTY = "pty"  # Modbus RTU on a pseudo terminal, paced as the baud rate would
    MQTT = "mqtt"


class SimLine(msgspec.Struct, frozen=True):
    """One line. modbus_tcp: host, port (0: any free one, printed at start). pty: path of the symlink to make,
    baud, bits_per_character (start, data, parity, stop: 10 or 11), turnaround_s. mqtt: url mqtt://host:port."""

    id: str
    kind: LineKind
    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    baud: int = 9600
    bits_per_character: int = 10
    turnaround_s: float = 0.005
    url: str = "mqtt://127.0.0.1:1883"


class SimDevice(msgspec.Struct, frozen=True):
    """One device: profile id, line id, Modbus unit or MQTT address; first values by point (profile's units).

    latching None: as the model suggests. cold: starts with its warm-up.
    """

    id: str
    profile: str
    line: str
    unit: int = 1
    address: str = ""
    start: dict[str, bool | int | float | str] = {}
    latching: bool | None = None
    cold: bool = False


class Feed(msgspec.Struct, frozen=True):
    """One column of a recording into one point. threshold, lag_s: override the sensor's (firmware_sim/physics.py).
    scale, offset: the recorded value * scale + offset reaches the sensor (a farther or nearer place)."""

    column: str
    point: str
    lag_s: float | None = None
    threshold: float | None = None
    scale: float = 1.0
    offset: float = 0.0


class Replay(msgspec.Struct, frozen=True):
    """A recording played into devices. Before `start_s` and after its end its first and last values stand.
    speed: recorded seconds per shown second. fire: the id that truth lines carry, "" for no fire."""

    recording: str
    feeds: tuple[Feed, ...]
    start_s: float = 0.0
    speed: float = 1.0
    fire: str = ""


class Event(msgspec.Struct, frozen=True):
    """Something done at a time: `set` points to values, or `press` a button of `device`."""

    at_s: float
    set: dict[str, bool | int | float | str] = {}
    press: str = ""
    device: str = ""
    fire: str = ""


class Proxy(msgspec.Struct, frozen=True):
    """A TCP link that can be cut: listens on `listen`, passes on to `to`, both host:port."""

    id: str
    listen: str
    to: str


class CutKind(StrEnum):
    """How a link is bad."""

    CUT = "cut"  # connections are closed and new ones refused
    HALF_OPEN = "half_open"  # connections stay, nothing passes
    DELAY = "delay"  # all bytes come `delay_s` later
    THROTTLE = "throttle"  # at most `bytes_per_s` in each direction


class Cut(msgspec.Struct, frozen=True):
    """When a proxied link is bad. delay_s in shown seconds, bytes_per_s per shown second."""

    proxy: str
    from_s: float
    for_s: float
    kind: CutKind = CutKind.CUT
    delay_s: float = 1.0
    bytes_per_s: int = 1000


class ExpectedFire(msgspec.Struct, frozen=True):
    """A fire that must become one incident. onset_s: when it begins; within_s: by when the alarm must be known."""

    id: str
    devices: tuple[str, ...]
    onset_s: float
    within_s: float = 300.0


class Expectations(msgspec.Struct, frozen=True):
    """What must come of the scenario; judged by verdict and demo, not by the devices."""

    fires: tuple[ExpectedFire, ...] = ()
    silent_devices: tuple[str, ...] = ()


class Scenario(msgspec.Struct, frozen=True):
    """A whole scenario; all times in shown seconds since its beginning."""

    scenario: str
    lines: tuple[SimLine, ...]
    devices: tuple[SimDevice, ...]
    en: str = ""
    zh: str = ""
    seed: int = 1
    replays: tuple[Replay, ...] = ()
    events: tuple[Event, ...] = ()
    faults: tuple[Fault, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    cuts: tuple[Cut, ...] = ()
    expect: Expectations = Expectations()

    def device(self, device_id: str) -> SimDevice | None:
        """The device of that id, or None."""
        return next((device for device in self.devices if device.id == device_id), None)


def parse_scenario(text: str, file: str, profiles: Mapping[str, DeviceProfile]) -> Scenario:
    """Read a scenario. Raises ConfigError with all findings."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    scenario = convert(source, (), Scenario, findings)
    if scenario is not None:
        findings.extend(_Check(source, scenario, profiles).findings())
    if findings or scenario is None:
        raise ConfigError(findings)
    return scenario


def broker_address(url: str) -> tuple[str, int] | None:
    """Host and port of mqtt://host[:port]; None where it is not one."""
    match = _BROKER.match(url)
    if match is None:
        return None
    host, port = match.group(1).strip("[]"), int(match.group(2) or 1883)
    return (host, port) if 0 < port <= 65535 else None


class _Check:
    """The meaning of a scenario: every name must name something."""

    def __init__(self, source: Source, scenario: Scenario, profiles: Mapping[str, DeviceProfile]) -> None:
        self._source = source
        self._it = scenario
        self._profiles = profiles
        self._out: list[Finding] = []

    def findings(self) -> list[Finding]:
        self._ids()
        self._lines()
        self._devices()
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
            if line.kind is LineKind.PTY:
                if not line.path:
                    self._say(("lines", i), f"the pty line {line.id} has no path", "add `path: ./sim-rs485`")
                self._positive(line.baud, ("lines", i, "baud"))
            if line.kind is LineKind.MODBUS_TCP and not 0 <= line.port <= 65535:
                self._say(("lines", i, "port"), f"{line.port} is no port", "write 0 (any free one) to 65535")
            if line.kind is LineKind.MQTT and broker_address(line.url) is None:
                self._say(("lines", i, "url"), f"{line.url!r} is no broker", "write mqtt://host:port")

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
            if (line.kind is LineKind.MQTT) != (profile.protocol == "mqtt"):
                self._say((*at, "line"), f"{profile.id} speaks {profile.protocol}, the line is {line.kind}",
                          "put it on a line of its own protocol")
            if line.kind is not LineKind.MQTT:
                other = taken.setdefault((line.id, device.unit), device.id)
                if other != device.id:
                    self._say((*at, "unit"), f"unit {device.unit} of {line.id} is {other}'s", "give another unit")
                if not 1 <= device.unit <= 247:
                    self._say((*at, "unit"), f"{device.unit} is no unit id", "write 1 to 247")
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

    def _event(self, event: Event, i: int) -> None:
        for name, value in event.set.items():
            self._point(name, ("events", i, "set", name), value)
        if event.press:
            self._known(event.press, BUTTONS, "button", ("events", i, "press"))
            self._known(event.device, {d.id for d in self._it.devices}, "device", ("events", i, "device"))
        elif not event.set:
            self._say(("events", i), "the event does nothing", "add `set:` or `press:`")

    def _fault(self, fault: Fault, i: int) -> None:
        at: Path = ("faults", i, "target")
        devices = {device.id for device in self._it.devices}
        if fault.kind in POINT_FAULTS:
            self._point(fault.target, at)
        elif fault.kind in POWER_FAULTS:
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
