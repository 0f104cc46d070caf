"""Ingest as a real process between a real nats-server and a gateway that repeats: both are killed with -9."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from community_os.broker import Broker, BrokerSettings
from community_os.envelopes import UpEnvelope, decode_envelope
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from device_model.errors import PeerSilent
from device_model.messages import (
    WIRE_VERSION,
    Batch,
    GatewayAddress,
    Lane,
    OutputRecord,
    Record,
    decode_ack,
    encode,
)
from device_model.ranges import RangeSet
from provisioning.authority import Authority

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
ADDRESS = GatewayAddress.of_common_name("hz.yh.cq.riverside.gw-1")
RECORDS = 120
PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from community_os.broker import read_access
from community_os.ingest import Ingest
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from device_model.system_clock import SystemClock

async def main():
    access = read_access(Path(sys.argv[1]))
    stream = await JetStreamStream.open(access, name="ingest")
    link = await NatsLink.open(access, name="ingest")
    await Ingest(link, stream, SystemClock(), writer=os.urandom(8).hex()).run()

asyncio.run(main())
"""


async def spawn(folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(folder), cwd=ROOT, stdout=asyncio.subprocess.DEVNULL)


async def test_every_record_once_while_broker_and_ingest_are_killed(tmp_path: Path) -> None:
    rng = random.Random(7)
    broker = Broker(tmp_path / "broker", Authority.open(tmp_path / "ca"), BrokerSettings(
        mqtt_port=0, services_port=0))
    await broker.start()
    keeper = asyncio.create_task(broker.run())
    ingest = await spawn(tmp_path / "broker")
    wire = await NatsLink.open(broker.access, [f"{ADDRESS.prefix}/down/#"], name="gateway")
    acked = RangeSet()

    async def hear() -> None:
        async for message in wire.messages():
            for first, last in decode_ack(message.payload).ranges:
                acked.add(first, last)

    hearing = asyncio.create_task(hear())
    try:
        async with asyncio.timeout(60):
            made, turn = 0, 0
            while made < RECORDS or acked.missing(1, RECORDS):
                made, turn = min(RECORDS, made + rng.randint(1, 6)), turn + 1
                waiting = [n for first, last in acked.missing(1, made) for n in range(first, last + 1)]
                records = tuple(Record(n, 1, 1, "b", OutputRecord(f"o{n}", True, "x", n)) for n in waiting)
                batch = Batch(WIRE_VERSION, ADDRESS.gateway, "e1", Lane.ALARM, records)
                try:
                    for _ in range(rng.choice((1, 1, 2)) if records else 0):
                        await wire.publish(ADDRESS.up(Lane.ALARM), encode(batch))
                except PeerSilent:
                    pass
                if turn in (8, 20):
                    ingest.kill()
                    await ingest.wait()
                    ingest = await spawn(tmp_path / "broker")
                if turn == 14 and broker.pid:
                    os.kill(broker.pid, signal.SIGKILL)
                await asyncio.sleep(0.05)
        stream = await JetStreamStream.open(broker.access)
        until = await stream.last_sequence()
        seen: Counter[int] = Counter()
        async for message in stream.read(0, "site.>"):
            envelope = decode_envelope(message.payload)
            assert isinstance(envelope, UpEnvelope) and envelope.path == ADDRESS.tenancy.path
            seen.update(record.sequence for record in envelope.batch.records)
            if message.sequence == until:
                break
        assert seen == Counter(range(1, RECORDS + 1))
        assert broker.restarts == 1
        await stream.close()
    finally:
        hearing.cancel()
        ingest.kill()
        await ingest.wait()
        keeper.cancel()
        await wire.close()
        await broker.stop()
