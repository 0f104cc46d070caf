"""Profile file: YAML text → DeviceProfile, with every error named by file, line, column and remedy.

    profile: calectro-ug3            what stands here once …
    poll_interval_s: 2               … is inherited by all points
    table: discrete_input
    points:
      smoke: {quantity: smoke_alarm, address: 2}     one line a point: register keys and all others in one mapping

A point with `address:` stands in a Modbus register, one with `path:`, `topic:`, `pattern:` or `binary:` in an MQTT
payload, a state word of
a fire panel (`path: fire`) or the factors of a station (`topic: "2011"`, `path: a34004.Rtd`). Names for people
default to the quantity's; units may be left out where the quantity has one only. `profile_checks.py` says what is
meaningless; this file only reads.
"""

from __future__ import annotations

from typing import Any

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    GatewayTraits,
    ModbusTraits,
    MqttTraits,
    PanelTraits,
    PayloadSource,
    ProfilePoint,
    RegisterSource,
    RegisterType,
    StateCode,
    StationTraits,
    Table,
    WordOrder,
)
from device_model.profile_checks import BIT_TABLES, check_profile
from device_model.quantities import QUANTITIES
from device_model.yaml_source import Path, Source, convert, parse_yaml

Scalar = bool | int | float | str
# What a JSON boolean looks like as text; what a profile compares with unless it says otherwise.
TRUE_WORDS = ("true",)
FALSE_WORDS = ("false",)

_REGISTER_KEYS = (
    "table", "address", "type", "bit", "word_order", "byte_swap", "invert", "mask", "shift", "unit_point",
    "unit_codes", "decimals_point", "decimals_codes", "file",
    "counter_max", "counter_rate_max",
)
_PAYLOAD_KEYS = ("topic", "path", "true_values", "false_values", "time_path", "time_unit", "pattern", "binary")


class PointEntry(msgspec.Struct, frozen=True):
    """One entry below `points:` as people write it. Meanings as in profile.ProfilePoint, RegisterSource and
    PayloadSource; what is left out is inherited from the profile or has the default that stands there."""

    quantity: str
    unit: str = ""
    en: str = ""
    zh: str = ""
    table: Table | None = None
    address: int | None = None
    type: RegisterType | None = None
    bit: int | None = None
    word_order: WordOrder | None = None
    byte_swap: bool = False
    invert: bool = False
    mask: int | None = None
    shift: int = 0
    unit_point: str = ""
    unit_codes: dict[int, str] = {}
    decimals_point: str = ""
    decimals_codes: dict[int, int] = {}
    file: int = 0
    counter_max: int = 0
    counter_rate_max: float = 0.0
    topic: str | None = None
    path: str | None = None
    true_values: tuple[Scalar, ...] = ()
    false_values: tuple[Scalar, ...] = ()
    time_path: str = ""
    time_unit: str = "ms"
    pattern: str = ""
    binary: str = ""
    scale: float = 1.0
    offset: float = 0.0
    poll_interval_s: float | None = None
    stale_after_s: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    range_minimum: float | None = None
    range_maximum: float | None = None
    error_values: tuple[int, ...] = ()
    over_range_values: tuple[int, ...] = ()
    deadband: float = 0.0
    natural_noise: float = 0.0
    writable: bool = False
    state_codes: tuple[StateCode, ...] = ()
    certainty: Certainty | None = None
    source: str = ""


class ProfileEntry(msgspec.Struct, frozen=True, rename={"device_class": "class", "id": "profile"}):
    """A profile file as people write it."""

    id: str
    version: int
    maker: str
    model: str
    en: str
    zh: str
    device_class: DeviceClass
    certainty: Certainty
    source: str
    points: dict[str, Any]  # PointEntry each; converted one by one, so that all errors are found in one run
    modbus: ModbusTraits | None = None
    mqtt: MqttTraits | None = None
    gbt26875: PanelTraits | None = None
    hj212: StationTraits | None = None
    gateway: GatewayTraits | None = None
    warm_up_s: float = 0.0
    self_test_days: int = 0
    poll_interval_s: float = 10.0
    stale_after_s: float = 30.0
    table: Table | None = None
    type: RegisterType | None = None
    word_order: WordOrder = WordOrder.HIGH_FIRST


