"""`tocsin bench soak --days 30`: a month of a gateway in accelerated time: memory, descriptors, bytes to the card.

    virtual time; production runtime and journal, a real SQLite file written within the loop, its syncs left out
    20 devices speak, the uplink is cut each night, an alarm each six hours, a restart of the runtime each day

rss_growth     resident memory over the days behind the first quarter: what fills up once is no growth
bytes_per_day  what this process handed to write calls for the journal, as /proc counts them
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from random import Random
from sqlite3 import Connection

from bench.outage_site import LINE, METER, Feed, World, outage_site, subject_of
from bench.report import Report, figure, own_cpu_s, process_rss_mib, report
from community_os.intake import acknowledged_ranges, read_message
from community_os.ledger import Ledger
from device_drivers.driver import Emit
from device_model.errors import LocalFault, PeerError
from device_model.messages import WIRE_VERSION, BatchAck, GatewayAddress, Lane, Record, encode
from device_model.packing import PACKINGS
from device_model.ports import JournalState
from edge_agent.journal import SqliteJournal
from edge_agent.runtime import GatewayRuntime
from trial.link_model import BrokerModel, LinkModel
from trial.quiet_log import quiet_log
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

DAY_S = 86_400
WALL_US = 1_780_000_000_000_000
METER_EVERY_S = 10.0
# An industrial card of 32 GiB stands some 3,000 rewrites: a gibibyte a day for ten years is a thirtieth of its life,
# and leaves room for what the card's own management writes on top.
SD_BUDGET_BYTES = 1 << 30
NIGHT_S = (2 * 3600, 5 * 3600)


def add_options(parser: argparse.ArgumentParser) -> None:
    """How long."""
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)


def run(options: argparse.Namespace) -> Report:
    """Measure. LocalFault where the machine has no /proc."""
    if not Path("/proc/self/io").exists():
        raise LocalFault("this machine does not count what a process writes (/proc/self/io)")
    cpu_s = own_cpu_s()
    with tempfile.TemporaryDirectory(prefix="tocsin-soak-") as folder:
        found = soak(Path(folder), options.days, options.seed)
    days = options.days
    return report(
        "soak",
        {
            "rss_growth_mib_per_day": figure(found.growth_per_day(), "MiB/day", at_most=1.0),
            "descriptors_leaked": figure(found.leaked(), "files", at_most=0),
            "bytes_per_day": figure(found.written / days, "bytes", at_most=SD_BUDGET_BYTES),
            "commits_per_day": figure(found.commits / days, "commits"),
            "rss_mib": figure(found.samples[-1][1], "MiB"),
            "journal_mib": figure(found.journal_bytes / 2**20, "MiB"),
            "alarms_delivered": figure(found.alarms, "alarms"),
            "mistakes": figure(len(found.mistakes), "mistakes", at_most=0),
            "cpu_s": figure(own_cpu_s() - cpu_s, "s"),
        },
        {"days": days, "restarts": found.restarts, "meter_every_s": METER_EVERY_S},
    )


class InlineJournal(SqliteJournal):
    """The production journal with its work done within the loop: virtual time has no threads. Nothing is synced, for
    a month of syncs would measure this machine's disk; what is written is the same."""

    commits = 0

    def _connect(self) -> Connection:
        connection = super()._connect()
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    async def open(self) -> JournalState:
        return self._open_file()

    async def _write(self, work: Callable[[Connection], None]) -> None:
        from edge_agent.journal import _Job

        job = _Job(work)
        job.done.set_running_or_notify_cancel()
        self.commits += 1
        self._write_jobs([job])
        while self._to_delete:
            self._forget_some()
        job.done.result()

    async def read(self, lane: Lane, first: int, last: int, limit: int) -> list[Record]:
        return self._read(str(lane), first, last, limit)

    async def close(self) -> None:
        self._drop_writer()
        self._close_reader()


