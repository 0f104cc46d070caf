"""What is packed is given back; what lies about its size, or grows without end, is refused before it is held."""

from __future__ import annotations

import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.messages import (
    BATCH_BYTES_MAX,
    WIRE_VERSION,
    Batch,
    HeartbeatRecord,
    Lane,
    Record,
    decode_batch,
    encode,
)
from device_model.packing import PACK_FROM_BYTES, packed, unpacked

BATCH = Batch(WIRE_VERSION, "gw-1", "e1", Lane.TELEMETRY, tuple(
    Record(n, n, n, "b", HeartbeatRecord(n, {"telemetry": ("e1", n)})) for n in range(1, 200)))


def head(**fields: object) -> bytes:
    return msgspec.json.encode({"v": 1, "packed": "deflate", "bytes": 5} | fields) + b"\n"


@given(st.binary(max_size=5000))
def test_whatever_is_packed_comes_back(payload: bytes) -> None:
    # No message of ours begins as a packed one does.
    assert payload.startswith(b'{"v":1,"packed":') or unpacked(packed(payload), 5000) == payload


def test_a_batch_is_a_fraction_of_itself_and_reads_the_same() -> None:
    plain = encode(BATCH)
    small = packed(plain)
    assert len(small) < len(plain) / 4 and small.startswith(b'{"v":1,"packed":"deflate","bytes":')
    assert decode_batch(small) == decode_batch(plain) == BATCH


def test_what_does_not_gain_is_left_as_it_is() -> None:
    assert packed(b"{}") == b"{}"
    noise = bytes(zlib.crc32(bytes([n % 256, n // 256])) % 256 for n in range(PACK_FROM_BYTES * 2))
    assert packed(noise) == noise


STREAM = zlib.compress(b"hello")


@pytest.mark.parametrize(("payload", "what"), [
    (head() + STREAM[:-3], "does not hold"),
    (head() + STREAM + b"more", "does not hold"),
    (head(bytes=4) + STREAM, "does not hold"),
    (head(bytes=6) + STREAM, "does not hold"),
    (head(bytes=0) + STREAM, "the bound"),
    (head(bytes=-1) + STREAM, "the bound"),
    (head(bytes=BATCH_BYTES_MAX + 1) + STREAM, "the bound"),
    (head(packed="zstd") + STREAM, "unpacks deflate"),
    (head() + b"\x00" * 20, "does not unpack"),
    (head(more=1) + STREAM, "more"),
    (b'{"v":1,"packed":"deflate","bytes":5}' + STREAM[:1] * 200, "first line"),
    (b'{"v":1,"packed":"deflate",\n', "truncated"),
])
def test_what_is_wrong_is_refused_in_words(payload: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        unpacked(payload, BATCH_BYTES_MAX)


def test_a_bomb_is_never_held() -> None:
    """64 MiB of nothing in 64 KiB: refused, and not a tenth of it was held meanwhile."""
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    assert len(bomb) < BATCH_BYTES_MAX
    tracemalloc.start()
    for stated in (5, BATCH_BYTES_MAX):
        with pytest.raises(ValueError, match="does not hold"):
            decode_batch(head(bytes=stated) + bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@given(st.binary(max_size=300))
def test_no_tail_of_a_head_does_more_than_refuse(tail: bytes) -> None:
    try:
        plain = unpacked(head() + tail, 1000)
    except ValueError:
        return
    assert len(plain) == 5
