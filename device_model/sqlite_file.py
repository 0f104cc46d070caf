"""How every SQLite file of ours is opened: one place, for SQLite's busy handler does not cover the first moment.

Two roles open the same file at the same time as a matter of course (a role restarts while a page reads). SQLite may
answer "database is locked" at once, whatever the time-out, in three moments: while the first one turns the file to
write-ahead logging, while it recovers the log of a life that was killed, and while the last one closes and clears it
away (sqlite.org/wal.html, section 9, "Sometimes Queries Return SQLITE_BUSY In WAL Mode"). Each lasts some
milliseconds; so the first statement is tried again."""

from __future__ import annotations

import sqlite3
import time

PATIENCE_S = 5.0  # SQLite's own default for a busy file
_AGAIN_S = 0.02


def to_wal(connection: sqlite3.Connection | sqlite3.Cursor, patience_s: float = PATIENCE_S) -> None:
    """The first statement on a fresh connection: write-ahead logging. Blocks its thread for patience_s at most.
    Raises sqlite3.Error: the file cannot be used, or was busy all that while."""
    until_s = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() >= until_s:
                raise
        time.sleep(_AGAIN_S)
