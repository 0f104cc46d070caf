"""MQTT side of a device: its profile's payload sources turned round, in the manner of Zigbee2MQTT.

    shown values ──group by topic──► JSON built along the paths ──► Publish(topic, payload, retained)

An alarm is published at once; numbers when they moved by more than the deadband, and all of it at the reporting
interval, so that silence can be told from calm.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

import msgspec

from device_model.profile import MqttTraits, PayloadSource, ProfilePoint
from device_model.quantities import QUANTITIES
from device_model.reading import Value
from firmware_sim.device import VirtualDevice

# Zigbee2MQTT devices report at least this often unless the profile expects them sooner.
REPORT_S_MAX = 60.0
REPORT_S_MIN = 1.0
# Radio sensors do not send two numeric reports closer than this.
MIN_GAP_S = 1.0
_STEP = re.compile(r'"((?:[^"\\]|\\.)*)"|([A-Za-z_][A-Za-z0-9_]*)|\[(-1|\d+)\]')
_INDEX_MAX = 64


class Publish(msgspec.Struct, frozen=True):
    """One message to send."""

    topic: str
    payload: bytes
    retained: bool = False


class MqttDevice:
    """Publishes what a device shows. `address` fills {address} of the profile's base topic.

    Raises ValueError for a profile that is not an MQTT one.
    """

    def __init__(self, device: VirtualDevice, address: str) -> None:
        traits = device.profile.mqtt
        if traits is None:
            raise ValueError(f"{device.profile.id} is not an MQTT profile")
        self.device = device
        self.traits: MqttTraits = traits
        self._address = address or device.id
        self.base = self._filled(traits.base_topic)
        self._groups: dict[str, list[ProfilePoint]] = {}
        for point in device.profile.points:
            if point.payload is not None:
                self._groups.setdefault(point.payload.topic, []).append(point)
        self._sent: dict[str, dict[str, Value | None]] = {topic: {} for topic in self._groups}
        self._sent_s: dict[str, float] = dict.fromkeys(self._groups, -1e12)
        stale_s = min((p.stale_after_s for p in device.profile.points), default=REPORT_S_MAX)
        self._next_s, self._seen = -1e12, -1
        # A third of the time after which silence is suspected: two reports may be lost.
        self.report_s = max(REPORT_S_MIN, min(REPORT_S_MAX, stale_s / 3, traits.expire_after_s / 3))
        # Devices were not all switched on in the same second: their regular reports are spread.
        self._phase_s = zlib.crc32(device.id.encode()) / 2**32 * self.report_s

    @property
    def availability(self) -> tuple[str, bytes, bytes] | None:
        """(topic, online, offline) of the availability message, or None; offline is the will."""
        if not self.traits.availability_topic:
            return None
        topic = self._filled(self.traits.availability_topic)
        return topic, self.traits.available_values[0].encode(), b"offline"

    @property
    def behind_hub(self) -> bool:
        """Whether such devices reach the broker through a hub that holds the session for them (Zigbee)."""
        return self.traits.base_topic.startswith("zigbee2mqtt/")

    @property
    def commandable(self) -> bool:
        """Whether it listens to commands at all."""
        return any(point.writable for point in self.device.profile.points)

    def _filled(self, template: str) -> str:
        return template.replace("{device}", self.device.id).replace("{address}", self._address)

    def rests(self, at_s: float) -> bool:
        """Whether nothing can be due now."""
        return at_s < self._next_s and self.device.version == self._seen

    def due(self, at_s: float, wall_us: int) -> list[Publish]:
        """What is to be published now."""
        if self.rests(at_s):
            return []  # fleets are mostly of such devices
        if not self.device.answers:
            return []
        out = []
        settled = True
        for topic, points in self._groups.items():
            since_s = at_s - self._sent_s[topic]
            if since_s >= self.report_s or self._moved(topic, points, since_s):
                out.append(Publish(self.topic_of(topic), self._payload(points, wall_us)))
                first = not self._sent[topic]
                self._sent_s[topic] = at_s - (self._phase_s if first else 0.0)
                self._sent[topic] = {point.id: self.device.shown[point.id] for point in points}
            settled = settled and since_s >= MIN_GAP_S
        self._next_s = min(self._sent_s.values(), default=at_s) + self.report_s
        self._seen = self.device.version if settled else -1
        return out

    def _moved(self, topic: str, points: list[ProfilePoint], since_s: float) -> bool:
        for point in points:
            before, now = self._sent[topic].get(point.id, ...), self.device.shown[point.id]
            if before == now:
                continue
            if isinstance(before, float) and isinstance(now, float):
                if since_s >= MIN_GAP_S and abs(now - before) > max(point.deadband, 1e-9):
                    return True
            else:
                return True
        return False

    def topic_of(self, topic: str) -> str:
        """The whole topic of one that a profile names, which stands below the base topic."""
        return f"{self.base}/{self._filled(topic)}" if topic else self.base

    def _payload(self, points: list[ProfilePoint], wall_us: int) -> bytes:
        root: Any = {}
        for point in points:
            source = point.payload
            if source is None:
                continue
            value = encode_value(point, source, self.device.shown[point.id])
            if not source.path:
                return value.encode() if isinstance(value, str) else json.dumps(value).encode()
            root = put_path(root, source.path, value)
            if source.time_path:
                root = put_path(root, source.time_path, wall_us // (1000 if source.time_unit == "ms" else 1_000_000))
        return json.dumps(root, ensure_ascii=False, separators=(",", ":")).encode()

    def commanded(self, topic: str, payload: bytes) -> list[str]:
        """A message on `<base>/set`: {"path": value}; returns the points that took it."""
        if topic != f"{self.base}/set":
            return []
        try:
            wanted = json.loads(payload)
        except (ValueError, RecursionError):
            return []
        if not isinstance(wanted, dict):
            return []
        taken = []
        for point in self.device.profile.points:
            source = point.payload
            if source is None or source.path not in wanted:
                continue
            value = decode_command(point, source, wanted[source.path])
            if value is not None and self.device.command(point.id, value):
                taken.append(point.id)
        return taken


def encode_value(point: ProfilePoint, source: PayloadSource, value: Value | None) -> Any:
    """The JSON value that the device writes; None (null) where it has none."""
    if value is None:
        return None
    quantity = QUANTITIES[point.quantity]
    if quantity.boolean:
        words = source.true_values if value else source.false_values
        word = words[0] if words else str(bool(value)).lower()
        return {"true": True, "false": False}.get(word.lower(), int(word) if word.isdigit() else word)
    if quantity.text or isinstance(value, str):
        return str(value)
    number = (float(value) - source.offset) / source.scale
    rounded = round(number, 4)
    return int(rounded) if rounded == int(rounded) else rounded


def decode_command(point: ProfilePoint, source: PayloadSource, word: Any) -> Value | None:
    """A commanded JSON value as the point's value; None where it is not one."""
    if QUANTITIES[point.quantity].boolean:
        text = str(word).lower() if isinstance(word, bool) else str(word)
        if text in source.true_values or (not source.true_values and text == "true"):
            return True
        return False if text in source.false_values or text == "false" else None
    if isinstance(word, bool) or not isinstance(word, int | float):
        return None
    return float(word) * source.scale + source.offset


def put_path(root: Any, path: str, value: Any) -> Any:
    """Write a value along a JMESPath made of names and [numbers]; returns the root.

    Raises ValueError for paths that do more than point (filters, functions), which no device could be built from.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        if path[at] == ".":
            at += 1
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(f"the path {path!r} does more than point to a place")
        quoted, word, index = match.groups()
        if index is not None and int(index) > _INDEX_MAX:
            raise ValueError(f"the path {path!r} points beyond element {_INDEX_MAX}")
        if quoted is not None:
            word = re.sub(r"\\(.)", r"\1", quoted)
        steps.append(int(index) if index is not None else word)
        at = match.end()
    return _put(root, steps, value)


def _put(node: Any, steps: list[str | int], value: Any) -> Any:
    if not steps:
        return value
    step = steps[0]
    if isinstance(step, int):
        items = node if isinstance(node, list) else []
        # -1 is the last element: the only one, where the path alone says how many there are.
        step = max(step, 0)
        items += [{} for _ in range(step + 1 - len(items))]
        items[step] = _put(items[step], steps[1:], value)
        return items
    mapping = node if isinstance(node, dict) else {}
    mapping[step] = _put(mapping.get(step, {}), steps[1:], value)
    return mapping
