"""SqliteSeries (I/O): time series in one file: raw samples and their sums over 1 min, 15 min and 1 h.

A gateway keeps its own site in it, the community OS all of its sites.

    samples ─► one transaction each group_s ─► raw ─► rollups of the stretches that were touched, made anew from below
                                                │
                              cursor of a remote└─► what it has not had yet, in order of arrival

A sample that comes twice (the same point and time) is stored once. What is older than its level's days goes; beyond
the quota the oldest raw samples go first, and what a remote had not had by then is counted as lost to it. A sample
that comes when the raw ones of its time are gone is added to the sums that stand. One thread does all the work, so
that a slow card holds up nothing else. This file is not the journal: alarms never depend on it.

For a plot of 24 h: `await store.rollups(SeriesQuery(from_us, to_us, ("climate-3.temperature",)), Level.MINUTE)`; a
second connection may read while the gateway writes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from device_model.errors import LocalFault
from device_model.reading import Value
from device_model.series import LEVEL_S, Level, Place, Refused, Rollup, Sample, SeriesQuery
from device_model.site import SeriesSettings
from device_model.sqlite_file import to_wal

T = TypeVar("T")
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS point(id INTEGER PRIMARY KEY, site TEXT NOT NULL, gateway TEXT NOT NULL,
    zone TEXT NOT NULL, point TEXT NOT NULL, quantity TEXT NOT NULL, unit TEXT NOT NULL,
    UNIQUE(site, gateway, point, zone, quantity, unit));
CREATE TABLE IF NOT EXISTS raw(arrival INTEGER PRIMARY KEY AUTOINCREMENT, point INTEGER NOT NULL,
    time_us INTEGER NOT NULL, value, quality TEXT NOT NULL, reason TEXT NOT NULL, received_us INTEGER NOT NULL,
    lane TEXT NOT NULL, epoch TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS raw_place ON raw(point, time_us);
CREATE INDEX IF NOT EXISTS raw_time ON raw(time_us);
CREATE TABLE IF NOT EXISTS rollup(level INTEGER NOT NULL, point INTEGER NOT NULL, start_s INTEGER NOT NULL,
    good INTEGER NOT NULL, bad INTEGER NOT NULL, least REAL, most REAL, total REAL, last REAL, last_us INTEGER,
    PRIMARY KEY(level, point, start_s)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rollup_start ON rollup(level, start_s);
CREATE TABLE IF NOT EXISTS refused(id INTEGER PRIMARY KEY AUTOINCREMENT, remote TEXT NOT NULL, at_us INTEGER NOT NULL,
    sample BLOB NOT NULL, why TEXT NOT NULL);
"""
# ?1 point, ?2 start. A text has no least and no mean; it counts as a value.
_MINUTES = """
INSERT OR REPLACE INTO rollup
SELECT 60, ?1, ?2, count(value), count(*) - count(value), min(n), max(n), sum(n),
    (SELECT value FROM raw WHERE point=?1 AND time_us>=?2*1000000 AND time_us<(?2+60)*1000000
        AND value IS NOT NULL AND kind<>'text' ORDER BY time_us DESC LIMIT 1),
    max(CASE WHEN value IS NOT NULL THEN time_us END)
FROM (SELECT value, time_us, CASE WHEN kind='text' THEN NULL ELSE value END AS n FROM raw
    WHERE point=?1 AND time_us>=?2*1000000 AND time_us<(?2+60)*1000000)
"""
# ?1 length, ?2 point, ?3 start, ?4 the level below.
_LONGER = """
INSERT OR REPLACE INTO rollup
SELECT ?1, ?2, ?3, sum(good), sum(bad), min(least), max(most), sum(total),
    (SELECT last FROM rollup WHERE level=?4 AND point=?2 AND start_s>=?3 AND start_s<?3+?1 AND last_us IS NOT NULL
        ORDER BY last_us DESC LIMIT 1),
    max(last_us)
FROM rollup WHERE level=?4 AND point=?2 AND start_s>=?3 AND start_s<?3+?1
"""
# ?1 length, ?2 point, ?3 start, ?4 good, ?5 bad, ?6 number, ?7 its time.
_ADD = """
INSERT INTO rollup VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6, ?6, ?7) ON CONFLICT(level, point, start_s) DO UPDATE SET
    good=good+?4, bad=bad+?5, least=min(coalesce(least, ?6), coalesce(?6, least)),
    most=max(coalesce(most, ?6), coalesce(?6, most)),
    total=CASE WHEN total IS NULL AND ?6 IS NULL THEN NULL ELSE coalesce(total, 0)+coalesce(?6, 0) END,
    last=CASE WHEN ?6 IS NOT NULL AND (last_us IS NULL OR ?7>=last_us) THEN ?6 ELSE last END,
    last_us=CASE WHEN last_us IS NULL OR ?7>last_us THEN coalesce(?7, last_us) ELSE last_us END
"""
# Refused samples kept per remote, the newest: enough to see what is wrong.
REFUSED_MAX = 10_000
# Rows deleted in one transaction, so that trimming never holds up a group for long on a card.
TRIM_ROWS = 20_000
_HOUR_US = 3_600_000_000  # the longest stretch of a sum
_PAGE_CACHE_KIB = 1024  # of the gateway's 48 MiB


