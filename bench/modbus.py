"""`tocsin bench modbus`: a real gateway reads, decodes and judges many Modbus TCP devices; what that costs it alone.

    modbus_server (own process, values move by 1 % and 100 % a period) ◄─Modbus TCP─ tocsin gateway run ─► journal
                    counts values and requests served                        CPU, memory, bytes written

One run per share of moving values, each with a fresh gateway and journal; the first seconds (connecting, first
values, which are all new) are not counted. There is no cloud: the journal keeps what a cloud would be sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.modbus_server import Counts
from bench.report import Report, figure, process_cpu_s, process_rss_mib, report
from demo.children import Child, tocsin_command
from demo.files import Yaml, save
from device_model.errors import LocalFault

PROFILE = "bench-registers"
SHARES = {"1pct": 0.01, "100pct": 1.0}
UNITS_PER_LINE = 10
READY_S = 60.0
_ROOM: Yaml = {"quantity": "temperature", "unit": "Cel", "scale": 0.1, "deadband": 0.3}
_METER: Yaml = {"quantity": "current", "unit": "A", "scale": 0.1, "deadband": 0.3}


def add_options(parser: argparse.ArgumentParser) -> None:
    """How much is read, how often."""
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--registers", type=int, default=1000, help="of each device")
    parser.add_argument("--judged", type=int, default=10, help="of them under two fire rules of their own")
    parser.add_argument("--period", type=float, default=1.0, help="seconds between two reads of a register")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each run")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds before it")
    parser.add_argument("--keep", type=Path, help="keep site file, journal and logs in this folder")


def run(options: argparse.Namespace) -> Report:
    """Measure."""
    if options.keep is not None:
        return asyncio.run(_run(options.keep, options))
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        return asyncio.run(_run(Path(folder), options))


class Sample(msgspec.Struct):
    """What one run measured, per second where it flows."""

    values_per_s: float
    requests_per_s: float
    changed_per_s: float
    cpu_cores: float
    rss_mib: float
    journaled_bytes_per_s: float


async def _run(folder: Path, options: argparse.Namespace) -> Report:
    samples = {name: await measure(folder / name, options, share) for name, share in SHARES.items()}
    calm, storm = samples["1pct"], samples["100pct"]
    wanted = options.devices * options.registers / options.period
    small = wanted <= 1000
    return report("modbus", {
        "values_per_s": figure(calm.values_per_s, "1/s", at_least=0.99 * wanted),
        "requests_per_s": figure(calm.requests_per_s, "1/s"),
        "cpu_cores": figure(calm.cpu_cores, "cores", at_most=0.05 if small else 1.0),
        "rss_mib": figure(calm.rss_mib, "MiB", at_most=48.0 if small else 300.0),
        "journaled_1pct": figure(calm.journaled_bytes_per_s, "B/s"),
        "values_per_s_100pct": figure(storm.values_per_s, "1/s"),
        "changed_per_s_100pct": figure(storm.changed_per_s, "1/s"),
        "cpu_cores_100pct": figure(storm.cpu_cores, "cores"),
        "rss_mib_100pct": figure(storm.rss_mib, "MiB"),
        "journaled_100pct": figure(storm.journaled_bytes_per_s, "B/s"),
    }, {"wanted_values_per_s": wanted, "seconds": options.seconds})


async def measure(folder: Path, options: argparse.Namespace, share: float) -> Sample:
    """One gateway against one server process. LocalFault when either does not come up."""
    lines = -(-options.devices // UNITS_PER_LINE)
    server = await _Server.start(lines, min(options.devices, UNITS_PER_LINE), options, share)
    gateway = Child("gateway", tocsin_command("gateway", "run", "--config", str(
        write_site(folder, server.ports, options))), folder, {}, restart=False)
    try:
        await gateway.start()
        await server.wait_for(options.devices * options.registers, gateway)
        await asyncio.sleep(options.settle)
        loop = asyncio.get_running_loop()
        begun, cpu_before, before = loop.time(), process_cpu_s(gateway.pid), server.counts
        wrote_before, rss = _written_bytes(gateway.pid), 0.0
        while loop.time() - begun < options.seconds:
            await asyncio.sleep(0.5)
            rss = max(rss, process_rss_mib(gateway.pid))
        if not gateway.pid:
            raise LocalFault(f"the gateway ended:\n{gateway.last_words()}")
        took, after = loop.time() - begun, server.counts
        served_s = after.at_s - before.at_s  # the server speaks once a period; its counts go with its own times
        return Sample(
            (after.values - before.values) / served_s, (after.requests - before.requests) / served_s,
            (after.changed - before.changed) / served_s, (process_cpu_s(gateway.pid) - cpu_before) / took, rss,
            (_written_bytes(gateway.pid) - wrote_before) / took)
    finally:
        await gateway.stop()
        await server.stop()


def write_site(folder: Path, ports: Sequence[int], options: argparse.Namespace) -> Path:
    """A site file with its profile, ten devices to a TCP line. The first `judged` registers of each device are
    room temperatures, which two fire rules watch each (limit and rate of rise, with their windows); the rest are
    currents, which the rules on the device as a whole watch, as in a meter."""
    period_s = options.period
    (folder / "profiles").mkdir(parents=True, exist_ok=True)
    save(folder / "profiles" / f"{PROFILE}.yaml", {
        "profile": PROFILE, "version": 1, "maker": "Tocsin", "model": "bench", "en": "registers to measure with",
        "zh": "基准测试寄存器", "class": "climate", "certainty": "B", "source": "made for bench/modbus.py",
        "modbus": {}, "poll_interval_s": period_s, "stale_after_s": max(10.0, 10 * period_s), "type": "u16",
        "points": {f"r{n}": {**(_ROOM if n < options.judged else _METER), "address": n}
                   for n in range(options.registers)},
    })
    placed: list[Yaml] = [{"id": f"d{n}", "profile": PROFILE, "line": f"l{n // UNITS_PER_LINE}", "zone": "z1",
                           "unit": n % UNITS_PER_LINE + 1} for n in range(options.devices)]
    return save(folder / "site.yaml", {
        "site": {"path": "bench/bench/bench/modbus", "name": "bench", "time_zone": "Asia/Shanghai"},
        "gateway": {"id": "gw-1", "journal_path": str(folder / "journal.sqlite")},
        "lines": [{"id": f"l{n}", "kind": "modbus_tcp", "host": "127.0.0.1", "port": port}
                  for n, port in enumerate(ports)],
        "buildings": [{"id": "b1", "name": "b", "floors": [
            {"id": "f1", "name": "1", "zones": [{"id": "z1", "name": "z"}]}]}],
        "devices": placed,
    })


def _written_bytes(pid: int) -> int:
    """Bytes that the process gave to the disk so far (its journal; the log is a few lines)."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "write_bytes":
                return int(value)
    return 0


