"""Sparkplug B payloads against bytes written by hand from sparkplug_b.proto, and against everything else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.errors import PeerGarbled
from wire_codecs.sparkplug import Metric, SparkplugPayload, decode_sparkplug, encode_sparkplug

# 08 timestamp 1486144502122 (of the specification's examples); metric: name "T", alias 5, datatype 10, double 21.5.
HAND = bytes.fromhex("08 ea f2 f5 a8 a0 2b" "12 10 0a 01 54 10 05 20 0a 69 00 00 00 00 00 80 35 40" "18 02")


def test_a_payload_written_by_hand() -> None:
    assert decode_sparkplug(HAND) == SparkplugPayload((Metric("T", 5, 10, 21.5),), 2, 1486144502122)


@pytest.mark.parametrize(("octets", "value"), [
    ("20 01 50 ff 01", -1), ("20 01 50 ff ff ff ff 0f", -1), ("20 03 50 fe ff ff ff 0f", -2), ("20 05 50 ff 01", 255),
    ("20 04 58 ff ff ff ff ff ff ff ff ff 01", -1), ("20 0b 70 01", True), ("20 0b 70 00", False),
    ("20 0c 7a 02 6f 6b", "ok"), ("20 09 65 00 00 ac 41", 21.5), ("20 0b 38 01", None), ("20 05 50 80 02", None),
    # property "Quality" = 0 (bad): a value that its own device marks is no value
    ("20 0b 70 00 4a 11 0a 07 51 75 61 6c 69 74 79 12 06 08 03 18 00 10 00", None),
])
def test_values_by_type(octets: str, value: object) -> None:
    metric = bytes.fromhex("0a 01 54" + octets)
    (found,) = decode_sparkplug(bytes([0x12, len(metric)]) + metric).metrics
    assert found.value == value and type(found.value) is type(value)


@pytest.mark.parametrize("octets", ["12", "12 05 0a", "0b", "18 80 02", "12 03 0a 01 ff", "ff" * 11, "00"])
def test_what_is_no_payload_is_said(octets: str) -> None:
    with pytest.raises(PeerGarbled):
        decode_sparkplug(bytes.fromhex(octets))


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(payload: bytes) -> None:
    with contextlib.suppress(PeerGarbled):
        assert len(decode_sparkplug(payload).metrics) <= len(payload)


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 255))
def test_what_is_written_is_read(number: int, seq: int) -> None:
    rebirth = Metric("Node Control/Rebirth", datatype=11, value=True)
    payload = SparkplugPayload((rebirth, Metric("n", 7, 3, number)), seq)
    assert decode_sparkplug(encode_sparkplug(payload)) == payload
