"""Profiles written out as text, so that these tests say themselves what the wire must hold."""

from __future__ import annotations

from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    ModbusTraits,
    MqttTraits,
    PayloadSource,
    ProfilePoint,
    RegisterSource,
    RegisterType,
    StateCode,
    Table,
    WordOrder,
)


def point(point_id: str, quantity: str, unit: str = "1", **rest: object) -> ProfilePoint:
    return ProfilePoint(id=point_id, quantity=quantity, unit=unit, en=point_id, zh=point_id, **rest)  # type: ignore[arg-type]


def profile(name: str, points: tuple[ProfilePoint, ...], **rest: object) -> DeviceProfile:
    fields: dict[str, object] = {
        "version": 1, "maker": "Test", "model": name.upper(), "en": name, "zh": name,
        "device_class": DeviceClass.SMOKE, "certainty": Certainty.A, "source": "test", "modbus": ModbusTraits(),
    }
    return DeviceProfile(id=name, points=points, **(fields | rest))  # type: ignore[arg-type]


def bit(address: int, table: Table = Table.DISCRETE_INPUT, **rest: object) -> RegisterSource:
    return RegisterSource(table, address, RegisterType.BIT, **rest)  # type: ignore[arg-type]


DUCT = profile("duct", (
    point("head", "head_present", register=bit(0)),
    point("dirty", "dirty", register=bit(1)),
    point("smoke", "smoke_alarm", register=bit(2)),
    point("relay", "relay", register=bit(3)),
    point("alarm_reset", "state_code", register=RegisterSource(Table.HOLDING, 0), writable=True),
    point("reset_code", "state_code", register=RegisterSource(Table.HOLDING, 1)),
))

GAS = profile("gas", (
    point("unit_code", "state_code", register=RegisterSource(Table.HOLDING, 0, mask=0xF000, shift=12)),
    point("decimals_code", "state_code", register=RegisterSource(Table.HOLDING, 0, mask=0x0F00, shift=8)),
    point("co", "co", "[ppm]", range_maximum=1000.0, certainty=Certainty.B, register=RegisterSource(
        Table.HOLDING, 1, unit_point="unit_code", unit_codes={0: "[ppm]", 8: "[ppb]"},
        decimals_point="decimals_code", decimals_codes={0: 0, 4: 1, 8: 2, 12: 3})),
    point("state", "state_code", register=RegisterSource(Table.HOLDING, 5, RegisterType.U8_LOW), state_codes=(
        StateCode(0, "warm-up", "预热", "warm_up", ("co",)), StateCode(1, "normal", "正常"),
        StateCode(3, "fault", "故障", "device_fault", ("co",)))),
    point("temperature", "temperature", "Cel", register=RegisterSource(Table.HOLDING, 7, scale=0.1, offset=-50.0)),
), warm_up_s=30.0, device_class=DeviceClass.CO)

CLIMATE = profile("climate", (
    point("temperature", "temperature", "Cel", error_values=(0x7FFF,), minimum=-40.0, maximum=85.0,
          register=RegisterSource(Table.INPUT, 4, RegisterType.S16, scale=0.01)),
    point("power", "power", "W", register=RegisterSource(
        Table.INPUT, 10, RegisterType.U32, scale=0.1, word_order=WordOrder.LOW_FIRST)),
    point("voltage", "voltage", "V", register=RegisterSource(Table.INPUT, 20, RegisterType.F32)),
    point("valve", "valve_open", register=bit(0, Table.COIL), writable=True),
), modbus=ModbusTraits(max_registers=8, read_holes=False), device_class=DeviceClass.CLIMATE)

RADIO = profile("radio", (
    point("smoke", "smoke_alarm",
          payload=PayloadSource(path="smoke", true_values=("true",), false_values=("false",))),
    point("battery", "battery", "%", payload=PayloadSource(path="battery")),
    point("battery_low", "low_battery",
          payload=PayloadSource(path="battery_low", true_values=("true",), false_values=("false",))),
    point("temperature", "temperature", "Cel", deadband=0.5, payload=PayloadSource(path="env.temperature")),
), modbus=None, mqtt=MqttTraits("zigbee2mqtt/{device}", "zigbee2mqtt/{device}/availability"))

PROFILES = {p.id: p for p in (DUCT, GAS, CLIMATE, RADIO)}
