"""One suite for every Store: the model of the simulation, and SqliteJournal on a real file."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from device_model.errors import LocalFault
from device_model.messages import HeartbeatRecord, Lane, Record
from device_model.ports import JournalState, Store
from device_model.system_clock import SystemClock
from edge_agent.journal import SqliteJournal
from trial.store_model import DiskMode, DiskModel, StoreModel

# What the real journal's file may grow to in this suite; a commit of FULL_BYTES cannot fit.
QUOTA_BYTES = 256 * 1024
FULL_BYTES = 1024 * 1024


def record(sequence: int, text: str = "x") -> Record:
    return Record(sequence, 1_000 + sequence, sequence, "boot", HeartbeatRecord(sequence, {}, version=text))


class Disk:
    """A place where journals live and die."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        self.path = folder / "journal.sqlite"
        self.model = DiskModel(random.Random(3), latency_s=0.0005)
        self.stores: list[Store] = []

    def store(self) -> Store:
        made: Store = (StoreModel(self.model, SystemClock()) if self.kind == "model"
                       else SqliteJournal(self.path, max_bytes=QUOTA_BYTES))
        self.stores.append(made)
        return made

    def fill(self) -> None:
        self.model.mode = DiskMode.FULL

    def free(self) -> None:
        self.model.mode = DiskMode.OK


@pytest.fixture(params=["model", "sqlite"])
async def disk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Disk]:
    place = Disk(tmp_path, request.param)
    yield place
    for store in place.stores:
        await store.close()


def lane(state: JournalState, which: Lane) -> tuple[int, tuple[tuple[int, int], ...]]:
    return next((s.last_sequence, s.acknowledged) for s in state.lanes if s.lane is which)


async def test_a_new_journal_is_empty_and_has_an_epoch(disk: Disk) -> None:
    state = await disk.store().open()
    assert state.epoch and not state.epoch.startswith("m-")
    assert all(s.last_sequence == 0 and not s.acknowledged for s in state.lanes)
    assert state.checkpoint is None and not state.damage


async def test_what_is_committed_is_there_after_reopening(disk: Disk) -> None:
    store = disk.store()
    first = await store.open()
    rows = [record(n, "烟" * n) for n in range(1, 6)]
    await store.commit([(Lane.ALARM, r) for r in rows] + [(Lane.TELEMETRY, record(1))], b"state")
    await store.close()
    again = disk.store()
    state = await again.open()
    assert state.epoch == first.epoch and state.checkpoint == b"state" and not state.damage
    assert lane(state, Lane.ALARM) == (5, ()) and lane(state, Lane.TELEMETRY) == (1, ())
    assert await again.read(Lane.ALARM, 1, 5, 100) == rows


async def test_read_is_by_lane_bounded_and_ascending(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await store.commit([(Lane.TELEMETRY, record(n)) for n in range(1, 21)], None)
    assert [r.sequence for r in await store.read(Lane.TELEMETRY, 5, 100, 3)] == [5, 6, 7]
    assert await store.read(Lane.ALARM, 1, 100, 10) == []


async def test_acknowledged_records_are_forgotten_and_the_ranges_kept(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await store.commit([(Lane.ALARM, record(n)) for n in range(1, 11)], None)
    await store.acknowledge(Lane.ALARM, [(1, 3)])
    await store.acknowledge(Lane.ALARM, [(4, 5), (9, 9), (1, 2)])
    await store.close()
    again = disk.store()
    state = await again.open()
    assert lane(state, Lane.ALARM) == (10, ((1, 5), (9, 9))) and not state.damage
    assert [r.sequence for r in await again.read(Lane.ALARM, 1, 10, 100)] == [6, 7, 8, 10]


async def test_all_acknowledged_keeps_the_last_number(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await store.commit([(Lane.ALARM, record(n)) for n in range(1, 4)], None)
    await store.acknowledge(Lane.ALARM, [(1, 3)])
    await store.close()
    assert lane(await disk.store().open(), Lane.ALARM) == (3, ((1, 3),))


async def test_the_same_record_may_be_committed_again(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    for _ in range(2):
        await store.commit([(Lane.ALARM, record(1))], None)
    assert await store.read(Lane.ALARM, 1, 9, 9) == [record(1)]


async def test_numbers_without_a_row_are_reported(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await store.commit([(Lane.TELEMETRY, record(n)) for n in (1, 2, 7)], None)
    await store.close()
    state = await disk.store().open()
    assert [(which, part) for which, part, _ in state.damage] == [(Lane.TELEMETRY, (3, 6))]


async def test_concurrent_commits_are_all_kept(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await asyncio.gather(*(store.commit([(Lane.ALARM, record(n))], str(n).encode()) for n in range(1, 41)))
    assert [r.sequence for r in await store.read(Lane.ALARM, 1, 99, 99)] == list(range(1, 41))


async def test_a_full_disk_is_a_local_fault_and_it_recovers(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await store.commit([(Lane.ALARM, record(1))], b"before")
    disk.fill()
    with pytest.raises(LocalFault, match="full"):
        await store.commit([(Lane.ALARM, record(2, "z" * FULL_BYTES))], b"after")
    disk.free()
    await store.commit([(Lane.ALARM, record(2))], None)
    assert [r.sequence for r in await store.read(Lane.ALARM, 1, 9, 9)] == [1, 2]
    await store.close()
    state = await disk.store().open()
    assert state.checkpoint == b"before", "a commit that failed leaves nothing behind"


async def test_a_closed_journal_takes_nothing(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(LocalFault):
        await store.commit([(Lane.ALARM, record(1))], None)


async def test_nothing_to_write_is_fine(disk: Disk) -> None:
    store = disk.store()
    await store.open()
    await store.commit([], b"only a checkpoint")
    await store.acknowledge(Lane.ALARM, [])
    await store.close()
    assert (await disk.store().open()).checkpoint == b"only a checkpoint"
