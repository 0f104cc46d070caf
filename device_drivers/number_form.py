"""Number form: how the raw words of one point become a judged value. Compiled once per point.

Every check errs to the safe side: an error mark, NaN, an unknown unit or a value that cannot be is never a
number, and a boolean that is neither 0 nor 1 is garbled, never false (law 7). Saturation is OVER_RANGE, which
the rules treat as a high alarm (law 3), so it is looked for before the limits of the plausible.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from struct import pack, unpack

from device_model.profile import ProfilePoint, RegisterSource, RegisterType, Table, WordOrder
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reason, Value

Verdict = tuple[Value | None, Quality, Reason]
Raw = tuple[int, ...] | int

_BITS = {
    RegisterType.U16: 16, RegisterType.S16: 16, RegisterType.U32: 32, RegisterType.S32: 32, RegisterType.U64: 64,
    RegisterType.S64: 64, RegisterType.S8_LOW: 8, RegisterType.U8_LOW: 8, RegisterType.U8_HIGH: 8,
}
_SIGNED = (RegisterType.S16, RegisterType.S32, RegisterType.S64, RegisterType.S8_LOW)
_WHOLE_MAX = (1 << 63) - 1  # beyond it whole numbers do not fit where values are stored
_DECIMALS_MAX = 12  # more digits than any device has: beyond it the register is garbage


class NumberForm:
    """One point's way from raw words to a verdict (value in the canonical unit, quality, reason)."""

    def __init__(self, spec: ProfilePoint, source: RegisterSource) -> None:
        self._spec = spec
        self._source = source
        quantity = QUANTITIES[spec.quantity]
        self._quantity = quantity
        self.unit_point = source.unit_point
        self.unit_codes = source.unit_codes
        self.decimals_point = source.decimals_point
        self._decimals_codes = source.decimals_codes
        self.counter_max = source.counter_max
        self.counter_rate_max = source.counter_rate_max
        self._errors = frozenset(spec.error_values)
        self._over = frozenset(spec.over_range_values)
        self._number = _raw_reader(source, quantity.boolean)
        self._float = source.type in (RegisterType.F32, RegisterType.F64)
        # 1/10 has no exact double: dividing by 10 gives 23.4 where multiplying by 0.1 gives 23.400000000000002.
        inverse = round(1 / source.scale) if source.scale else 0
        self._divisor = inverse if inverse > 1 and abs(source.scale * inverse - 1) < 1e-12 else 0
        unit = quantity.unit(spec.unit)
        self._factor, self._shift = (unit.factor, unit.offset) if unit else (1.0, 0.0)
        self._exact = (
            not self._float and source.scale == 1 and source.offset == 0 and self._factor == 1 and self._shift == 0
            and not source.decimals_point and not source.unit_point
        )
        self._minimum = self._limit(spec.minimum)
        self._maximum = self._limit(spec.maximum)
        self._range_minimum = self._limit(spec.range_minimum)
        self._range_maximum = self._limit(spec.range_maximum)
        self._bounded = any(
            limit is not None for limit in (self._minimum, self._maximum, self._range_minimum, self._range_maximum)
        )

    def _limit(self, limit: float | None) -> float | None:
        return None if limit is None else limit * self._factor + self._shift

    def whole(self, raw: Raw) -> int | None:
        """The raw number as an integer for others to lean on (unit, decimals, state), None if it is an error."""
        number = self._number(raw)
        if number in self._errors or (isinstance(number, float) and not number.is_integer()):
            return None
        return int(number)

    def decimals(self, code: int) -> int | None:
        """How many decimals a value of the decimals register means; None where that is nonsense."""
        number = self._decimals_codes.get(code) if self._decimals_codes else code
        return number if number is not None and 0 <= number <= _DECIMALS_MAX else None

    def judge(self, raw: Raw, decimals: int | None = None, unit: str | None = None, turns: int = 0) -> Verdict:
        """The verdict for raw words; `decimals` and `unit` as the device's own registers say, if they do; `turns`:
        how often a counter has rolled over."""
        number = self._number(raw)
        if isinstance(number, float) and not isfinite(number):
            return None, Quality.BAD, Reason.ERROR_VALUE
        if number in self._errors:
            return None, Quality.BAD, Reason.ERROR_VALUE
        if number in self._over:
            return None, Quality.BAD, Reason.OVER_RANGE
        if self._quantity.boolean:
            return self._flag(number)
        if self._quantity.text:
            return str(number), Quality.GOOD, Reason.NONE
        if self.counter_max:
            if number > self.counter_max:
                return None, Quality.BAD, Reason.OUT_OF_LIMITS
            number += turns * (self.counter_max + 1)
            if number > _WHOLE_MAX:
                number = float(number)
        if self._exact:
            return self._within(number) if self._bounded else (number, Quality.GOOD, Reason.NONE)
        source = self._source
        value = number / self._divisor if self._divisor else number * source.scale
        if decimals:
            value /= 10**decimals
        value += source.offset
        factor, shift = self._factor, self._shift
        if unit is not None:
            entry = self._quantity.unit(unit)
            if entry is None:
                return None, Quality.BAD, Reason.GARBLED
            factor, shift = entry.factor, entry.offset
        return self._within(value * factor + shift)

    def _flag(self, number: float) -> Verdict:
        source = self._source
        if source.bit is not None:
            number = int(number) >> source.bit & 1
        elif source.mask is not None:
            number = 1 if number else 0  # any bit of the mask
        if number not in (0, 1):
            return None, Quality.BAD, Reason.GARBLED
        return bool(number) is not source.invert, Quality.GOOD, Reason.NONE

    def _within(self, value: float) -> Verdict:
        if not isfinite(value):
            return None, Quality.BAD, Reason.ERROR_VALUE
        if (self._maximum is not None and value > self._maximum) or (
            self._minimum is not None and value < self._minimum
        ):
            return None, Quality.BAD, Reason.OUT_OF_LIMITS
        if self._range_maximum is not None and value >= self._range_maximum:
            return None, Quality.BAD, Reason.OVER_RANGE
        if self._range_minimum is not None and value < self._range_minimum:
            return value, Quality.UNCERTAIN, Reason.UNDER_RANGE
        return value, Quality.GOOD, Reason.NONE

    def words(self, value: bool | float) -> tuple[int, ...]:
        """The registers (or the one bit) that would read back as `value`, given in the canonical unit.

        Raises ValueError when the number does not fit the type.
        """
        source = self._source
        if self._quantity.boolean:
            return (int(bool(value) is not source.invert),)
        # A whole number that is sent as it is keeps all its digits; a double holds 53 bits.
        number = float(value) if not self._exact else value
        if not self._exact:
            number = ((number - self._shift) / self._factor - source.offset) / source.scale
        if self._float:
            code, count = (">f", 2) if source.type is RegisterType.F32 else (">d", 4)
            return _ordered(unpack(f">{count}H", pack(code, number)), source)
        bits = _BITS.get(source.type, 16)
        whole = round(number)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if source.type in _SIGNED else (0, (1 << bits) - 1)
        if not low <= whole <= high:
            raise ValueError(f"{value} does not fit {self._spec.id} ({source.type})")
        whole &= (1 << bits) - 1
        count = max(1, bits // 16)
        return _ordered(tuple(whole >> 16 * i & 0xFFFF for i in reversed(range(count))), source)


def _ordered(words: tuple[int, ...], source: RegisterSource) -> tuple[int, ...]:
    if source.word_order is WordOrder.LOW_FIRST:
        words = words[::-1]
    if source.byte_swap:
        words = tuple((word & 0xFF) << 8 | word >> 8 for word in words)
    return words


def number_form(spec: ProfilePoint) -> NumberForm:
    """The compiled form of a register point; ValueError for a point without a register."""
    if spec.register is None:
        raise ValueError(f"{spec.id} has no register")
    return NumberForm(spec, spec.register)


def _raw_reader(source: RegisterSource, boolean: bool) -> Callable[[Raw], int | float]:
    """Words → number with sign, after word order, byte swap, mask and shift."""
    kind, swap, low_first = source.type, source.byte_swap, source.word_order is WordOrder.LOW_FIRST
    if source.table in (Table.COIL, Table.DISCRETE_INPUT):
        return lambda raw: raw if isinstance(raw, int) else raw[0]
    if kind in (RegisterType.F32, RegisterType.F64):
        form_in, form_out = (">2H", ">f") if kind is RegisterType.F32 else (">4H", ">d")
        return lambda raw: float(unpack(form_out, pack(form_in, *_ordered(_tuple(raw), source)))[0])
    mask, shift = source.mask, source.shift
    bits = _BITS.get(kind, 16)
    signed = kind in _SIGNED and mask is None
    half, full = 1 << bits - 1, 1 << bits
    one_bit = source.bit if not boolean else None  # booleans look at the whole register first: an error mark?

    def read(raw: Raw) -> int:
        if isinstance(raw, int):
            number = (raw & 0xFF) << 8 | raw >> 8 if swap else raw
        else:
            number = 0
            for word in raw[::-1] if low_first else raw:
                number = number << 16 | ((word & 0xFF) << 8 | word >> 8 if swap else word)
        if bits == 8:
            number = number >> 8 if kind is RegisterType.U8_HIGH else number & 0xFF
        if mask is not None:
            number &= mask
        if shift:
            number >>= shift
        if signed and number >= half:
            number -= full
        return number >> one_bit & 1 if one_bit is not None else number

    if kind is RegisterType.U16 and not swap and mask is None and not shift and one_bit is None:
        return lambda raw: raw if isinstance(raw, int) else raw[0]
    return read


def _tuple(raw: Raw) -> tuple[int, ...]:
    return raw if isinstance(raw, tuple) else (raw,)
