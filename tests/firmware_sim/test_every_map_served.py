"""Every point of every profile that the simulator serves: what the device shows is what the gateway's driver reads.

Point by point, not a sample: a map that stands wrong in either side fails here by profile, point and value.
"""

from __future__ import annotations

import pytest

from device_model.library import shipped_profiles
from device_model.profile import DeviceProfile, ProfilePoint
from device_model.quantities import QUANTITIES, to_canonical
from device_model.reading import Quality, Value
from firmware_sim.device import VirtualDevice
from firmware_sim.noise import Noise
from tests.firmware_sim.served_maps import read_back
from tests.firmware_sim.test_shipped_profiles_real import chosen

PROFILES = shipped_profiles()
# What the simulator does not play, with the reason: a profile that ships anew is served, or stands here.
NOT_SERVED = {
    "tocsin-gateway": "the gateway's own machine: no device and no line",
    "aliyun-tsl-climate": "aliyun-tsl", "chirpstack-lht65": "chirpstack", "homeassistant-climate": "homeassistant",
    "homie-climate": "homie", "senml-power": "senml", "sparkplug-io": "sparkplug",
}
SERVED = sorted(PROFILES.keys() - NOT_SERVED.keys())
ROUNDS = 2


def wanted(profile: DeviceProfile, turn: int) -> dict[str, Value]:
    """A value for every point that may be given one; booleans take both sides over the rounds."""
    noise, found = Noise(turn, profile.id), dict[str, Value]()
    leant_on = {name for point in profile.points if point.register is not None
                for name in (point.register.unit_point, point.register.decimals_point)}
    for number, point in enumerate(profile.points):
        quantity = QUANTITIES[point.quantity]
        if point.id in leant_on or point.state_codes or point.quantity in ("state_code", "uptime", "low_battery"):
            continue
        if quantity.text:
            found[point.id] = f"text {turn}"
        elif quantity.boolean:
            found[point.id] = bool((number + turn) % 2)
        elif point.register is not None:
            found[point.id] = chosen(point, noise)
        else:  # eighths within what it may tell: exact in JSON and, as hundredths, in a station's two decimals
            low, high = point.minimum or 0.0, min(point.maximum or 100.0, (point.minimum or 0.0) + 100.0)
            found[point.id] = low + noise.below(4) / 4 * (high - low)
    return found


def resolution(device: VirtualDevice, point: ProfilePoint) -> float:
    """The smallest step that the point's register, frame or text can tell, in the point's canonical unit."""
    source = point.register
    if device.profile.gbt26875 is not None:
        step = 0.1  # kPa, of table 6's analog value
    elif source is None:
        step = 0.01 if device.profile.hj212 is not None else 1e-4  # N14.2; four decimals of JSON
    else:
        step = 0.1 if source.decimals_point else max(abs(source.scale), 1e-6)
    return abs(to_canonical(point.quantity, point.unit, step) - to_canonical(point.quantity, point.unit, 0.0))


def differing(device: VirtualDevice) -> list[str]:
    """What the driver reads otherwise than the device shows, point by point."""
    seen, wrong = read_back(device, PROFILES["gbt26875-uitd"]), []
    for point in device.profile.points:
        truth, reading = device.shown[point.id], seen.get(point.id)
        if reading is None or reading.quality is not Quality.GOOD:
            wrong.append(f"{point.id}: shown {truth}, read {reading and (reading.quality, reading.reason)}")
        elif QUANTITIES[point.quantity].boolean or isinstance(truth, str):
            if reading.value != truth:
                wrong.append(f"{point.id}: shown {truth}, read {reading.value}")
        elif reading.value != pytest.approx(to_canonical(point.quantity, point.unit, truth), rel=1e-6,
                                            abs=resolution(device, point)):
            wrong.append(f"{point.id}: shown {truth} {point.unit}, read {reading.value} {reading.unit}")
    return wrong


@pytest.mark.parametrize("name", SERVED)
def test_every_point_is_served_and_read_as_it_is(name: str) -> None:
    profile = PROFILES[name]
    assert differing(VirtualDevice("d", profile)) == [], "as it comes up"
    for turn in range(ROUNDS):
        device = VirtualDevice("d", profile)
        for point_id, value in wanted(profile, turn).items():
            device.set(point_id, value)
        assert differing(device) == [], f"round {turn}"


def test_the_table_of_what_is_not_served_is_whole() -> None:
    for name, why in NOT_SERVED.items():
        traits = PROFILES[name].mqtt
        assert traits is None or traits.template == why
    speaks = {profile.mqtt.template for profile in PROFILES.values() if profile.mqtt and profile.id in SERVED}
    assert speaks == {"", "zigbee2mqtt"} and len(SERVED) + len(NOT_SERVED) == len(PROFILES)
