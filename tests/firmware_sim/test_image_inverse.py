"""What the simulated device puts into registers, decoded by an independent decoder written here bit by bit."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.profile import REGISTER_COUNT, RegisterSource, RegisterType, Table, WordOrder
from firmware_sim.image import NoSuchAddress, RegisterImage, raw_limits, raw_of_value, raw_of_words, words_of_raw

WHOLE = [t for t in RegisterType if t not in (RegisterType.BIT, RegisterType.F32, RegisterType.F64)]


def decode_bits(words: list[int], source: RegisterSource) -> int:
    """A whole number from words, by shifting bits only: no struct, no code of the simulator."""
    if source.byte_swap:
        words = [(w % 256) * 256 + w // 256 for w in words]
    if source.word_order is WordOrder.LOW_FIRST:
        words = words[::-1]
    number = 0
    for word in words:
        number = number * 65536 + word
    width = 16 * len(words)
    if source.type in (RegisterType.U8_LOW, RegisterType.S8_LOW):
        number, width = number % 256, 8
    elif source.type is RegisterType.U8_HIGH:
        number, width = number // 256, 8
    if source.type.value.startswith("s") and number >= 2 ** (width - 1):
        number -= 2**width
    return number


sources = st.builds(
    RegisterSource, table=st.just(Table.HOLDING), address=st.integers(0, 60000), type=st.sampled_from(WHOLE),
    scale=st.sampled_from([1.0, 0.1, 0.01, 0.001, 10.0, 0.00032, 0.5]), offset=st.sampled_from([0.0, -40.0, -3000.0]),
    word_order=st.sampled_from(list(WordOrder)), byte_swap=st.booleans(),
)


@given(sources, st.data())
def test_whole_numbers_survive(source: RegisterSource, draw: st.DataObject) -> None:
    low, high = raw_limits(source)
    # 2**50: beyond, the double that carries the value has no room for the raw number itself.
    raw = draw.draw(st.integers(max(low, -(2**50)), min(high, 2**50)))
    image = RegisterImage(holes_readable=False)
    image.define(source)
    image.put(source, raw_of_value(source, raw * source.scale + source.offset))
    words = image.read(Table.HOLDING, source.address, REGISTER_COUNT[source.type])
    # A large offset over a small scale costs the double that carries the value its last digit.
    slack = 1 if abs(source.offset / source.scale) > 1e6 else 0
    assert abs(decode_bits(words, source) - raw) <= abs(raw) * 1e-12 + slack


@given(sources, st.data())
def test_what_a_master_writes_is_taken_back(source: RegisterSource, draw: st.DataObject) -> None:
    raw = draw.draw(st.integers(*raw_limits(source)))
    assert raw_of_words(source, list(words_of_raw(source, raw))) == raw


@given(sources, st.floats(-1e30, 1e30))
def test_values_out_of_range_saturate(source: RegisterSource, value: float) -> None:
    low, high = raw_limits(source)
    assert low <= raw_of_value(source, value) <= high


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(list(WordOrder)), st.booleans())
def test_single_floats_survive(value: float, order: WordOrder, swap: bool) -> None:
    source = RegisterSource(Table.INPUT, 0, RegisterType.F32, word_order=order, byte_swap=swap)
    words = list(words_of_raw(source, raw_of_value(source, value)))
    if swap:
        words = [(w % 256) * 256 + w // 256 for w in words]
    if order is WordOrder.LOW_FIRST:
        words.reverse()
    assert struct.unpack(">f", bytes([words[0] >> 8, words[0] & 255, words[1] >> 8, words[1] & 255]))[0] == value


@pytest.mark.parametrize(("source", "raw", "words"), [
    # Worked by hand from device_register_maps.md.
    (RegisterSource(Table.INPUT, 4, RegisterType.S16), -725, (0xFD2B,)),
    (RegisterSource(Table.INPUT, 1, RegisterType.U32, word_order=WordOrder.LOW_FIRST), 0x0001_86A0, (0x86A0, 0x0001)),
    (RegisterSource(Table.HOLDING, 8, RegisterType.U8_HIGH), 5, (0x0500,)),
    (RegisterSource(Table.INPUT, 65, RegisterType.S8_LOW), -3, (0x00FD,)),
    (RegisterSource(Table.HOLDING, 0, mask=0xF000, shift=12), 2, (0x2000,)),
    (RegisterSource(Table.INPUT, 1, RegisterType.BIT, bit=4), 1, (0x0010,)),
    (RegisterSource(Table.INPUT, 0, RegisterType.F32), 230.0, (0x4366, 0x0000)),
    (RegisterSource(Table.INPUT, 0, RegisterType.U64, word_order=WordOrder.LOW_FIRST), 1, (1, 0, 0, 0)),
])
def test_examples_by_hand(source: RegisterSource, raw: float, words: tuple[int, ...]) -> None:
    assert words_of_raw(source, raw) == words


def test_neighbours_in_one_word_keep_their_bits() -> None:
    image = RegisterImage(holes_readable=True)
    unit = RegisterSource(Table.HOLDING, 0, mask=0xF000, shift=12)
    decimals = RegisterSource(Table.HOLDING, 0, mask=0x0F00, shift=8)
    flag = RegisterSource(Table.HOLDING, 0, RegisterType.BIT, bit=7)
    low = RegisterSource(Table.HOLDING, 0, mask=0x0F)
    for source, raw in ((unit, 8), (decimals, 4), (flag, 1), (low, 9), (unit, 2), (flag, 0)):
        image.put(source, raw)
    assert image.read(Table.HOLDING, 0, 1) == [0x2409]


def test_holes_are_refused_or_read_as_nothing() -> None:
    for readable in (True, False):
        image = RegisterImage(holes_readable=readable)
        image.put(RegisterSource(Table.INPUT, 2), 7)
        image.put(RegisterSource(Table.INPUT, 4), 9)
        if readable:
            assert image.read(Table.INPUT, 2, 3) == [7, 0, 9]
        else:
            with pytest.raises(NoSuchAddress):
                image.read(Table.INPUT, 2, 3)
        for address, count in ((1, 1), (4, 2), (65535, 2)):
            with pytest.raises(NoSuchAddress):
                image.read(Table.INPUT, address, count)


def test_nan_in_a_float_register_stays_nan() -> None:
    words = words_of_raw(RegisterSource(Table.INPUT, 0, RegisterType.F32), math.nan)
    assert words[0] & 0x7F80 == 0x7F80
