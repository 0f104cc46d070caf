"""Leq: the equivalent sound level, which is the level of the mean energy and not the mean of the levels."""

from __future__ import annotations

import math

from rules_engine.windows import Mean, State

# Louder than any siren at its mouth; beyond it a value is garbled, and its energy must not spoil the window.
LOUDEST_DB = 200.0


class Leq:
    """10 log10 of the time-weighted mean of 10^(L/10) over the last `length` µs (GB 3096, IEC 61672); unknown until
    half of the length is known. One minute of 80 dB and nine of silence are 70 dB."""

    def __init__(self, length: int) -> None:
        self._energy = Mean(length)

    def push(self, at: int, value: float) -> None:
        self._energy.push(at, 10.0 ** (max(-LOUDEST_DB, min(value, LOUDEST_DB)) / 10.0))

    def gap(self, at: int) -> None:
        self._energy.gap(at)

    def read(self, at: int) -> float | None:
        energy = self._energy.read(at)
        # A running sum of energies may end a hair below zero after a loud stretch: no sound, then.
        return None if energy is None else 10.0 * math.log10(max(energy, 1e-20))

    def dump(self) -> State:
        return self._energy.dump()

    def load(self, state: State) -> None:
        self._energy.load(state)

    def shift(self, by: int) -> None:
        self._energy.shift(by)
