"""Uplink over the models, in virtual time: what is committed arrives, whatever broker, link and disk do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec
import pytest

from cloud_bridge import Outbox
from cloud_bridge.uplink import Uplink
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.command import Command, CommandKind
from device_model.errors import LocalFault
from device_model.messages import (
    BATCH_BYTES_MAX,
    WIRE_VERSION,
    AlarmRecord,
    Batch,
    BatchAck,
    Body,
    Down,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    ReadingsRecord,
    decode_batch,
    encode,
)
from device_model.reading import Reading
from device_model.site import Tenancy
from trial.link_model import BrokerModel
from trial.store_model import DiskMode, DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

ADDRESS = GatewayAddress(Tenancy("c", "d", "s", "site"), "gw")


def alarm(number: int) -> AlarmRecord:
    return AlarmRecord(AlarmTransition(f"{number:016x}", AlarmKey("fire", f"p{number}"), AlarmState.RAISED,
                                       AlarmState.PENDING, Hazard.FIRE, Severity.CRITICAL, number, number))


def reading(number: int, width: int = 1) -> ReadingsRecord:
    return ReadingsRecord(tuple(Reading(f"t{n}.temperature", number, "Cel") for n in range(width)))


class Street:
    """A gateway's outward side, a broker, and an ingest that acknowledges end to end."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = asyncio.get_running_loop()
        assert isinstance(self.loop, VirtualLoop)
        self.clock = VirtualClock(self.loop, "boot", wall_us=1_700_000_000_000_000)
        self.broker = BrokerModel(random.Random(seed), self.clock)
        self.disk = DiskModel(random.Random(seed + 1))
        self.store = StoreModel(self.disk, self.clock)
        self.link = self.broker.link("gw", [ADDRESS.down("ack"), ADDRESS.down("command")])
        self.cloud = self.broker.link("ingest", ["tocsin/v1/+/+/+/+/+/up/#"])
        self.box: Outbox
        self.arrived: dict[tuple[Lane, str, int], Body] = {}
        self.when_s: dict[str, float] = {}
        self.heartbeats: list[HeartbeatRecord] = []
        self.batches: list[Batch] = []
        self.commands: list[Command] = []
        self.answering = True
        self.reads: tuple[str, ...] = ()
        self.bytes_per_day = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.box = Outbox(ADDRESS, await self.store.open(), self.clock.now(), random.Random(3).random)
        self.uplink = Uplink(self.box, self.store, self.link, self.clock, ADDRESS, heartbeat=self.heartbeat,
                             command=self.commands.append, heartbeat_s=30.0, bytes_per_day=self.bytes_per_day)
        self.tasks = [asyncio.ensure_future(self.ingest()), asyncio.ensure_future(self.uplink.run())]

    def heartbeat(self) -> HeartbeatRecord:
        return HeartbeatRecord(self.clock.now().wall_us, self.box.heartbeat_last(), backlog=self.box.backlog())

    async def ingest(self) -> None:
        async for message in self.cloud.messages():
            batch = decode_batch(message.payload)
            self.batches.append(batch)
            for record in batch.records:
                if isinstance(record.body, HeartbeatRecord):
                    self.heartbeats.append(record.body)
                    continue
                self.arrived[batch.lane, batch.epoch, record.sequence] = record.body
                if isinstance(record.body, AlarmRecord):
                    self.when_s.setdefault(record.body.transition.alarm, self.loop.time())
            numbers = [r.sequence for r in batch.records if r.sequence]
            if self.answering and numbers and self.cloud.connected:
                answer = BatchAck(WIRE_VERSION, batch.epoch, batch.lane, tuple((n, n) for n in numbers),
                                  self.reads)
                self.tasks.append(asyncio.ensure_future(self.cloud.publish(ADDRESS.down("ack"), encode(answer))))

    async def put(self, lane: Lane, *bodies: Body) -> None:
        for body in bodies:
            self.box.assign(lane, body, self.clock.now())
        await self.commit()

    async def commit(self) -> None:
        batch = self.box.to_commit(10_000)
        try:
            await self.store.commit(batch, None)
        except LocalFault:
            self.box.commit_failed(batch, self.clock.now())
        else:
            self.box.committed(batch)
        self.uplink.wake()

    async def until(self, condition: Callable[[], bool], within_s: float = 120) -> None:
        end = self.loop.time() + within_s
        while not condition():
            assert self.loop.time() < end, "not in time"
            await asyncio.sleep(0.05)


def virtual(test: Callable[[Street], object]) -> Callable[[], None]:
    """Run the test in virtual time."""
    def run() -> None:
        async def main() -> None:
            street = Street()
            await street.start()
            await test(street)  # type: ignore[misc]
            assert not any(task.done() for task in street.tasks[:2]), "uplink and ingest run on"
        run_virtual(main(), VirtualLoop())
    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@virtual
async def test_alarm_and_telemetry_arrive_and_the_journal_forgets(street: Street) -> None:
    await street.put(Lane.ALARM, alarm(1))
    await street.put(Lane.TELEMETRY, *(reading(n) for n in range(1200)))
    await street.until(lambda: street.box.backlog() == 0)
    assert len(street.arrived) == 1201 and street.when_s[alarm(1).transition.alarm] < 1
    await street.until(lambda: not any(street.disk.rows.values()))


