"""Commands (I/O): what `tocsin devices …` does. Reads only; a line with fire-class devices only in maintenance."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from device_drivers.diagnose import Attempt, Diagnosis, PointValue, advise, figures_of
from device_drivers.discover import (
    LineFound,
    TopicFound,
    UnitFound,
    alone,
    paced,
    scan_broker,
    scan_serial,
    scan_units,
)
from device_drivers.driver import LineDevice, LineUnreachable
from device_drivers.fingerprint import identity_of, identity_request
from device_drivers.links import open_modbus_line, open_mqtt_line
from device_drivers.register_plan import Block, plan_blocks
from device_drivers.register_values import DeviceValues
from device_drivers.reply_check import reply_fault
from device_model.clock import Clock
from device_model.errors import LawRefusal, LocalFault, PeerGarbled, PeerRefused, PeerSilent
from device_model.inventory import Inventory
from device_model.library import profiles_for, read_inventory, shipped_profiles
from device_model.ports import LineExchange, LineReply, LineRequest
from device_model.profile import FIRE_CLASSES, DeviceProfile
from device_model.reading import Reading, Reason
from device_model.site import Line, LineKind, Text
from device_model.system_clock import SystemClock

SHARE = 0.05  # of a line that others use


class TimedReads(Protocol):
    """`Ask` on a line of the gateway's. took_us: how long the line had the last one, its wait behind polls apart."""

    took_us: int

    async def __call__(self, request: LineRequest, timeout_s: float, /) -> LineReply:
        """As `Ask`."""


# (site file, line, device or empty) → how to read through the gateway that runs on it, or None
Through = Callable[[Path, str, str], TimedReads | None]
TIMEOUT_TCP_S, TIMEOUT_SERIAL_S = 0.5, 0.15
LISTEN_S = 10.0
_KINDS = {"tcp": LineKind.MODBUS_TCP, "rtu": LineKind.MODBUS_RTU, "mqtt": LineKind.MQTT}


class ScanReport(msgspec.Struct, frozen=True):
    """What a scan found, and on what."""

    kind: str
    target: str
    lines: tuple[LineFound, ...] = ()
    topics: tuple[TopicFound, ...] = ()


def scan_devices(kind: str, target: str, *, config: Path | None = None, units: str = "1-247",
                 maintenance: bool = False, timeout_s: float | None = None, listen_s: float = LISTEN_S,
                 all_settings: bool = False, through: Through | None = None) -> ScanReport:
    """Look for devices. kind: tcp, rtu or mqtt; target: host[:port] or serial port. through: how to read on a line
    of the site file whose master is a running gateway, or None where none runs.

    Raises LawRefusal(8) for a line with fire-class devices, and where no site file says that there are none, unless
    in maintenance; LocalFault when the target cannot be had or an argument is wrong.
    """
    if kind not in _KINDS:
        raise LocalFault(f"{kind!r} cannot be scanned; give tcp, rtu or mqtt")
    inventory = read_inventory(config) if config else None
    line = _line_of(kind, target)
    known = _known_line(inventory, line)
    asked = _units(units)
    profiles = profiles_for(config) if config else shipped_profiles()
    polled = known is not None and known.kind is not LineKind.MQTT
    reads = through(config, known.id, "") if through and config and known and polled else None
    if reads is not None:  # the gateway itself knows whether the fire devices of its line are in maintenance
        found = asyncio.run(scan_units(reads, asked, profiles, SystemClock(), timeout_s=timeout_s or TIMEOUT_TCP_S))
        return ScanReport(kind, target, (LineFound(known.baud if known and known.port_path else 0,
                                                   known.parity if known and known.port_path else "", found),)
                          if found else ())
    if not maintenance and line.kind is not LineKind.MQTT:
        _refuse_fire_lines(inventory, known)
    shared = known is not None and not maintenance
    return asyncio.run(_scan(kind, target, line, asked, profiles, timeout_s=timeout_s, listen_s=listen_s,
                             all_settings=all_settings, shared=shared))