class SqliteSeries:
    """One file. All methods may be called from the event loop; the work is done in a thread of its own."""

    def __init__(self, settings: SeriesSettings) -> None:
        """Opens nothing yet."""
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "series")
        self._db: sqlite3.Connection | None = None
        self._points: dict[tuple[str, ...], int] = {}
        self._closed = False

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def inside() -> T:
            try:
                return work(self._open())
            except sqlite3.Error as error:
                self._let_go()
                raise LocalFault(f"{self._settings.path}: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, inside)

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            path = Path(self._settings.path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LocalFault(f"{path.parent}: {error.strerror}") from error
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                to_wal(db)
                # FULL: a group is on the card once it is committed, so that a power cut costs group_s and no more.
                db.executescript(f"PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; "
                                 f"PRAGMA cache_size=-{_PAGE_CACHE_KIB};")
                db.executescript(_SCHEMA)
                db.execute("INSERT OR IGNORE INTO meta VALUES('version', ?)", (str(_SCHEMA_VERSION),))
            except sqlite3.Error:
                db.close()
                raise
            self._db = db
        return self._db

    def _let_go(self) -> None:
        db, self._db = self._db, None
        self._points.clear()
        if db is not None:
            db.close()

    # --- writing ---

    async def write(self, samples: Sequence[Sample], marks: Mapping[str, int] | None = None) -> tuple[Refused, ...]:
        """Store all in one transaction. marks: how far what they came from was read, stored with them. LocalFault
        when the disk does not take them: then none is stored."""
        await self._do(lambda db: self._write(db, samples, marks))
        return ()

    async def mark(self, name: str) -> int:
        """How far that was read when the last write with such a mark was stored; 0 before the first."""
        return await self._do(lambda db: _number(db, f"mark:{name}"))

    def _write(self, db: sqlite3.Connection, samples: Sequence[Sample], marks: Mapping[str, int] | None) -> None:
        rows = [(self._point(db, one), one.time_us, _stored(one.value), one.quality.value, one.reason.value,
                 one.received_us, one.lane, one.epoch, one.sequence, _kind(one.value)) for one in samples]
        db.execute("BEGIN IMMEDIATE")
        try:
            insert = ("INSERT INTO raw(point, time_us, value, quality, reason, received_us, lane, epoch, sequence, "
                      "kind) VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT(point, time_us) DO NOTHING")
            trimmed_us = _number(db, "trimmed")
            whole_us = (trimmed_us // _HOUR_US + 1) * _HOUR_US if trimmed_us else 0
            for row in rows:
                if row[1] < whole_us and db.execute(insert, row).rowcount:
                    self._add(db, row)
            rows = [row for row in rows if row[1] >= whole_us]
            db.executemany(insert, rows)
            self._roll_up(db, {(row[0], row[1]) for row in rows})
            for name, number in (marks or {}).items():
                _set_number(db, f"mark:{name}", number)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            self._points.clear()
            raise

    def _point(self, db: sqlite3.Connection, one: Sample) -> int:
        key = (one.site, one.gateway, one.point, one.zone, one.quantity, one.unit)
        known = self._points.get(key)
        if known is None:
            db.execute("INSERT OR IGNORE INTO point(site, gateway, point, zone, quantity, unit) "
                       "VALUES(?,?,?,?,?,?)", key)
            (known,) = db.execute("SELECT id FROM point WHERE site=? AND gateway=? AND point=? AND zone=? AND "
                                  "quantity=? AND unit=?", key).fetchone()
            self._points[key] = known
        return known

    @staticmethod
    def _add(db: sqlite3.Connection, row: Sequence[Any]) -> None:
        """One sample into the sums of a time whose raw samples are gone, which cannot be made anew."""
        point, time_us, value, kind = row[0], row[1], row[2], row[9]
        number = None if kind in ("text", "none") else value
        good = int(value is not None)
        for length in sorted(LEVEL_S.values()):
            db.execute(_ADD, (length, point, time_us // 1_000_000 // length * length, good, 1 - good, number,
                              time_us if good else None))

    @staticmethod
    def _roll_up(db: sqlite3.Connection, touched: Iterable[tuple[int, int]]) -> None:
        """Make anew the stretches that samples fell into: minutes from raw, quarters from minutes, hours from
        quarters. Anew, not added to, so that a sample that comes twice counts once."""
        stretches = {(point, at // 60_000_000 * 60) for point, at in touched}
        db.executemany(_MINUTES, sorted(stretches))
        below = 60
        for length in (LEVEL_S[Level.QUARTER], LEVEL_S[Level.HOUR]):
            stretches = {(point, start // length * length) for point, start in stretches}
            db.executemany(_LONGER, [(length, point, start, below) for point, start in sorted(stretches)])
            below = length

    # --- reading ---

    async def read(self, query: SeriesQuery) -> tuple[Sample, ...]:
        """Raw samples of a question, oldest first. LocalFault when the file cannot be read."""
        where, values = _where(query, "raw.time_us", 1)
        text = (f"SELECT {_COLUMNS} FROM raw JOIN point ON point.id=raw.point WHERE {where} "  # noqa: S608 - our names
                "ORDER BY raw.time_us, point.point LIMIT ?")
        rows = await self._do(lambda db: db.execute(text, (*values, query.limit)).fetchall())
        return tuple(_sample(row) for row in rows)

    async def rollups(self, query: SeriesQuery, level: Level) -> tuple[Rollup, ...]:
        """Sums of a question, oldest first; stretches that begin within it. LocalFault as `read`."""
        where, values = _where(query, "rollup.start_s", 1_000_000, "rollup.point")
        text = ("SELECT point.point, quantity, unit, start_s, good, bad, least, most, total, last "  # noqa: S608 - ours
                f"FROM rollup JOIN point ON point.id=rollup.point WHERE level=? AND {where} "
                "ORDER BY start_s, point.point LIMIT ?")
        rows = await self._do(lambda db: db.execute(text, (LEVEL_S[level], *values, query.limit)).fetchall())
        return tuple(Rollup(name, quantity, unit, start * 1_000_000, good, bad, least, most,
                            total / good if good and total is not None else None, last)
                     for name, quantity, unit, start, good, bad, least, most, total, last in rows)

    # --- what a remote has had ---

    async def after(self, remote: str, limit: int, beyond: int = 0) -> tuple[tuple[int, Sample], ...]:
        """(arrival, sample) that the remote has not had and that came after `beyond`, in order of arrival."""
        rows = await self._do(lambda db: db.execute(
            f"SELECT raw.arrival, {_COLUMNS} FROM raw JOIN point "  # noqa: S608 - names of our own
            "ON point.id=raw.point WHERE raw.arrival>? "
            "ORDER BY raw.arrival LIMIT ?", (max(beyond, _number(db, f"cursor:{remote}")), limit)).fetchall())
        return tuple((row[0], _sample(row[1:])) for row in rows)

    async def had(self, remote: str, arrival: int, refused: Sequence[Refused], at_us: int) -> None:
        """The remote has had all up to `arrival`; what it refused is kept with its reason."""
        def keep(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            _set_number(db, f"cursor:{remote}", arrival)
            db.executemany("INSERT INTO refused(remote, at_us, sample, why) VALUES(?,?,?,?)",
                           [(remote, at_us, msgspec.json.encode(one.sample), one.why) for one in refused])
            if refused:
                db.execute("DELETE FROM refused WHERE remote=? AND id <= (SELECT id FROM refused WHERE remote=? "
                           "ORDER BY id DESC LIMIT 1 OFFSET ?)", (remote, remote, REFUSED_MAX))
            db.execute("COMMIT")

        await self._do(keep)

    async def refused(self, remote: str = "", limit: int = 100) -> tuple[tuple[str, int, Refused], ...]:
        """(remote, when, what and why), the newest first."""
        rows = await self._do(lambda db: db.execute(
            "SELECT remote, at_us, sample, why FROM refused WHERE (?='' OR remote=?) ORDER BY id DESC LIMIT ?",
            (remote, remote, limit)).fetchall())
        return tuple((of, at, Refused(msgspec.json.decode(sample, type=Sample), why)) for of, at, sample, why in rows)

    async def lost_to(self, remote: str) -> int:
        """How many samples went by age or quota before the remote had them."""
        return await self._do(lambda db: _number(db, f"lost:{remote}"))

    async def place(self, remote: str) -> Place:
        """How far a remote has come. LocalFault when the file cannot be read."""
        def look(db: sqlite3.Connection) -> Place:
            cursor = _number(db, f"cursor:{remote}")
            (waiting,) = db.execute("SELECT count(*) FROM raw WHERE arrival>?", (cursor,)).fetchone()
            since = db.execute("SELECT time_us FROM raw WHERE arrival>? ORDER BY arrival LIMIT 1",
                               (cursor,)).fetchone()
            (refused,) = db.execute("SELECT count(*) FROM refused WHERE remote=?", (remote,)).fetchone()
            return Place(remote, waiting, since[0] if since else 0, _number(db, f"lost:{remote}"), refused)

        return await self._do(look)

    # --- bounds ---

    async def trim(self, now_us: int, remotes: Sequence[str] = ()) -> int:
        """Let go of what is too old or beyond the quota; how many raw samples went. Asked for now and then: each call
        deletes a bounded number of rows."""
        return await self._do(lambda db: self._trim(db, now_us, remotes))

    def _trim(self, db: sqlite3.Connection, now_us: int, remotes: Sequence[str]) -> int:
        settings = self._settings
        oldest_us = now_us - round(settings.raw_days * 86400e6)
        (pages,), (free,), (size,) = (db.execute(f"PRAGMA {name}").fetchone()
                                      for name in ("page_count", "freelist_count", "page_size"))
        over = (pages - free) * size > settings.quota_mib * 2**20
        db.execute("BEGIN IMMEDIATE")
        which = ("SELECT arrival, time_us FROM raw ORDER BY time_us LIMIT ?", (TRIM_ROWS,)) if over else (
            "SELECT arrival, time_us FROM raw WHERE time_us < ? LIMIT ?", (oldest_us, TRIM_ROWS))
        found = db.execute(*which).fetchall()
        gone = [row[0] for row in found]
        newest = max((row[1] for row in found), default=0)
        _set_number(db, "trimmed", max(_number(db, "trimmed"), newest))
        for remote in remotes:
            cursor = _number(db, f"cursor:{remote}")
            lost = sum(arrival > cursor for arrival in gone)
            if lost:
                _set_number(db, f"lost:{remote}", _number(db, f"lost:{remote}") + lost)
        db.executemany("DELETE FROM raw WHERE arrival=?", [(arrival,) for arrival in gone])
        for level, days in ((Level.MINUTE, settings.minute_days), (Level.QUARTER, settings.quarter_days),
                            (Level.HOUR, settings.hour_days)):
            db.execute("DELETE FROM rollup WHERE level=? AND start_s < ?",
                       (LEVEL_S[level], now_us // 1_000_000 - round(days * 86400)))
        db.execute("COMMIT")
        return len(gone)

    async def close(self) -> None:
        """End the thread and the file; idempotent."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
        self._thread.shutdown(wait=False)


_COLUMNS = ("point.site, point.gateway, point.zone, point.point, point.quantity, point.unit, raw.time_us, raw.value, "
            "raw.quality, raw.reason, raw.received_us, raw.lane, raw.epoch, raw.sequence, raw.kind")


def _where(query: SeriesQuery, column: str, per: int, id_column: str = "raw.point") -> tuple[str, list[object]]:
    """The condition of a question and its values. per: µs of one step of the column. Points are found first: with
    many sites in one file a stretch of time holds far more rows than a few points do."""
    values: list[object] = [-(-query.from_us // per), -(-query.to_us // per)]
    within, asked = _of_points(query)
    chosen = f" AND {id_column} IN (SELECT id FROM point WHERE {within})" if within else ""  # noqa: S608 - our names
    return f"{column} >= ? AND {column} < ?{chosen}", [*values, *asked]


def _of_points(query: SeriesQuery) -> tuple[str, list[object]]:
    parts: list[str] = []
    values: list[object] = []
    if query.points:
        either = []
        for name in query.points:
            whole = "." in name
            either.append("point.point = ?" if whole else "substr(point.point, 1, ?) = ?")
            values.extend((name,) if whole else (len(name) + 1, f"{name}."))
        parts.append(f"({' OR '.join(either)})")
    if query.zones:
        parts.append(f"point.zone IN ({','.join('?' * len(query.zones))})")
        values.extend(query.zones)
    if query.site:
        parts.append("point.site = ?")
        values.append(query.site)
    return " AND ".join(parts), values


def _kind(value: Value | None) -> str:
    if isinstance(value, bool):
        return "state"
    return "none" if value is None else "text" if isinstance(value, str) else "number"


def _stored(value: Value | None) -> object:
    return int(value) if isinstance(value, bool) else value


def _sample(row: Sequence[object]) -> Sample:
    site, gateway, zone, point, quantity, unit, time_us, value, quality, reason = row[:10]
    received, lane, epoch, sequence, kind = row[10:]
    shown = bool(value) if kind == "state" else value
    return msgspec.convert({
        "site": site, "gateway": gateway, "zone": zone, "point": point, "quantity": quantity, "unit": unit,
        "time_us": time_us, "value": shown, "quality": quality, "reason": reason,
        "received_us": received, "lane": lane, "epoch": epoch, "sequence": sequence}, Sample)


def _number(db: sqlite3.Connection, name: str) -> int:
    row = db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
    return int(row[0]) if row else 0


def _set_number(db: sqlite3.Connection, name: str, value: int) -> None:
    db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (name, str(value)))
