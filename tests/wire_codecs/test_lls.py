"""LLS frames: those that two makers and two listeners on real buses print, every refusal, and no bytes do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire_codecs.lls import (
    LevelReading,
    crc8_dallas,
    cut_reading,
    parse_reading,
    parse_request,
    read_request,
    reading_frame,
)

# AoooG's page (31 01, its answer, and 31 FF of its test program), and a capture on a bus with two probes.
PRINTED = ("31 01 06 6c", "3e 01 06 21 96 00 a7 e7 fd", "31 ff 06 29", "31 00 06 a8", "3e 01 06 00 00 00 00 00 ca",
           "3e 00 06 e4 5c 3e 00 00 d2", "3e 00 06 00 00 00 00 00 f7")
READINGS = st.builds(LevelReading, st.integers(0, 254), st.integers(-128, 127), st.integers(0, 65535),
                     st.integers(0, 65535), st.booleans())


@pytest.mark.parametrize("printed", PRINTED)
def test_printed_frames_have_this_checksum(printed: str) -> None:
    frame = bytes.fromhex(printed)
    assert crc8_dallas(frame[:-1]) == frame[-1]


def test_the_makers_frame_means_what_its_page_says() -> None:
    assert read_request(1) == bytes.fromhex("31 01 06 6c") and parse_request(read_request(1)) == 1
    assert read_request(0) == bytes.fromhex("31 00 06 a8")
    reading = parse_reading(bytes.fromhex("3e 01 06 21 96 00 a7 e7 fd"))
    assert reading == LevelReading(1, 33, 150, 59303)
    assert parse_reading(bytes.fromhex("3e 00 06 e4 5c 3e 00 00 d2")) == LevelReading(0, -28, 0x3E5C, 0)


@given(READINGS)
def test_both_roles_agree(reading: LevelReading) -> None:
    assert parse_reading(reading_frame(reading)) == reading


@pytest.mark.parametrize(("frame", "why"), [
    ("3e 01 06 21 96 00 a7 e7 fc", "checksum"), ("3e 01 06 21 96 00 a7 fd", "8 bytes"), ("31 01 06 6c", "4 bytes"),
    ("3f 01 06 21 96 00 a7 e7 fd", "no reading"), ("3e 01 41 21 96 00 a7 e7 fd", "no reading"), ("", "0 bytes")])
def test_what_is_no_reading(frame: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_reading(bytes.fromhex(frame))


@pytest.mark.parametrize("frame", ["31 01 06 6d", "31 01 07 6c", "3e 01 06 6c", "31 01 06", ""])
def test_what_is_no_request(frame: str) -> None:
    with pytest.raises(ValueError, match="no request"):
        parse_request(bytes.fromhex(frame))


@pytest.mark.parametrize("address", [-1, 255, 1000])
def test_no_question_goes_to_all(address: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        read_request(address)


@given(st.binary(max_size=12).filter(lambda noise: 0x3E not in noise), READINGS, st.binary(max_size=20))
def test_a_reading_is_found_behind_noise(noise: bytes, reading: LevelReading, after: bytes) -> None:
    assert cut_reading(noise + reading_frame(reading) + after) == (reading, after)


@given(READINGS, st.integers(0, 8))
def test_a_reading_may_come_in_pieces(reading: LevelReading, at: int) -> None:
    whole = reading_frame(reading)
    found, rest = cut_reading(whole[:at])
    if found is None:
        assert cut_reading(rest + whole[at:])[0] == reading


@given(st.binary(max_size=60))
def test_any_bytes(octets: bytes) -> None:
    reading, rest = cut_reading(octets)
    assert len(rest) <= len(octets)
    assert reading is None or reading_frame(reading) in octets


@given(READINGS, st.integers(0, 8), st.integers(0, 7))
def test_no_flipped_bit_is_a_reading(reading: LevelReading, at: int, bit: int) -> None:
    bent = bytearray(reading_frame(reading))
    bent[at] ^= 1 << bit
    with pytest.raises(ValueError, match=r"."):
        parse_reading(bytes(bent))
