"""What stands between the air and the register: lag, noise and thresholds of a sensor.

    world value ──► first-order lag (seconds) ──► + seeded noise ──► number shown
                                     └──► threshold with hysteresis, latch ──► alarm bit shown

Every constant is a stated assumption of the simulation, not a property of a named product; a scenario may give
others per feed.
"""

from __future__ import annotations

import math

import msgspec

from firmware_sim.noise import Noise


class SensorTraits(msgspec.Struct, frozen=True):
    """How a sensor sees the world.

    unit: what the world value is measured in (UCUM) before it reaches the sensor.
    lag_s: time constant; 0 follows at once. threshold: alarm at or above; 0 for sensors that show a number.
    clear_share: an alarm ends below threshold * clear_share.
    """

    unit: str = ""
    lag_s: float = 0.0
    threshold: float = 0.0
    clear_share: float = 0.7


# By the quantity of the point that is fed.
DEFAULT_TRAITS: dict[str, SensorTraits] = {
    # 0.22 dB/m is 1.5 %/ft (thresholds.md section 1). Smoke enters the chamber at ceiling jets of 0.1 to
    # 0.4 m/s over a characteristic length of about 1.8 m (Heskestad): 5 to 18 s. With 8 s the detector at the
    # fire's place in SDC07 alarms between the recorded ionisation (43 s) and photoelectric (85 s) products.
    "smoke_alarm": SensorTraits("dB/m", 8.0, 0.22),
    "fire_alarm": SensorTraits("dB/m", 8.0, 0.22),
    "obscuration": SensorTraits("dB/m", 8.0),
    # Static class A2 of EN 54-5 answers between 54 and 70 °C.
    "heat_alarm": SensorTraits("Cel", 20.0, 57.0, 0.9),
    "temperature": SensorTraits("Cel", 10.0),
    # Electrochemical cells: t90 of about 60 s is 2.3 time constants.
    "co": SensorTraits("[ppm]", 26.0),
    "co_alarm": SensorTraits("[ppm]", 26.0, 300.0),
    "combustible_gas": SensorTraits("%[LEL]", 10.0),
    "gas_alarm": SensorTraits("%[LEL]", 10.0, 10.0),
    "leak": SensorTraits("1", 1.0, 0.5),
    "flood": SensorTraits("1", 1.0, 0.5),
}
NO_LAG = SensorTraits()

# A person who presses "silence" makes a battery detector deafer, not deaf (EN 14604 hush); the factor and time
# are those of common products.
HUSH_FACTOR = 4.0
HUSH_S = 600.0


class Sensor:
    """One fed point: keeps the lagged value and the alarm state."""

    def __init__(self, traits: SensorTraits, noise: Noise, noise_deviation: float, first: float) -> None:
        self.traits = traits
        self.target = first
        self.lag_s = traits.lag_s
        self.deviation = noise_deviation
        self.alarm = False
        self._value = first
        self._noise = noise

    def advance(self, elapsed_s: float, hush_factor: float = 1.0) -> float:
        """Let time pass; returns the value that the sensor sees now, noise included."""
        lag_s = self.lag_s
        share = 1.0 if lag_s <= 0.0 else 1.0 - math.exp(-elapsed_s / lag_s)
        self._value += (self.target - self._value) * share
        seen = self._value + (self._noise.gauss(self.deviation) if self.deviation else 0.0)
        threshold = self.traits.threshold * hush_factor
        if threshold:
            self.alarm = seen >= (threshold * self.traits.clear_share if self.alarm else threshold)
        return seen
