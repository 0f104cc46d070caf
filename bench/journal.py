"""`tocsin bench journal`: durable rows/s of the gateway's journal against bare SQLite in the same run.

    ours  encode Record → group commit of `--batch` → fsync, through the Store port and its writer thread
    raw   the same encoded rows, the same batch, INSERT in one transaction, WAL, synchronous=FULL
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from bench.report import Report, figure, report
from device_model.messages import Lane, ReadingsRecord, Record, encode
from device_model.reading import Reading
from edge_agent.journal import SqliteJournal

# Fewer pages of a person's patience than a soak, more than the noise of a shared machine.
ROWS = 20_000
# Our encoding, ranges and thread may cost this much of what SQLite alone can do.
RATIO_AT_LEAST = 0.5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Rows, batch and where: the folder decides which disk is measured."""
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--batch", type=int, default=100, help="records in one group commit")
    parser.add_argument("--folder", type=Path, default=None, help="measure the disk that holds this folder")


def run(options: argparse.Namespace) -> Report:
    """Measure both, alternating, so that a drifting machine drifts for both."""
    records = [_record(number) for number in range(1, options.rows + 1)]
    half = len(records) // 2
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        place = Path(folder)
        raw_s = _bare_sqlite(place / "raw-1.sqlite", records[:half], options.batch)
        ours_s = asyncio.run(_journal(place / "journal.sqlite", records, options.batch))
        raw_s += _bare_sqlite(place / "raw-2.sqlite", records[half:], options.batch)
    rows_per_s, raw_per_s = len(records) / ours_s, len(records) / raw_s
    return report(
        "journal",
        {
            "rows_per_s": figure(rows_per_s, "rows/s"),
            "ratio_to_sqlite": figure(rows_per_s / raw_per_s, "1", at_least=RATIO_AT_LEAST),
            "commits_per_s": figure(rows_per_s / options.batch, "1/s"),
        },
        {"sqlite_rows_per_s": round(raw_per_s, 1)},
    )


def _record(number: int) -> Record:
    """A telemetry record of one reading, as a quiet gateway writes it."""
    at_us = 1_790_000_000_000_000 + number * 1_000_000
    reading = Reading("temp-301.temperature", 20.0 + number % 7, "Cel", source_time_us=at_us, receive_time_us=at_us,
                      mono_us=number * 1_000_000, boot="b1", stream="gw-1", epoch="e1", sequence=number)
    return Record(number, at_us, number * 1_000_000, "b1", ReadingsRecord((reading,)))


def _bare_sqlite(path: Path, records: list[Record], batch: int) -> float:
    rows = [("telemetry", record.sequence, encode(record)) for record in records]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE record (lane TEXT, sequence INTEGER, body BLOB, PRIMARY KEY (lane, sequence))")
    started = time.perf_counter()
    for first in range(0, len(rows), batch):
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO record VALUES (?, ?, ?)", rows[first:first + batch])
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - started
    connection.close()
    return elapsed


async def _journal(path: Path, records: list[Record], batch: int) -> float:
    journal = SqliteJournal(path)
    await journal.open()
    started = time.perf_counter()
    for first in range(0, len(records), batch):
        await journal.commit([(Lane.TELEMETRY, record) for record in records[first:first + batch]], None)
    elapsed = time.perf_counter() - started
    await journal.close()
    return elapsed
