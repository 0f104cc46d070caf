"""VirtualDevice: a device model come alive from its profile, with the manners of firmware.

    world ──feed──► Sensor (lag, noise, threshold) ──► values ──distort──► shown ──► register image | payload
    people ─press─► test, silence, reset                 ▲
    master ─write─► coils, holding registers ────────────┘

Pure: time comes in as elapsed seconds of the shown clock. What changed on the device's face since the last look
is taken with `take_changes()`: these are the true stimuli that a test of the whole product compares with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import isfinite

import msgspec

from device_model.profile import (
    REGISTER_COUNT,
    DeviceClass,
    DeviceProfile,
    ProfilePoint,
    RegisterSource,
    RegisterType,
    StateCode,
    Table,
)
from device_model.quantities import QUANTITIES, to_canonical
from device_model.reading import Reason, Value
from firmware_sim.device_bugs import DeviceBug, bent_number, bent_source
from firmware_sim.image import NoSuchAddress, RegisterImage, raw_limits, raw_of_value, raw_of_words
from firmware_sim.noise import Noise
from firmware_sim.physics import DEFAULT_TRAITS, HUSH_FACTOR, HUSH_S, NO_LAG, Sensor, SensorTraits

BOOT_S = 3.0  # from power to the first answer
SELF_TEST_S = 10.0  # how long the test button holds the alarm
LOW_BATTERY_PERCENT = 15.0
ALARM_QUANTITIES = frozenset({"smoke_alarm", "heat_alarm", "fire_alarm", "call_point", "co_alarm", "gas_alarm"})
_TRUE_WHEN_HEALTHY = frozenset({"head_present", "mains_ok", "link_ok", "valve_open"})
# What a healthy device in an ordinary room shows (canonical units); everything else starts at zero.
_ORDINARY = {
    "temperature": 21.0, "humidity": 45.0, "voltage": 12.0, "frequency": 50.0, "oxygen": 20.9, "co2": 450.0,
    "battery": 100.0, "state_of_charge": 80.0, "power_factor": 0.98, "pressure": 101_325.0, "signal": -60.0,
    "link_quality": 200.0, "gas_resistance_ratio": 1.0,
}
_MAINS_V = 230.0
_MAINS_CLASSES = frozenset({DeviceClass.POWER_METER, DeviceClass.UPS, DeviceClass.CHARGER})
_CELL_V = 3.6
_BOOLEAN_WORDS = {True: 1, False: 0}


class Change(msgspec.Struct, frozen=True):
    """A point of the device shows another value; None: it shows none (bad)."""

    device: str
    point: str
    value: Value | None


class Refused(Exception):
    """The device refuses a write; `code` is the Modbus exception."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with {code}")
        self.code = code


