"""What `tocsin sim record`, `replay`, `trace`, `conform` and `cameras` do (I/O): reads files, runs, prints."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from device_model.errors import LocalFault, TocsinError
from device_model.system_clock import clock_from_environment
from firmware_sim.camera import many_cameras
from firmware_sim.camera_server import CameraServer
from firmware_sim.conform import as_text
from firmware_sim.conform_run import conform
from firmware_sim.faults import LineFaults
from firmware_sim.pcapng import as_pcapng
from firmware_sim.recorder import LineWriter, MqttRecorder, SerialRecorder, TcpRecorder, read_line_file
from firmware_sim.replay_session import ReplaySession
from firmware_sim.scenario_lines import LineKind, Role, SimLine, broker_address
from firmware_sim.session_line import SessionLine

PORT_MOST = 65535
CAMERAS_MOST = 10_000  # the largest district has 1,437
_TURN_S = 0.02  # finer than a scenario's step: a recorded pause is to be kept


def run_record(
    out: Path, *, listen: str = "", to: str = "", serial: str = "", baud: int = 9600, mqtt: str = "",
    topic: str = "#", duration_s: float | None = None,
) -> None:
    """Write a real line down until interrupted. Exits 1 with a message for what cannot be had."""
    kind = "mqtt" if mqtt else "serial" if serial else "tcp"
    if not (mqtt or serial or (listen and to)):
        _fail("nothing to record: write --listen and --to, or --serial, or --mqtt")
    if kind == "tcp":
        _end("--listen", listen)
        _end("--to", to, least=1)
    if baud <= 0:
        _fail(f"--baud {baud} is no speed: write such as 9600")
    _run(_record(out, kind, listen, to, serial, baud, mqtt, topic, duration_s))


async def _record(
    out: Path, kind: str, listen: str, to: str, port: str, baud: int, mqtt: str, topic: str, duration_s: float | None,
) -> None:
    clock = clock_from_environment()
    writer = LineWriter(out, kind, mqtt or port or to, clock, baud if kind == "serial" else 0)
    with contextlib.ExitStack() as ends:
        ends.callback(writer.close)
        if kind == "mqtt":
            address = broker_address(mqtt)
            if address is None:
                raise LocalFault(f"{mqtt!r} is no broker: write mqtt://host:port")
            ends.callback(MqttRecorder(*address, topic, writer).close)
            await _until_told(duration_s)
        elif kind == "serial":
            recorder = SerialRecorder(port, baud, writer, clock, to)
            ends.callback(recorder.close)
            listening = asyncio.create_task(recorder.run())
            await _until_told(duration_s)
            listening.cancel()
        else:
            link = TcpRecorder(listen, to, writer)
            await link.start()
            print(f"{link.address[0]}:{link.address[1]} passes on to {to}, written to {out}", flush=True)
            await _until_told(duration_s)
            await link.close()
    print(f"{writer.pieces} pieces in {out}")


def run_replay(
    file: Path, *, listen: str = "", to: str = "", speed: float = 1.0, duration_s: float | None = None
) -> None:
    """Play a recorded line: as the server on `listen`, or as the client of `to`. Exits 1 with a message."""
    if bool(listen) == bool(to):
        _fail("write either --listen host:port (we are the recorded server) or --to host:port (the recorded client)")
    _run(_replay(file, listen, to, speed, duration_s))


async def _replay(file: Path, listen: str, to: str, speed: float, duration_s: float | None) -> None:
    recording = read_line_file(file)
    clock = clock_from_environment()
    role = Role.SERVER if listen else Role.CLIENT
    host, port = _end("--listen", listen) if listen else _end("--to", to, least=1)
    line = SimLine("replay", LineKind.REPLAY, host, port, role=role, speed=speed, file=str(file))
    sessions = [ReplaySession(f"replay-{n}", recording, n, role, speed) for n in recording.connections()]
    start_us = clock.now().mono_us

    def at_s() -> float:
        return (clock.now().mono_us - start_us) / 1e6

    opened = SessionLine(line, list(sessions), LineFaults(line.id, (), 0), clock, at_s)
    print(f"{await opened.start()}: {len(sessions)} recorded connections, as {role}", flush=True)

    async def turn() -> None:
        while not all(session.done for session in sessions):
            await clock.sleep(_TURN_S)
            opened.turn(at_s())

    turning = asyncio.create_task(turn())
    await _until_told(duration_s, turning)
    turning.cancel()
    await opened.close()
    differing = sum(session.differing for session in sessions)
    print(f"played {sum(session.done for session in sessions)} of {len(sessions)}; "
          f"{differing} bytes of the peer were others than recorded")


def run_trace(file: Path, out: Path, *, port: int = 502) -> None:
    """A recorded line as pcapng for Wireshark. Exits 1 with a message."""
    try:
        octets = as_pcapng(read_line_file(file), port)
        out.write_bytes(octets)
    except (TocsinError, OSError) as error:
        _fail(str(error))
    print(f"{out}: {len(octets)} bytes")


def run_conform(target: str, *, as_json: bool = False, listen_s: float = 30.0) -> None:
    """Run the checklist; exits 1 where something deviates or the target cannot be had (message)."""
    try:
        report = asyncio.run(conform(target, clock_from_environment(), listen_s=listen_s))
    except TocsinError as error:
        _fail(str(error))
    print(msgspec.json.encode(report).decode() if as_json else as_text(report))
    if report.deviations:
        raise SystemExit(1)


def run_cameras(
    count: int, *, host: str = "127.0.0.1", port: int = 8554, clips: Path, state: str = "normal",
    scenes: Mapping[str, Path] | None = None, duration_s: float | None = None,
) -> None:
    """Serve so many RTSP cameras until interrupted. Exits 1 with a message."""
    if not 1 <= count <= CAMERAS_MOST:
        _fail(f"{count} cameras cannot be served: write 1 to {CAMERAS_MOST}")
    _run(_cameras(count, host, port, clips, state, scenes or {}, duration_s))


async def _cameras(
    count: int, host: str, port: int, clips: Path, state: str, scenes: Mapping[str, Path], duration_s: float | None,
) -> None:
    cameras = [msgspec.structs.replace(camera, state=state) for camera in many_cameras(count)]
    server = CameraServer(cameras, clips, host=host, port=port, scenes=scenes)
    await server.start()
    print(f"{count} cameras: {server.url(cameras[0].id)} … {server.url(cameras[-1].id)}", flush=True)
    await _until_told(duration_s)
    await server.close()


async def _until_told(duration_s: float | None, also: asyncio.Task[None] | None = None) -> None:
    """Until Ctrl-C, the end of the time, or of a task."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, *([also] if also else [])], timeout=duration_s,
                       return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


def _run(what: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(what)
    except TocsinError as error:
        _fail(str(error))


def _end(option: str, address: str, *, least: int = 0) -> tuple[str, int]:
    """host:port of an option; exits 1 with a message for what is none. Without a host it is this machine."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not least <= int(port) <= PORT_MOST:
        _fail(f"{option} {address!r} is no address: write host:port, as 127.0.0.1:1502 ({least} to {PORT_MOST})")
    return host or "127.0.0.1", int(port)


def _fail(message: str) -> Any:
    print(message, file=sys.stderr)
    raise SystemExit(1)
