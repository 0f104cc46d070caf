"""SimControls: what a tester does to a running SimWorld, and what there is to see. Pure; the page and the terminal
commands are two faces of it.

    devices, registers, knobs, faults ◄── views        set, press, act, turn, strike, end ──► SimWorld

A deed that cannot be is a ConfigError with a remedy; nothing here raises anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.profile import REGISTER_COUNT, ProfilePoint
from device_model.quantities import QUANTITIES
from device_model.reading import Value
from firmware_sim.device import ALARM_QUANTITIES, VirtualDevice
from firmware_sim.faults import (
    CAMERA_FAULTS,
    DEVICE_FAULTS,
    POINT_FAULTS,
    WHOLE_LINE_FAULTS,
    Fault,
    FaultKind,
)
from firmware_sim.scenario import BUTTONS
from firmware_sim.world import SimWorld
from firmware_sim.world_names import READABLE, Noun

ROWS_MAX = 100  # devices in one view: a fleet has thousands
FAULTS_MAX = 1000  # struck in one run; each is looked at in every step
LOW_BATTERY = 9.0

# What the shortcut buttons move: the first point of these quantities, and the value that means trouble.
_TROUBLE: dict[str, tuple[tuple[str, Value], ...]] = {
    "alarm": tuple((quantity, True) for quantity in (
        "smoke_alarm", "fire_alarm", "heat_alarm", "gas_alarm", "co_alarm", "call_point", "leak", "flood", "sos",
        "motion", "door_open")),
    "fault": (("fault", True),),
    "battery": (("battery", LOW_BATTERY), ("low_battery", True)),
    "tamper": (("tamper", True), ("head_present", False)),
}
_WELL: dict[str, Value] = {"battery": 100.0, "head_present": True}


class DeviceRow(msgspec.Struct, frozen=True):
    """One device in the list. state: "normal", "alarm", "fault", "test", "off"; shows: its points, in words that need
    no translation (point, value)."""

    id: str
    profile: str
    en: str
    zh: str
    line: str
    at: str
    state: str
    shows: tuple[tuple[str, Value | None, str], ...]


class Devices(msgspec.Struct, frozen=True):
    """A part of the list. total: of those that fit what was searched for."""

    total: int
    first: int
    rows: tuple[DeviceRow, ...]


class PointView(msgspec.Struct, frozen=True):
    """One point. words: its registers now, hex; place: table and address, or topic and path."""

    id: str
    en: str
    zh: str
    quantity: str
    unit: str
    value: Value | None
    boolean: bool
    text: bool
    writable: bool
    place: str
    words: tuple[str, ...]


class DeviceView(msgspec.Struct, frozen=True):
    """One device with everything. actions: shortcut → whether it is on; buttons: that a person may press."""

    row: DeviceRow
    maker: str
    model: str
    bugs: tuple[str, ...]
    actions: dict[str, bool]
    buttons: tuple[str, ...]
    points: tuple[PointView, ...]


class KnobView(msgspec.Struct, frozen=True):
    """A slider of the world."""

    name: str
    noun: str
    unit: str
    low: float
    high: float
    value: float


class FaultView(msgspec.Struct, frozen=True):
    """A fault that lasts or is still to come. for_s 0: to the end."""

    number: int
    kind: str
    target: str
    from_s: float
    for_s: float
    active: bool


class SimControls:
    """Views and deeds of one SimWorld. cameras: ids that camera faults may name."""

    def __init__(self, world: SimWorld, cameras: Iterable[str] = ()) -> None:
        self.world = world
        self.cameras = tuple(cameras)
        self._entries = {entry.id: entry for entry in world.scenario.devices}

    # ---- to see -----------------------------------------------------------------------------------------

    def devices(self, find: str = "", first: int = 0, count: int = ROWS_MAX) -> Devices:
        """Devices whose id, profile or line holds every word of `find`; "alarm" and other states are words too."""
        words = find.lower().split()
        ids = [name for name in self.world.devices if all(self._has(name, word) for word in words)]
        first = max(0, min(first, max(0, len(ids) - 1)))
        rows = tuple(self._row(self.world.devices[name])
                     for name in ids[first:first + max(1, min(count, ROWS_MAX))])
        return Devices(len(ids), first, rows)

    def _has(self, name: str, word: str) -> bool:
        entry = self._entries[name]
        return word in f"{name} {entry.profile} {entry.line}".lower() or word == _state(self.world.devices[name])

    def device(self, name: str) -> DeviceView:
        """One device. Raises ConfigError."""
        device = self._device(name)
        actions = {action: found[1] == device.shown.get(found[0]) or self._low(action, device, found[0])
                   for action in _TROUBLE if (found := _trouble(device, action)) is not None}
        profile = device.profile
        return DeviceView(
            self._row(device), profile.maker, profile.model, tuple(sorted(device.bugs)), actions,
            BUTTONS if profile.gbt26875 is not None else BUTTONS[:3],
            tuple(_point_view(device, point) for point in profile.points))

    def _low(self, action: str, device: VirtualDevice, point: str) -> bool:
        value = device.shown.get(point)
        return action == "battery" and isinstance(value, float) and value <= LOW_BATTERY

    def knobs(self) -> tuple[KnobView, ...]:
        """All that can be turned, with where it stands."""
        world = self.world.surroundings
        found = []
        for name, knob in world.knobs().items():
            thing_id, _, key = name.rpartition(".")
            noun = world.noun(thing_id)
            stands = _stands(noun, key, world.thing(thing_id))
            found.append(KnobView(name, noun, knob.unit, knob.low, knob.high, stands))
        return tuple(found)

    def readings(self) -> dict[str, tuple[float, str]]:
        """All that can be read of the world: name → (value, unit)."""
        world = self.world.surroundings
        return {name: (value, READABLE[world.noun(name.rpartition(".")[0])][name.rpartition(".")[2]].unit)
                for name, value in world.readings().items()}

    def faults(self, at_s: float) -> tuple[FaultView, ...]:
        """Faults that last or are to come, the newest first."""
        return tuple(
            FaultView(number, fault.kind, fault.target, round(fault.from_s, 2), fault.for_s, fault.active(at_s))
            for number, fault in reversed(list(enumerate(self.world.scenario.faults))) if fault.end_s > at_s)

    def targets(self) -> dict[str, str]:
        """Fault kind → what it strikes: "point", "camera", "actuator", "device", "line" or "line device"."""
        return {kind.value: _strikes(kind) for kind in FaultKind}

    def names(self) -> dict[str, list[str]]:
        """What faults may name, by kind of target; devices and points are found in the list."""
        return {"line": [line.id for line in self.world.scenario.lines],
                "actuator": list(self.world.surroundings.actuators), "camera": list(self.cameras)}

    # ---- to do ------------------------------------------------------------------------------------------

    def set(self, name: str, value: Value | str) -> None:
        """`device.point` shows this; text is read as the point's quantity wants it. Raises ConfigError."""
        device_id, _, point_id = name.partition(".")
        point = self._point(self._device(device_id), point_id)
        try:
            self.world.set_point(name, _read_value(point, value))
        except (TypeError, ValueError) as error:
            wanted = "on or off" if QUANTITIES[point.quantity].boolean else f"a number in {point.unit}"
            raise _no(f"{name} does not take {value!r}", f"write {wanted}") from error

    def press(self, name: str, button: str) -> None:
        """test, silence, reset or answer. Raises ConfigError."""
        if button not in BUTTONS:
            raise _no(f"no button {button!r}", f"press {', '.join(BUTTONS)}")
        self._device(name).press(button)

    def act(self, name: str, action: str, on: bool) -> None:
        """A shortcut: alarm, fault, battery or tamper begins or ends; ended, the point reads the world again.
        Raises ConfigError."""
        device = self._device(name)
        if action not in _TROUBLE:
            raise _no(f"no action {action!r}", f"there are {', '.join(_TROUBLE)}; buttons: {', '.join(BUTTONS)}")
        found = _trouble(device, action)
        if found is None:
            raise _no(f"{name} ({device.profile.id}) has no {action}", "see its points, and set one of them")
        point_id, trouble = found
        well = _WELL.get(self._point(device, point_id).quantity, False)
        self.world.set_point(f"{name}.{point_id}", trouble if on else well)
        if not on:
            self.world.give_back(f"{name}.{point_id}")

    def turn(self, name: str, value: float) -> None:
        """Turn a knob of the world. Raises ConfigError."""
        try:
            self.world.turn(name, value)
        except KeyError as error:
            known = ", ".join(sorted(self.world.surroundings.knobs())[:20])
            raise _no(f"the world has no knob {name!r}", f"there are {known} …") from error

    def strike(self, fault: Fault) -> int:
        """Begin a fault; returns its number. Raises ConfigError."""
        if len(self.world.scenario.faults) >= FAULTS_MAX:
            raise _no(f"{FAULTS_MAX} faults have been struck in this run", "start the simulator again")
        if not 0.0 <= fault.chance <= 1.0 or fault.for_s < 0.0:
            raise _no(f"chance {fault.chance}, {fault.for_s} s cannot be", "chance 0 to 1, seconds 0 or more")
        self._check_target(fault)
        return self.world.strike(fault)

    def end(self, number: int, at_s: float) -> None:
        """End a fault. Raises ConfigError."""
        if not 0 <= number < len(self.world.scenario.faults):
            raise _no(f"no fault {number}", "see the list of faults")
        self.world.end_fault(number, at_s)

    def _check_target(self, fault: Fault) -> None:
        target, strikes = fault.target, _strikes(fault.kind)
        if strikes == "point":
            device_id, _, point_id = target.partition(".")
            self._point(self._device(device_id), point_id)
            return
        known = {kind: names for kind, names in self.names().items() if kind in strikes.split()}
        if any(target in names for names in known.values()):
            return
        if "device" in strikes and target in self.world.devices:
            return
        listed = ", ".join(name for names in known.values() for name in names[:12])
        raise _no(f"{fault.kind} strikes a {strikes.replace(' ', ' or a ')}, {target!r} is none",
                  f"there are {listed}")

    # ---- names --------------------------------------------------------------------------------------------

    def _device(self, name: str) -> VirtualDevice:
        device = self.world.devices.get(name)
        if device is None:
            raise _no(f"no device {name!r}", f"there are {', '.join(list(self.world.devices)[:12])} …")
        return device

    def _point(self, device: VirtualDevice, point_id: str) -> ProfilePoint:
        point = device.profile.point(point_id)
        if point is None:
            raise _no(f"{device.id} has no point {point_id!r}",
                      f"it has {', '.join(point.id for point in device.profile.points)}")
        return point

    def _row(self, device: VirtualDevice) -> DeviceRow:
        entry, profile = self._entries[device.id], device.profile
        at = f"unit {entry.unit}" if profile.modbus is not None else entry.address or device.id
        told = sorted(profile.points, key=lambda point: not QUANTITIES[point.quantity].boolean)
        shows = tuple((point.id, device.shown.get(point.id), point.unit) for point in told[:3])
        return DeviceRow(device.id, profile.id, profile.en, profile.zh, entry.line, at, _state(device), shows)


