"""Device drivers: profile and bytes become Readings. See README.md; the I/O files are imported by name only."""

from device_drivers.driver import (
    Capabilities,
    DeviceFailed,
    DeviceRead,
    Driver,
    DriverEvent,
    Emit,
    LineDevice,
    LineState,
    LineUnreachable,
    PureDriver,
    devices_on_line,
)
from device_drivers.payload_map import PayloadMap, subscriptions_of
from device_drivers.register_driver import RegisterLine
from device_drivers.register_plan import Block, Learnt, plan_blocks
from device_drivers.register_values import DeviceValues
from device_drivers.registry import DRIVERS, driver_for

__all__ = [
    "DRIVERS", "Block", "Capabilities", "DeviceFailed", "DeviceRead", "DeviceValues", "Driver", "DriverEvent", "Emit",
    "Learnt", "LineDevice", "LineState", "LineUnreachable", "PayloadMap", "PureDriver", "RegisterLine",
    "devices_on_line", "driver_for", "plan_blocks",
    "subscriptions_of",
]
