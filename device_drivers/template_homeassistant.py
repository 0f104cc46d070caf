"""Home Assistant MQTT discovery: devices announce their own topics. Pure.

    homeassistant/COMPONENT/[NODE/]OBJECT/config   {"state_topic", "value_template", "availability", …}   retained
           │ bounded, abbreviations and ~ resolved
           ▼ an entity: where its state is, in which words, when it is absent
    STATE_TOPIC ──► {OBJECT: value}                 COMMAND_TOPIC ◄── what we send

address: what the device's topics begin with (a Tasmota or ESPHome node), base_topic: {address}. A point's path is the
entity's OBJECT (its `object_id` segment, or the key below `components` of a device message). Only entities whose
state topics stand below the base topic are taken: others are another device's, or told. Templates in the simple forms
{{ value }} and {{ value_json.a['b'][0] }} with `| float`, `| int` are read; any other is told and gives no values,
for guessing would. Source: home-assistant.io, "MQTT", "Discovery".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import Path, decode_json, decode_text, follow
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
from device_model.errors import LocalFault, PeerGarbled
from device_model.profile import ProfilePoint
from device_model.quantities import QUANTITIES, UNIT_ALIASES
from device_model.site import Text

ENTITIES_MAX = 200  # of one device; a big ESPHome node has about 60
EARLY_MAX = 64  # retained states may come before the config that explains them: the last of so many topics are kept
_SHORT = {
    "stat_t": "state_topic", "val_tpl": "value_template", "cmd_t": "command_topic", "avty": "availability",
    "avty_t": "availability_topic", "avty_tpl": "availability_template", "avty_mode": "availability_mode",
    "pl_avail": "payload_available", "pl_not_avail": "payload_not_available", "pl_on": "payload_on",
    "pl_off": "payload_off", "exp_aft": "expire_after", "unit_of_meas": "unit_of_measurement",
    "dev_cla": "device_class", "cmps": "components", "p": "platform", "t": "topic",
    "stat_on": "state_on", "stat_off": "state_off",
}
_TEMPLATE = re.compile(
    r"\{\{-?\s*(?P<what>value|value_json(?P<path>(?:\.[A-Za-z_]\w*|\[(?:'[^']{1,80}'|\"[^\"]{1,80}\"|\d{1,4})\]){1,16}))"
    r"\s*(?:\|\s*(?:float|int)(?:\(0\))?\s*)?-?\}\}", re.ASCII)
_STEP = re.compile(r"\.(\w+)|\[(?:'([^']*)'|\"([^\"]*)\"|(\d+))\]")
_BOOLEANS = ("binary_sensor", "switch", "siren", "light")
_NULL = float("nan")


class _Entity(msgspec.Struct, frozen=True):
    device: str
    name: str
    state_topic: str
    path: Path | None  # None: the payload itself
    on: str | None = None  # of a component that is on or off
    off: str | None = None
    command_topic: str = ""
    command_on: str = "ON"
    command_off: str = "OFF"
    unit: str = ""
    expire_us: int = 0
    availability: tuple[tuple[str, str, str], ...] = ()  # topic, available, not available


class HomeAssistantTemplate(PlainTemplate):
    """The devices of a line that announce themselves."""

    def __init__(self, entries: Sequence[LineDevice], now: Now) -> None:
        super().__init__(entries, now)
        self._bases = {base_of(entry): entry.device.id for entry in entries}
        self._entities: dict[str, dict[str, _Entity]] = {name: {} for name in self.entries}
        self._by_config: dict[str, list[tuple[str, str]]] = {}
        self._early: dict[str, bytes] = {}
        self._heard_us: dict[tuple[str, str], int] = {}
        self._refused: set[str] = set()

    def subscriptions(self) -> tuple[str, ...]:
        """The announcements, and each device's own topics."""
        return ("homeassistant/+/+/config", "homeassistant/+/+/+/config", *(f"{base}/#" for base in self._bases))

    def owner(self, topic: str) -> tuple[str, ...]:
        """The devices with an entity whose state stands there."""
        return tuple(device for device, entities in self._entities.items()
                     if any(entity.state_topic == topic for entity in entities.values()))

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """One announcement, state or availability."""
        if topic.startswith("homeassistant/") and topic.endswith("/config"):
            return self._announced(topic, payload, now)
        said: list[Saying] = []
        known = False
        for device, entities in self._entities.items():
            document: dict[str, object] = {}
            for entity in entities.values():
                if topic == entity.state_topic:
                    known = True
                    self._state(entity, payload, document, retained=retained, now=now)
                for where, available, lost in entity.availability:
                    if topic == where:
                        known = True
                        word = decode_text(payload)
                        if word == lost:
                            said.append(Gone(device, f"its availability topic says {word[:40]!r}"))
                        elif word == available and not retained:
                            said.append(Alive(device))
            if document:
                said.append(Told(device, document, remembered=retained))
        if known:
            return said
        if not self._belongs(topic):
            return None
        if len(payload) <= 4096:  # a state is small; what is larger waits for its next message
            self._early.pop(topic, None)
            self._early[topic] = payload
            while len(self._early) > EARLY_MAX:
                del self._early[next(iter(self._early))]
        return ()

    def _belongs(self, topic: str) -> str:
        parts = topic.split("/")
        return next((self._bases[base] for length in range(len(parts), 0, -1)
                     if (base := "/".join(parts[:length])) in self._bases), "")

    def _state(self, entity: _Entity, payload: bytes, document: dict[str, object], *, retained: bool,
               now: Now) -> None:
        if entity.path is None:
            found: object = decode_text(payload)
        else:
            found = follow(entity.path, decode_json(payload))
            if found is None:
                return  # this message does not speak of it
        if entity.on is not None:
            word = as_text(found) if isinstance(found, bool | int | float | str) else ""
            found = word == entity.on if word in (entity.on, entity.off) else f"? {word[:40]}"
        spec = self._spec(entity)
        if spec is not None and entity.unit and not QUANTITIES[spec.quantity].boolean:
            unit = UNIT_ALIASES.get(entity.unit, entity.unit)
            found = found if unit == spec.unit else _NULL
        if not retained:
            self._heard_us[entity.device, entity.name] = now.mono_us
        document[entity.name] = found

    def _spec(self, entity: _Entity) -> ProfilePoint | None:
        return next((spec for spec in self.entries[entity.device].profile.points
                     if spec.payload is not None and last_name(spec) == entity.name), None)

    def _announced(self, topic: str, payload: bytes, now: Now) -> Sequence[Saying] | None:
        said: list[Saying] = []
        for device, name in self._by_config.pop(topic, ()):
            self._entities[device].pop(name, None)
            if not payload.strip():
                said.append(Gone(device, f"its entity {name} was taken back"))
        if not payload.strip():
            return said
        try:
            config = decode_json(payload)
        except PeerGarbled:
            return said  # an announcement is no value; what it would have announced stays silent
        if not isinstance(config, dict):
            return said
        parts = topic.split("/")
        config = _long(config)
        components = config.get("components") if parts[1] == "device" else {parts[-2]: {"platform": parts[1]}}
        for name, component in list(components.items())[:ENTITIES_MAX] if isinstance(components, dict) else ():
            if isinstance(component, dict) and isinstance(name, str):
                said += self._entity(topic, name, {**config, **_long(component)}, now)
        return said

    def _entity(self, config_topic: str, name: str, config: Mapping[str, object], now: Now) -> list[Saying]:
        state = _topic(config, "state_topic")
        device = self._belongs(state)
        if not state or not device or len(self._entities[device]) >= ENTITIES_MAX:
            return []
        try:
            path = _template_path(config.get("value_template"))
        except ValueError as problem:
            if config_topic + name in self._refused or len(self._refused) >= ENTITIES_MAX:
                return []
            self._refused.add(config_topic + name)
            return [Note(device, "template_unreadable", Text(f"entity {name}: {problem}", f"实体 {name}：{problem}"))]
        boolean = config.get("platform") in _BOOLEANS
        on, off = _word(config, "payload_on", "ON"), _word(config, "payload_off", "OFF")
        expire = config.get("expire_after", 0)
        entity = _Entity(
            device, name, state, path, _word(config, "state_on", on) if boolean else None,
            _word(config, "state_off", off) if boolean else None, _topic(config, "command_topic"), on, off,
            _word(config, "unit_of_measurement", ""),
            round(min(expire, 1e9) * 1e6) if isinstance(expire, int | float) and expire > 0 else 0,
            _availability(config))
        self._entities[device][name] = entity
        self._by_config.setdefault(config_topic, []).append((device, name))
        self._heard_us.setdefault((device, name), now.mono_us)
        said: list[Saying] = []
        for topic in (state, *(where for where, _, _ in entity.availability)):
            early = self._early.pop(topic, None)
            if early is not None:
                said += self.take(topic, early, True, now) or ()
        return said

    def look(self, now: Now) -> Sequence[Saying]:
        """Entities that were silent for longer than they themselves allow."""
        said: list[Saying] = []
        for (device, name), heard_us in list(self._heard_us.items()):
            entity = self._entities[device].get(name)
            expired = entity is not None and entity.expire_us and now.mono_us - heard_us > entity.expire_us
            if expired and entity is not None and self._spec(entity) is not None:
                del self._heard_us[device, name]  # said once
                said.append(Gone(device, f"{name} was not told within its expire_after"))
        return said

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """On the topic, and in the words, that the device announced."""
        entity = self._entities[entry.device.id].get(last_name(spec))
        if entity is None or not entity.command_topic:
            raise LocalFault(f"{entry.device.id}.{spec.id}: the device has announced no command topic for it")
        boolean = QUANTITIES[spec.quantity].boolean
        text = (entity.command_on if value else entity.command_off) if boolean else as_text(own_value(spec, value))
        return Publish(entity.command_topic, text.encode())


