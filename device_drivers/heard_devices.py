"""Heard devices: what is known of devices that speak by themselves over a stream (panels, stations). Pure.

    document of one message ─ take ─► verdict per point ─► DeviceRead: what changed, and what is fresh
    any sign of life        ─ prove ─► DeviceRead: what was said before still holds
    look_for_silence        ─────────► DeviceFailed, once

A point's `path` is followed in the document; its `topic` says which kind of message it stands in. Judgement of
values is that of MQTT payloads (payload_map).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent, LineDevice
from device_drivers.payload_map import PointForm, Verdict, follow
from device_model.clock import Now
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason


class _Heard(msgspec.Struct):
    entry: LineDevice
    forms: tuple[PointForm, ...]
    expire_us: int
    heard_us: int
    said: dict[str, Verdict]
    fresh_us: dict[str, int]
    stale: set[str]
    memory: dict[str, Verdict] = {}  # what it said before it was lost
    lost: bool = False


class HeardDevices:
    """The devices of one line, each with the seconds after which its silence is a loss."""

    def __init__(self, devices: Iterable[tuple[LineDevice, float]], now: Now) -> None:
        self._devices: dict[str, _Heard] = {}
        for entry, expire_s in devices:
            forms = tuple(PointForm(f"{entry.device.id}.{spec.id}", spec, spec.payload)
                          for spec in entry.profile.points if spec.payload is not None)
            self._devices[entry.device.id] = _Heard(
                entry, forms, round(expire_s * 1e6), now.mono_us, {},
                {form.name: now.mono_us for form in forms}, set())

    def has_path(self, device: str, path: str) -> bool:
        """Whether a point of that device stands at that path."""
        return any(form.source.path == path for form in self._devices[device].forms)

    def take(
        self, device: str, topic: str, document: object, now: Now, *, source_us: int | None = None,
        doubt: Mapping[str, tuple[Quality, Reason]] | None = None, live: bool = True,
    ) -> tuple[DriverEvent, ...]:
        """One message. source_us: when it was measured, where that is not now. doubt: for the first step of a path,
        the quality that the device itself gives its value. Not `live`: a record of the past, which proves nothing of
        the present and is handed on whether or not it differs."""
        state = self._devices[device]
        at_us = now.wall_us if source_us is None else source_us
        readings: list[Reading] = []
        fresh: list[str] = []
        for form in state.forms:
            if form.source.topic != topic:
                continue
            found = follow(form.path, document)
            if found is None:
                continue
            verdict = _doubted(form.judge(found), (doubt or {}).get(str(form.path[0])))
            if live:
                state.fresh_us[form.name] = now.mono_us
                state.stale.discard(form.name)
                if verdict[2] is not Reason.GARBLED:
                    fresh.append(form.name)
                before = state.said.get(form.name)
                state.said[form.name] = verdict
                if at_us >= now.wall_us and before == verdict and before is not None \
                        and type(before[0]) is type(verdict[0]):
                    continue
            readings.append(_reading(form, verdict, at_us, now))
        if live:
            state.heard_us, state.lost = now.mono_us, False
        return (DeviceRead(device, tuple(readings), tuple(fresh), now),) if readings or fresh else ()

    def prove(self, device: str, now: Now, *, remember: bool = False) -> tuple[DriverEvent, ...]:
        """The device lives: what it said since it was last lost still holds. What it never said stays unknown.

        remember: it cannot be asked, so what it said before it was lost is given again, as uncertain.
        """
        state = self._devices[device]
        state.heard_us = now.mono_us
        if remember and state.lost and state.memory:
            state.lost = False
            state.said = {name: _doubted(verdict, (Quality.UNCERTAIN, Reason.NOT_YET_READ))
                          for name, verdict in state.memory.items()}
            state.fresh_us.update(dict.fromkeys(state.said, now.mono_us))
            return (DeviceRead(device, tuple(_reading(form, state.said[form.name], now.wall_us, now)
                                             for form in state.forms if form.name in state.said), (), now),)
        if state.lost or not state.said:
            return ()
        held = [name for name, verdict in state.said.items() if verdict[1] is not Quality.BAD]
        for name in state.said:
            state.fresh_us[name] = now.mono_us
            state.stale.discard(name)
        return (DeviceRead(device, (), tuple(held), now),)

    def forget(self) -> None:
        """What was given out may not have arrived: every point is said anew when its device tells it again."""
        for state in self._devices.values():
            state.said.clear()

    def lose(self, device: str, reason: Reason, detail: str, now: Now) -> tuple[DriverEvent, ...]:
        """The device is lost, said once. What it said must be said anew."""
        state = self._devices[device]
        if state.lost:
            return ()
        state.memory, state.said = state.said, {}
        state.lost = True
        return (DeviceFailed(device, reason, detail, now),)

    def lose_all(self, reason: Reason, detail: str, now: Now) -> tuple[DriverEvent, ...]:
        """The line is gone."""
        return tuple(event for name in self._devices for event in self.lose(name, reason, detail, now))

    def look_for_silence(self, now: Now) -> tuple[DriverEvent, ...]:
        """Devices not heard within their limit, and points not told within theirs."""
        events: list[DriverEvent] = []
        for name, state in self._devices.items():
            if state.lost:
                continue
            if now.mono_us - state.heard_us > state.expire_us:
                events += self.lose(name, Reason.SILENT, f"not heard for {state.expire_us / 1e6:g} s", now)
                continue
            readings = []
            for form in state.forms:
                over = now.mono_us - state.fresh_us[form.name] > form.spec.stale_after_s * 1e6
                if over and form.name not in state.stale:
                    state.stale.add(form.name)
                    verdict: Verdict = (None, Quality.BAD, Reason.SILENT)
                    state.said[form.name] = verdict
                    readings.append(_reading(form, verdict, now.wall_us, now))
            if readings:
                events.append(DeviceRead(name, tuple(readings), (), now))
        return tuple(events)


def _doubted(verdict: Verdict, doubt: tuple[Quality, Reason] | None) -> Verdict:
    """A value is never better than its device says; bad means no value."""
    if doubt is None or verdict[1] is Quality.BAD or doubt[0] is Quality.GOOD:
        return verdict
    return (None if doubt[0] is Quality.BAD else verdict[0], *doubt)


def _reading(form: PointForm, verdict: Verdict, source_us: int, now: Now) -> Reading:
    value, quality, reason = verdict
    unit = QUANTITIES[form.spec.quantity].canonical
    return Reading(form.name, value, unit, quality, reason, source_us, now.wall_us, now.mono_us, now.boot)
