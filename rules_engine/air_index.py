"""Air quality index as tables: China (HJ 633-2026, and 2012 for older records) and US EPA (2024). Pure numbers.

    concentration ─ rounded as the standard says ─► between two break points ─► index of that pollutant, 0 … 500
    AQI = the largest index; above 50 the pollutants that have it are the primary ones

Break points, rounding and the rules beyond the tables: thresholds.md section 9 (HJ 633-2026 in force 2026-03-01, US
EPA 40 CFR 58 appendix G in force 2024-05-06). Real-time reports use the 1 h mean of PM with the 24 h table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rules_engine.condition_types import Type

STEPS_CN = (0, 50, 100, 150, 200, 300, 400, 500)
# µg/m3, CO mg/m3; one concentration a step above 0. Shorter rows end at the step beyond which that mean says no more.
TABLE_CN: dict[str, tuple[float, ...]] = {
    "pm25": (35, 60, 115, 150, 250, 350, 500),
    "pm10": (50, 120, 250, 350, 420, 500, 600),
    "so2_24h": (50, 150, 475, 800, 1600, 2100, 2620),
    "so2_1h": (150, 500, 650, 800),
    "no2_24h": (40, 80, 180, 280, 565, 750, 940),
    "no2_1h": (100, 200, 700, 1200, 2340, 3090, 3840),
    "co_24h": (2, 4, 14, 24, 36, 48, 60),
    "co_1h": (5, 10, 35, 60, 90, 120, 150),
    "o3_1h": (160, 200, 300, 400, 800, 1000, 1200),
    "o3_8h": (100, 160, 215, 265, 800),
}
TABLE_CN_2012: dict[str, tuple[float, ...]] = {
    **TABLE_CN, "pm25": (35, 75, 115, 150, 250, 350, 500), "pm10": (50, 150, 250, 350, 420, 500, 600)}
STEPS_US = (0, 50, 100, 150, 200, 300, 500)
# The highest concentration of each class, truncated to so many decimals before it is looked up.
TABLE_US: dict[str, tuple[tuple[float, ...], int]] = {
    "pm25": ((9.0, 35.4, 55.4, 125.4, 225.4, 325.4), 1),
    "pm10": ((54, 154, 254, 354, 424, 604), 0),
    "o3_8h": ((0.054, 0.070, 0.085, 0.105, 0.200), 3),
    "co_8h": ((4.4, 9.4, 12.4, 15.4, 30.4, 50.4), 1),
    "so2_1h": ((35, 75, 185, 304, 604, 1004), 0),
    "no2_1h": ((53, 100, 360, 649, 1249, 2049), 0),
}
# mg/m3 of 1 ppm at 25 °C and 1013.25 hPa (GB 3095 reference state): molar mass / 24.45.
_MG_PER_PPM = {"so2": 64.06 / 24.45, "no2": 46.01 / 24.45, "co": 28.01 / 24.45, "o3": 48.00 / 24.45}


def index_cn(pollutant: str, concentration: float, *, edition: int = 2026) -> float:
    """IAQI of one pollutant, a whole number 0 … 500. concentration: µg/m3, CO mg/m3. KeyError for another name."""
    row = (TABLE_CN if edition >= 2026 else TABLE_CN_2012)[pollutant]
    # Half-even, as the standard's rounding rule (GB/T 8170) has it; Python's round does the same.
    value = round(max(0.0, concentration), 1 if pollutant.startswith("co") else 0)
    low = 0.0
    for number, high in enumerate(row):
        if value <= high:
            below, above = STEPS_CN[number], STEPS_CN[number + 1]
            # Against a last digit that binary fractions add: 37.5 stays 37.5 before it is rounded up.
            return float(math.ceil(round(below + (above - below) * (value - low) / (high - low), 6)))
        low = high
    return float(STEPS_CN[len(row)])


def index_us(pollutant: str, concentration: float) -> float:
    """AQI of one pollutant, 0 … 500 (500 beyond the table). PM in µg/m3, O3 and CO in ppm, SO2 and NO2 in ppb.
    KeyError for another name."""
    row, decimals = TABLE_US[pollutant]
    step = 10.0**-decimals
    value = math.floor(round(max(0.0, concentration) / step, 6)) * step
    low = 0.0
    for number, high in enumerate(row):
        if value <= high + step / 10:
            below = STEPS_US[number] + (1 if number else 0)
            return float(round(below + (STEPS_US[number + 1] - below) * (value - low) / (high - low)))
        low = high + step
    return float(STEPS_US[len(row)])


def air_quality(indices: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    """(AQI, primary pollutants) of single indices; no primary one up to 50. ValueError where there is none."""
    most = max(indices.values())
    return most, tuple(name for name, value in indices.items() if value == most) if most > 50 else ()


def factor_of(standard: str, pollutant: str, unit: Type) -> float | None:
    """What a number of that unit (canonical: ug/m3, mg/m3, [ppm]) is multiplied by for the table; None where the unit
    or the pollutant does not fit."""
    gas = pollutant.partition("_")[0]
    if pollutant not in (TABLE_CN if standard == "cn" else TABLE_US) or unit.kind != "number":
        return None
    if gas.startswith("pm"):
        return 1.0 if unit.unit == "ug/m3" else None
    ppm = {"[ppm]": 1.0, "mg/m3": 1.0 / _MG_PER_PPM[gas]}.get(unit.unit)
    if ppm is None:
        return None
    if standard == "us":
        return ppm * (1000.0 if gas in ("so2", "no2") else 1.0)
    return ppm * _MG_PER_PPM[gas] * (1.0 if gas == "co" else 1000.0)
