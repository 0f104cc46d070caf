"""Laws 1 and 2: a device whose own clock is wrong, or is set back, can neither delay nor mute what it says."""

from __future__ import annotations

import pytest

from device_drivers.driver import DeviceRead, LineDevice
from device_drivers.payload_map import PayloadMap
from device_model.clock import SECOND_US, Now
from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    MqttTraits,
    PayloadSource,
    ProfilePoint,
)
from device_model.reading import Reading
from device_model.site import Device, Text

START = Now(1_700_000_000 * SECOND_US, 5 * SECOND_US, "b")
PROFILE = DeviceProfile("p", 1, "m", "m", "p", "p", DeviceClass.SMOKE, Certainty.A, "s", (
    ProfilePoint("smoke", "smoke_alarm", "1", "s", "s", payload=PayloadSource(
        "", "smoke", 1.0, 0.0, ("true",), ("false",), "ts", "s")),
), mqtt=MqttTraits("z/{address}"))
DEVICE = LineDevice(Device("d", "p", "l", "z1", Text("d", "d"), address="a"), PROFILE)


def said(payloads: PayloadMap, smoke: object, stamp_s: float, now: Now) -> list[Reading]:
    payload = f'{{"smoke":{str(smoke).lower()},"ts":{stamp_s}}}'.encode()
    return [r for e in payloads.take("z/a", payload, False, now) if isinstance(e, DeviceRead) for r in e.readings]


@pytest.mark.parametrize("behind_s", [3, 60, 3600, 86_400 * 30, 1_700_000_000])
def test_a_clock_that_is_behind_does_not_make_a_live_message_late(behind_s: int) -> None:
    payloads = PayloadMap((DEVICE,), START)
    (reading,) = said(payloads, True, START.wall_us / 1e6 - behind_s, START)
    assert reading.value is True and reading.source_time_us == START.wall_us


def test_a_clock_that_is_set_back_does_not_make_the_next_message_older() -> None:
    payloads = PayloadMap((DEVICE,), START)
    (first,) = said(payloads, False, START.wall_us / 1e6, START)
    later = START.later(SECOND_US // 2)
    (second,) = said(payloads, True, START.wall_us / 1e6 - 1, later)
    assert second.source_time_us == later.wall_us > first.source_time_us
