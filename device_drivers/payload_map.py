"""Payload map: MQTT payloads become Readings, as the profile says. Pure.

    topic ──► device + points of that topic ──► JSON once (size and depth bounded) ──► path ──► Reading
       └────► availability topic ──► present / absent

Laws here: a payload that does not parse or does not fit is GARBLED, never a number and never false. A retained
message is what the broker remembers, not proof that the device lives: its values are given as UNCERTAIN until a
live message comes, and nothing is proven fresh by it.

Paths (JMESPath's own syntax for these; a profile that needs more of it says so in review):

    a.b          member of a member         a[0]   element; a[-1] the last
    "a-b".c      quoted member              [2].x  the payload itself is a list
    ""           the whole payload as text
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from math import isfinite

import msgspec

from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent, LineDevice
from device_model.clock import Now
from device_model.errors import PeerGarbled
from device_model.profile import DeviceProfile, PayloadSource, ProfilePoint
from device_model.quantities import QUANTITIES, to_canonical
from device_model.reading import Quality, Reading, Reason, Value

PAYLOAD_MAX = 64 * 1024  # bytes; the largest device payload known here (ChirpStack with all gateways) is under 16 KiB
DEPTH_MAX = 32
TEXT_MAX = 256
_CLOCK_AHEAD_US = 60_000_000  # a device clock further ahead than this is wrong
# A live message whose stamp is older than this comes from a clock that is wrong (no battery, no network time): it
# counts from its receipt, or the rules would take what burns now for the past (law 1). Well below the least
# `lateness_s` that a site file may give.
_CLOCK_BEHIND_US = 2_000_000

_STEP = re.compile(r'(?:^|\.)(?:([A-Za-z_][A-Za-z0-9_]*)|"((?:[^"\\]|\\.)+)")|\[(-?\d+)\]')
Path = tuple[str | int, ...]
Verdict = tuple[Value | None, Quality, Reason]
_GARBLED: Verdict = (None, Quality.BAD, Reason.GARBLED)


def parse_path(text: str) -> Path:
    """A path as keys and indices. ValueError, for people, where it is not one of the forms above."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or text.startswith("."):
            raise ValueError(f"path {text!r}: cannot read {text[at:]!r}; write members with dots and indices in []")
        name, quoted, index = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return tuple(steps)


def follow(path: Path, document: object) -> object:
    """What stands at the path, None where there is nothing (as JMESPath does)."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(document, list) or not -len(document) <= step < len(document):
                return None
            document = document[step]
        elif isinstance(document, dict):
            document = document.get(step)
        else:
            return None
    return document


def decode_json(payload: bytes) -> object:
    """Bounded JSON. PeerGarbled says what is wrong."""
    if len(payload) > PAYLOAD_MAX:
        raise PeerGarbled(f"payload of {len(payload)} bytes, more than {PAYLOAD_MAX}")
    depth = deepest = 0
    for byte in payload:  # brackets in strings count too: that only makes the bound stricter
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    if deepest > DEPTH_MAX:
        raise PeerGarbled(f"payload nested deeper than {DEPTH_MAX}")
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise PeerGarbled(f"payload is no JSON: {problem}") from problem


def check_profile(profile: DeviceProfile) -> tuple[str, ...]:
    """What of a profile this driver cannot do, for people."""
    problems = []
    for spec in profile.points:
        if spec.payload is None:
            problems.append(f"{spec.id}: an MQTT point needs a payload")
            continue
        for text in (spec.payload.path, spec.payload.time_path):
            try:
                parse_path(text)
            except ValueError as problem:
                problems.append(f"{spec.id}: {problem}")
    return tuple(problems)


class PointForm:
    """One point's compiled way from a document to a verdict."""

    def __init__(self, name: str, spec: ProfilePoint, source: PayloadSource) -> None:
        self.name = name
        self.spec = spec
        self.source = source
        self.path = parse_path(source.path)
        self.time_path = parse_path(source.time_path) if source.time_path else ()
        self.quantity = QUANTITIES[spec.quantity]
        self.true_values = frozenset(source.true_values)
        self.false_values = frozenset(source.false_values)

    def judge(self, found: object) -> Verdict:
        """The verdict on what the path found (not None)."""
        if self.quantity.boolean:
            text = _as_text(found)
            if self.true_values or self.false_values:
                if text in self.true_values:
                    return True, Quality.GOOD, Reason.NONE
                return (False, Quality.GOOD, Reason.NONE) if text in self.false_values else _GARBLED
            return (found, Quality.GOOD, Reason.NONE) if isinstance(found, bool) else _GARBLED
        if self.quantity.text:
            return (found[:TEXT_MAX], Quality.GOOD, Reason.NONE) if isinstance(found, str) else _GARBLED
        number = _as_number(found)
        if number is None:
            return _GARBLED
        return self._number(number)

    def _number(self, raw: int | float) -> Verdict:
        spec, source = self.spec, self.source
        if not isfinite(raw) or raw in spec.error_values:
            return None, Quality.BAD, Reason.ERROR_VALUE
        if raw in spec.over_range_values:
            return None, Quality.BAD, Reason.OVER_RANGE
        value: int | float = raw * source.scale + source.offset if source.scale != 1 or source.offset else raw
        if (spec.maximum is not None and value > spec.maximum) or (spec.minimum is not None and value < spec.minimum):
            return None, Quality.BAD, Reason.OUT_OF_LIMITS
        if spec.range_maximum is not None and value >= spec.range_maximum:
            return None, Quality.BAD, Reason.OVER_RANGE
        under = spec.range_minimum is not None and value < spec.range_minimum
        canonical = float(to_canonical(spec.quantity, spec.unit, value))
        if not isfinite(canonical):
            return None, Quality.BAD, Reason.ERROR_VALUE
        return (canonical, Quality.UNCERTAIN, Reason.UNDER_RANGE) if under else (canonical, Quality.GOOD, Reason.NONE)


