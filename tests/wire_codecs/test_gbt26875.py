"""GB/T 26875.3 against every frame that the reference verified, and against a hostile stream."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.errors import PeerGarbled
from wire_codecs.gbt26875 import (
    FRAME_MAX,
    UNIT_MAX,
    Command,
    Frame,
    FrameReader,
    RefusedFrame,
    Stamp,
    decode_frame,
    encode_frame,
)
from wire_codecs.gbt26875_objects import (
    COMPONENT_BITS,
    UITD_BITS,
    Analog,
    AskUitd,
    ComponentConfiguration,
    ComponentState,
    Content,
    DutyCheck,
    Operation,
    Part,
    ReadComponent,
    ReadOperations,
    ReadSystem,
    SetClock,
    ShortSign,
    System,
    SystemConfiguration,
    SystemState,
    SystemTime,
    SystemVersion,
    UitdConfiguration,
    UitdOperation,
    UitdState,
    UitdTime,
    UitdVersion,
    Unread,
    decode_unit,
    encode_unit,
    flags_of,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "frames" / "gbt26875.txt"
ROWS = [line.split(" ", 2) for line in GOLDEN.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")]
FRAMES = {name: bytes.fromhex(octets) for name, _, octets in ROWS}
GOOD = sorted(name for name, verdict, _ in ROWS if verdict == "ok")
BAD = {"V": "checksum 30, should be 32"}

AT = Stamp(2, 58, 9, 26, 9, 12)  # 2012-09-26 09:58:02
FIRE_SYSTEM = System(1, 1)
UITD, CENTRE = 889, 88888
SENT, REPLIED = Stamp(32, 58, 9, 26, 9, 12), Stamp(35, 58, 9, 26, 9, 12)

# What each frame says, worked out by hand from the tables of the standard.
MEANING: dict[str, tuple[int, int, int, Command, tuple[Content, ...]]] = {
    "A": (1, UITD, CENTRE, Command.SEND, (ComponentState(Part(FIRE_SYSTEM, 0x0002000A), 40, 2, "", AT),)),
    "B": (1, CENTRE, UITD, Command.CONFIRM, (ShortSign(),)),
    "C": (1, CENTRE, UITD, Command.DENY, (ShortSign(),)),
    "D": (1, UITD, CENTRE, Command.SEND, (UitdState(0x08, AT),)),
    "E": (1, UITD, CENTRE, Command.SEND, (UitdOperation(0x20, 1, AT),)),
    "F": (1, UITD, CENTRE, Command.SEND, (UitdVersion(1, 1),)),
    "G": (1, UITD, CENTRE, Command.SEND, (UitdTime(AT),)),
    "H": (1, CENTRE, UITD, Command.REQUEST, (AskUitd(81),)),
    "I": (1, UITD, CENTRE, Command.REPLY, (UitdState(0x08, AT),)),
    "J": (1, UITD, CENTRE, Command.DENY, (ShortSign(),)),
    "K": (1, CENTRE, UITD, Command.REQUEST, (AskUitd(85),)),
    "L": (1, UITD, CENTRE, Command.REPLY, (UitdVersion(1, 1),)),
    "M": (1, CENTRE, UITD, Command.REQUEST, (AskUitd(88),)),
    "N": (1, UITD, CENTRE, Command.REPLY, (UitdTime(AT),)),
    "O": (1, CENTRE, UITD, Command.CONTROL, (AskUitd(89),)),
    "P": (1, UITD, CENTRE, Command.CONFIRM, (ShortSign(),)),
    "Q": (1, CENTRE, UITD, Command.CONTROL, (SetClock(AT),)),
    "R": (1, CENTRE, UITD, Command.CONTROL, (DutyCheck(10),)),
    "S": (0, 0, 0x010203040506, Command.SEND, (ComponentState(
        Part(System(1, 3), 0x000600D9), 0, 2, "Ａ区１层呷哺走廊", Stamp(48, 18, 19, 1, 8, 20)),)),
    "T": (0x09F8, 0, 0x1D6D0401A8C0, Command.SEND, (ShortSign(b"\x16"),)),
    "U": (0x69, 0, 0x1D6DD53C10AC, Command.SEND, (ShortSign(b"\x16"),)),
    "W": (0x1331, 0, 0x1D6D0401A8C0, Command.SEND, (UitdOperation(0x02, 0, Stamp(22, 15, 17, 3, 3, 22)),)),
    "X": (0x14, 0x322C312C, 0x238E91074D78, Command.SEND, (ComponentState(
        Part(FIRE_SYSTEM, 0x00010001), 42, 2, "1号航控板1回路1号号主机", Stamp(37, 17, 3, 1, 6, 12)),)),
}


def test_every_frame_of_the_reference_is_here() -> None:
    assert sorted(FRAMES) == [chr(code) for code in range(ord("A"), ord("X") + 1)]
    assert set(GOOD) | set(BAD) == set(FRAMES) and set(MEANING) == set(GOOD)


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"X"}))
def test_a_golden_frame_means_what_the_standard_says(name: str) -> None:
    frame = decode_frame(FRAMES[name])
    serial, source, destination, command, content = MEANING[name]
    assert (frame.serial, frame.source, frame.destination, frame.command) == (serial, source, destination, command)
    assert decode_unit(frame.unit) == content
    assert encode_frame(frame) == FRAMES[name]


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_frame_of_the_reference_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(PeerGarbled, match=BAD[name]):
        decode_frame(FRAMES[name])
    found = FrameReader().feed(FRAMES[name])
    assert found == (RefusedFrame(BAD[name], FRAMES[name]),)
    denial = found[0].denial(AT)
    assert denial is not None and denial.command == Command.DENY and denial.serial == 0x69
    assert decode_frame(encode_frame(denial)) == denial


@pytest.mark.parametrize("name", ["A", "S", "X"])
def test_bit_0_test_never_hides_the_fire_of_field_frames(name: str) -> None:
    frame = decode_frame(FRAMES[name])
    (state,) = decode_unit(frame.unit)
    assert isinstance(state, ComponentState)
    flags = flags_of(state.state, COMPONENT_BITS)
    assert flags["fire"] is True and flags["running"] is False  # bit 0 = 0 reads "test" in the table
    assert not any(flags[name] for name in COMPONENT_BITS if name != "fire")


def test_field_capture_x_keeps_its_damaged_note() -> None:
    """Its note breaks off inside a character and goes on behind a zero: shown as far as it goes."""
    frame = decode_frame(FRAMES["X"])
    serial, source, destination, command, (wanted,) = MEANING["X"]
    assert (frame.serial, frame.source, frame.destination, frame.command) == (serial, source, destination, command)
    (state,) = decode_unit(frame.unit)
    assert isinstance(state, ComponentState) and isinstance(wanted, ComponentState)
    assert (state.part, state.kind, state.at) == (wanted.part, wanted.kind, wanted.at)
    assert state.note.startswith("1号") and state.part.wire_hex == "01000100"
    assert frame.version == (0x10, 0)  # a strict "major = 1" would have lost this fire


def test_states_by_name() -> None:
    assert flags_of(0x08, UITD_BITS)["mains_fault"] and not flags_of(0x08, UITD_BITS)["monitoring"]
    assert Stamp(2, 58, 9, 26, 9, 12).wall_us() == 1_348_624_682_000_000  # 2012-09-26 01:58:02 UTC
    assert Stamp.at(1_348_624_682_000_000) == Stamp(2, 58, 9, 26, 9, 12)
    assert Stamp(0x37, 0x59, 0x23, 0x31, 0x12, 0x19).wall_us() is None  # BCD: no date


# -- as a stream -------------------------------------------------------------------------------------------------

STREAM = b"".join(FRAMES[name] for name in GOOD)
EXPECTED = tuple(decode_frame(FRAMES[name]) for name in GOOD)


@pytest.mark.parametrize("step", [1, 2, 7, 29, 100, len(STREAM)])
def test_frames_come_out_whole_in_pieces_and_byte_by_byte(step: int) -> None:
    reader = FrameReader()
    found = [frame for at in range(0, len(STREAM), step) for frame in reader.feed(STREAM[at:at + step])]
    assert tuple(found) == EXPECTED and len(reader) == 0 and reader.dropped == 0


def test_garbage_between_frames_is_counted_and_costs_no_frame() -> None:
    reader = FrameReader()
    found = reader.feed(b"noise" + FRAMES["A"] + b"\x00\x01" + FRAMES["D"] + b"trailing")
    assert found == (EXPECTED[0], decode_frame(FRAMES["D"]))
    assert reader.dropped == len(b"noise\x00\x01trailing")


@pytest.mark.parametrize("at", range(len(FRAMES["A"])))
def test_a_garbled_byte_anywhere_never_gives_a_wrong_frame(at: int) -> None:
    octets = bytearray(FRAMES["A"])
    octets[at] ^= 0x15
    reader = FrameReader()
    found = list(reader.feed(bytes(octets) + FRAMES["D"]))
    found += reader.give_up()
    assert [frame for frame in found if isinstance(frame, Frame)] == [decode_frame(FRAMES["D"])]


def test_oversized_is_refused_at_the_header() -> None:
    octets = bytearray(FRAMES["A"])
    octets[24:26] = (UNIT_MAX + 1).to_bytes(2, "little")
    found = FrameReader().feed(bytes(octets))
    assert isinstance(found[0], RefusedFrame) and found[0].reason == "data unit of 1025 bytes, at most 1024"
    largest = Frame(7, AT, 1, 2, 2, bytes(UNIT_MAX))
    assert len(encode_frame(largest)) == FRAME_MAX and decode_frame(encode_frame(largest)) == largest


def test_a_frame_that_never_ends_does_not_hold_up_the_fire_behind_it() -> None:
    stuck = bytearray(FRAMES["D"])
    stuck[24:26] = (1000).to_bytes(2, "little")
    reader = FrameReader()
    assert reader.feed(bytes(stuck) + FRAMES["A"]) == ()
    refused, fire = reader.give_up()
    assert isinstance(refused, RefusedFrame) and "did not end" in refused.reason
    assert fire == decode_frame(FRAMES["A"])


@pytest.mark.parametrize(("octets", "reason"), [
    (b"", "wrong start"), (b"@@" + bytes(20), "at least 30"), (b"##" + FRAMES["A"][2:], "wrong start"),
    (FRAMES["A"][:-2] + b"@@", "wrong end"), (FRAMES["A"] + b"x", "length field"),
])
def test_a_datagram_is_one_frame_or_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(PeerGarbled, match=reason):
        decode_frame(octets)


@pytest.mark.parametrize("frame", [
    Frame(0x10000, AT, 1, 2, 2), Frame(1, AT, -1, 2, 2), Frame(1, AT, 1, 2**48, 2), Frame(1, AT, 1, 2, 256),
    Frame(1, AT, 1, 2, 2, bytes(1025)),
])
def test_our_own_mistakes_are_value_errors(frame: Frame) -> None:
    with pytest.raises(ValueError, match=r"fit|48|at most"):
        encode_frame(frame)


# -- units -------------------------------------------------------------------------------------------------------

BYTE = st.integers(0, 255)
WORD = st.integers(0, 0xFFFF)
STAMPS = st.builds(Stamp, BYTE, BYTE, BYTE, BYTE, BYTE, BYTE)
SYSTEMS = st.builds(System, BYTE, BYTE)
PARTS = st.builds(Part, SYSTEMS, st.integers(0, 2**32 - 1))
NOTES = st.text(st.characters(codec="ascii", min_codepoint=33) | st.sampled_from("一区层走廊烟感"), max_size=15)
MOST = {1: 102, 2: 22, 3: 63, 4: 102, 6: 3, 7: 26, 24: 127, 61: 102, 62: 22, 63: 63, 67: 26, 66: 3}
KINDS: dict[int, st.SearchStrategy[Content]] = {
    1: st.builds(SystemState, SYSTEMS, WORD, STAMPS),
    2: st.builds(ComponentState, PARTS, BYTE, WORD, NOTES, STAMPS),
    3: st.builds(Analog, PARTS, BYTE, BYTE, st.integers(-32768, 32767), STAMPS),
    4: st.builds(Operation, SYSTEMS, BYTE, BYTE, STAMPS),
    5: st.builds(SystemVersion, SYSTEMS, BYTE, BYTE),
    6: st.builds(SystemConfiguration, SYSTEMS, NOTES),
    7: st.builds(ComponentConfiguration, PARTS, BYTE, NOTES),
    8: st.builds(SystemTime, SYSTEMS, STAMPS),
    21: st.builds(UitdState, BYTE, STAMPS),
    24: st.builds(UitdOperation, BYTE, BYTE, STAMPS),
    25: st.builds(UitdVersion, BYTE, BYTE),
    26: st.builds(UitdConfiguration, NOTES),
    28: st.builds(UitdTime, STAMPS),
    **{kind: st.builds(ReadSystem, st.just(kind), SYSTEMS) for kind in (61, 65, 66, 68)},
    **{kind: st.builds(ReadComponent, st.just(kind), PARTS) for kind in (62, 63, 67)},
    64: st.builds(ReadOperations, SYSTEMS, BYTE, STAMPS),
    84: st.builds(ReadOperations, st.none(), BYTE, STAMPS),
    **{kind: st.just(AskUitd(kind)) for kind in (81, 85, 86, 88, 89)},
    90: st.builds(SetClock, STAMPS),
    91: st.builds(DutyCheck, BYTE),
}
UNITS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.lists(KINDS[kind], min_size=1, max_size=min(5, MOST.get(kind, 1))))


@given(UNITS, WORD, st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.integers(0, 300))
def test_round_trip_of_every_type(
    objects: list[Content], serial: int, source: int, destination: int, cut: int,
) -> None:
    unit = encode_unit(objects)
    assert unit[0] in KINDS and unit[1] == len(objects)
    assert decode_unit(unit) == tuple(objects)
    frame = Frame(serial, AT, source, destination, 2, unit)
    octets = encode_frame(frame)
    reader = FrameReader()
    assert (*reader.feed(octets[:cut]), *reader.feed(octets[cut:])) == (frame,)


@given(st.binary(max_size=200))
def test_any_unit_decodes_or_is_refused(unit: bytes) -> None:
    try:
        found = decode_unit(unit)
    except PeerGarbled as problem:
        assert str(problem)
        return
    assert found


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"@@", b"##", *FRAMES.values()]) | st.binary(max_size=60), max_size=25))
def test_a_hostile_stream_is_bounded_and_accounted(pieces: list[bytes]) -> None:
    reader, good, fed = FrameReader(), 0, 0
    for piece in pieces:
        fed += len(piece)
        good += sum(len(encode_frame(f)) for f in reader.feed(piece) if isinstance(f, Frame))
        assert len(reader) <= 2 * FRAME_MAX
    while len(reader):
        good += sum(len(encode_frame(f)) for f in reader.give_up() if isinstance(f, Frame))
    assert good + reader.dropped == fed


def test_a_fire_in_a_damaged_unit_is_not_thrown_away() -> None:
    fire = ComponentState(Part(FIRE_SYSTEM, 5), 40, 2, "", AT)
    unit = encode_unit([fire, fire])
    assert decode_unit(unit[:-10]) == (
        fire, Unread(2, unit[48:-10], "object 2 of 2: the unit ends 4 bytes too early"))
    assert decode_unit(unit + b"zz") == (fire, fire, Unread(2, b"zz", "bytes behind the last object"))


def test_objects_without_their_time_tags_are_taken() -> None:
    unit = bytes((1, 2)) + bytes((1, 1, 2, 0)) + bytes((1, 2, 0, 0))
    assert decode_unit(unit) == (SystemState(System(1, 1), 2), SystemState(System(1, 2), 0))


@pytest.mark.parametrize(("unit", "reason"), [
    (bytes((9, 1, 0)), "type flag 9 is reserved"), (bytes((2, 0)), "no objects"),
    (bytes((2, 1, 1, 1)), "too early"), (bytes((92, 1)), "reserved"), (bytes((255, 1)), "reserved"),
])
def test_units_without_one_readable_object_are_refused(unit: bytes, reason: str) -> None:
    with pytest.raises(PeerGarbled, match=reason):
        decode_unit(unit)


def test_types_of_the_user_are_handed_on_unread() -> None:
    assert decode_unit(b"\x80\x01\x02") == (Unread(0x80, b"\x01\x02", "user-defined type"),)
    assert encode_unit([Unread(0x80, b"\x01\x02", "")]) == b"\x80\x01\x02"


@pytest.mark.parametrize("objects", [
    [], [UitdVersion(1, 1), UitdTime(AT)], [UitdVersion(1, 1)] * 2, [UitdConfiguration("x" * 256)],
    [ComponentConfiguration(Part(FIRE_SYSTEM, 1), 1, "x" * 32)], [ShortSign(), ShortSign()],
    [UitdOperation(1, 1, AT)] * 128,
])
def test_units_that_the_standard_does_not_allow_are_not_built(objects: list[Content]) -> None:
    with pytest.raises((ValueError, KeyError)):
        encode_unit(objects)
