"""Each convention end to end: mosquitto_pub speaks the shipped transcript's own bytes, Mosquitto carries them,
MqttSensors
reads them. What the convention wants said back is heard by mosquitto_sub."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from device_drivers.driver import DeviceRead, DriverEvent
from device_drivers.links import open_mqtt_line
from device_drivers.payload_map import subscriptions_of
from device_drivers.sensors import MqttSensors
from device_model.child_process import free_ports
from device_model.library import shipped_profiles
from device_model.reading import Quality, Reading
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import GOLDEN, address_of, entry, read_transcript, until
from tests.device_drivers.test_sensors_real import mosquitto, program

pytestmark = pytest.mark.real
PROFILES = shipped_profiles()
TEMPLATED = sorted(name for name, one in PROFILES.items() if one.mqtt is not None and one.mqtt.template)


async def speak(port: int, topic: str, payload: bytes) -> None:
    child = await asyncio.create_subprocess_exec(
        program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", topic, "-s",
        stdin=asyncio.subprocess.PIPE)
    await child.communicate(payload)
    assert child.returncode == 0


@pytest.mark.parametrize("name", TEMPLATED)
async def test_a_convention_from_publisher_to_reading(name: str, tmp_path: Path) -> None:
    (port,), seen = free_ports(1), dict[str, Reading]()
    line = Line("mq", LineKind.MQTT, "127.0.0.1", port, reconnect_max_s=0.3)
    devices = (entry("d", PROFILES[name], address=address_of(GOLDEN / f"{name}.txt"), line="mq"),)
    look = read_transcript(GOLDEN / f"{name}.txt")[0]

    def emit(event: DriverEvent) -> None:
        if isinstance(event, DeviceRead):
            seen.update((reading.point, reading) for reading in event.readings)

    async with mosquitto(tmp_path, port):
        listener = None
        if name == "sparkplug-io":
            listener = await asyncio.create_subprocess_exec(
                program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(port), "-t", "spBv1.0/G/NCMD/N", "-C", "1",
                "-W", "20", stdout=asyncio.subprocess.PIPE)
        link = open_mqtt_line(line, subscriptions_of(devices))
        task = asyncio.create_task(MqttSensors(line, devices, link, SystemClock(), emit).run())
        await until(lambda: link.connected)
        for topic, payload in look.messages:
            await speak(port, topic, payload)
        wanted = {f"d.{one.point}" for one in look.expected if one.good}
        await until(lambda: wanted <= seen.keys() and all(seen[point].quality is Quality.GOOD for point in wanted))
        if listener is not None:
            await speak(port, "spBv1.0/G/DDATA/N/D", b"\x18\x09")  # a gap: the node is asked for its birth
            said, _ = await listener.communicate()
            assert b"Node Control/Rebirth" in said
        task.cancel()
        await asyncio.wait([task])
    assert wanted
