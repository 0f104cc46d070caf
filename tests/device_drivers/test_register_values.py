"""Block bytes to Readings: every type and order, every mark, every judgement; nothing decoded twice."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.number_form import number_form
from device_drivers.register_plan import plan_blocks
from device_drivers.register_values import DeviceValues
from device_model.profile import DeviceProfile, ProfilePoint, RegisterType, StateCode, Table, WordOrder
from device_model.reading import Quality, Reading, Reason
from tests.device_drivers.rig import START, point, profile

LOW = WordOrder.LOW_FIRST
T = RegisterType


def read(of: DeviceProfile, registers: dict[int, int], values: DeviceValues | None = None,
         after_s: float = 0.0) -> dict[str, Reading]:
    """All blocks of a device whose other registers are 0; by point id."""
    values = values or DeviceValues("d", of)
    seen: dict[str, Reading] = {}
    for block in plan_blocks(of):
        words = [registers.get(a, 0) for a in range(block.address, block.end)]
        payload = b"".join(word.to_bytes(2, "big") for word in words)
        if block.byte_count != len(payload):
            payload = sum(bool(w) << i for i, w in enumerate(words)).to_bytes(block.byte_count, "little")
        readings, _ = values.take(block, payload, START.later(round(after_s * 1e6)))
        seen.update((r.point.removeprefix("d."), r) for r in readings)
    return seen


def one(spec: ProfilePoint, *words: int) -> Reading:
    start = spec.register.address if spec.register else 0
    return read(profile(spec), {start + i: word for i, word in enumerate(words)})[spec.id]


@pytest.mark.parametrize(("kind", "more", "words", "value"), [
    (T.U16, {}, (0xFFFF,), 65535), (T.S16, {}, (0xFFFF,), -1), (T.S16, {}, (0x8000,), -32768),
    (T.U8_LOW, {}, (0x12FE,), 0xFE), (T.U8_HIGH, {}, (0x12FE,), 0x12), (T.S8_LOW, {}, (0x12FE,), -2),
    (T.U32, {}, (1, 2), 65538), (T.U32, {"word_order": LOW}, (2, 1), 65538), (T.S32, {}, (0xFFFF, 0xFFFE), -2),
    (T.U32, {"byte_swap": True}, (0x0100, 0x0200), 65538),
    (T.U64, {}, (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF), 2**64 - 1), (T.S64, {}, (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF), -1),
    (T.U64, {"word_order": LOW}, (1, 0, 0, 0x20), 2**53 + 1),
    # 123.456 as float32 in the four orders that the reference computes (iot_conventions.md section 8).
    (T.F32, {}, (0x42F6, 0xE979), 123.456), (T.F32, {"word_order": LOW}, (0xE979, 0x42F6), 123.456),
    (T.F32, {"byte_swap": True}, (0xF642, 0x79E9), 123.456),
    (T.F32, {"word_order": LOW, "byte_swap": True}, (0x79E9, 0xF642), 123.456),
    (T.F64, {}, struct.unpack(">4H", struct.pack(">d", -0.1)), -0.1),
    (T.U16, {"mask": 0x0FF0, "shift": 4}, (0xABCD,), 0xBC), (T.U16, {"scale": 0.1}, (234,), 23.4),
    (T.S16, {"scale": 0.1, "offset": -40.0}, (0xFFFF,), -40.1), (T.U16, {"byte_swap": True}, (0x3412,), 0x1234),
])
def test_types_and_orders(kind: RegisterType, more: dict[str, object], words: tuple[int, ...], value: float) -> None:
    reading = one(point("x", 5, type=kind, **more), *words)
    assert reading.quality is Quality.GOOD
    assert reading.value == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
    if isinstance(value, int):
        assert isinstance(reading.value, int), "whole numbers stay exact, also beyond 2**53"


def test_tenths_are_tenths() -> None:
    assert [one(point("x", 0, scale=0.1), raw).value for raw in (3, 7, 234, 1001)] == [0.3, 0.7, 23.4, 100.1]


@pytest.mark.parametrize(("spec", "words", "reason"), [
    (point("x", 0, type=T.S16, error_values=(-1, 32767)), (0xFFFF,), Reason.ERROR_VALUE),
    (point("x", 0, type=T.S16, error_values=(-1, 32767)), (0x7FFF,), Reason.ERROR_VALUE),
    (point("x", 0, over_range_values=(0xFFFE,), maximum=100.0), (0xFFFE,), Reason.OVER_RANGE),
    (point("x", 0, range_maximum=100.0), (100,), Reason.OVER_RANGE),
    (point("x", 0, range_maximum=100.0, maximum=150.0), (151,), Reason.OUT_OF_LIMITS),
    (point("x", 0, type=T.S16, minimum=-40.0), (0xFF00,), Reason.OUT_OF_LIMITS),
    (point("x", 0, type=T.F32), (0x7FC0, 0), Reason.ERROR_VALUE),
    (point("x", 0, type=T.F32), (0x7F80, 0), Reason.ERROR_VALUE),
    (point("x", 0, type=T.F32), (0xFF80, 0), Reason.ERROR_VALUE),
    (point("x", 0, quantity="leak"), (2,), Reason.GARBLED),
    (point("x", 0, quantity="leak", error_values=(0xFFFF,), type=T.BIT, bit=3), (0xFFFF,), Reason.ERROR_VALUE),
])
def test_what_is_never_a_number(spec: ProfilePoint, words: tuple[int, ...], reason: Reason) -> None:
    reading = one(spec, *words)
    assert (reading.value, reading.quality, reading.reason) == (None, Quality.BAD, reason)


def test_below_the_measuring_range_is_used_and_marked() -> None:
    reading = one(point("x", 0, type=T.S16, range_minimum=0.0), 0xFFFF)
    assert (reading.value, reading.quality, reading.reason) == (-1, Quality.UNCERTAIN, Reason.UNDER_RANGE)


@pytest.mark.parametrize(("more", "word", "value"), [
    ({"type": T.BIT, "bit": 3}, 0x0008, True), ({"type": T.BIT, "bit": 3}, 0xFFF7, False),
    ({"type": T.BIT, "bit": 3, "invert": True}, 0xFFF7, True), ({"mask": 0x0006}, 0x0004, True),
    ({"mask": 0x0006}, 0x0009, False), ({}, 1, True), ({"invert": True}, 1, False),
    ({"table": Table.COIL, "type": T.BIT}, 1, True), ({"table": Table.DISCRETE_INPUT, "type": T.BIT}, 0, False),
])
def test_booleans(more: dict[str, object], word: int, value: bool) -> None:
    assert one(point("x", 3, quantity="leak", **more), word).value is value


def test_units_become_canonical() -> None:
    reading = one(point("x", 0, quantity="pressure", unit="kPa", scale=0.1, maximum=500.0), 1013)
    assert (reading.unit, reading.value) == ("Pa", pytest.approx(101300.0))


LEVEL = profile(
    point("unit", 0, quantity="state_code"), point("decimals", 1),
    point("level", 2, quantity="level", unit="m", type=T.S16, unit_point="unit", unit_codes={1: "cm", 2: "mm"},
          decimals_point="decimals"),
)


def test_unit_and_decimals_come_from_other_registers_and_act_at_once() -> None:
    values = DeviceValues("d", LEVEL)
    assert read(LEVEL, {0: 1, 1: 1, 2: 1234}, values)["level"].value == pytest.approx(1.234)
    assert read(LEVEL, {0: 2, 1: 1, 2: 1234}, values)["level"].value == pytest.approx(0.1234)
    assert read(LEVEL, {0: 9, 1: 1, 2: 1234}, values)["level"].reason is Reason.GARBLED
    assert read(LEVEL, {0: 2, 1: 1, 2: 1234}, values)["level"].quality is Quality.GOOD
    assert read(LEVEL, {0: 2, 1: 99, 2: 1234}, values)["level"].reason is Reason.GARBLED


GAS = profile(
    point("state", 90, quantity="state_code", poll_interval_s=5.0, state_codes=(
        StateCode(0, "normal", ""), StateCode(1, "warming", "", "warm_up"), StateCode(2, "fault", "", "device_fault"),
        StateCode(3, "over", "", "over_range", ("gas",)))),
    point("gas", 0, quantity="combustible_gas", unit="%[LEL]"), point("leak", 1, quantity="leak"),
)


@pytest.mark.parametrize(("state", "gas", "leak"), [
    (0, (12, Quality.GOOD, Reason.NONE), (True, Quality.GOOD, Reason.NONE)),
    (1, (12, Quality.UNCERTAIN, Reason.WARM_UP), (True, Quality.UNCERTAIN, Reason.WARM_UP)),
    (2, (None, Quality.BAD, Reason.DEVICE_FAULT), (None, Quality.BAD, Reason.DEVICE_FAULT)),
    (3, (None, Quality.BAD, Reason.OVER_RANGE), (True, Quality.GOOD, Reason.NONE)),
    (77, (12, Quality.GOOD, Reason.NONE), (True, Quality.GOOD, Reason.NONE)),
])
def test_what_the_device_says_of_itself(state: int, gas: tuple[object, ...], leak: tuple[object, ...]) -> None:
    values = DeviceValues("d", GAS)
    read(GAS, {90: 0, 0: 12, 1: 1}, values)
    changed = read(GAS, {90: state, 0: 12, 1: 1}, values)
    final = read(GAS, {90: state, 0: 12, 1: 1}) if state == 0 else changed
    for name, wanted in (("gas", gas), ("leak", leak)):
        if name in final:
            assert (final[name].value, final[name].quality, final[name].reason) == wanted
        else:
            assert wanted[1] is Quality.GOOD, "what did not change is not said again"
    if state == 77:
        assert changed["state"].reason is Reason.GARBLED and changed["state"].value == 77


def test_warm_up_ends_by_itself_and_begins_again_when_the_device_reappears() -> None:
    of = profile(point("x", 0), warm_up_s=60.0)
    values = DeviceValues("d", of)
    assert read(of, {0: 5}, values)["x"].quality is Quality.UNCERTAIN
    assert read(of, {0: 5}, values, after_s=59.0) == {}
    assert read(of, {0: 5}, values, after_s=60.0)["x"].quality is Quality.GOOD
    assert read(of, {0: 5}, values, after_s=61.0) == {}
    values.forget()
    assert read(of, {0: 5}, values, after_s=100.0)["x"].reason is Reason.WARM_UP
    assert read(of, {0: 5}, values, after_s=160.0)["x"].quality is Quality.GOOD


def test_what_did_not_change_is_fresh_and_not_said() -> None:
    of = profile(point("a", 0), point("b", 1))
    values, block = DeviceValues("d", of), plan_blocks(of)[0]
    first, fresh = values.take(block, b"\0\1\0\2", START)
    assert len(first) == 2 and fresh == ("d.a", "d.b")
    assert values.take(block, b"\0\1\0\2", START) == ((), fresh)
    changed, fresh = values.take(block, b"\0\1\0\3", START)
    assert [r.point for r in changed] == ["d.b"] and fresh == ("d.a", "d.b")
    bad = values.refuse(block, Reason.REFUSED, START)
    assert {r.reason for r in bad} == {Reason.REFUSED} and not values.refuse(block, Reason.REFUSED, START)
    assert len(values.take(block, b"\0\1\0\3", START)[0]) == 2, "after a refusal everything is said again"


@given(st.sampled_from([k for k in T if k is not T.BIT]), st.booleans(), st.booleans(),
       st.binary(min_size=8, max_size=8))
def test_any_bytes_make_a_finite_number_or_none(kind: RegisterType, swap: bool, low: bool, content: bytes) -> None:
    order = LOW if low else WordOrder.HIGH_FIRST
    reading = one(point("x", 0, type=kind, byte_swap=swap, word_order=order), *struct.unpack(">4H", content))
    assert reading.value is None or math.isfinite(float(reading.value))
    assert (reading.value is None) == (reading.quality is Quality.BAD)


@given(st.sampled_from([T.U16, T.S16, T.U32, T.S32, T.U64, T.S64]), st.booleans(), st.booleans(), st.data())
def test_what_is_written_reads_back(kind: RegisterType, swap: bool, low: bool, data: st.DataObject) -> None:
    bits = {"u": 0, "s": 1}[kind.value[0]], int(kind.value[1:])
    small, large = (-(1 << bits[1] - 1), (1 << bits[1] - 1) - 1) if bits[0] else (0, (1 << bits[1]) - 1)
    value = data.draw(st.integers(max(small, -(2**53)), min(large, 2**53)))
    spec = point("x", 0, type=kind, byte_swap=swap, word_order=LOW if low else WordOrder.HIGH_FIRST)
    assert one(spec, *number_form(spec).words(value)).value == value
    with pytest.raises(ValueError, match="does not fit"):
        number_form(spec).words(float(large) * 4 + 5)


@given(st.integers(0, 2**64 - 1))
def test_a_wide_whole_number_is_written_with_all_its_digits(number: int) -> None:
    spec = point("a", type=RegisterType.U64, writable=True)
    form = number_form(spec)
    assert form.judge(form.words(number))[0] == number
