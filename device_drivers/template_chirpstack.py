"""ChirpStack v4 (LoRaWAN network server): its JSON events over MQTT. Pure.

    application/APP/device/DEV_EUI/event/up       object (decoded by its codec), data (base64), fCnt, rxInfo
                                  /event/join     the device starts anew
                                  /event/status   margin, batteryLevel
                                  /command/down   what we send

address: APP/DEV_EUI, base_topic: application/{address}. Points name the event in `topic:` (status, up, or up/2 for
uplinks on port 2 only), and stand in it by `path:` (object.temperature) or in its decoded data by `binary:`
(u16be@3). A hole in fCnt is told to people:
uplinks were lost on the air. Source: chirpstack.io/docs, "Integrations / MQTT", "Event types".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import decode_json, follow
from device_drivers.templates import (
    Note,
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
from device_model.errors import LocalFault, PeerGarbled
from device_model.profile import ProfilePoint
from device_model.site import Text

_EVENTS = ("up", "join", "status", "ack", "log")
DATA_MAX = 512  # bytes; LoRaWAN carries at most 242


class ChirpstackTemplate(PlainTemplate):
    """The LoRaWAN devices of a line."""

    def __init__(self, entries: Sequence[LineDevice], now: Now) -> None:
        super().__init__(entries, now)
        self._topics = {f"{_base(entry)}/event/{event}": (entry.device.id, event)
                        for entry in entries for event in _EVENTS}
        self._counts: dict[str, int] = {}

    def subscriptions(self) -> tuple[str, ...]:
        """Every event of every device."""
        return tuple(self._topics)

    def owner(self, topic: str) -> tuple[str, ...]:
        """The device of an uplink or status; the others carry no values."""
        device, event = self._topics.get(topic, ("", ""))
        return (device,) if event in ("up", "status") else ()

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """One event."""
        known = self._topics.get(topic)
        if known is None:
            return None
        device, event = known
        document = decode_json(payload)
        if not isinstance(document, dict):
            raise PeerGarbled("a ChirpStack event is an object")
        if event == "join":
            self._counts.pop(device, None)
            return () if retained else (Note(device, "joined", Text("the device joined the network", "设备已入网")),)
        if event == "log":
            told = not retained and document.get("level") in ("ERROR", "WARNING")
            return (_log_note(device, document),) if told else ()
        if event == "ack":
            return ()  # the radio took a downlink; what moved is told by an uplink (law 5)
        if event == "status":
            if document.get("batteryLevelUnavailable") or document.get("externalPowerSource"):
                document = {key: value for key, value in document.items() if key != "batteryLevel"}
            return (Told(device, document, event, remembered=retained),)
        said: list[Saying] = [] if retained else self._count(device, document)
        data, port = _data(document), document.get("fPort", 0)
        return [*said, *(Told(device, document, kind, data, remembered=retained) for kind in (event, f"up/{port}"))]

    def _count(self, device: str, document: dict[str, object]) -> list[Saying]:
        count = document.get("fCnt", 0)  # proto3 leaves out a zero
        if isinstance(count, bool) or not isinstance(count, int):
            return []
        before = self._counts.get(device)
        self._counts[device] = count
        missed = 0 if before is None else count - before - 1
        if missed <= 0:  # the same again, or a restart without a join
            return []
        return [Note(device, "uplinks_missed", Text(f"{missed} uplinks were lost before frame {count}",
                                                    f"第 {count} 帧之前丢失 {missed} 个上行包"))]

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """A downlink that ChirpStack's codec encodes: the object holds the last member of the point's path."""
        traits = entry.profile.mqtt
        device = entry.device.address.partition("/")[2]
        body = {"devEui": device, "confirmed": True, "fPort": traits.command_port if traits is not None else 1,
                "object": {last_member(spec): as_number(own_value(spec, value))}}
        return Publish(f"{_base(entry)}/command/down", msgspec.json.encode(body))


def _base(entry: LineDevice) -> str:
    prefix, _, device = base_of(entry).rpartition("/")
    if not prefix or not device:
        raise LocalFault(f"{entry.device.id}: its address is APPLICATION_ID/DEV_EUI")
    return f"{prefix}/device/{device}"


def _data(document: dict[str, object]) -> bytes | None:
    text = follow(("data",), document)
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise PeerGarbled("data is no base64") from problem
    if len(data) > DATA_MAX:
        raise PeerGarbled(f"{len(data)} bytes of data, more than {DATA_MAX}")
    return data


def _log_note(device: str, document: dict[str, object]) -> Note:
    said = str(document.get("description", document.get("code", "")))[:200]
    return Note(device, "network_log", Text(f"network server: {said}", f"网络服务器：{said}"))
