"""SqliteJournal on bad disks: damage is isolated and said, refusals end, hung commits do not block reads."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from device_model.errors import LocalFault
from device_model.messages import HeartbeatRecord, Lane, Record
from edge_agent import journal as journal_module
from edge_agent.journal import ASIDE_MAX, SqliteJournal


def record(sequence: int, text: str = "x" * 100) -> Record:
    return Record(sequence, 1_000 + sequence, sequence, "boot", HeartbeatRecord(sequence, {}, version=text))


async def filled(path: Path, count: int = 400) -> str:
    journal = SqliteJournal(path)
    state = await journal.open()
    await journal.commit([(Lane.ALARM, record(n)) for n in range(1, count + 1)], b"checkpoint")
    await journal.acknowledge(Lane.ALARM, [(1, 10)])
    await journal.close()
    return state.epoch


async def test_a_torn_row_is_reported_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    epoch = await filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE record SET body=replace(body, 'boot', 'b00t') WHERE sequence=50")
    connection.close()
    journal = SqliteJournal(path)
    state = await journal.open()
    assert state.epoch == epoch and [(lane, part) for lane, part, _ in state.damage] == [(Lane.ALARM, (50, 50))]
    assert [r.sequence for r in await journal.read(Lane.ALARM, 49, 51, 9)] == [49, 51]
    await journal.close()


@pytest.mark.parametrize("damage", ["not a database", "truncated", "one page"])
async def test_a_damaged_file_is_set_aside_and_what_can_be_read_travels_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j.sqlite"
    epoch = await filled(path)
    content = bytearray(path.read_bytes())
    if damage == "not a database":
        content[:] = b"garbage" * 1000
    elif damage == "truncated":
        del content[len(content) // 2:]
    else:
        at = 4096 * (len(content) // 4096 * 2 // 3)
        content[at: at + 4096] = b"\xa5" * 4096
    path.write_bytes(bytes(content))
    journal = SqliteJournal(path)
    state = await journal.open()
    assert state.epoch != epoch and list(tmp_path.glob("j.sqlite.damaged-*"))
    if damage == "one page":
        assert {(e, lane) for e, lane, _, _ in state.replaced} == {(epoch, Lane.ALARM)}
        assert [part for _, _, part, _ in state.replaced] == [(11, 400)]
        assert state.checkpoint == b"checkpoint"
        saved = await journal.read(Lane.ALARM, 1, 1000, 1000)
        assert 200 < len(saved) < 390 and [r.sequence for r in saved] == list(range(1, len(saved) + 1))
    await journal.commit([(Lane.TELEMETRY, record(1))], None)
    await journal.close()


async def test_damaged_files_kept_aside_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    for _ in range(ASIDE_MAX + 3):
        path.write_bytes(b"garbage" * 1000)
        journal = SqliteJournal(path)
        await journal.open()
        await journal.close()
    assert len(list(tmp_path.glob("j.sqlite.damaged-*"))) <= ASIDE_MAX


async def test_a_newer_journal_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    await filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(LocalFault, match="version 99"):
        await SqliteJournal(path).open()


async def test_a_folder_that_cannot_be_made_is_a_local_fault_and_opening_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    journal = SqliteJournal(tmp_path / "file" / "j.sqlite")
    with pytest.raises(LocalFault):
        await journal.open()
    (tmp_path / "file").unlink()
    assert (await journal.open()).epoch
    await journal.close()


async def test_a_locked_disk_fails_the_commit_and_reads_go_on(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    await filled(path)
    journal = SqliteJournal(path)
    await journal.open()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    commit = asyncio.ensure_future(journal.commit([(Lane.ALARM, record(401))], None))
    rows = await journal.read(Lane.ALARM, 11, 12, 9)
    assert [r.sequence for r in rows] == [11, 12] and not commit.done(), "a hung commit does not hold a read"
    with pytest.raises(LocalFault):
        await commit
    blocker.execute("ROLLBACK")
    blocker.close()
    await journal.commit([(Lane.ALARM, record(401))], None)
    assert await journal.read(Lane.ALARM, 401, 401, 1) == [record(401)]
    await journal.close()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 1 MiB."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small tmpfs needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=False,
                             capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=False)


def fill(hog: Path) -> None:
    """Until there is no space left."""
    with hog.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"\0" * 4096)


async def test_a_read_only_file_system_refuses_and_takes_again(small_disk: Path) -> None:
    journal = SqliteJournal(small_disk / "j.sqlite")
    await journal.open()
    await journal.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    journal = SqliteJournal(small_disk / "j.sqlite")
    with pytest.raises(LocalFault):
        await journal.open()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    await journal.open()
    await journal.commit([(Lane.ALARM, record(1))], None)
    assert len(await journal.read(Lane.ALARM, 1, 9, 9)) == 1
    await journal.close()


async def test_a_full_file_system_refuses_and_takes_again(small_disk: Path) -> None:
    journal = SqliteJournal(small_disk / "j.sqlite")
    await journal.open()
    await journal.commit([(Lane.ALARM, record(1))], None)
    fill(small_disk / "hog")
    with pytest.raises(LocalFault):
        await journal.commit([(Lane.ALARM, record(2, "y" * 200_000))], None)
    assert await journal.read(Lane.ALARM, 1, 9, 9) == [record(1)]
    (small_disk / "hog").unlink()
    await journal.commit([(Lane.ALARM, record(2))], None)
    assert len(await journal.read(Lane.ALARM, 1, 9, 9)) == 2
    await journal.close()


def damage_page_holding(path: Path, sequence: int, text: bytes) -> None:
    """Overwrite the page in which the row of that number stands."""
    content = bytearray(path.read_bytes())
    at = content.index(text)
    page = at // 4096 * 4096
    content[page: page + 4096] = b"\xa5" * 4096
    path.write_bytes(bytes(content))


async def long_backlog(path: Path, count: int = 6000) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    for first in range(1, count + 1, 1000):
        await journal.commit([(Lane.TELEMETRY, record(n, f"row-{n:06d}-" + "x" * 80))
                              for n in range(first, first + 1000)], b"checkpoint")
    await journal.close()


async def test_a_damaged_page_of_a_long_backlog_costs_the_rows_on_it_alone(tmp_path: Path) -> None:
    """The start looks at the newest rows only; what was on the page is found, and declared, when it is to be sent."""
    path = tmp_path / "j.sqlite"
    await long_backlog(path)
    damage_page_holding(path, 1500, b"row-001500-")
    journal = SqliteJournal(path)
    state = await journal.open()
    assert not state.replaced and not state.damage and state.checkpoint == b"checkpoint"
    assert len(await journal.read(Lane.TELEMETRY, 3001, 3500, 500)) == 500
    around = [r.sequence for r in await journal.read(Lane.TELEMETRY, 1301, 1800, 500)]
    assert 1500 not in around and 440 < len(around) < 500 and {1301, 1800} <= set(around)
    await journal.commit([(Lane.ALARM, record(1))], None)
    assert [r.sequence for r in await journal.read(Lane.ALARM, 1, 1, 1)] == [1]
    await journal.close()


async def test_a_damaged_page_among_the_newest_sets_the_file_aside_and_saves_thousands(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    await long_backlog(path)
    damage_page_holding(path, 5500, b"row-005500-")
    journal = SqliteJournal(path)
    state = await journal.open()
    assert [(lane, part) for _, lane, part, _ in state.replaced] == [(Lane.TELEMETRY, (1, 6000))]
    assert state.checkpoint == b"checkpoint"
    (lane,) = [lane for lane in state.lanes if lane.lane is Lane.TELEMETRY]
    assert 5940 < lane.last_sequence < 6000
    first = await journal.read(Lane.TELEMETRY, 1, 1, 1)
    last = await journal.read(Lane.TELEMETRY, lane.last_sequence, lane.last_sequence, 1)
    assert "row-000001-" in first[0].body.version and "row-006000-" in last[0].body.version  # type: ignore[union-attr]
    await journal.close()


async def test_a_long_backlog_opens_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j.sqlite"
    await long_backlog(path)
    looked = 0
    real = journal_module.is_record

    def counted(sequence: int, crc: object, body: object) -> bool:
        nonlocal looked
        looked += 1
        return real(sequence, crc, body)

    monkeypatch.setattr(journal_module, "is_record", counted)
    journal = SqliteJournal(path)
    await journal.open()
    assert looked == journal_module.VERIFY_ROWS
    await journal.close()


async def test_used_bytes_follow_what_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    journal = SqliteJournal(path)
    await journal.open()
    for first in range(1, 6001, 1000):
        await journal.commit([(Lane.TELEMETRY, record(n)) for n in range(first, first + 1000)], None)
    full = journal.used_bytes
    assert full > 6000 * 150
    await journal.acknowledge(Lane.TELEMETRY, [(1, 6000)])
    for _ in range(100):
        if journal.used_bytes < full / 10:
            break
        await journal.commit([(Lane.ALARM, record(1))], None)
    assert journal.used_bytes < full / 10
    await journal.close()