class VirtualDevice:
    """One device. `start` gives first values by point in the profile's units; `latching` None: as the profile
    suggests (it latches where the model has a reset to write)."""

    def __init__(
        self, device_id: str, profile: DeviceProfile, *, seed: int = 0, start: Mapping[str, Value] | None = None,
        latching: bool | None = None, cold: bool = False, bugs: frozenset[DeviceBug] = frozenset(),
    ) -> None:
        self.id = device_id
        self.profile = profile
        self.latching = _has_reset(profile) if latching is None else latching
        self.bugs = bugs
        self.boots = 0
        self.on = True
        self.testing = False
        self.pressed: deque[str] = deque(maxlen=16)  # the last buttons, for devices that report being operated
        self.presses = 0
        self.shown: dict[str, Value | None] = {}
        self.version = 0  # grows whenever something else is shown
        self.image = RegisterImage(holes_readable=profile.modbus.read_holes if profile.modbus else True)
        self._seed = seed
        self._values: dict[str, Value] = {}
        self._bad: dict[str, Reason] = {}
        self._sensors: dict[str, Sensor] = {}
        self._offsets: dict[str, float] = {}
        self._aged: dict[str, float] = {}
        self._frozen: set[str] = set()
        self._changes: list[Change] = []
        self._time_s = 0.0
        self._boots_until_s = 0.0
        self._warm_at_s = profile.warm_up_s if cold else 0.0
        self._keeps_time = any(point.quantity == "uptime" for point in profile.points)
        self._hush_until_s = -1.0
        self._test_until_s = -1.0
        for point in profile.points:
            if point.register is not None:
                self.image.define(point.register)
            self._values[point.id] = _first_value(profile, point)
        for point_id, value in (start or {}).items():
            self._values[point_id] = _typed(self._point(point_id), value)
        self._show_all()
        self._changes.clear()

    # ---- the world and people -------------------------------------------------------------------------

    def feed(
        self, point_id: str, value: float, traits: SensorTraits | None = None, *, lag_s: float | None = None,
        deviation: float | None = None,
    ) -> None:
        """Tell the sensor behind a point what the world is now (in `traits.unit`, or the point's unit).

        lag_s: its lag in this air, where that is not the one of its traits. deviation: of its noise, None: as the
        profile says. Raises KeyError for a point that the profile does not have.
        """
        sensor = self._sensors.get(point_id)
        if sensor is None:
            point = self._point(point_id)
            traits = traits or DEFAULT_TRAITS.get(point.quantity, NO_LAG)
            if deviation is None:
                deviation = 0.0 if QUANTITIES[point.quantity].boolean else point.natural_noise
            noise = Noise(self._seed, self.id, point_id)
            sensor = self._sensors[point_id] = Sensor(traits, noise, deviation, value)
        else:
            sensor.target = value
        if lag_s is not None:
            sensor.lag_s = lag_s

    def set(self, point_id: str, value: Value) -> None:
        """The point has this value from now on (profile's unit), whatever fed it before. Ends `set_bad`."""
        point = self._point(point_id)
        self._sensors.pop(point_id, None)
        self._bad.pop(point_id, None)
        self._values[point_id] = _typed(point, value)
        if point.quantity == "battery" and isinstance(value, int | float):
            for other in self.profile.points:
                if other.quantity == "low_battery":
                    self._values[other.id] = value <= LOW_BATTERY_PERCENT
        self._show_all()

    def set_bad(self, point_id: str, reason: Reason = Reason.DEVICE_FAULT) -> None:
        """The point fails the way this model shows it: error value, state code, or exception 4 on reading."""
        self._point(point_id)
        self._bad[point_id] = reason
        self._show_all()

    def clear_bad(self, point_id: str) -> None:
        """The point works again."""
        self._bad.pop(point_id, None)
        self._show_all()

    def over_threshold(self, point_id: str) -> bool:
        """Whether the sensor behind a fed point sees more than its threshold now."""
        sensor = self._sensors.get(point_id)
        return sensor is not None and sensor.alarm

    def press(self, button: str) -> None:
        """A person at the device: "test", "silence", "reset", or "answer" (a duty check of the monitoring centre).
        Raises ValueError for another word."""
        if button == "test":
            self._test_until_s = self._time_s + SELF_TEST_S
        elif button == "silence":
            self._hush_until_s = self._time_s + HUSH_S
        elif button == "reset":
            self._reset()
        elif button != "answer":
            raise ValueError(f"no button {button!r}; there are test, silence, reset, answer")
        self.pressed.append(button)
        self.presses += 1
        self.advance(0.0)

    # ---- faults of the device -------------------------------------------------------------------------

    def freeze(self, point_id: str, frozen: bool) -> None:
        """Stuck: the point shows what it shows now, whatever happens."""
        if frozen:
            self._frozen.add(point_id)
        else:
            self._frozen.discard(point_id)
            self._show_all()

    def shift(self, point_id: str, offset: float) -> None:
        """Jump or drift: the point shows this much more than is true (profile's unit); 0 ends it."""
        self._offsets[point_id] = offset
        self._show_all()

    def age(self, point_id: str, offset: float) -> None:
        """Its sensor has drifted by so much (profile's unit) over the years; comes on top of `shift`."""
        self._aged[point_id] = offset
        self._show_all()

    def power(self, on: bool) -> None:
        """Cut or give power. Power starts a boot: silent, then warming up, latches and writes forgotten."""
        if on and not self.on:
            self._boots_until_s = self._time_s + BOOT_S
            self._warm_at_s = self._boots_until_s + self.profile.warm_up_s
            self._reset()
            self.boots += 1
        self.on = on

    @property
    def since_boot_s(self) -> float:
        """Shown seconds since the firmware came up."""
        return self._time_s - self._boots_until_s

    @property
    def answers(self) -> bool:
        """Whether the firmware runs: powered and booted."""
        return self.on and self._time_s >= self._boots_until_s

    # ---- time -----------------------------------------------------------------------------------------

    def advance(self, elapsed_s: float) -> None:
        """Let shown time pass."""
        self._time_s += elapsed_s
        if not (self._sensors or self._keeps_time or DeviceBug.ZERO_AFTER_BOOT in self.bugs or self.testing
                or self._time_s < self._test_until_s or self._time_s - elapsed_s <= self._warm_at_s):
            return  # nothing moves in it: fleets are mostly of such devices
        hush = HUSH_FACTOR if self._time_s < self._hush_until_s else 1.0
        testing = self._time_s < self._test_until_s
        for point in self.profile.points:
            sensor = self._sensors.get(point.id)
            alarm = point.quantity in ALARM_QUANTITIES
            if sensor is not None:
                seen = sensor.advance(elapsed_s, hush)
                if QUANTITIES[point.quantity].boolean:
                    # A fire is never hidden by a latch: the latch only keeps what has been.
                    held = self.latching and alarm and self._values[point.id] is True
                    self._values[point.id] = sensor.alarm or held
                else:
                    self._values[point.id] = seen
            elif point.quantity == "uptime" and self.answers:
                self._values[point.id] = convert_unit("uptime", self._time_s - self._boots_until_s, "s", point.unit)
        self.testing = testing
        self._show_all()

    @property
    def changed(self) -> bool:
        """Whether there are changes to take."""
        return bool(self._changes)

    def take_changes(self) -> list[Change]:
        """What the device's face shows anew since the last call; the caller must call it (bounded by the
        number of points per advance)."""
        changes, self._changes = self._changes, []
        return changes

    # ---- the master -----------------------------------------------------------------------------------

    def fails_at(self, table: Table, address: int, count: int) -> bool:
        """Whether a block touches a point that has failed and has no other way to show it."""
        for point_id in self._bad:
            point = self._point(point_id)
            source = point.register
            if source is None or source.table is not table or self._shows_bad_itself(point):
                continue
            if address < source.address + REGISTER_COUNT[source.type] and source.address < address + count:
                return True
        return False

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """A master writes. Raises Refused."""
        written = set(range(address, address + len(values)))
        touched = [(p, p.register) for p in self.profile.points
                   if p.writable and p.register is not None and p.register.table is table
                   and written & set(_span(p.register))]
        if written - {at for _, source in touched for at in _span(source)}:
            raise Refused(2)  # something in the block cannot be written
        try:
            self.image.write(table, address, values)
        except NoSuchAddress:
            raise Refused(2) from None
        for point, source in touched:
            raw = raw_of_words(source, self.image.read(table, source.address, REGISTER_COUNT[source.type]))
            self._written(point, source, raw)
        self._show_all()

    def command(self, point_id: str, value: Value) -> bool:
        """A message told a writable point its value (MQTT); False when the model does not take it."""
        point = self.profile.point(point_id)
        if point is None or not point.writable:
            return False
        try:
            self._values[point_id] = _typed(point, value)
        except (TypeError, ValueError):
            return False
        self._show_all()
        return True

    def _written(self, point: ProfilePoint, source: RegisterSource, raw: int | float) -> None:
        if "reset" in point.id:
            code = self.profile.point(f"{point.id.removeprefix('alarm_')}_code") or self.profile.point("reset_code")
            if code is None or raw == self._values[code.id]:
                self._reset()
            self._values[point.id] = _typed(point, 0)  # such registers read 0 again at once
        elif QUANTITIES[point.quantity].boolean:
            self._values[point.id] = bool(raw) != source.invert
        elif not QUANTITIES[point.quantity].text:
            value = (raw * source.scale + source.offset) / 10.0 ** self._decimals(point)
            self._values[point.id] = value if isfinite(value) else 0.0

    def _reset(self) -> None:
        for point in self.profile.points:
            if point.quantity in ALARM_QUANTITIES:
                sensor = self._sensors.get(point.id)
                self._values[point.id] = sensor.alarm if sensor is not None else False

    # ---- the face -------------------------------------------------------------------------------------

    def _point(self, point_id: str) -> ProfilePoint:
        point = self.profile.point(point_id)
        if point is None:
            raise KeyError(f"{self.profile.id} has no point {point_id!r}")
        return point

    def _shows_bad_itself(self, point: ProfilePoint) -> bool:
        return bool(point.error_values) or any(
            _affects(code, point.id) for other in self.profile.points for code in other.state_codes if code.reason
        )

    def _show_all(self) -> None:
        warming = self._time_s < self._warm_at_s
        for point in self.profile.points:
            if point.id in self._frozen:
                continue
            value: Value | None = self._values[point.id]
            if point.state_codes:
                value = self._state(point, warming)
            elif self.testing and point.quantity in (*ALARM_QUANTITIES, "test"):
                value = True
            elif warming and point.quantity in ALARM_QUANTITIES:
                value = False
            elif isinstance(value, float):
                value += self._offsets.get(point.id, 0.0) + self._aged.get(point.id, 0.0)
                if self.bugs:
                    value = bent_number(self.bugs, value, self.since_boot_s)
            if point.id in self._bad:
                value = None
            self._put(point, value)
            if self.shown.get(point.id, ...) != value:
                self.shown[point.id] = value
                self.version += 1
                self._changes.append(Change(self.id, point.id, value))

    def _state(self, point: ProfilePoint, warming: bool) -> Value:
        reasons = [*({Reason.WARM_UP} if warming else ()), *self._bad.values()]
        for reason in reasons:
            for code in point.state_codes:
                if code.reason == reason and (warming or any(_affects(code, bad) for bad in self._bad)):
                    return code.code
        return self._values[point.id]

    def _put(self, point: ProfilePoint, value: Value | None) -> None:
        source = point.register
        if source is None or isinstance(value, str):
            return
        if self.bugs:
            source = bent_source(self.bugs, source)
        if value is None:
            over = self._bad[point.id] is Reason.OVER_RANGE and point.over_range_values
            marks = point.over_range_values if over else point.error_values
            if marks:
                self.image.put(source, marks[0])
            return
        if QUANTITIES[point.quantity].boolean:
            self.image.put(source, _BOOLEAN_WORDS[bool(value) != source.invert])
            return
        saturated = point.range_maximum is not None and value >= point.range_maximum
        if saturated and point.over_range_values:
            self.image.put(source, point.over_range_values[0])
            return
        self.image.put(source, raw_of_value(source, self._on_wire(point, float(value)), self._decimals(point)))

    def _on_wire(self, point: ProfilePoint, value: float) -> float:
        """The value in the unit that the device's unit register says."""
        source = point.register
        if source is None or not source.unit_point:
            return value
        code = self._values[source.unit_point]
        unit = source.unit_codes.get(int(code)) if isinstance(code, int | float) else None
        return value if unit is None else convert_unit(point.quantity, value, point.unit, unit)

    def _decimals(self, point: ProfilePoint) -> int:
        source = point.register
        if source is None or not source.decimals_point:
            return 0
        code = self._values[source.decimals_point]
        number = int(code) if isinstance(code, int | float) else 0
        return source.decimals_codes.get(number, 0) if source.decimals_codes else number