def _state(device: VirtualDevice) -> str:
    if not device.answers:
        return "off"
    if device.testing:
        return "test"
    shown = device.shown
    points = device.profile.points
    if any(shown.get(point.id) is True and point.quantity in ALARM_QUANTITIES for point in points):
        return "alarm"
    trouble = {"fault", "tamper", "low_battery"}
    if any(shown.get(p.id) is None or (shown.get(p.id) is True and p.quantity in trouble) for p in points):
        return "fault"
    return "normal"


def _trouble(device: VirtualDevice, action: str) -> tuple[str, Value] | None:
    for quantity, value in _TROUBLE[action]:
        for point in device.profile.points:
            if point.quantity == quantity:
                return point.id, value
    return None


def _point_view(device: VirtualDevice, point: ProfilePoint) -> PointView:
    quantity, source = QUANTITIES[point.quantity], point.register
    words: tuple[str, ...] = ()
    place = ""
    if source is not None:
        place = f"{source.table.value} {source.address}"
        held = device.image.read(source.table, source.address, REGISTER_COUNT[source.type])
        words = tuple(f"{word:04X}" for word in held)
    elif point.payload is not None:
        place = f"{point.payload.topic} {point.payload.path}".strip()
    return PointView(point.id, point.en, point.zh, point.quantity, point.unit, device.shown.get(point.id),
                     quantity.boolean, quantity.text, point.writable, place, words)


