"""The firmware's manners: latch, reset, warm-up, hush, battery, failure, power."""

from __future__ import annotations

import pytest

from device_model.profile import RegisterSource, RegisterType, Table
from device_model.reading import Reason
from firmware_sim.device import Refused, VirtualDevice
from firmware_sim.physics import SensorTraits
from tests.firmware_sim.sim_fixtures import CLIMATE, DUCT, GAS, RADIO, point, profile

SMOKE = SensorTraits("dB/m", 8.0, 0.22)


def run(device: VirtualDevice, seconds: float) -> None:
    for _ in range(round(seconds * 4)):
        device.advance(0.25)


def test_smoke_alarms_with_lag_and_latches_until_reset() -> None:
    duct = VirtualDevice("d", DUCT)
    duct.feed("smoke", 0.0, SMOKE)
    duct.feed("smoke", 0.5)
    run(duct, 2)
    assert duct.shown["smoke"] is False  # 0.5 dB/m reaches 0.11 after 2 s of an 8 s lag
    run(duct, 4)
    assert duct.shown["smoke"] is True and duct.image.read(Table.DISCRETE_INPUT, 2, 1) == [1]
    duct.feed("smoke", 0.0)
    run(duct, 120)
    assert duct.shown["smoke"] is True
    duct.write(Table.HOLDING, 0, [233])
    assert duct.shown["smoke"] is True
    duct.write(Table.HOLDING, 0, [234])
    assert duct.shown["smoke"] is False and duct.image.read(Table.HOLDING, 0, 2) == [0, 234]


def test_a_reset_in_smoke_does_not_clear() -> None:
    duct = VirtualDevice("d", DUCT)
    duct.feed("smoke", 0.0, SMOKE)
    duct.feed("smoke", 5.0)
    run(duct, 10)
    duct.write(Table.HOLDING, 0, [234])
    assert duct.shown["smoke"] is True


def test_a_radio_detector_clears_by_itself_and_hush_makes_it_deafer_not_deaf() -> None:
    radio = VirtualDevice("r", RADIO)
    radio.feed("smoke", 0.0, SMOKE)
    radio.feed("smoke", 0.5)
    run(radio, 60)
    assert radio.shown["smoke"] is True
    radio.press("silence")
    run(radio, 1)
    assert radio.shown["smoke"] is False
    radio.feed("smoke", 2.0)
    run(radio, 30)
    assert radio.shown["smoke"] is True
    radio.feed("smoke", 0.0)
    run(radio, 60)
    assert radio.shown["smoke"] is False


def test_the_test_button_ends_by_itself() -> None:
    radio = VirtualDevice("r", RADIO)
    radio.press("test")
    assert radio.shown["smoke"] is True
    run(radio, 11)
    assert radio.shown["smoke"] is False


def test_warm_up_and_failure_show_in_the_state_register() -> None:
    gas = VirtualDevice("g", GAS, cold=True)
    assert gas.image.read(Table.HOLDING, 5, 1) == [0]
    run(gas, 31)
    assert gas.image.read(Table.HOLDING, 5, 1) == [1]
    gas.set_bad("co", Reason.DEVICE_FAULT)
    assert gas.image.read(Table.HOLDING, 5, 1) == [3] and gas.shown["co"] is None
    gas.set("co", 20.0)
    assert gas.image.read(Table.HOLDING, 5, 1) == [1]


def test_an_error_value_stands_where_the_profile_has_one_else_reading_fails() -> None:
    room = VirtualDevice("c", CLIMATE)
    room.set_bad("temperature")
    assert room.image.read(Table.INPUT, 4, 1) == [0x7FFF] and not room.fails_at(Table.INPUT, 4, 1)
    room.set_bad("voltage")
    assert room.fails_at(Table.INPUT, 20, 2) and not room.fails_at(Table.INPUT, 10, 2)


def test_low_battery_follows_the_battery() -> None:
    radio = VirtualDevice("r", RADIO)
    assert radio.shown["battery"] == 100.0 and radio.shown["battery_low"] is False
    radio.set("battery", 9)
    assert radio.shown["battery_low"] is True


def test_power_makes_it_silent_then_booting_then_fresh() -> None:
    duct = VirtualDevice("d", DUCT)
    duct.set("smoke", True)
    duct.power(on=False)
    run(duct, 1)
    assert not duct.answers
    duct.power(on=True)
    assert not duct.answers
    run(duct, 4)
    assert duct.answers and duct.shown["smoke"] is False


def test_stuck_jump_and_noise_are_seeded() -> None:
    def trace(seed: int) -> list[object]:
        noisy = profile("noisy", (point("t", "temperature", "Cel", natural_noise=0.2),))
        device = VirtualDevice("x", noisy, seed=seed)
        device.feed("t", 20.0)
        shown = []
        for _ in range(20):
            device.advance(0.25)
            shown.append(device.shown["t"])
        return shown

    assert trace(1) == trace(1) != trace(2)
    room = VirtualDevice("c", CLIMATE)
    room.shift("temperature", 3.0)
    assert room.shown["temperature"] == 24.0
    room.freeze("temperature", True)
    room.set("temperature", 60.0)
    assert room.shown["temperature"] == 24.0
    room.freeze("temperature", False)
    assert room.shown["temperature"] == 63.0


@pytest.mark.parametrize(("table", "address"), [(Table.DISCRETE_INPUT, 2), (Table.HOLDING, 1), (Table.HOLDING, 9)])
def test_what_is_not_writable_is_refused(table: Table, address: int) -> None:
    with pytest.raises(Refused) as refusal:
        VirtualDevice("d", DUCT).write(table, address, [1])
    assert refusal.value.code == 2


def test_wide_and_shared_registers_can_be_written() -> None:
    panel = profile("panel", (
        point("level", "level", "m", register=RegisterSource(Table.HOLDING, 0, RegisterType.F32), writable=True),
        point("siren", "sounder", register=RegisterSource(Table.HOLDING, 2, RegisterType.BIT, bit=3), writable=True),
        point("fault", "fault", register=RegisterSource(Table.HOLDING, 2, RegisterType.BIT, bit=4)),
        point("limit", "temperature", "Cel", writable=True,
              register=RegisterSource(Table.HOLDING, 3, RegisterType.S16, scale=0.1)),
    ))
    device = VirtualDevice("p", panel)
    device.write(Table.HOLDING, 0, [0x40A0, 0x0000])
    assert device.shown["level"] == 5.0
    device.write(Table.HOLDING, 2, [0xFFFF, 0xFFCE])
    assert (device.shown["siren"], device.shown["fault"], device.shown["limit"]) == (True, False, -5.0)
    assert device.image.read(Table.HOLDING, 2, 1)[0] & 0x10 == 0  # a status bit cannot be written


def test_changes_are_told_once() -> None:
    duct = VirtualDevice("d", DUCT)
    duct.set("smoke", True)
    duct.set("smoke", True)
    assert [(c.point, c.value) for c in duct.take_changes()] == [("smoke", True)]
    assert duct.take_changes() == []


def test_over_range_saturates() -> None:
    gas = VirtualDevice("g", GAS, start={"co": 99_999.0})
    assert gas.image.read(Table.HOLDING, 1, 1) == [0xFFFF]
