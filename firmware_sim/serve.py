"""SimRuntime (I/O): puts a SimWorld onto real ports and writes down what really happened.

                 ┌─ modbus_ports: TCP, TLS, pty … ───┐
    SimWorld ────┼─ mqtt_clients: devices and hubs ──┼──► masters, brokers, centres, hosts: the system under test
     (pure)      ├─ session_line: panels, stations ──┤
                 └─ proxy: links that can be cut ────┘
        └──► truth file: one JSON line per true stimulus, fault and cut, with real and shown time
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from device_model.clock import SECOND_US, Clock
from device_model.system_clock import real_mono_us
from firmware_sim.line_session import LineSession
from firmware_sim.modbus_ports import PtyLine, SerialLine, TcpLine, TlsLine
from firmware_sim.mqtt_clients import MqttLine
from firmware_sim.mqtt_device import Publish
from firmware_sim.proxy import LinkProxy
from firmware_sim.recorder import read_line_file
from firmware_sim.replay_session import ReplaySession
from firmware_sim.scenario_lines import SESSION_KINDS, LineKind, SimLine
from firmware_sim.session_line import SessionLine
from firmware_sim.sessions import line_sessions
from firmware_sim.world import STEP_S, SimWorld, Truth

_log = structlog.get_logger("sim")


class SimRuntime:
    """Runs a scenario. `truth`: JSONL file to append to, or None. `on_truth`: called for every truth;
    `on_octets`: for every piece of bytes on a line that is no MQTT one: (line, connection, ours, bytes);
    `on_message`: for every message of an MQTT one: (line, device, message)."""

    def __init__(
        self, world: SimWorld, clock: Clock, *, truth: Path | None = None,
        on_truth: Callable[[Truth], None] | None = None,
        on_octets: Callable[[str, int, bool, bytes], None] | None = None,
        on_message: Callable[[str, str, Publish], None] | None = None,
    ) -> None:
        self.world = world
        self.addresses: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.fires: dict[str, float] = {}
        self.ready = asyncio.Event()
        self._clock = clock
        self._truth_path = truth
        self._on_truth = on_truth
        self._on_octets = on_octets
        self._on_message = on_message
        self._start_us = clock.now().mono_us
        self.sessions: dict[str, list[LineSession]] = {}
        self.lines: list[TcpLine | PtyLine | MqttLine | SessionLine] = []
        self._proxies: dict[str, LinkProxy] = {}

    def at_s(self) -> float:
        """Shown seconds since the scenario began."""
        return (self._clock.now().mono_us - self._start_us) / SECOND_US

    async def run(self) -> None:
        """Open all ports, then run until cancelled. Raises LocalFault for a port that cannot be had."""
        try:
            for entry in self.world.scenario.proxies:
                self._proxies[entry.id] = proxy = LinkProxy(entry, self._clock)
                await proxy.start()
                self.addresses[entry.id] = f"{proxy.address[0]}:{proxy.address[1]}"
            for line in self.world.scenario.lines:
                opened = self._line(line)
                self.lines.append(opened)
                self.addresses[line.id] = await opened.start()
            # The scenario's time begins when its ports are open.
            self._start_us = self._clock.now().mono_us
            self._write([Truth("start", 0.0, self.world.scenario.scenario)])
            self.ready.set()
            await self._turn()
        finally:
            for opened in self.lines:
                await opened.close()
            for proxy in self._proxies.values():
                await proxy.close()

    def _line(self, line: SimLine) -> TcpLine | PtyLine | MqttLine | SessionLine:
        if line.kind is LineKind.MQTT:
            told = self._on_message
            return MqttLine(line, self.world, self._clock, self.at_s,
                            None if told is None else lambda device, message: told(line.id, device, message))
        note = self._note_of(line)
        if line.kind not in SESSION_KINDS:
            return _MODBUS_LINES[line.kind](line, self.world, self._clock, self.at_s, note)
        sessions = line_sessions(line, self.world.scenario, self.world.devices)
        if line.kind is LineKind.REPLAY:
            recording = read_line_file(Path(line.file))
            sessions = [ReplaySession(f"{line.id}-{number}", recording, number, line.role, line.speed)
                        for number in recording.connections()]
        self.sessions[line.id] = sessions
        return SessionLine(
            line, sessions, self.world.faults[line.id], self._clock, self.at_s, note, self.world.wall_us)

    def _note_of(self, line: SimLine) -> Callable[[int, bool, bytes], None] | None:
        if self._on_octets is None:
            return None
        told = self._on_octets
        return lambda connection, ours, octets: told(line.id, connection, ours, octets)

    async def _turn(self) -> None:
        while True:
            await self._clock.sleep(STEP_S)
            at_s = self.at_s()
            truths = self.world.advance(at_s)
            if truths:
                self._tell(truths)
            for proxy_id, proxy in self._proxies.items():
                proxy.bend(self.world.cut_of(proxy_id, at_s))
            for line in self.lines:
                line.turn(at_s)

    def _tell(self, truths: list[Truth]) -> None:
        for truth in truths:
            self.counts[truth.what] += 1
            if truth.fire and (truth.value is True or truth.kind == "over"):
                self.fires.setdefault(truth.fire, truth.at_s)
            if self._on_truth is not None:
                self._on_truth(truth)
            _log.info("happened", **msgspec.to_builtins(truth))
        self._write(truths)

    def _write(self, truths: list[Truth]) -> None:
        if self._truth_path is None:
            return
        stamp = {"real_us": real_mono_us(), "wall_us": self._clock.now().wall_us}
        text = "".join(msgspec.json.encode({**stamp, **msgspec.structs.asdict(truth)}).decode() + "\n"
                       for truth in truths)
        # A few short lines a minute: written at once so that a reader sees them and a kill loses none.
        with self._truth_path.open("a", encoding="utf-8") as file:
            file.write(text)


_MODBUS_LINES: dict[LineKind, type[TcpLine] | type[PtyLine]] = {
    LineKind.MODBUS_TCP: TcpLine, LineKind.MODBUS_TLS: TlsLine, LineKind.PTY: PtyLine, LineKind.SERIAL: SerialLine,
}
