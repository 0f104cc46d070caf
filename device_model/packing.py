"""Packing: a message made smaller for a metered link, and unpacked within a bound at the far end. Pure.

    {"v":1,"packed":"deflate","bytes":8123}\n  ··· zlib stream ···        what it is stands before what it holds

A payload without such a line is itself. The far end says in its acknowledgements what it can unpack (BatchAck.reads),
so that a gateway never packs for an ingest that is older than itself. A stream that yields more than it states, or
more than the bound, is refused before it is held.
"""

from __future__ import annotations

import zlib

import msgspec

PACKINGS = ("deflate",)
# Smaller messages gain nothing worth their line.
PACK_FROM_BYTES = 512
_HEAD = b'{"v":1,"packed":'
_HEAD_BYTES_MAX = 100
_LEVEL = 6  # 256 KiB in some 10 ms on a Pi; level 9 gains one percent


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    packed: str
    bytes: int


def packed(payload: bytes) -> bytes:
    """The payload packed, or as it is where that is not smaller."""
    if len(payload) < PACK_FROM_BYTES:
        return payload
    small = msgspec.json.encode(_Head(1, "deflate", len(payload))) + b"\n" + zlib.compress(payload, _LEVEL)
    return small if len(small) < len(payload) else payload


def unpacked(payload: bytes, most: int) -> bytes:
    """The payload that was packed; one that is not packed as it is. ValueError says what is wrong; never more than
    `most` bytes are held."""
    if not payload.startswith(_HEAD):
        return payload
    end = payload.find(b"\n", 0, _HEAD_BYTES_MAX)
    if end < 0:
        raise ValueError("a packed message without its first line")
    head = msgspec.json.decode(payload[:end], type=_Head)
    if head.packed not in PACKINGS:
        raise ValueError(f"packed as {head.packed[:20]!r}; this program unpacks {', '.join(PACKINGS)}")
    if not 0 < head.bytes <= most:
        raise ValueError(f"a packed message of {head.bytes} bytes; the bound is {most}")
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(payload[end + 1:], head.bytes)
    except zlib.error as error:
        raise ValueError(f"a packed message that does not unpack: {error}") from error
    if len(plain) != head.bytes or not stream.eof or stream.unused_data or stream.unconsumed_tail:
        raise ValueError(f"a packed message that does not hold the {head.bytes} bytes that it states")
    return plain
