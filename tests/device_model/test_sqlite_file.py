"""A file that another role has just shut for a moment is opened all the same; one that stays shut is said."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from device_model.sqlite_file import to_wal


def holder(path: Path) -> sqlite3.Connection:
    """Who shuts the whole file, as SQLite itself does while it recovers or clears a log."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("CREATE TABLE IF NOT EXISTS t(x)")
    return connection


def test_a_file_that_opens_in_time_is_waited_for(tmp_path: Path) -> None:
    first = holder(tmp_path / "a.sqlite")
    second = sqlite3.connect(tmp_path / "a.sqlite", timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        second.execute("PRAGMA journal_mode=WAL")
    going = threading.Timer(0.2, first.close)
    going.start()
    to_wal(second, 30)
    going.join()
    assert second.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    second.close()


def test_a_file_that_stays_shut_is_said(tmp_path: Path) -> None:
    first = holder(tmp_path / "a.sqlite")
    second = sqlite3.connect(tmp_path / "a.sqlite", timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        to_wal(second, 0.1)
    first.close()
    second.close()


def test_what_is_no_such_file_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"x" * 4096)
    connection = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        to_wal(connection, 3600)
    connection.close()
