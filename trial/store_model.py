"""StoreModel: the gateway's journal with a disk that can be slow, full, read-only, hung, or lose its cache.

The DiskModel outlives the process: after a crash a new StoreModel on it finds what was synced, and of the commit
that was under way either all or nothing, by the seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum
from random import Random

from device_model.clock import Clock
from device_model.errors import LocalFault
from device_model.messages import Lane, Record, decode_record, encode
from device_model.ports import JournalState, LaneState
from device_model.ranges import Range, RangeSet


class DiskMode(StrEnum):
    """How the disk behaves from now on."""

    OK = "ok"
    FULL = "full"
    READ_ONLY = "read_only"
    HANG = "hang"


class DiskModel:
    """What is durable. `latency_s`: of one sync, spread to three times as much by the seed."""

    def __init__(self, random: Random, *, latency_s: float = 0.004) -> None:
        self.random = random
        self.latency_s = latency_s
        self.mode = DiskMode.OK
        self.epoch = ""
        self.rows: dict[Lane, dict[int, bytes]] = {lane: {} for lane in Lane}
        self.last: dict[Lane, int] = dict.fromkeys(Lane, 0)
        self.acknowledged: dict[Lane, RangeSet] = {lane: RangeSet() for lane in Lane}
        self.checkpoint: bytes | None = None
        self.commits = 0
        self.bytes_written = 0


class StoreModel:
    """One process's view of the disk; implements device_model.ports.Store."""

    def __init__(self, disk: DiskModel, clock: Clock) -> None:
        self._disk = disk
        self._clock = clock
        self._open = False
        self._crashed = False
        self._turn = asyncio.Lock()
        self._under_way: tuple[list[tuple[Lane, int, bytes]], bytes | None] | None = None
        # For an observer, and for who wants to kill just there: "commit" (asked), "syncing" (pages written, not
        # synced), "synced" (durable, the process does not know yet), "acknowledge", "acknowledged", "opened".
        self.probe: Callable[[str, bytes], None] | None = None

    def _tell(self, point: str, detail: bytes = b"") -> None:
        if self.probe is not None and not self._crashed:
            self.probe(point, detail)

    async def open(self) -> JournalState:
        disk = self._disk
        await self._sync()
        if self._crashed:
            raise LocalFault("the process is dead")
        if not disk.epoch:
            disk.epoch = f"{disk.random.getrandbits(48):012x}"
        self._open = True
        damage: list[tuple[Lane, Range, str]] = []
        for lane in Lane:
            held = disk.acknowledged[lane].copy()
            for number in disk.rows[lane]:
                held.add(number, number)
            damage += [(lane, part, "the journal has no row") for part in held.missing(1, disk.last[lane])]
        lanes = tuple(LaneState(lane, disk.last[lane], tuple(disk.acknowledged[lane])) for lane in Lane)
        return JournalState(disk.epoch, lanes, disk.checkpoint, tuple(damage))

    async def commit(self, records: Sequence[tuple[Lane, Record]], checkpoint: bytes | None) -> None:
        self._check_open()
        rows = [(lane, record.sequence, encode(record)) for lane, record in records]
        self._tell("commit")
        async with self._turn:
            self._under_way = (rows, checkpoint)
            try:
                self._tell("syncing")
                await self._sync()
                if not self._crashed:
                    self._write(rows, checkpoint)
                    self._under_way = None
                    self._tell("synced", b"".join(b"%s %d %s " % (lane.encode(), number, body)
                                                  for lane, number, body in rows) + (checkpoint or b""))
            finally:
                if not self._crashed:
                    self._under_way = None

    async def read(self, lane: Lane, first: int, last: int, limit: int) -> list[Record]:
        self._check_open()
        rows = self._disk.rows[lane]
        numbers = sorted(n for n in rows if first <= n <= last)[:limit]
        await self._clock.sleep(self._disk.latency_s / 4)
        return [decode_record(rows[n]) for n in numbers if n in rows]

    async def acknowledge(self, lane: Lane, ranges: Sequence[Range]) -> None:
        self._check_open()
        self._tell("acknowledge")
        async with self._turn:
            await self._sync()
            if self._crashed:
                return
            for first, last in ranges:
                self._disk.acknowledged[lane].add(first, last)
            known = self._disk.acknowledged[lane]
            self._disk.rows[lane] = {n: row for n, row in self._disk.rows[lane].items() if n not in known}
            self._tell("acknowledged", repr((lane.value, list(ranges))).encode())

    async def close(self) -> None:
        self._open = False

    def crash(self) -> None:
        """The power goes. The commit under way is on the disk wholly or not at all."""
        self._crashed, self._open = True, False
        if self._under_way is not None and self._disk.mode in (DiskMode.OK, DiskMode.HANG):
            rows, checkpoint = self._under_way
            if self._disk.random.random() < 0.5:
                self._write(rows, checkpoint)
        self._under_way = None

    def _write(self, rows: Sequence[tuple[Lane, int, bytes]], checkpoint: bytes | None) -> None:
        disk = self._disk
        for lane, number, body in rows:
            disk.rows[lane][number] = body
            disk.last[lane] = max(disk.last[lane], number)
            disk.bytes_written += len(body)
        if checkpoint is not None:
            disk.checkpoint = checkpoint
            disk.bytes_written += len(checkpoint)
        disk.commits += 1

    def _check_open(self) -> None:
        if not self._open:
            raise LocalFault("the journal is not open")

    async def _sync(self) -> None:
        disk = self._disk
        await self._clock.sleep(disk.latency_s * (1 + 2 * disk.random.random()))
        while disk.mode is DiskMode.HANG and not self._crashed:
            await self._clock.sleep(0.1)
        if disk.mode in (DiskMode.FULL, DiskMode.READ_ONLY):
            raise LocalFault(f"the disk is {disk.mode.replace('_', '-')}")
