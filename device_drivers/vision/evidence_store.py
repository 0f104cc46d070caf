"""~ The evidence folder: clips, snapshots, the signed chain; quota, holds, verification.

```
 evidence/  chain.jsonl   one signed record a line, synced          evidence.pub   the key's public half
            holds.json    open incidents and legal holds            evidence.key   0600, never leaves
            <id>.mp4  <id>.jpg                                      <id>.part      a clip that is being written
```
Order of work: the files are synced under their names first, then the record that names them. A kill in between leaves
a file without a record, which the next start takes in with a gap that says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device_drivers.vision.clips import readable_span
from device_drivers.vision.evidence import (
    FIRST,
    EvidenceFile,
    EvidenceGap,
    EvidenceRecord,
    Kept,
    check_chain,
    parse_record,
    sign,
    to_prune,
)
from device_model.errors import ConfigError, Finding, LocalFault, PeerGarbled

CHAIN, PUBLIC, PRIVATE, HOLDS = "chain.jsonl", "evidence.pub", "evidence.key", "holds.json"
OPEN_INCIDENTS = "open-incidents.json"  # the gateway's own: evidence id to alarm (edge_agent/evidence_part.py)
CHAIN_BYTES_MAX = 512 * 1024 * 1024
PRUNED = "quota"  # name of the record that says which files went


class EvidenceStore:
    """Writes one folder; one process at a time. Raises LocalFault where the folder cannot be used."""

    def __init__(self, folder: Path, quota: int, now_us: Callable[[], int]) -> None:
        self.folder, self._quota, self._now_us = folder, quota, now_us
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._key = self._own_key()
            self._records = self._read_chain()
        except OSError as error:
            raise LocalFault(f"{folder}: {error.strerror}; give evidence a folder that can be written") from error
        self._previous = self._records[-1].digest() if self._records else FIRST
        self._gone = {name for r in self._records if r.name == PRUNED for name in r.note.split()}
        self.refused = 0
        self._recover()

    def part(self, identity: str) -> Path:
        """Where the clip of a new piece of evidence is written while it lasts."""
        return self.folder / f"{identity}.part"

    def held(self) -> frozenset[str]:
        """Ids under a legal hold, or whose incident is open."""
        held: set[str] = set()
        for name in (HOLDS, OPEN_INCIDENTS):
            try:
                held.update(msgspec.json.decode((self.folder / name).read_bytes(), type=dict[str, str]))
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                continue
        return frozenset(held)

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
            holds = self.held()
            kept = [
                Kept(r.id, r.decided_us, self._size(r), r.id in holds or r.incident in holds)
                for r in self._records
                if any(f.name not in self._gone for f in r.files)
            ]
            out = to_prune(kept, self._quota, size)
            names = [f.name for r in self._records if r.id in out for f in r.files if f.name not in self._gone]
            if names:
                self._append(self._record(f"{PRUNED}-{self._now_us()}", PRUNED, " ".join(names)))
                self._gone.update(names)
                for name in names:
                    (self.folder / name).unlink(missing_ok=True)
            left = sum(item.size for item in kept if item.id not in out)
            return left + size <= self._quota

    def _size(self, record: EvidenceRecord) -> int:
        return sum(f.size for f in record.files if f.name not in self._gone)

    def keep(self, record: EvidenceRecord, files: list[Path]) -> EvidenceRecord:
        """Sign a record over files that lie in the folder, and append it. Returns it as stored."""
        with self._lock:
            described = []
            for path in files:
                try:
                    octets = path.read_bytes()
                except OSError:
                    record = msgspec.structs.replace(
                        record,
                        gaps=(
                            *record.gaps,
                            EvidenceGap(record.from_us, record.to_us, f"{path.name} could not be read back"),
                        ),
                    )
                    continue
                described.append(EvidenceFile(path.name, hashlib.sha256(octets).hexdigest(), len(octets)))
            return self._append(msgspec.structs.replace(record, files=tuple(described)))

    def write(self, name: str, octets: bytes) -> Path:
        """A small file (a snapshot), synced under its name. Raises LocalFault when the disk refuses."""
        path = self.folder / name
        try:
            _write_synced(path, octets)
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
        try:
            with (self.folder / CHAIN).open("ab") as chain:
                chain.write(line + b"\n")
                chain.flush()
                os.fsync(chain.fileno())
        except OSError as error:
            self.refused += 1
            raise LocalFault(f"{self.folder / CHAIN}: {error.strerror}: evidence is not recorded") from error
        self._previous = signed.digest()
        self._records.append(signed)
        return signed

    def _own_key(self) -> Ed25519PrivateKey:
        path = self.folder / PRIVATE
        if path.exists():
            key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text(encoding="ascii").strip()))
        else:
            key = Ed25519PrivateKey.generate()
            fresh = path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key.private_bytes_raw().hex().encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        (self.folder / PUBLIC).write_text(key.public_key().public_bytes_raw().hex() + "\n", encoding="ascii")
        return key

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
        try:
            return [parse_record(line) for line in whole.split(b"\n") if line]
        except PeerGarbled as error:
            raise LocalFault(
                f"{path}: {error}: run `tocsin evidence verify {self.folder}`, then move the folder away and "
                "begin a new one"
            ) from error

    def _recover(self) -> None:
        """Files without a record: what a kill left behind. Readable ones stay, with a gap; others go, also said."""
        named = {f.name for r in self._records for f in r.files}
        for path in sorted(self.folder.iterdir()):
            if path.suffix in (".part", ".mp4", ".jpg") and path.name not in named:
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


def change_hold(folder: Path, identity: str, why: str) -> None:
    """Hold a record's or an incident's files, or with an empty reason let them go. The running process reads the file
    anew before it prunes. Raises ConfigError where there is no evidence folder."""
    path = folder / HOLDS
    if not (folder / PUBLIC).exists():
        raise ConfigError([Finding(str(folder), 0, 0, "no evidence folder", f"give the folder with {CHAIN} in it")])
    try:
        holds = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        holds = {}
    holds.pop(identity, None)
    if why:
        holds[identity] = why
    fresh = path.with_suffix(".new")
    _write_synced(fresh, msgspec.json.encode(holds))
    fresh.replace(path)


def _write_synced(path: Path, octets: bytes) -> None:
    with path.open("wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


class Verification(msgspec.Struct, frozen=True):
    """What `tocsin evidence verify` says. trusted: whether the key was given by the person who asks, and not merely
    found beside the files."""

    ok: bool
    records: int
    files: int
    key: str
    trusted: bool
    problems: tuple[str, ...]
    gaps: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        lines = [
            f"{'ok' if self.ok else 'NOT OK'}: {self.records} records, {self.files} files, key {self.key[:16]}…"
            + ("" if self.trusted else " (found beside the files: compare it with the one that the gateway shows)")
        ]
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"declared gap: {gap}" for gap in self.gaps]
        return "\n".join(lines)


def verify(path: Path, key: str = "") -> Verification:
    """Check a folder, or the folder that a chain or clip lies in. Needs no network and no secret.

    Raises ConfigError where there is nothing to check.
    """
    folder = path if path.is_dir() else path.parent
    chain = folder / CHAIN
    try:
        if chain.stat().st_size > CHAIN_BYTES_MAX:
            raise ConfigError([Finding(str(chain), 0, 0, "larger than 512 MiB", "split the folder by year")])
        octets = chain.read_bytes()
        public = key or (folder / PUBLIC).read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise ConfigError(
            [
                Finding(
                    str(error.filename),
                    0,
                    0,
                    str(error.strerror),
                    f"give the evidence folder, with {CHAIN} and {PUBLIC} in it",
                )
            ]
        ) from error
    lines = octets.split(b"\n")
    problems = [] if lines[-1] == b"" else ["the last record is cut off"]
    lines = [line for line in lines if line]
    hashes = {file.name: _hash(file) for file in sorted(folder.iterdir()) if file.suffix in (".mp4", ".jpg", ".part")}
    records = []
    for line in lines:
        with contextlib.suppress(PeerGarbled):
            records.append(parse_record(line))
    pruned = frozenset(name for r in records if r.name == PRUNED for name in r.note.split())
    problems += check_chain(lines, public, hashes, pruned)
    named = {f.name for r in records for f in r.files}
    if not path.is_dir() and path.name != CHAIN and path.name not in named:
        problems.append(f"{path.name} stands in no record")
    gaps = tuple(f"{r.id}: {gap.why}" for r in records for gap in r.gaps)
    return Verification(
        not problems, len(lines), len(hashes), public, bool(key), tuple(dict.fromkeys(problems)), gaps
    )


def _hash(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
