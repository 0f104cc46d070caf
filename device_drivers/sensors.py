"""Sensors (I/O): runs one MQTT line. All judgement is in `payload_map.py`; here messages are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from device_drivers.driver import Emit, LineDevice, LineState
from device_drivers.mqtt_commands import plain_command
from device_drivers.payload_map import PayloadMap
from device_model.clock import Clock
from device_model.errors import LocalFault, PeerError
from device_model.ports import MessageLink
from device_model.site import Line

_log = structlog.get_logger(__name__)
LOOK_EVERY_S = 0.25
# A broker that restarts is back within this; a shorter absence makes no alarm of every device on it.
LINE_GRACE_S = 3.0


class MqttSensors:
    """All devices of one MQTT line."""

    def __init__(self, line: Line, devices: Sequence[LineDevice], link: MessageLink, clock: Clock,
                 emit: Emit) -> None:
        self._line = line
        self._entries = {entry.device.id: entry for entry in devices}
        self._link = link
        self._clock = clock
        self._emit = emit
        self._map = PayloadMap(tuple(devices), clock.now())
        self._up: bool | None = None
        self._missing_since_us: int | None = None
        self._spoken = asyncio.Event()

    @property
    def map(self) -> PayloadMap:
        """The pure part, for diagnosis."""
        return self._map

    def subscriptions(self) -> tuple[str, ...]:
        """Every topic that a device of this line speaks on."""
        return self._map.subscriptions()

    async def run(self) -> None:
        """Listen until cancelled or the link is closed. No device's misbehaviour ends it."""
        listener = asyncio.ensure_future(self._listen())
        watcher = asyncio.ensure_future(self._watch())
        answerer = asyncio.ensure_future(self._answer())
        tasks = (listener, watcher, answerer)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._link.close()

    async def write(self, device: str, point: str, value: bool | float) -> None:
        """Publish a command; returns after the broker took it, which proves nothing of the device (law 5).

        Raises PeerSilent; LocalFault when the point is not writable.
        """
        entry = self._entries.get(device)
        spec = entry.profile.point(point) if entry is not None else None
        if entry is None or spec is None or spec.payload is None or not spec.writable:
            raise LocalFault(f"{device}.{point} is not writable on line {self._line.id}")
        template = self._map.template_of(entry)
        message = (plain_command(entry, spec, value) if template is None
                   else template.command(entry, spec, value, self._clock.now()))
        await self._link.publish(message.topic, message.payload)

    async def _listen(self) -> None:
        async for message in self._link.messages():
            try:
                for event in self._map.take(message.topic, message.payload, message.retained, self._clock.now()):
                    self._emit(event)
            except Exception as problem:  # noqa: BLE001
                # Task boundary: one message that trips a fault of ours must not deafen the line.
                _log.exception("message_failed", line=self._line.id, topic=message.topic, problem=str(problem))
            self._spoken.set()

    async def _answer(self) -> None:
        """Send what conventions want to be said back. A PUBACK that does not come must not hold up the listener."""
        while True:
            await self._spoken.wait()
            self._spoken.clear()
            for message in self._map.outgoing():
                try:
                    await self._link.publish(message.topic, message.payload)
                except PeerError as problem:
                    # Nothing is lost for good: rebirths are asked for again, and a device without reply repeats.
                    _log.warning("answer_not_sent", line=self._line.id, topic=message.topic, problem=str(problem))

    async def _watch(self) -> None:
        while True:
            try:
                self._look()
            except Exception as problem:  # noqa: BLE001
                # Task boundary: the watch for silence must itself never fall silent.
                _log.exception("silence_watch_failed", line=self._line.id, problem=str(problem))
            await self._clock.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        now = self._clock.now()
        if self._link.connected:
            self._missing_since_us = None
            if self._up is not True:
                self._up = True
                self._emit(LineState(self._line.id, True, "", now))
        else:
            if self._missing_since_us is None:
                self._missing_since_us = now.mono_us
            if self._up is not False and now.mono_us - self._missing_since_us > LINE_GRACE_S * 1e6:
                self._up = False
                detail = f"broker {self._line.host}:{self._line.port} cannot be reached"
                self._emit(LineState(self._line.id, False, detail, now))
                for event in self._map.line_down(detail, now):
                    self._emit(event)
        for event in self._map.look_for_silence(now):
            self._emit(event)
        if self._link.connected:
            self._spoken.set()