class _DeviceState(msgspec.Struct):
    entry: LineDevice
    said: dict[str, tuple[Verdict, int]]
    fresh_us: dict[str, int]
    heard_us: int
    expire_us: int
    stale: set[str]
    lost: bool = False
    warm_until_us: int = 0
    known: bool = False


class PayloadMap:
    """All MQTT devices of one line. `take` for messages, `look_for_silence` now and then."""

    def __init__(self, devices: tuple[LineDevice, ...], now: Now) -> None:
        self._devices: dict[str, _DeviceState] = {}
        self._topics: dict[str, list[tuple[str, tuple[PointForm, ...]]]] = {}
        self._availability: dict[str, list[str]] = {}
        self.ignored = 0  # messages that belong to no device here
        for entry in devices:
            self._enter(entry, now)

    def _enter(self, entry: LineDevice, now: Now) -> None:
        traits = entry.profile.mqtt
        if traits is None:
            raise ValueError(f"{entry.profile.id} is no MQTT profile")
        device = entry.device
        forms: dict[str, list[PointForm]] = {}
        for spec in entry.profile.points:
            if spec.payload is not None:
                topic = topic_of(entry, spec.payload.topic)
                forms.setdefault(topic, []).append(PointForm(f"{device.id}.{spec.id}", spec, spec.payload))
        for topic, points in forms.items():
            self._topics.setdefault(topic, []).append((device.id, tuple(points)))
        if traits.availability_topic:
            self._availability.setdefault(_filled(traits.availability_topic, entry), []).append(device.id)
        names = [form.name for points in forms.values() for form in points]
        self._devices[device.id] = _DeviceState(
            entry, {}, dict.fromkeys(names, now.mono_us), now.mono_us, round(traits.expire_after_s * 1e6), set(),
        )

    def subscriptions(self) -> tuple[str, ...]:
        """Every topic that a device of this line speaks on."""
        return tuple(dict.fromkeys((*self._topics, *self._availability)))

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> tuple[DriverEvent, ...]:
        """One message. Never raises for what a device sent."""
        events: list[DriverEvent] = []
        owners = self._topics.get(topic, ())
        for device in self._availability.get(topic, ()):
            self._available(self._devices[device], payload, retained, now, events)
        if not owners and topic not in self._availability:
            self.ignored += 1
        for device, forms in owners:
            self._measured(self._devices[device], forms, payload, retained=retained, now=now, events=events)
        return tuple(events)

    def _available(self, state: _DeviceState, payload: bytes, retained: bool, now: Now,
                   events: list[DriverEvent]) -> None:
        traits = state.entry.profile.mqtt
        text = payload[:TEXT_MAX].decode("utf-8", "replace").strip()
        if text.startswith("{"):  # zigbee2mqtt since 1.17 says {"state":"online"}
            try:
                text = str(follow(("state",), decode_json(payload)))
            except PeerGarbled:
                return
        if traits is not None and text in traits.available_values:
            if not retained:  # a retained "online" is a memory; a live one is a sign of life, though not a value
                state.heard_us = now.mono_us
            return
        if text:
            self._lose(state, f"its availability topic says {text[:40]!r}", now, events)

    def _lose(self, state: _DeviceState, detail: str, now: Now, events: list[DriverEvent]) -> None:
        if not state.lost:
            state.lost = True
            state.said.clear()
            state.known = False
            events.append(DeviceFailed(state.entry.device.id, Reason.SILENT, detail, now))

    def _measured(self, state: _DeviceState, forms: tuple[PointForm, ...], payload: bytes, *, retained: bool,
                  now: Now, events: list[DriverEvent]) -> None:
        if state.lost and retained:
            return  # a memory cannot bring a device back
        name = state.entry.device.id
        documents = _Document(payload)
        readings: list[Reading] = []
        fresh: list[str] = []
        if not state.known and not retained:
            state.known = True
            state.warm_until_us = now.mono_us + round(state.entry.profile.warm_up_s * 1e6)
        for form in forms:
            found = documents.find(form)
            if found is _ABSENT:
                continue  # this message does not speak of the point
            source_us = documents.time(form, now)
            verdict = _GARBLED if found is _BROKEN else form.judge(found)
            value, quality, _ = verdict
            if quality is Quality.GOOD and (retained or now.mono_us < state.warm_until_us):
                verdict = (value, Quality.UNCERTAIN, Reason.NOT_YET_READ if retained else Reason.WARM_UP)
            if not retained:
                state.fresh_us[form.name] = now.mono_us
                state.stale.discard(form.name)
                if verdict[2] is not Reason.GARBLED:
                    fresh.append(form.name)
            said = state.said.get(form.name)
            if said is not None and source_us < said[1]:
                source_us = now.wall_us  # the device's clock was set back: what comes later is not older
            if said is None or said[0] != verdict or type(said[0][0]) is not type(verdict[0]):
                state.said[form.name] = (verdict, source_us)
                readings.append(_reading(form, verdict, source_us, now))
        if not retained:
            state.heard_us = now.mono_us
            state.lost = False
        if readings or fresh:
            events.append(DeviceRead(name, tuple(readings), tuple(fresh), now))

    def look_for_silence(self, now: Now) -> tuple[DriverEvent, ...]:
        """Devices not heard within `expire_after_s`, and points not reported within their own limit."""
        events: list[DriverEvent] = []
        for name, state in self._devices.items():
            if state.lost:
                continue
            at = now.mono_us
            if at - state.heard_us > state.expire_us:
                self._lose(state, f"not heard for {state.expire_us / 1e6:g} s", now, events)
                continue
            limits = {f"{name}.{spec.id}": spec for spec in state.entry.profile.points}
            over = [point for point, seen in state.fresh_us.items()
                    if point not in state.stale and at - seen > limits[point].stale_after_s * 1e6]
            if over and len(over) + len(state.stale) == len(state.fresh_us):
                self._lose(state, "no point was reported within its limit", now, events)
            elif over:
                readings = []
                for point in over:
                    state.stale.add(point)
                    verdict: Verdict = (None, Quality.BAD, Reason.SILENT)
                    state.said[point] = (verdict, now.wall_us)
                    unit = QUANTITIES[limits[point].quantity].canonical
                    readings.append(Reading(point, None, unit, Quality.BAD, Reason.SILENT, now.wall_us, now.wall_us,
                                            at, now.boot))
                events.append(DeviceRead(name, tuple(readings), (), now))
        return tuple(events)

    def line_down(self, detail: str, now: Now) -> tuple[DriverEvent, ...]:
        """The broker is gone: nothing on this line can be heard."""
        events: list[DriverEvent] = []
        for name, state in self._devices.items():
            if not state.lost:
                state.lost = True
                state.known = False
                state.said.clear()
                events.append(DeviceFailed(name, Reason.LINE_DOWN, detail, now))
        return tuple(events)


