"""Every shipped profile against its hand-checked bytes: the outside witness of the drivers.

Modbus looks go through a real socket, production links and poller; MQTT looks through the payload map. The server
answers from the register image that the transcript's own pairs make, so the poller may merge requests as it likes.
"""

from __future__ import annotations

import asyncio

import pytest

from device_drivers.driver import DeviceRead, DriverEvent
from device_drivers.links import open_modbus_line
from device_drivers.payload_map import PayloadMap
from device_drivers.poller import LinePoller
from device_model.library import shipped_profiles
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import (
    GOLDEN,
    START,
    Look,
    address_of,
    answer_from,
    entry,
    line_to,
    modbus_server,
    read_transcript,
    until,
)
from wire_codecs import crc16_modbus

PROFILES = shipped_profiles()
MODBUS = sorted(name for name, profile in PROFILES.items() if profile.protocol == "modbus")
MQTT = sorted(name for name, profile in PROFILES.items() if profile.protocol == "mqtt")


def judge(name: str, look: Look, seen: dict[str, Reading]) -> None:
    for wanted in look.expected:
        reading = seen.get(f"d.{wanted.point}")
        where = f"{name}, {look.name}: {wanted.point}: {reading}"
        assert reading is not None, where
        if not wanted.good:
            assert reading.quality is not Quality.GOOD and reading.reason == wanted.text, where
            continue
        assert reading.quality is Quality.GOOD, where
        spec = PROFILES[name].point(wanted.point)
        assert spec is not None
        if QUANTITIES[spec.quantity].boolean:
            assert reading.value is (wanted.text == "true"), where
        else:
            assert isinstance(reading.value, int | float)
            assert reading.value == pytest.approx(float(wanted.text), rel=1e-6, abs=1e-9), where
            assert reading.unit == wanted.unit, where


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_has_a_transcript(name: str) -> None:
    looks = read_transcript(GOLDEN / f"{name}.txt")
    assert looks and all(look.expected for look in looks if not look.rtu)


@pytest.mark.real
@pytest.mark.parametrize("name", MODBUS)
async def test_a_modbus_device_is_read_as_its_transcript_says(name: str) -> None:
    profile = PROFILES[name]
    for look in read_transcript(GOLDEN / f"{name}.txt"):
        for frame in look.rtu:
            assert crc16_modbus(frame[:-2]).to_bytes(2, "little") == frame[-2:]
        if not look.image:
            continue
        asked: list[int] = []

        def answer(unit: int, pdu: bytes, look: Look = look, asked: list[int] = asked) -> bytes:
            assert len(pdu) == 5 and unit == look.unit
            asked.append(unit)
            return answer_from(look.image, pdu)

        seen: dict[str, Reading] = {}

        def emit(event: DriverEvent, seen: dict[str, Reading] = seen) -> None:
            if isinstance(event, DeviceRead):
                seen.update((reading.point, reading) for reading in event.readings)

        server = await modbus_server(answer)
        line = line_to(server)
        poller = LinePoller(line, (entry("d", profile, look.unit),), open_modbus_line(line), SystemClock(), emit)
        task = asyncio.create_task(poller.run())
        wanted = {f"d.{expectation.point}" for expectation in look.expected}
        try:
            await until(lambda wanted=wanted, seen=seen, asked=asked, poller=poller:  # type: ignore[misc]
                        wanted <= seen.keys() and len(asked) >= len(poller.core.blocks("d")))
        finally:
            task.cancel()
            server.close()
        judge(name, look, seen)


@pytest.mark.parametrize("name", MQTT)
def test_an_mqtt_device_is_read_as_its_transcript_says(name: str) -> None:
    for look in read_transcript(GOLDEN / f"{name}.txt"):
        payloads = PayloadMap((entry("d", PROFILES[name], address=address_of(GOLDEN / f"{name}.txt")),), START)
        seen: dict[str, Reading] = {}
        for topic, payload in look.messages:
            for event in payloads.take(topic, payload, False, START):
                if isinstance(event, DeviceRead):
                    seen.update((reading.point, reading) for reading in event.readings)
        assert look.messages
        judge(name, look, seen)