class _Server:
    """The server process: its ports, and its counts as last told."""

    def __init__(self, process: asyncio.subprocess.Process, ports: list[int]) -> None:
        self.ports = ports
        self._process = process
        self.counts = Counts()
        self._reading = asyncio.create_task(self._read())

    @staticmethod
    async def start(lines: int, units: int, options: argparse.Namespace, share: float) -> _Server:
        """Start it; returns when its ports are open."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.modbus_server", "--lines", str(lines), "--units", str(units), "--registers",
            str(options.registers), "--period", str(options.period), "--share", str(share),
            stdout=asyncio.subprocess.PIPE)
        if process.stdout is None:
            raise LocalFault("the server has no standard output")
        first = await asyncio.wait_for(process.stdout.readline(), READY_S)
        if not first:
            raise LocalFault("the Modbus server did not start")
        return _Server(process, msgspec.json.decode(first, type=list[int]))

    async def _read(self) -> None:
        if self._process.stdout is not None:
            async for line in self._process.stdout:
                self.counts = msgspec.json.decode(line, type=Counts)

    async def wait_for(self, values: int, gateway: Child) -> None:
        """Until so many values were served. LocalFault when they were not in time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + READY_S
        while self.counts.values < values:
            if loop.time() > end or not gateway.pid:
                raise LocalFault(f"the gateway did not read every value once:\n{gateway.last_words()}")
            await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
