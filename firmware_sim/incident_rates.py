"""How often things happen to fire protection devices, and at which hour. Numbers only; fleet.py draws from them.

Hours and causes are counted: Avon Fire and Rescue, July 2014, 1,084 calls (github BathHacked/avon-fire-incidents
74bd0e815b22; counts of a public authority, facts). Rates a device and year are put together from them:

- a dwelling fire: 43 in the month among some 450,000 dwellings, a detector each: 0.0011 a year (number of dwellings:
  census 2011, rounded).
- an alarm without fire: for one that becomes a call (160 in the month from apparatus in dwellings: 0.004 a year) a
  networked detector tells many that nobody calls about. 0.1 a year is assumed; `rate` of a fleet scales all of it.
- low battery: a five-year battery; radio silence, tamper, pressure and charger troubles: assumed, as said below.
"""

from __future__ import annotations

from types import MappingProxyType

import msgspec

# Calls in each hour of the day, 0 to 23.
FALSE_ALARMS_BY_HOUR = (18, 23, 9, 11, 12, 7, 15, 21, 21, 22, 19, 28, 33, 24, 28, 24, 23, 19, 33, 32, 23, 24, 36, 18)
FIRES_BY_HOUR = (13, 11, 5, 9, 3, 6, 3, 5, 4, 7, 10, 11, 16, 17, 13, 15, 24, 27, 26, 23, 20, 39, 15, 22)
EVENLY = (1,) * 24
# Why apparatus in dwellings called without a fire, of the reasons that were named.
FALSE_ALARM_CAUSES = MappingProxyType({
    "cooking": 52, "faulty": 29, "dust": 11, "set off by accident": 7, "steam": 5, "testing": 5, "smoking": 4,
    "power surge": 3, "water": 3, "other": 8,
})


class Happening(msgspec.Struct, frozen=True):
    """One kind of event of a device. per_year: a device and year. lasts_s: shortest and longest, evenly. point,
    value: what it shows while it lasts and `well` after it; point "": the device is silent. by_hour: when."""

    name: str
    per_year: float
    lasts_s: tuple[float, float]
    point: str = ""
    value: bool | float = True
    well: bool | float = False
    by_hour: tuple[int, ...] = EVENLY
    fire: bool = False


SMOKE_DETECTOR = (
    Happening("fire", 0.0011, (600.0, 3600.0), "smoke", by_hour=FIRES_BY_HOUR, fire=True),
    Happening("false alarm", 0.1, (60.0, 600.0), "smoke", by_hour=FALSE_ALARMS_BY_HOUR),
    Happening("low battery", 0.2, (86_400.0, 864_000.0), "battery", 9.0, 100.0),
    Happening("silent", 0.5, (300.0, 86_400.0)),
)
HYDRANT = (
    Happening("no pressure", 0.5, (600.0, 14_400.0), "pressure", 20.0, 350.0),
    Happening("silent", 0.5, (300.0, 86_400.0)),
)
CHARGER = (
    Happening("too hot", 0.05, (300.0, 3600.0), "too_hot", by_hour=FIRES_BY_HOUR),
    Happening("residual current", 0.2, (60.0, 7200.0), "rcd"),
    Happening("silent", 1.0, (60.0, 14_400.0)),
)
STATION = (
    Happening("dust", 6.0, (1800.0, 14_400.0), "pm10", 450.0, 60.0),
    Happening("silent", 4.0, (300.0, 86_400.0)),
)
