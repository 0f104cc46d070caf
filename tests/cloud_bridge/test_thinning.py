"""Thinning keeps extremes, ends and changes; a quota thins the oldest telemetry only, declared, and ends."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge.lanes import Outbox
from cloud_bridge.quota import GIVE_UP, LEAVE_NEWEST, PIECE, QuotaKeeper, _coarse_enough
from cloud_bridge.thinning import STEPS_S, thinned
from community_os.ledger import Ledger
from device_model.clock import Now
from device_model.messages import (
    WIRE_VERSION,
    Batch,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    LossRecord,
    ReadingsRecord,
)
from device_model.reading import Quality, Reading, Reason
from device_model.site import Tenancy
from trial.store_model import DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

SECOND = 1_000_000
ADDRESS = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-1")


def number(at_s: int, value: float, point: str = "t.temperature", **more: object) -> Reading:
    return Reading(point, value, "Cel", source_time_us=at_s * SECOND, mono_us=at_s * SECOND, **more)  # type: ignore[arg-type]


def test_first_last_lowest_highest_of_each_step_stay() -> None:
    readings = [number(at, value) for at, value in enumerate([5, 6, 9, 4, 7, 6, 5, 6])]
    assert [(r.source_time_us // SECOND, r.value) for r in thinned(readings, 60)] == [(0, 5), (2, 9), (3, 4), (7, 6)]


def test_switches_texts_and_lost_qualities_keep_each_change() -> None:
    readings = [Reading("d.open", at % 4 == 0, "", source_time_us=at * SECOND) for at in range(12)]
    assert [r.value for r in thinned(readings, 86_400)] == [True, False] * 3
    bad = Reading("t.temperature", None, "Cel", Quality.BAD, Reason.SILENT, source_time_us=5 * SECOND)
    kept = thinned([number(0, 1.0), number(3, 2.0), bad, number(8, 1.5), number(9, 1.5), number(10, 1.6)], 86_400)
    assert bad in kept and number(8, 1.5) in kept, "when it was lost, and when it was back"


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(-50, 50)), max_size=200), st.sampled_from(STEPS_S))
def test_thinning_twice_is_thinning_once_and_extremes_stay(pairs: list[tuple[int, float]], step_s: int) -> None:
    readings = [number(at, value) for at, value in dict(pairs).items()]
    kept = thinned(readings, step_s)
    assert thinned(kept, step_s) == kept and set(kept) <= set(readings)
    if readings:
        assert {min(r.value for r in readings), max(r.value for r in readings)} <= {r.value for r in kept}  # type: ignore[type-var]
    groups = {r.source_time_us // SECOND // step_s for r in readings}
    assert len(kept) <= 4 * len(groups)


def test_the_finest_step_that_helps_is_taken_and_none_in_the_end() -> None:
    dense = [number(at, at % 7) for at in range(600)]
    kept, step_s = _coarse_enough(dense)
    assert step_s == 60 and len(kept) <= 40
    again, coarser = _coarse_enough(list(kept))
    assert coarser > step_s and len(again) < len(kept)
    assert _coarse_enough([number(at * 200_000, at) for at in range(4)]) == ((), 0)


class SizedStore(StoreModel):
    """The journal's model with a size."""

    @property
    def used_bytes(self) -> int:
        return sum(len(row) for rows in self._disk.rows.values() for row in rows.values())


class Gateway:
    """An outbox on a disk, with a quota; commits as the runtime does."""

    def __init__(self, loop: VirtualLoop, quota_bytes: int) -> None:
        self.clock = VirtualClock(loop, "boot", wall_us=1_790_000_000_000_000)
        self.disk = DiskModel(Random(1))
        self.store = SizedStore(self.disk, self.clock)
        self.said: list[str] = []
        self.quota_bytes = quota_bytes

    async def start(self) -> None:
        self.outbox = Outbox(ADDRESS, await self.store.open(), self.clock.now())
        self.keeper = QuotaKeeper(self.outbox, self.store, self.clock, quota_bytes=self.quota_bytes,
                                  commit=lambda: None, say=lambda level, what, **fields: self.said.append(what))
        self.jobs = [asyncio.ensure_future(self.keeper.run()), asyncio.ensure_future(self._commit())]

    async def _commit(self) -> None:
        while True:
            while batch := self.outbox.to_commit(500):
                await self.store.commit(batch, None)
                for lane, ranges in self.outbox.committed(batch):
                    await self.store.acknowledge(lane, ranges)
            await self.clock.sleep(0.2)

    def stop(self) -> None:
        for job in self.jobs:
            job.cancel()

    def ledger(self) -> Ledger:
        """What the far end would know when all that is left has travelled."""
        ledger = Ledger()
        from device_model.messages import decode_record

        for lane in Lane:
            rows = [decode_record(row) for _, row in sorted(self.disk.rows[lane].items())]
            for at in range(0, len(rows), 500):
                ledger.apply(Batch(WIRE_VERSION, "gw-1", self.disk.epoch, lane, tuple(rows[at:at + 500])), 1)
        return ledger


