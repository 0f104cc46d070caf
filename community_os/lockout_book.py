"""Where the counts of wrong tries stand (I/O): a small SQLite file beside the accounts, shared by processes.

    Lockout ──► KeptTries("wrong"), KeptTries("known") ──► tries.sqlite (0600)    a restart forgets nothing
                    └─ the file cannot be written: counts go on in memory, and the log says so

A book is an ordered map, oldest first, and `Lockout` bounds it. Names of people who do not exist are kept, too: that
is what somebody guesses at.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from community_os.lockout import Lockout

_BUSY_S = 2.0
_log = structlog.get_logger("tocsin.lockout")

Key = tuple[str, str]
Count = tuple[int, float]


def kept_lockout(file: Path) -> Lockout:
    """The lock-out whose counts stand in that file."""
    return Lockout(KeptTries(file, "wrong"), KeptTries(file, "known"))


class KeptTries(MutableMapping[Key, Count]):
    """One book of the file. Thread-safe. Never raises because of the file: what it cannot keep there is in memory."""

    def __init__(self, file: Path, book: str) -> None:
        self._file, self._book = file, book
        self._lock = threading.RLock()
        self._base: sqlite3.Connection | None = None
        self._memory: dict[Key, Count] = {}
        self._said = False

    def __getitem__(self, key: Key) -> Count:
        rows = self._asked("SELECT count, last_s FROM tries WHERE book = ? AND kind = ? AND name = ?", *key)
        if rows is None:
            return self._memory[key]
        if not rows:
            raise KeyError(key)
        return int(rows[0][0]), float(rows[0][1])

    def __setitem__(self, key: Key, count: Count) -> None:
        with self._lock:
            self._memory.pop(key, None)
            self._memory[key] = count
            # Replaced, not updated: the row that was written last is the newest.
            self._asked("INSERT OR REPLACE INTO tries (book, kind, name, count, last_s) VALUES (?, ?, ?, ?, ?)",
                        *key, *count)

    def __delitem__(self, key: Key) -> None:
        with self._lock:
            answer = self._asked("DELETE FROM tries WHERE book = ? AND kind = ? AND name = ?", *key)
            if answer is None and key not in self._memory:
                raise KeyError(key)
            self._memory.pop(key, None)

    def __iter__(self) -> Iterator[Key]:
        rows = self._asked("SELECT kind, name FROM tries WHERE book = ? ORDER BY number")
        return iter(list(self._memory) if rows is None else [(str(kind), str(name)) for kind, name in rows])

    def __len__(self) -> int:
        rows = self._asked("SELECT count(*) FROM tries WHERE book = ?")
        return len(self._memory) if rows is None else int(rows[0][0])

    def _asked(self, sql: str, *values: object) -> list[Any] | None:
        """The rows of this book; None where the file does not answer."""
        with self._lock:
            try:
                rows = self._open().execute(sql, tuple(map(_plain, (self._book, *values)))).fetchall()
            except (sqlite3.Error, OSError) as error:
                if not self._said:
                    _log.error("wrong tries are counted in memory only: a restart forgets them",
                               file=str(self._file), reason=str(error))
                self._said, self._base = True, None
                return None
            self._said = False
            return rows

    def _open(self) -> sqlite3.Connection:
        if self._base is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            base = sqlite3.connect(self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            # A kill loses nothing; a power cut at most the last tries, which is no way to guess.
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = NORMAL")
            base.execute("CREATE TABLE IF NOT EXISTS tries (number INTEGER PRIMARY KEY AUTOINCREMENT, "
                         "book TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL, "
                         "last_s REAL NOT NULL, UNIQUE (book, kind, name))")
            self._base = base
        return self._base


def _plain(value: object) -> object:
    """A text that SQLite holds: a lone surrogate of a hostile form is none."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
