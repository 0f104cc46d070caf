"""ProfileLook: a profile while somebody writes it: what is wrong at which line, what its map makes of samples. Pure.

    text ─► parse_profile, the checks of `tocsin profile check` ─► findings: line, what, remedy
      └──► VirtualDevice ─► sample registers, payloads ◄─ those that the tester edited
                             └─► DeviceValues | PayloadMap | HeardDevices, the gateway's own ─► value, unit, quality

Nothing here raises for what a person wrote: the findings say it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import msgspec

from device_drivers.driver import DeviceRead, DriverEvent, LineDevice
from device_drivers.heard_devices import HeardDevices
from device_drivers.payload_map import PayloadMap
from device_drivers.register_plan import plan_blocks, register_span
from device_drivers.register_values import DeviceValues
from device_drivers.registry import driver_for
from device_model.clock import Now
from device_model.errors import ConfigError, Finding
from device_model.profile import REGISTER_COUNT, DeviceProfile, ProfilePoint, RegisterSource, Table
from device_model.profile_file import parse_profile
from device_model.quantities import QUANTITIES
from device_model.reading import Reading, Value
from device_model.site import Device, Text
from device_model.yaml_source import parse_yaml
from firmware_sim.device import VirtualDevice, convert_unit
from firmware_sim.image import NoSuchAddress, raw_of_words
from firmware_sim.mqtt_device import MqttDevice, encode_value, put_path

TEXT_MAX = 32 * 1024  # ten times the longest profile that ships
SAMPLE_MAX = 4096  # of one payload
POINTS_MAX = 500  # that are shown; a profile of 32 KiB has fewer
ADDRESS = "sample"
BIT_TABLES = (Table.COIL, Table.DISCRETE_INPUT)
# What the simulator plays of the conventions that a profile may name.
PLAYED = ("", "zigbee2mqtt")
_NOW = Now(1_767_225_600_000_000, 0, "look")


class PointLook(msgspec.Struct, frozen=True):
    """One point of the edited map. place: table and address, or topic and path; form: type and order of its words;
    rule: what is done with the raw number; words: its sample registers, hex (a bit: 0 or 1); raw: their number;
    value: what the gateway makes of them, in the profile's unit, canonical: in `canonical_unit`; problem: what is
    wrong with the sample ("hex", "count") or ""."""

    id: str
    line: int
    en: str
    zh: str
    quantity: str
    unit: str
    place: str
    form: str
    rule: str
    topic: str
    words: tuple[str, ...]
    raw: float | int | None
    value: Value | None
    canonical: Value | None
    canonical_unit: str
    quality: str
    reason: str
    problem: str


class TopicLook(msgspec.Struct, frozen=True):
    """One sample message. problem: "long", or "json" where it is no JSON."""

    topic: str
    payload: str
    problem: str


class ProfileLook(msgspec.Struct, frozen=True):
    """ok: nothing is wrong, and points and topics are those of this text. remarks: what the text may say and the
    simulator or driver does not do."""

    ok: bool
    id: str = ""
    protocol: str = ""
    findings: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()
    points: tuple[PointLook, ...] = ()
    topics: tuple[TopicLook, ...] = ()


def read_draft(text: str) -> DeviceProfile:
    """The profile that a text is. Raises ConfigError with every finding."""
    if len(text.encode(errors="surrogatepass")) > TEXT_MAX:
        raise ConfigError([Finding("profile", 0, 0, f"the text is larger than {TEXT_MAX} bytes", "split the device")])
    return parse_profile(text, "profile")


def look_at(text: str, samples: Mapping[str, str]) -> ProfileLook:
    """What there is to say of a text. samples: point id → hex words, topic → payload; what is not there is what a
    healthy simulated device shows. Never raises for the text or the samples."""
    try:
        profile = read_draft(text)
    except ConfigError as error:
        return ProfileLook(False, findings=error.findings)
    remarks = [*unplayed(profile), *driver_for(profile).check(profile)]
    try:
        device = VirtualDevice("d", profile)
    except (ArithmeticError, ValueError, KeyError, RecursionError) as error:
        # The checks let it pass and no device can be built of it: said, so that it is mended, and nothing shown.
        return ProfileLook(False, profile.id, profile.protocol, (Finding(
            "profile", 1, 1, f"no device can be built of this ({type(error).__name__}: {error})",
            "look at scales, offsets and limits that are very large or very small"),), tuple(remarks))
    marks = parse_yaml(text, "profile")
    lines = {point.id: marks.mark(("points", point.id))[0] for point in profile.points}
    if profile.modbus is not None:
        points, topics = _registers(device, lines, samples), tuple[TopicLook, ...]()
    else:
        points, topics = _payloads(device, lines, samples, remarks)
    return ProfileLook(True, profile.id, profile.protocol, (), tuple(remarks), points[:POINTS_MAX], topics)


def unplayed(profile: DeviceProfile) -> list[str]:
    """Why the simulator cannot be this device; empty where it can."""
    if profile.gateway is not None:
        return ["this is the gateway's own machine: there is no device to simulate"]
    if profile.mqtt is not None and profile.mqtt.template not in PLAYED:
        return [f"the simulator does not speak the convention {profile.mqtt.template!r}: checked, not simulated"]
    if profile.mqtt is not None:
        odd = [p.id for p in profile.points if p.payload is not None and (p.payload.pattern or p.payload.binary)]
        if odd or profile.mqtt.format != "json":
            return [f"the simulator writes JSON only, not {', '.join(odd) or profile.mqtt.format}: checked, not "
                    "simulated"]
    return []


# ---- registers ---------------------------------------------------------------------------------------------------

_Cells = dict[tuple[Table, int], int]


def _registers(device: VirtualDevice, lines: Mapping[str, int], samples: Mapping[str, str]) -> tuple[PointLook, ...]:
    profile, cells, problems = device.profile, _Cells(), {}
    for point in profile.points:
        if point.register is not None:
            for offset, word in enumerate(_shown_words(device, point.register)):
                cells[point.register.table, register_span(point.register)[0] + offset] = word
    for point in profile.points:
        if point.register is not None and point.id in samples:
            words, problems[point.id] = _words_of(samples[point.id], point.register)
            for offset, word in enumerate(words):
                cells[point.register.table, register_span(point.register)[0] + offset] = word
    seen = _read_registers(profile, cells)
    rows = []
    for point in profile.points:
        source = point.register
        if source is None:
            continue
        start, end = register_span(source)
        held = [cells.get((source.table, at), 0) for at in range(start, end)]
        shown = tuple(str(word & 1) if source.table in BIT_TABLES else f"{word:04X}" for word in held)
        raw = raw_of_words(source, held)
        rows.append(_row(point, lines, seen, place=_place(source), form=_form(source), rule=_rule(source),
                         words=shown, raw=raw if isfinite(raw) else None, problem=problems.get(point.id, "")))
    return tuple(rows)


def _shown_words(device: VirtualDevice, source: RegisterSource) -> list[int]:
    try:
        return device.image.read(source.table, source.address, REGISTER_COUNT[source.type])
    except NoSuchAddress:
        return [0] * REGISTER_COUNT[source.type]


def _words_of(text: str, source: RegisterSource) -> tuple[list[int], str]:
    """The words of an edited sample, or what is wrong with it: "hex" or "count"."""
    parts, count = text.replace(",", " ").split()[:9], REGISTER_COUNT[source.type]
    try:
        words = [int(part.lower().removeprefix("0x"), 16) for part in parts]
    except ValueError:
        return [], "hex"
    if len(words) != count:
        return [], "count"
    most = 1 if source.table in BIT_TABLES else 0xFFFF
    return (words, "") if all(0 <= word <= most for word in words) else ([], "hex")


def _read_registers(profile: DeviceProfile, cells: _Cells) -> dict[str, Reading]:
    """What the gateway's driver makes of these registers. The device is given time to warm up first."""
    values, seen = DeviceValues("d", profile), {}
    warm = _NOW.later(round(profile.warm_up_s * 1e6) + 1)
    for now in (_NOW, warm):
        for block in plan_blocks(profile):
            held = [cells.get((block.table, block.address + at), 0) for at in range(block.count)]
            if block.table in BIT_TABLES:
                bits = sum((bit & 1) << at for at, bit in enumerate(held))
                octets = bits.to_bytes((block.count + 7) // 8, "little")
            else:
                octets = b"".join(word.to_bytes(2, "big") for word in held)
            for reading in values.take(block, octets, now)[0]:
                seen[reading.point.partition(".")[2]] = reading
    return seen


def _place(source: RegisterSource) -> str:
    bit = f" bit {source.bit}" if source.bit is not None else ""
    file = f"{source.file}:" if source.file else ""
    last = source.address + REGISTER_COUNT[source.type] - 1
    return f"{source.table.value} {file}{source.address}{f'–{last}' if last > source.address else ''}{bit}"


def _form(source: RegisterSource) -> str:
    wide = REGISTER_COUNT[source.type] > 1
    parts = [source.type.value, source.word_order.value if wide else "", "byte_swap" if source.byte_swap else "",
             f"mask {source.mask:#06x}" if source.mask is not None else "",
             f">> {source.shift}" if source.shift else "", "invert" if source.invert else ""]
    return " ".join(part for part in parts if part)


def _rule(source: RegisterSource | Any) -> str:
    scale = "" if source.scale == 1 else f"× {source.scale:g}"
    offset = "" if source.offset == 0 else f"{'+' if source.offset > 0 else '−'} {abs(source.offset):g}"
    leans = " ".join(f"@{name}" for name in (getattr(source, "unit_point", ""), getattr(source, "decimals_point", ""))
                     if name)
    return " ".join(part for part in (scale, offset, leans) if part)


# ---- payloads ----------------------------------------------------------------------------------------------------


def _payloads(
    device: VirtualDevice, lines: Mapping[str, int], samples: Mapping[str, str], remarks: list[str],
) -> tuple[tuple[PointLook, ...], tuple[TopicLook, ...]]:
    profile = device.profile
    listed = LineDevice(Device("d", profile.id, "l", "z", Text("", ""), address=ADDRESS), profile)
    topics, seen, of_point = [], dict[str, Reading](), dict[str, str]()
    messages = _messages(device, remarks)
    reader = PayloadMap((listed,), _NOW) if profile.mqtt is not None and messages else None
    heard = HeardDevices([(listed, 3600.0)], _NOW) if profile.mqtt is None else None
    for topic, (members, shown) in sorted(messages.items()):
        text = samples.get(topic, shown)
        problem = "long" if len(text) > SAMPLE_MAX else ""
        events: Iterable[DriverEvent] = ()
        if not problem and reader is not None:
            events = reader.take(topic, _octets(text), False, _NOW)
        elif not problem and heard is not None:
            document, problem = _document(text)
            events = heard.take("d", topic, document, _NOW) if not problem else ()
        topics.append(TopicLook(topic, text[:SAMPLE_MAX], problem))
        of_point.update(dict.fromkeys(members, topic))
        for event in events:
            if isinstance(event, DeviceRead):
                seen.update({reading.point.partition(".")[2]: reading for reading in event.readings})
    rows = []
    for point in profile.points:
        if point.payload is None:
            continue
        where = point.payload.path or point.payload.pattern or point.payload.binary
        rows.append(_row(point, lines, seen, place=f"{point.payload.topic} {where}".strip(), form="",
                         rule=_rule(point.payload), topic=of_point.get(point.id, "")))
    return tuple(rows), tuple(topics)


def _messages(device: VirtualDevice, remarks: list[str]) -> dict[str, tuple[list[str], str]]:
    """Topic → the points in it and what a healthy device says there; empty where the simulator cannot say it."""
    profile = device.profile
    groups: dict[str, list[ProfilePoint]] = {}
    for point in profile.points:
        if point.payload is not None:
            groups.setdefault(point.payload.topic, []).append(point)
    if profile.gateway is not None or (profile.mqtt is not None and profile.mqtt.template not in PLAYED):
        return {}
    try:
        if profile.mqtt is not None:
            it = MqttDevice(device, ADDRESS)
            said = {message.topic: message.payload.decode() for message in it.due(0.0, _NOW.wall_us)}
            return {it.topic_of(topic): ([p.id for p in points], said.get(it.topic_of(topic), ""))
                    for topic, points in groups.items()}
        return {topic: ([p.id for p in points], _document_of(device, points)) for topic, points in groups.items()}
    except (ValueError, ArithmeticError) as error:
        remarks.append(f"no sample can be written: {error}")
        return {}


def _document_of(device: VirtualDevice, points: list[ProfilePoint]) -> str:
    root: Any = {}
    for point in points:
        if point.payload is not None:
            root = put_path(root, point.payload.path, encode_value(point, point.payload, device.shown[point.id]))
    return json.dumps(root, ensure_ascii=False)


def _octets(text: str) -> bytes:
    """The payload of a sample; `hex:` for bytes that are no text."""
    if text.startswith("hex:"):
        try:
            return bytes.fromhex(text[4:])
        except ValueError:
            return b""
    return text.encode(errors="replace")


def _document(text: str) -> tuple[Any, str]:
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError):
        return None, "json"


# ---- rows --------------------------------------------------------------------------------------------------------


def _row(
    point: ProfilePoint, lines: Mapping[str, int], seen: Mapping[str, Reading], *, place: str, form: str, rule: str,
    topic: str = "", words: tuple[str, ...] = (), raw: float | int | None = None, problem: str = "",
) -> PointLook:
    reading = seen.get(point.id)
    value = reading.value if reading is not None else None
    return PointLook(
        point.id, lines.get(point.id, 0), point.en, point.zh, point.quantity, point.unit, place, form, rule, topic,
        words, raw, in_unit_of(point, value), value, QUANTITIES[point.quantity].canonical,
        reading.quality.value if reading is not None else "never",
        reading.reason.value if reading is not None else "", problem)


def in_unit_of(point: ProfilePoint, value: Value | None) -> Value | None:
    """A canonical value in the unit that the profile names."""
    quantity = QUANTITIES[point.quantity]
    if value is None or quantity.boolean or quantity.text or isinstance(value, str):
        return value
    return convert_unit(point.quantity, float(value), quantity.canonical, point.unit)
