"""What a point is used to do, learnt as it goes: how much it trembles, and how unusual it is now.

    Jitter     how far one sample lies from the next: a broken wire trembles, a fire does not
    Surprise   how many standard deviations a short mean lies from the long one; what is unusual is hardly learnt, so
               that a lasting change stays unusual for a while and a drift does not
"""

from __future__ import annotations

import math

from rules_engine.windows import Mean, State

# The short mean is this part of the learning time: 20 s for 5 min.
SHORT_PART = 15
# Beyond so many deviations a sample teaches no more than one at that distance.
LEARNT_MOST = 4.0
# The deviation of short means is at least this part of that of single samples: by chance a few means may agree.
LEAST_PART = 0.3
# A learning time with fewer samples than this has nothing to learn from: five minutes of a value told each five.
LEAST_SAMPLES = 10


class Jitter:
    """Root mean square step between neighbouring samples / √2, time constant `length`; a steady climb hardly counts.

    Each step counts the same until `length` is full, so that a broken wire is known for one from its third sample on.
    Unknown before the second sample.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._at, self._last, self._square, self._weight = 0, math.nan, 0.0, 0.0

    def push(self, at: int, value: float) -> None:
        step = value - self._last
        if not math.isnan(step) and at > self._at:
            share = -math.expm1((self._at - at) / self._length)
            self._square += (min(step * step / 2, 1e30) - self._square) * share
            self._weight += (1 - self._weight) * share
        self._at, self._last = max(at, self._at), value

    def gap(self, at: int) -> None:
        """The step across a gap says nothing."""
        self._last = math.nan

    def read(self, at: int) -> float | None:
        return math.sqrt(self._square / self._weight) if self._weight else None

    def dump(self) -> State:
        return [[self._at, _kept(self._last), self._square, self._weight]]

    def load(self, state: State) -> None:
        self._at, self._last, self._square, self._weight = (
            int(state[0][0]), _lost(state[0][1]), state[0][2], state[0][3])

    def shift(self, by: int) -> None:
        self._at += by if self._at else 0


class Surprise:
    """|short mean − long mean| / deviation of short means. Unknown until `length` µs have been learnt from, and while
    samples come too seldom for that length."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._short = Mean(max(1, length // SHORT_PART))
        self._first = self._at = self._every = 0
        self._mean, self._now = math.nan, math.nan
        self._square = self._raw_square = 0.0  # of short means, of samples, around the long mean

    def push(self, at: int, value: float) -> None:
        self._short.push(at, value)
        short = self._short.read(at)
        short = value if short is None else short
        if math.isnan(self._mean):
            self._first = self._at = at
            self._mean = value
            return
        self._every = max(0, at - self._at)
        deviation = self._deviation()
        self._now = abs(short - self._mean) / deviation if deviation > 0 else 0.0
        self._learn(at, short, value, deviation)

    def _deviation(self) -> float:
        return math.sqrt(max(self._square, LEAST_PART**2 * self._raw_square))

    def _learn(self, at: int, short: float, value: float, deviation: float) -> None:
        share = -math.expm1((self._at - at) / self._length) if at > self._at else 0.0
        apart, raw = short - self._mean, value - self._mean
        if at - self._first > self._length * 2 // 3:
            most, raw_most = LEARNT_MOST * deviation, LEARNT_MOST * math.sqrt(self._raw_square)
            apart, raw = max(-most, min(most, apart)), max(-raw_most, min(raw_most, raw))
        self._mean += share * apart
        self._square = (1 - share) * (self._square + share * apart * apart)
        self._raw_square = (1 - share) * (self._raw_square + share * raw * raw)
        self._at = max(at, self._at)

    def gap(self, at: int) -> None:
        """What was usual stays so."""
        self._short.gap(at)

    def read(self, at: int) -> float | None:
        if math.isnan(self._now) or self._at - self._first < self._length:
            return None
        return None if self._every * LEAST_SAMPLES > self._length else self._now

    def dump(self) -> State:
        head = [self._first, self._at, _kept(self._mean), _kept(self._now), self._square, self._raw_square,
                self._every]
        return [head, *self._short.dump()] if self._first else []

    def load(self, state: State) -> None:
        if state:
            head = state[0]
            self._first, self._at = int(head[0]), int(head[1])
            self._mean, self._now, self._square, self._raw_square = _lost(head[2]), _lost(head[3]), head[4], head[5]
            self._every = int(head[6]) if len(head) > 6 else 0
            self._short.load(state[1:])

    def shift(self, by: int) -> None:
        if self._first:
            self._first += by
            self._at += by
            self._short.shift(by)


# JSON knows no NaN; no sample reaches this (cell.VALUE_MAX).
_NONE = 1e18


def _kept(value: float) -> float:
    return _NONE if math.isnan(value) else value


def _lost(value: float) -> float:
    return math.nan if value == _NONE else value