_ABSENT = object()
_BROKEN = object()


class _Document:
    """One payload, parsed at most once."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._parsed: object = _ABSENT

    def find(self, form: PointForm) -> object:
        """What the point's path finds; _ABSENT where nothing stands there, _BROKEN where it does not parse."""
        if not form.path:
            if not self._payload or len(self._payload) > PAYLOAD_MAX:
                return _BROKEN
            try:
                return self._payload.decode("utf-8").strip()
            except UnicodeDecodeError:
                return _BROKEN
        document = self._json()
        if document is _BROKEN:
            return _BROKEN
        found = follow(form.path, document)
        return _ABSENT if found is None else found

    def _json(self) -> object:
        if self._parsed is _ABSENT:
            try:
                self._parsed = decode_json(self._payload)
            except PeerGarbled:
                self._parsed = _BROKEN
        return self._parsed

    def time(self, form: PointForm, now: Now) -> int:
        """The device's own time of the value, µs since 1970; the time of receipt where it has none or nonsense."""
        if not form.time_path:
            return now.wall_us
        document = self._json()
        stamp = follow(form.time_path, document) if document is not _BROKEN else None
        at = _stamp_us(stamp, form.source.time_unit)
        return at if at is not None and -_CLOCK_BEHIND_US <= at - now.wall_us <= _CLOCK_AHEAD_US else now.wall_us


