"""Homie 3 and 4: topics that describe themselves. Pure.

    homie/DEVICE/$state              init · ready · sleeping · alert · disconnected · lost (its last will)
    homie/DEVICE/NODE/PROPERTY       the value as text
    homie/DEVICE/NODE/PROPERTY/set   what we send

address: DEVICE, base_topic: homie/{address}. A point has `topic: NODE/PROPERTY`. Source: the Homie convention 4.0.0,
homieiot.github.io.
"""

from __future__ import annotations

from collections.abc import Sequence

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import decode_text
from device_drivers.templates import (
    Alive,
    Gone,
    Note,
    PlainTemplate,
    Publish,
    Saying,
    Told,
    as_text,
    base_of,
    own_value,
)
from device_model.clock import Now
from device_model.errors import LocalFault
from device_model.profile import ProfilePoint
from device_model.site import Text

_LOST = ("lost", "disconnected")


class HomieTemplate(PlainTemplate):
    """The Homie devices of a line."""

    def __init__(self, entries: Sequence[LineDevice], now: Now) -> None:
        super().__init__(entries, now)
        self._states = {f"{base_of(entry)}/$state": entry.device.id for entry in entries}
        self._properties = {f"{base_of(entry)}/{spec.payload.topic}": (entry.device.id, spec.payload.topic)
                            for entry in entries for spec in entry.profile.points if spec.payload is not None}

    def subscriptions(self) -> tuple[str, ...]:
        """State and the properties that points name."""
        return (*self._states, *self._properties)

    def owner(self, topic: str) -> tuple[str, ...]:
        """The device of a property."""
        return (self._properties[topic][0],) if topic in self._properties else ()

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """One property or state."""
        device = self._states.get(topic)
        if device is not None:
            state = decode_text(payload)
            if state in _LOST:
                return (Gone(device, f"its $state is {state}"),)
            if retained or state not in ("init", "ready", "sleeping", "alert"):
                return ()
            alert = Note(device, "homie_alert", Text("the device asks for a person", "设备请求人工处理"))
            return (Alive(device), alert) if state == "alert" else (Alive(device),)
        known = self._properties.get(topic)
        if known is None:
            return None
        return (Told(known[0], decode_text(payload), known[1], payload, remembered=retained),)

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """PROPERTY/set."""
        if spec.payload is None or not spec.payload.topic:
            raise LocalFault(f"{entry.device.id}.{spec.id} names no property")
        return Publish(f"{base_of(entry)}/{spec.payload.topic}/set", as_text(own_value(spec, value)).encode())
