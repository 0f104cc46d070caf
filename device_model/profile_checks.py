"""What makes no sense in a profile, though every key is well written. Used by profile_file.py.

Each check appends a Finding that points at the key which is wrong and says what to write instead.
"""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Sequence

from device_model.errors import Finding
from device_model.messages import TOKEN
from device_model.payload_rules import BINARY, TEMPLATES, path_problem, pattern_problem
from device_model.profile import (
    RECORD_MAX,
    REGISTER_COUNT,
    Certainty,
    DeviceProfile,
    ModbusTraits,
    MqttTraits,
    PayloadSource,
    ProfilePoint,
    RegisterSource,
    RegisterType,
    StateCode,
    Table,
)
from device_model.quantities import QUANTITIES, UNIT_ALIASES, Quantity
from device_model.reading import Reason
from device_model.yaml_source import Path, Source, Step

POINT_ID = re.compile(r"[a-z0-9_]{1,40}")
ADDRESS_MAX = 0xFFFF
SUPERVISE_MAX_S = 7200.0
DECIMALS_MAX = 9
SCALE_LEAST, SCALE_MOST = 1e-15, 1e15
COUNTER_MAX_LEAST = 99  # with fewer a step could not be told from a reset
BIT_TABLES = frozenset({Table.COIL, Table.DISCRETE_INPUT})
WRITABLE_TABLES = frozenset({Table.COIL, Table.HOLDING, Table.FILE})
WRITE_FUNCTIONS = (0, 16, 23)
DIALECTS = ("", "lls")
_FLOATS = frozenset({RegisterType.F32, RegisterType.F64})
# (bits, signed) of the whole-number types.
WHOLE_TYPES: dict[RegisterType, tuple[int, bool]] = {
    RegisterType.BIT: (1, False), RegisterType.U8_LOW: (8, False), RegisterType.U8_HIGH: (8, False),
    RegisterType.S8_LOW: (8, True), RegisterType.U16: (16, False), RegisterType.S16: (16, True),
    RegisterType.U32: (32, False), RegisterType.S32: (32, True), RegisterType.U64: (64, False),
    RegisterType.S64: (64, True),
}


def raw_range(kind: RegisterType) -> tuple[int, int]:
    """Smallest and largest raw number of a whole-number type, after sign extension."""
    bits, signed = WHOLE_TYPES[kind]
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def check_profile(profile: DeviceProfile, source: Source, names: frozenset[str]) -> list[Finding]:
    """Everything that is wrong with the meaning of a profile. `names`: all points that the file names, also
    those that did not convert, so that a reference to one of them is no second error."""
    checker = _Checker(profile, source, names)
    checker.check()
    return checker.findings


