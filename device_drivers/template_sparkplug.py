"""Sparkplug B (Eclipse Sparkplug 3.0): births, deaths, sequence. Pure.

    spBv1.0/GROUP/NBIRTH/NODE          names, aliases and types of the node      ─┐ one sequence 0..255 for all of
    spBv1.0/GROUP/DBIRTH/NODE/DEVICE   … of a device behind it                    │ a node's messages
    spBv1.0/GROUP/NDATA|DDATA/…        what changed                               ─┘
    spBv1.0/GROUP/NDEATH|DDEATH/…      lost; an NDEATH counts only with the bdSeq of the birth

address: GROUP/NODE, or GROUP/NODE/DEVICE. A gap in the sequence means that something was missed: what was said
before is no longer trusted, aliases are not resolved, and a rebirth is asked for. Values that name themselves still
count, for a fire must not wait for a birth. Data come by exception: while the sequence is whole, a message of the
node proves that what it said still holds. Retained messages are ignored: the standard forbids them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import parse_path
from device_drivers.templates import Alive, Gone, PlainTemplate, Publish, Saying, Told, as_number, base_of, own_value
from device_model.clock import Now
from device_model.errors import LocalFault, PeerGarbled
from device_model.profile import ProfilePoint
from device_model.quantities import QUANTITIES
from wire_codecs.sparkplug import (
    BOOLEAN,
    DOUBLE,
    UNKNOWN,
    Metric,
    SparkplugPayload,
    decode_sparkplug,
    encode_sparkplug,
    typed,
)

REBIRTH_EVERY_US = 10_000_000  # a node that is asked more often cannot get its birth out
FIRST_ASK_EVERY_US = 60_000_000  # of a node that was never heard: it may not exist yet
BIRTH_WAIT_US = 10_000_000  # after a node's birth its devices follow at once
_NULL = float("nan")  # judged as error or garbled, whatever the point is: null is no value, and not false
_KINDS = ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH")


class _Node(msgspec.Struct):
    """One edge node. aliases: number → (device, name); types by (device, name)."""

    namespace: str
    group: str
    name: str
    devices: dict[str, list[str]]  # Sparkplug's device name ("" the node itself) → our devices
    born: bool = False
    birth_number: int | None = None
    seq: int = -1
    aliases: dict[int, tuple[str, str]] = {}
    types: dict[tuple[str, str], int] = {}
    born_devices: set[str] = set()
    birth_us: int = 0
    asked_us: int | None = None
    heard: bool = False


class SparkplugTemplate(PlainTemplate):
    """All Sparkplug devices of a line, by edge node."""

    def __init__(self, entries: Sequence[LineDevice], now: Now) -> None:
        super().__init__(entries, now)
        self._nodes: dict[tuple[str, str], _Node] = {}
        for entry in entries:
            namespace, group, node, device = _parts(entry)
            known = self._nodes.setdefault((group, node), _Node(namespace, group, node, {}))
            known.devices.setdefault(device, []).append(entry.device.id)

    def subscriptions(self) -> tuple[str, ...]:
        """One filter a node: the sequence runs over all of its messages."""
        return tuple(f"{node.namespace}/{node.group}/+/{node.name}/#" for node in self._nodes.values())

    def owner(self, topic: str) -> tuple[str, ...]:
        """All devices of the node: a message that cannot be read is a hole in its sequence."""
        node = self._node(topic.split("/"))
        return tuple(name for names in node.devices.values() for name in names) if node is not None else ()

    def _node(self, parts: list[str]) -> _Node | None:
        if len(parts) not in (4, 5) or parts[2] not in _KINDS or (parts[2][0] == "D") != (len(parts) == 5):
            return None
        node = self._nodes.get((parts[1], parts[3]))
        return node if node is not None and node.namespace == parts[0] else None

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """One message of a node."""
        parts = topic.split("/")
        node = self._node(parts)
        if node is None:
            return None
        if retained:
            return ()
        kind, device = parts[2], parts[4] if len(parts) == 5 else ""
        node.heard = True
        try:
            content = decode_sparkplug(payload)
        except PeerGarbled as problem:
            return self._broken(node, f"a message cannot be read: {problem}", now)
        if kind == "NDEATH":
            return self._node_death(node, content)
        if kind == "NBIRTH":
            return self._node_birth(node, content, now)
        said: list[Saying] = []
        if node.born and content.seq != (node.seq + 1) % 256:
            said += self._broken(node, f"sequence {content.seq} after {node.seq}: something was missed", now)
        elif not node.born:
            said += self._ask(node, now, REBIRTH_EVERY_US)
        elif content.seq is not None:
            node.seq = content.seq
        if kind == "DDEATH":
            node.born_devices.discard(device)
            return [*said, *(Gone(name, "it told its own death") for name in node.devices.get(device, ()))]
        if kind == "DBIRTH" and node.born:
            self._learn(node, device, content)
            node.born_devices.add(device)
        elif kind == "DDATA" and node.born and device not in node.born_devices:
            said += self._ask(node, now, REBIRTH_EVERY_US)
        return [*said, *self._tell(node, device, content)]

    def _node_birth(self, node: _Node, content: SparkplugPayload, now: Now) -> Sequence[Saying]:
        if content.seq is None:
            return self._broken(node, "a birth without a sequence number", now)
        node.aliases, node.types, node.born_devices = {}, {}, set()
        node.born, node.seq, node.birth_us = True, content.seq, now.mono_us
        node.birth_number = _birth_number(content)
        self._learn(node, "", content)
        return self._tell(node, "", content)

    def _node_death(self, node: _Node, content: SparkplugPayload) -> Sequence[Saying]:
        number = _birth_number(content)
        if node.born and node.birth_number is not None and number != node.birth_number:
            return ()  # the will of an earlier session: this one lives
        node.born = False
        return [Gone(name, "its edge node's last will") for names in node.devices.values() for name in names]

    def _learn(self, node: _Node, device: str, content: SparkplugPayload) -> None:
        for metric in content.metrics:
            if metric.name:
                node.types[device, metric.name] = metric.datatype
                if metric.alias is not None:
                    node.aliases[metric.alias] = (device, metric.name)

    def _tell(self, node: _Node, device: str, content: SparkplugPayload) -> list[Saying]:
        ours = node.devices.get(device, ())
        said: list[Saying] = []
        document: dict[str, object] = {}
        for metric in content.metrics:
            name = self._name(node, device, metric)
            if not name:
                continue
            value = metric.value
            if metric.datatype == UNKNOWN:
                value = typed(value, node.types.get((device, name), UNKNOWN))
            found = _NULL if value is None else value
            if metric.historical:
                at_us = metric.timestamp_ms * 1000
                said += [Told(own, {name: found}, at_us=at_us, history=True) for own in ours]
            else:
                document[name] = found
        if document:
            said += [Told(own, document) for own in ours]
        if node.born:
            said += [Alive(own, holds=True) for of, names in node.devices.items()
                     if not of or of in node.born_devices for own in names]
        return said

    def _name(self, node: _Node, device: str, metric: Metric) -> str:
        if metric.name or metric.alias is None or not node.born:
            return metric.name
        of, name = node.aliases.get(metric.alias, ("", ""))
        return name if of == device else ""

    def _broken(self, node: _Node, why: str, now: Now) -> list[Saying]:
        node.born = False
        gone = [Gone(name, why) for names in node.devices.values() for name in names]
        return [*gone, *self._ask(node, now, REBIRTH_EVERY_US)]

    def _ask(self, node: _Node, now: Now, every_us: int) -> list[Saying]:
        if node.asked_us is not None and now.mono_us - node.asked_us < every_us:
            return []
        node.asked_us = now.mono_us
        ask = SparkplugPayload((Metric("Node Control/Rebirth", datatype=BOOLEAN, value=True),),
                               timestamp_ms=now.wall_us // 1000)
        return [Publish(f"{node.namespace}/{node.group}/NCMD/{node.name}", encode_sparkplug(ask))]

    def look(self, now: Now) -> Sequence[Saying]:
        """Ask nodes whose birth we have not heard; miss devices whose birth did not follow."""
        said: list[Saying] = []
        for node in self._nodes.values():
            if not node.born:
                said += self._ask(node, now, REBIRTH_EVERY_US if node.heard else FIRST_ASK_EVERY_US)
            elif now.mono_us - node.birth_us > BIRTH_WAIT_US:
                said += [Gone(name, "its edge node was born without it") for device, names in node.devices.items()
                         if device and device not in node.born_devices for name in names]
        return said

    def line_down(self) -> None:
        """Births may have been missed: each node is asked for its own again."""
        for node in self._nodes.values():
            node.born, node.asked_us = False, None

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """NCMD or DCMD with the metric's own type."""
        namespace, group, name, device = _parts(entry)
        node = self._nodes[group, name]
        steps = parse_path(spec.payload.path) if spec.payload is not None else ()
        if len(steps) != 1 or not isinstance(steps[0], str):
            raise LocalFault(f"{entry.device.id}.{spec.id}: its path names no metric")
        boolean = QUANTITIES[spec.quantity].boolean
        datatype = node.types.get((device, steps[0])) or (BOOLEAN if boolean else DOUBLE)
        own = as_number(own_value(spec, value))
        if isinstance(own, bool) and datatype != BOOLEAN:
            own = int(own)
        metric = Metric(steps[0], datatype=datatype, value=own, timestamp_ms=now.wall_us // 1000)
        try:
            payload = encode_sparkplug(SparkplugPayload((metric,), timestamp_ms=now.wall_us // 1000))
        except (ValueError, TypeError, OverflowError) as problem:
            raise LocalFault(f"{entry.device.id}.{spec.id}: {problem}") from problem
        tail = f"DCMD/{name}/{device}" if device else f"NCMD/{name}"
        return Publish(f"{namespace}/{group}/{tail}", payload)


def _birth_number(content: SparkplugPayload) -> int | None:
    found = next((metric.value for metric in content.metrics if metric.name == "bdSeq"), None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _parts(entry: LineDevice) -> tuple[str, str, str, str]:
    parts = base_of(entry).split("/")
    if len(parts) not in (3, 4) or not all(parts):
        raise ValueError(f"{entry.device.id}: its address is GROUP/NODE or GROUP/NODE/DEVICE")
    return parts[0], parts[1], parts[2], parts[3] if len(parts) == 4 else ""