def convert_unit(quantity: str, value: float, unit: str, into: str) -> float:
    """A value in another unit of the same quantity. Raises KeyError where the quantity may not carry it."""
    target = QUANTITIES[quantity].unit(into)
    if target is None:
        raise KeyError(f"{quantity} may not carry the unit {into}")
    return value if unit == into else (to_canonical(quantity, unit, value) - target.offset) / target.factor


def _span(source: RegisterSource) -> range:
    return range(source.address, source.address + REGISTER_COUNT[source.type])


def _has_reset(profile: DeviceProfile) -> bool:
    return any("reset" in point.id and point.writable for point in profile.points)


def _affects(code: StateCode, point_id: str) -> bool:
    return not code.affects or point_id in code.affects


def _typed(point: ProfilePoint, value: Value) -> Value:
    """The value as the quantity holds it: bool, text or float. Raises ValueError, TypeError."""
    quantity = QUANTITIES[point.quantity]
    if quantity.text:
        return str(value)
    if quantity.boolean:
        if isinstance(value, bool):
            return value
        raise TypeError(f"{point.id} takes true or false, not {value!r}")
    if isinstance(value, bool | str):
        raise TypeError(f"{point.id} takes a number, not {value!r}")
    return float(value)


def _first_value(profile: DeviceProfile, point: ProfilePoint) -> Value:
    quantity = QUANTITIES[point.quantity]
    if quantity.text:
        return ""
    if quantity.boolean:
        return point.quantity in _TRUE_WHEN_HEALTHY
    if point.state_codes:
        return float(next((code.code for code in point.state_codes if not code.reason), 0))
    for user in profile.points:
        source = user.register
        if source is not None and source.unit_point == point.id:
            return float(next((c for c, unit in source.unit_codes.items() if unit == user.unit),
                              next(iter(source.unit_codes), 0)))
        if source is not None and source.decimals_point == point.id:
            return float(_roomy_decimals(profile, user))
    if point.id == "reset_code":
        return 234.0
    ordinary = _ORDINARY.get(point.quantity, 0.0)
    if point.quantity == "voltage" and "cell" in point.id:
        ordinary = _CELL_V
    elif point.quantity == "voltage" and profile.device_class in _MAINS_CLASSES and "battery" not in point.id:
        ordinary = _MAINS_V if _fits(point, _MAINS_V) else ordinary  # a UPS may be one for 12 V
    value = convert_unit(point.quantity, ordinary, quantity.canonical, point.unit)
    low = point.minimum if point.minimum is not None else value
    high = point.maximum if point.maximum is not None else value
    return float(min(high, max(low, value)))


