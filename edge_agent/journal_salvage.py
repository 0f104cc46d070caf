"""What can be read of a damaged journal (I/O: SQLite), row by row, in bounded memory.

    whole file refused ──► salvage: from both ends of each lane towards the damage, in pieces, with new numbers
    one page refused ────► read_around: the rows before and behind it
    nothing opens ───────► carve (journal_bytes.py): records by their checksums, from the bytes
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from device_model.messages import Lane, decode_record, encode
from device_model.ranges import Range, RangeSet
from edge_agent.journal_bytes import carve, is_record, parse_ranges

Row = tuple[str, int, int, bytes]  # lane, sequence, checksum, body
# Rows copied at a time: a backlog of millions does not fit into a gateway's memory.
PIECE_ROWS = 2_000
# Records of a lane taken from a file that does not open, the newest: some 20 MiB in memory, months of alarms.
CARVED_MAX = 20_000


class Salvaged(msgspec.Struct):
    """What came of a damaged file. lost: unacknowledged numbers under its epoch. count: records copied."""

    epoch: str = "unknown"
    checkpoint: bytes | None = None
    checkpoint_copy: bytes | None = None
    lost: list[tuple[Lane, Range]] = []
    count: int = 0


def salvage(path: Path, insert: Callable[[Sequence[Row]], None], *, by_bytes: bool = False) -> Salvaged:
    """Copy what can be read; every part may fail by itself. by_bytes: SQLite would not see all that is there."""
    saved = Salvaged()
    if by_bytes:
        _from_bytes(path, saved, insert)
    connection = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(connection):
        with contextlib.suppress(sqlite3.Error):
            for name, value in connection.execute("SELECT name, value FROM meta"):
                if name == "epoch" and saved.epoch == "unknown":
                    saved.epoch = as_text(value)
                elif name == "checkpoint":
                    saved.checkpoint = value
                elif name == "checkpoint_copy":
                    saved.checkpoint_copy = value
        for lane in () if by_bytes else Lane:
            _salvage_lane(connection, lane, saved, insert)
    if saved.epoch == "unknown" and not saved.count:
        _from_bytes(path, saved, insert)
    return saved


def _from_bytes(path: Path, saved: Salvaged, insert: Callable[[Sequence[Row]], None]) -> None:
    """SQLite opens nothing of it: what stands in the bytes with its checksum."""
    found = carve((path, path.with_name(path.name + "-wal")), CARVED_MAX)
    saved.epoch = found.epoch or saved.epoch
    for lane, records in found.records.items():
        known = found.acknowledged.get(lane, RangeSet())
        rows: list[Row] = []
        for sequence in sorted(records):
            if sequence not in known:
                number = len(rows) + 1
                text = encode(msgspec.structs.replace(decode_record(records[sequence]), sequence=number))
                rows.append((str(lane), number, zlib.crc32(text), text))
        insert(rows)
        saved.count += len(rows)
        saved.lost += [(lane, part) for part in known.missing(1, found.tops.get(lane, 0))]


def _salvage_lane(
    connection: sqlite3.Connection, lane: Lane, saved: Salvaged, insert: Callable[[Sequence[Row]], None],
) -> None:
    last, known = 0, RangeSet()
    with contextlib.suppress(sqlite3.Error, ValueError):
        row = connection.execute("SELECT last, acknowledged FROM lane WHERE lane=?", (str(lane),)).fetchone()
        if row:
            last, known = row[0], parse_ranges(row[1])
    number = 0
    for piece in _pieces(connection, str(lane), known):
        rows: list[Row] = []
        for sequence, body in piece:
            last, number = max(last, sequence), number + 1
            text = encode(msgspec.structs.replace(decode_record(body), sequence=number))
            rows.append((str(lane), number, zlib.crc32(text), text))
        insert(rows)
        saved.count += len(rows)
    saved.lost += [(lane, part) for part in known.missing(1, last)]


def _pieces(connection: sqlite3.Connection, lane: str, known: RangeSet) -> Iterator[list[tuple[int, bytes]]]:
    """The readable rows that the far end does not have, ascending: what lies before the damage, then what lies behind
    the last of it. (What lies between two damaged pages cannot be reached: the tree cannot be walked across them.)"""
    after = 0
    while True:
        piece, whole = _forward(connection, lane, after)
        if piece:
            after = piece[-1][0]
            yield [(sequence, body) for sequence, crc, body in piece
                   if sequence not in known and is_record(sequence, crc, body)]
        if not whole:
            break
        if len(piece) < PIECE_ROWS:
            return
    behind = _first_behind(connection, lane, after)
    while behind is not None:
        piece, _ = _forward(connection, lane, behind - 1)
        if not piece:
            return
        yield [(sequence, body) for sequence, crc, body in piece
               if sequence not in known and is_record(sequence, crc, body)]
        behind = piece[-1][0] + 1 if len(piece) == PIECE_ROWS else None


def _forward(connection: sqlite3.Connection, lane: str, after: int) -> tuple[list[tuple[int, int, bytes]], bool]:
    """Up to PIECE_ROWS rows behind a number, and whether the tree could be walked that far."""
    rows: list[tuple[int, int, bytes]] = []
    try:
        for row in connection.execute(
                "SELECT sequence, crc, body FROM record WHERE lane=? AND sequence>? ORDER BY sequence LIMIT ?",
                (lane, after, PIECE_ROWS)):
            rows.append(row)
    except sqlite3.Error:
        return rows, False
    return rows, True


def _first_behind(connection: sqlite3.Connection, lane: str, after: int) -> int | None:
    """The lowest number that can be reached from the end of the lane; None where nothing can."""
    lowest = None
    with contextlib.suppress(sqlite3.Error):
        for (sequence,) in connection.execute(
                "SELECT sequence FROM record WHERE lane=? AND sequence>? ORDER BY sequence DESC", (lane, after)):
            lowest = sequence
    return lowest


def read_around(connection: sqlite3.Connection, lane: str, first: int, last: int) -> list[tuple[int, int, bytes]]:
    """The rows of first..last that can be reached from either end, ascending."""
    found: dict[int, tuple[int, int, bytes]] = {}
    for direction in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.Error):
            for row in connection.execute(
                    "SELECT sequence, crc, body FROM record WHERE lane=? AND sequence BETWEEN ? AND ? "  # noqa: S608
                    f"ORDER BY sequence {direction}", (lane, first, last)):
                found[row[0]] = row
    return [found[number] for number in sorted(found)]


def as_text(value: object) -> str:
    """What a column holds that should hold text."""
    return value.decode() if isinstance(value, bytes) else str(value)
