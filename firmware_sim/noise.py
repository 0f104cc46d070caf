"""Seeded randomness as a value: the same seed gives the same numbers on every machine and Python.

The standard library's `random` is a hidden global; here every device, line and fault owns a stream of its own,
named by what it is for, so that adding one device does not change the noise of another.
"""

from __future__ import annotations

import math
from hashlib import sha256

_MASK = (1 << 64) - 1


class Noise:
    """SplitMix64 (Steele, Lea, Flood 2014), seeded by hashing the names of the stream."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, *names: str) -> None:
        text = "\x00".join((str(seed), *names)).encode()
        self._state = int.from_bytes(sha256(text).digest()[:8], "big")

    def bits(self) -> int:
        """64 random bits."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def unit(self) -> float:
        """Uniform in [0, 1)."""
        return (self.bits() >> 11) * 2.0**-53

    def below(self, limit: int) -> int:
        """Uniform whole number in 0..limit-1. The bias of the modulo (limit / 2**64) is of no matter here."""
        return self.bits() % limit

    def gauss(self, deviation: float) -> float:
        """Normal around 0 (Box and Muller; one of the pair is thrown away to stay stateless)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.unit()))
        return deviation * radius * math.cos(2.0 * math.pi * self.unit())

    def octets(self, count: int) -> bytes:
        """Random bytes."""
        return bytes(self.bits() & 0xFF for _ in range(count))
