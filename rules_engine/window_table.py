"""Which rolling figure stands behind which function of the language."""

from __future__ import annotations

from rules_engine.habit import Jitter, Surprise
from rules_engine.sound import Leq
from rules_engine.windows import Baseline, Dose, Extreme, Mean, Past, Window


def make_window(function: str, numbers: tuple[float, ...]) -> Window:
    """The rolling figure behind a function of the language; `rise` and `fall` are read off an Extreme."""
    if function == "dose":
        return Dose(*numbers)
    length = round(numbers[0] * 1e6)
    if function in ("rise", "min"):
        return Extreme(length, 1)
    if function in ("fall", "max"):
        return Extreme(length, -1)
    if function in ("delta", "rate"):
        return Past(length, per_second=function == "rate")
    if function == "mean":
        return Mean(length)
    if function == "leq":
        return Leq(length)
    if function == "jitter":
        return Jitter(length)
    return Surprise(length) if function == "surprise" else Baseline(length)
