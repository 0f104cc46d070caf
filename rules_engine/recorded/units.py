"""Units and words of records that others made: into ours, or a finding that says what was meant.

    ("obscuration", "%/ft", 3.1) ──► 0.45 dB/m     10·log10 of the light that is lost, per metre (EN 54-7)
    ("temperature", "°F", 212)   ──► 100 Cel
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable

from device_model.quantities import QUANTITIES, UNIT_ALIASES, to_canonical

# What people call a quantity in their files.
_CALLED = {
    "smoke_obscuration": "obscuration", "smoke_density": "obscuration", "optical_density": "obscuration",
    "smoke": "obscuration", "temp": "temperature", "air_temperature": "temperature", "heat": "temperature",
    "carbon_monoxide": "co", "carbon_dioxide": "co2", "relative_humidity": "humidity", "rh": "humidity",
    "pm2.5": "pm25", "pm2_5": "pm25", "ch4": "methane", "lel": "combustible_gas", "gas": "combustible_gas",
    "gas_lel": "combustible_gas", "sound_level": "noise", "laeq": "noise", "water_level": "level", "o2": "oxygen",
}
_FOOT_M = 0.3048
# What a metre or a foot of smoke takes from the light, in per cent: not linear, so it is no unit of a profile.
_PER_CENT_LOST = {"%/m": 1.0, "%/ft": _FOOT_M, "%/foot": _FOOT_M, "%obs/m": 1.0, "%obs/ft": _FOOT_M}
_DENSITY = {"OD/m": 10.0, "od/m": 10.0, "dB/m": 1.0, "db/m": 1.0}
_TRUE, _FALSE = frozenset({"true", "on", "yes", "alarm", "1"}), frozenset({"false", "off", "no", "normal", "0"})


def quantity_called(name: str) -> str | None:
    """Our name of a quantity, or None."""
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    return next((known for known in (name, plain, _CALLED.get(plain, "")) if known in QUANTITIES), None)


def near_quantity(name: str) -> str:
    """A remedy for a quantity that nobody knows."""
    near = difflib.get_close_matches(name.lower(), [*QUANTITIES, *_CALLED], n=1, cutoff=0.5)
    meant = f"did you mean {_CALLED.get(near[0], near[0])}? " if near else ""
    return f"{meant}The names stand in device_model/quantities.py: {', '.join(sorted(QUANTITIES))}"


def units_of(quantity: str) -> str:
    """The units that a quantity may be in, for people."""
    more = ("%/m", "%/ft", "OD/m") if quantity == "obscuration" else ()
    return ", ".join((*(unit.code for unit in QUANTITIES[quantity].units), *more))


def into_canonical(quantity: str, unit: str) -> Callable[[float], float] | None:
    """What makes a value in that unit one in the quantity's canonical unit; None where it may not carry the unit.
    "" is the canonical unit."""
    known = QUANTITIES[quantity]
    if quantity == "obscuration" and unit in _PER_CENT_LOST:
        length_m = _PER_CENT_LOST[unit]
        return lambda lost: -10.0 * math.log10(1.0 - min(lost, 99.99) / 100.0) / length_m
    if quantity == "obscuration" and unit in _DENSITY:
        factor = _DENSITY[unit]
        return lambda value: value * factor
    code = next((code for code in (unit or known.canonical, UNIT_ALIASES.get(unit, "")) if known.unit(code)), None)
    return None if code is None else lambda value: to_canonical(quantity, code, value)


def as_number(text: object) -> float | None:
    """A value as a number: also true, false, on, off of switches; None for an empty cell. ValueError otherwise."""
    if text is None or text == "":
        return None
    if isinstance(text, bool | int | float):
        return float(text)
    word = str(text).strip()
    if word.lower() in _TRUE | _FALSE:
        return float(word.lower() in _TRUE)
    return float(word)
