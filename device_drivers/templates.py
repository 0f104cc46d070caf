"""Templates: what a convention over MQTT means, as pure states. One object a line and convention.

    topic, payload, retained, now ── take ──►  Told     a document of one device; points follow their paths in it
                                               Alive    a sign of life (holds: what it said still holds)
                                               Gone     last will, broken sequence: absence, a fault, no number
                                               Publish  what must be said back (rebirth, reply)
                                               Note     what a person should know

`payload_map.py` runs them and judges the values; a template never makes a Reading. A profile names its template
(`mqtt: {template: homie}`). A new convention is a class here and its line in TEMPLATES.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import parse_path
from device_model.clock import Now
from device_model.errors import LocalFault
from device_model.profile import ProfilePoint
from device_model.quantities import QUANTITIES
from device_model.site import Text


class Told(msgspec.Struct, frozen=True):
    """What a device says. topic: the kind of message, as the points' `topic:` names it. document: where the points'
    paths are followed. octets: where their `binary:` is. at_us: when it was measured, by the device, where that is
    not now; it is believed as little as any device's clock. history: a record of the past that proves nothing of now.
    remembered: what the broker kept."""

    device: str
    document: object
    topic: str = ""
    octets: bytes | None = None
    at_us: int | None = None
    history: bool = False
    remembered: bool = False


class Alive(msgspec.Struct, frozen=True):
    """A sign of life. holds: the convention reports by exception, so what the device said still holds."""

    device: str
    holds: bool = False


class Gone(msgspec.Struct, frozen=True):
    """The device is lost, by its last will or because what it said cannot be trusted any more."""

    device: str
    detail: str


class Publish(msgspec.Struct, frozen=True):
    """A message to send."""

    topic: str
    payload: bytes


class Note(msgspec.Struct, frozen=True):
    """For people; no value."""

    device: str
    kind: str
    text: Text


Saying = Told | Alive | Gone | Publish | Note


class Template(Protocol):
    """The devices of one line that follow one convention."""

    def subscriptions(self) -> tuple[str, ...]:
        """Topic filters, wildcards included."""
        ...

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """What a message means; None where it belongs to none of these devices. PeerGarbled where it belongs to
        them and cannot be read."""
        ...

    def owner(self, topic: str) -> tuple[str, ...]:
        """The devices that a message which cannot be read is about, "" or none where it is not known."""
        ...

    def look(self, now: Now) -> Sequence[Saying]:
        """What time alone means; called a few times a second."""
        ...

    def line_down(self) -> None:
        """The broker is gone: what was heard may have been missed."""
        ...

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """The message that sets a point; LocalFault where the convention has none."""
        ...


class PlainTemplate:
    """What most conventions have in common: nothing happens by time alone, and a lost line changes nothing."""

    def __init__(self, entries: Sequence[LineDevice], _now: Now) -> None:
        self.entries = {entry.device.id: entry for entry in entries}

    def owner(self, topic: str) -> tuple[str, ...]:
        """By the longest base that the topic stands below."""
        return tuple(name for name, entry in self.entries.items()
                     if topic == base_of(entry) or topic.startswith(base_of(entry) + "/"))

    def look(self, _now: Now) -> Sequence[Saying]:
        """Nothing."""
        return ()

    def line_down(self) -> None:
        """Nothing."""

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """None by default."""
        raise LocalFault(f"{entry.device.id}.{spec.id}: this convention has no commands")


def base_of(entry: LineDevice) -> str:
    """The device's base topic, filled from the site file."""
    traits = entry.profile.mqtt
    base = traits.base_topic if traits is not None else ""
    return base.replace("{device}", entry.device.id).replace("{address}", entry.device.address).rstrip("/")


def own_value(spec: ProfilePoint, value: bool | float) -> bool | float | str:
    """A command's value in the device's own words: its true and false words, its unit, its scale."""
    source = spec.payload
    if source is None:
        raise LocalFault(f"{spec.id} stands in no payload")
    quantity = QUANTITIES[spec.quantity]
    if quantity.boolean:
        words = source.true_values if value else source.false_values
        word = words[0] if words else ("true" if value else "false")
        return word == "true" if word in ("true", "false") else word
    unit = quantity.unit(spec.unit)
    own = (float(value) - unit.offset) / unit.factor if unit is not None else float(value)
    own = (own - source.offset) / source.scale
    return int(own) if own == int(own) else own


def as_number(word: bool | float | str) -> bool | float | str:
    """A word that is a whole number as that number, for conventions whose booleans are 0 and 1."""
    return int(word) if isinstance(word, str) and word.isascii() and word.isdigit() else word


def as_text(word: bool | float | str) -> str:
    """How a value is written in a text payload."""
    return ("true" if word else "false") if isinstance(word, bool) else f"{word:g}" if isinstance(word, float) \
        else str(word)


def last_member(spec: ProfilePoint) -> str:
    """The name of the value in its document: the last member of its path."""
    steps = parse_path(spec.payload.path) if spec.payload is not None else ()
    if not steps or not isinstance(steps[-1], str):
        raise LocalFault(f"{spec.id}: its path names no member")
    return steps[-1]


Factory = Callable[[Sequence[LineDevice], Now], Template]
_HOMES = {
    "aliyun-tsl": ("template_aliyun", "AliyunTemplate"), "chirpstack": ("template_chirpstack", "ChirpstackTemplate"),
    "homeassistant": ("template_homeassistant", "HomeAssistantTemplate"),
    "homie": ("template_homie", "HomieTemplate"), "senml": ("template_senml", "SenmlTemplate"),
    "sparkplug": ("template_sparkplug", "SparkplugTemplate"),
    "zigbee2mqtt": ("template_zigbee2mqtt", "ZigbeeTemplate"),
}


def factory(name: str) -> Factory:
    """The maker of a template by name, imported when a site has such a device: a gateway pays memory only for the
    conventions that it needs. KeyError for a name that is none."""
    module, made = _HOMES[name]
    found: Factory = getattr(importlib.import_module(f"device_drivers.{module}"), made)
    return found
