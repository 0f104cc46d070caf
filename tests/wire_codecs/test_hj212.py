"""HJ 212 against every packet that the reference verified, and against a hostile stream."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.errors import PeerGarbled
from wire_codecs.hj212 import (
    AREA_MAX,
    PACKET_MAX,
    Edition,
    Packet,
    PacketReader,
    RefusedPacket,
    decode_packet,
    decode_segment,
    encode_packet,
    factors_of,
    instant_text,
    instant_us,
    split,
)
from wire_codecs.hj212_cipher import decrypt_with, encrypt_with

GOLDEN = Path(__file__).parents[1] / "golden" / "frames" / "hj212.txt"
ROWS = [line.split(" ", 1) for line in GOLDEN.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")]
GOOD = [text.encode() for verdict, text in ROWS if verdict == "ok"]
BAD = [text.encode() for verdict, text in ROWS if verdict == "bad"]
CIPHERS = [bytes.fromhex(text) for verdict, text in ROWS if verdict == "cipher"]
BAD_SUMS = ("4980, should be 3C00", "48C0, should be BC81")
MN = "010000A8900016F000169DC0"
KEY = b"0" * 16


def golden(part: str) -> Packet:
    (octets,) = [text for text in GOOD if part.encode() in text]
    return decode_packet(octets)


@pytest.mark.parametrize("octets", GOOD, ids=lambda octets: octets[2:46].decode())
def test_a_golden_packet_is_taken_and_written_back(octets: bytes) -> None:
    packet = decode_packet(octets)
    assert packet == decode_packet(octets + b"\r\n")
    assert packet.mn and packet.cn and packet.st
    again = packet
    if b"Flag=7" in octets:  # this station sets bit 1 without PNUM: taken, but not written so
        with pytest.raises(ValueError, match="bit 1"):
            encode_packet(packet)
        again = msgspec.structs.replace(packet, flag=5)
    written = encode_packet(again)
    assert decode_packet(written) == again
    if again is packet:
        head, tail = octets[:-4], octets[-4:]
        assert written == head + tail.upper() + b"\r\n"


@pytest.mark.parametrize(("octets", "right"), list(zip(BAD, BAD_SUMS, strict=True)))
def test_a_bad_packet_of_the_reference_is_refused_with_the_reason(octets: bytes, right: str) -> None:
    with pytest.raises(PeerGarbled, match=f"CRC {right}"):
        decode_packet(octets)
    assert PacketReader().feed(octets + b"\r\n") == (RefusedPacket(f"CRC {right}", octets),)


def test_commands_and_answers_of_the_2017_annex() -> None:
    request = golden("CN=1062")
    assert request == Packet("20160801085857223", "32", "1062", "100000", MN, 5, area=((("RtdInterval", "30"),),))
    assert request.wants_answer and request.edition == Edition.HJ_2017
    assert golden("CN=1000").field("ReCount") == "3" and golden("CN=2081").field("RestartTime") == "20160801085624"
    start = golden("20160801085857223;ST=32;CN=2011")
    assert start.answer("9011", (("QnRtn", "1"),)) == golden("CN=9011")
    assert start.answer("9012", (("ExeRtn", "1"),)) == golden("CN=9012")
    assert start.answer("9013") == golden("CN=9013") and start.answer("9014") == golden("CN=9014")


def test_an_answer_keeps_the_edition() -> None:
    answer = golden("CN=1011").answer("9014")
    assert answer.flag == 8 and answer.edition == Edition.HJ_2025 and not answer.wants_answer


def test_noise_factors() -> None:
    assert [(f.code, f.values, f.flag) for f in factors_of(golden("LA-Rtd=50.1"))] == [("LA", {"Rtd": "50.1"}, "")]
    minute = {f.code: f.values["Data"] for f in factors_of(golden("ST=23;CN=2051"))}
    assert minute == {"L5": "53.0", "L10": "53.0", "L50": "49.0", "L90": "45.0", "L95": "43.0", "Leq": "50.0",
                      "LMx": "54.0", "LMn": "42.0"}


def test_air_factors_with_flags() -> None:
    found = {f.code: f for f in factors_of(golden("MN=JLYP01_AIR01_0001"))}
    assert found["a21005"].values == {"Avg": "0.427"} and found["a34004"].flag == "N" and len(found) == 11


def test_the_fields_typos_are_understood() -> None:
    found = {f.code: f for f in factors_of(golden("LA-td=50.1"))}
    assert found["LA"].values == {"Rtd": "50.1"} and found["LA"].flag == "N" and len(found) == 9
    segment = b"ST=39;CN=2011;MN=1;CP=&&LA-Rtd-Rtd=71.0,LA-Rtd-Flag=N&&"
    (factor,) = factors_of(decode_segment(segment))
    assert (factor.code, factor.values, factor.flag) == ("LA", {"Rtd": "71.0"}, "N")


def test_old_stations_without_qn_and_flag() -> None:
    packet = golden("ele01-Rtd=1")
    assert packet.qn == "" and packet.flag is None and packet.edition == Edition.HJ_2005 and not packet.wants_answer
    assert instant_us(packet.field("DataTime")) == 1_614_875_897_000_000
    inside = decode_segment(b"ST=32;CN=2011;MN=1;CP=&&QN=20160801085857223;011-Rtd=1&&")
    assert inside.qn == "20160801085857223"


@pytest.mark.parametrize(("text", "us"), [
    ("20160801085857", 1_470_013_137_000_000), ("20160801085857223", 1_470_013_137_223_000),
    ("20161301085857", None), ("2016080108585", None), ("", None), ("2016080108585x", None), ("²0160801085857", None),
])
def test_instants_are_local_time(text: str, us: int | None) -> None:
    assert instant_us(text) == us
    if us is not None:
        assert instant_text(us, milliseconds=len(text) == 17) == text


# -- 2025 encryption ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_annex_a2_of_2025_is_enciphered_and_deciphered(number: int) -> None:
    plain = [text for text in GOOD if b"CN=2051" in text and b"Flag=9" in text][number]
    packet = decode_packet(plain)
    sent = encode_packet(packet, partial(encrypt_with, KEY))
    at = sent.index(b"CP=&&") + 5
    assert sent[at:at + len(CIPHERS[number])] == CIPHERS[number]
    assert sent[-6:-2] == plain[-4:] and sent[:6] == plain[:6]  # length and CRC are of the plain text
    assert decode_packet(sent, partial(decrypt_with, KEY)) == packet
    assert decode_packet(plain, partial(decrypt_with, KEY)) == packet  # plain is still taken
    with pytest.raises(PeerGarbled, match="CRC"):
        decode_packet(sent)
    with pytest.raises(PeerGarbled, match="CRC"):
        decode_packet(sent, partial(decrypt_with, b"1" * 16))


def test_cipher_text_that_looks_like_a_tail_is_framed_by_length() -> None:
    def looks_like_a_tail(blocks: bytes) -> bytes:
        return bytes(byte ^ mask for byte, mask in zip(blocks, b"&&\r\n##00" * 200, strict=False))

    packet = golden("MN=JLYP01_AIR01_0001")
    sent = encode_packet(packet, looks_like_a_tail)
    reader = PacketReader(looks_like_a_tail)
    assert [p for byte in sent for p in reader.feed(bytes((byte,)))] == [packet] and reader.dropped == 0


# -- as a stream -------------------------------------------------------------------------------------------------

STREAM = b"".join(octets + b"\r\n" for octets in GOOD)
EXPECTED = tuple(decode_packet(octets) for octets in GOOD)


@pytest.mark.parametrize("step", [1, 2, 9, 97, 1000, len(STREAM)])
def test_packets_come_out_whole_in_pieces_and_byte_by_byte(step: int) -> None:
    reader = PacketReader()
    found = [packet for at in range(0, len(STREAM), step) for packet in reader.feed(STREAM[at:at + step])]
    assert tuple(found) == EXPECTED and reader.dropped == 0


def test_garbage_and_missing_line_ends_cost_no_packet() -> None:
    reader = PacketReader()
    found = reader.feed(b"hello" + GOOD[0] + GOOD[1] + b"\r\n\r\n" + GOOD[2] + b"trailing")
    assert found == EXPECTED[:3] and reader.dropped == len(b"hellotrailing")


@pytest.mark.parametrize("at", range(len(GOOD[0])))
def test_a_garbled_byte_anywhere_never_gives_a_wrong_packet(at: int) -> None:
    octets = bytearray(GOOD[0])
    octets[at] ^= 0x03
    reader = PacketReader()
    found = [*reader.feed(bytes(octets) + b"\r\n" + GOOD[1] + b"\r\n"), *reader.give_up()]
    assert [packet for packet in found if isinstance(packet, Packet)] == [EXPECTED[1]]


def test_a_packet_that_never_ends_does_not_hold_up_the_next() -> None:
    reader = PacketReader()
    assert reader.feed(b"##9999QN=1;" + GOOD[0] + b"\r\n") == ()
    refused, packet = reader.give_up()
    assert isinstance(refused, RefusedPacket) and "did not end" in refused.reason and packet == EXPECTED[0]


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"##", b"##0010", b"\r\n", *GOOD, *BAD]) | st.binary(max_size=60), max_size=25))
def test_a_hostile_stream_is_bounded_and_never_raises(pieces: list[bytes]) -> None:
    reader = PacketReader()
    for piece in pieces:
        for found in reader.feed(piece):
            assert isinstance(found, Packet) or found.reason
        assert len(reader) <= 2 * PACKET_MAX
    while len(reader):
        reader.give_up()
    assert len(reader) == 0


@given(st.binary(max_size=300))
def test_any_segment_decodes_or_is_refused(segment: bytes) -> None:
    for octets in (segment, b"CN=2011;CP=&&" + segment + b"&&"):
        try:
            packet = decode_segment(octets)
        except PeerGarbled as problem:
            assert str(problem)
        else:
            assert packet.cn and isinstance(factors_of(packet), tuple)


NAMES = st.from_regex(r"[a-z][0-9]{5}-(Rtd|Avg|Min|Max|Cou)", fullmatch=True)
TEXTS = st.from_regex(r"-?[0-9]{1,6}(\.[0-9]{1,4})?", fullmatch=True) | st.sampled_from(["N", "D", "走廊"])
GROUPS = st.lists(st.lists(st.tuples(NAMES, TEXTS), min_size=1, max_size=4).map(tuple), max_size=20).map(tuple)
PACKETS = st.builds(
    Packet, st.just("20240520210700000"), st.sampled_from(["22", "39", "91"]), st.sampled_from(["2011", "2051"]),
    st.just("123456"), st.just(MN), st.sampled_from([None, 4, 5, 8, 9]), st.none(), st.none(), GROUPS)


@given(PACKETS)
def test_round_trip_whole_or_split(packet: Packet) -> None:
    stamped = msgspec.structs.replace(packet, area=((("DataTime", "20240520210600"),), *packet.area))
    parts = split(stamped)
    again = [decode_packet(encode_packet(part)) for part in parts]
    assert tuple(again) == parts
    assert sum((part.area[1:] for part in again), ()) == packet.area
    if len(parts) > 1:
        assert [(part.pnum, part.pno) for part in parts] == [(len(parts), n) for n in range(1, len(parts) + 1)]
        assert all(part.flag is not None and part.flag & 2 for part in parts)


@pytest.mark.parametrize(("packet", "reason"), [
    (Packet("", "22", "2011", "", MN, area=((("a34004-Rtd", "1;2"),),)), "cannot be written"),
    (Packet("", "22", "2011", "", MN, area=((("a 1", "1"),),)), "cannot be written"),
    (Packet("", "22", "2011", "", MN, 4, 2, 1), "bit 1"),
    (Packet("", "22", "2011", "", MN, area=((("a34004-Rtd", "1" * AREA_MAX),),)), "split it"),
])
def test_packets_that_the_standard_does_not_allow_are_not_built(packet: Packet, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        encode_packet(packet)


@pytest.mark.parametrize(("octets", "reason"), [
    (b"", "##"), (b"##12", "four digits"), (b"##00x1", "four digits"), (b"##0005ab", "hex digits"),
    (GOOD[0] + b"xx", "length makes"), (b"##0003abc" + b"zzzz", "hex digits"),
])
def test_what_is_no_packet_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(PeerGarbled, match=reason):
        decode_packet(octets)


@pytest.mark.parametrize(("segment", "reason"), [
    (b"ST=22;CN=2011", "no data area"), (b"CN=2011;CP=&&a=1", "does not end"), (b"ST=22;CP=&&&&", "no command"),
    (b"CN=2011;CP=&&a=1\0&&", "control"), (b"CN=2011;Flag=256;CP=&&&&", "Flag=256"),
    (b"CN=2011;Flag=x;CP=&&&&", "Flag=x"),
])
def test_segments_without_what_they_need_are_refused(segment: bytes, reason: str) -> None:
    with pytest.raises(PeerGarbled, match=reason):
        decode_segment(segment)
