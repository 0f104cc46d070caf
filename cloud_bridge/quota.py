"""Quota: when the journal grows beyond its share, the oldest telemetry that waits is thinned, and that is declared.

    used > 70 % ──► oldest waiting numbers a..b of the telemetry lane ──read~──► thinned ──► new, higher numbers
                                          └──► LossRecord a..b "thinned to 60 s steps …" ──committed──► rows forgotten

First the kept readings, then the loss: killed in between, some readings travel twice and none is lost. Steps grow
coarser (a minute … a day) when a pass leaves more than half of what it found; when even the coarsest does, the oldest
are given up, declared. Alarms and evidence are never touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from cloud_bridge.lanes import Outbox
from cloud_bridge.thinning import STEPS_S, thinned
from device_model.clock import Clock
from device_model.errors import LocalFault
from device_model.messages import Lane, LossRecord, ReadingsRecord
from device_model.ports import Store
from device_model.ranges import Range, RangeSet
from device_model.reading import Reading

THIN_ABOVE = 0.7  # of the quota: the rest is for alarms, evidence, and what comes while it is thinned
LOOK_EVERY_S = 30.0
PIECE = 1_000  # records of one pass: some 300 KiB in memory
READINGS_PER_RECORD = 200
# The newest telemetry is left as it is for as long as that can be: what led to an alarm is the last to go.
LEAVE_NEWEST = 2_000
WORTH_A_PASS = 100  # records; fewer free nothing, and would be thinned to nothing over and over
COMMITTED_TURNS = 60  # seconds within which a disk that works takes a pass
GIVE_UP = "the journal's quota: given up, for no coarser step is left"


@runtime_checkable
class MeasuredStore(Protocol):
    """A journal that knows its size."""

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        ...


class QuotaKeeper:
    """Watches one journal. `run` until cancelled."""

    def __init__(
        self, outbox: Outbox, store: Store, clock: Clock, *, quota_bytes: int, commit: Callable[[], None],
        say: Callable[..., None],
    ) -> None:
        """commit: there are new records to be written. say: level, text, fields. A store that does not know its size
        is never thinned."""
        self._outbox, self._store, self._clock = outbox, store, clock
        self._limit, self._commit, self._say = round(quota_bytes * THIN_ABOVE), commit, say
        self.left_out_readings = self.given_up_records = 0

    async def run(self) -> None:
        """Look now and then; while the journal is too large, one pass after another, each on the disk before the
        next."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            passes = 0
            while self._over() and await self.thin():
                passes += 1
            if passes:
                self._say("warning", "journal over its quota, telemetry thinned", passes=passes,
                          readings_left_out=self.left_out_readings, records_given_up=self.given_up_records)

    def _over(self) -> bool:
        return isinstance(self._store, MeasuredStore) and self._store.used_bytes > self._limit

    async def thin(self) -> bool:
        """One pass over the oldest waiting telemetry. False when there is nothing that may be thinned, or the disk
        does not take it."""
        span = self._worth_a_pass()
        if span is None:
            return False
        first, last = span
        try:
            rows = await self._store.read(Lane.TELEMETRY, first, last, last - first + 1)
        except LocalFault as fault:
            self._say("warning", "journal over its quota and not readable", reason=str(fault))
            return False
        # What earlier losses said goes with their rows, so that it is said again.
        self._repeat([row.body for row in rows if isinstance(row.body, LossRecord)])
        readings = [reading for row in rows if isinstance(row.body, ReadingsRecord) for reading in row.body.readings]
        self._replace(span, readings, *_coarse_enough(readings))
        for _ in range(COMMITTED_TURNS):
            await self._clock.sleep(1.0)  # the commit, and rows forgotten; others get their turn
            if not self._outbox.waits(Lane.TELEMETRY, span):
                return True
        return False

    def _worth_a_pass(self) -> Range | None:
        """The oldest; of the newest only what a quota that is small for its traffic leaves no other choice but."""
        for leave in (LEAVE_NEWEST, LEAVE_NEWEST // 4, 0):
            span = self._outbox.oldest_waiting(Lane.TELEMETRY, PIECE, leave)
            if span is not None and span[1] - span[0] + 1 >= WORTH_A_PASS:
                return span
        return None

    def _repeat(self, losses: list[LossRecord]) -> None:
        said: dict[tuple[str, Lane, str], RangeSet] = {}
        for loss in losses:
            for first, last in loss.ranges:
                said.setdefault((loss.epoch, loss.lane, loss.reason), RangeSet()).add(first, last)
        now = self._clock.now()
        for (epoch, lane, reason), ranges in said.items():
            self._outbox.assign(Lane.TELEMETRY, LossRecord(epoch, lane, tuple(ranges), reason, now.wall_us), now)

    def _replace(self, span: Range, readings: list[Reading], kept: tuple[Reading, ...], step_s: int) -> None:
        now = self._clock.now()
        for at in range(0, len(kept), READINGS_PER_RECORD):
            self._outbox.assign(Lane.TELEMETRY, ReadingsRecord(kept[at:at + READINGS_PER_RECORD]), now)
        reason = f"the journal's quota: thinned to steps of {step_s} s, which follow" if step_s else GIVE_UP
        self._outbox.declare_lost(Lane.TELEMETRY, [span], reason, now)
        self.left_out_readings += len(readings) - len(kept)
        if not step_s:
            self.given_up_records += span[1] - span[0] + 1
        self._commit()


def _coarse_enough(readings: list[Reading]) -> tuple[tuple[Reading, ...], int]:
    """What the finest step keeps that leaves out at least half, and that step; nothing and 0 when none does."""
    for step_s in STEPS_S:
        kept = thinned(readings, step_s)
        if len(kept) <= len(readings) // 2:
            return kept, step_s
    return (), 0
