"""What one point was over time: rolling figures, each bounded in time by its length and in count by steps.

    samples ──push(at, value)──► Rolling… ──read(at)──► number, or None where the past is not known well enough

A window is cut into at most STEPS steps; samples within one step merge (extremes keep the extreme, integrals stay
exact), so state never exceeds STEPS entries whatever the sample rate, at a resolution of 0.4 % of the length.
`gap(at)` says that the value became unknown: nothing is assumed across a gap.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

# 256 steps: a 60 s window keeps 0.23 s, a day keeps 5.6 min. 256 entries of two numbers are about 30 KiB a window.
STEPS = 256
State = list[list[float]]


class Window(Protocol):
    """A rolling figure of one point. Times are µs since 1970 UTC; `shift` follows a step of the wall clock."""

    def push(self, at: int, value: float) -> None:
        """A sample; `at` never goes back."""

    def gap(self, at: int) -> None:
        """The value is unknown from here on."""

    def read(self, at: int) -> float | None:
        """The figure at that time; None where unknown."""

    def dump(self) -> State:
        """All state, for the checkpoint."""

    def load(self, state: State) -> None:
        """The state that `dump` gave."""

    def shift(self, by: int) -> None:
        """The wall clock stepped by that many µs."""


class Extreme:
    """Least (sign 1) or greatest (sign -1) sample of the last `length` µs. A deque whose values only grow."""

    def __init__(self, length: int, sign: int) -> None:
        self._length, self._sign, self._step = length, sign, max(1, length // STEPS)
        self._kept: deque[tuple[int, float]] = deque()

    def push(self, at: int, value: float) -> None:
        value *= self._sign
        kept = self._kept
        while kept and kept[-1][1] >= value:
            kept.pop()
        if kept and kept[-1][0] // self._step == at // self._step:
            kept[-1] = (at, kept[-1][1])
        else:
            kept.append((at, value))
        self._expire(at)

    def _expire(self, at: int) -> None:
        while self._kept and self._kept[0][0] < at - self._length:
            self._kept.popleft()

    def gap(self, at: int) -> None:
        """Samples before a gap still happened; they leave by age."""

    def read(self, at: int) -> float | None:
        self._expire(at)
        return self._kept[0][1] * self._sign if self._kept else None

    def dump(self) -> State:
        return [[t, v] for t, v in self._kept]

    def load(self, state: State) -> None:
        self._kept = deque((int(t), v) for t, v in state)

    def shift(self, by: int) -> None:
        self._kept = deque((t + by, v) for t, v in self._kept)


class Past:
    """The sample that was valid `length` µs ago, for delta and rate. `whole` asks for the full length; without it
    half the length suffices. `read` gives value now − value then, per second if `per_second`."""

    def __init__(self, length: int, *, per_second: bool) -> None:
        self._length, self._per_second, self._step = length, per_second, max(1, length // STEPS)
        self._kept: deque[tuple[int, float]] = deque()
        self._last: tuple[int, float] | None = None

    def push(self, at: int, value: float) -> None:
        self._last = (at, value)
        if not self._kept or self._kept[-1][0] // self._step != at // self._step:
            self._kept.append((at, value))
        self._expire(at)

    def _expire(self, at: int) -> None:
        start = at - self._length
        while len(self._kept) > 1 and self._kept[1][0] <= start:
            self._kept.popleft()

    def gap(self, at: int) -> None:
        self._kept.clear()
        self._last = None

    def read(self, at: int) -> float | None:
        self._expire(at)
        if self._last is None or not self._kept:
            return None
        then, value = self._kept[0]
        if not self._per_second:
            return self._last[1] - value if then <= at - self._length else None
        passed = self._last[0] - then
        if passed * 2 < self._length:
            return None
        return (self._last[1] - value) / (passed / 1e6)

    def dump(self) -> State:
        return [[t, v] for t, v in self._kept] + ([[self._last[0], self._last[1], 0.0]] if self._last else [])

    def load(self, state: State) -> None:
        self._kept = deque((int(row[0]), row[1]) for row in state if len(row) == 2)
        last = next((row for row in state if len(row) == 3), None)
        self._last = (int(last[0]), last[1]) if last else None

    def shift(self, by: int) -> None:
        self._kept = deque((t + by, v) for t, v in self._kept)
        self._last = (self._last[0] + by, self._last[1]) if self._last else None


class Mean:
    """Time-weighted mean over the last `length` µs, each sample valid until the next; unknown until half of the
    length is known. Keeps the running integral and the running known time at step borders."""

    def __init__(self, length: int) -> None:
        self._length, self._step = length, max(1, length // STEPS)
        self._kept: deque[tuple[int, float, float]] = deque()  # time, integral so far, known µs so far
        self._at, self._value, self._sum, self._known = 0, math.nan, 0.0, 0.0

    def push(self, at: int, value: float) -> None:
        self._run_to(at)
        self._value = value
        if not self._kept or self._kept[-1][0] // self._step != at // self._step:
            self._kept.append((at, self._sum, self._known))
        self._expire(at)

    def gap(self, at: int) -> None:
        if math.isnan(self._value):
            return
        self._run_to(at)
        self._value = math.nan
        self._kept.append((at, self._sum, self._known))

    def _run_to(self, at: int) -> None:
        if not math.isnan(self._value) and at > self._at:
            self._sum += self._value * (at - self._at)
            self._known += at - self._at
        self._at = max(at, self._at)

    def _expire(self, at: int) -> None:
        while len(self._kept) > 1 and self._kept[1][0] <= at - self._length:
            self._kept.popleft()

    def read(self, at: int) -> float | None:
        self._run_to(at)
        self._expire(at)
        if not self._kept:
            return None
        start = at - self._length
        time, total, known = self._kept[0]
        if time < start:  # the window begins between two borders: go straight between them
            later = self._kept[1] if len(self._kept) > 1 else (self._at, self._sum, self._known)
            part = (start - time) / (later[0] - time) if later[0] > time else 0.0
            total += (later[1] - total) * part
            known += (later[2] - known) * part
        covered = self._known - known
        return (self._sum - total) / covered if covered * 2 >= self._length else None

    def dump(self) -> State:
        value = [] if math.isnan(self._value) else [self._value]
        return [[self._at, self._sum, self._known, *value], *([t, s, k] for t, s, k in self._kept)]

    def load(self, state: State) -> None:
        head = state[0]
        self._at, self._sum, self._known = int(head[0]), head[1], head[2]
        self._value = head[3] if len(head) > 3 else math.nan
        self._kept = deque((int(t), s, k) for t, s, k in state[1:])

    def shift(self, by: int) -> None:
        self._at += by if self._at else 0
        self._kept = deque((t + by, s, k) for t, s, k in self._kept)


class Baseline:
    """What the point usually shows: an exponential mean with time constant `length`, from its first sample on."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._at, self._value = 0, math.nan

    def push(self, at: int, value: float) -> None:
        if math.isnan(self._value):
            self._value = value
        elif at > self._at:
            self._value += (value - self._value) * -math.expm1((self._at - at) / self._length)
        self._at = max(at, self._at)

    def gap(self, at: int) -> None:
        """What was usual stays so."""

    def read(self, at: int) -> float | None:
        return None if math.isnan(self._value) else self._value

    def dump(self) -> State:
        return [] if math.isnan(self._value) else [[self._at, self._value]]

    def load(self, state: State) -> None:
        if state:
            self._at, self._value = int(state[0][0]), state[0][1]

    def shift(self, by: int) -> None:
        self._at += by if self._at else 0


