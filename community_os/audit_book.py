"""The audit's files (I/O): a folder of segments, each a line a record, only ever appended to.

    note ──► lock ──► what others appended meanwhile ──► chained record ──► one write ──► fsync within a second
    audit/000000000001.jsonl  000000031744.jsonl …      a new segment every 32 MiB; `chattr +a` may guard them

Apart from the database on purpose: who can write rows there cannot write here, and the operator may copy or guard
plain files. Several processes write (web server, `tocsin people`). A kill loses nothing that was noted; a power cut
at most a second. A flood of refusals is bounded and its rest declared as a number; what could not be written is
counted and said in the next record.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from community_os.audit import Anchor, Record, Verdict, chained, line, verify
from community_os.settings import CloudSettings

SEGMENT_BYTES = 32 * 1024 * 1024
LIKE_MAX, LIKE_WINDOW_S = 30, 60.0  # so many refusals of one kind a minute stand alone, the rest as one number
KINDS_MAX = 1000
SYNC_S = 1.0
DAY_US = 86_400_000_000
_BLANK = Anchor(0, "")

_log = structlog.get_logger("tocsin.audit")


class AuditBook:
    """Appends and reads. Thread-safe, and safe among processes. Implements `dashboards.people.Trail`."""

    def __init__(self, folder: Path, *, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._folder, self._now_us = folder, now_us
        self._lock = threading.Lock()
        self._head, self._known, self._last_us = _BLANK, ("", 0), 0
        self._unwritten = 0
        self._like: dict[tuple[str, str], list[float]] = {}
        self._more: dict[tuple[str, str], int] = {}
        self._dirty: set[Path] = set()
        self._waking = threading.Event()
        self._syncing: threading.Thread | None = None

    def note(self, who: str, what: str, *, subject: str = "", path: str = "", why: str = "", where: str = "",
             outcome: str = "") -> None:
        """Append one record. Never raises: who cannot write says so on the log and in the next record."""
        try:
            with self._lock:
                if "refused" in what and self._flood((what, where)):
                    return
                blank = Record(0, self._now_us(), who, what, subject, path, why, where, outcome, "")
                self._append([*self._owed(), blank])
        except OSError as error:
            self._unwritten += 1
            _log.error("an audit record could not be written", what=what, who=who, error=str(error))

    def head(self) -> Anchor:
        """Number and hash of the last record."""
        with self._lock:
            self._catch_up()
            return self._head

    def lines(self) -> Iterator[bytes]:
        """All lines, oldest first."""
        for segment in self._segments():
            with segment.open("rb") as file:
                yield from file

    def verify(self, anchors: Sequence[Anchor] = ()) -> Verdict:
        """Hold the whole chain against itself."""
        return verify(self.lines(), anchors)

    def newest(self, fits: Callable[[Record], bool], count: int, below: int = 0) -> list[Record]:
        """The newest records that fit, below a number (0: from the end)."""
        found: list[Record] = []
        decoder = msgspec.json.Decoder(Record)
        for segment in reversed(self._segments()):
            if below and int(segment.stem) >= below:
                continue
            for raw in reversed(segment.read_bytes().splitlines()):
                try:
                    record = decoder.decode(raw)
                except msgspec.DecodeError:
                    continue  # `verify` says it
                if (not below or record.number < below) and fits(record):
                    found.append(record)
                    if len(found) >= count:
                        return found
        return found

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.jsonl"))

    def _owed(self) -> list[Record]:
        """What must be said before the next record: floods that ended, records that could not be written."""
        now_s, at_us, owed = time.monotonic(), self._now_us(), []
        for kind in [kind for kind, times in self._like.items() if now_s - times[-1] > LIKE_WINDOW_S]:
            del self._like[kind]
            if more := self._more.pop(kind, 0):
                owed.append(Record(0, at_us, "", kind[0], f"{more} more like this", "", "flood", kind[1], "", ""))
        if self._unwritten:
            owed.append(Record(0, at_us, "", "records lost", str(self._unwritten), "", "not written", "", "", ""))
            self._unwritten = 0
        return owed

    def _flood(self, kind: tuple[str, str]) -> bool:
        now_s = time.monotonic()
        times = [at for at in self._like.get(kind, []) if now_s - at < LIKE_WINDOW_S]
        if len(times) >= LIKE_MAX or (not times and len(self._like) >= KINDS_MAX):
            self._more[kind if kind in self._like else (kind[0], "many")] = self._more.get(
                kind if kind in self._like else (kind[0], "many"), 0) + 1
            self._like.setdefault((kind[0], "many") if kind not in self._like else kind, [now_s])
            return True
        self._like[kind] = [*times, now_s]
        return False

    def _append(self, records: list[Record]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        guard = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            self._catch_up()
            segments = self._segments()
            segment = segments[-1] if segments else None
            if segment is None or segment.stat().st_size >= SEGMENT_BYTES:
                segment = self._folder / f"{self._head.number + 1:012d}.jsonl"
            head, text = self._head, b""
            for record in records:
                placed = chained(head, record)
                head, text = Anchor(placed.number, placed.hash), text + line(placed)
            file = os.open(segment, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                before = os.fstat(file).st_size
                try:
                    if os.write(file, text) != len(text):
                        raise OSError("the disk is full")
                except OSError:
                    os.ftruncate(file, before)  # half a line would break the chain for whoever comes after
                    raise
                self._known = (segment.name, before + len(text))
            finally:
                os.close(file)
            self._anchor(head, records[-1].at_us)
            self._head = head
            self._sync_soon(segment)
        finally:
            os.close(guard)

    def _catch_up(self) -> None:
        """The head as the files have it: another process may have written."""
        segments = self._segments()
        if not segments:
            self._head, self._known = _BLANK, ("", 0)
            return
        last = segments[-1]
        size = last.stat().st_size
        if self._known == (last.name, size):
            return
        with last.open("rb") as file:
            file.seek(max(0, size - 65536))
            tail = [raw for raw in file.read().split(b"\n") if raw]
        try:
            record = msgspec.json.decode(tail[-1], type=Record) if tail else None
        except msgspec.DecodeError:
            record = None
        # A tail that is no record stays where it is, and the chain goes on from what is known: `verify` says it.
        if record is not None:
            self._head = Anchor(record.number, record.hash)
        if not (tail and size and self._ends_well(last)):
            with last.open("ab") as file:
                file.write(b"\n")
            size += 1
        self._known = (last.name, size)

    @staticmethod
    def _ends_well(file: Path) -> bool:
        with file.open("rb") as opened:
            opened.seek(-1, os.SEEK_END)
            return opened.read(1) == b"\n"

    def _anchor(self, head: Anchor, at_us: int) -> None:
        """Once a day the head goes to the log, which is kept elsewhere."""
        if at_us // DAY_US != self._last_us // DAY_US:
            _log.info("audit anchor: write it down elsewhere", anchor=str(head))
        self._last_us = at_us

    def _sync_soon(self, segment: Path) -> None:
        self._dirty.add(segment)
        if self._syncing is None or not self._syncing.is_alive():
            self._syncing = threading.Thread(target=self._sync, name="audit-sync", daemon=True)
            self._syncing.start()

    def _sync(self) -> None:
        """fsync a second after the first unsynced record; ends when there is nothing to do."""
        self._waking.wait(SYNC_S)
        with self._lock:
            dirty, self._dirty, self._syncing = self._dirty, set(), None
        for segment in dirty:
            try:
                file = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)
            except OSError as error:
                _log.error("the audit could not be synced", file=str(segment), error=str(error))


def open_audit(settings: CloudSettings) -> AuditBook:
    """The audit's folder in the state folder."""
    return AuditBook(Path(settings.state) / "audit")