# Where a knob stands: the attribute of its thing. What can be read under the same name is read.
_STANDS: dict[tuple[Noun, str], str] = {
    (Noun.ROOM, "people"): "base_people", (Noun.ROOM, "motion"): "motion", (Noun.ROOM, "light"): "light_lx",
    (Noun.ROOM, "noise"): "base_noise_db", (Noun.ROOM, "water"): "water_l", (Noun.DOOR, "open"): "open_share",
    (Noun.SOURCE, "on"): "burning", (Noun.SOURCE, "amount"): "amount", (Noun.TANK, "inflow"): "inflow_l_per_s",
    (Noun.TANK, "outflow"): "outflow_l_per_s", (Noun.PIPE, "feed"): "feed_kpa",
    (Noun.PIPE, "demand"): "demand_l_per_s", (Noun.PIPE, "hydrant"): "hydrant_l_per_s",
    (Noun.RIVER, "flow"): "flow_m3_per_s",
    (Noun.RIVER, "level"): "level_m",
    (Noun.CIRCUIT, "mains"): "mains_v", (Noun.CIRCUIT, "amps"): "base_a", (Noun.CIRCUIT, "leakage"): "base_leak_ma",
    (Noun.ACTUATOR, "open"): "position", (Noun.ACTUATOR, "jammed"): "jammed",
}


def _stands(noun: Noun, key: str, thing: Any) -> float:
    if noun is Noun.OUTDOOR:
        return float(thing.knobs[key])
    if (noun, key) == (Noun.ROOM, "setpoint"):
        return round(float(thing.setpoint) - 273.15, 2)
    return float(getattr(thing, _STANDS[noun, key]))


def _strikes(kind: FaultKind) -> str:
    if kind in POINT_FAULTS:
        return "point"
    if kind in CAMERA_FAULTS:
        return "camera"
    if kind is FaultKind.JAMMED:
        return "actuator"
    if kind in DEVICE_FAULTS:
        return "device"
    return "line" if kind in WHOLE_LINE_FAULTS else "line device"


def _read_value(point: ProfilePoint, value: Value | str) -> Value:
    quantity = QUANTITIES[point.quantity]
    if quantity.text or not isinstance(value, str):
        return value
    word = value.strip().lower()
    if quantity.boolean:
        if word in ("on", "true", "yes", "1"):
            return True
        if word in ("off", "false", "no", "0"):
            return False
        raise ValueError(value)
    return float(word)


def _no(what: str, remedy: str) -> ConfigError:
    return ConfigError([Finding("simulator", 0, 0, what, remedy)])