async def _scan(kind: str, target: str, line: Line, units: Sequence[int], profiles: Mapping[str, DeviceProfile], *,
                timeout_s: float | None, listen_s: float, all_settings: bool, shared: bool) -> ScanReport:
    clock = SystemClock()
    if line.kind is LineKind.MQTT:
        link = open_mqtt_line(line, ("#",))
        try:
            topics = await scan_broker(link, profiles, clock, listen_s=listen_s)
            if not topics and not link.connected:
                raise LocalFault(f"the broker {target} did not answer within {listen_s:g} s")
        finally:
            await link.close()
        return ScanReport(kind, target, topics=topics)
    try:
        if line.kind is LineKind.MODBUS_RTU:
            if shared and _held_by_others(line.port_path):
                raise LocalFault(f"{line.port_path} is in use: a bus has one master; stop the gateway first")
            lines = await scan_serial(open_modbus_line, line, units, profiles, clock,
                                      timeout_s=timeout_s or TIMEOUT_SERIAL_S, all_settings=all_settings)
            return ScanReport(kind, target, lines)
        exchange = open_modbus_line(line)
        try:
            ask = paced(alone(exchange), clock, SHARE) if shared else alone(exchange)
            found = await scan_units(ask, units, profiles, clock, timeout_s=timeout_s or TIMEOUT_TCP_S)
        finally:
            await exchange.close()
    except LineUnreachable as silent:
        raise LocalFault(f"{silent}; check name, permission, cable") from silent
    return ScanReport(kind, target, (LineFound(0, "", found),) if found else ())


def _line_of(kind: str, target: str) -> Line:
    if kind == "rtu":
        return Line("scan", LineKind.MODBUS_RTU, port_path=target)
    host, _, port = target.rpartition(":") if ":" in target else (target, "", "")
    if port and not port.isdigit():
        raise LocalFault(f"{target!r}: give host or host:port")
    return Line("scan", _KINDS[kind], host=host, port=int(port or (1883 if kind == "mqtt" else 502)))


def _known_line(inventory: Inventory | None, line: Line) -> Line | None:
    """The line of the site file that this target is, if it is one."""
    for known in inventory.site.lines if inventory else ():
        same_port = known.port_path == line.port_path if line.port_path else (
            known.host == line.host and (known.port or 502) == line.port)
        if same_port and bool(known.port_path) == bool(line.port_path):
            return known
    return None


def _refuse_fire_lines(inventory: Inventory | None, known: Line | None) -> None:
    if inventory is None:
        raise LawRefusal(8, "nothing says that no fire detector is on this line: give --config site.yaml, or "
                            "--maintenance when the fire watch is arranged for")
    fire = [device.id for device in inventory.site.devices
            if known is not None and device.line == known.id
            and inventory.profiles[device.profile].device_class in FIRE_CLASSES]
    if fire:
        raise LawRefusal(8, f"the line carries {', '.join(fire[:3])}: fire lines are scanned in maintenance only "
                            "(--maintenance)")


def _units(text: str) -> list[int]:
    """"1-10,17" as numbers. LocalFault for what is no unit."""
    units: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            units += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise LocalFault(f"{text!r}: give units as 1-247 or 1,5,9") from error
    if not units or min(units) < 1 or max(units) > 247:
        raise LocalFault("units are 1 to 247: 0 is a broadcast, and scans never broadcast (law of safety 8)")
    return units


def _held_by_others(path: str) -> bool:
    """Whether another process of ours has this serial port open (what we may not see we cannot say)."""
    wanted = os.path.realpath(path)
    if wanted.startswith("/dev/pts/"):  # a pseudo terminal: its other end is a process by nature, no second master
        return False
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.parts[2] != str(os.getpid()) and os.path.realpath(entry) == wanted:
                return True
        except OSError:
            continue
    return False


def scan_text(report: ScanReport, language: str) -> str:
    """A scan for people, in "zh" or "en"."""
    chinese = language.startswith("zh")
    lines: list[str] = []
    for line in report.lines:
        if line.baud:
            lines.append(f"{line.baud} {line.parity}")
        lines += [_unit_text(unit, language) for unit in line.units]
    for topic in report.topics:
        fits = "; ".join(f"{m.profile} {m.score:.0%} ({m.why.in_language(language)})" for m in topic.matches)
        lines.append(f"{topic.topic}  address: {topic.address}  {fits}")
    if not lines:
        lines.append("未发现设备" if chinese else "no device answered")
    return "\n".join(lines)


