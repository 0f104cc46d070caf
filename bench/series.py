"""`tocsin bench series`: what the time series of a gateway cost: samples a second into its own file, with all sums,
and into InfluxDB and VictoriaMetrics where they are installed; bytes a sample; CPU of the gateway's side.

    groups of 1,000 changed values (a gateway at its full rate, each group_s) ─► SqliteSeries ─► InfluxSeries
    raw limit: the same rows into bare SQLite without sums, index of time or place of a remote
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from bench.report import Figure, Report, figure, report
from cloud_bridge.influx import InfluxSeries
from device_model.child_process import free_ports
from device_model.errors import LocalFault, PeerError
from device_model.series import Sample
from device_model.site import SeriesKind, SeriesRemote, SeriesSettings
from edge_agent.series import SqliteSeries

START_US = 1_790_000_000_000_000
GROUP = 1_000
_READY_S = 30.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How much."""
    parser.add_argument("--points", type=int, default=1_000)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> Report:
    """Measure in this process; servers are processes of their own."""
    samples = _samples(options)
    with tempfile.TemporaryDirectory(prefix="tocsin-series-") as folder:
        bare_per_s = _bare(samples, Path(folder) / "bare.sqlite")
        figures = asyncio.run(_local(samples, Path(folder) / "series.sqlite", bare_per_s))
        for kind, program in ((SeriesKind.INFLUX_1, "influxd"), (SeriesKind.VICTORIA, "victoria-metrics")):
            if shutil.which(program):
                figures |= asyncio.run(_remote(samples, kind, program, Path(folder) / kind.value))
    return report("series", figures, {"bare_rows_per_s": bare_per_s, "points": options.points,
                                      "samples": options.samples})


def _samples(options: argparse.Namespace) -> list[Sample]:
    random = Random(options.seed)  # noqa: S311 - a load, no secret
    values = [20.0] * options.points
    found = []
    for n in range(options.samples):
        point = n % options.points
        values[point] += random.gauss(0, 0.5)
        at_us = START_US + n // options.points * 1_000_000 + point
        found.append(Sample("a/b/c/d", "gw-1", f"z{point % 40}", f"d{point // 10}.t{point % 10}", "temperature",
                            "Cel", at_us, round(values[point], 2), received_us=at_us + 2, lane="telemetry", epoch="e",
                            sequence=n // 50 + 1))
    return found


async def _local(samples: list[Sample], path: Path, bare_per_s: float) -> dict[str, Figure]:
    store = SqliteSeries(SeriesSettings(path=str(path), raw_days=36_500))

    async def write(group: list[Sample]) -> None:
        await store.write(group)

    per_s, cpu_us = await _timed(samples, write)
    await store.close()
    return {
        "local_samples_per_s": figure(per_s, "1/s", at_least=5_000),
        "local_cpu_us_per_sample": figure(cpu_us, "µs"),
        "local_ratio_to_sqlite": figure(per_s / bare_per_s, ""),
        "local_bytes_per_sample": figure(path.stat().st_size / len(samples), "B"),  # noqa: ASYNC240 - at the end
    }


async def _remote(samples: list[Sample], kind: SeriesKind, program: str, folder: Path) -> dict[str, Figure]:
    (port,) = free_ports(1)
    command = _command(kind, program, folder, port)
    server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = InfluxSeries(SeriesRemote("bench", kind, f"http://127.0.0.1:{port}", "tocsin"))

    async def write(group: list[Sample]) -> None:
        await store.write(group)

    try:
        await _ready(store, kind, samples[:1])
        per_s, cpu_us = await _timed(samples, write)
    finally:
        await store.close()
        server.kill()
        await server.wait()
    name = kind.value.replace("-", "_")
    return {f"{name}_samples_per_s": figure(per_s, "1/s"), f"{name}_cpu_us_per_sample": figure(cpu_us, "µs")}


def _command(kind: SeriesKind, program: str, folder: Path, port: int) -> list[str]:
    folder.mkdir()
    address = f"127.0.0.1:{port}"
    if kind is SeriesKind.VICTORIA:
        return [program, f"-storageDataPath={folder}", f"-httpListenAddr={address}", "-retentionPeriod=100y"]
    (folder / "conf").write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_ports(1)[0]}"\n[meta]\ndir = "{folder}/meta"\n'
        f'[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n[http]\nbind-address = "{address}"\n'
        "log-enabled = false\n[monitor]\nstore-enabled = false\n", encoding="utf-8")
    return [program, "-config", str(folder / "conf")]


async def _ready(store: InfluxSeries, kind: SeriesKind, first: list[Sample]) -> None:
    for _ in range(round(_READY_S * 10)):
        try:
            if kind is not SeriesKind.VICTORIA:
                await store.ask("CREATE DATABASE tocsin", change=True)
            await store.write(first)
        except PeerError:
            await asyncio.sleep(0.1)
        else:
            return
    raise LocalFault(f"{kind.value} did not start within {_READY_S:.0f} s")


async def _timed(samples: list[Sample], write: Callable[[list[Sample]], Awaitable[None]]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(samples), GROUP):
        await write(samples[start:start + GROUP])
    return len(samples) / (time.perf_counter() - began), (time.process_time() - cpu) / len(samples) * 1e6


def _bare(samples: list[Sample], path: Path) -> float:
    with sqlite3.connect(path, isolation_level=None) as db:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE raw(point TEXT, "
                         "time_us INTEGER, value REAL, PRIMARY KEY(point, time_us)) WITHOUT ROWID")
        began = time.perf_counter()
        for start in range(0, len(samples), GROUP):
            db.execute("BEGIN")
            db.executemany("INSERT INTO raw VALUES(?,?,?)",
                           [(one.point, one.time_us, one.value) for one in samples[start:start + GROUP]])
            db.execute("COMMIT")
        return len(samples) / (time.perf_counter() - began)