@virtual
async def test_a_cut_of_the_link_loses_nothing_and_resumes_within_a_second_of_the_link(street: Street) -> None:
    street.link.cut(network=False)
    await street.put(Lane.ALARM, *(alarm(n) for n in range(5)))
    await asyncio.sleep(600)
    assert not street.arrived
    street.link.mend()
    await street.until(lambda: street.link.connected)
    begun = street.loop.time()
    await street.until(lambda: len(street.arrived) == 5)
    assert street.loop.time() - begun < 1.0
    assert all(b.backlog for b in street.batches if b.records[0].sequence), "it says that it is late"


@virtual
async def test_a_broker_that_acknowledges_and_drops_cannot_lose_an_alarm(street: Street) -> None:
    street.broker.drop_rate = 0.5
    street.broker.duplicate_rate = street.broker.reorder_rate = 0.3
    for number in range(30):
        await street.put(Lane.ALARM, alarm(number))
        await street.put(Lane.TELEMETRY, reading(number))
    await street.until(lambda: street.box.backlog() == 0, 1800)
    assert {key[2] for key in street.arrived if key[0] is Lane.ALARM} == set(range(1, 31))
    assert {key[2] for key in street.arrived if key[0] is Lane.TELEMETRY} == set(range(1, 31))
    assert street.broker.dropped > 10


@virtual
async def test_a_hung_disk_holds_no_alarm(street: Street) -> None:
    await street.put(Lane.TELEMETRY, *(reading(n) for n in range(3000)))
    street.disk.mode = DiskMode.HANG
    street.box.assign(Lane.ALARM, alarm(1), street.clock.now())
    hung = asyncio.ensure_future(street.commit())
    street.uplink.wake()
    begun = street.loop.time()
    await street.until(lambda: alarm(1).transition.alarm in street.when_s)
    assert street.loop.time() - begun < 0.4 and not hung.done()
    (body,) = [b for (lane, epoch, _), b in street.arrived.items() if lane is Lane.ALARM and epoch.startswith("m-")]
    assert isinstance(body, AlarmRecord) and not body.transition.journaled
    street.disk.mode = DiskMode.OK
    await hung
    await street.until(lambda: street.box.backlog() == 0)
    assert isinstance(street.arrived[Lane.ALARM, street.disk.epoch, 1], AlarmRecord)


@virtual
async def test_a_full_disk_sends_from_memory(street: Street) -> None:
    street.disk.mode = DiskMode.FULL
    await street.put(Lane.ALARM, alarm(1))
    await street.put(Lane.TELEMETRY, reading(1))
    await street.until(lambda: len(street.arrived) == 2)
    assert all(epoch == street.box.memory_epoch for _, epoch, _ in street.arrived)


@virtual
async def test_a_new_alarm_overtakes_a_backlog(street: Street) -> None:
    street.link.cut(network=False)
    for part in range(20):
        await street.put(Lane.TELEMETRY, *(reading(n) for n in range(part * 500, part * 500 + 500)))
    await asyncio.sleep(60)
    street.broker.latency_s = 0.2
    street.link.mend()
    await street.until(lambda: len(street.arrived) > 1000)
    begun = street.loop.time()
    await street.put(Lane.ALARM, alarm(1))
    await street.until(lambda: alarm(1).transition.alarm in street.when_s)
    assert street.loop.time() - begun < 1.0 and street.box.backlog() > 3000
    await street.until(lambda: street.box.backlog() == 0)
    assert len(street.arrived) == 10_001


@virtual
async def test_batches_fit_the_wire(street: Street) -> None:
    await street.put(Lane.TELEMETRY, *(reading(n, width=60) for n in range(300)))
    await street.until(lambda: street.box.backlog() == 0)
    assert max(len(encode(b)) for b in street.batches) <= BATCH_BYTES_MAX
    assert len([b for b in street.batches if b.records[0].sequence]) > 2


@virtual
async def test_rows_that_the_journal_lost_are_declared(street: Street) -> None:
    street.link.cut(network=False)
    await street.put(Lane.TELEMETRY, *(reading(n) for n in range(2000)))
    for number in range(10, 20):
        del street.disk.rows[Lane.TELEMETRY][number]
    street.link.mend()
    await asyncio.sleep(5)
    await street.commit()
    await street.until(lambda: street.box.backlog() == 0)
    losses = [body for body in street.arrived.values() if type(body).__name__ == "LossRecord"]
    assert [loss.ranges for loss in losses] == [((10, 19),)]  # type: ignore[union-attr]


@virtual
async def test_heartbeats_come_at_once_and_every_30_seconds_and_stop_with_the_link(street: Street) -> None:
    await asyncio.sleep(95)
    assert len(street.heartbeats) == 4 and "alarm" in street.heartbeats[0].last
    street.broker.stop()
    await asyncio.sleep(100)
    assert len(street.heartbeats) == 4
    street.broker.start()
    await street.until(lambda: len(street.heartbeats) == 5)


