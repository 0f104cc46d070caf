"""`tocsin bench fleet`: a whole district's devices in one simulator process, at their real rates; what that costs.

    poller (this process): each meter once in `--poll` s ──Modbus TCP──► simulator (own process, CPU and memory taken)
                                          mosquitto ◄──MQTT, `--hub` detectors a session──┘

Real rates: a meter is read once a second; a detector reports once in 60 s (twelve times what Zigbee2MQTT's default
of 10 min for an active device asks for, so that silence can be told early) and at once when it changes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import struct
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Report, figure, process_cpu_s, process_rss_mib, report
from device_model.errors import LocalFault

_REQUEST = struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 0, 2)
_REPLY_BYTES = 9 + 4
CONNECTED_S = 90.0
REPORT_S = 60.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How large the fleet is."""
    parser.add_argument("--modbus", type=int, default=1000, help="Modbus TCP devices, a port each")
    parser.add_argument("--mqtt", type=int, default=15000, help="MQTT detectors")
    parser.add_argument("--hub", type=int, default=0, help="detectors that share a session; 0: one each")
    parser.add_argument("--poll", type=float, default=1.0, help="seconds between two reads of a meter")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured time")
    parser.add_argument("--system", action="store_true",
                        help="a district behind production gateways at a real cloud: what it costs, what is lost")
    parser.add_argument("--fleet", default="yuhang", help="with --system: which district")
    parser.add_argument("--start", type=float, default=60.0, help="with --system: seconds over which gateways start")
    parser.add_argument("--share", type=float, default=1.0, help="with --system: of the district's devices")
    parser.add_argument("--gateways", type=int, default=200, help="with --system: over how many gateways")
    parser.add_argument("--rate", type=float, default=2000.0, help="with --system: how many times the events of life")


def run(options: argparse.Namespace) -> Report:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        if options.system:
            from bench.fleet_system import measure_system

            return asyncio.run(measure_system(options, Path(folder)))
        return asyncio.run(_run(options, Path(folder)))


class _Meters:
    """Reads every meter once a period and counts right replies."""

    def __init__(self, ports: list[int], period_s: float) -> None:
        self.replies = self.wrong = 0
        self._ports, self._period_s = ports, period_s

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number, port in enumerate(self._ports):
                group.create_task(self._read(port, number / len(self._ports) * self._period_s))

    async def _read(self, port: int, first_s: float) -> None:
        await asyncio.sleep(first_s)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due_s = time.monotonic()
        while True:
            writer.write(_REQUEST)
            reply = await reader.readexactly(_REPLY_BYTES)
            self.replies += 1
            self.wrong += reply[:2] != _REQUEST[:2] or reply[7] != 4
            due_s += self._period_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


async def _run(options: argparse.Namespace, folder: Path) -> Report:
    async with contextlib.AsyncExitStack() as ends:
        port = await _broker(folder, ends) if options.mqtt else 0
        began_s = time.monotonic()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.fleet_sim", "--modbus", str(options.modbus), "--mqtt", str(options.mqtt),
            "--hub", str(options.hub), "--broker", f"mqtt://127.0.0.1:{port}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20)
        ends.callback(child.terminate)
        assert child.stdout is not None
        line = await child.stdout.readline()
        if not line:
            raise LocalFault("the simulator ended; see above")
        meters = _Meters(json.loads(line)["ports"], options.poll)
        polling = asyncio.create_task(meters.run())
        ends.callback(polling.cancel)
        sessions = -(-options.mqtt // options.hub) if options.hub else options.mqtt
        while options.mqtt and (await _counts(child))["connected"] < sessions:
            if time.monotonic() - began_s > CONNECTED_S:
                break
            await asyncio.sleep(0.5)
        up_s = time.monotonic() - began_s
        await asyncio.sleep(5.0)  # the first messages of all at once are no measure of a fleet's day
        first, cpu_s, replies, from_s = (await _counts(child), process_cpu_s(child.pid), meters.replies,
                                         time.monotonic())
        await asyncio.sleep(options.seconds)
        last, spent_s, took_s = await _counts(child), process_cpu_s(child.pid) - cpu_s, time.monotonic() - from_s
        if polling.done():
            polling.result()  # a meter that failed ends the measurement with its reason
        published = last.get("published", 0) - first.get("published", 0)
        return report("fleet", {
            "cpu_cores": figure(spent_s / took_s, "cores", at_most=1.0),
            "rss_mib": figure(process_rss_mib(child.pid), "MiB"),
            "messages_per_s": figure(published / took_s, "1/s"),
            "requests_per_s": figure((meters.replies - replies) / took_s, "1/s",
                                     at_least=0.97 * options.modbus / options.poll),
            "wrong_replies": figure(meters.wrong, "", at_most=0),
            "sessions": figure(last.get("connected", 0), "", at_least=sessions),
            "messages_lost": figure(last.get("lost", 0), "", at_most=0),
            "all_up_s": figure(up_s, "s"),
        }, {"messages_per_s_due": options.mqtt / REPORT_S, "requests_per_s_due": options.modbus / options.poll})


async def _counts(child: asyncio.subprocess.Process) -> dict[str, int]:
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b"\n")
    await child.stdin.drain()
    return {name: int(count) for name, count in json.loads(await child.stdout.readline()).items()}


async def _broker(folder: Path, ends: contextlib.AsyncExitStack) -> int:
    """A Mosquitto of our own on a free port."""
    probe = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port: int = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    settings = folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n", encoding="utf-8")
    try:
        broker = await asyncio.create_subprocess_exec("/usr/sbin/mosquitto", "-c", str(settings),
                                                      stderr=asyncio.subprocess.DEVNULL)
    except OSError as error:
        raise LocalFault(f"no mosquitto ({error.strerror}): apt-get install mosquitto") from error
    ends.callback(broker.terminate)
    await asyncio.sleep(1.0)
    return port
