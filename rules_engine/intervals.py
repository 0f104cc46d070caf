"""Intervals for counts: how sure a rate is that was counted a few times. Pure, without any library.

Wilson for shares (12 of 40 alarms were false), exact Poisson for rates (3 false alarms in 1.7 sensor-years).
"""

from __future__ import annotations

import math
from collections.abc import Callable

Z_95 = 1.959963984540054


def wilson(hits: int, of: int, z: float = Z_95) -> tuple[float, float]:
    """The 95 % interval of a share; (0, 1) where nothing was counted."""
    if of <= 0:
        return 0.0, 1.0
    share = hits / of
    middle = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def poisson(count: int, exposure: float) -> tuple[float, float]:
    """The exact 95 % interval of a rate: `count` events in so much exposure; (0, inf) without any."""
    if exposure <= 0:
        return 0.0, math.inf
    low = _solve(lambda mean: 1 - _below(count - 1, mean), 0.025, count) if count else 0.0
    high = _solve(lambda mean: 1 - _below(count, mean), 0.975, count)
    return low / exposure, high / exposure


def _below(count: int, mean: float) -> float:
    """P(X <= count) of a Poisson variable."""
    if count < 0:
        return 0.0
    if mean <= 0:
        return 1.0
    total = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))
    return min(1.0, total)


def _solve(rises: Callable[[float], float], wanted: float, count: int) -> float:
    """Where a rising function of the mean reaches `wanted`, by halving."""
    low, high = 0.0, max(10.0, count + 10 * math.sqrt(count + 1) + 10)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) < wanted else (low, middle)
    return (low + high) / 2
