"""From verdicts of single frames to a decision: k of n, and for light whether it flickers as arcs and flames do.

```
 score a frame ──► last n ──► k at or above the zone's threshold? ──► flicker spectrum ──► decided, with confidence
                                    └── steady light: hot work at once, flame after minutes, asked for more
```
A lamp and a sunset pass single frames and stand still; an arc and sparks change from frame to frame, a flame sways at
1 to 12 Hz. Steadiness never silences: it raises what is asked to `steady_threshold`, so that a fire behind glass or a
frozen-looking picture still comes through when the model is sure of it.
"""

from __future__ import annotations

from collections import deque

import msgspec
import numpy as np

FLICKERING = ("hot_work", "flame")
STRICT = ("hot_work",)  # steady light is no arc from the first moment on; a flame gets `learn_s` of doubt
FLICKER_FRAMES, FLICKER_RATE = 8, 2.0  # fewer, or slower, and a spectrum says nothing
HISTORY = 64  # frames kept for the spectrum: 6 s at 10 frames/s


class TemporalRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a class is decided: `k` of the last `n` frames at or above the threshold. steady_threshold: asked instead
    where the light is steady; release: share of the threshold below which a decided class ends after n frames;
    learn_s: how long a steady light must have stood to be learnt."""

    k: int = 3
    n: int = 5
    steady_threshold: float = 0.97
    release: float = 0.7
    learn_s: float = 300.0


class Decision(msgspec.Struct, frozen=True):
    """What is held of a class now. confidence: mean of the k strongest of the last n; flicker: share of the light's
    change that lies at 1 Hz and above, 0 to 1, -1 where too few frames were seen; since_us: when it was decided."""

    decided: bool
    confidence: float
    flicker: float
    steady: bool
    since_us: int = 0


class LightMemory:
    """The light of one camera's spot over time, and how it flickers: one spectrum a frame, however many zones and
    classes ask for it."""

    def __init__(self) -> None:
        self._light: deque[tuple[int, float]] = deque(maxlen=HISTORY)
        self.flicker = -1.0

    def add(self, light: float, now_us: int, *, elsewhere: bool = False) -> None:
        """One frame. elsewhere: the spot is another one, so that its light does not compare with the last."""
        if elsewhere:
            self._light.clear()
        self._light.append((now_us, light))
        self.flicker = flicker_share(self._light)

    def rate(self) -> float:
        """Frames a second, 0 with too few."""
        span = (self._light[-1][0] - self._light[0][0]) / 1e6
        return (len(self._light) - 1) / span if span > 0 else 0.0


class TemporalJudge:
    """One class in one zone of one camera. shared: the camera's light, where the caller adds each frame to it."""

    def __init__(
        self,
        rule: TemporalRule,
        threshold: float,
        flickers: bool,
        strict: bool = False,
        shared: LightMemory | None = None,
    ) -> None:
        self._rule, self._threshold, self._flickers, self._strict = rule, threshold, flickers, strict
        self._scores: deque[float] = deque(maxlen=rule.n)
        self._own = shared is None
        self._light = LightMemory() if shared is None else shared
        self._decided_us: int | None = None
        self._steady_us: int | None = None

    def frame(self, score: float, light: float, now_us: int, *, elsewhere: bool = False) -> Decision:
        """score: of this frame. light: brightness of the spot judged, any linear unit; its change is what counts;
        elsewhere: the spot is another one, so that its light does not compare with the last."""
        if self._own:
            self._light.add(light, now_us, elsewhere=elsewhere)
        self._scores.append(score)
        flicker = self._light.flicker
        steady = self._flickers and 0 <= flicker < 0.15
        self._steady_us = (now_us if self._steady_us is None else self._steady_us) if steady else None
        patience_us = 0 if self._strict else self._rule.learn_s * 1_000_000
        learnt = self._steady_us is not None and now_us - self._steady_us >= patience_us
        asked = max(self._threshold, self._rule.steady_threshold) if learnt else self._threshold
        if self._strict and flicker < 0 and self._light.rate() >= FLICKER_RATE:
            asked = 1.1  # a few frames more and the flicker is known; nothing is decided before
        strong = sorted(self._scores, reverse=True)[: self._rule.k]
        confidence = sum(strong) / self._rule.k
        if len(strong) == self._rule.k and strong[-1] >= asked:
            self._decided_us = now_us if self._decided_us is None else self._decided_us
        elif self._decided_us is not None and max(self._scores) < asked * self._rule.release:
            self._decided_us = None
        decided = self._decided_us is not None
        return Decision(decided, round(confidence, 4), round(flicker, 3), steady, self._decided_us or 0)


def flicker_share(light: deque[tuple[int, float]]) -> float:
    """How much of the light's swing is fast: energy from 1 Hz up over mean brightness squared, squashed to 0…1.

    -1 with fewer than 8 frames or less than two frames a second: a sweep's single key frames say nothing of flicker.
    """
    if len(light) < FLICKER_FRAMES:
        return -1.0
    times = np.array([t for t, _ in light], float) / 1e6
    span = times[-1] - times[0]
    if span <= 0 or (len(light) - 1) / span < FLICKER_RATE:
        return -1.0
    values = np.array([v for _, v in light], float)
    even = np.interp(np.linspace(times[0], times[-1], len(light)), times, values)
    steps = np.arange(len(even)) - (len(even) - 1) / 2  # the line that fits best is taken away: a dawn is no flicker
    even = even - even.mean() - steps * float(steps @ even / (steps @ steps))
    power = np.abs(np.fft.rfft(even * np.hanning(len(even)))) ** 2
    frequency = np.fft.rfftfreq(len(even), span / (len(even) - 1))
    fast = float(power[frequency >= 1.0].sum())
    mean = float(np.abs(values).mean())
    if mean <= 1e-6:
        return 0.0
    swing = np.sqrt(fast * 8 / 3) / len(even) / mean  # relative amplitude, corrected for the window
    return float(1 - np.exp(-swing / 0.05))
