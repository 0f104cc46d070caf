"""WalkCourier (I/O): ended tests and acceptances of this gateway go to the cloud, behind every alarm.

    walk/records.jsonl, accepted.jsonl ── new whole lines ──► evidence lane of the outbox ──► cloud
                                           sent.json: how far the cloud has acknowledged

The page writes the book also while the gateway is down; so the gateway reads the book, and nothing is told twice on
purpose. After a restart what was under way is offered again: the cloud knows a test by device and beginning.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from dashboards.install_view import Accepted, WalkStep
from device_model.clock import Clock
from device_model.messages import WalkRecord

FILES = ("records.jsonl", "accepted.jsonl")
LOOK_EVERY_S = 5.0
UNDER_WAY_MAX = 50  # half of what the evidence lane keeps waiting: a clip goes up beside them
READ_MAX = 256 * 1024
log = structlog.get_logger("walk records")


class EvidenceLane(Protocol):
    """The part of the runtime that is needed."""

    def offer_evidence(self, chunk: WalkRecord) -> int:
        """As the runtime's."""
        ...

    def evidence_waits(self, sequence: int) -> bool:
        """As the runtime's."""
        ...

    @property
    def journal_epoch(self) -> str:
        """As the runtime's."""
        ...


class WalkCourier:
    """One gateway's. `run` until cancelled."""

    def __init__(self, folder: Path, gateway: str, lane: EvidenceLane, clock: Clock) -> None:
        """folder: of the site file, as WalkBook's."""
        self._walk, self._gateway, self._lane, self._clock = folder / "walk", gateway, lane, clock
        self._sent = self._read_sent()
        self._next = dict(self._sent)  # file → place behind what was offered
        # file → (sequence, place behind it) of what is offered and not acknowledged yet, oldest first
        self._under_way: dict[str, list[tuple[int, int]]] = {name: [] for name in FILES}
        self._epoch = ""

    async def run(self) -> None:
        """Look now and then. The disk is asked in a thread: one that hangs keeps nothing else waiting."""
        while True:
            try:
                found = await asyncio.to_thread(self.read, dict(self._next))
                if self.take(found):
                    await asyncio.to_thread(self.write)
            except Exception as fault:  # noqa: BLE001  what tells of tests must never end the gateway
                log.warning("walk records do not go up now", reason=f"{type(fault).__name__}: {fault}")
            await self._clock.sleep(LOOK_EVERY_S)

    def read(self, after: dict[str, int]) -> dict[str, tuple[int, bytes]]:
        """What stands in each file behind that place: (place, content). A file that is shorter is another book."""
        found = {}
        for name in FILES:
            try:
                with (self._walk / name).open("rb") as book:
                    size = book.seek(0, 2)
                    start = after.get(name, 0)
                    start = start if start <= size else 0
                    book.seek(start)
                    found[name] = (start, book.read(READ_MAX))
            except FileNotFoundError:
                continue
        return found

    def take(self, found: dict[str, tuple[int, bytes]]) -> bool:
        """One turn: forget what the cloud has, offer what is new. Whether `write` has something to keep."""
        if self._epoch != self._lane.journal_epoch:  # a new journal knows nothing of what was offered to the old
            self._epoch = self._lane.journal_epoch
            self._under_way = {name: [] for name in FILES}
            self._next = dict(self._sent)
            return False
        moved = [self._settle(name) for name in FILES]
        for name, (start, content) in found.items():
            if start != self._next.get(name, 0):  # another book, of a gateway that was set up anew
                self._sent[name] = self._next[name] = start
                self._under_way[name].clear()
            self._offer(name, content)
        return any(moved)

    def write(self) -> None:
        """Keep how far the cloud has come; whole or not at all. OSError."""
        beside = self._walk / "sent.json.new"
        beside.write_bytes(msgspec.json.encode(self._sent))
        beside.replace(self._walk / "sent.json")

    def _settle(self, name: str) -> bool:
        """Forget what the cloud has, in the order of the file."""
        waiting, before = self._under_way[name], self._sent.get(name, 0)
        while waiting and (waiting[0][0] == 0 or not self._lane.evidence_waits(waiting[0][0])):
            self._sent[name] = waiting.pop(0)[1]
        return self._sent.get(name, 0) != before

    def _offer(self, name: str, content: bytes) -> None:
        waiting, place = self._under_way[name], self._next.get(name, 0)
        for line in content.splitlines(keepends=True):
            if not line.endswith(b"\n") or len(waiting) >= UNDER_WAY_MAX:
                return
            record = self._step(line) if name == "records.jsonl" else self._accepted(line)
            sequence = self._lane.offer_evidence(record) if record is not None else 0
            if record is not None and not sequence:
                return
            place += len(line)
            self._next[name] = place
            waiting.append((sequence, place))

    @staticmethod
    def _step(line: bytes) -> WalkRecord | None:
        try:
            step = msgspec.json.decode(line, type=WalkStep)
        except msgspec.DecodeError:
            return None  # cut by a power loss; the book leaves it out, too
        if step.result == "running":
            return None
        return WalkRecord(step.device, step.kind, step.who, step.role, step.begun_us, step.result, step.heard_us,
                          step.took_ms, step.point, step.value, step.note, step.real, step.delivered, step.confirmed,
                          step.photos)

    def _accepted(self, line: bytes) -> WalkRecord | None:
        try:
            word = msgspec.json.decode(line, type=Accepted)
        except msgspec.DecodeError:
            return None
        return WalkRecord(self._gateway, "accepted", word.who, "property", word.at_us, "accepted", value=word.hash,
                          note=word.note)

    def _read_sent(self) -> dict[str, int]:
        try:
            return msgspec.json.decode((self._walk / "sent.json").read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            log.warning("walk records are told anew", reason=str(error))
            return {}