def _fits(point: ProfilePoint, value: float) -> bool:
    """Whether the point's register can say so much (canonical unit); true where it has none of whole numbers."""
    source = point.register
    if source is None or source.type in (RegisterType.F32, RegisterType.F64) or source.unit_point:
        return True
    of_point = convert_unit(point.quantity, value, QUANTITIES[point.quantity].canonical, point.unit)
    return (of_point - source.offset) / source.scale <= raw_limits(source)[1]


def _roomy_decimals(profile: DeviceProfile, user: ProfilePoint) -> int:
    """The code of the most decimals (three at most) with which the point's whole range still fits."""
    source = user.register
    if source is None or source.type in (RegisterType.F32, RegisterType.F64):
        return 0
    # Without a stated range: instruments of this kind show up to 100 % or some hundreds of their unit.
    largest = user.range_maximum or user.maximum or (100.0 if "%" in user.unit else 1000.0)
    unit = next((u for u in source.unit_codes.values() if u == user.unit), next(iter(source.unit_codes.values()), ""))
    if unit:
        largest = convert_unit(user.quantity, largest, user.unit, unit)
    codes = source.decimals_codes or {n: n for n in range(4)}
    fits = [(n, code) for code, n in codes.items() if abs(largest) * 10**n <= raw_limits(source)[1]]
    return max(fits)[1] if fits else 0
