"""MqttSensors on a real Mosquitto, with mosquitto_pub as the device: independent broker and peer."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent, LineState
from device_drivers.links import open_mqtt_line
from device_drivers.payload_map import subscriptions_of
from device_drivers.sensors import MqttSensors
from device_model.child_process import free_ports
from device_model.errors import LocalFault, PeerSilent
from device_model.profile import PayloadSource, ProfilePoint
from device_model.reading import Quality, Reading, Reason
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import entry, mqtt_profile, until

pytestmark = pytest.mark.real

SMOKE = mqtt_profile(
    ProfilePoint("smoke", "smoke_alarm", "1", "", "", payload=PayloadSource(path="smoke", true_values=("true",),
                                                                           false_values=("false",))),
    ProfilePoint("siren", "sounder", "1", "", "", writable=True,
                 payload=PayloadSource(path="state", true_values=("ON",), false_values=("OFF",))),
    availability_topic="z/{address}/availability",
)


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found, f"{name} is needed: make system-packages"
    return found


@asynccontextmanager
async def mosquitto(folder: Path, port: int) -> AsyncIterator[None]:
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n", encoding="utf-8")
    child = await asyncio.create_subprocess_exec(program("mosquitto"), "-c", str(config),
                                                 stderr=asyncio.subprocess.DEVNULL)
    try:
        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        await until(listens)
        yield
    finally:
        child.terminate()
        await child.wait()


async def publish(port: int, topic: str, payload: str, *more: str) -> None:
    child = await asyncio.create_subprocess_exec(
        program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-t", topic, "-m", payload, *more)
    assert await child.wait() == 0


async def test_a_smoke_detector_on_a_broker_that_restarts(tmp_path: Path) -> None:
    (port,), events, values = free_ports(1), [], {}
    line = Line("mq", LineKind.MQTT, "127.0.0.1", port, reconnect_max_s=0.3)
    devices = (entry("d", SMOKE, address="hall", line="mq"),)

    def emit(event: DriverEvent) -> None:
        events.append(event)
        if isinstance(event, DeviceRead):
            values.update((r.point, r) for r in event.readings)

    def value_is(value: object, quality: Quality) -> bool:
        reading: Reading | None = values.get("d.smoke")
        return reading is not None and reading.value is value and reading.quality is quality

    def states() -> list[bool]:
        return [e.up for e in events if isinstance(e, LineState)]

    async with mosquitto(tmp_path, port):
        await publish(port, "z/hall", '{"smoke":true}', "-r")
        link = open_mqtt_line(line, subscriptions_of(devices))
        sensors = MqttSensors(line, devices, link, SystemClock(), emit)
        task = asyncio.create_task(sensors.run())
        await until(lambda: value_is(True, Quality.UNCERTAIN))  # retained: a memory
        await publish(port, "z/hall", '{"smoke":false}')
        await until(lambda: value_is(False, Quality.GOOD))
        for garbage in ("{", "", '{"smoke":"perhaps"}', "\x01"):
            await publish(port, "z/hall", garbage)
        await until(lambda: values["d.smoke"].reason is Reason.GARBLED)
        listener = await asyncio.create_subprocess_exec(
            program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(port), "-t", "z/hall/set", "-C", "1", "-W", "10",
            stdout=asyncio.subprocess.PIPE)
        heard = asyncio.ensure_future(listener.communicate())
        while not heard.done():  # until the listener's own subscription stands
            await sensors.write("d", "siren", True)
            await asyncio.wait([heard], timeout=0.1)
        assert heard.result()[0].strip() == b'{"state":"ON"}'
        with pytest.raises(LocalFault, match="not writable"):
            await sensors.write("d", "smoke", True)
        await publish(port, "z/hall/availability", "offline")
        await until(lambda: any(isinstance(e, DeviceFailed) for e in events))
        await publish(port, "z/hall", '{"smoke":false}')
        await until(lambda: value_is(False, Quality.GOOD))
        await until(lambda: states() == [True])  # the line is looked at once a second: not before it was seen up
    with pytest.raises(PeerSilent):
        await until(lambda: not link.connected)
        await link.publish("z/x", b"1")
    # On a loaded machine the line may be seen to go and come once more; that each change is told once is held by the
    # tests in virtual time.
    await until(lambda: states()[-1:] == [False], 30)
    async with mosquitto(tmp_path, port):
        await until(lambda: states()[-1:] == [True], 30)
        await publish(port, "z/hall", '{"smoke":true}')
        await until(lambda: value_is(True, Quality.GOOD))
        assert not task.done()
        await link.close()
        await link.close()
        await asyncio.wait_for(task, 60)
    assert [e.reason for e in events if isinstance(e, DeviceFailed)][:2] == [Reason.SILENT, Reason.LINE_DOWN]


async def test_a_broker_that_is_not_there_ends_nothing(tmp_path: Path) -> None:
    events: list[DriverEvent] = []
    line = Line("mq", LineKind.MQTT, "127.0.0.1", free_ports(1)[0], reconnect_max_s=0.1)
    devices = (entry("d", SMOKE, address="hall", line="mq"),)
    link = open_mqtt_line(line, subscriptions_of(devices))
    task = asyncio.create_task(MqttSensors(line, devices, link, SystemClock(), events.append).run())
    await until(lambda: len(events) >= 2)
    assert isinstance(events[0], LineState) and not events[0].up
    assert isinstance(events[1], DeviceFailed) and events[1].reason is Reason.LINE_DOWN
    task.cancel()
    await asyncio.wait([task])
