"""EvidenceFiles (I/O): what gateways send of their evidence, put together, checked by its hash, bounded.

```
 part (EvidenceChunkRecord) ─► <site>/<gateway>/<evidence>/ <file>.part ── all bytes there ──► SHA-256 fits? ─► <file>
                                                            meta.json                              └ no: thrown away
```
Parts may come twice and in any order; each is written at its place. A gateway can only write under its own name:
site and gateway come from its certificate's topic, every other name is checked here. When the quota is full the
oldest goes first, never what belongs to an open incident; with only such left, new parts are refused, counted, said.
What was refused is no loss: the gateway has the original, and `wanting` names what it is asked for once more.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from community_os.settings import CloudSettings
from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault
from device_model.messages import EvidenceChunkRecord
from device_model.ranges import Range, RangeSet

_log = structlog.get_logger("tocsin.evidence")
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}\Z")
FILE = re.compile(r"[A-Za-z0-9_-]{1,100}\.(jpg|json|mp4)\Z")
KINDS = {"snapshot": "jpg", "record": "json", "clip": "mp4"}
FILE_BYTES_MAX = 64 * 1024 * 1024  # minutes of a camera's sub-stream; a clip of 30 s has two to eight
FILES_MAX = 8  # of one piece of evidence
RANGES_MAX = 500
EACH_GATEWAY_MAX = 2_000  # pieces of evidence
MISSED_MAX = 1_000  # names of refused files, until they are here; beyond, what began to come is found by its meta
STALLED_US = 600 * SECOND_US  # so long without a part: the rest does not come by itself


class SentFile(msgspec.Struct):
    """A file and what is there of it. state: coming | whole | refused | lost."""

    name: str
    kind: str
    size: int
    sha256: str
    got: list[Range] = []
    state: str = "coming"
    why: str = ""
    heard_us: int = 0


class SentEvidence(msgspec.Struct):
    """One piece of evidence as it is kept. closed_us: the gateway was told often enough that its incident is closed;
    telling: it was told at least once; turn: how often the incident was opened again after that."""

    id: str
    path: str
    gateway: str
    camera: str
    scene: str
    zone: str
    alarm: str
    decided_us: int
    first_us: int
    files: list[SentFile] = []
    closed_us: int = 0
    telling: bool = False
    turn: int = 0

    def file(self, name: str) -> SentFile | None:
        """By name."""
        return next((file for file in self.files if file.name == name), None)


class EvidenceFiles:
    """One folder. Several readers; the parts of one site are taken by one worker. Raises LocalFault where the folder
    cannot be used."""

    def __init__(self, folder: Path, quota: int, now_us: Callable[[], int]) -> None:
        self.folder, self._quota, self._now_us = folder, quota, now_us
        self._lock = threading.Lock()
        self.open_alarms: frozenset[str] = frozenset()  # of incidents that are not closed (evidence_keeper.py)
        self.refused = 0
        self._missed: dict[tuple[str, str, str], int] = {}  # (site, gateway, file) → when it was refused
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalFault(f"{folder}: {error.strerror}") from error

    def take(self, path: str, gateway: str, chunk: EvidenceChunkRecord) -> bool:
        """Keep a part; False where it is refused (said and counted). Blocks for a write of 48 KiB."""
        with self._lock:
            why = self._wrong(path, gateway, chunk)
            if not why:
                try:
                    why = self._written(path, gateway, chunk)
                except OSError as error:
                    why = f"the disk refused: {error.strerror}"
                if why and len(self._missed) < MISSED_MAX:
                    self._missed[path, gateway, chunk.name] = self._now_us()
            if why:
                self.refused += 1
                _log.warning("part of evidence refused", site=path, gateway=gateway, evidence=chunk.evidence[:100],
                             file=chunk.name[:100], why=why, refused=self.refused)
            return not why

    def _wrong(self, path: str, gateway: str, chunk: EvidenceChunkRecord) -> str:
        if not NAME.match(chunk.evidence) or not FILE.match(chunk.name) or not NAME.match(gateway) or \
                not all(NAME.match(label) for label in path.split("/")):
            return "a name is no name"
        if chunk.name != f"{chunk.evidence}.{KINDS.get(chunk.kind, '')}" or len(chunk.sha256) != 64:
            return "kind, name or hash do not belong together"
        if not 0 < chunk.size <= FILE_BYTES_MAX or not 0 <= chunk.offset <= chunk.size - len(chunk.octets):
            return "it lies outside its file"
        return ""

    def _written(self, path: str, gateway: str, chunk: EvidenceChunkRecord) -> str:
        here = self._place(path, gateway, chunk.evidence)
        item = self._read(here)
        if item is None:
            if not self._room(chunk.size, here.parent):
                return "the quota is full of evidence of open incidents"
            here.mkdir(parents=True, exist_ok=True)
            item = SentEvidence(chunk.evidence, path, gateway, chunk.camera[:64], chunk.scene[:40], chunk.zone[:64],
                                chunk.alarm[:64], chunk.decided_us, self._now_us())
        item.scene, item.zone = item.scene or chunk.scene[:40], item.zone or chunk.zone[:64]
        file = item.file(chunk.name)
        if file is None:
            if len(item.files) >= FILES_MAX or not self._room(chunk.size, here.parent):
                return "no room for a further file"
            file = SentFile(chunk.name, chunk.kind, chunk.size, chunk.sha256)
            item.files.append(file)
        if (file.size, file.sha256) != (chunk.size, chunk.sha256):
            return "it is part of another file of that name"
        if file.state == "whole":
            return ""  # it came twice
        file.heard_us = self._now_us()
        if chunk.lost:
            file.state, file.why = "lost", chunk.lost[:200]
        else:
            self._put(here, file, chunk)
        self._keep(here, item)
        return ""

    def _put(self, here: Path, file: SentFile, chunk: EvidenceChunkRecord) -> None:
        part = here / f"{file.name}.part"
        number = os.open(part, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(number, chunk.octets, chunk.offset)
            got = RangeSet(file.got)
            if chunk.octets:
                got.add(chunk.offset, chunk.offset + len(chunk.octets) - 1)
            file.got = list(got)[:RANGES_MAX]
            file.state = "coming"
            if got.missing(0, file.size - 1):
                return
            os.fsync(number)
        finally:
            os.close(number)
        if _sha256(part) == file.sha256:
            part.replace(here / file.name)
            file.state, file.got, file.why = "whole", [], ""
        else:
            part.unlink()
            file.state, file.got, file.why = "refused", [], "its bytes do not fit the hash that the gateway named"

    def _room(self, size: int, gateway: Path) -> bool:
        """Make room: the oldest whose incident is not open goes. A gateway's own count is bounded likewise."""
        kept = sorted(self._all(), key=lambda pair: pair[1].first_us)
        mine = sum(1 for here, _ in kept if here.parent == gateway)
        total = sum(_size(here) for here, _ in kept) + size
        for here, item in kept:
            full = mine >= EACH_GATEWAY_MAX and here.parent == gateway
            if total <= self._quota and not full and mine < EACH_GATEWAY_MAX:
                break
            if item.alarm in self.open_alarms or (total <= self._quota and not full):
                continue
            total -= _size(here)
            mine -= here.parent == gateway
            shutil.rmtree(here, ignore_errors=True)
            _log.info("evidence made room", site=item.path, evidence=item.id)
        return total <= self._quota and mine < EACH_GATEWAY_MAX

    def of_site(self, path: str) -> list[SentEvidence]:
        """Everything of a site, newest first."""
        if not all(NAME.match(label) for label in path.split("/")):
            return []
        found = [item for here, item in self._all(path)]
        return sorted(found, key=lambda item: -item.decided_us)

    def file_of(self, item: SentEvidence, name: str) -> Path | None:
        """Where a whole file lies."""
        file = item.file(name)
        if file is None or file.state != "whole":
            return None
        path = self._place(item.path, item.gateway, item.id) / name
        return path if path.is_file() else None

    def wanting(self) -> list[tuple[str, str, str]]:
        """(site, gateway, file) of what was refused, did not fit its hash, or stopped coming: its gateway has it."""
        now_us, known = self._now_us(), dict[tuple[str, str, str], bool]()
        for _, item in self._all():
            for file in item.files:
                known[item.path, item.gateway, file.name] = file.state == "refused" or (
                    file.state == "coming" and now_us - max(file.heard_us, item.first_us) > STALLED_US)
        with self._lock:
            for name in [name for name, at_us in self._missed.items() if name in known and not known[name]
                         and now_us - at_us > STALLED_US]:
                del self._missed[name]  # it is here by now, or known to be lost, or on its way
            return sorted({name for name, wanted in known.items() if wanted} | {
                name for name, at_us in self._missed.items()
                if now_us - at_us > STALLED_US and known.get(name, True)})

    def paths(self) -> tuple[str, ...]:
        """Sites that sent anything."""
        return tuple(sorted(entry.name.replace("+", "/") for entry in self.folder.iterdir() if entry.is_dir()))

    def mark(self, item: SentEvidence, *, closed_us: int, telling: bool, turn: int) -> None:
        """What the gateway was told of its incident."""
        with self._lock:
            here = self._place(item.path, item.gateway, item.id)
            kept = self._read(here)
            if kept is not None:
                kept.closed_us, kept.telling, kept.turn = closed_us, telling, turn
                self._keep(here, kept)

    def _all(self, path: str = "") -> list[tuple[Path, SentEvidence]]:
        sites = [self.folder / path.replace("/", "+")] if path else sorted(self.folder.iterdir())
        found = []
        for site in sites:
            for gateway in sorted(site.iterdir()) if site.is_dir() else ():
                for here in sorted(gateway.iterdir()):
                    item = self._read(here)
                    if item is not None:
                        found.append((here, item))
        return found

    def _place(self, path: str, gateway: str, evidence: str) -> Path:
        return self.folder / path.replace("/", "+") / gateway / evidence

    def _read(self, here: Path) -> SentEvidence | None:
        try:
            return msgspec.json.decode((here / "meta.json").read_bytes(), type=SentEvidence)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _keep(self, here: Path, item: SentEvidence) -> None:
        fresh = here / "meta.new"
        fresh.write_bytes(msgspec.json.encode(item))
        fresh.replace(here / "meta.json")


def evidence_files(settings: CloudSettings, clock: Clock) -> EvidenceFiles:
    """What gateways sent of their evidence, in the state folder. Raises LocalFault."""
    return EvidenceFiles(Path(settings.state) / "evidence", settings.evidence_quota_mib * 2**20,
                         lambda: clock.now().wall_us)


def _size(here: Path) -> int:
    try:
        return sum(entry.stat().st_size for entry in here.iterdir())
    except OSError:
        return 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
