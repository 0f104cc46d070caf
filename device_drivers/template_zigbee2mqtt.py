"""Zigbee2MQTT: one JSON object a device, availability beside it, and the bridge that all depend on. Pure.

    zigbee2mqtt/NAME                {"smoke": true, …}
    zigbee2mqtt/NAME/availability   {"state": "online"} or online (before 2.0)
    zigbee2mqtt/bridge/state        offline is the bridge's last will: no device behind it can be heard
    zigbee2mqtt/NAME/set            what we send

Source: zigbee2mqtt.io, "MQTT Topics and Messages".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import decode_json, decode_text, follow
from device_drivers.templates import (
    Alive,
    Gone,
    PlainTemplate,
    Publish,
    Saying,
    Told,
    as_number,
    base_of,
    last_member,
    own_value,
)
from device_model.clock import Now
from device_model.profile import ProfilePoint


class ZigbeeTemplate(PlainTemplate):
    """The Zigbee devices of a line, by base topic and bridge."""

    def __init__(self, entries: Sequence[LineDevice], now: Now) -> None:
        super().__init__(entries, now)
        self._bases = {base_of(entry): entry.device.id for entry in entries}
        self._availability = {f"{base}/availability": device for base, device in self._bases.items()}
        self._bridges: dict[str, list[str]] = {}
        for base, device in self._bases.items():
            self._bridges.setdefault(f"{base.rpartition('/')[0]}/bridge/state", []).append(device)

    def subscriptions(self) -> tuple[str, ...]:
        """State, availability, bridge."""
        return (*self._bases, *self._availability, *self._bridges)

    def owner(self, topic: str) -> tuple[str, ...]:
        """The device whose values stand there."""
        return (self._bases[topic],) if topic in self._bases else ()

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """One message."""
        device = self._bases.get(topic)
        if device is not None:
            return (Told(device, decode_json(payload), remembered=retained),)
        device = self._availability.get(topic)
        devices = self._bridges.get(topic, ()) if device is None else (device,)
        if not devices:
            return None
        state = decode_text(payload)
        if state.startswith("{"):
            state = str(follow(("state",), decode_json(payload)))
        if state == "offline":
            why = "its availability says offline" if device is not None else "the Zigbee bridge is offline"
            return [Gone(name, why) for name in devices]
        # The bridge lives: that says nothing of its devices.
        return (Alive(device),) if device is not None and state == "online" and not retained else ()

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """NAME/set with the member."""
        body = {last_member(spec): as_number(own_value(spec, value))}
        return Publish(f"{base_of(entry)}/set", msgspec.json.encode(body))
