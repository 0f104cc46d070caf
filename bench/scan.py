"""`tocsin bench scan`: what a scan costs the polls of the line that it shares, on full lines.

    TCP: 32 units, polled as fast as the line bears ┐  first without a scan,
    RTU: the same on a pty paced like 9600 baud     ┘  then with one that never ends: units 1…247, again and again
    throughput_ratio = reads per second with the scan ÷ without

The line is full in both, so that every moment that the scan takes is one that a poll loses.
"""

from __future__ import annotations

import argparse
import asyncio

import msgspec
import uvloop

from bench.pollers import ServerProcess, WatchedLine, end, measuring_profile
from bench.report import Report, figure, report
from device_drivers.discover import UNIT_FIRST, UNIT_LAST, scan_units
from device_model.library import shipped_profiles
from device_model.ports import LineReply, LineRequest
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock

REGISTERS = 10
WARM_S = 5.0
TIMEOUT_TCP_S, TIMEOUT_RTU_S = 0.5, 0.15


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many, how fast, how long."""
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--period", type=float, default=0.01,
                        help="seconds between reads of one unit: more often than the line bears")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the two phases")


def run(options: argparse.Namespace) -> Report:
    """Measure, in the event loop that a gateway uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(options))


async def _run(options: argparse.Namespace) -> Report:
    figures = {}
    context: dict[str, float] = {"units": options.units, "seconds": options.seconds}
    for kind in ("tcp", "rtu"):
        server, line = await _open(kind, options)
        watched = WatchedLine(line, options.units, measuring_profile(REGISTERS, options.period), SystemClock())
        polling = asyncio.create_task(watched.poller.run())
        asked: list[int] = []
        try:
            await asyncio.sleep(WARM_S)
            alone = await _reads(watched, options.seconds)
            scanning = asyncio.create_task(_scan(watched, kind, asked))
            with_scan = await _reads(watched, options.seconds)
            await end([scanning])
        finally:
            await end([polling])
            await server.stop()
        figures[f"throughput_ratio_{kind}"] = figure(with_scan / alone, "", at_least=0.95)
        figures[f"reads_per_s_{kind}"] = figure(alone / options.seconds, "1/s")
        context[f"questions_{kind}"] = sum(asked)
    return report("scan", figures, context)


async def _open(kind: str, options: argparse.Namespace) -> tuple[ServerProcess, Line]:
    shape = ("--units", str(options.units), "--dead", "0")
    if kind == "tcp":
        server = await ServerProcess.start("bench.modbus_server", "--registers", str(REGISTERS), *shape)
        port = msgspec.json.decode(server.said, type=list[int])[0]
        return server, Line("tcp", LineKind.MODBUS_TCP, host="127.0.0.1", port=port)
    server = await ServerProcess.start("bench.modbus_server_rtu", "--baud", str(options.baud), *shape)
    return server, Line("rtu", LineKind.MODBUS_RTU, port_path=server.said, baud=options.baud, stop_bits=2)


async def _scan(line: WatchedLine, kind: str, asked: list[int]) -> None:
    profiles, timeout_s = shipped_profiles(), TIMEOUT_TCP_S if kind == "tcp" else TIMEOUT_RTU_S

    async def ask(request: LineRequest, timeout_s: float) -> LineReply:
        asked.append(1)
        return await line.poller.ask(request, timeout_s=timeout_s)

    while True:
        for unit in range(UNIT_FIRST, UNIT_LAST + 1):
            await scan_units(ask, [unit], profiles, SystemClock(), timeout_s=timeout_s)


async def _reads(line: WatchedLine, seconds: float) -> int:
    before = sum(map(len, line.read_us.values()))
    await asyncio.sleep(seconds)
    return sum(map(len, line.read_us.values())) - before
