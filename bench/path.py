"""`tocsin bench path`: from the changed register on the line to the event at the page, idle and under load.

    detectors ─Modbus TCP─► gateway ─mTLS─► broker ─► ingest ─► worker ─► web ─SSE─► here
       │ the reply with the alarm leaves                                             │ the incident's event arrives
       └──────────────────────────────── one sample ────────────────────────────────┘
    under load, eight other gateways send 1,000 messages/s through the same cloud
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

from bench.cloud import BenchCloud, bench_site
from bench.detectors import Detectors
from bench.report import Report, figure, report
from demo.board_client import board_events, get_json
from demo.children import Child, tocsin_command
from demo.files import save
from demo.percentile import percentile
from device_model.errors import LocalFault
from device_model.system_clock import real_mono_us

LOAD_SITES = 8
SAMPLE_WITHIN_S = 30.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many samples, and how much load."""
    parser.add_argument("--samples", type=int, default=60, help="alarms for each of idle and loaded")
    parser.add_argument("--rate", type=float, default=1000.0, help="messages/s of the load")


def run(options: argparse.Namespace) -> Report:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        return asyncio.run(_run(Path(folder), options.samples, options.rate))


async def _run(folder: Path, samples: int, rate: float) -> Report:
    cloud, detectors = BenchCloud(folder), Detectors()
    await detectors.start()
    _, _, link = cloud.enrol("measured")
    count = 2 * samples + 2
    if count > 240:
        raise LocalFault("at most 119 samples: a line has 247 units")
    devices = [{"id": f"smoke-{n}", "profile": "calectro-ug3", "line": "riser", "zone": f"z{n}", "unit": n}
               for n in range(1, count + 1)]
    lines = [{"id": "riser", "kind": "modbus_tcp", "host": "127.0.0.1", "port": detectors.port}]
    site = save(folder / "measured.yaml", bench_site("measured", count, devices, lines, cloud=link,
                                                     journal=folder / "measured.sqlite"))
    load_sites = [f"load{n}" for n in range(LOAD_SITES)]
    files = [site]
    for name in load_sites:
        _, _, load_link = cloud.enrol(name)
        sensors = [{"id": f"d{n}", "profile": "xy-md04", "line": "l", "zone": "z1", "unit": n + 1} for n in range(5)]
        nowhere = [{"id": "l", "kind": "modbus_tcp", "host": "127.0.0.1", "port": 15020}]
        files.append(save(folder / f"{name}.yaml", bench_site(name, 1, sensors, nowhere, cloud=load_link,
                                                              journal=folder / "unused")))
    gateway = Child("gateway", tocsin_command("gateway", "run", "--config", str(site)), folder, {})
    page = _Page()
    try:
        await cloud.start(files)
        await gateway.start()
        await cloud.wait_for_gateways(1)
        watching = asyncio.create_task(page.watch(cloud.web_port))
        await asyncio.sleep(3.0)  # all detectors polled at least twice
        await _sample(detectors, page, [count, count - 1])  # first alarms fill caches; not counted
        idle = await _sample(detectors, page, list(range(1, samples + 1)))
        seconds = samples * 0.6 + 60
        load = Child("load", [
            sys.executable, "-m", "bench.load", "--keys", str(folder), "--port", str(cloud.mqtt_port), "--rate",
            str(rate), "--seconds", str(seconds), *(word for name in load_sites for word in ("--site", name)),
        ], folder, {}, restart=False)
        await load.start()
        await asyncio.sleep(3.0)
        cpu_before = cloud.cpu_s("ingest", "worker", "web", "nats")
        loaded = await _sample(detectors, page, list(range(samples + 1, 2 * samples + 1)))
        cpu_s = cloud.cpu_s("ingest", "worker", "web", "nats") - cpu_before
        await load.stop()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    finally:
        await gateway.stop()
        await cloud.stop()
        await detectors.stop()
    return report(
        "path",
        {
            "idle_p99_ms": figure(percentile(idle, 0.99), "ms", at_most=150.0),
            "idle_p50_ms": figure(percentile(idle, 0.5), "ms"),
            "loaded_p99_ms": figure(percentile(loaded, 0.99), "ms", at_most=1000.0),
            "loaded_p50_ms": figure(percentile(loaded, 0.5), "ms"),
            "cloud_cpu_s": figure(cpu_s, "s"),
        },
        {"load_messages_per_s": rate, "samples_each": samples},
    )


async def _sample(detectors: Detectors, page: _Page, units: list[int]) -> list[float]:
    """One alarm after another; milliseconds from line to page of each."""
    taken = []
    for unit in units:
        detectors.alarm(unit)
        shown_us = await page.shown(f"smoke-{unit}")
        served_us = detectors.served_us(unit)
        if served_us is None:
            raise LocalFault(f"smoke-{unit} is on the page but was never read: the measurement is wrong")
        taken.append((shown_us - served_us) / 1000)
        await asyncio.sleep(0.05)
    return taken


class _Page:
    """When each device's alarm first came to the page."""

    def __init__(self) -> None:
        self._shown_us: dict[str, int] = {}
        self._changed = asyncio.Event()

    async def watch(self, port: int) -> None:
        """Follow the event stream."""
        snapshot = (await get_json(port, "/api/board"))["board"]
        async for _, kind, payload in board_events(port, snapshot["revision"]):
            if kind != "incident":
                continue
            now_us = real_mono_us()
            for alarm in payload.get("alarms", ()):
                self._shown_us.setdefault(alarm["device"], now_us)
            self._changed.set()

    async def shown(self, device: str) -> int:
        """Real µs at which the device's alarm was shown. LocalFault when it does not come."""
        try:
            async with asyncio.timeout(SAMPLE_WITHIN_S):
                while device not in self._shown_us:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            what = f"the alarm of {device} did not reach the page within {SAMPLE_WITHIN_S:.0f} s"
            raise LocalFault(what) from error
        return self._shown_us[device]
