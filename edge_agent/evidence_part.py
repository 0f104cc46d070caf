"""EvidencePart (I/O): evidence of alarms from its folder into the evidence lane; holds while incidents are open.

    folder ─ looked at each second ─► EvidenceFeed ─► 48 KiB at a time, two under way ─► runtime's evidence lane
      │ uploads.json: how far                │
      └ open-incidents.json ◄────────────────┘ the vision process reads it before it makes room

The lane is the bulk of a metered link: alarms go first, the day's bytes are kept, what is not acknowledged is sent
again (cloud_bridge). Nothing here delays an alarm; a folder that cannot be read is said and tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from device_model.clock import Clock
from device_model.command import CommandKind, CommandOutcome, CommandResult
from device_model.inventory import Inventory
from device_model.messages import AlarmRecord, CommandResultRecord, Lane, Record
from edge_agent.evidence_feed import CameraPlace, EvidenceFeed, FeedFile, FeedMemory, Part, parts_of
from edge_agent.runtime import GatewayRuntime

log = structlog.get_logger("gateway.evidence")
LOOK_EVERY_S = 1.0
UNDER_WAY_MAX = 2  # parts that the far end has not acknowledged: 96 KiB
MEMORY, HOLDS, CHAIN = "uploads.json", "open-incidents.json", "chain.jsonl"
CHAIN_READ_MAX = 4 * 1024 * 1024
LINES_KEPT = 500
KIND_OF = {".jpg": "snapshot", ".mp4": "clip"}


class ChainFile(msgspec.Struct, frozen=True):
    """What is needed of a file in a record of the chain."""

    name: str


class ChainLine(msgspec.Struct, frozen=True):
    """What is needed of a record of the chain (device_drivers/vision/evidence.py writes it)."""

    id: str
    name: str
    zone: str
    files: tuple[ChainFile, ...] = ()


async def keep_evidence(folder: Path, clips: bool, runtime: GatewayRuntime, clock: Clock) -> None:
    """One life of the part: until cancelled, or until a fault of ours ends it and it is begun anew."""
    await EvidencePart(folder, runtime, clock, clips=clips).run()


def camera_places(inventory: Inventory) -> tuple[CameraPlace, ...]:
    """The site's devices that a vision process speaks as."""
    return tuple(
        CameraPlace(device.address.split("/")[0], device.id, device.zone)
        for device in inventory.site.devices if device.profile.startswith("tocsin-camera"))