def _stamp_us(stamp: object, unit: str) -> int | None:
    if isinstance(stamp, str) and not stamp.isdigit():
        try:
            moment = datetime.fromisoformat(stamp)
        except ValueError:
            return None
        return round(moment.timestamp() * 1e6) if moment.tzinfo is not None else None
    number = _as_number(stamp)
    if number is None or not isfinite(number) or abs(number) > 1e16:
        return None
    return round(number * (1_000_000 if unit == "s" else 1000))


def _as_text(found: object) -> str | None:
    """How a JSON scalar is written, to compare with true_values: true, 1, "ON"."""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, float) and isfinite(found) and found.is_integer():
        return str(int(found))
    return str(found) if isinstance(found, int | float | str) else None


def _as_number(found: object) -> int | float | None:
    if isinstance(found, bool):
        return None
    if isinstance(found, int | float):
        return found
    if isinstance(found, str) and 0 < len(found) <= 40 and re.fullmatch(
            r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", found, re.ASCII):
        return float(found)
    return None


def _reading(form: PointForm, verdict: Verdict, source_us: int, now: Now) -> Reading:
    value, quality, reason = verdict
    return Reading(form.name, value, form.quantity.canonical, quality, reason, source_us, now.wall_us, now.mono_us,
                   now.boot)


def _filled(template: str, entry: LineDevice) -> str:
    return template.replace("{device}", entry.device.id).replace("{address}", entry.device.address)


def subscriptions_of(devices: Iterable[LineDevice]) -> tuple[str, ...]:
    """Every topic that these devices speak on, for opening the link before the driver."""
    topics: list[str] = []
    for entry in devices:
        topics += [topic_of(entry, spec.payload.topic) for spec in entry.profile.points if spec.payload is not None]
        if entry.profile.mqtt is not None and entry.profile.mqtt.availability_topic:
            topics.append(_filled(entry.profile.mqtt.availability_topic, entry))
    return tuple(dict.fromkeys(topics))


def topic_of(entry: LineDevice, suffix: str) -> str:
    """The full topic of a point: the device's base topic and the point's suffix."""
    traits = entry.profile.mqtt
    base = _filled(traits.base_topic if traits is not None else "", entry).rstrip("/")
    return f"{base}/{_filled(suffix, entry).lstrip('/')}" if suffix else base
