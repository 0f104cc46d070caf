"""`tocsin bench pages`: how late an alarm is on a thousand open pages while five thousand incidents are open, and
what a page costs its reader.

    5,000 incidents in the store                       1,000 event streams, each read here
    detector ─Modbus TCP─► gateway ─mTLS─► broker ─► ingest ─► worker ─► web ─SSE─► each of them
       │ the reply with the alarm leaves                                              │ the incident's event arrives
       └──────────────────────────────── one sample a stream and alarm ──────────────┘
    then Chromium opens every page cold: scripts as transferred, first paint, the board's list
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.cloud import BenchCloud, bench_site
from bench.detectors import Detectors
from bench.report import Report, figure, report
from community_os.store import IncidentStore
from community_os.store_changes import IncidentRow, SiteCommit
from demo.children import Child, tocsin_command
from demo.files import save
from demo.percentile import percentile
from device_model.alarm import Hazard, Severity
from device_model.errors import LocalFault
from device_model.read_models import AlarmView, IncidentState, IncidentView, LogEntry, Verification
from device_model.site import Contact, Tenancy, Text
from device_model.system_clock import real_mono_us

SITES = 100
ARRIVES_WITHIN_S = 30.0
SCRIPT_KIB_MAX = 300.0
PAINTS = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    """How many pages, incidents and alarms."""
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--incidents", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=30, help="alarms, one after another")


def run(options: argparse.Namespace) -> Report:
    """Measure. LocalFault where a part does not come up."""
    with tempfile.TemporaryDirectory(prefix="tocsin-pages-") as folder:
        return asyncio.run(_run(Path(folder), options.clients, options.incidents, options.samples))


async def _run(folder: Path, clients: int, incidents: int, samples: int) -> Report:
    cloud, detectors = BenchCloud(folder), Detectors()
    await detectors.start()
    _, _, link = cloud.enrol("measured")
    units = range(1, samples + 3)
    devices = [{"id": f"smoke-{n}", "profile": "calectro-ug3", "line": "riser", "zone": f"z{n}", "unit": n}
               for n in units]
    lines = [{"id": "riser", "kind": "modbus_tcp", "host": "127.0.0.1", "port": detectors.port}]
    site = save(folder / "measured.yaml", bench_site("measured", len(devices), devices, lines, cloud=link,
                                                     journal=folder / "measured.sqlite"))
    await asyncio.to_thread(fill, f"sqlite:///{folder}/cloud/incidents.sqlite", incidents)
    gateway = Child("gateway", tocsin_command("gateway", "run", "--config", str(site)), folder, {})
    try:
        await cloud.start([site])
        await gateway.start()
        await cloud.wait_for_gateways(1)
        audience = Audience(cloud.web_port)
        await audience.come(clients)
        await asyncio.sleep(3.0)
        await audience.time(detectors, samples + 1)  # the first fills caches; not counted
        cpu_s = cloud.cpu_s("web")
        taken = [one for unit in units[:samples] for one in await audience.time(detectors, unit)]
        cpu_s = cloud.cpu_s("web") - cpu_s
        there = audience.there()
        audience.go()
        looks = await asyncio.to_thread(looked_at, cloud.web_port)
    finally:
        await gateway.stop()
        await cloud.stop()
        await detectors.stop()
    return report(
        "pages",
        {
            "p99_ms": figure(percentile(taken, 0.99), "ms", at_most=1000.0),
            "p50_ms": figure(percentile(taken, 0.5), "ms"),
            "last_page_ms": figure(max(taken), "ms"),
            "script_kb": figure(looks["script_kb"], "KiB", at_most=SCRIPT_KIB_MAX),
            "first_paint_ms": figure(looks["first_paint_ms"], "ms"),
            "board_shown_ms": figure(looks["board_shown_ms"], "ms"),
            "clients": figure(there, "streams", at_least=float(clients)),
            "web_cpu_ms_per_alarm": figure(1000 * cpu_s / samples, "ms"),
        },
        {"clients": clients, "incidents": incidents, "samples": samples, "pages": looks["pages"]},
    )


def fill(url: str, incidents: int) -> None:
    """So many open incidents over a hundred sites, written as a worker writes them."""
    store = IncidentStore(url)
    store.open()
    for site in range(SITES):
        tenancy = Tenancy("bench", "bench", "bench", f"full-{site}")
        rows = tuple(IncidentRow(one(tenancy, number)) for number in range(site, incidents, SITES))
        if rows:
            store.apply([SiteCommit(tenancy.path, 1, rows)])
    store.close()


def one(tenancy: Tenancy, number: int) -> IncidentView:
    """An open incident as the board knows it."""
    at_us = 1_790_000_000_000_000 + number * 1_000_000
    place = Text(f"Building {number % 40}", f"{number % 40} 号楼")
    alarm = AlarmView(f"a-{number}", "fire.smoke", Text("Smoke alarm", "感烟报警"), f"d-{number}",
                      Text("living room", "客厅"), "z", "raised", Severity.ALARM, Hazard.FAULT, at_us)
    return IncidentView(
        id=f"full-{number}", tenancy=tenancy, site_name=Text(tenancy.site, tenancy.site), state=IncidentState.NEW,
        hazard=Hazard.FAULT, severity=Severity.WARNING, verification=Verification.NONE, building=place,
        floor=Text("3rd floor", "3 层"), zone="z", zone_name=Text("Flat 301", "301 室"), opened_us=at_us,
        updated_us=at_us, contacts=(Contact("Chen Jing", "key_holder", "+86 571 5550 0101"),), alarms=(alarm,),
        log=(LogEntry(at_us, "raised", "", "smoke"),))


class Audience:
    """Open event streams; each says when it has heard of a device."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: list[_Stream] = []
        self._waits: asyncio.Future[None] | None = None
        self.wanted, self.heard_us = b"", list[int]()

    async def come(self, count: int) -> None:
        """Open the streams, fifty at a time."""
        loop = asyncio.get_running_loop()
        revision = await self._revision()
        for first in range(0, count, 50):
            opened = await asyncio.gather(*(
                loop.create_connection(lambda: _Stream(self, self._port, revision), "127.0.0.1", self._port)
                for _ in range(min(50, count - first))))
            self._streams += [stream for _, stream in opened]
        for _ in range(round(ARRIVES_WITHIN_S / 0.05)):
            if self.there() == count:
                return
            await asyncio.sleep(0.05)
        raise LocalFault(f"{self.there()} of {count} pages were let in within {ARRIVES_WITHIN_S:.0f} s")

    async def _revision(self) -> int:
        from demo.board_client import get_json

        return int((await get_json(self._port, "/api/board"))["board"]["revision"])

    def there(self) -> int:
        """How many streams are open and were answered."""
        return sum(stream.answered for stream in self._streams)

    def go(self) -> None:
        """Close them."""
        for stream in self._streams:
            stream.close()

    async def time(self, detectors: Detectors, unit: int) -> list[float]:
        """Milliseconds from the line to each page for one alarm. LocalFault when a page does not hear of it."""
        self.wanted, self.heard_us = f'"smoke-{unit}"'.encode(), []
        self._waits = asyncio.get_running_loop().create_future()
        for stream in self._streams:
            stream.heard = False
        detectors.alarm(unit)
        try:
            async with asyncio.timeout(ARRIVES_WITHIN_S):
                await self._waits
        except TimeoutError as error:
            raise LocalFault(f"{len(self.heard_us)} of {len(self._streams)} pages heard of smoke-{unit} within "
                             f"{ARRIVES_WITHIN_S:.0f} s") from error
        served_us = detectors.served_us(unit)
        if served_us is None:
            raise LocalFault(f"smoke-{unit} is on the pages but was never read: the measurement is wrong")
        await asyncio.sleep(0.2)
        return [(at_us - served_us) / 1000 for at_us in self.heard_us]

    def hears(self) -> None:
        """One page heard of the device."""
        self.heard_us.append(real_mono_us())
        if len(self.heard_us) == len(self._streams) and self._waits is not None and not self._waits.done():
            self._waits.set_result(None)