class EvidencePart:
    """`run` until cancelled."""

    def __init__(self, folder: Path, runtime: GatewayRuntime, clock: Clock, *, clips: bool = True) -> None:
        self._folder, self._runtime, self._clock = folder, runtime, clock
        self.feed = EvidenceFeed(camera_places(runtime.inventory), self._remembered(), clips=clips)
        self._under_way: dict[int, tuple[Part, str]] = {}  # with the journal's epoch
        self._sizes: dict[str, int] = {}  # a file is taken once it kept its size from one look to the next
        self._lines: dict[str, bytes] = {}  # record of the chain by evidence id, the newest LINES_KEPT
        self._chain_at = 0
        self._told = ""

    async def run(self) -> None:
        """Look, send, keep."""
        self._runtime.listeners.append(self._heard)
        try:
            while True:
                await self.look()
                await self._clock.sleep(LOOK_EVERY_S)
        finally:
            self._runtime.listeners.remove(self._heard)

    def _heard(self, records: Sequence[tuple[Lane, Record]]) -> None:
        for _, record in records:
            if isinstance(record.body, AlarmRecord):
                self.feed.alarm(record.body.transition)
            elif isinstance(record.body, CommandResultRecord):
                result = record.body.result
                if result.outcome is CommandOutcome.APPLIED:
                    self._told_by_cloud(result)

    def _told_by_cloud(self, result: CommandResult) -> None:
        match result.kind:
            case CommandKind.INCIDENT_CLOSED:
                self.feed.closed(result.target)
            case CommandKind.INCIDENT_REOPENED:
                self.feed.reopened(result.target, self._clock.now().wall_us)
            case CommandKind.EVIDENCE_AGAIN:
                self.feed.again(result.target)
            case _:
                pass

    async def look(self) -> None:
        """One turn: what was delivered, what is new, what goes next."""
        for sequence, (part, epoch) in list(self._under_way.items()):
            if epoch != self._runtime.journal_epoch:
                del self._under_way[sequence]  # another journal: whether it came is not known, so it goes again
            elif not self._runtime.evidence_waits(sequence):
                del self._under_way[sequence]
                self.feed.delivered(part)
        try:
            await asyncio.to_thread(self._find)
        except OSError as error:
            self._say(f"the evidence folder cannot be read: {error.strerror}")
        while len(self._under_way) < UNDER_WAY_MAX and await self._send_next():
            pass
        self.feed.expire(self._clock.now().wall_us)
        if self.feed.changed:
            self.feed.changed = False
            await asyncio.to_thread(self._keep)

    async def _send_next(self) -> bool:
        given: dict[tuple[str, str], int] = {}
        for sent, _ in self._under_way.values():
            key = (sent.evidence, sent.name)
            given[key] = max(given.get(key, 0), sent.offset + sent.size)
        part = self.feed.next(given)
        if part is None:
            return False
        octets = await asyncio.to_thread(self._read, part)
        if len(octets) != part.size:
            self.feed.gone(part, "taken out by the gateway's quota before it was sent")
            octets = b""
        sequence = self._runtime.offer_evidence(self.feed.chunk(part, octets))
        if sequence == 0:
            return False
        if octets:
            self._under_way[sequence] = (part, self._runtime.journal_epoch)
        return True

    def _read(self, part: Part) -> bytes:
        if part.name.endswith(".json"):
            return self._lines.get(part.evidence, b"")[part.offset : part.offset + part.size]
        try:
            with (self._folder / part.name).open("rb") as file:
                file.seek(part.offset)
                return file.read(part.size)
        except OSError:
            return b""

    def _find(self) -> None:
        """New files of evidence that is wanted. A clip counts once it has its final name, a snapshot at once."""
        if not self._folder.is_dir():
            return
        self._read_chain()
        now_us = self._clock.now().wall_us
        for entry in sorted(os.scandir(self._folder), key=lambda e: e.name):
            stem, kind = Path(entry.name).stem, KIND_OF.get(Path(entry.name).suffix, "")
            if kind and parts_of(stem)[0] and self.feed.wants(stem, kind, entry.name):
                size = entry.stat().st_size
                if self._sizes.get(entry.name) != size:
                    self._sizes[entry.name] = size
                    continue
                self._sizes.pop(entry.name)
                digest, size = _hashed(Path(entry.path))
                self._add(stem, FeedFile(entry.name, kind, size, digest), now_us)
        for identity, line in self._lines.items():
            if parts_of(identity)[0] and self.feed.wants(identity, "record", f"{identity}.json"):
                file = FeedFile(f"{identity}.json", "record", len(line), hashlib.sha256(line).hexdigest())
                self._add(identity, file, now_us)

    def _add(self, identity: str, file: FeedFile, now_us: int) -> None:
        scene, zone = "", ""
        if (line := self._lines.get(identity)) is not None:
            said = msgspec.json.decode(line, type=ChainLine)
            scene, zone = said.name, said.zone
        if file.size:
            self.feed.found(identity, file, now_us, scene, zone)

    def _read_chain(self) -> None:
        """Whole lines that were appended since the last look."""
        path = self._folder / CHAIN
        try:
            size = path.stat().st_size
        except OSError:
            return
        if size < self._chain_at:
            self._chain_at = 0  # another chain: the folder was begun anew
        start = max(self._chain_at, size - CHAIN_READ_MAX)
        with path.open("rb") as file:
            file.seek(start)
            whole, _, _ = file.read(CHAIN_READ_MAX).rpartition(b"\n")
        self._chain_at = start + len(whole) + (1 if whole else 0)
        for line in whole.split(b"\n"):
            try:
                self._lines[msgspec.json.decode(line, type=ChainLine).id] = line
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # the first may be cut off; a broken one is what `tocsin evidence verify` is for
        for old in list(self._lines)[:-LINES_KEPT]:
            del self._lines[old]

    def _remembered(self) -> FeedMemory:
        try:
            return msgspec.json.decode((self._folder / MEMORY).read_bytes(), type=FeedMemory)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return FeedMemory()

    def _keep(self) -> None:
        try:
            for name, octets in ((HOLDS, msgspec.json.encode(self.feed.holds())),
                                 (MEMORY, msgspec.json.encode(self.feed.memory))):
                fresh = self._folder / f"{name}.new"
                fresh.write_bytes(octets)
                fresh.replace(self._folder / name)
        except OSError as error:
            self.feed.changed = True
            self._say(f"what was sent of evidence is not kept: {error.strerror}")

    def _say(self, what: str) -> None:
        if what != self._told:
            self._told = what
            log.error(what, folder=str(self._folder))


def _hashed(path: Path) -> tuple[str, int]:
    """SHA-256 and size; ("", 0) where it cannot be read now."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError:
        return "", 0
    return digest.hexdigest(), size
