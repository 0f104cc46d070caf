"""`tocsin bench isolation`: what dead units on a line cost the healthy ones: their p95 period, against none dead.

    TCP: 32 units, 0 dead ┐
         32 units, 8 dead ┤ four lines polled at once, each against a server process of its own
    RTU: 32 units, 0 dead ┤ (a pty paced like 9600 baud)
         32 units, 8 dead ┘
    p95_ratio = p95 of the periods of the units that are healthy in both ÷ the same with none dead

Measured from when every dead unit is known to be lost: finding that out costs three time-outs each, once.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from itertools import pairwise

import msgspec
import uvloop

from bench.pollers import ServerProcess, WatchedLine, end, measuring_profile
from bench.report import Report, figure, report
from demo.percentile import percentile
from device_model.errors import LocalFault
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock

REGISTERS = 10
LOST_WITHIN_S = 240.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many, how often, how long."""
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--dead", type=int, default=8)
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--period-tcp", type=float, default=1.0, help="seconds between reads of one unit")
    parser.add_argument("--period-rtu", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=120.0)


def run(options: argparse.Namespace) -> Report:
    """Measure, in the event loop that a gateway uses. Raises LocalFault where no healthy unit would be left."""
    if not options.dead < options.units <= 247:
        raise LocalFault(f"--units {options.units} --dead {options.dead}: at most 247 units, and fewer dead ones")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(options))


async def _run(options: argparse.Namespace) -> Report:
    servers: list[ServerProcess] = []
    lines: dict[tuple[str, int], WatchedLine] = {}
    tasks: list[asyncio.Task[None]] = []
    try:
        for dead in (0, options.dead):
            for kind in ("tcp", "rtu"):
                server, line = await _open(kind, dead, options)
                servers.append(server)
                period_s = options.period_tcp if kind == "tcp" else options.period_rtu
                watched = WatchedLine(line, options.units, measuring_profile(REGISTERS, period_s), SystemClock())
                lines[kind, dead] = watched
                tasks.append(asyncio.create_task(watched.poller.run()))
        await _until_lost(lines, options.dead)
        from_us = time.monotonic_ns() // 1000
        await asyncio.sleep(options.seconds)
    finally:
        await end(tasks)
        for server in servers:
            await server.stop()
    healthy = [f"d{unit}" for unit in range(options.dead + 1, options.units + 1)]
    p95 = {key: percentile(_periods(line, healthy, from_us), 0.95) for key, line in lines.items()}
    worst = {key: max(_periods(line, healthy, from_us), default=float("nan")) for key, line in lines.items()}
    figures = {}
    for kind in ("tcp", "rtu"):
        figures[f"p95_ratio_{kind}"] = figure(p95[kind, options.dead] / p95[kind, 0], "", at_most=1.05)
        figures[f"worst_period_{kind}"] = figure(worst[kind, options.dead], "s")
    return report("isolation", figures, {
        "p95_period_tcp_s": p95["tcp", 0], "p95_period_rtu_s": p95["rtu", 0], "units": options.units,
        "dead": options.dead, "seconds": options.seconds})


async def _open(kind: str, dead: int, options: argparse.Namespace) -> tuple[ServerProcess, Line]:
    shape = ("--units", str(options.units), "--dead", str(dead))
    if kind == "tcp":
        server = await ServerProcess.start("bench.modbus_server", "--registers", str(REGISTERS), *shape)
        port = msgspec.json.decode(server.said, type=list[int])[0]
        return server, Line(f"tcp-{dead}", LineKind.MODBUS_TCP, host="127.0.0.1", port=port)
    server = await ServerProcess.start("bench.modbus_server_rtu", "--baud", str(options.baud), *shape)
    return server, Line(f"rtu-{dead}", LineKind.MODBUS_RTU, port_path=server.said, baud=options.baud, stop_bits=2)


async def _until_lost(lines: dict[tuple[str, int], WatchedLine], dead: int) -> None:
    for _ in range(round(LOST_WITHIN_S)):
        if all(len(line.lost) >= dead for (_, of_line), line in lines.items() if of_line):
            return
        await asyncio.sleep(1.0)
    raise LocalFault(f"the dead units were not found dead within {LOST_WITHIN_S:.0f} s")


def _periods(line: WatchedLine, devices: list[str], from_us: int) -> list[float]:
    periods = []
    for device in devices:
        times = [at for at in line.read_us.get(device, ()) if at >= from_us]
        periods += [(later - earlier) / 1e6 for earlier, later in pairwise(times)]
    return periods
