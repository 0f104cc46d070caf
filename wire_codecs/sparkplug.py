"""Sparkplug B payloads: protobuf bytes ↔ metrics. Pure, both roles, no protobuf library.

    Payload   1 timestamp · 2 metric … · 3 seq
    Metric    1 name · 2 alias · 3 timestamp · 4 datatype · 5 is_historical · 7 is_null · 9 properties
              10 int · 11 long · 12 float · 13 double · 14 boolean · 15 string    (one of)

Field numbers: Eclipse Sparkplug 3.0, 6.4.1 (sparkplug_b.proto). Data sets, templates and bytes are skipped: no point
stands in them. A protobuf reader skips fields that it does not know; so does this one, within bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from device_model.errors import PeerGarbled

PAYLOAD_MAX = 256 * 1024  # bytes; a birth of 5000 metrics with long names is about 200 KiB
METRICS_MAX = 5000
NAME_MAX = 400  # bytes
BOOLEAN, STRING, DOUBLE, UNKNOWN = 11, 12, 10, 0
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}  # Int8 … Int64 travel as two's complement in an unsigned field
_WHOLE_BITS = {5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
_GOOD_QUALITY = 192  # 0 is bad, 500 stale
MetricValue = bool | int | float | str | None


class Metric(msgspec.Struct, frozen=True):
    """One metric. name "" where only the alias came; datatype 0 where the birth told it. value None: null, of a kind
    that no point takes, or marked bad or stale by its device. timestamp_ms 0: none."""

    name: str = ""
    alias: int | None = None
    datatype: int = UNKNOWN
    value: MetricValue = None
    timestamp_ms: int = 0
    historical: bool = False


class SparkplugPayload(msgspec.Struct, frozen=True):
    """One message. seq None: it carries none (deaths, commands)."""

    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
    timestamp_ms: int = 0


def decode_sparkplug(payload: bytes) -> SparkplugPayload:
    """Bounded. PeerGarbled for what is no Sparkplug B payload."""
    if len(payload) > PAYLOAD_MAX:
        raise PeerGarbled(f"payload of {len(payload)} bytes, more than {PAYLOAD_MAX}")
    metrics: list[Metric] = []
    seq: int | None = None
    stamp = 0
    for field, value in _fields(payload):
        if field == 2 and isinstance(value, bytes):
            if len(metrics) >= METRICS_MAX:
                raise PeerGarbled(f"more than {METRICS_MAX} metrics")
            metrics.append(_metric(value))
        elif field == 3 and isinstance(value, int):
            if value > 255:
                raise PeerGarbled(f"seq {value} is not within 0..255")
            seq = value
        elif field == 1 and isinstance(value, int):
            stamp = value
    return SparkplugPayload(tuple(metrics), seq, stamp)


def typed(value: MetricValue, datatype: int) -> MetricValue:
    """The value by the type that the birth gave it: two's complement undone. None where it does not fit."""
    bits = _SIGNED_BITS.get(datatype)
    if value is None or (bits is None and datatype not in _WHOLE_BITS):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    if bits is None:
        return value if value < 1 << _WHOLE_BITS[datatype] else None
    if bits < 32 and value >= 1 << 31:  # negative numbers may come sign-extended to 32 bits
        value &= (1 << bits) - 1
    if value >= 1 << bits:
        return None
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


def encode_sparkplug(payload: SparkplugPayload) -> bytes:
    """The bytes of a payload; ValueError for a value that its datatype cannot carry."""
    parts = [_number(1, payload.timestamp_ms)] if payload.timestamp_ms else []
    parts += [_bytes(2, _encode_metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(_number(3, payload.seq))
    return b"".join(parts)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        if not field:
            raise PeerGarbled("protobuf field 0")
        if wire == 0:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise PeerGarbled(f"protobuf wire type {wire}")
        if length > len(data) - at:
            raise PeerGarbled(f"protobuf field {field} of {length} bytes runs over the end")
        yield field, data[at:at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:  # 64 bits need ten bytes
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
    raise PeerGarbled("protobuf number without end")


def _metric(data: bytes) -> Metric:
    name, alias, stamp, datatype = "", None, 0, UNKNOWN
    historical = null = False
    value: MetricValue = None
    for field, found in _fields(data):
        if isinstance(found, int):
            if field == 2:
                alias = found
            elif field == 3:
                stamp = found
            elif field == 4:
                datatype = found
            elif field == 5:
                historical = bool(found)
            elif field == 7:
                null = bool(found)
            elif field in (10, 11):
                value = found
            elif field == 14:
                value = bool(found)
        elif field == 1:
            name = _text(found, NAME_MAX)
        elif field == 9:
            null = null or _marked_bad(found)
        elif field == 12 and len(found) == 4:
            value = struct.unpack("<f", found)[0]
        elif field == 13 and len(found) == 8:
            value = struct.unpack("<d", found)[0]
        elif field == 15:
            value = _text(found, PAYLOAD_MAX)
    return Metric(name, alias, datatype, typed(None if null else value, datatype), stamp, historical)


def _marked_bad(properties: bytes) -> bool:
    """Whether the property `Quality` is there and says anything but good."""
    keys: list[str] = []
    values: list[int | None] = []
    for field, found in _fields(properties):
        if field == 1 and isinstance(found, bytes):
            keys.append(_text(found, NAME_MAX))
        elif field == 2 and isinstance(found, bytes):
            values.append(next((number for inner, number in _fields(found)
                                if inner in (3, 4) and isinstance(number, int)), None))
    return any(key.lower() == "quality" and value is not None and value != _GOOD_QUALITY
               for key, value in zip(keys, values, strict=False))


def _text(data: bytes, limit: int) -> str:
    if len(data) > limit:
        raise PeerGarbled(f"a text of {len(data)} bytes, more than {limit}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise PeerGarbled("a text that is no UTF-8") from problem


def _encode_metric(metric: Metric) -> bytes:
    parts = [_bytes(1, metric.name.encode())] if metric.name else []
    if metric.alias is not None:
        parts.append(_number(2, metric.alias))
    if metric.timestamp_ms:
        parts.append(_number(3, metric.timestamp_ms))
    if metric.datatype:
        parts.append(_number(4, metric.datatype))
    if metric.historical:
        parts.append(_number(5, 1))
    parts.append(_encode_value(metric.value, metric.datatype))
    return b"".join(parts)


def _encode_value(value: MetricValue, datatype: int) -> bytes:
    if value is None:
        return _number(7, 1)
    if isinstance(value, bool):
        return _number(14, int(value))
    if isinstance(value, str):
        return _bytes(15, value.encode())
    if datatype in _SIGNED_BITS or datatype in _WHOLE_BITS:
        bits = _SIGNED_BITS.get(datatype) or _WHOLE_BITS[datatype]
        low = -(1 << (bits - 1)) if datatype in _SIGNED_BITS else 0
        whole = int(value)
        if whole != value or not low <= whole < low + (1 << bits):
            raise ValueError(f"{value} does not fit datatype {datatype}")
        return _number(10 if bits <= 32 else 11, whole & (1 << bits) - 1)
    return bytes([12 << 3 | 5]) + struct.pack("<f", value) if datatype == 9 else (
        bytes([13 << 3 | 1]) + struct.pack("<d", value))


def _number(field: int, value: int) -> bytes:
    return _encode_varint(field << 3) + _encode_varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    return _encode_varint(field << 3 | 2) + _encode_varint(len(content)) + content


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
