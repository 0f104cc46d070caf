"""A percentile that is one of the measured values; used by the demo's verdict and by the benchmarks."""

from __future__ import annotations


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie; nearest rank, so it is one that was measured."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
