"""`tocsin bench ingest`: messages/s from the broker to the incident store, and CPU per thousand.

    talkers ─mTLS─► nats-server ─► ingest ─► stream ─► worker ─► SQLite       until the worker has stored progress
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from bench.cloud import BenchCloud, bench_site
from bench.load import Talker, talk_fast
from bench.report import Report, figure, report
from demo.files import save
from device_model.errors import LocalFault

PARTS = ("ingest", "worker")
# About 2,000 messages/s is what ten million thinned devices need (DESIGN section 7).
MESSAGES_PER_S_AT_LEAST = 1000.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How much."""
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--sites", type=int, default=8)


def run(options: argparse.Namespace) -> Report:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        return asyncio.run(_run(Path(folder), options.messages, options.sites))


async def _run(folder: Path, messages: int, sites: int) -> Report:
    cloud = BenchCloud(folder)
    names = [f"s{n}" for n in range(sites)]
    talkers = []
    for name in names:
        address, _, link = cloud.enrol(name)
        devices = [{"id": f"d{n}", "profile": "xy-md04", "line": "l", "zone": "z1", "unit": n + 1} for n in range(5)]
        lines = [{"id": "l", "kind": "modbus_tcp", "host": "127.0.0.1", "port": 15020}]
        save(folder / f"{name}.yaml", bench_site(name, 1, devices, lines, cloud=link, journal=folder / "unused"))
        talkers.append(Talker(address, cloud.mqtt_port, folder / f"keys-{name}"))
    try:
        await cloud.start([folder / f"{name}.yaml" for name in names])
        cpu_before, nats_before, started = cloud.cpu_s(*PARTS), cloud.cpu_s("nats"), time.perf_counter()
        acked_s = max(await asyncio.gather(*(talk_fast(talker, messages // sites) for talker in talkers)))
        stored_s = await _until_stored(folder, started)
        cpu_s, nats_s = cloud.cpu_s(*PARTS) - cpu_before, cloud.cpu_s("nats") - nats_before
    finally:
        for talker in talkers:
            await talker.close()
        await cloud.stop()
    sent = messages // sites * sites
    return report(
        "ingest",
        {
            "messages_per_s": figure(sent / max(acked_s, stored_s), "1/s", at_least=MESSAGES_PER_S_AT_LEAST),
            "cpu_s_per_1000": figure(cpu_s / sent * 1000, "s"),
            "acknowledged_per_s": figure(sent / acked_s, "1/s"),
            "nats_cpu_s_per_1000": figure(nats_s / sent * 1000, "s"),
        },
        {"sites": sites, "messages": sent},
    )


async def _until_stored(folder: Path, started: float) -> float:
    """Seconds since `started` until the worker's stored progress stands still at its end."""
    database = folder / "cloud" / "incidents.sqlite"
    last, since = -1, time.perf_counter()
    while time.perf_counter() - started < 300:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            total = sum(row[0] for row in connection.execute("SELECT sequence FROM progress"))
        if total != last:
            last, since = total, time.perf_counter()
        elif time.perf_counter() - since > 1.5:
            return since - started
        await asyncio.sleep(0.05)
    raise LocalFault("the worker did not store everything within 300 s")