def _unit_text(unit: UnitFound, language: str) -> str:
    chinese = language.startswith("zh")
    who = " ".join(part for part in (unit.identity.maker, unit.identity.product, unit.identity.revision) if part)
    head = f"{'地址' if chinese else 'unit'} {unit.unit}  {unit.answer_ms:g} ms  {unit.said}  {who}".rstrip()
    fits = [f"    {m.profile}  {m.score:.0%}  {m.why.in_language(language)}" for m in unit.matches]
    return "\n".join([head, *(fits or ["    " + ("无匹配的配置文件" if chinese else "no profile fits")])])


# --- one device --------------------------------------------------------------------------------------------------


def diagnose_device(device: str, config: Path, rounds: int = 3, through: Through | None = None) -> Diagnosis:
    """Read one Modbus device a few times and say what is wrong. LocalFault for one that the site does not name.
    through: as in `scan_devices`; frames are then shown from what was asked and answered, not off the wire."""
    inventory = read_inventory(config)
    known = inventory.devices.get(device)
    if known is None:
        raise LocalFault(f"{device} is not in {config}; known: {', '.join(list(inventory.devices)[:10])}")
    line = next(line for line in inventory.site.lines if line.id == known.line)
    if line.kind is LineKind.MQTT:
        raise LocalFault(f"{device} speaks MQTT: tocsin devices scan mqtt {line.host}:{line.port or 1883} shows what "
                         "it says")
    entry = LineDevice(known, inventory.profiles[known.profile])
    reads = through(config, line.id, device) if through else None
    if reads is not None:
        return asyncio.run(_diagnose(entry, line, rounds, reads))
    if line.port_path and _held_by_others(line.port_path):
        raise LocalFault(f"{line.port_path} is in use: a bus has one master; stop the gateway first")
    return asyncio.run(_diagnose(entry, line, rounds))


class _Frames:
    """The bytes of one attempt."""

    def __init__(self) -> None:
        self.sent = self.received = b""

    def watch(self, sending: bool, packet: bytes) -> None:
        """Told by the link; pymodbus may show the same waiting bytes again, growing."""
        if sending:
            self.sent, self.received = packet, b""
        else:
            grown = packet.startswith(self.received)
            self.received = packet if grown else self.received + packet


class GatewayExchange:
    """A line whose master is the gateway: LineExchange over its reads. watch: told each question and answer as
    unit, function and what follows them; addressing and check sum of the wire stay with the gateway."""

    def __init__(self, reads: TimedReads, watch: Callable[[bool, bytes], None]) -> None:
        self._reads, self._watch = reads, watch

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        """As LineExchange."""
        self._watch(True, struct.pack(">BBHH", request.unit, request.function, request.address, request.count))
        reply = await self._reads(request, timeout_s)
        self._watch(False, bytes((reply.unit, reply.function, len(reply.payload) & 0xFF)) + reply.payload)
        return reply

    async def drain(self, hold_s: float) -> None:
        """The gateway holds its line by itself."""

    @property
    def took_us(self) -> int:
        """How long the line had the last question."""
        return self._reads.took_us

    async def close(self) -> None:
        """Nothing of ours is open."""


async def _diagnose(entry: LineDevice, line: Line, rounds: int, reads: TimedReads | None = None
                    ) -> Diagnosis:
    frames, clock = _Frames(), SystemClock()
    exchange: LineExchange = (
        GatewayExchange(reads, frames.watch) if reads is not None else open_modbus_line(line, frames.watch))
    traits = entry.profile.modbus
    timeout_s = traits.reply_timeout_s if traits else 1.0
    hold_s = traits.late_reply_max_s if traits else 1.0
    values = DeviceValues(entry.device.id, entry.profile)
    latest: dict[str, Reading] = {}
    attempts: list[Attempt] = []
    identity = ""
    try:
        for turn in range(rounds):
            for block in plan_blocks(entry.profile):
                request = LineRequest(entry.device.unit, block.function, block.address, block.count)
                what = f"FC{block.function:02} {block.table.value} {block.address}+{block.count}"
                attempt, reply = await _try(exchange, request, what, frames, clock, timeout_s)
                attempts.append(attempt)
                if attempt.fault in (Reason.SILENT, Reason.GARBLED):
                    await exchange.drain(hold_s)
                latest.update(_decoded(values, block, reply, attempt, clock))
                await clock.sleep(traits.min_gap_s if traits else 0.0)
            if turn == 0 and any(not attempt.fault for attempt in attempts):
                _, said = await _try(exchange, identity_request(entry.device.unit), "FC43", frames, clock, timeout_s)
                if said is not None:
                    who = identity_of(said)
                    identity = " ".join(part for part in (who.maker, who.product, who.revision) if part)
    finally:
        await exchange.close()
    shown = tuple(_point_value(entry, reading) for reading in latest.values())
    advice = advise(attempts, shown, serial=bool(line.port_path), timeout_ms=timeout_s * 1000)
    ok = all(not attempt.fault for attempt in attempts) and all(value.quality != "bad" for value in shown)
    return Diagnosis(entry.device.id, entry.profile.id, line.id, entry.device.unit, ok, identity, tuple(attempts),
                     shown, figures_of(attempts), advice)


