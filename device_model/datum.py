"""Datums of coordinates: WGS-84 (GPS, OpenStreetMap) and GCJ-02 (maps published in China), for the map's edge.

    site file (its own datum) ──► convert ──► datum of what is drawn below it

GCJ-02 shifts places in mainland China by 100 to 700 m. Its formula was never published; this is the one that all open
converters share, right to some metres [INFER]: good to draw with, not to survey with. Values only.
"""

from __future__ import annotations

from math import cos, pi, sin, sqrt

from device_model.site import Datum

# The ellipsoid of Krasovsky 1940, on which GCJ-02 rests.
_A_M = 6378245.0
_EE = 0.00669342162296594323
# Outside this box the shift does not apply: latitude, then longitude, in degrees.
_BOX = (0.8293, 55.8271, 72.004, 137.8347)
_ROUNDS = 6  # the inverse converges tenfold a round and more: far below a millimetre


def convert(latitude: float, longitude: float, source: Datum, target: Datum) -> tuple[float, float]:
    """A place in another datum, in degrees. Places outside mainland China's box are the same in both."""
    if source is target or not (_BOX[0] <= latitude <= _BOX[1] and _BOX[2] <= longitude <= _BOX[3]):
        return latitude, longitude
    if target is Datum.GCJ_02:
        return _shifted(latitude, longitude)
    found = latitude, longitude
    for _ in range(_ROUNDS):
        there = _shifted(*found)
        found = found[0] + latitude - there[0], found[1] + longitude - there[1]
    return found


def _shifted(latitude: float, longitude: float) -> tuple[float, float]:
    x, y = longitude - 105.0, latitude - 35.0
    wave = (20.0 * sin(6.0 * x * pi) + 20.0 * sin(2.0 * x * pi)) * 2.0 / 3.0
    north = (-100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x)) + wave
             + (20.0 * sin(y * pi) + 40.0 * sin(y / 3.0 * pi)) * 2.0 / 3.0
             + (160.0 * sin(y / 12.0 * pi) + 320.0 * sin(y * pi / 30.0)) * 2.0 / 3.0)
    east = (300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x)) + wave
            + (20.0 * sin(x * pi) + 40.0 * sin(x / 3.0 * pi)) * 2.0 / 3.0
            + (150.0 * sin(x / 12.0 * pi) + 300.0 * sin(x / 30.0 * pi)) * 2.0 / 3.0)
    angle = latitude / 180.0 * pi
    magic = 1.0 - _EE * sin(angle) ** 2
    return (latitude + north * 180.0 / ((_A_M * (1.0 - _EE)) / (magic * sqrt(magic)) * pi),
            longitude + east * 180.0 / (_A_M / sqrt(magic) * cos(angle) * pi))
