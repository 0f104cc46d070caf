"""Registry: driver name → pure driver. The only list; a new protocol adds its line here."""

from __future__ import annotations

from device_drivers import fire_panel, payload_map, register_driver, station
from device_drivers.driver import Capabilities, PureDriver
from device_model.profile import DeviceProfile

DRIVERS: dict[str, PureDriver] = {
    driver.name: driver
    for driver in (
        PureDriver("modbus", register_driver.CAPABILITIES, register_driver.check_profile),
        # Level probes are read as three input registers (lls_link.py); they cannot be written.
        PureDriver("lls", Capabilities(), register_driver.check_profile),
        PureDriver("mqtt", Capabilities(writes=True, device_time=True), payload_map.check_profile),
        PureDriver("gbt26875", Capabilities(), fire_panel.check_profile),
        # The gateway's own machine; its looks need the agent, so that its driver is edge_agent/gateway_device.py.
        PureDriver("gateway", Capabilities(), lambda profile: ()),
        PureDriver("hj212", Capabilities(device_time=True), station.check_profile),
    )
}


def driver_for(profile: DeviceProfile) -> PureDriver:
    """The driver that reads a profile; KeyError names the protocol that nobody here speaks."""
    return DRIVERS[profile.protocol]
