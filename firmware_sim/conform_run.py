"""Asks what the checklists say (I/O), of a target given as a URL, and reports.

    modbus://host:port[/unit]     rtu:///dev/ttyUSB0?baud=9600&unit=1            Modbus servers
    gbt26875://host:port          a receiver (monitoring centre, our gateway's listener)
    gbt26875-listen://host:port   a transmitter (UITD) that will connect there
    hj212://host:port?mn=…&pw=…   a host             mqtt://host:port/address?profile=…    a device behind a broker
    PROFILE                       our own simulated device of that profile
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, urlsplit

import paho.mqtt.client as paho
import serial
from paho.mqtt.enums import CallbackAPIVersion

from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault
from device_model.library import shipped_profiles
from firmware_sim.conform import Check, Report, Verdict
from firmware_sim.conform_gbt26875 import TransmitterTrial, receiver_checks
from firmware_sim.conform_hj212 import host_checks
from firmware_sim.conform_modbus import modbus_checks
from firmware_sim.conform_mqtt import Heard, mqtt_verdicts
from firmware_sim.conform_profile import conform_profile, readable_of
from firmware_sim.device import VirtualDevice
from firmware_sim.modbus_device import Framing
from firmware_sim.mqtt_device import MqttDevice
from wire_codecs.gbt26875 import Stamp

_STANDARDS = {"modbus": "MODBUS V1.1b3 / TCP V1.0b", "rtu": "MODBUS V1.1b3 / Serial Line V1.02",
              "gbt26875": "GB/T 26875.3-2011", "gbt26875-listen": "GB/T 26875.3-2011", "hj212": "HJ 212-2017",
              "mqtt": "MQTT 3.1.1, profile"}
_QUIET_S = 0.25  # so long after the last byte an answer counts as whole
_FORMS = "modbus://host:port/unit, rtu:///dev/ttyUSB0?baud=9600&unit=1, gbt26875://host:port, " \
    "gbt26875-listen://host:port, hj212://host:port?mn=…, mqtt://host:port/address?profile=…, " \
    "or a profile's id"


async def conform(target: str, clock: Clock, *, listen_s: float = 30.0) -> Report:
    """Run the checklist. Raises LocalFault for a target that cannot be reached or is none."""
    profile = shipped_profiles().get(target)
    if profile is not None:
        found = conform_profile(profile, clock.now().wall_us)
        if found is None:
            raise LocalFault(f"there is no checklist for {profile.protocol} profiles alone: write {_FORMS}")
        return found
    parts = urlsplit(target)
    if parts.scheme not in _STANDARDS:
        raise LocalFault(f"{target!r} is no target: write {_FORMS}")
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    try:
        port = parts.port or 502
    except ValueError as error:
        raise LocalFault(f"{target!r} has no right port: write {_FORMS}") from error
    if parts.scheme == "gbt26875-listen":
        verdicts = await _transmitter(parts.hostname or "0.0.0.0", port, clock)  # noqa: S104  asked for by the user
        return Report(target, _STANDARDS[parts.scheme], tuple(verdicts))
    if parts.scheme == "mqtt":
        return Report(target, _STANDARDS["mqtt"], tuple(await _mqtt(parts, options, clock, listen_s)))
    checks, line = _plan(parts, options, port, clock)
    return Report(target, _STANDARDS[parts.scheme], tuple([await _asked(check, line) for check in checks]))


def _plan(parts: SplitResult, options: dict[str, str], port: int, clock: Clock) -> tuple[list[Check], _Line]:
    host = parts.hostname or "127.0.0.1"
    wall_us = clock.now().wall_us
    if parts.scheme == "rtu":
        baud, unit = int(options.get("baud", "9600")), int(options.get("unit", "1"))
        return modbus_checks(Framing.RTU, unit, _readable(options)), _SerialPort(parts.path, baud, clock)
    line = _TcpPort(host, port, clock)
    if parts.scheme == "modbus":
        unit = int(parts.path.strip("/") or "1")
        return modbus_checks(Framing.TCP, unit, _readable(options)), line
    if parts.scheme == "gbt26875":
        address, centre = int(options.get("address", "889")), int(options.get("centre", "1"))
        return receiver_checks(address, centre, Stamp.at(wall_us)), line
    return host_checks(options.get("mn", "010000A8900016F000169DC0"), options.get("pw", "123456"),
                       options.get("st", "39"), wall_us), line


def _readable(options: dict[str, str]) -> tuple[int, int]:
    """Which register is there: `?function=4&address=10`, or of `?profile=ID` the first one."""
    profile = shipped_profiles().get(options.get("profile", ""))
    if profile is not None:
        return readable_of(profile)
    return int(options.get("function", "3")), int(options.get("address", "0"))


async def _asked(check: Check, line: _Line) -> Verdict:
    return check.verdict(await line.ask(check))


class _Line(Protocol):
    async def ask(self, check: Check) -> bytes:
        """The answer; b"" for silence."""
        ...


class _TcpPort:
    """Every check on a connection of its own: one mistake must not spoil the next question."""

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._address, self._clock = (host, port), clock

    async def ask(self, check: Check) -> bytes:
        try:
            reader, writer = await asyncio.open_connection(*self._address)
        except OSError as error:
            raise LocalFault(f"{self._address[0]}:{self._address[1]} does not answer ({error.strerror}): start it, "
                             "or name another target") from error
        answer = bytearray()
        reading = asyncio.create_task(_read(reader, answer))
        with contextlib.suppress(ConnectionError):
            writer.write(check.send)
            await writer.drain()
        await _whole(answer, reading, check.wait_s, self._clock)
        reading.cancel()
        writer.close()
        return bytes(answer)


async def _read(reader: asyncio.StreamReader, answer: bytearray) -> None:
    with contextlib.suppress(OSError):
        while octets := await reader.read(4096):
            answer += octets


async def _whole(answer: bytearray, reading: asyncio.Task[None] | None, wait_s: float, clock: Clock) -> None:
    """Until bytes came and no more follow, or for `wait_s` without any."""
    waited, size, quiet = 0.0, 0, 0.0
    while waited < wait_s or (size and quiet < _QUIET_S):
        await clock.sleep(0.05)
        waited += 0.05
        quiet = quiet + 0.05 if len(answer) == size else 0.0
        size = len(answer)
        if (size and quiet >= _QUIET_S) or (reading is not None and reading.done()):
            return


class _SerialPort:
    """A serial line: checks follow each other with a pause."""

    def __init__(self, path: str, baud: int, clock: Clock) -> None:
        self._clock = clock
        try:
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=1)
        except (OSError, ValueError) as error:
            raise LocalFault(f"the serial port {path} cannot be had ({error}): check cable and rights") from error

    async def ask(self, check: Check) -> bytes:
        await self._clock.sleep(0.4)  # well beyond t3.5, and beyond a late answer
        self._port.reset_input_buffer()
        self._port.write(check.send)
        answer = bytearray()

        async def listen() -> None:
            while True:
                answer.extend(self._port.read(4096))
                await self._clock.sleep(0.005)

        listening = asyncio.create_task(listen())
        await _whole(answer, None, check.wait_s, self._clock)
        listening.cancel()
        return bytes(answer)


async def _transmitter(host: str, port: int, clock: Clock) -> list[Verdict]:
    trial = TransmitterTrial(1)
    began = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.set()
        now = clock.now()
        trial.opened(now.mono_us, now.wall_us)

        async def turn() -> None:
            while True:
                await clock.sleep(0.25)
                for piece in trial.due(clock.now().mono_us, clock.now().wall_us):
                    writer.write(piece)

        turning = asyncio.create_task(turn())
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while octets := await reader.read(4096):
                for piece in trial.take(octets, clock.now().mono_us, clock.now().wall_us):
                    writer.write(piece)
        turning.cancel()
        writer.close()

    try:
        server = await asyncio.start_server(serve, host, port)
    except OSError as error:
        raise LocalFault(f"cannot listen on {host}:{port} ({error.strerror}): choose another port") from error
    await began.wait()
    await clock.sleep(TransmitterTrial.DURATION_S)
    server.close()
    return list(trial.finish())


async def _mqtt(parts: SplitResult, options: dict[str, str], clock: Clock, listen_s: float) -> list[Verdict]:
    profile = shipped_profiles().get(options.get("profile", ""))
    if profile is None or profile.mqtt is None:
        raise LocalFault("name an MQTT profile: mqtt://host:port/address?profile=zigbee2mqtt-smoke")
    address = parts.path.strip("/")
    base = MqttDevice(VirtualDevice(address, profile), address).base
    heard: list[Heard] = []
    start_us = clock.now().mono_us
    loop = asyncio.get_running_loop()

    def told(_c: paho.Client, _u: object, m: paho.MQTTMessage) -> None:
        at_s = (clock.now().mono_us - start_us) / SECOND_US
        loop.call_soon_threadsafe(heard.append, Heard(at_s, m.topic, bytes(m.payload), m.retain))

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe(f"{base}/#", qos=1)
    client.on_message = told
    try:
        client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
    except OSError as error:
        raise LocalFault(f"no broker at {parts.hostname}:{parts.port} ({error}): start it") from error
    client.loop_start()
    await clock.sleep(listen_s)
    client.disconnect()
    await asyncio.to_thread(client.loop_stop)
    return list(mqtt_verdicts(profile, base, heard, listen_s))

