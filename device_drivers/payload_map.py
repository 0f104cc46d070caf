"""Payload map: MQTT payloads become Readings, as the profile says. Pure.

    topic ──► device + points of that topic ──► JSON once (size and depth bounded) ──► path ──► Reading
       ├────► availability topic ──► present / absent
       └────► template ──► document, sign of life, absence, what to publish

Laws here: a payload that does not parse or does not fit is GARBLED, never a number and never false. A retained
message is what the broker remembers, not proof that the device lives: its values are given as UNCERTAIN until a
live message comes, and nothing is proven fresh by it.

A profile that names a template (templates.py) leaves it to that what topics and payloads mean; the values are judged
here all the same. Paths, patterns and binary places: payload_forms.py.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from device_drivers.driver import DeviceFailed, DeviceNotice, DeviceRead, DriverEvent, LineDevice
from device_drivers.payload_forms import (
    DEPTH_MAX,
    PAYLOAD_MAX,
    TEXT_MAX,
    Path,
    binary_reader,
    decode_json,
    finder,
    follow,
    parse_path,
)
from device_drivers.point_forms import ABSENT, BROKEN, GARBLED, Document, PointForm, Verdict
from device_drivers.templates import Alive, Gone, Note, Publish, Saying, Template, Told, factory
from device_model.clock import Now
from device_model.errors import PeerGarbled
from device_model.profile import DeviceProfile
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason

# Answers and rebirth requests that wait to be sent. A device that asks for more answers than go out asks again.
OUTGOING_MAX = 64
__all__ = ["DEPTH_MAX", "PAYLOAD_MAX", "Path", "PayloadMap", "PointForm", "Verdict", "check_profile", "decode_json",
           "follow", "parse_path", "subscriptions_of", "topic_of"]


def check_profile(profile: DeviceProfile) -> tuple[str, ...]:
    """What of a profile this driver cannot do, for people."""
    problems = []
    for spec in profile.points:
        if spec.payload is None:
            problems.append(f"{spec.id}: an MQTT point needs a payload")
            continue
        for text in (spec.payload.path, spec.payload.time_path):
            try:
                finder(text)
            except ValueError as problem:
                problems.append(f"{spec.id}: {problem}")
        try:
            if spec.payload.binary:
                binary_reader(spec.payload.binary)
            re.compile(spec.payload.pattern)
        except (ValueError, re.error) as problem:
            problems.append(f"{spec.id}: {problem}")
    return tuple(problems)


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
    # Before this moment nothing of the device can have run out: what is heard only moves its limits further away.
    look_us: int = 0


class PayloadMap:
    """All MQTT devices of one line. `take` for messages, `look_for_silence` now and then."""

    def __init__(self, devices: tuple[LineDevice, ...], now: Now) -> None:
        self._devices: dict[str, _DeviceState] = {}
        self._topics: dict[str, list[tuple[str, tuple[PointForm, ...]]]] = {}
        self._availability: dict[str, list[str]] = {}
        self._templated: dict[str, dict[str, tuple[PointForm, ...]]] = {}  # device → kind of message → points
        self._outgoing: deque[Publish] = deque()
        self.ignored = 0  # messages that belong to no device here
        self.unsent = 0  # answers that were left out because too many waited
        by_template: dict[str, list[LineDevice]] = {}
        for entry in devices:
            self._enter(entry, now)
            if entry.profile.mqtt is not None and entry.profile.mqtt.template:
                by_template.setdefault(entry.profile.mqtt.template, []).append(entry)
        self._templates: dict[str, Template] = {
            name: factory(name)(entries, now) for name, entries in by_template.items()}

    def _enter(self, entry: LineDevice, now: Now) -> None:
        traits = entry.profile.mqtt
        if traits is None:
            raise ValueError(f"{entry.profile.id} is no MQTT profile")
        device = entry.device
        forms: dict[str, list[PointForm]] = {}
        for spec in entry.profile.points:
            if spec.payload is not None:
                topic = spec.payload.topic if traits.template else topic_of(entry, spec.payload.topic)
                forms.setdefault(topic, []).append(PointForm(f"{device.id}.{spec.id}", spec, spec.payload))
        if traits.template:
            self._templated[device.id] = {topic: tuple(points) for topic, points in forms.items()}
        else:
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
        filters = [each for template in self._templates.values() for each in template.subscriptions()]
        return tuple(dict.fromkeys((*self._topics, *self._availability, *filters)))

    def outgoing(self) -> tuple[Publish, ...]:
        """What is to be published since this was last asked: rebirth requests, replies."""
        waiting = tuple(self._outgoing)
        self._outgoing.clear()
        return waiting

    def template_of(self, entry: LineDevice) -> Template | None:
        """The convention that a device follows, None where its profile tells all."""
        traits = entry.profile.mqtt
        return self._templates.get(traits.template) if traits is not None else None

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> tuple[DriverEvent, ...]:
        """One message. Never raises for what a device sent."""
        events: list[DriverEvent] = []
        owners = self._topics.get(topic, ())
        for device in self._availability.get(topic, ()):
            self._available(self._devices[device], payload, retained, now, events)
        known = bool(owners) or topic in self._availability
        for template in self._templates.values():
            try:
                said = template.take(topic, payload, retained, now)
            except PeerGarbled:
                known = True
                for device in template.owner(topic):
                    self._garbled(self._devices[device], retained=retained, now=now, events=events)
                continue
            known = known or said is not None
            self._hear(said or (), now, events)
        if not known:
            self.ignored += 1
        for device, forms in owners:
            state = self._devices[device]
            document = Document(payload, state.entry.profile.mqtt.format if state.entry.profile.mqtt else "json")
            self._measured(state, forms, document, retained=retained, now=now, events=events)
        return tuple(events)

    def _hear(self, said: Sequence[Saying], now: Now, events: list[DriverEvent]) -> None:
        for saying in said:
            if isinstance(saying, Publish):
                if len(self._outgoing) >= OUTGOING_MAX:
                    self.unsent += 1
                else:
                    self._outgoing.append(saying)
                continue
            state = self._devices[saying.device]
            if isinstance(saying, Told):
                forms = self._templated[saying.device].get(saying.topic, ())
                document = Document.ready(saying)
                if saying.history:
                    self._remember(state, forms, document, saying.at_us or now.wall_us, now, events)
                else:
                    self._measured(state, forms, document, retained=saying.remembered, now=now, events=events)
            elif isinstance(saying, Gone):
                self._lose(state, saying.detail, now, events)
            elif isinstance(saying, Alive):
                self._alive(state, saying.holds, now, events)
            elif isinstance(saying, Note):
                line = state.entry.device.line
                events.append(DeviceNotice(line, saying.device, saying.kind, saying.text, now))

    def _alive(self, state: _DeviceState, holds: bool, now: Now, events: list[DriverEvent]) -> None:
        state.heard_us = now.mono_us
        if not holds or state.lost:
            return
        held = [name for name, (verdict, _) in state.said.items() if verdict[2] is not Reason.SILENT]
        state.fresh_us.update(dict.fromkeys(held, now.mono_us))
        fresh = tuple(name for name in held if state.said[name][0][2] is not Reason.GARBLED)
        if fresh:
            events.append(DeviceRead(state.entry.device.id, (), fresh, now))

    def _remember(self, state: _DeviceState, forms: tuple[PointForm, ...], document: Document, at_us: int, now: Now,
                  events: list[DriverEvent]) -> None:
        """A record of the past: handed on with its own time, proving nothing of now."""
        readings = []
        for form in forms:
            found = document.find(form)
            if found is not ABSENT and at_us <= now.wall_us:
                readings.append(_reading(form, GARBLED if found is BROKEN else form.judge(found), at_us, now))
        if readings and not state.lost:  # a record of the past does not bring a lost device back
            events.append(DeviceRead(state.entry.device.id, tuple(readings), (), now))

    def _garbled(self, state: _DeviceState, *, retained: bool, now: Now, events: list[DriverEvent]) -> None:
        """A message of that device that cannot be read: its values are not known any more."""
        if retained:
            return
        state.heard_us = now.mono_us
        readings = []
        for forms in self._templated.get(state.entry.device.id, {}).values():
            for form in forms:
                known = state.said.get(form.name)
                if known is not None and known[0] != GARBLED:
                    state.said[form.name] = (GARBLED, now.wall_us)
                    readings.append(_reading(form, GARBLED, now.wall_us, now))
        if readings:
            events.append(DeviceRead(state.entry.device.id, tuple(readings), (), now))

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

    def _measured(self, state: _DeviceState, forms: tuple[PointForm, ...], documents: Document, *, retained: bool,
                  now: Now, events: list[DriverEvent]) -> None:
        if state.lost and retained:
            return  # a memory cannot bring a device back
        name = state.entry.device.id
        readings: list[Reading] = []
        fresh: list[str] = []
        if not state.known and not retained:
            state.known = True
            state.warm_until_us = now.mono_us + round(state.entry.profile.warm_up_s * 1e6)
        for form in forms:
            found = documents.find(form)
            if found is ABSENT:
                continue  # this message does not speak of the point
            source_us = documents.time(form, now)
            verdict = GARBLED if found is BROKEN else form.judge(found)
            value, quality, _ = verdict
            if quality is Quality.GOOD and (retained or now.mono_us < state.warm_until_us):
                verdict = (value, Quality.UNCERTAIN, Reason.NOT_YET_READ if retained else Reason.WARM_UP)
            if not retained:
                state.fresh_us[form.name] = now.mono_us
                if form.name in state.stale:
                    state.stale.discard(form.name)
                    state.look_us = 0
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
            if state.lost:
                state.lost, state.look_us = False, 0
        if readings or fresh:
            events.append(DeviceRead(name, tuple(readings), tuple(fresh), now))

    def look_for_silence(self, now: Now) -> tuple[DriverEvent, ...]:
        """Devices not heard within `expire_after_s`, and points not reported within their own limit."""
        events: list[DriverEvent] = []
        for template in self._templates.values():
            self._hear(template.look(now), now, events)
        for name, state in self._devices.items():
            at = now.mono_us
            if state.lost or at <= state.look_us:
                continue
            if at - state.heard_us > state.expire_us:
                self._lose(state, f"not heard for {state.expire_us / 1e6:g} s", now, events)
                continue
            limits = {f"{name}.{spec.id}": spec for spec in state.entry.profile.points}
            ends = {point: seen + round(limits[point].stale_after_s * 1e6)
                    for point, seen in state.fresh_us.items() if point not in state.stale}
            over = [point for point, end in ends.items() if at > end]
            state.look_us = min((state.heard_us + state.expire_us, *(end for end in ends.values() if end >= at)))
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
        for template in self._templates.values():
            template.line_down()
        for name, state in self._devices.items():
            if not state.lost:
                state.lost = True
                state.known = False
                state.said.clear()
                events.append(DeviceFailed(name, Reason.LINE_DOWN, detail, now))
        return tuple(events)


def _reading(form: PointForm, verdict: Verdict, source_us: int, now: Now) -> Reading:
    value, quality, reason = verdict
    return Reading(form.name, value, form.quantity.canonical, quality, reason, source_us, now.wall_us, now.mono_us,
                   now.boot)


def _filled(template: str, entry: LineDevice) -> str:
    return template.replace("{device}", entry.device.id).replace("{address}", entry.device.address)


def subscriptions_of(devices: Iterable[LineDevice]) -> tuple[str, ...]:
    """Every topic that these devices speak on, for opening the link before the driver."""
    return PayloadMap(tuple(devices), Now(0, 0, "")).subscriptions()


def topic_of(entry: LineDevice, suffix: str) -> str:
    """The full topic of a point: the device's base topic and the point's suffix."""
    traits = entry.profile.mqtt
    base = _filled(traits.base_topic if traits is not None else "", entry).rstrip("/")
    return f"{base}/{_filled(suffix, entry).lstrip('/')}" if suffix else base
