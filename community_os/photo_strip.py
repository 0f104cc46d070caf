"""A picture from the scene without what nobody needs (pure): JPEG in, JPEG out, with time and place read off.

    SOI  APP0  APP1(Exif: maker, serial, thumbnail, time, place)  COM  DQT … SOS … EOI
    SOI  APP0                                                          DQT … SOS … EOI   and taken_us, latitude, …

Faces are not looked for; the picture itself is kept as it is.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import msgspec

_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9
_APP0, _APP1, _APP14, _COM = 0xE0, 0xE1, 0xEE, 0xFE
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
SEGMENTS_MAX = 500
ENTRIES_MAX = 200
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}


class StrippedPhoto(msgspec.Struct, frozen=True):
    """taken_us: by the camera's clock, taken as UTC where it names no offset; 0 where it says nothing."""

    body: bytes
    taken_us: int = 0
    latitude: float | None = None
    longitude: float | None = None


def strip_photo(body: bytes) -> StrippedPhoto:
    """The same picture with no metadata but what it needs to be drawn. Raises ValueError: no JPEG."""
    if body[:2] != b"\xff\xd8":
        raise ValueError("the picture is no JPEG")
    kept, at, exif = [b"\xff\xd8"], 2, b""
    for _ in range(SEGMENTS_MAX):
        marker, length = _segment(body, at)
        if marker in _ALONE:
            at += 2
            continue
        if marker == _SOS:
            end = body.rfind(b"\xff\xd9")
            if end < at:
                raise ValueError("the picture ends too early")
            kept.append(body[at:end + 2])  # what somebody appended after its end goes, too
            taken_us, latitude, longitude = _facts(exif)
            return StrippedPhoto(b"".join(kept), taken_us, latitude, longitude)
        segment = body[at:at + 2 + length]
        if marker == _APP1 and segment[4:10] == b"Exif\0\0" and not exif:
            exif = segment[10:]
        if marker in (_APP0, _APP14) or not (0xE0 <= marker <= 0xEF or marker == _COM):
            kept.append(segment)
        at += 2 + length
    raise ValueError("the picture has too many parts")


def _segment(body: bytes, at: int) -> tuple[int, int]:
    if at + 4 > len(body) or body[at] != 0xFF:
        raise ValueError("the picture is damaged")
    marker = body[at + 1]
    if marker in _ALONE:
        return marker, 0
    if marker in (0xFF, 0x00, _SOI, _EOI):
        raise ValueError("the picture is damaged")
    length = int.from_bytes(body[at + 2:at + 4], "big")
    if length < 2 or at + 2 + length > len(body):
        raise ValueError("the picture is damaged")
    return marker, length


def _facts(exif: bytes) -> tuple[int, float | None, float | None]:
    """Time and place; what does not fit is not there."""
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        first = _directory(exif, order, struct.unpack_from(f"{order}I", exif, 4)[0])
        inner = _directory(exif, order, _number(first.get(0x8769))) if 0x8769 in first else {}
        place = _directory(exif, order, _number(first.get(0x8825))) if 0x8825 in first else {}
    except (KeyError, struct.error, ValueError):
        return 0, None, None
    latitude = _degrees(place.get(2), place.get(1), 90)
    longitude = _degrees(place.get(4), place.get(3), 180)
    if latitude is None or longitude is None:
        latitude = longitude = None
    return _time(inner.get(0x9003) or first.get(0x0132), inner.get(0x9011)), latitude, longitude


def _directory(exif: bytes, order: str, at: int) -> dict[int, bytes | tuple[float, ...]]:
    """Tag → text, or numbers. Raises ValueError, struct.error."""
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    if count > ENTRIES_MAX:
        raise ValueError("too many entries")
    found: dict[int, bytes | tuple[float, ...]] = {}
    for i in range(count):
        entry = at + 2 + 12 * i
        tag, kind, many = struct.unpack_from(f"{order}HHI", exif, entry)
        size = _SIZES.get(kind, 0) * many
        if not 0 < size <= 256:
            continue
        start = entry + 8 if size <= 4 else struct.unpack_from(f"{order}I", exif, entry + 8)[0]
        value = exif[start:start + size]
        if len(value) == size:
            found[tag] = value if kind in (1, 2, 7) else _numbers(value, order, kind, many)
    return found


def _numbers(value: bytes, order: str, kind: int, many: int) -> tuple[float, ...]:
    if kind in (5, 10):
        code = "I" if kind == 5 else "i"
        pairs = struct.unpack(f"{order}{2 * many}{code}", value)
        return tuple(top / bottom if bottom else 0.0 for top, bottom in zip(pairs[::2], pairs[1::2], strict=True))
    code = {3: "H", 4: "I", 9: "i"}[kind]
    return tuple(float(number) for number in struct.unpack(f"{order}{many}{code}", value))


def _number(value: bytes | tuple[float, ...] | None) -> int:
    if not isinstance(value, tuple) or not value:
        raise ValueError("no offset")
    return int(value[0])


def _degrees(value: bytes | tuple[float, ...] | None, side: bytes | tuple[float, ...] | None, most: float
             ) -> float | None:
    if not isinstance(value, tuple) or len(value) != 3 or not isinstance(side, bytes) or side[:1] not in b"NSEW":
        return None
    degrees = value[0] + value[1] / 60 + value[2] / 3600
    if not 0 <= degrees <= most or side[:1] == b"":
        return None
    return -degrees if side[:1] in (b"S", b"W") else degrees


def _time(value: bytes | tuple[float, ...] | None, offset: bytes | tuple[float, ...] | None) -> int:
    if not isinstance(value, bytes):
        return 0
    zone = offset.rstrip(b"\0").decode("ascii", "replace") if isinstance(offset, bytes) else "+00:00"
    text = value.rstrip(b"\0").decode("ascii", "replace")
    try:
        taken = datetime.strptime(f"{text} {zone.replace(':', '')}", "%Y:%m:%d %H:%M:%S %z")
        return max(0, round(taken.astimezone(UTC).timestamp() * 1e6))
    except (ValueError, OverflowError, OSError):
        return 0
