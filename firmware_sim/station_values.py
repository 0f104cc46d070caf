"""Values of a station: what its instruments show as factors, and what a period makes of them. Pure.

    shown ─► real_time_groups ─► "a34004-Rtd=39.6,a34004-Flag=N"
    many of them ─► Period ─► "a34004-Min=…,a34004-Avg=…,a34004-Max=…,a34004-Flag=N" | "Leq-Data=…" (noise)

Averages are arithmetic; noise is the energy mean (Leq) and the maximum and minimum (LMx, LMn). An average has the
flag N where at least 75 % of its samples have (HJ 212-2017 6.6: flue gas), else D.
"""

from __future__ import annotations

from math import log10

from device_model.reading import Value
from firmware_sim.device import VirtualDevice
from firmware_sim.mqtt_device import encode_value

SAMPLE_US = 1_000_000  # a sample a second is what loggers take at best
_NORMAL_SHARE = 0.75


def real_time_groups(device: VirtualDevice) -> tuple[tuple[tuple[str, str], ...], ...]:
    """One group a factor: its value where it has one, and its flag (D where the instrument failed)."""
    groups: list[tuple[tuple[str, str], ...]] = []
    for point in device.profile.points:
        source = point.payload
        if source is None or source.topic not in ("2011", ""):
            continue
        code, _, suffix = source.path.partition(".")
        value: Value | None = encode_value(point, source, device.shown[point.id])
        if isinstance(value, bool) or not isinstance(value, int | float):
            groups.append(((f"{code}-Flag", "D"),))
        else:
            groups.append(((f"{code}-{suffix}", number_text(value)), (f"{code}-Flag", "N")))
    return tuple(groups)


def number_text(value: float) -> str:
    """As N14.2 wants it, without useless zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


class Period:
    """The samples of one period, summed as they come: nothing grows."""

    def __init__(self, start_us: int) -> None:
        self.start_us = start_us
        self._sampled_us = -SAMPLE_US
        # factor → [samples, normal samples, sum, energy sum, minimum, maximum]
        self._sums: dict[str, list[float]] = {}

    def add(self, groups: tuple[tuple[tuple[str, str], ...], ...], now_us: int) -> None:
        """What the instruments show now; at most one sample a second counts."""
        if now_us - self._sampled_us < SAMPLE_US:
            return
        self._sampled_us = now_us
        for group in groups:
            code = group[0][0].partition("-")[0]
            sums = self._sums.setdefault(code, [0.0, 0.0, 0.0, 0.0, float("inf"), float("-inf")])
            sums[0] += 1
            if len(group) < 2:
                continue
            value = float(group[0][1])
            sums[1] += 1
            sums[2] += value
            sums[3] += 10.0 ** (min(value, 200.0) / 10.0) if code.startswith("L") else 0.0
            sums[4], sums[5] = min(sums[4], value), max(sums[5], value)

    def groups(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """The period's record."""
        found: list[tuple[tuple[str, str], ...]] = []
        for code, (samples, normal, total, energy, low, high) in self._sums.items():
            if not normal:
                found.append(((f"{code}-Flag", "D"),))
            elif code.startswith("L"):
                level = number_text(10.0 * log10(energy / normal))
                found.append((("Leq-Data", level),))
                found += [(("LMx-Data", number_text(high)),), (("LMn-Data", number_text(low)),)]
            else:
                flag = "N" if normal >= _NORMAL_SHARE * samples else "D"
                found.append(((f"{code}-Min", number_text(low)), (f"{code}-Avg", number_text(total / normal)),
                              (f"{code}-Max", number_text(high)), (f"{code}-Flag", flag)))
        return tuple(found)
