"""Driver: what every way of reaching devices has in common, and the things that a driver may say.

    LineExchange / MessageLink          (ports: bytes)
            │
         Driver.run()  ── emit ──►  DeviceRead   some points proven fresh, changed ones as Readings
                                    DeviceFailed a device is lost (said once; the next DeviceRead says it is back)
                                    LineState    the line itself went or came (said once per change)
                      DeviceNotice what a person should know and is no value
                      DutyAsked    somebody wants to know whether a person is there; DutySettled: told, or not

A driver never raises for a device's misbehaviour: what a device does wrong is an event, not an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from device_model.clock import Now
from device_model.errors import PeerSilent
from device_model.inventory import Inventory
from device_model.profile import DeviceProfile
from device_model.reading import Reading, Reason
from device_model.site import Device, Text


class LineDevice(msgspec.Struct, frozen=True):
    """A device of one line with the profile that says how to read it."""

    device: Device
    profile: DeviceProfile


class DeviceRead(msgspec.Struct, frozen=True):
    """A device answered. `readings` holds the points whose value, quality or reason changed (canonical units);
    `fresh` the full names of all points that this answer proves to be current, changed or not."""

    device: str
    readings: tuple[Reading, ...]
    fresh: tuple[str, ...]
    at: Now


class DeviceFailed(msgspec.Struct, frozen=True):
    """A device is lost: none of its points can be trusted until a DeviceRead lists them again."""

    device: str
    reason: Reason
    detail: str
    at: Now


class LineState(msgspec.Struct, frozen=True):
    """A line (TCP endpoint, serial port, broker) became reachable or unreachable."""

    line: str
    up: bool
    detail: str
    at: Now


class DeviceNotice(msgspec.Struct, frozen=True):
    """Something that a person should know and that is no value: an operation on a panel, a duty check answered, a
    component that the site file does not list. `device` is "" where the line itself is meant."""

    line: str
    device: str
    kind: str
    text: Text
    at: Now


class DutyAsked(msgspec.Struct, frozen=True):
    """A monitoring centre asks over a line whether a person is on duty (查岗). Only a person answers.

    check: its id; asker: the centre's address; due_us: until when, wall time, µs since 1970 UTC."""

    line: str
    device: str
    check: str
    asker: str
    due_us: int
    at: Now


class DutySettled(msgspec.Struct, frozen=True):
    """A person's answer reached the asker (`delivered`), or did not, for `detail`."""

    line: str
    device: str
    check: str
    delivered: bool
    detail: str
    at: Now


DriverEvent = DeviceRead | DeviceFailed | LineState | DeviceNotice | DutyAsked | DutySettled
Emit = Callable[[DriverEvent], None]


class LineUnreachable(PeerSilent):
    """The line itself cannot be had: connection refused, serial port gone. Nothing was sent."""


class Capabilities(msgspec.Struct, frozen=True):
    """What a driver can do beyond reading."""

    writes: bool = False
    scans: bool = False  # can look for unknown devices, reading only (law 8)
    device_time: bool = False  # readings may carry the device's own time


class PureDriver(msgspec.Struct, frozen=True):
    """The pure side of a driver, as `registry.py` lists it."""

    name: str
    capabilities: Capabilities
    check: Callable[[DeviceProfile], tuple[str, ...]]  # what of a profile this driver cannot do, for people


@runtime_checkable
class AnswersDuty(Protocol):
    """A driver over whose line somebody may ask whether a person is on duty."""

    def answer_duty(self, check: str) -> str:
        """A person answered that check: "" when the answer is on its way, else why it cannot be sent."""
        ...


class Driver(Protocol):
    """A running driver of one line."""

    async def run(self) -> None:
        """Until cancelled. Ends by itself only when its link is closed."""
        ...

    async def write(self, device: str, point: str, value: bool | float) -> None:
        """Set a writable point; returns when the device confirmed it (an echo, not a proof: law 5).

        Raises PeerSilent, PeerRefused, PeerGarbled; LocalFault when the point is not writable or the queue of
        writes is full.
        """
        ...


def devices_on_line(inventory: Inventory, line: str) -> tuple[LineDevice, ...]:
    """The devices of one line with their profiles, in the order of the site file."""
    return tuple(
        LineDevice(device, inventory.profiles[device.profile])
        for device in inventory.site.devices
        if device.line == line
    )
