"""SenML devices (RFC 8428): packs in JSON or CBOR on one topic. Pure.

A point's path is the record's name: whole ("urn:dev:ow:10e2073a01080063:temp", quoted), as the record writes it after
the base name (temp), or its last part behind a colon, slash or underscore of the base. A record in another unit than
the point's is no value. Records of one pack are taken in the order of their time, each as it is, so that an alarm
that came and went within a pack is seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import decode_cbor, decode_json, parse_path
from device_drivers.templates import PlainTemplate, Saying, Told, base_of
from device_model.clock import Now
from device_model.profile import ProfilePoint
from device_model.quantities import UNIT_ALIASES
from wire_codecs.senml import SenmlRecord, resolve_senml

# Units of the SenML registry whose names differ from UCUM's. "/" is a ratio of 1.
_UNITS = {"%RH": "%", "%EL": "%", "lx": "lx", "/": "1", "degC": "Cel", "VA": "V.A", "var": "var", "count": "1"}
_NULL = float("nan")


class SenmlTemplate(PlainTemplate):
    """The SenML devices of a line, by topic."""

    def __init__(self, entries: Sequence[LineDevice], now: Now) -> None:
        super().__init__(entries, now)
        self._bases = {base_of(entry): entry for entry in entries}
        self._points = {entry.device.id: _by_name(entry) for entry in entries}

    def subscriptions(self) -> tuple[str, ...]:
        """One topic a device."""
        return tuple(self._bases)

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """One pack."""
        entry = self._bases.get(topic)
        if entry is None:
            return None
        traits = entry.profile.mqtt
        cbor = traits is not None and traits.format == "cbor"
        records = resolve_senml(decode_cbor(payload) if cbor else decode_json(payload))
        points = self._points[entry.device.id]
        said: list[Saying] = []
        for record in sorted(records, key=lambda one: one.time_s):
            for name in _names(record):
                spec = points.get(name)
                if spec is not None:
                    at_us = None if record.relative and not record.time_s else round(
                        record.time_s * 1e6) + (now.wall_us if record.relative else 0)
                    said.append(Told(entry.device.id, {name: _value(record, spec)}, at_us=at_us, remembered=retained))
                    break
        return said


def _by_name(entry: LineDevice) -> dict[str, ProfilePoint]:
    names: dict[str, ProfilePoint] = {}
    for spec in entry.profile.points:
        steps = parse_path(spec.payload.path) if spec.payload is not None else ()
        if len(steps) == 1 and isinstance(steps[0], str):
            names[steps[0]] = spec
    return names


def _names(record: SenmlRecord) -> tuple[str, ...]:
    return record.name, record.own_name, re.split(r"[:/_]", record.name)[-1]


def _value(record: SenmlRecord, spec: ProfilePoint) -> object:
    unit = _UNITS.get(record.unit, UNIT_ALIASES.get(record.unit, record.unit))
    if record.value is None and record.total is None:
        return _NULL
    if unit and spec.unit and unit != spec.unit:
        return _NULL
    return record.total if record.value is None else record.value
