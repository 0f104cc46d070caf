"""Fire growth: how much heat, smoke and CO a fire gives, by its age.

    kW  peak ┌──────────┐            Q = alpha t² up to the peak, then steady until 80 % of the fuel is burnt,
             │          ╲            then a linear decay (NFPA 72 annex B; SFPE Handbook)
         ╱t²            ╲
    ────────────────────────── t

Yields (kg per kg of fuel) and heats of combustion: Tewarson, SFPE Handbook table 3-4.16 (well ventilated). Smoke is
given as extinction area: 8.7 m² per g of flaming soot (Mulholland and Croarkin 2000), 4.4 m²/g of smouldering smoke
(Seader and Einhorn 1976). Smouldering: 0.1 t + 0.0185 t² g/min, t in min, up to an hour, then 73 g/min; CO 0.11 kg/kg
(Quintiere, Birky, Macdonald, Smith 1982).
"""

from __future__ import annotations

import msgspec

from firmware_sim.world_plan import Fuel, Growth

ALPHA_KW_S2: dict[Growth, float] = {
    Growth.SLOW: 0.00293, Growth.MEDIUM: 0.01172, Growth.FAST: 0.0469, Growth.ULTRAFAST: 0.1876,
}
FLAMING_M2_PER_KG = 8700.0
SMOULDERING_M2_PER_KG = 4400.0
_DECAY_FROM = 0.8
# A smouldering bed gives off most of its smoke in the first two hours; the source speaks of 60 to 120 min.
_SMOULDER_STEADY_G_MIN = 73.0


class FuelTraits(msgspec.Struct, frozen=True):
    """heat_kj_kg: of combustion. soot, co, co2: yields in kg/kg."""

    heat_kj_kg: float
    soot: float
    co: float
    co2: float


FUELS: dict[Fuel, FuelTraits] = {
    Fuel.WOOD: FuelTraits(12_400.0, 0.015, 0.004, 1.27),
    Fuel.PAPER: FuelTraits(13_200.0, 0.010, 0.005, 1.3),
    Fuel.POLYURETHANE: FuelTraits(17_800.0, 0.131, 0.010, 1.55),
    Fuel.POLYSTYRENE: FuelTraits(27_000.0, 0.164, 0.060, 2.33),
    Fuel.OIL: FuelTraits(41_200.0, 0.037, 0.010, 2.85),
    Fuel.CLEAN: FuelTraits(49_600.0, 0.0005, 0.001, 2.72),
}


class FireGrowth:
    """One flaming fire: age and burnt energy. fuel_mj 0: burns for ever."""

    def __init__(self, growth: Growth, peak_kw: float, fuel_mj: float) -> None:
        self._alpha = ALPHA_KW_S2[growth]
        self._peak_kw = peak_kw
        self._fuel_kj = fuel_mj * 1000.0
        self.burnt_kj = 0.0
        self.age_s = 0.0

    @property
    def burnt_out(self) -> bool:
        """Whether nothing is left to speak of (a thousandth)."""
        return self._fuel_kj > 0.0 and self.burnt_kj >= 0.999 * self._fuel_kj

    def step(self, step_s: float, oxygen_factor: float) -> float:
        """Mean heat release of the step in kW, bounded by the oxygen that is there (0 to 1)."""
        # Mean of alpha t² over the step, so that long and short steps release the same energy.
        begin, end = self.age_s, self.age_s + step_s
        wanted = min(self._peak_kw, self._alpha * (begin * begin + begin * end + end * end) / 3.0)
        if self._fuel_kj > 0.0:
            left = 1.0 - self.burnt_kj / self._fuel_kj
            wanted *= min(1.0, max(0.0, left / (1.0 - _DECAY_FROM)))
        kw = wanted * oxygen_factor
        self.age_s = end if oxygen_factor > 0.3 else begin  # a starving fire does not grow
        self.burnt_kj += kw * step_s
        return kw


def smoulder_g_min(age_s: float) -> float:
    """Mass loss of a smouldering bed or sofa."""
    minutes = age_s / 60.0
    if minutes >= 60.0:
        return _SMOULDER_STEADY_G_MIN
    return min(_SMOULDER_STEADY_G_MIN, 0.1 * minutes + 0.0185 * minutes * minutes)
