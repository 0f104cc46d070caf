"""`tocsin bench backlog`: a million records wait in the journal, the cloud is back, and then it burns.

    SqliteJournal (real file) ─► Outbox ─► Uplink ─ GmqttLink ─► throttle ─► mosquitto ─► far end: ledger, BatchAck
         alarms, one after another ──────────┘  committed, sent; timed until they arrive

On loopback, and through a link of a stated rate, where what is already under way stands before the alarm.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from bench.report import Report, figure, own_cpu_s, report
from bench.throttle import Throttle
from cloud_bridge.lanes import Outbox
from cloud_bridge.mqtt_link import GmqttLink
from cloud_bridge.uplink import Uplink
from community_os.intake import acknowledged_ranges, read_message
from community_os.ledger import Ledger
from demo.percentile import percentile
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.child_process import free_ports
from device_model.clock import Clock
from device_model.errors import LocalFault, PeerError
from device_model.messages import (
    WIRE_VERSION,
    AlarmRecord,
    BatchAck,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    ReadingsRecord,
    Record,
    encode,
)
from device_model.packing import PACKINGS
from device_model.reading import Reading
from device_model.site import Tenancy
from device_model.system_clock import clock_from_environment
from edge_agent.journal import SqliteJournal

ADDRESS = GatewayAddress(Tenancy("bench", "bench", "bench", "backlog"), "gw-1")
ALARM_EVERY_S = 0.25
ARRIVES_WITHIN_S = 30.0
SLOW_KIB_S = 128  # a megabit a second: a cellular link on a bad day


def add_options(parser: argparse.ArgumentParser) -> None:
    """How long the backlog is, how many alarms, how slow the slow link."""
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--alarms", type=int, default=60, help="for each of the two links")
    parser.add_argument("--slow-kib-s", type=int, default=SLOW_KIB_S)
    parser.add_argument("--folder", type=Path, default=None, help="measure the disk that holds this folder")


def run(options: argparse.Namespace) -> Report:
    """Measure. LocalFault without mosquitto."""
    if shutil.which("mosquitto") is None:
        raise LocalFault("mosquitto is not installed: apt-get install mosquitto")
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="tocsin-backlog-") as folder:
        path = Path(folder) / "journal.sqlite"
        fill(path, options.records)
        size_mib = path.stat().st_size / 2**20
        cpu_s = own_cpu_s()
        slow = asyncio.run(measure(path, options.alarms, options.slow_kib_s * 1024))
        fast = asyncio.run(measure(path, options.alarms, 0))
        cpu_s = own_cpu_s() - cpu_s
    return report(
        "backlog",
        {
            "alarm_p99_s": figure(percentile(fast.taken_s, 0.99), "s", at_most=1.0),
            "alarm_p50_s": figure(percentile(fast.taken_s, 0.5), "s"),
            "slow_link_p99_s": figure(percentile(slow.taken_s, 0.99), "s", at_most=1.0),
            "open_s": figure(max(fast.open_s, slow.open_s), "s", at_most=1.0),
            "first_record_s": figure(max(fast.first_s, slow.first_s), "s", at_most=1.0),
            "drained_records_per_s": figure(fast.per_s, "records/s"),
            "left_at_end": figure(fast.left, "records"),
            "cpu_s": figure(cpu_s, "s"),
        },
        {"records": options.records, "journal_mib": round(size_mib, 1), "slow_kib_s": options.slow_kib_s},
    )


def fill(path: Path, records: int) -> None:
    """A journal as a gateway leaves it after days without a cloud; written past it, for speed alone."""
    asyncio.run(_opened_once(path))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO record VALUES(?,?,?,?)", _rows(records))
    connection.execute("INSERT OR REPLACE INTO lane VALUES(?,?,'')", (str(Lane.TELEMETRY), records))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _opened_once(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    await journal.close()


def _rows(records: int) -> Iterator[tuple[str, int, int, bytes]]:
    for number in range(1, records + 1):
        at_us = 1_790_000_000_000_000 + number * 1_000_000
        reading = Reading("temp-301.temperature", 20.0 + number % 7, "Cel", source_time_us=at_us,
                          receive_time_us=at_us, mono_us=number * 1_000_000, boot="b1")
        body = encode(Record(number, at_us, number * 1_000_000, "b1", ReadingsRecord((reading,))))
        yield str(Lane.TELEMETRY), number, zlib.crc32(body), body


class Measured:
    """What one link showed."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []
        self.open_s = self.first_s = self.per_s = 0.0
        self.left = 0


