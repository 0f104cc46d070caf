"""Ageing: what the years do to a device, in shown hours: its battery, its sensor, its end of life.

    age_h ─► battery %: flat for 80 % of its life, then falling to 0 (lithium cells; the knee is why "low" comes late)
          ─► drift: every number of a sensor moves by `drift_per_year` of its unit
          ─► end of life: the device shows a fault, as EN 14604 and EN 50291 products do after 10 and 7 years

A battery at 0 % is a device without power.
"""

from __future__ import annotations

import msgspec

from device_model.quantities import QUANTITIES
from firmware_sim.device import VirtualDevice

_HOURS_A_YEAR = 8766.0
_KNEE = 0.8
_KNEE_PERCENT = 60.0
# Ageing is looked at once in so many shown seconds: nothing here changes faster.
LOOK_S = 5.0


class Ageing(msgspec.Struct, frozen=True):
    """age_h: at the scenario's beginning. battery_life_h: from full to empty, 0 for mains. end_of_life_h: 0 is never.
    drift_per_year: by point, in the point's unit. hours_per_s: how much a shown second ages it (1/3600 is life)."""

    age_h: float = 0.0
    battery_life_h: float = 0.0
    end_of_life_h: float = 0.0
    drift_per_year: dict[str, float] = {}
    hours_per_s: float = 1.0 / 3600.0

    def battery_percent(self, age_h: float) -> float:
        """State of charge."""
        share = age_h / self.battery_life_h if self.battery_life_h > 0.0 else 0.0
        if share <= _KNEE:
            return 100.0 - (100.0 - _KNEE_PERCENT) * share / _KNEE
        return max(0.0, _KNEE_PERCENT * (1.0 - share) / (1.0 - _KNEE))


class AgeingDevice:
    """One device that ages."""

    def __init__(self, device: VirtualDevice, ageing: Ageing) -> None:
        self._device = device
        self._ageing = ageing
        self._looked_s = -LOOK_S
        self._dead = self._ended = False

    def advance(self, at_s: float) -> None:
        """Let it be that time, in shown seconds of the scenario."""
        if at_s - self._looked_s < LOOK_S:
            return
        self._looked_s = at_s
        it, device = self._ageing, self._device
        age_h = it.age_h + at_s * it.hours_per_s
        if it.battery_life_h > 0.0:
            percent = it.battery_percent(age_h)
            for point in device.profile.points:
                if point.quantity == "battery":
                    device.set(point.id, float(round(percent)))
                elif point.quantity == "low_battery":
                    device.set(point.id, percent <= 15.0)
            if percent <= 0.0 and not self._dead:
                self._dead = True
                device.power(on=False)
        for point_id, drift in it.drift_per_year.items():
            device.age(point_id, drift * age_h / _HOURS_A_YEAR)
        if it.end_of_life_h > 0.0 and age_h >= it.end_of_life_h and not self._ended:
            self._ended = True
            for point in device.profile.points:
                if point.quantity == "fault" and QUANTITIES[point.quantity].boolean:
                    device.set(point.id, True)