def played(quota_bytes: int, hours: int) -> Gateway:
    """One temperature each second for hours, and an alarm-lane record each minute, without a cloud."""
    loop = VirtualLoop()
    gateway = Gateway(loop, quota_bytes)

    async def story() -> None:
        await gateway.start()
        for second in range(hours * 3600):
            now = gateway.clock.now()
            gateway.outbox.assign(Lane.TELEMETRY, ReadingsRecord((number(second, second % 60 / 7),)), now)
            if second % 60 == 0:
                gateway.outbox.assign(Lane.ALARM, HeartbeatRecord(now.wall_us, {}), now)
            await gateway.clock.sleep(1.0)
        await gateway.clock.sleep(300.0)
        gateway.stop()

    run_virtual(story(), loop)
    return gateway


def test_a_quota_is_kept_by_thinning_the_oldest_declared_without_a_gap() -> None:
    quota = 1_500_000
    gateway = played(quota, 3)
    assert gateway.store.used_bytes < quota and gateway.keeper.left_out_readings > 1000
    assert len(gateway.disk.rows[Lane.ALARM]) == 180, "the alarm lane is never thinned"
    ledger = gateway.ledger()
    assert ledger.gaps() == ()
    losses = ledger.losses()
    assert losses and {loss.lane for loss in losses} == {Lane.TELEMETRY}
    assert all("thinned to steps of" in loss.reason for loss in losses)
    assert len(losses) < 20, "told as a few ranges, not as thousands"
    assert gateway.said and set(gateway.said) == {"journal over its quota, telemetry thinned"}
    newest = max(gateway.disk.rows[Lane.TELEMETRY])
    assert len([n for n in gateway.disk.rows[Lane.TELEMETRY] if n > newest - LEAVE_NEWEST]) > LEAVE_NEWEST - PIECE


def test_what_cannot_be_thinned_any_more_is_given_up_declared() -> None:
    gateway = played(900_000, 2)
    reasons = {loss.reason for loss in gateway.ledger().losses()}
    assert gateway.ledger().gaps() == () and reasons, gateway.said
    assert gateway.keeper.given_up_records == 0 or GIVE_UP in reasons


def test_within_its_quota_nothing_is_touched() -> None:
    gateway = played(50_000_000, 1)
    assert not gateway.said and len(gateway.disk.rows[Lane.TELEMETRY]) == 3600
    pending = gateway.outbox._journal[Lane.TELEMETRY].pending.values()
    assert not any(isinstance(waiting.record.body, LossRecord) for waiting in pending)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5000), st.integers(0, 3000))
def test_the_oldest_waiting_never_reaches_the_newest(count: int, leave: int) -> None:
    loop = VirtualLoop()
    now = Now(1, 1, "b")

    async def filled() -> Outbox:
        disk = DiskModel(Random(1))
        store = StoreModel(disk, VirtualClock(loop, "b", wall_us=1))
        outbox = Outbox(ADDRESS, await store.open(), now)
        for _ in range(5):
            for at in range(300):
                outbox.assign(Lane.TELEMETRY, ReadingsRecord((number(at, 1.0),)), now)
            while batch := outbox.to_commit(500):
                outbox.committed(batch)
        return outbox

    outbox = run_virtual(filled(), loop)
    span = outbox.oldest_waiting(Lane.TELEMETRY, count, leave)
    if leave >= 1500:
        assert span is None
    else:
        assert span == (1, min(count, 1500 - leave))


def test_a_disk_that_refuses_ends_the_pass() -> None:
    from trial.store_model import DiskMode

    loop = VirtualLoop()
    gateway = Gateway(loop, 10_000)

    async def story() -> bool:
        await gateway.start()
        gateway.jobs[0].cancel()
        for at in range(4000):
            gateway.outbox.assign(Lane.TELEMETRY, ReadingsRecord((number(at, 1.0),)), gateway.clock.now())
            if at % 400 == 0:
                await gateway.clock.sleep(1.0)
        await gateway.clock.sleep(5.0)
        gateway.disk.mode = DiskMode.HANG
        done = await gateway.keeper.thin()
        gateway.disk.mode = DiskMode.OK
        gateway.stop()
        return done

    assert run_virtual(story(), loop) is False


@pytest.mark.parametrize("step_s", STEPS_S)
def test_nothing_of_nothing(step_s: int) -> None:
    assert thinned((), step_s) == ()
