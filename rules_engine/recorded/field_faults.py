"""Field faults laid over a record: lost polls, an outage, a stuck value, error values, repeats. Seeded.

None may raise a fire or gas alarm, and each must be told as a fault; delays may grow by at most the outage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from device_model.reading import Reason
from rules_engine.recorded.replay import Disturb

LOST_SHARE = 0.05
OUTAGE_S = 600.0


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


FIELD_FAULTS: dict[str, Callable[[Dice, int], Disturb]] = {
    "lost_polls": lost_polls, "outage": outage, "error_value": error_value, "stuck": stuck,
}
