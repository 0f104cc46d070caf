"""Bounds (pure): what a gateway says, cut to what the cloud can keep. Nothing is refused for being too long.

A broken or hostile gateway must not reach beyond its own site: a time that no database column holds would stop the
whole partition at the store, and texts of a batch's size would outgrow the site's checkpoint. An alarm with such a
field is still an alarm (law 1), so the field is cut and the alarm taken.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from device_model.messages import Body, HeartbeatRecord, ReadingsRecord

S = TypeVar("S", bound=msgspec.Struct)
TEXT_MAX = 500  # characters; the longest text that a gateway of ours makes is a rule's detail of some 300
LIST_MAX = 100  # points of an alarm, ranges of a loss
NUMBER_MAX = 2**53 - 1  # what every reader of JSON keeps exactly, and well within a database's eight bytes


def bounded(body: Body) -> Body:
    """The body with every text, list and number within bounds. Readings and heartbeats, which are many and are not
    kept as they come, pass as they are."""
    return body if isinstance(body, ReadingsRecord | HeartbeatRecord) else _struct(body)


def _struct(value: S) -> S:
    changed = {name: kept for name in value.__struct_fields__
               if name != "readings" and (kept := _value(was := getattr(value, name))) is not was}
    return msgspec.structs.replace(value, **changed) if changed else value


def _value(value: Any) -> Any:
    """The very same object where nothing is cut. Enumerations are texts by kind, not by type."""
    if type(value) is str:
        return value if len(value) <= TEXT_MAX and "\0" not in value else value.replace("\0", " ")[:TEXT_MAX]
    if type(value) is int:
        return value if abs(value) <= NUMBER_MAX else NUMBER_MAX if value > 0 else -NUMBER_MAX
    if isinstance(value, tuple):
        kept = tuple(_value(part) for part in value[:LIST_MAX])
        return value if kept == value else kept
    return _struct(value) if isinstance(value, msgspec.Struct) else value
