"""A gateway that only talks: telemetry batches at a steady rate or as fast as acknowledgements come (I/O).

As a process of its own (`python -m bench.load`), so that the load does not disturb the clock of the benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from cloud_bridge.mqtt_link import GmqttLink, tls_context
from device_model.messages import Batch, GatewayAddress, Lane, ReadingsRecord, Record, decode_ack, encode
from device_model.ranges import RangeSet
from device_model.reading import Reading

READINGS_PER_MESSAGE = 5
# Batches under way without an acknowledgement, as a gateway's telemetry lane would allow.
WINDOW = 256
RESEND_AFTER_S = 2.0  # the alarm lane's first repetition


class Talker:
    """One connection that publishes numbered telemetry and counts what the ingest has acknowledged."""

    def __init__(self, address: GatewayAddress, port: int, keys: Path) -> None:
        self.address = address
        self.acknowledged = RangeSet()
        self._epoch = f"load{time.time_ns():x}"
        self._changed = asyncio.Event()
        tls = tls_context(str(keys / "ca.pem"), str(keys / "certificate.pem"), str(keys / "key.pem"))
        self._link = GmqttLink("127.0.0.1", port, f"load-{address.client_id}", (address.down("ack"),), tls=tls)
        self._number = 0

    async def connect(self) -> None:
        """Connect, and return when the broker has let us in."""
        self._link.start()
        while not self._link.connected:  # noqa: ASYNC110 - the port offers a state, not an event
            await asyncio.sleep(0.02)

    async def run_acks(self) -> None:
        """Take acknowledgements until closed."""
        async for message in self._link.messages():
            ack = decode_ack(message.payload)
            if ack.epoch == self._epoch:
                for first, last in ack.ranges:
                    self.acknowledged.add(first, last)
                self._changed.set()

    async def send_one(self) -> None:
        """Publish the next message; returns after the broker's PUBACK."""
        self._number += 1
        await self._link.publish(self.address.up(Lane.TELEMETRY), self._batch(self._number))

    async def wait_for_room(self, window: int) -> None:
        """Until fewer than `window` messages are unacknowledged; what stays unanswered is sent again, as a gateway's
        outbox would: an ingest that was not listening yet has not stored it."""
        while self._number - self.acknowledged.count() >= window:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), RESEND_AFTER_S)
            except TimeoutError:
                for first, last in self.acknowledged.missing(1, self._number):
                    for number in range(first, last + 1):
                        await self._link.publish(self.address.up(Lane.TELEMETRY), self._batch(number))

    def _batch(self, number: int) -> bytes:
        at_us = time.time_ns() // 1000
        readings = tuple(
            Reading(f"d{n}.temperature", 20.0 + (number + n) % 10, "Cel", source_time_us=at_us, receive_time_us=at_us,
                    mono_us=at_us, boot="load")
            for n in range(READINGS_PER_MESSAGE)
        )
        record = Record(number, at_us, at_us, "load", ReadingsRecord(readings))
        return encode(Batch(1, self.address.gateway, self._epoch, Lane.TELEMETRY, (record,)))

    async def close(self) -> None:
        """Disconnect."""
        await self._link.close()


async def talk_steadily(talker: Talker, rate: float, seconds: float) -> None:
    """`rate` messages a second, scheduled by absolute times so that a slow one does not lower the rate."""
    await talker.connect()
    acks = asyncio.create_task(talker.run_acks())
    started = time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()
    for number in range(int(rate * seconds)):
        delay = started + number / rate - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        if len(tasks) < WINDOW:
            task = asyncio.create_task(talker.send_one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    acks.cancel()


async def talk_fast(talker: Talker, messages: int) -> float:
    """So many messages as fast as end-to-end acknowledgements allow; returns seconds until the last one."""
    await talker.connect()
    acks = asyncio.create_task(talker.run_acks())
    await talker.send_one()
    await talker.wait_for_room(1)
    started = time.perf_counter()
    pending: set[asyncio.Task[None]] = set()
    for _ in range(messages):
        await talker.wait_for_room(WINDOW)
        task = asyncio.create_task(talker.send_one())
        pending.add(task)
        task.add_done_callback(pending.discard)
        if len(pending) > 32:
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*pending)
    await talker.wait_for_room(1)
    elapsed = time.perf_counter() - started
    acks.cancel()
    return elapsed


def main() -> None:
    """Steady load from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--site", action="append", required=True)
    parser.add_argument("--keys", type=Path, required=True, help="folder that holds keys-SITE")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="messages a second, all sites together")
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()

    async def all_sites() -> None:
        talkers = []
        for site in options.site:
            address = GatewayAddress.of_common_name(f"bench.bench.bench.{site}.gw-1")
            talkers.append(Talker(address, options.port, options.keys / f"keys-{site}"))
        rate = options.rate / len(talkers)
        await asyncio.gather(*(talk_steadily(talker, rate, options.seconds) for talker in talkers))

    asyncio.run(all_sites())


if __name__ == "__main__":
    main()
