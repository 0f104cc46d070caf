"""SqliteJournal (I/O): the gateway's journal on an SD card or SSD; implements `device_model.ports.Store`.

    commit ──► queue ──► writer thread: all that waits in one transaction, WAL, synchronous=FULL ──► done
    read   ─────────────► reader thread: a connection of its own, never waits for a hung commit

A disk that refuses (full, read-only, I/O error) is a LocalFault for those commits; the connection is opened
anew for the next one, so that the journal works again as soon as the disk does. Damage never stops the start:

    one row does not parse           reported in JournalState.damage; the outbox declares it lost
    a page of old rows               the rows around it are read and sent, those on it declared lost when asked for
    the file is no database any more renamed aside (…damaged-<time>), a new file and a new epoch begin

A gateway resumes within a second whatever waits: of a backlog of millions only the newest rows are checked at the
start, each other one when it is read to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import structlog

from device_model.errors import LocalFault
from device_model.messages import Lane, Record, decode_record, encode
from device_model.ports import JournalState, LaneState
from device_model.ranges import Range, RangeSet
from device_model.sqlite_file import to_wal
from edge_agent.journal_bytes import commits_of_log, is_record, parse_ranges
from edge_agent.journal_salvage import Row, as_text, read_around, salvage

log = structlog.get_logger(__name__)

SCHEMA_VERSION = 1
# Rows forgotten per transaction: more would hold up an alarm behind a long delete on an SD card.
DELETE_ROWS_MAX = 2_000
# With commits always waiting, some rows are forgotten after so many of them: else the file of a busy gateway on a
# slow card only grows.
COMMITS_PER_FORGET = 16
# Commits that may wait for the writer. The runtime has one at a time; more means that somebody is in error.
QUEUE_MAX = 64
# Rows of a lane checked at the start, the newest: what a crash can have torn. More would keep a site unguarded.
VERIFY_ROWS = 2_000
# Damaged files kept aside for an engineer: older ones would fill the card.
ASIDE_MAX = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record(lane TEXT, sequence INTEGER, crc INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(lane, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lane(lane TEXT PRIMARY KEY, last INTEGER NOT NULL, acknowledged TEXT NOT NULL)
    WITHOUT ROWID;
"""
# The journal has one process; a second one that looks at it (a report, a back-up) is waited for no longer.
_BUSY_S = 1.0
_FULL_CODES = {sqlite3.SQLITE_FULL}
_DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class _Job:
    """One call that waits for the writer."""

    __slots__ = ("done", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], None]) -> None:
        self.work = work
        self.done: Future[None] = Future()