@virtual
async def test_commands_reach_the_callback_and_on_site_is_not_believed(street: Street) -> None:
    wish = Command("c1", CommandKind.RESET_ALARM, "a", "mallory", "", 1, 2, on_site=True)
    await street.cloud.publish(ADDRESS.down("command"), encode(Down(WIRE_VERSION, wish)))
    await street.cloud.publish(ADDRESS.down("command"), b"{not json")
    await street.cloud.publish(ADDRESS.down("ack"), b"[]")
    await street.until(lambda: street.uplink.garbled == 2)
    assert street.commands == [msgspec.structs.replace(wish, on_site=False)]


@pytest.mark.parametrize("seed", range(5))
def test_a_run_is_a_function_of_its_seed(seed: int) -> None:
    def run() -> list[str]:
        async def main() -> list[str]:
            street = Street(seed)
            await street.start()
            street.broker.drop_rate = street.broker.duplicate_rate = street.broker.reorder_rate = 0.2
            for number in range(20):
                await street.put(Lane.ALARM, alarm(number))
                if number % 5 == 0:
                    street.link.cut()
            await street.until(lambda: street.box.backlog() == 0, 3600)
            return [f"{street.loop.time():.6f}", *(repr(b) for b in street.batches)]
        return run_virtual(main(), VirtualLoop())
    assert run() == run()


@virtual
async def test_nothing_is_packed_for_an_ingest_that_does_not_say_that_it_unpacks(street: Street) -> None:
    sizes: list[bool] = []
    street.broker.probe = lambda what, client, topic, payload: sizes.append(
        payload.startswith(b'{"v":1,"packed"')) if what == "accepted" and "/up/" in topic else None
    await street.put(Lane.TELEMETRY, *(reading(n, 20) for n in range(400)))
    await street.until(lambda: street.box.backlog() == 0)
    assert sizes and not any(sizes)


@virtual
async def test_batches_are_packed_once_the_ingest_says_so_and_not_for_an_older_one_after_a_cut(
        street: Street) -> None:
    street.reads = ("deflate",)
    seen: list[tuple[bool, int]] = []
    street.broker.probe = lambda what, client, topic, payload: seen.append(
        (payload.startswith(b'{"v":1,"packed"'), len(payload))) if what == "accepted" and "up/tele" in topic else None
    await street.put(Lane.TELEMETRY, *(reading(n, 20) for n in range(800)))
    await street.until(lambda: street.box.backlog() == 0)
    assert len(street.arrived) == 800 and not seen[0][0] and all(packed for packed, _ in seen[5:])
    assert sum(size for _, size in seen) < 800 * 20 * 100 / 3
    street.reads = ()
    street.link.cut()
    await asyncio.sleep(5)
    seen.clear()
    await street.put(Lane.TELEMETRY, *(reading(n, 20) for n in range(50)))
    await street.until(lambda: street.box.backlog() == 0)
    assert seen and not seen[0][0], "first it is asked again what the far end reads"


DAY_S = 86_400


def metered(bytes_per_day: int, test: Callable[[Street], object]) -> None:
    async def main() -> None:
        street = Street()
        street.bytes_per_day = bytes_per_day
        await street.start()
        await test(street)  # type: ignore[misc]
    run_virtual(main(), VirtualLoop())


def test_a_metered_link_keeps_its_day_and_says_what_it_postpones() -> None:
    async def story(street: Street) -> None:
        sent: list[tuple[float, int]] = []
        street.broker.probe = lambda what, client, topic, payload: sent.append(
            (street.loop.time(), len(payload))) if what == "accepted" and "/up/" in topic else None
        await street.put(Lane.TELEMETRY, *(reading(n, 50) for n in range(500)))
        for hour in range(8):
            await asyncio.sleep(3600)
            await street.put(Lane.ALARM, alarm(hour))
            await street.until(lambda hour=hour: alarm(hour).transition.alarm in street.when_s, 2)  # type: ignore[misc]
        assert street.uplink.postponed > 100 and max(h.postponed for h in street.heartbeats) > 100
        assert 50 < len([key for key in street.arrived if key[0] is Lane.TELEMETRY]) < 500
        for _ in range(80):
            await asyncio.sleep(1800)
            if not street.box.backlog():
                break
        assert street.uplink.postponed == 0 and len(street.arrived) == 508
        for start, _ in sent:
            day = sum(size for at, size in sent if start <= at < start + DAY_S)
            assert day <= 3_000_000 * 1.02, f"{day} bytes in the day from {start}"

    metered(3_000_000, story)


def test_alarms_are_never_held_by_a_budget() -> None:
    async def story(street: Street) -> None:
        street.uplink.budget.spend(50_000_000, street.clock.now().mono_us)
        await street.put(Lane.TELEMETRY, reading(1))
        for number in range(200):
            await street.put(Lane.ALARM, alarm(number))
        await street.until(lambda: len(street.when_s) == 200, 5)
        assert not [key for key in street.arrived if key[0] is Lane.TELEMETRY]

    metered(4_000_000, story)
