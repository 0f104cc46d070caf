"""Datums: the published pairs of the open converters, the way back, and places outside the box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.datum import convert
from device_model.site import Datum

WGS, GCJ = Datum.WGS_84, Datum.GCJ_02


# The test vectors that the open converters (eviltransform and its kin) share.
@pytest.mark.parametrize(("wgs", "gcj"), [
    ((31.1774276, 121.5272106), (31.17530398364597, 121.531541859215)),
    ((22.543847, 113.912316), (22.540796131694766, 113.9171764808363)),
    ((39.911954, 116.377817), (39.91334545536069, 116.38404722455657)),
    ((39.739200, -104.990300), (39.739200, -104.990300)),
    ((-27.469800, 153.025100), (-27.469800, 153.025100)),
])
def test_published_pairs(wgs: tuple[float, float], gcj: tuple[float, float]) -> None:
    assert convert(*wgs, WGS, GCJ) == pytest.approx(gcj, abs=1e-9)
    assert convert(*gcj, GCJ, WGS) == pytest.approx(wgs, abs=1e-9)
    assert convert(*wgs, WGS, WGS) == wgs and convert(*gcj, GCJ, GCJ) == gcj


@given(st.floats(18.5, 53.0), st.floats(74.0, 134.0))
def test_there_and_back_is_within_a_millimetre(latitude: float, longitude: float) -> None:
    there = convert(latitude, longitude, WGS, GCJ)
    assert convert(*there, GCJ, WGS) == pytest.approx((latitude, longitude), abs=1e-8)
    assert 0 < abs(there[0] - latitude) + abs(there[1] - longitude) < 0.02
