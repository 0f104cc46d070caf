"""Every kind of device that the product promises has a profile, and no profile claims more than its source."""

from __future__ import annotations

import pytest

from device_model.library import shipped_profiles
from device_model.profile import Certainty, DeviceClass

PROFILES = shipped_profiles()
QUANTITIES = {name: {point.quantity for point in profile.points} for name, profile in PROFILES.items()}

# What is promised: (kind, class, quantities of which one at least is measured; none: the class says it).
PROMISED: tuple[tuple[str, DeviceClass, tuple[str, ...]], ...] = (
    ("smoke", DeviceClass.SMOKE, ("smoke_alarm",)), ("heat", DeviceClass.HEAT, ()), ("CO", DeviceClass.CO, ()),
    ("combustible gas", DeviceClass.GAS, ("gas_lel", "gas_alarm")), ("toxic gas", DeviceClass.GAS, ()),
    ("hydrant and pipe pressure", DeviceClass.PRESSURE, ("pressure",)),
    ("tank and flood level", DeviceClass.LEVEL, ("level",)), ("leak", DeviceClass.LEAK, ("leak",)),
    ("water meter", DeviceClass.WATER_METER, ()), ("air station", DeviceClass.AIR, ()),
    ("dust station", DeviceClass.AIR, ("pm10", "pm2_5", "tsp")), ("noise station", DeviceClass.AIR, ("noise",)),
    ("weather", DeviceClass.AIR, ("wind_speed", "rain")),
    ("energy meter", DeviceClass.POWER_METER, ("energy",)), ("BMS", DeviceClass.BATTERY, ()),
    ("e-bike charger", DeviceClass.CHARGER, ()), ("UPS", DeviceClass.UPS, ()), ("door", DeviceClass.DOOR, ()),
    ("IO module", DeviceClass.IO_MODULE, ()), ("pump controller", DeviceClass.PUMP, ()),
    ("fire panel", DeviceClass.FIRE_PANEL, ()), ("valve", DeviceClass.VALVE, ()),
    ("call point", DeviceClass.CALL_POINT, ()),
)


@pytest.mark.parametrize(("kind", "device_class", "quantities"), PROMISED, ids=[kind for kind, _, _ in PROMISED])
def test_every_promised_kind_has_a_profile(kind: str, device_class: DeviceClass, quantities: tuple[str, ...]) -> None:
    found = [name for name, profile in PROFILES.items() if profile.device_class is device_class
             and (not quantities or any(q.startswith(quantities) for q in QUANTITIES[name]))]
    assert found, f"no profile for {kind}"


def test_electrical_fire_monitoring_measures_residual_current_and_cable_temperature() -> None:
    assert any("residual_current" in found for found in QUANTITIES.values())


def test_sixty_and_more_with_sources() -> None:
    assert len(PROFILES) >= 60
    assert all(profile.source and profile.certainty in Certainty for profile in PROFILES.values())
