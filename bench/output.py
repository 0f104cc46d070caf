"""`tocsin bench output`: from a changed register to the coil of the output, cloud down, real ports, real gateway.

    unit n: smoke bit set ─poll─► gateway process ─ rule, output, same step ─► unit 100+n: write coil arrives
       └────────────────────────────── one sample ──────────────────────────────┘
    budget: 2 polls + 50 ms. Half of the samples with every fsync of the gateway stalled (where a compiler is).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import tempfile
from pathlib import Path
from random import Random

from bench.cloud import bench_site
from bench.detectors import Detectors
from bench.report import Report, figure, report
from demo.children import Child, tocsin_command
from demo.files import save
from demo.percentile import percentile
from device_model.child_process import free_ports
from device_model.errors import LocalFault
from device_model.system_clock import real_mono_us

POLL_S = 1.0  # of the profile's smoke bit
BUDGET_S = 2 * POLL_S + 0.05
RELAYS_FROM = 100
SAMPLES_MAX = 100
ARRIVES_WITHIN_S = 30.0
SETTLE_S = 6.0  # every unit polled, journal open
STALL = Path(__file__).resolve().parent.parent / "tests" / "system" / "slow_fsync.c"


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many alarms."""
    parser.add_argument("--samples", type=int, default=60, help=f"alarms in all, at most {SAMPLES_MAX}")


def run(options: argparse.Namespace) -> Report:
    """Measure."""
    if not 2 <= options.samples <= SAMPLES_MAX:
        raise LocalFault(f"give 2 to {SAMPLES_MAX} samples: a line has 247 units")
    with tempfile.TemporaryDirectory(prefix="tocsin-output-") as folder:
        healthy, stalled = asyncio.run(_run(Path(folder), options.samples))
    figures = {
        "output_p99_s": figure(percentile(healthy, 0.99), "s", at_most=BUDGET_S),
        "output_p50_s": figure(percentile(healthy, 0.5), "s"),
        "output_max_s": figure(max(healthy), "s"),
    }
    if stalled:
        figures["stalled_p99_s"] = figure(percentile(stalled, 0.99), "s", at_most=BUDGET_S)
        figures["stalled_max_s"] = figure(max(stalled), "s")
    return report("output", figures, {"poll_s": POLL_S, "samples": options.samples, "fsync_stalled": len(stalled)})


class Plant(Detectors):
    """Detectors on units 1…n and relays on units 101…; notes when each coil was written true."""

    def __init__(self) -> None:
        super().__init__()
        self.coils: dict[int, bool] = {}
        self.written_us: dict[int, int] = {}
        self._written = asyncio.Event()

    def _reply(self, transaction: int, unit: int, function: int, address: int, count: int) -> bytes:
        if function == 5:  # write single coil: `count` holds its value
            on = count == 0xFF00
            if on:
                self.written_us.setdefault(unit, real_mono_us())
                self._written.set()
            self.coils[unit] = on
            return _echo(transaction, unit, function, address, count)
        if function == 1:
            return _bits(transaction, unit, self.coils.get(unit, False), count)
        return super()._reply(transaction, unit, function, address, count)

    async def acted(self, unit: int) -> int:
        """Real µs at which the coil was written true. LocalFault when it is not."""
        try:
            async with asyncio.timeout(ARRIVES_WITHIN_S):
                while unit not in self.written_us:
                    self._written.clear()
                    await self._written.wait()
        except TimeoutError as error:
            raise LocalFault(f"output {unit} did not act within {ARRIVES_WITHIN_S:g} s") from error
        return self.written_us[unit]


def _echo(transaction: int, unit: int, function: int, address: int, count: int) -> bytes:
    return b"".join((transaction.to_bytes(2, "big"), b"\0\0\0\6", bytes((unit, function)), address.to_bytes(2, "big"),
                     count.to_bytes(2, "big")))


def _bits(transaction: int, unit: int, first: bool, count: int) -> bytes:
    body = bytes((int(first), *bytes((count + 7) // 8 - 1)))
    return b"".join((transaction.to_bytes(2, "big"), b"\0\0", (3 + len(body)).to_bytes(2, "big"),
                     bytes((unit, 1, len(body))), body))


async def _run(folder: Path, samples: int) -> tuple[list[float], list[float]]:
    plant = Plant()
    await plant.start()
    flag = folder / "stall"
    environment = _stall_shim(folder, flag)
    site = save(folder / "site.yaml", _site(folder, plant.port, samples))
    gateway = Child("gateway", tocsin_command("gateway", "run", "--config", str(site)), folder, environment)
    dice = Random(1)  # noqa: S311  the phase of the polls, not a secret
    healthy: list[float] = []
    stalled: list[float] = []
    try:
        await gateway.start()
        await asyncio.sleep(SETTLE_S)
        half = samples // 2 if environment else samples
        for number in range(1, samples + 1):
            if number == half + 1:
                flag.touch()
            await asyncio.sleep(dice.random() * POLL_S)
            began_us = real_mono_us()
            plant.alarm(number)
            taken_s = (await plant.acted(RELAYS_FROM + number) - began_us) / 1e6
            (healthy if number <= half else stalled).append(taken_s)
    finally:
        flag.unlink(missing_ok=True)
        await gateway.stop()
        await plant.stop()
    return healthy, stalled


def _site(folder: Path, port: int, samples: int) -> dict[str, object]:
    """A zone each with a detector and a sounder; a cloud that is not there."""
    devices = [{"id": f"smoke-{n}", "profile": "calectro-ug3", "line": "riser", "zone": f"z{n}", "unit": n}
               for n in range(1, samples + 1)]
    devices += [{"id": f"relay-{n}", "profile": "wb-msgr", "line": "riser", "zone": f"z{n}", "unit": RELAYS_FROM + n}
                for n in range(1, samples + 1)]
    (nobody,) = free_ports(1)
    site = bench_site(
        "output", samples, devices, [{"id": "riser", "kind": "modbus_tcp", "host": "127.0.0.1", "port": port}],
        cloud={"host": "127.0.0.1", "port": nobody, "ca_file": "none.pem", "certificate_file": "none.pem",
               "key_file": "none.pem"}, journal=folder / "journal.sqlite")
    site["outputs"] = [{"id": f"horn-{n}", "drives": f"relay-{n}.relay", "purpose": "sounder", "hazards": ["fire"],
                        "zones": [f"z{n}"], "on_power_loss": "off", "on_agent_death": "hold", "on_restart": "hold"}
                       for n in range(1, samples + 1)]
    return site


def _stall_shim(folder: Path, flag: Path) -> dict[str, str]:
    """The environment of a gateway whose fsync waits while the flag is there; empty without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not STALL.exists():
        return {}
    shim = folder / "slow_fsync.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(shim), str(STALL), "-ldl"], check=True)
    return {"LD_PRELOAD": str(shim), "SLOW_FSYNC_WHILE": str(flag)}