class FarEnd:
    """Takes batches, keeps the ledger, acknowledges; says when an alarm arrived."""

    def __init__(self, link: GmqttLink, clock: Clock) -> None:
        self._link, self._clock, self._ledger = link, clock, Ledger()
        self.records = 0
        self.first: asyncio.Event = asyncio.Event()
        self.arrived: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async for message in self._link.messages():
            batch = read_message(message).batch
            if batch.records[0].sequence == 0:
                continue
            fresh = self._ledger.apply(batch, self._clock.now().wall_us).fresh
            self.records += len(fresh)
            self.first.set()
            for record in fresh:
                body = record.body
                # An alarm of the measurement before may come again: its acknowledgement was not on the disk yet.
                if isinstance(body, AlarmRecord) and (waits := self.arrived.get(body.transition.alarm)) is not None:
                    waits.set()
            known = self._ledger.known(batch.gateway, batch.epoch, batch.lane)
            with contextlib.suppress(PeerError):  # what is not acknowledged comes again
                await self._link.publish(ADDRESS.down("ack"), encode(
                    BatchAck(WIRE_VERSION, batch.epoch, batch.lane, acknowledged_ranges(batch, known), PACKINGS)))


async def measure(path: Path, alarms: int, bytes_per_s: int) -> Measured:
    """Open, drain, and let it burn while it drains. bytes_per_s 0: loopback as it is."""
    found, clock = Measured(), clock_from_environment()
    (port,) = free_ports(1)
    broker = await asyncio.create_subprocess_exec(
        "mosquitto", "-p", str(port), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    throttle = Throttle("127.0.0.1", port, bytes_per_s)
    up_port = await throttle.start()
    far_link = GmqttLink("127.0.0.1", port, "ingest", tuple(ADDRESS.up(lane) for lane in Lane))
    link = GmqttLink("127.0.0.1", up_port, ADDRESS.client_id, (ADDRESS.down("ack"),))
    far, store = FarEnd(far_link, clock), SqliteJournal(path)
    jobs = []
    try:
        far_link.start()
        link.start()
        jobs.append(asyncio.create_task(far.run()))
        for _ in range(200):
            if link.connected and far_link.connected:
                break
            await asyncio.sleep(0.05)
        began = time.perf_counter()
        state = await store.open()
        found.open_s = time.perf_counter() - began
        outbox = Outbox(ADDRESS, state, clock.now())
        uplink = Uplink(outbox, store, link, clock, ADDRESS, command=lambda _: None,
                        heartbeat=lambda: HeartbeatRecord(clock.now().wall_us, outbox.heartbeat_last()))
        jobs.append(asyncio.create_task(uplink.run()))
        await far.first.wait()
        found.first_s = time.perf_counter() - began
        await _burn(found, far, outbox, store, uplink, clock, alarms)
        found.per_s = far.records / (time.perf_counter() - began)
        found.left = outbox.backlog()
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await link.close()
        await far_link.close()
        await throttle.stop()
        await store.close()
        broker.terminate()
        await broker.wait()
    return found


async def _burn(found: Measured, far: FarEnd, outbox: Outbox, store: SqliteJournal, uplink: Uplink, clock: Clock,
                alarms: int) -> None:
    """One alarm after another, committed as the gateway does, timed from the rule to the far end."""
    for number in range(alarms):
        await asyncio.sleep(ALARM_EVERY_S)
        now = clock.now()
        name = f"{now.mono_us:016x}"
        arrived = far.arrived[name] = asyncio.Event()
        began = time.perf_counter()
        outbox.assign(Lane.ALARM, AlarmRecord(AlarmTransition(
            name, AlarmKey("fire.smoke", f"smoke-{number}.smoke"), AlarmState.RAISED, AlarmState.PENDING, Hazard.FIRE,
            Severity.CRITICAL, now.wall_us, now.wall_us)), now)
        records = outbox.to_commit()
        await store.commit(records, None)
        for lane, ranges in outbox.committed(records):
            await store.acknowledge(lane, ranges)
        uplink.wake()
        try:
            async with asyncio.timeout(ARRIVES_WITHIN_S):
                await arrived.wait()
        except TimeoutError as error:
            raise LocalFault(f"an alarm did not arrive within {ARRIVES_WITHIN_S:g} s") from error
        found.taken_s.append(time.perf_counter() - began)
