"""Golden transcripts: well-formed bytes, and the same meaning by a decoder that shares no line with the drivers."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import msgspec
import pytest

from device_drivers.number_form import number_form
from device_model.library import shipped_profiles
from device_model.profile import READ_FUNCTION, DeviceProfile, PayloadSource, ProfilePoint, RegisterSource
from device_model.quantities import QUANTITIES, to_canonical

FOLDER = Path(__file__).resolve().parent.parent / "golden" / "transcripts"
PROFILES = shipped_profiles()
Look = dict[str, list[str]]


def looks(profile: str) -> list[Look]:
    """The looks of a transcript: its lines by their first word."""
    found: list[Look] = []
    for line in (FOLDER / f"{profile}.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "--":
            found.append({"--": [rest]})
        else:
            found[-1].setdefault(word, []).append(rest)
    return found


def image(look: Look) -> dict[tuple[int, int], int]:
    """(function, address) → word or bit."""
    cells: dict[tuple[int, int], int] = {}
    for request, reply in zip(map(bytes.fromhex, look[">>"]), map(bytes.fromhex, look["<<"]), strict=True):
        function, address, count = struct.unpack(">BHH", request[7:])
        payload = reply[9:]
        for index in range(count):
            if function in (1, 2):
                cells[function, address + index] = payload[index // 8] >> (index % 8) & 1
            else:
                cells[function, address + index] = payload[2 * index] << 8 | payload[2 * index + 1]
    return cells


def raw(source: RegisterSource, cells: dict[tuple[int, int], int]) -> float:
    size = {"2": 2, "4": 4}.get(str(len_words(source)), 1)
    words = [cells[READ_FUNCTION[source.table], source.address + i] for i in range(size)]
    if source.word_order == "low_first":
        words.reverse()
    octets = b"".join(word.to_bytes(2, "little" if source.byte_swap else "big") for word in words)
    kind = str(source.type)
    if kind == "bit":
        return int.from_bytes(octets, "big") >> (source.bit or 0) & 1 ^ source.invert
    if kind in ("f32", "f64"):
        return float(struct.unpack(">f" if kind == "f32" else ">d", octets)[0])
    if kind == "u8_low":
        return octets[1]
    if kind == "u8_high":
        return octets[0]
    if kind == "s8_low":
        return octets[1] - 256 if octets[1] > 127 else octets[1]
    number = int.from_bytes(octets, "big", signed=kind.startswith("s"))
    return (number & source.mask) >> source.shift if source.mask else number


def len_words(source: RegisterSource) -> int:
    kind = str(source.type)
    return 1 if kind == "bit" or kind.startswith(("u8_", "s8_")) else int(kind[1:]) // 16


def meaning(point: ProfilePoint, profile: DeviceProfile, cells: dict[tuple[int, int], int]) -> tuple[float, str]:
    """(canonical value, reason)."""
    source = point.register
    assert source is not None
    number = raw(source, cells)
    reason = "error_value" if number in point.error_values or math.isnan(number) else ""
    unit, decimals = point.unit, 0
    if source.unit_point:
        code = raw(profile.point(source.unit_point).register, cells)
        reason, unit = ("", source.unit_codes[code]) if code in source.unit_codes else ("garbled", unit)
    if source.decimals_point:
        code = int(raw(profile.point(source.decimals_point).register, cells))
        decimals = source.decimals_codes.get(code, code)
    for other in profile.points:
        for state in other.state_codes:
            if point.id in state.affects and state.reason and raw(other.register, cells) == state.code:
                reason = state.reason
    if reason:
        return 0.0, reason
    value = to_canonical(point.quantity, unit, number * source.scale / 10**decimals + source.offset)
    low = point.minimum is not None and value < point.minimum
    return value, "out_of_limits" if low or (point.maximum is not None and value > point.maximum) else ""


def payload_meaning(point: ProfilePoint, message: dict[str, object]) -> tuple[float, str]:
    assert point.payload is not None
    value = message[point.payload.path]
    if QUANTITIES[point.quantity].boolean:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if text in point.payload.true_values:
            return 1.0, ""
        return (0.0, "") if text in point.payload.false_values else (0.0, "garbled")
    assert isinstance(value, int | float)
    if value in point.error_values:
        return 0.0, "error_value"
    low = point.minimum is not None and value < point.minimum
    return float(value), "out_of_limits" if low or (point.maximum is not None and value > point.maximum) else ""


def test_every_shipped_profile_has_a_transcript_and_no_other_stands_there() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(PROFILES)


# What connects to us by itself has its own independent tests, on frames of the standard (tests/wire_codecs).
# Conventions with a template have states and bytes of their own; their tests stand beside the drivers.
ASKED = sorted(name for name, profile in PROFILES.items() if profile.protocol == "modbus" or (
    profile.mqtt is not None and profile.mqtt.template in ("", "zigbee2mqtt")))


@pytest.mark.parametrize("profile", ASKED)
def test_bytes_are_well_formed(profile: str) -> None:
    for look in looks(profile):
        for frame in look.get("rtu>>", []):
            octets = bytes.fromhex(frame)
            assert crc(octets[:-2]) == octets[-2:]
        if PROFILES[profile].protocol == "mqtt":
            continue
        assert len(look[">>"]) == len(look["<<"]) > 0
        for request, reply in zip(map(bytes.fromhex, look[">>"]), map(bytes.fromhex, look["<<"]), strict=True):
            for frame in (request, reply):
                assert struct.unpack(">HH", frame[2:6]) == (0, len(frame) - 6)
            assert request[:4] == reply[:4] and request[6:8] == reply[6:8]
            function, _, count = struct.unpack(">BHH", request[7:])
            assert reply[8] == len(reply) - 9 == ((count + 7) // 8 if function in (1, 2) else 2 * count)
            assert any(reply[9:]) or function in (1, 2) or count == 1, "an all-zero golden proves little"


@pytest.mark.parametrize("profile_id", ASKED)
def test_meaning_by_an_independent_decoder(profile_id: str) -> None:
    profile = PROFILES[profile_id]
    for number, look in enumerate(looks(profile_id)):
        mqtt = profile.protocol == "mqtt"
        cells = {} if mqtt else image(look)
        message = json.loads(look["<<"][0].partition(" ")[2]) if mqtt else {}
        named = {line.split()[0] for line in look.get("=", []) + look.get("!", [])}
        if number == 0:
            assert named == {point.id for point in profile.points}, "the first look covers all points"
        for line in look.get("=", []):
            point_id, text, *unit = line.split()
            point = profile.point(point_id)
            assert point is not None
            value, reason = payload_meaning(point, message) if mqtt else meaning(point, profile, cells)
            assert reason == "", f"{look['--']}: {line}"
            if text in ("true", "false"):
                assert not unit and QUANTITIES[point.quantity].boolean
                assert bool(value) == (text == "true"), f"{look['--']}: {line}"
            else:
                assert unit == [QUANTITIES[point.quantity].canonical]
                assert value == pytest.approx(float(text), rel=1e-6), f"{look['--']}: {line}"
        for line in look.get("!", []):
            point = profile.point(line.split()[0])
            assert point is not None
            _, reason = payload_meaning(point, message) if mqtt else meaning(point, profile, cells)
            assert reason == line.split()[1], f"{look['--']}: {line}"


# What no shipped profile uses yet: (keys of the register, words, what they mean), worked out by hand. The float is
# the one that the conventions print in all four orders.
BY_HAND: tuple[tuple[dict[str, object], tuple[int, ...], float], ...] = (
    ({"type": "f32"}, (0x42F6, 0xE979), 123.456),
    ({"type": "f32", "word_order": "low_first"}, (0xE979, 0x42F6), 123.456),
    ({"type": "f32", "byte_swap": True}, (0xF642, 0x79E9), 123.456),
    ({"type": "f32", "byte_swap": True, "word_order": "low_first"}, (0x79E9, 0xF642), 123.456),
    ({"type": "f64"}, (0x3FF8, 0, 0, 0), 1.5),
    ({"type": "f64", "word_order": "low_first"}, (0, 0, 0, 0xC008), -3.0),
    ({"type": "f64", "byte_swap": True}, (0xF83F, 0, 0, 0), 1.5),
    ({"type": "s8_low"}, (0x12FF,), -1), ({"type": "s8_low"}, (0xFF80,), -128), ({"type": "s8_low"}, (0xFF7F,), 127),
    ({"type": "u8_low"}, (0x12FE,), 0xFE), ({"type": "u8_high"}, (0x12FE,), 0x12),
    ({"type": "u8_low", "byte_swap": True}, (0x12FE,), 0x12), ({"type": "u16", "byte_swap": True}, (0x3412,), 0x1234),
    ({"type": "s16", "byte_swap": True}, (0xFEFF,), -2),
    ({"type": "u32", "byte_swap": True, "word_order": "low_first"}, (0x7856, 0x3412), 0x12345678),
    ({"type": "s64"}, (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD), -3), ({"type": "u64"}, (0, 0, 1, 2), 65538),
    ({"type": "bit", "bit": 3}, (0x0008,), 1), ({"type": "bit", "bit": 3, "invert": True}, (0x0008,), 0),
    ({"type": "bit", "bit": 11, "byte_swap": True}, (0x0008,), 1),
    ({"type": "bit", "bit": 3, "invert": True}, (0,), 1),
)


@pytest.mark.parametrize(("keys", "words", "meant"), BY_HAND)
def test_the_independent_decoder_and_the_drivers_mean_the_same_by_hand(
    keys: dict[str, object], words: tuple[int, ...], meant: float
) -> None:
    boolean = keys["type"] == "bit"
    source = msgspec.convert({"table": "holding", "address": 7, **keys}, RegisterSource)
    cells = {(3, 7 + i): word for i, word in enumerate(words)}
    assert raw(source, cells) == pytest.approx(meant, rel=1e-6)
    spec = ProfilePoint("p", "leak" if boolean else "count", "" if boolean else "1", "p", "p", register=source)
    value, _, _ = number_form(spec).judge(words if len(words) > 1 else words[0])
    assert value == (bool(meant) if boolean else pytest.approx(meant, rel=1e-6))


@pytest.mark.parametrize(("value", "meant"), [
    ("ON", (1.0, "")), ("OFF", (0.0, "")), (1, (1.0, "")), (0, (0.0, "")), (True, (0.0, "garbled")),
    ("on", (0.0, "garbled")), (None, (0.0, "garbled"))])
def test_the_independent_decoder_knows_words_for_true_and_false(value: object, meant: tuple[float, str]) -> None:
    source = PayloadSource(path="a", true_values=("ON", "1"), false_values=("OFF", "0"))
    spec = ProfilePoint("p", "leak", "", "p", "p", payload=source)
    assert payload_meaning(spec, {"a": value}) == meant


def crc(octets: bytes) -> bytes:
    value = 0xFFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")