class _Stream(asyncio.Protocol):
    """One open page, as far as the server can tell."""

    def __init__(self, audience: Audience, port: int, revision: int) -> None:
        self._audience, self._port, self._revision = audience, port, revision
        self._tail, self.answered, self.heard = b"", False, False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        """Ask for the events."""
        self._transport = transport
        transport.write(f"GET /api/board/events?after={self._revision} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
                        "Accept: text/event-stream\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Look for the device in what came."""
        if not self.answered:
            self.answered = data.startswith(b"HTTP/1.1 200")
        text = self._tail + data
        if not self.heard and self._audience.wanted and self._audience.wanted in text:
            self.heard = True
            self._audience.hears()
        self._tail = text[-40:]

    def close(self) -> None:
        """End."""
        if self._transport is not None:
            self._transport.close()


def looked_at(port: int) -> dict[str, float]:
    """Every page that the navigation names, cold, in Chromium: its scripts as transferred; how soon the board paints.
    LocalFault without Chromium."""
    from playwright.sync_api import sync_playwright

    from dashboards.kit.navigation import destinations
    from dashboards.people import VISITOR

    chromium = shutil.which("chromium")
    if chromium is None:
        raise LocalFault("chromium is not installed: apt-get install chromium")
    measure = """JSON.stringify({scripts: performance.getEntriesByType("resource")
        .filter((one) => one.initiatorType === "script" || one.name.split("?")[0].endsWith(".js"))
        .reduce((sum, one) => sum + one.transferSize, 0),
        paint: (performance.getEntriesByName("first-contentful-paint")[0] ?? {startTime: 0}).startTime})"""
    scripts: list[float] = []
    paints: list[float] = []
    shown: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        paths = [entry.path for entry in destinations(VISITOR)] + ["/board"] * PAINTS
        for path in paths:
            context = browser.new_context(service_workers="block")
            page = context.new_page()
            answer = page.goto(f"http://127.0.0.1:{port}{path}", wait_until="load")
            if answer is not None and answer.status == 200:
                if path == "/board":
                    began_us = real_mono_us()
                    page.wait_for_selector("[data-incident]", timeout=60_000)
                    since_load_ms = (real_mono_us() - began_us) / 1000
                    load_ms = page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
                    shown.append(load_ms + since_load_ms)
                page.wait_for_timeout(300)
                found = json.loads(page.evaluate(measure))
                scripts.append(found["scripts"] / 1024)
                if path == "/board":
                    paints.append(found["paint"])
            context.close()
        browser.close()
    return {"script_kb": max(scripts), "first_paint_ms": statistics.median(paints),
            "board_shown_ms": statistics.median(shown), "pages": float(len(scripts) - PAINTS)}
