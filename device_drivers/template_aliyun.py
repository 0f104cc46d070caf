"""Aliyun IoT thing model (TSL, Alink JSON). Pure.

    /sys/PK/DN/thing/event/property/post     {"id", "params": {"Power": {"value": 1, "time": 1524448722000}}, …}
    /sys/PK/DN/thing/event/EVENT/post        {"id", "params": {"value": {…}, "time": …}, …}
              …/post_reply                   what we answer, unless sys.ack is 0
    /sys/PK/DN/thing/service/property/set    what we send

address: PK/DN, base_topic: /sys/{address}. A property is a point without `topic:` whose path is its identifier; a
point of an event has `topic: event/IDENTIFIER`. Source: Aliyun IoT Platform documentation, "Device properties, events
and services".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from device_drivers.driver import LineDevice
from device_drivers.payload_forms import decode_json
from device_drivers.templates import PlainTemplate, Publish, Saying, Told, as_number, base_of, last_member, own_value
from device_model.clock import Now
from device_model.errors import PeerGarbled
from device_model.profile import ProfilePoint

MEMBERS_MAX = 500  # a thing model has at most 300 properties
_ID_MAX = 64
_TIME_MAX_MS = 1 << 53  # what a JSON number holds exactly


class AliyunTemplate(PlainTemplate):
    """The TSL devices of a line; we stand where the platform stood."""

    def __init__(self, entries: Sequence[LineDevice], now: Now) -> None:
        super().__init__(entries, now)
        self._bases = {base_of(entry): entry.device.id for entry in entries}

    def subscriptions(self) -> tuple[str, ...]:
        """Properties and events."""
        return tuple(f"{base}/thing/event/+/post" for base in self._bases)

    def take(self, topic: str, payload: bytes, retained: bool, now: Now) -> Sequence[Saying] | None:
        """One post."""
        base, middle, rest = topic.partition("/thing/event/")
        device = self._bases.get(base)
        name, slash, tail = rest.partition("/")
        if device is None or not middle or not slash or tail != "post":
            return None
        document = decode_json(payload)
        params = document.get("params") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(params, dict) or len(params) > MEMBERS_MAX:
            raise PeerGarbled("an Alink message has params")
        said: list[Saying] = []
        if name == "property":
            # Values of one moment go together; of another they have their own time.
            moments: dict[int | None, dict[str, object]] = {}
            for key, found in params.items():
                value, at_us = found, None
                if isinstance(found, dict) and "value" in found:
                    value, at_us = found["value"], _time_us(found.get("time"))
                moments.setdefault(at_us, {})[key] = value
            said += [Told(device, values, at_us=at_us, remembered=retained)
                     for at_us, values in sorted(moments.items(), key=lambda item: item[0] or 0)]
        else:
            said.append(Told(device, params.get("value", params), f"event/{name}", at_us=_time_us(params.get("time")),
                             remembered=retained))
        if not retained and _wants_answer(document):
            said.append(_reply(topic, name, document))
        return said

    def command(self, entry: LineDevice, spec: ProfilePoint, value: bool | float, now: Now) -> Publish:
        """Set one property. TSL's booleans are 0 and 1: profiles give `true_values: [1]`."""
        body = {"id": str(now.wall_us // 1000), "version": "1.0", "method": "thing.service.property.set",
                "params": {last_member(spec): as_number(own_value(spec, value))}}
        return Publish(f"{base_of(entry)}/thing/service/property/set", msgspec.json.encode(body))


def _time_us(found: object) -> int | None:
    if isinstance(found, bool) or not isinstance(found, int) or not 0 < found < _TIME_MAX_MS:
        return None
    return found * 1000


def _wants_answer(document: dict[str, object]) -> bool:
    system = document.get("sys")
    return not (isinstance(system, dict) and system.get("ack") == 0)


def _reply(topic: str, name: str, document: dict[str, object]) -> Publish:
    method = "thing.event.property.post" if name == "property" else f"thing.event.{name}.post"
    body = {"code": 200, "data": {}, "id": str(document.get("id", ""))[:_ID_MAX], "message": "success",
            "method": method, "version": "1.0"}
    return Publish(f"{topic}_reply", msgspec.json.encode(body))
