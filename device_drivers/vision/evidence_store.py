"""~ The evidence folder while cameras watch: clips, snapshots, the signed chain; quota, holds, recovery.

Order of work: the files are synced under their names first, then the record that names them, then the head. A kill in
between leaves a file without a record, which the next start takes in with a gap that says so. A chain or key that was
spoilt is set aside whole and a new one begun: cameras go on being recorded, and nothing of the old is lost.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from device_drivers.vision.clips import readable_span
from device_drivers.vision.evidence import (
    FIRST,
    RECORD_BYTES_MAX,
    EvidenceFile,
    EvidenceGap,
    EvidenceRecord,
    Kept,
    parse_holds,
    parse_record,
    sign,
    to_prune,
)
from device_drivers.vision.evidence_folder import (
    CHAIN,
    HEAD,
    HOLDS,
    PICTURES,
    PRIVATE,
    PUBLIC,
    change_hold,
    hash_of,
    held,
    own_key,
    public_of,
    read_head,
    sign_holds,
    write_head,
    write_synced,
)
from device_model.errors import LocalFault, PeerGarbled

_log = structlog.get_logger(__name__)
PRUNED = "quota"  # name of the record that says which files went
NAMES_A_RECORD = 1_000  # of files that went: a record stays far below RECORD_BYTES_MAX


class EvidenceStore:
    """Writes one folder; one process at a time. Raises LocalFault where the folder cannot be used."""

    def __init__(self, folder: Path, quota: int, now_us: Callable[[], int]) -> None:
        self.folder, self._quota, self._now_us = folder, quota, now_us
        self._lock = threading.Lock()
        self.refused = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            why = self._open()
            if why:
                self._set_aside(why)
        except OSError as error:
            raise LocalFault(f"{folder}: {error.strerror}; give evidence a folder that can be written") from error
        self._gone = {name for r in self._records if r.name == PRUNED for name in r.note.split()}
        self._recover()

    def _open(self) -> str:
        """Key and chain as they lie there; why they cannot be gone on with, "" where they can."""
        try:
            self._key = own_key(self.folder, make=not (self.folder / CHAIN).exists())
            self._records = self._read_chain()
        except (LocalFault, PeerGarbled) as error:
            return str(error)
        if any(record.key != public_of(self._key) for record in self._records[-1:]):
            return f"{PRIVATE} is not the key of {CHAIN}"
        head = read_head(self.folder)
        if head is not None and head.count > len(self._records):
            return f"{CHAIN} has {len(self._records)} records and {HEAD} says {head.count}"
        public = self.folder / PUBLIC
        octets = (public_of(self._key) + "\n").encode()
        if not public.exists() or public.read_bytes() != octets:
            write_synced(public, octets)
        self._previous = self._records[-1].digest() if self._records else FIRST
        chain = self.folder / CHAIN
        self._end = chain.stat().st_size if chain.exists() else 0
        self._write_head()
        # What an earlier release left unsigned; a spoilt list is not touched: it holds everything.
        with contextlib.suppress(FileNotFoundError, PeerGarbled):
            holds = parse_holds((self.folder / HOLDS).read_bytes())
            if not holds.signature:
                sign_holds(self.folder, holds.holds, self._key)
        return ""

    def _set_aside(self, why: str) -> None:
        """Everything into a folder of its own, which no quota touches; a chain begun anew whose first record says so.
        The gateway's own lists stay: they name incidents that are still open."""
        aside = self.folder / f"damaged-{self._now_us()}"
        aside.mkdir()
        for path in sorted(self.folder.iterdir()):
            if path.name in (CHAIN, HEAD, PUBLIC, PRIVATE, HOLDS) or path.suffix in PICTURES:
                path.replace(aside / path.name)
        _log.error("evidence was damaged and is set aside; a new chain begins", why=why, folder=str(aside))
        again = self._open()
        if again:
            raise LocalFault(f"{self.folder}: {again}; give evidence another folder")
        now = self._now_us()
        gap = EvidenceGap(now, now, f"what was before lies in {aside.name}: {why}")
        self._append(msgspec.structs.replace(self._record(aside.name, "recovered", ""), gaps=(gap,)))

    def part(self, identity: str) -> Path:
        """Where the clip of a new piece of evidence is written while it lasts."""
        return self.folder / f"{identity}.part"

    def hold(self, identity: str, why: str) -> None:
        """Keep a record's files whatever the quota says: an open incident, or a named person's legal hold."""
        with self._lock:
            change_hold(self.folder, identity, why)

    def release(self, identity: str) -> None:
        """The incident is closed, the hold is lifted: from now on its age counts."""
        with self._lock:
            change_hold(self.folder, identity, "")

    def room_for(self, size: int) -> bool:
        """Make room by the quota: oldest first, never held ones. False where only held ones are left: then the new
        clip is not written, and its record says so."""
        with self._lock:
            holds = held(self.folder)
            if holds is None:
                _log.error("the list of holds cannot be read: no evidence is taken out", folder=str(self.folder))
            kept = [
                Kept(r.id, r.decided_us, self._size(r), holds is None or r.id in holds or r.incident in holds)
                for r in self._records
                if any(f.name not in self._gone for f in r.files)
            ]
            out = set(to_prune(kept, self._quota, size))
            names = [f.name for r in self._records if r.id in out for f in r.files if f.name not in self._gone]
            for first in range(0, len(names), NAMES_A_RECORD):
                self._take_out(names[first : first + NAMES_A_RECORD])
            left = sum(item.size for item in kept if item.id not in out)
            return left + size <= self._quota

    def _take_out(self, names: list[str]) -> None:
        self._append(self._record(f"{PRUNED}-{self._now_us()}", PRUNED, " ".join(names)))
        self._gone.update(names)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _size(self, record: EvidenceRecord) -> int:
        return sum(f.size for f in record.files if f.name not in self._gone)

    def keep(self, record: EvidenceRecord, files: list[Path]) -> EvidenceRecord:
        """Sign a record over files that lie in the folder, and append it. Returns it as stored."""
        with self._lock:
            described = []
            for path in files:
                try:
                    digest, size = hash_of(path)
                except OSError:
                    record = msgspec.structs.replace(
                        record,
                        gaps=(
                            *record.gaps,
                            EvidenceGap(record.from_us, record.to_us, f"{path.name} could not be read back"),
                        ),
                    )
                    continue
                described.append(EvidenceFile(path.name, digest, size))
            return self._append(msgspec.structs.replace(record, files=tuple(described)))

    def write(self, name: str, octets: bytes) -> Path:
        """A small file (a snapshot), synced under its name. Raises LocalFault when the disk refuses."""
        path = self.folder / name
        try:
            write_synced(path, octets)
        except OSError as error:
            raise LocalFault(f"{path}: {error.strerror}") from error
        return path

    @property
    def records(self) -> tuple[EvidenceRecord, ...]:
        """All that stand in the chain."""
        return tuple(self._records)

    def _append(self, record: EvidenceRecord) -> EvidenceRecord:
        signed = sign(msgspec.structs.replace(record, previous=self._previous), self._key)
        line = msgspec.json.encode(signed, order="deterministic")
        if len(line) > RECORD_BYTES_MAX:
            gap = EvidenceGap(record.from_us, record.to_us, "readings, boxes and note were too long to be recorded")
            signed = msgspec.structs.replace(record, previous=self._previous, sensors={}, boxes={}, note="",
                                             gaps=(*record.gaps[:100], gap))
            signed = sign(signed, self._key)
            line = msgspec.json.encode(signed, order="deterministic")
        try:
            with (self.folder / CHAIN).open("ab") as chain:
                if chain.tell() > self._end:
                    chain.truncate(self._end)  # half a line that an earlier refusal left: the next must not join it
                chain.write(line + b"\n")
                chain.flush()
                os.fsync(chain.fileno())
        except OSError as error:
            self.refused += 1
            with contextlib.suppress(OSError):
                os.truncate(self.folder / CHAIN, self._end)
            raise LocalFault(f"{self.folder / CHAIN}: {error.strerror}: evidence is not recorded") from error
        self._end += len(line) + 1
        self._previous = signed.digest()
        self._records.append(signed)
        self._write_head()
        return signed

    def _write_head(self) -> None:
        try:
            write_head(self.folder, len(self._records), self._previous, self._key)
        except OSError as error:
            _log.warning("the chain's head lags", what=str(error.strerror))

    def _read_chain(self) -> list[EvidenceRecord]:
        path = self.folder / CHAIN
        if not path.exists():
            return []
        octets = path.read_bytes()
        whole, _, torn = octets.rpartition(b"\n")
        if torn:  # a kill in the middle of a line: its files are taken in again below, with a gap
            with path.open("r+b") as chain:
                chain.truncate(len(octets) - len(torn))
                os.fsync(chain.fileno())
        return [parse_record(line) for line in whole.split(b"\n") if line]

    def _recover(self) -> None:
        """Files without a record: what a kill left behind. Readable ones stay, with a gap; others go, also said."""
        named = {f.name for r in self._records for f in r.files}
        for path in sorted(self.folder.iterdir()):
            if path.name in self._gone:
                path.unlink(missing_ok=True)  # a kill between the record that it went and its going
            elif path.suffix in PICTURES and path.name not in named:
                self._take_in(path)

    def _take_in(self, path: Path) -> None:
        now = self._now_us()
        name, files = path.name, [path]
        if path.suffix in (".part", ".mp4"):
            packets, seconds = readable_span(path)
            why = f"the process ended while it was written; {seconds:.1f} s can be read"
            if packets == 0:
                path.unlink(missing_ok=True)
                why, files = "the process ended before anything readable was written", []
            elif path.suffix == ".part":
                final = path.with_suffix(".mp4")
                path.replace(final)
                files = [final]
        else:
            why = "the process ended before its record was written"
        gap = EvidenceGap(now, now, f"{name}: {why}")
        self.keep(msgspec.structs.replace(self._record(path.stem, "recovered", ""), gaps=(gap,)), files)

    def _record(self, identity: str, name: str, note: str) -> EvidenceRecord:
        now = self._now_us()
        return EvidenceRecord(
            id=identity,
            camera="",
            zone="",
            name=name,
            decided_us=now,
            from_us=now,
            to_us=now,
            scores={},
            thresholds={},
            model="",
            model_sha256="",
            previous="",
            note=note,
        )
