"""`tocsin bench rtu`: how much of what a serial wire can carry the poller uses.

    bus_use = reads per second ÷ the most that this wire can carry (request, t3.5, reply, t3.5 and nothing else)
"""

from __future__ import annotations

import argparse
import asyncio

import uvloop

from bench.modbus_server_rtu import transaction_s
from bench.pollers import ServerProcess, WatchedLine, end, measuring_profile
from bench.report import Report, figure, own_cpu_s, report
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock

SETTLE_S = 2.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """The wire, and what is asked on it."""
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--units", type=int, default=4)
    parser.add_argument("--registers", type=int, default=20, help="of each unit, read as one block")
    parser.add_argument("--seconds", type=float, default=20.0)


def run(options: argparse.Namespace) -> Report:
    """Measure, in the event loop that a gateway uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(options))


async def _run(options: argparse.Namespace) -> Report:
    least_s = transaction_s(options.baud, options.registers)
    server = await ServerProcess.start("bench.modbus_server_rtu", "--baud", str(options.baud), "--units",
                                       str(options.units))
    line = Line("bus", LineKind.MODBUS_RTU, port_path=server.said, baud=options.baud, stop_bits=2)
    # Asked for twice as often as the wire can carry, so that there is always something to send.
    watched = WatchedLine(line, options.units, measuring_profile(options.registers, least_s * options.units / 2),
                          SystemClock())
    polling = asyncio.create_task(watched.poller.run())
    try:
        await asyncio.sleep(SETTLE_S)
        before, cpu_s = _reads(watched), own_cpu_s()
        first = max(times[-1] for times in watched.read_us.values())
        await asyncio.sleep(options.seconds)
        last = max(times[-1] for times in watched.read_us.values())
        count, cpu_s = _reads(watched) - before, own_cpu_s() - cpu_s
    finally:
        await end([polling])
        await server.stop()
    took_s = (last - first) / 1e6
    return report("rtu", {
        "bus_use": figure(count * least_s / took_s, "share", at_least=0.95),
        "reads_per_s": figure(count / took_s, "1/s"),
        "lost_devices": figure(len(watched.lost), "", at_most=0),
        "cpu_cores": figure(cpu_s / took_s, "cores"),
    }, {"theoretical_reads_per_s": 1 / least_s, "baud": options.baud, "registers": options.registers})


def _reads(watched: WatchedLine) -> int:
    return sum(map(len, watched.read_us.values()))