def last_name(spec: ProfilePoint) -> str:
    """The entity that a point means."""
    return spec.payload.path.strip('"') if spec.payload is not None else ""


def _long(config: Mapping[str, object]) -> dict[str, object]:
    """Abbreviations written out, ~ filled."""
    full = {_SHORT.get(key, key): value for key, value in list(config.items())[:ENTITIES_MAX]}
    base = full.get("~")
    if isinstance(base, str):
        for key, value in full.items():
            if isinstance(value, str) and key.endswith("topic") and "~" in (value[:1], value[-1:]):
                full[key] = base + value[1:] if value.startswith("~") else value[:-1] + base
    return full


def _topic(config: Mapping[str, object], key: str) -> str:
    found = config.get(key)
    usable = isinstance(found, str) and 0 < len(found) <= 256 and not any(sign in found for sign in "+#\0")
    return str(found) if usable else ""


def _word(config: Mapping[str, object], key: str, default: str) -> str:
    found = config.get(key, default)
    return as_text(found)[:100] if isinstance(found, bool | int | float | str) else default


def _availability(config: Mapping[str, object]) -> tuple[tuple[str, str, str], ...]:
    several = config.get("availability")
    listed = [_long(one) for one in several[:8] if isinstance(one, dict)] if isinstance(several, list) else []
    base = config.get("~")
    for one in listed:
        where = one.get("topic")
        if isinstance(base, str) and isinstance(where, str) and where.startswith("~"):
            one["topic"] = base + where[1:]
    listed += [{**config, "topic": config["availability_topic"]}] if "availability_topic" in config else []
    return tuple((_topic(one, "topic"), _word(one, "payload_available", "online"),
                  _word(one, "payload_not_available", "offline")) for one in listed if _topic(one, "topic"))


def _template_path(template: object) -> Path | None:
    """Where a value_template points; None for the payload itself. ValueError where it is none of the simple forms."""
    if template is None or template == "":
        return None
    found = _TEMPLATE.fullmatch(template.strip()) if isinstance(template, str) else None
    if found is None:
        raise ValueError(f"value_template {str(template)[:80]!r} is not of the simple forms")
    if found["path"] is None:
        return None
    return tuple(int(index) if index else name or single or double
                 for name, single, double, index in _STEP.findall(found["path"]))