class _Checker:
    """Collects findings; one method a noun."""

    def __init__(self, profile: DeviceProfile, source: Source, names: frozenset[str]) -> None:
        self.profile = profile
        self.names = names
        self.source = source
        self.findings: list[Finding] = []

    def add(self, path: Sequence[Step], what: str, remedy: str) -> None:
        self.findings.append(self.source.finding(path, what, remedy))

    def check(self) -> None:
        profile = self.profile
        if not TOKEN.fullmatch(profile.id):
            self.add(("profile",), f"profile id {profile.id!r} is not lower case letters, digits and hyphens",
                     "write it like `maker-model`")
        if profile.version < 1:
            self.add(("version",), "version must be 1 or more", "count up with every change of meaning")
        if not profile.source.strip():
            self.add(("source",), "source is empty", "cite the manual page or the driver that the map comes from")
        for key in ("maker", "model", "en", "zh"):
            if not getattr(profile, key).strip():
                self.add((key,), f"{key} is empty", "people choose the profile by it")
        for key in ("warm_up_s", "self_test_days"):
            if getattr(profile, key) < 0:
                self.add((key,), f"{key} is negative", "write 0 or more")
        spoken = [traits for traits in (profile.modbus, profile.mqtt, profile.gbt26875, profile.hj212,
                                        profile.gateway) if traits]
        if len(spoken) != 1:
            self.add((), "a profile has exactly one of `modbus:`, `mqtt:`, `gbt26875:` and `hj212:`",
                     "add `modbus: {}` for registers, or `mqtt: {base_topic: …}`")
        if not self.names:
            self.add(("points",), "the profile has no points", "add at least one below `points:`")
        if profile.modbus is not None:
            self._modbus(profile.modbus)
        if profile.mqtt is not None:
            self._mqtt(profile.mqtt)
        for name, traits in (("gbt26875", profile.gbt26875), ("hj212", profile.hj212)):
            if traits is not None and (traits.expire_after_s <= 0 or abs(traits.utc_offset_h) > 14):
                self.add((name,), "expire_after_s must be positive, utc_offset_h within -14..14", "leave them out")
        if profile.gbt26875 is not None and not 0 < profile.gbt26875.supervise_s <= SUPERVISE_MAX_S:
            self.add(("gbt26875", "supervise_s"), f"supervise_s is not within 0..{SUPERVISE_MAX_S:g}",
                     "a centre supervises its transmission devices at least every 2 hours")
        if profile.gateway is not None and not profile.gateway.look_every_s > 0:
            self.add(("gateway", "look_every_s"), "look_every_s must be positive", "write seconds")
        for point in profile.points:
            self._point(point, ("points", point.id))

    def _modbus(self, traits: ModbusTraits) -> None:
        widest = max((REGISTER_COUNT[p.register.type] for p in self.profile.points if p.register), default=1)
        if not widest <= traits.max_registers <= 125:
            self.add(("modbus", "max_registers"), f"max_registers {traits.max_registers} is not within {widest}..125",
                     f"the widest point needs {widest}; the standard allows 125")
        if not 1 <= traits.max_bits <= 2000:
            self.add(("modbus", "max_bits"), f"max_bits {traits.max_bits} is not within 1..2000", "leave it out")
        if traits.dialect not in DIALECTS:
            self.add(("modbus", "dialect"), f"dialect {traits.dialect!r} is not known", "leave it out, or write lls")
        if traits.write_function not in WRITE_FUNCTIONS:
            self.add(("modbus", "write_function"), f"write_function {traits.write_function} is not 0, 16 or 23",
                     "leave it out unless the device lacks FC 5 and 6 (16), or shall read back what it took (23)")
        if traits.min_gap_s < 0 or traits.late_reply_max_s < 0 or traits.reply_timeout_s <= 0:
            self.add(("modbus",), "times of a line must be positive", "see `reply_timeout_s` in the other profiles")

    def _mqtt(self, traits: MqttTraits) -> None:
        for key in ("base_topic", "availability_topic"):
            topic: str = getattr(traits, key)
            if any(sign in topic for sign in "+#"):
                self.add(("mqtt", key), f"{key} {topic!r} holds a wildcard", "name one topic; use {address} in it")
            try:
                names = {name for _, name, _, _ in string.Formatter().parse(topic) if name is not None}
            except ValueError:
                names = {"?"}
            if names - {"device", "address"}:
                self.add(("mqtt", key), f"{key} {topic!r} holds a placeholder that nobody fills",
                         "only {device} and {address} are filled, from the site file")
        if not ("{device}" in traits.base_topic or "{address}" in traits.base_topic):
            self.add(("mqtt", "base_topic"), f"base_topic {traits.base_topic!r} is the same for all devices",
                     "put {address} where the device's own name stands")
        if traits.template and traits.template not in TEMPLATES:
            near = difflib.get_close_matches(traits.template, TEMPLATES, n=1)
            self.add(("mqtt", "template"), f"template {traits.template!r} is not known",
                     f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(TEMPLATES)}")
        if traits.format not in ("json", "cbor"):
            self.add(("mqtt", "format"), f"format {traits.format!r} is not known",
                     "json or cbor; text and bytes are told by `pattern:` and `binary:` of the points")
        if not 1 <= traits.command_port <= 223:
            self.add(("mqtt", "command_port"), f"command_port {traits.command_port} is not within 1..223",
                     "LoRaWAN has application ports 1 to 223")
        if traits.expire_after_s <= 0:
            self.add(("mqtt", "expire_after_s"), "expire_after_s must be positive", "write seconds")

    def _point(self, point: ProfilePoint, path: Path) -> None:
        if not POINT_ID.fullmatch(point.id):
            self.add(path, f"point id {point.id!r} is not lower case letters, digits and underscores",
                     "write it like `cell_1_voltage`")
        quantity = QUANTITIES.get(point.quantity)
        if quantity is None:
            near = difflib.get_close_matches(point.quantity, QUANTITIES, n=1)
            self.add((*path, "quantity"), f"quantity {point.quantity!r} is not known",
                     f"did you mean {near[0]!r}?" if near else "see device_model/quantities.py for the list")
        else:
            self._unit(quantity, point.unit, (*path, "unit"))
        if point.register is None and point.payload is None:
            self.add(path, "the point stands nowhere", "give `address:` (Modbus) or `path:` (MQTT)")
        if point.register is not None:
            if self.profile.modbus is None:
                self.add(path, "a register point in a profile without `modbus:`", "add `modbus: {}`")
            self._register(point, point.register, quantity, path)
        if point.payload is not None:
            if self.profile.modbus is not None or (self.profile.protocol == "mqtt" and self.profile.mqtt is None):
                self.add(path, "a payload point in a profile without `mqtt:`", "add `mqtt: {base_topic: …}`")
            self._payload(point.payload, path)
        self._times(point, path)
        self._numbers(point, quantity, path)
        self._states(point.state_codes, path)
        if not point.source.strip():
            self.add(path, "the point cites no source", "add `source:` to the point or the profile")
        if point.writable and point.certainty is Certainty.C:
            self.add(path, "a point of certainty C may not be written", "verify the register, then raise certainty")

    def _unit(self, quantity: Quantity, unit: str, path: Path) -> None:
        allowed = ", ".join(entry.code for entry in quantity.units)
        if quantity.unit(unit) is not None:
            return
        if not unit:
            self.add(path[:-1], f"{quantity.name} needs a unit", f"add `unit:`, one of: {allowed}")
            return
        alias = UNIT_ALIASES.get(unit)
        if alias is not None and quantity.unit(alias) is not None:
            self.add(path, f"unit {unit!r} is written {alias!r} (UCUM)", f"write `unit: \"{alias}\"`")
        else:
            self.add(path, f"{quantity.name} may not carry the unit {unit!r}", f"one of: {allowed}")

    def _register(
        self, point: ProfilePoint, register: RegisterSource, quantity: Quantity | None, path: Path
    ) -> None:
        last = register.address + REGISTER_COUNT[register.type] - 1
        if register.address < 0 or last > ADDRESS_MAX:
            self.add((*path, "address"), f"address {register.address}..{last} is not within 0..{ADDRESS_MAX}",
                     "write the zero-based wire address (manuals often count from 1 or 40001)")
        if (register.table is Table.FILE) != (1 <= register.file <= ADDRESS_MAX):
            self.add((*path, "file"), f"file {register.file} does not go with table {register.table}",
                     "`table: file` needs `file:` 1..65535, other tables have none")
        elif register.table is Table.FILE and last > RECORD_MAX:
            self.add((*path, "address"), f"record {last} is not within 0..{RECORD_MAX}", "a file has 10000 records")
        self._register_bits(register, quantity, path)
        if point.writable and register.table not in WRITABLE_TABLES:
            self.add((*path, "writable"), f"a point in table {register.table} cannot be written",
                     "only coils and holding registers can, and files")
        self._scale(register.scale, path)
        if register.type not in _FLOATS:
            low, high = raw_range(register.type)
            for key in ("error_values", "over_range_values"):
                for index, value in enumerate(getattr(point, key)):
                    if not low <= value <= high:
                        self.add((*path, key, index), f"{value} cannot stand in a {register.type} ({low}..{high})",
                                 _signed_hint(value, low, high))
        self._counter(point, register, path)
        self._selectors(point, register, quantity, path)

    def _counter(self, point: ProfilePoint, register: RegisterSource, path: Path) -> None:
        if register.counter_max == 0:
            if register.counter_rate_max:
                self.add((*path, "counter_rate_max"), "counter_rate_max without counter_max", "add `counter_max:`")
            return
        signed = register.type in WHOLE_TYPES and WHOLE_TYPES[register.type][1]
        if register.type not in WHOLE_TYPES or signed or register.type is RegisterType.BIT:
            self.add((*path, "counter_max"), f"a {register.type} is no counter", "counters are u16, u32 or u64")
        elif not COUNTER_MAX_LEAST <= register.counter_max <= raw_range(register.type)[1]:
            self.add((*path, "counter_max"), f"{register.counter_max} cannot be the last number of a {register.type}",
                     f"write {raw_range(register.type)[1]}, or what the meter shows before it starts again at 0")
        if register.counter_rate_max < 0:
            self.add((*path, "counter_rate_max"), "counter_rate_max is negative", "leave it out")
        if point.writable:
            self.add((*path, "writable"), "a counter cannot be written", "leave out `writable:` or `counter_max:`")

    def _register_bits(self, register: RegisterSource, quantity: Quantity | None, path: Path) -> None:
        bit_table = register.table in BIT_TABLES
        if bit_table and (register.type is not RegisterType.BIT or register.bit is not None):
            self.add(path, f"table {register.table} holds bits only", "leave out `type:` and `bit:`")
        elif not bit_table and register.type is RegisterType.BIT and register.bit is None:
            self.add(path, "a bit of a register needs `bit:`", "add `bit: 0` to 15; bit 0 is the lowest")
        elif not bit_table and register.bit is not None and register.type is not RegisterType.BIT:
            self.add((*path, "bit"), f"`bit:` does not go with type {register.type}", "leave out `type:`")
        if register.bit is not None and not 0 <= register.bit <= 15:
            self.add((*path, "bit"), f"bit {register.bit} is not within 0..15", "bit 0 is the lowest")
        if quantity is not None and quantity.text:
            self.add((*path, "quantity"), "a register point cannot be text", "use a numeric quantity")
        elif quantity is not None and quantity.boolean != (register.type is RegisterType.BIT):
            self.add((*path, "quantity"),
                     f"{quantity.name} is {'true or false' if quantity.boolean else 'a number'}, "
                     f"the register is {'one bit' if register.type is RegisterType.BIT else 'a number'}",
                     "add `bit:`" if quantity.boolean else "choose a true/false quantity, or leave out `bit:`")
        if register.mask is not None:
            fits = 0 < register.mask <= 0xFFFF and REGISTER_COUNT[register.type] == 1
            if not fits or register.mask >> max(0, register.shift) == 0 or register.type is RegisterType.BIT:
                self.add((*path, "mask"), f"mask {register.mask:#x} leaves nothing or does not fit {register.type}",
                         "a mask selects bits of one 16-bit register; `shift:` then moves them right")
        if not 0 <= register.shift <= 15:
            self.add((*path, "shift"), f"shift {register.shift} is not within 0..15", "count from the lowest bit")

    def _selectors(
        self, point: ProfilePoint, register: RegisterSource, quantity: Quantity | None, path: Path
    ) -> None:
        for key in ("unit_point", "decimals_point"):
            name: str = getattr(register, key)
            other = self.profile.point(name)
            if name and (name not in self.names or name == point.id):
                self.add((*path, key), f"{key} {name!r} is not another point of this profile",
                         f"one of: {', '.join(sorted(self.names - {point.id}))}")
            elif other is not None and other.quantity != "state_code":
                self.add((*path, key), f"{key} {name!r} carries {other.quantity}", "give it `quantity: state_code`")
        if bool(register.unit_point) != bool(register.unit_codes):
            self.add(path, "`unit_point:` and `unit_codes:` go together", "write both or neither")
        if register.decimals_codes and not register.decimals_point:
            self.add(path, "`decimals_codes:` needs `decimals_point:`", "name the point that holds the code")
        for code, unit in register.unit_codes.items():
            if quantity is not None:
                self._unit(quantity, unit, (*path, "unit_codes", code))
        for code, decimals in register.decimals_codes.items():
            if not 0 <= decimals <= DECIMALS_MAX:
                self.add((*path, "decimals_codes", code), f"{decimals} decimals are not within 0..{DECIMALS_MAX}",
                         "write how many digits stand behind the point")

    def _payload(self, payload: PayloadSource, path: Path) -> None:
        if any(sign in payload.topic for sign in "+#"):
            self.add((*path, "topic"), f"topic {payload.topic!r} holds a wildcard", "name one topic")
        for key in ("path", "time_path"):
            text: str = getattr(payload, key)
            problem = path_problem(text) if text else ""
            if problem:
                self.add((*path, key), f"{key} {text!r} is not dotted names with [n], nor JMESPath: {problem}",
                         "write it like `state.values[0]`")
        problem = pattern_problem(payload.pattern) if payload.pattern else ""
        if problem:
            self.add((*path, "pattern"), f"pattern {payload.pattern!r}: {problem}", "write it like `T=([0-9.]+)`")
        if payload.binary and not BINARY.fullmatch(payload.binary):
            self.add((*path, "binary"), f"binary {payload.binary!r} names no place in a payload",
                     "write it like `u16be@3`, `s8@0` or `bit3@0`")
        if sum(map(bool, (payload.path, payload.pattern, payload.binary))) > 1:
            self.add(path, "`path:`, `pattern:` and `binary:` exclude each other", "keep one of them")
        if payload.time_unit not in ("s", "ms"):
            self.add((*path, "time_unit"), f"time_unit {payload.time_unit!r} is not known", "write s or ms")
        self._scale(payload.scale, path)
        both = set(payload.true_values) & set(payload.false_values)
        if both:
            self.add((*path, "true_values"), f"{sorted(both)} counts as true and as false", "keep it in one list")

    def _scale(self, scale: float, path: Path) -> None:
        if scale == 0:
            self.add((*path, "scale"), "scale 0 makes every value the same", "write the factor from the manual")
        elif not SCALE_LEAST <= abs(scale) <= SCALE_MOST:  # beyond it a raw number overflows on its way
            self.add((*path, "scale"), f"scale {scale:g} is no factor of an instrument",
                     "write the factor from the manual")

    def _times(self, point: ProfilePoint, path: Path) -> None:
        if point.poll_interval_s <= 0:
            self.add((*path, "poll_interval_s"), "poll_interval_s must be positive", "write seconds")
        # A register is read each poll interval. An MQTT device speaks when it likes: there the limit alone counts.
        elif point.register is not None and point.stale_after_s <= point.poll_interval_s:
            self.add((*path, "stale_after_s"),
                     f"stale after {point.stale_after_s:g} s, but read only each {point.poll_interval_s:g} s: "
                     "always silent", "allow at least two missed polls")
        if point.stale_after_s <= 0:
            self.add((*path, "stale_after_s"), "stale_after_s must be positive", "write seconds")

    def _numbers(self, point: ProfilePoint, quantity: Quantity | None, path: Path) -> None:
        for low_key, high_key in (("minimum", "maximum"), ("range_minimum", "range_maximum")):
            low, high = getattr(point, low_key), getattr(point, high_key)
            if low is not None and high is not None and low >= high:
                self.add((*path, low_key), f"{low_key} {low:g} is not below {high_key} {high:g}", "swap them")
        for key in ("deadband", "natural_noise"):
            if getattr(point, key) < 0:
                self.add((*path, key), f"{key} is negative", "write 0 or more")
            elif getattr(point, key) and quantity is not None and (quantity.boolean or quantity.text):
                self.add((*path, key), f"{key} has no meaning for {quantity.name}", "leave it out")
        clash = set(point.error_values) & set(point.over_range_values)
        if clash:
            self.add((*path, "error_values"), f"{sorted(clash)} means error and over-range at once",
                     "over-range of a gas sensor is an alarm, an error is a fault: keep one")

    def _states(self, codes: tuple[StateCode, ...], path: Path) -> None:
        seen: set[int] = set()
        for index, state in enumerate(codes):
            at = (*path, "state_codes", index)
            if state.code in seen:
                self.add(at, f"state code {state.code} stands twice", "keep one of them")
            seen.add(state.code)
            if state.reason not in set(Reason):
                self.add((*at, "reason"), f"reason {state.reason!r} is not known",
                         "one of: " + ", ".join(reason.value for reason in Reason if reason))
            for unknown in sorted(set(state.affects) - self.names):
                self.add((*at, "affects"), f"{unknown!r} is not a point of this profile",
                         f"one of: {', '.join(sorted(self.names))}")


def _signed_hint(value: int, low: int, high: int) -> str:
    """0xFFFF in a signed register reads as -1: say so."""
    span = high - low + 1
    if low < 0 and high < value < span:
        return f"after sign extension it is {value - span}: write that"
    return "check the type or the value"
