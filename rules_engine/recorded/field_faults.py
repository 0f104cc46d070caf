"""Field faults laid over a record: lost polls, an outage, a stuck value, error values, repeats, clock steps. Seeded.

None may raise a fire or gas alarm; delays may grow by at most the outage. An outage, and error values that last a
minute, are told as faults, a stuck value after an hour where its point has a natural noise. What a record cannot show
is told elsewhere: repeats end at the intake, which counts them; the gateway watches its own clock; a poll that is
lost now and then is asked again by the line, and three in a row are silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from device_model.reading import Reason
from rules_engine.recorded.replay import Disturb, Upset

LOST_SHARE = 0.05
OUTAGE_S = 600.0
CLOCK_STEP_S = 3600.0


class Dice(Protocol):
    """What the faults need of a random.Random."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def randrange(self, start: int, /) -> int:
        """A number in [0, start)."""


def lost_polls(random: Dice, _points: int) -> Disturb:
    """One poll in twenty is not answered."""
    return lambda _t_s, _index, value: None if random.random() < LOST_SHARE else value


def outage(random: Dice, points: int) -> Disturb:
    """One device is silent for ten minutes, from the second minute of what is replayed."""
    chosen = random.randrange(points)
    begin: list[float] = []

    def disturb(t_s: float, index: int, value: float | None) -> float | Reason | None:
        begin.append(t_s) if not begin else None
        inside = index == chosen and begin[0] + 120 <= t_s < begin[0] + 120 + OUTAGE_S
        return Reason.SILENT if inside and value is not None else value

    return disturb


def error_value(random: Dice, points: int) -> Disturb:
    """One device now and then gives its error mark."""
    chosen = random.randrange(points)
    return lambda _t_s, index, value: (
        Reason.ERROR_VALUE if index == chosen and value is not None and random.random() < 0.2 else value)


def stuck(random: Dice, points: int) -> Disturb:
    """One device repeats its first value for ever."""
    chosen = random.randrange(points)
    first: list[float] = []

    def disturb(_t_s: float, index: int, value: float | None) -> float | Reason | None:
        if index != chosen or value is None:
            return value
        if not first:
            first.append(value)
        return first[0]

    return disturb


def duplicates(random: Dice, _seconds: float) -> Upset:
    """One row in five is delivered a second time."""
    return Upset(repeats=lambda: random.random() < 0.2)


def clock_step(random: Dice, seconds: float) -> Upset:
    """In the middle third the wall clock is an hour ahead, in the last an hour behind."""
    begin: list[float] = []

    def ahead_s(t_s: float) -> float:
        begin.append(t_s) if not begin else None
        part = (t_s - begin[0]) * 3 / seconds if seconds else 0.0
        return 0.0 if part < 1 else CLOCK_STEP_S if part < 2 else -CLOCK_STEP_S

    return Upset(ahead_s=ahead_s)


ROW_FAULTS: dict[str, Callable[[Dice, float], Upset]] = {"duplicates": duplicates, "clock_step": clock_step}
FIELD_FAULTS: dict[str, Callable[[Dice, int], Disturb]] = {
    "lost_polls": lost_polls, "outage": outage, "error_value": error_value, "stuck": stuck,
}