class Soaked:
    """What the days showed. samples: (day, resident MiB)."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []
        self.written = self.commits = self.journal_bytes = self.alarms = self.restarts = 0
        self.descriptors: list[int] = []
        self.mistakes: list[str] = []

    def leaked(self) -> int:
        """Descriptors more at the end than the most that were open within the first quarter."""
        early = self.descriptors[:max(1, len(self.descriptors) // 4)]
        return max(0, self.descriptors[-1] - max(early))

    def growth_per_day(self) -> float:
        """The slope behind the first quarter, by least squares; 0 while there is nothing to fit."""
        used = self.samples[len(self.samples) // 4:]
        if len(used) < 3:
            return 0.0
        day = sum(at for at, _ in used) / len(used)
        mean = sum(mib for _, mib in used) / len(used)
        spread = sum((at - day) ** 2 for at, _ in used)
        return max(0.0, sum((at - day) * (mib - mean) for at, mib in used) / spread)


class _Month:
    """One run."""

    def __init__(self, folder: Path, loop: VirtualLoop, seed: int) -> None:
        self._folder, self._loop = folder, loop
        self.found = Soaked()
        self._dice = Random(seed)  # noqa: S311  simulated chance, not a secret
        self._inventory, self._rules = outage_site()
        site = self._inventory.site
        self._address = GatewayAddress(site.tenancy, site.gateway.id)
        self._clock = VirtualClock(loop, "boot", wall_us=WALL_US)
        self._broker = BrokerModel(Random(seed), self._clock)  # noqa: S311  as above
        self._far = self._broker.link("ingest", tuple(self._address.up(lane) for lane in Lane))
        self._world = World()
        self._uplink: LinkModel | None = None
        self._task: asyncio.Task[None] | None = None
        self._journal: InlineJournal | None = None

    async def play(self, days: float) -> None:
        """From the first second to the last."""
        jobs = [asyncio.ensure_future(self._far_end()), asyncio.ensure_future(self._meter())]
        end_s = days * DAY_S
        await self._start()
        before = _written()
        while self._loop.time() < end_s:
            await asyncio.sleep(min(3600.0, end_s - self._loop.time()))
            await self._hour(round(self._loop.time() / 3600))
            gc.collect()
            self.found.samples.append((self._loop.time() / DAY_S, process_rss_mib(os.getpid())))
            self.found.descriptors.append(_descriptors())
        self.found.written = _written() - before
        await self._stop()
        for job in jobs:
            job.cancel()

    async def _hour(self, hour: int) -> None:
        seconds = hour % 24 * 3600
        if self._uplink is not None:
            self._uplink.cut(network=False) if NIGHT_S[0] <= seconds < NIGHT_S[1] else self._uplink.mend()
        leak = subject_of(1 + 2 * (hour // 6 % 12))
        if hour % 6 == 0:
            self._world.set(leak, True)
        elif hour % 6 == 1:
            self._world.set(leak, False)
        if hour % 24 == 12:
            self.found.restarts += 1
            await self._stop()
            await self._start()

    async def _start(self) -> None:
        self._journal = InlineJournal(self._folder / "journal.sqlite")
        self._uplink = self._broker.link("gateway", (self._address.down("ack"), self._address.down("command")))

        def make(emit: Emit) -> Feed:
            return Feed(self._world, self._inventory, self._clock, emit)

        runtime = GatewayRuntime(
            self._inventory, self._rules, clock=self._clock, store=self._journal, zone=UTC, uplink_link=self._uplink,
            listening={LINE: make}, jitter=self._dice.random, log=lambda line: self._on_log(line.level, line.what),
            version="soak")
        self._task = asyncio.ensure_future(runtime.run())
        await asyncio.sleep(1.0)

    def _on_log(self, level: str, what: str) -> None:
        if level == "error":
            self.found.mistakes.append(what)

    async def _stop(self) -> None:
        if self._task is not None and self._journal is not None and self._uplink is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self.found.commits += self._journal.commits
            await self._journal.close()
            await self._uplink.close()
            self.found.journal_bytes = (self._folder / "journal.sqlite").stat().st_size

    async def _meter(self) -> None:
        value = 0
        while True:
            value = (value + 1) % 80
            self._world.set(METER, value)
            await asyncio.sleep(METER_EVERY_S)

    async def _far_end(self) -> None:
        ledger = Ledger()
        async for message in self._far.messages():
            batch = read_message(message).batch
            fresh = ledger.apply(batch, self._clock.now().wall_us).fresh
            self.found.alarms += sum(record.sequence > 0 and batch.lane is Lane.ALARM for record in fresh)
            ranges = acknowledged_ranges(batch, ledger.known(batch.gateway, batch.epoch, batch.lane))
            if ranges:
                await self._answer(batch.epoch, batch.lane, ranges)

    async def _answer(self, epoch: str, lane: Lane, ranges: Sequence[tuple[int, int]]) -> None:
        try:
            await self._far.publish(self._address.down("ack"), encode(
                BatchAck(WIRE_VERSION, epoch, lane, tuple(ranges), PACKINGS)))
        except PeerError:
            return  # what is not acknowledged comes again


def soak(folder: Path, days: float, seed: int) -> Soaked:
    """The days."""
    loop = VirtualLoop()
    month = _Month(folder, loop, seed)
    with quiet_log(month.found.mistakes):
        run_virtual(month.play(days), loop)
    return month.found


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _written() -> int:
    """Bytes handed to write calls by this process."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    return 0