# After an exposure the dose halves in about 42 min of clean air (time constant 1 h), faster than carboxyhaemoglobin
# leaves the blood (4 to 5 h at rest), so that yesterday's cooking does not shorten today's limit.
DOSE_FADE_US = 3_600_000_000


class Dose:
    """Time at the reference level that does the same harm, seconds: ∫((c − floor)/(reference − floor))^exponent dt
    above the floor; fades below it. Unknown stretches neither add nor fade."""

    def __init__(self, floor: float, reference: float, exponent: float) -> None:
        self._floor, self._span, self._exponent = floor, reference - floor, exponent
        self._at, self._value, self._dose = 0, math.nan, 0.0

    def push(self, at: int, value: float) -> None:
        self._run_to(at)
        self._value = value

    def gap(self, at: int) -> None:
        self._run_to(at)
        self._value = math.nan

    def _run_to(self, at: int) -> None:
        passed = at - self._at
        if passed > 0 and not math.isnan(self._value):
            over = min((self._value - self._floor) / self._span, 1e6)
            if over > 0:
                # A saturated value must not make an infinite dose that never fades.
                self._dose = min(self._dose + over**self._exponent * passed / 1e6, 1e9)
            else:
                self._dose *= math.exp(-passed / DOSE_FADE_US)
        self._at = max(at, self._at)

    def read(self, at: int) -> float | None:
        self._run_to(at)
        return self._dose

    def dump(self) -> State:
        return [[self._at, self._dose] + ([] if math.isnan(self._value) else [self._value])]

    def load(self, state: State) -> None:
        row = state[0]
        self._at, self._dose = int(row[0]), row[1]
        self._value = row[2] if len(row) > 2 else math.nan

    def shift(self, by: int) -> None:
        self._at += by if self._at else 0
