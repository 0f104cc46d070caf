"""Thinning: readings to a coarser step without losing what they were kept for. Pure.

    ·  ·   ▲      ·   ·    ·        per point and step: the first, the lowest, the highest and the last number
    F      H          L    E        every change of a switch, a text, quality or reason, with its time

Alarms and evidence are never thinned: they do not come here. What is left out is declared by a LossRecord.
"""

from __future__ import annotations

from collections.abc import Iterable

from device_model.reading import Quality, Reading

# Seconds. Coarser when what a step leaves is still too much; the last keeps four readings of a point and day.
STEPS_S = (60, 300, 900, 3600, 21_600, 86_400)


def thinned(readings: Iterable[Reading], step_s: int) -> tuple[Reading, ...]:
    """Those worth keeping at that step, in order of time. What is thinned already stays whole at the same step."""
    groups: dict[tuple[str, int], list[Reading]] = {}
    before: dict[str, Reading] = {}
    kept: dict[int, Reading] = {}
    ordered = sorted(readings, key=_time)
    for reading in ordered:
        last = before.get(reading.point)
        before[reading.point] = reading
        if not _is_number(reading):
            if last is None or not reading.same_as(last):
                kept[id(reading)] = reading
            continue
        if last is not None and (last.quality is not reading.quality or last.reason is not reading.reason):
            kept[id(reading)] = reading
        groups.setdefault((reading.point, reading.source_time_us // (step_s * 1_000_000)), []).append(reading)
    for group in groups.values():
        for reading in (group[0], min(group, key=_value), max(group, key=_value), group[-1]):
            kept[id(reading)] = reading
    return tuple(sorted(kept.values(), key=_time))


def _is_number(reading: Reading) -> bool:
    return (reading.quality is not Quality.BAD and isinstance(reading.value, (int, float))
            and not isinstance(reading.value, bool))


def _time(reading: Reading) -> tuple[int, str, int]:
    return reading.source_time_us, reading.point, reading.mono_us


def _value(reading: Reading) -> float:
    return float(reading.value) if isinstance(reading.value, (int, float)) else 0.0
