"""Payloads are the profile's paths turned round; reports come when they should."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_model.profile import MqttTraits, PayloadSource
from firmware_sim.device import VirtualDevice
from firmware_sim.mqtt_device import MqttDevice, put_path
from tests.firmware_sim.sim_fixtures import RADIO, point, profile

LAMP = profile("lamp", (
    point("siren", "sounder", writable=True,
          payload=PayloadSource(path="state", true_values=("ON",), false_values=("OFF",))),
    point("level", "level", "m", writable=True, payload=PayloadSource(path="sensors[1].mm", scale=0.001)),
    point("when", "count", payload=PayloadSource(path="n", time_path="last_seen", time_unit="ms")),
    point("leak", "leak", payload=PayloadSource(topic="leak", true_values=("WET", "1"), false_values=("DRY",))),
), modbus=None, mqtt=MqttTraits("base/{address}", expire_after_s=30.0))


def test_the_payload_is_built_along_the_paths() -> None:
    lamp = MqttDevice(VirtualDevice("d", LAMP, start={"level": 1.234}), "x1")
    first = {message.topic: message.payload for message in lamp.due(0.0, 1_700_000_000_123_000)}
    assert json.loads(first["base/x1"]) == {
        "state": "OFF", "sensors": [{}, {"mm": 1234}], "n": 0, "last_seen": 1_700_000_000_123}
    assert first["base/x1/leak"] == b"DRY"
    assert lamp.availability is None


def test_alarms_at_once_numbers_by_deadband_all_at_the_interval() -> None:
    device = VirtualDevice("hall", RADIO)
    radio = MqttDevice(device, "")
    assert len(radio.due(0.0, 0)) == 1 and radio.due(0.5, 0) == []
    device.set("temperature", 21.3)
    assert radio.due(2.0, 0) == []  # within the deadband of 0.5
    device.set("temperature", 22.0)
    assert len(radio.due(3.0, 0)) == 1
    device.set("smoke", True)
    assert json.loads(radio.due(3.1, 0)[0].payload)["smoke"] is True
    assert radio.due(3.2, 0) == [] and radio.due(3.1 + radio.report_s - 0.1, 0) == []
    assert len(radio.due(3.1 + radio.report_s, 0)) == 1
    assert radio.report_s <= 10.0  # stale after 30 s: two reports may be lost
    device.set_bad("temperature")
    assert json.loads(radio.due(60.0, 0)[0].payload)["env"]["temperature"] is None
    device.power(on=False)
    assert radio.due(600.0, 0) == []
    assert radio.availability == ("zigbee2mqtt/hall/availability", b"online", b"offline")


@pytest.mark.parametrize(("topic", "payload", "taken"), [
    ("base/d/set", b'{"state":"ON"}', ["siren"]), ("base/d/set", b'{"state":"MAYBE"}', []),
    ("base/d/set", b'{"sensors[1].mm": 500}', ["level"]), ("base/d/get", b'{"state":"ON"}', []),
    ("base/d/set", b"[]", []), ("base/d/set", b"{", []), ("base/d/set", b"\xff", []), ("base/d/set", b'{"n":1}', []),
])
def test_commands(topic: str, payload: bytes, taken: list[str]) -> None:
    lamp = MqttDevice(VirtualDevice("d", LAMP), "")
    assert lamp.commanded(topic, payload) == taken


@given(st.binary(max_size=100))
def test_any_command_is_borne(payload: bytes) -> None:
    assert set(MqttDevice(VirtualDevice("d", LAMP), "").commanded("base/d/set", payload)) <= {"siren", "level"}


def test_paths() -> None:
    assert put_path({}, 'a."b c"[2].d', 5) == {"a": {"b c": [{}, {}, {"d": 5}]}}
    assert put_path({}, r'[1]."q\"x"', 5) == [{}, {'q"x': 5}]
    assert put_path({}, "a[-1].b", 5) == {"a": [{"b": 5}]}
    for path in ("a[?b]", "a[*]", "f(x)", "a[9999]", "a|b"):
        with pytest.raises(ValueError, match="path"):
            put_path({}, path, 1)