async def _try(exchange: LineExchange, request: LineRequest, what: str, frames: _Frames, clock: Clock,
               timeout_s: float) -> tuple[Attempt, LineReply | None]:
    frames.sent = frames.received = b""
    began_us = clock.now().mono_us
    reply: LineReply | None = None
    fault, detail, code = "", "", 0
    try:
        reply = await exchange.exchange(request, timeout_s=timeout_s)
        detail = reply_fault(request, reply)
        if detail:
            reply, fault = None, Reason.GARBLED.value
    except LineUnreachable as problem:
        fault, detail = Reason.LINE_DOWN.value, str(problem)
    except PeerSilent as problem:
        fault, detail = Reason.SILENT.value, str(problem)
    except PeerRefused as problem:
        fault, detail, code = Reason.REFUSED.value, str(problem), problem.code
    except PeerGarbled as problem:
        fault, detail = Reason.GARBLED.value, str(problem)
    took_us = exchange.took_us if isinstance(exchange, GatewayExchange) else clock.now().mono_us - began_us
    took_ms = round(took_us / 1000, 1)
    return Attempt(what, frames.sent.hex(" "), frames.received.hex(" "), took_ms, fault, detail, code), reply


def _decoded(values: DeviceValues, block: Block, reply: LineReply | None, attempt: Attempt, clock: Clock
             ) -> dict[str, Reading]:
    now = clock.now()
    readings = (values.take(block, reply.payload, now)[0] if reply is not None
                else values.refuse(block, Reason(attempt.fault), now))
    return {reading.point: reading for reading in readings}


def _point_value(entry: LineDevice, reading: Reading) -> PointValue:
    point = reading.point.partition(".")[2]
    spec = entry.profile.point(point)
    name = Text(spec.en, spec.zh) if spec is not None else Text(point, point)
    return PointValue(reading.point, name, reading.value, reading.unit, reading.quality.value, reading.reason.value)


def diagnosis_text(diagnosis: Diagnosis, language: str) -> str:
    """A diagnosis for people, in "zh" or "en"."""
    chinese, f = language.startswith("zh"), diagnosis.figures
    head = f"{diagnosis.device} ({diagnosis.profile}) {diagnosis.line}/{diagnosis.unit} {diagnosis.identity}".rstrip()
    lines = [head]
    for attempt in diagnosis.attempts:
        lines.append(f"  {attempt.what}  {attempt.took_ms:g} ms  {attempt.fault}".rstrip())
        lines += [f"    > {attempt.sent}", f"    < {attempt.received or '-'}"]
        if attempt.detail:
            lines.append(f"    {attempt.detail}")
    for value in diagnosis.values:
        number = value.value
        shown = "-" if number is None else f"{number:.6g}" if isinstance(number, float) else str(number)
        lines.append(f"  {value.name.in_language(language):<28} {shown} {value.unit}  {value.quality} {value.reason}"
                     .rstrip())
    words = ("asked, answered", "silent", "garbled", "refused")
    if chinese:
        words = ("次请求，应答", "无应答", "损坏", "拒绝")
    lines.append(f"  {f.asked} {words[0]} {f.answered}, {words[1]} {f.silent}, {words[2]} {f.garbled}, {words[3]} "
                 f"{f.refused}; {f.least_ms:g} / {f.median_ms:g} / {f.most_ms:g} ms")
    lines += [f"{'建议：' if chinese else 'advice: '}{advice.in_language(language)}" for advice in diagnosis.advice]
    return "\n".join(lines)
