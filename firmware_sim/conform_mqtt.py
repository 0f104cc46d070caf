"""Conformance of MQTT devices to their profile and to MQTT 3.1.1. Pure: messages heard in, verdicts out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec

from device_model.profile import DeviceProfile
from firmware_sim.conform import Outcome, Verdict, verdict_of

_FIRST_NAME = re.compile(r'"?([A-Za-z_][A-Za-z0-9_]*)')


class Heard(msgspec.Struct, frozen=True):
    """A message as a subscriber got it. at_s: seconds since listening began."""

    at_s: float
    topic: str
    payload: bytes
    retained: bool


def mqtt_verdicts(
    profile: DeviceProfile, base: str, heard: Sequence[Heard], listened_s: float
) -> list[Verdict]:
    """What deviates. base: the device's base topic, filled in."""
    states = [m for m in heard if m.topic == base or m.topic.startswith(base + "/")]
    availability = [m for m in states if m.topic.endswith("/availability")]
    values = [m for m in states if m not in availability]
    found = [
        verdict_of("heard", "profile", "the device publishes below its base topic", "设备应在其主题下发布",
                   "" if values else f"nothing below {base} in {listened_s:.0f} s"),
        verdict_of("topics", "MQTT 3.1.1, 4.7", "topics hold no wildcards", "主题不含通配符",
                   next((m.topic for m in states if set(m.topic) & set("+#\0")), "")),
    ]
    if not values:
        return found
    bad = next((m for m in values if not _json(m.payload)[0]), None)
    plain = any(p.payload is not None and not p.payload.path for p in profile.points)
    found.append(verdict_of("payload", "profile", "payloads are JSON", "负载应为 JSON",
                            "" if bad is None or plain else f"{bad.payload[:40]!r} on {bad.topic}"))
    found.append(verdict_of("live", "profile", "values are not retained", "数值消息不应保留",
                            next((f"{m.topic} is" for m in values if m.retained and m.at_s > 0.5), "")))
    if profile.mqtt is not None and profile.mqtt.availability_topic:
        known = {*profile.mqtt.available_values, "offline"}
        words = {_word(m.payload) for m in availability}
        found.append(verdict_of("availability", "profile", "availability is told, retained", "应发布保留的在线状态",
                                "" if availability and words <= known else f"{sorted(words) or 'nothing'} came"))
    found += _points(profile, values)
    return found


def _points(profile: DeviceProfile, values: Sequence[Heard]) -> list[Verdict]:
    seen = "\n".join(m.payload.decode("utf-8", "replace") for m in values)
    out = []
    for point in profile.points:
        if point.payload is None or not point.payload.path:
            continue
        name = _FIRST_NAME.match(point.payload.path)
        present = name is not None and f'"{name[1]}"' in seen
        out.append(Verdict(f"point {point.id}", "profile", Outcome.OK if present else Outcome.NOT_TESTED,
                           f"{point.payload.path} is there" if present else f"{point.payload.path} was not seen"))
    return out


def _json(payload: bytes) -> tuple[bool, object]:
    try:
        return True, json.loads(payload)
    except (ValueError, RecursionError):
        return False, None


def _word(payload: bytes) -> str:
    right, value = _json(payload)
    if right and isinstance(value, dict):
        return str(value.get("state", ""))
    return payload.decode("utf-8", "replace")
