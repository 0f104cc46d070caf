"""FieldBus and LineModel: a Modbus line with devices that answer, refuse, babble, fall silent, or are gone.

    LineModel (one master's handle) ──request──► FieldBus: fault by the seed? ──► VirtualDevice ──reply──►

The FieldBus is the copper and the devices: it outlives the gateway's process. A reply is made by the simulator's own
Modbus server code, so that what is decoded here was never encoded by the drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from random import Random

from device_drivers.driver import LineUnreachable
from device_model.clock import Clock
from device_model.errors import PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineReply, LineRequest
from firmware_sim.device import VirtualDevice
from firmware_sim.modbus_device import Framing, ModbusUnits, Request
from trial.field_line import request_pdu

CONNECT_TRIES_S = 0.05  # a refused TCP connection is known at once
SLOW_S = 0.4  # how late a delayed reply is, at most: within the usual time-out of a second


class LineFault(StrEnum):
    """What goes wrong with one exchange."""

    TIMEOUT = "timeout"
    DELAY = "delay"
    GARBLED = "garbled"  # did not parse: the link says so
    WRONG_UNIT = "wrong_unit"  # parses, and is somebody else's
    SHORT = "short"  # parses, and lacks bytes
    EXCEPTION = "exception"  # device busy (code 6)


class FieldBus:
    """One line and what hangs on it. `rates`: probability per exchange; may be changed at any time.

    seen(device, request, reply) is called for each good answer that reached the master; written(device, request) for
    each write that the device took.
    """

    def __init__(self, random: Random, clock: Clock, devices: Mapping[int, VirtualDevice], *,
                 latency_s: float = 0.003) -> None:
        self._random, self._clock = random, clock
        self._units = ModbusUnits(devices)
        self.devices = dict(devices)
        self.latency_s = latency_s
        self.up = True
        self.mute: set[str] = set()  # devices that do not answer
        self.rates: dict[LineFault, float] = {}
        self.seen: Callable[[VirtualDevice, LineRequest, LineReply], None] | None = None
        self.written: Callable[[VirtualDevice, LineRequest], None] | None = None
        self._advanced_us = clock.now().mono_us

    def line(self, clock: Clock | None = None) -> LineModel:
        """A master; `clock`: that of its machine."""
        return LineModel(self, clock or self._clock)

    def draw(self) -> LineFault | None:
        """The fault of this exchange, by the seed."""
        for fault, rate in self.rates.items():
            if rate > 0 and self._random.random() < rate:
                return fault
        return None

    def delay_s(self) -> float:
        """There and back."""
        return self.latency_s * (0.5 + self._random.random())

    def slow_s(self) -> float:
        """How late a delayed reply is."""
        return SLOW_S * self._random.random()

    def answer(self, request: LineRequest) -> bytes | None:
        """The devices' reply as a PDU; None when nobody answers. Time passes for them first."""
        now_us = self._clock.now().mono_us
        elapsed_s, self._advanced_us = (now_us - self._advanced_us) / 1e6, now_us
        for device in self.devices.values():
            device.advance(elapsed_s)
        device_or_none = self.devices.get(request.unit)
        if device_or_none is None or device_or_none.id in self.mute:
            return None
        pdu = self._units.answer(Request(request.unit, request_pdu(request)), Framing.TCP)
        if pdu is not None and request.function in (5, 6, 15, 16) and pdu[0] < 0x80 and self.written is not None:
            self.written(device_or_none, request)
        return pdu


class LineModel:
    """One master's handle; implements device_model.ports.LineExchange."""

    def __init__(self, bus: FieldBus, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._closed = False
        self.dead = False

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        """See the port."""
        bus = self._bus
        if not bus.up or self._closed:
            await self._clock.sleep(CONNECT_TRIES_S)
            raise LineUnreachable("the line cannot be had")
        fault = bus.draw()
        out_s = bus.delay_s() + (bus.slow_s() if fault is LineFault.DELAY else 0.0)
        if out_s >= timeout_s or fault is LineFault.TIMEOUT:
            await self._clock.sleep(timeout_s)
            raise PeerSilent(f"unit {request.unit} did not answer within {timeout_s:g} s")
        await self._clock.sleep(out_s)
        # A process that died while it waited did send its request: a write is taken, an answer is heard by nobody.
        pdu = bus.answer(request) if bus.up else None
        if pdu is None or not bus.up:
            await self._clock.sleep(timeout_s - out_s)
            raise PeerSilent(f"unit {request.unit} did not answer within {timeout_s:g} s")
        return self._spoilt(request, pdu, fault)

    def _spoilt(self, request: LineRequest, pdu: bytes, fault: LineFault | None) -> LineReply:
        if fault is LineFault.GARBLED:
            raise PeerGarbled("the checksum does not fit")
        if fault is LineFault.EXCEPTION:
            raise PeerRefused("the device is busy", 6)
        if pdu[0] & 0x80:
            raise PeerRefused(f"exception {pdu[1]}", pdu[1])
        payload = pdu[2:] if request.function in (1, 2, 3, 4) else pdu[1:]
        if fault is LineFault.WRONG_UNIT:
            return LineReply(request.unit % 247 + 1, pdu[0], payload)
        if fault is LineFault.SHORT:
            return LineReply(request.unit, pdu[0], payload[:-1])
        reply = LineReply(request.unit, pdu[0], payload)
        if self._bus.seen is not None and not self.dead:
            self._bus.seen(self._bus.devices[request.unit], request, reply)
        return reply

    async def drain(self, hold_s: float) -> None:
        """A TCP line has nothing to drain."""

    async def close(self) -> None:
        """See the port."""
        self._closed = True