def parse_profile(text: str, file: str) -> DeviceProfile:
    """Read and check one profile. Raises ConfigError with all findings; `file` only names it in them."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    entry = convert(source, (), ProfileEntry, findings)
    written = source.get(("points",))
    # Also when the head is wrong the points are looked at, and a wrong point does not hide the others.
    points = {
        str(name): point for name in (written if isinstance(written, dict) else {})
        if (point := convert(source, ("points", name), PointEntry, findings)) is not None
    }
    if entry is None:
        raise ConfigError(findings)
    reader = _PointReader(source, entry, text, findings)
    profile = DeviceProfile(
        id=entry.id, version=entry.version, maker=entry.maker, model=entry.model, en=entry.en, zh=entry.zh,
        device_class=entry.device_class, certainty=entry.certainty, source=entry.source,
        points=tuple(reader.point(name, point) for name, point in points.items()),
        modbus=entry.modbus, mqtt=entry.mqtt, gbt26875=entry.gbt26875, hj212=entry.hj212, gateway=entry.gateway,
        warm_up_s=entry.warm_up_s, self_test_days=entry.self_test_days,
        file=file,
    )
    findings.extend(check_profile(profile, source, frozenset(map(str, entry.points))))
    if findings:
        raise ConfigError(findings)
    return profile


class _PointReader:
    """Makes ProfilePoints from entries of one file, with what they inherit."""

    def __init__(self, source: Source, profile: ProfileEntry, text: str, findings: list[Finding]) -> None:
        self.source = source
        self.profile = profile
        self.lines = text.splitlines()
        self.findings = findings

    def point(self, point_id: str, entry: PointEntry) -> ProfilePoint:
        path: Path = ("points", point_id)
        profile = self.profile
        quantity = QUANTITIES.get(entry.quantity)
        register = payload = None
        if entry.address is not None:
            register = _register(entry, entry.address, profile)
            self._refuse_keys(path, _PAYLOAD_KEYS, "a register point (it has `address:`)")
        elif entry.path is not None or entry.topic is not None or entry.pattern or entry.binary:
            payload = self._payload(path, entry, boolean=quantity is not None and quantity.boolean)
            self._refuse_keys(path, _REGISTER_KEYS, "a payload point (it has `path:` or `topic:`)")
        return ProfilePoint(
            id=point_id, quantity=entry.quantity,
            unit=entry.unit or (quantity.units[0].code if quantity and len(quantity.units) == 1 else ""),
            en=entry.en or (quantity.en if quantity else ""), zh=entry.zh or (quantity.zh if quantity else ""),
            register=register, payload=payload,
            poll_interval_s=profile.poll_interval_s if entry.poll_interval_s is None else entry.poll_interval_s,
            stale_after_s=profile.stale_after_s if entry.stale_after_s is None else entry.stale_after_s,
            minimum=entry.minimum, maximum=entry.maximum, range_minimum=entry.range_minimum,
            range_maximum=entry.range_maximum, error_values=entry.error_values,
            over_range_values=entry.over_range_values, deadband=entry.deadband, natural_noise=entry.natural_noise,
            writable=entry.writable, state_codes=entry.state_codes, certainty=entry.certainty or profile.certainty,
            source=entry.source or profile.source,
        )

    def _payload(self, path: Path, entry: PointEntry, *, boolean: bool) -> PayloadSource:
        def words(key: str, given: tuple[Scalar, ...], default: tuple[str, ...]) -> tuple[str, ...]:
            if not given and boolean:
                return default
            return tuple(self._word((*path, key, index), value) for index, value in enumerate(given))

        return PayloadSource(
            topic=entry.topic or "", path=entry.path or "", scale=entry.scale, offset=entry.offset,
            true_values=words("true_values", entry.true_values, TRUE_WORDS),
            false_values=words("false_values", entry.false_values, FALSE_WORDS),
            time_path=entry.time_path, time_unit=entry.time_unit, pattern=entry.pattern, binary=entry.binary,
        )

    def _word(self, path: Path, value: Scalar) -> str:
        """A value as JSON writes it. YAML 1.1 reads a bare ON, off, yes as a boolean; the word is then lost."""
        if not isinstance(value, bool):
            return str(value)
        line, column = self.source.mark(path)
        if not self.lines[line - 1][column - 1:].lower().startswith(("true", "false")):
            self.findings.append(
                self.source.finding(path, "YAML reads this word as true or false", "quote it, e.g. \"ON\""))
        return "true" if value else "false"

    def _refuse_keys(self, path: Path, keys: tuple[str, ...], what: str) -> None:
        content = self.source.get(path)
        for key in keys:
            if isinstance(content, dict) and key in content:
                self.findings.append(
                    self.source.finding((*path, key), f"{key!r} does not go with {what}", "remove one of the two"))


def _register(entry: PointEntry, address: int, profile: ProfileEntry) -> RegisterSource:
    table = entry.table or profile.table or Table.HOLDING
    if entry.type is None and (table in BIT_TABLES or entry.bit is not None):
        kind = RegisterType.BIT
    else:
        kind = entry.type or profile.type or RegisterType.U16
    return RegisterSource(
        table=table, address=address, type=kind, bit=entry.bit, scale=entry.scale, offset=entry.offset,
        word_order=entry.word_order or profile.word_order, byte_swap=entry.byte_swap, invert=entry.invert,
        mask=entry.mask, shift=entry.shift, unit_point=entry.unit_point, unit_codes=entry.unit_codes,
        decimals_point=entry.decimals_point, decimals_codes=entry.decimals_codes, file=entry.file,
        counter_max=entry.counter_max, counter_rate_max=entry.counter_rate_max,
    )