class SqliteJournal:
    """One journal file. All methods are called from one event loop; the disk is touched in two threads only."""

    def __init__(self, path: str | Path, *, max_bytes: int | None = None) -> None:
        """max_bytes: the file may not grow beyond it (SQLite's max_page_count); commits then raise LocalFault."""
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stop = False
        self._writer: threading.Thread | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="journal-read")
        self._read_connection: sqlite3.Connection | None = None
        self._write_connection: sqlite3.Connection | None = None
        # Touched by the writer thread only, once open() has filled it.
        self._acknowledged: dict[Lane, RangeSet] = {lane: RangeSet() for lane in Lane}
        self._to_delete: deque[tuple[Lane, Range]] = deque()
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something, as of the last commit: what the quota is held against."""
        return self._used_bytes

    # -- port ------------------------------------------------------------------------------------------------

    async def open(self) -> JournalState:
        """Open or create; isolates damage. Raises LocalFault when the disk takes nothing at all."""
        if self._writer is not None:
            raise LocalFault(f"journal {self._path} is open already")
        # A thread of its own: the disk may hang here too, and close() must not wait for it.
        state: Future[JournalState] = Future()
        self._stop = False
        self._writer = threading.Thread(target=self._write_loop, args=(state,), name="journal-write", daemon=True)
        self._writer.start()
        try:
            return await asyncio.wrap_future(state)
        except LocalFault:
            self._writer = None
            raise

    async def commit(self, records: Sequence[tuple[Lane, Record]], checkpoint: bytes | None) -> None:
        """One durable group commit; LocalFault when the disk did not take it. Hangs as long as the disk does."""
        # Encoded here: the event loop owns the structs, the thread gets bytes.
        rows = [_row(lane, record) for lane, record in records]

        def work(connection: sqlite3.Connection) -> None:
            _insert(connection, rows)
            if checkpoint is not None:
                _keep(connection, checkpoint, checkpoint)

        await self._write(work)

    async def acknowledge(self, lane: Lane, ranges: Sequence[Range]) -> None:
        """Remember durably that the far end has these, and forget the rows, a few thousand at a time."""
        ranges = tuple(ranges)

        def work(connection: sqlite3.Connection) -> None:
            known = self._acknowledged[lane].copy()
            for first, last in ranges:
                known.add(first, last)
            text = ",".join(f"{first}-{last}" for first, last in known)
            connection.execute(
                "INSERT INTO lane VALUES(?,0,?) ON CONFLICT(lane) DO UPDATE SET acknowledged=excluded.acknowledged",
                (str(lane), text))
            # A set: when the transaction is rolled back and repeated, nothing is counted twice.
            self._acknowledged[lane] = known
            self._to_delete.extend((lane, part) for part in ranges)

        await self._write(work)

    async def read(self, lane: Lane, first: int, last: int, limit: int) -> list[Record]:
        """Stored records within first..last, ascending, at most `limit`; rows that do not parse are left out."""
        return await asyncio.get_running_loop().run_in_executor(
            self._reader, self._read, str(lane), first, last, limit)

    async def close(self) -> None:
        """Let what waits be written, and close; a hung disk is left to its thread after 2 s. Idempotent."""
        writer, self._writer = self._writer, None
        with self._wake:
            self._stop = True
            self._wake.notify()
        if writer is not None:
            await asyncio.get_running_loop().run_in_executor(None, writer.join, 2.0)
            with contextlib.suppress(RuntimeError):
                self._reader.submit(self._close_reader)
        self._reader.shutdown(wait=False)

    # -- writer thread -----------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        job = _Job(work)
        with self._wake:
            if self._writer is None or self._stop:
                raise LocalFault(f"journal {self._path} is not open")
            if len(self._jobs) >= QUEUE_MAX:
                raise LocalFault(f"journal {self._path}: {QUEUE_MAX} commits wait for the disk already; is it hung?")
            self._jobs.append(job)
            self._wake.notify()
        # shield: a caller that goes away does not undo what the thread is about to write.
        await asyncio.shield(asyncio.wrap_future(job.done))

    def _write_loop(self, opened: Future[JournalState]) -> None:
        try:
            opened.set_running_or_notify_cancel()
            opened.set_result(self._open_file())
        except LocalFault as fault:
            self._drop_writer()
            opened.set_exception(fault)
            return
        except Exception as error:  # noqa: BLE001 — the thread's boundary: whoever waits for open() must hear of it
            self._drop_writer()
            opened.set_exception(_fault(self._path, error))
            return
        commits = 0  # since rows were forgotten
        while True:
            with self._wake:
                while not self._jobs and not self._stop and not self._to_delete:
                    self._wake.wait()
                if self._stop and not self._jobs:
                    break
                # A caller that was cancelled before its turn wants nothing written any more.
                jobs = [job for job in self._jobs if job.done.set_running_or_notify_cancel()]
                self._jobs.clear()
            if jobs:
                self._write_jobs(jobs)
                commits += 1
            if self._to_delete and (not jobs or commits >= COMMITS_PER_FORGET):
                self._forget_some()
                commits = 0
        self._drop_writer()

    def _write_jobs(self, jobs: list[_Job]) -> None:
        """All that waits in one transaction: one fsync for many."""
        before = dict(self._acknowledged), len(self._to_delete)
        try:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.work(connection)
            connection.execute("COMMIT")
            self._measure(connection)
        except Exception as error:  # noqa: BLE001 — the thread's boundary: whoever waits for a commit must hear of it
            self._acknowledged = before[0]
            while len(self._to_delete) > before[1]:
                self._to_delete.pop()
            # A connection that failed may hold half a transaction; the next commit begins with a new one.
            self._drop_writer()
            fault = _fault(self._path, error)
            for job in jobs:
                job.done.set_exception(fault)
            return
        for job in jobs:
            job.done.set_result(None)

    def _measure(self, connection: sqlite3.Connection) -> None:
        pages, free, page = (connection.execute(f"PRAGMA {name}").fetchone()[0]
                             for name in ("page_count", "freelist_count", "page_size"))
        self._used_bytes = (pages - free) * page

    def _forget_some(self) -> None:
        """Delete acknowledged rows between commits; that they are acknowledged is on the disk already."""
        lane, (first, last) = self._to_delete[0]
        end = min(last, first + DELETE_ROWS_MAX - 1)
        try:
            self._connection().execute(
                "DELETE FROM record WHERE lane=? AND sequence BETWEEN ? AND ?", (str(lane), first, end))
            self._measure(self._connection())
        except (sqlite3.Error, OSError) as error:
            # Nothing is lost: rows stay until the next start finds them acknowledged and forgets them again.
            log.warning("journal rows not forgotten", lane=str(lane), error=str(error))
            self._drop_writer()
            self._to_delete.clear()
            return
        self._to_delete.popleft()
        if end < last:
            self._to_delete.appendleft((lane, (end + 1, last)))

    def _connection(self) -> sqlite3.Connection:
        if self._write_connection is None:
            self._write_connection = self._connect()
        return self._write_connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
        to_wal(connection, _BUSY_S)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=4194304")
        # One read-cache for both connections of a small gateway: 512 KiB each is enough for appends.
        connection.execute("PRAGMA cache_size=-512")
        if self._max_bytes is not None:
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count={max(1, self._max_bytes // page)}")
        return connection

    def _drop_writer(self) -> None:
        connection, self._write_connection = self._write_connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # -- opening -------------------------------------------------------------------------------------------------

    def _open_file(self) -> JournalState:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        log_path = self._path.with_name(self._path.name + "-wal")
        commits = commits_of_log(log_path)
        try:
            if len(commits) > 1 and (lost := self._lost_commits(commits)) > 1:
                return self._log_damaged(log_path, lost)
            return self._load()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGE_CODES:
                raise
            self._drop_writer()
            log.error("journal damaged; a new one begins", path=str(self._path), error=str(error))
            reason = f"the journal was damaged ({error}); a new one began"
            return self._begin_anew(self._set_aside(), reason)

    def _lost_commits(self, commits: list[int]) -> int:
        """How many commits of the log SQLite does not see. One may be what a power cut tore, never synced nor shown.
        More were synced one after the other: a flipped bit hides them, and their numbers would be given out again."""
        seen = self._connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        return sum(commit > seen for commit in commits) if seen >= 0 else len(commits)

    def _log_damaged(self, log_path: Path, lost: int) -> JournalState:
        """Begin anew with what stands in the bytes of file and log."""
        octets = log_path.read_bytes()
        self._drop_writer()  # SQLite throws the log away with its last connection
        log_path.write_bytes(octets)
        reason = f"the journal's log was damaged, {lost} commits were hidden; a new one began"
        log.error("journal damaged; a new one begins", path=str(self._path), error=reason)
        return self._begin_anew(self._set_aside(), reason, by_bytes=True)

    def _begin_anew(self, aside: Path, reason: str, *, by_bytes: bool = False) -> JournalState:
        """A new file; what can be read of the old one travels again under the new epoch, with new numbers."""
        self._load()
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        saved = salvage(aside, lambda rows: _insert(connection, rows), by_bytes=by_bytes)
        _keep(connection, saved.checkpoint, saved.checkpoint_copy)
        connection.execute("COMMIT")
        return msgspec.structs.replace(self._load(), replaced=tuple(
            (saved.epoch, lane, lost, f"{reason}; {saved.count} records saved travel again under its epoch")
            for lane, lost in saved.lost))

    def _set_aside(self) -> Path:
        """Rename the damaged file with its WAL, and keep only the newest few of such; returns its new name."""
        stamp = time.time_ns() // 1000
        aside_path = self._path.with_name(f"{self._path.name}.damaged-{stamp}")
        for suffix in ("", "-wal", "-shm"):
            file = self._path.with_name(self._path.name + suffix)
            if file.exists():
                file.rename(file.with_name(aside_path.name + suffix))
        aside = sorted(self._path.parent.glob(f"{self._path.name}.damaged-*"))
        stamps = sorted({file.name.removesuffix("-wal").removesuffix("-shm") for file in aside})
        for file in aside:
            if file.name.removesuffix("-wal").removesuffix("-shm") in stamps[:-ASIDE_MAX]:
                file.unlink()
        return aside_path

    def _load(self) -> JournalState:
        connection = self._connection()
        connection.executescript(_SCHEMA)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise LocalFault(f"journal {self._path} has version {version}; this program writes {SCHEMA_VERSION}: "
                             "start the newer program, or move the file away")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("INSERT OR IGNORE INTO meta VALUES('epoch',?)", (os.urandom(6).hex(),))
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        lanes = []
        damage: list[tuple[Lane, Range, str]] = []
        for lane in Lane:
            last, acknowledged = connection.execute(
                "SELECT last, acknowledged FROM lane WHERE lane=?", (str(lane),)).fetchone() or (0, "")
            (top,) = connection.execute("SELECT max(sequence) FROM record WHERE lane=?", (str(lane),)).fetchone()
            last = max(last, top or 0)
            known = parse_ranges(acknowledged)
            self._acknowledged[lane] = known
            self._forget_acknowledged(connection, lane, known)
            lanes.append(LaneState(lane, last, tuple(known)))
            damage += self._damage(connection, lane, last, known)
        return JournalState(as_text(meta["epoch"]), tuple(lanes), meta.get("checkpoint"), tuple(damage),
                            checkpoint_copy=meta.get("checkpoint_copy"))

    def _forget_acknowledged(self, connection: sqlite3.Connection, lane: Lane, known: RangeSet) -> None:
        """What a kill kept from being forgotten, found by two look-ups; if it is much, between later commits."""
        for first, last in known:
            low, high = (connection.execute(
                f"SELECT {end}(sequence) FROM record WHERE lane=? AND sequence BETWEEN ? AND ?",  # noqa: S608
                (str(lane), first, last)).fetchone()[0] for end in ("min", "max"))
            if low is not None and high - low < DELETE_ROWS_MAX:
                connection.execute("DELETE FROM record WHERE lane=? AND sequence BETWEEN ? AND ?",
                                   (str(lane), low, high))
            elif low is not None:
                self._to_delete.append((lane, (low, high)))

    def _damage(
        self, connection: sqlite3.Connection, lane: Lane, last: int, known: RangeSet
    ) -> list[tuple[Lane, Range, str]]:
        """Of the newest numbers: those unacknowledged without a row, and rows that are not records."""
        since = max(1, last - VERIFY_ROWS + 1)
        present, torn = RangeSet(), RangeSet()
        for sequence, crc, body in connection.execute(
                "SELECT sequence, crc, body FROM record WHERE lane=? AND sequence>=? ORDER BY sequence",
                (str(lane), since)):
            (present if is_record(sequence, crc, body) else torn).add(sequence, sequence)
        found = [(lane, part, "the row in the journal is damaged") for part in torn]
        accounted = present.copy()
        for first, end in (*torn, *known):
            accounted.add(first, end)
        found += [(lane, part, "the journal has no row") for part in accounted.missing(since, last)]
        return found

    # -- reader thread -----------------------------------------------------------------------------------------

    def _read(self, lane: str, first: int, last: int, limit: int) -> list[Record]:
        try:
            if self._read_connection is None:
                self._read_connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=1.0)
            try:
                rows: list[tuple[int, int, bytes]] = self._read_connection.execute(
                    "SELECT sequence, crc, body FROM record WHERE lane=? AND sequence BETWEEN ? AND ? "
                    "ORDER BY sequence LIMIT ?", (lane, first, last, limit)).fetchall()
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF not in _DAMAGE_CODES:
                    raise
                # A damaged page must not hold up the records around it for ever: the caller declares it lost.
                rows = read_around(self._read_connection, lane, first, last)[:limit]
                log.error("journal page damaged", lane=lane, first=first, last=last, readable=len(rows))
        except (sqlite3.Error, OSError) as error:
            self._close_reader()
            raise _fault(self._path, error) from error
        return [decode_record(body) for sequence, crc, body in rows if is_record(sequence, crc, body)]

    def _close_reader(self) -> None:
        connection, self._read_connection = self._read_connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _row(lane: Lane, record: Record) -> Row:
    body = encode(record)
    return str(lane), record.sequence, zlib.crc32(body), body


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    connection.executemany("INSERT OR REPLACE INTO record VALUES(?,?,?,?)", rows)
    tops: dict[str, int] = {}
    for lane, sequence, _, _ in rows:
        tops[lane] = max(tops.get(lane, 0), sequence)
    connection.executemany(
        "INSERT INTO lane VALUES(?,?,'') ON CONFLICT(lane) DO UPDATE SET last=max(last, excluded.last)",
        list(tops.items()))


def _fault(path: Path, error: Exception) -> LocalFault:
    """In words, with what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL_CODES:
        what = "the disk (or the journal's quota) is full: free space; records are sent from memory meanwhile"
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        what = f"the disk takes no writes ({error}): check mount and permissions"
    else:
        what = f"{error}: check the disk"
    return LocalFault(f"journal {path}: {what}")


def _keep(connection: sqlite3.Connection, checkpoint: bytes | None, copy: bytes | None) -> None:
    """Both places of the checkpoint: what a card damages in one is read from the other."""
    for name, octets in (("checkpoint", checkpoint), ("checkpoint_copy", copy)):
        if octets is not None:
            connection.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (name, octets))
