"""Whatever happened to the journal's file: the gateway starts on it, and the far end's ledger explains every number.

    a gateway's life ─► file ─► torn, flipped, cut off, emptied, taken away, forbidden ─► next life ─► far end: no gap
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_bridge.lanes import Outbox
from community_os.ledger import Ledger
from device_model.clock import Now
from device_model.errors import LocalFault
from device_model.messages import (
    WIRE_VERSION,
    Batch,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    ReadingsRecord,
    Record,
)
from device_model.reading import Reading
from device_model.site import Tenancy
from edge_agent.journal import SqliteJournal

ADDRESS = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-1")
NOW = Now(1_790_000_000_000_000, 1_000_000, "boot")
COUNT = 300


def far_end_takes(ledger: Ledger, epoch: str, lane: Lane, records: list[Record]) -> None:
    for at in range(0, len(records), 100):
        ledger.apply(Batch(WIRE_VERSION, "gw-1", epoch, lane, tuple(records[at:at + 100])), NOW.wall_us)


async def first_life(path: Path, ledger: Ledger) -> None:
    """300 records of telemetry, 40 of alarms; the cloud heard of all of them by a heartbeat, and got some."""
    journal = SqliteJournal(path)
    outbox = Outbox(ADDRESS, await journal.open(), NOW)
    for number in range(COUNT):
        reading = Reading("t.temperature", float(number), "Cel", source_time_us=number)
        outbox.assign(Lane.TELEMETRY, ReadingsRecord((reading,)), NOW)
        if number < 40:
            outbox.assign(Lane.ALARM, HeartbeatRecord(number, {}), NOW)
        batch = outbox.to_commit(50)
        if len(batch) == 50:
            await journal.commit(batch, b"the state")
            outbox.committed(batch)
    while batch := outbox.to_commit(500):
        await journal.commit(batch, b"the state")
        outbox.committed(batch)
    epoch = outbox._epoch
    far_end_takes(ledger, epoch, Lane.TELEMETRY, await journal.read(Lane.TELEMETRY, 1, 20, 20))
    await journal.acknowledge(Lane.TELEMETRY, [(1, 20)])
    await journal.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    heartbeat = Record(0, NOW.wall_us, NOW.mono_us, NOW.boot, HeartbeatRecord(NOW.wall_us, outbox.heartbeat_last()))
    ledger.apply(Batch(WIRE_VERSION, "gw-1", outbox.memory_epoch, Lane.ALARM, (heartbeat,)), NOW.wall_us)


async def next_life(path: Path, ledger: Ledger) -> tuple[int, list[str]]:
    """Start on what is there, send everything; how many records travelled, and the reasons of what is lost."""
    journal = SqliteJournal(path)
    outbox = Outbox(ADDRESS, await journal.open(), NOW.later(1_000_000))
    travelled = 0
    for _ in range(5):  # what is found missing while sending is declared, and goes with the next turn
        while batch := outbox.to_commit(500):
            await journal.commit(batch, None)
            for lane, ranges in outbox.committed(batch):
                await journal.acknowledge(lane, ranges)
        for lane in Lane:
            for first, last in outbox._journal[lane].settled.missing(1, outbox._journal[lane].last_assigned):
                rows = await journal.read(lane, first, last, last - first + 1)
                far_end_takes(ledger, outbox._epoch, lane, rows)
                travelled += len(rows)
                outbox._journal[lane].acknowledge((row.sequence, row.sequence) for row in rows)
                got = {row.sequence for row in rows}
                missing = [(n, n) for n in range(first, last + 1) if n not in got]
                if missing:
                    outbox.declare_lost(lane, missing, "the journal does not give it back", NOW)
    await journal.close()
    return travelled, sorted({loss.reason for loss in ledger.losses()})


def flipped(path: Path) -> None:
    """One byte of one row."""
    content = bytearray(path.read_bytes())
    content[content.index(b'"value":150.0') + 9] ^= 1
    path.write_bytes(bytes(content))


def torn_row(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE record SET body=substr(body,1,20) WHERE lane='telemetry' AND sequence/10=6")
    connection.commit()
    connection.close()


def rows_gone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM record WHERE lane='alarm' AND sequence > 30")
    connection.commit()
    connection.close()


def page_lost(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b'"value":150.0') // 4096 * 4096
    content[at:at + 4096] = bytes(4096)
    path.write_bytes(bytes(content))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 2 // 3])


def header_gone(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes(100) + content[100:])


def wal_of_noise(path: Path) -> None:
    """A write-ahead log that was torn in its first frame: SQLite leaves it out."""
    path.with_name(path.name + "-wal").write_bytes(os.urandom(5000))


def state_gone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM meta WHERE name='checkpoint'")
    connection.commit()
    connection.close()


# What happens to the file, and the least that must still travel of 280 + 40 records.
DAMAGES: list[tuple[Callable[[Path], None], int]] = [
    (flipped, 319), (torn_row, 310), (rows_gone, 310), (page_lost, 280), (cut_off, 100), (header_gone, 310),
    (wal_of_noise, 320), (state_gone, 320),
]


@pytest.mark.parametrize(("damage", "least"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
async def test_the_gateway_starts_isolates_and_says_what_was_lost(
    tmp_path: Path, damage: Callable[[Path], None], least: int,
) -> None:
    path, ledger = tmp_path / "journal.sqlite", Ledger()
    await first_life(path, ledger)
    assert ledger.gaps(), "the far end knows of more than it has"
    damage(path)
    travelled, reasons = await next_life(path, ledger)
    assert travelled >= least
    gaps = ledger.gaps()
    if damage is cut_off:
        # What stood in the part that is gone: the far end knows by heartbeats that there was more, nobody else.
        assert all(gap.first > 100 for gap in gaps) and list(tmp_path.glob("journal.sqlite.damaged-*"))
        return
    assert gaps == (), reasons
    assert travelled == 320 or any("journal" in reason for reason in reasons)


async def test_an_emptied_file_is_a_new_journal(tmp_path: Path) -> None:
    path, ledger = tmp_path / "journal.sqlite", Ledger()
    await first_life(path, ledger)
    path.write_bytes(b"")
    travelled, _ = await next_life(path, Ledger())
    assert travelled == 0


async def test_a_file_that_is_read_only_or_a_folder_is_a_fault_that_ends(tmp_path: Path) -> None:
    """The gateway runs without (test_core: alarms go from memory); when the disk is there the journal opens."""
    path = tmp_path / "journal.sqlite"
    path.mkdir()
    journal = SqliteJournal(path)
    with pytest.raises(LocalFault):
        await journal.open()
    path.rmdir()
    await journal.open()
    await journal.commit([(Lane.ALARM, Record(1, 1, 1, "b", HeartbeatRecord(1, {})))], None)
    await journal.close()


async def test_a_full_journal_refuses_in_words_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite", max_bytes=200_000)
    await journal.open()
    number = 0
    with pytest.raises(LocalFault, match="full"):
        for _ in range(1000):
            number += 1
            record = Record(number, 1, 1, "b", HeartbeatRecord(1, {}, version="x" * 900))
            await journal.commit([(Lane.TELEMETRY, record)], None)
    assert 20 < number < 400
    # Room: what the far end has is forgotten. (In a gateway the quota thins long before.)
    connection = sqlite3.connect(tmp_path / "journal.sqlite")
    connection.execute("DELETE FROM record WHERE sequence < 20")
    connection.commit()
    connection.close()
    await journal.commit([(Lane.ALARM, Record(1, 1, 1, "b", HeartbeatRecord(1, {})))], None)
    assert len(await journal.read(Lane.ALARM, 1, 1, 1)) == 1
    await journal.close()


# -- the write-ahead log --------------------------------------------------------------------------------------


async def killed_with_a_log(folder: Path) -> Path:
    """A journal as kill -9 leaves it: forty commits in the log, none in the file."""
    living = folder / "living.sqlite"
    journal = SqliteJournal(living)
    await journal.open()
    for number in range(1, 41):
        await journal.commit([(Lane.ALARM, Record(number, 1, 1, "b", HeartbeatRecord(number, {})))], b"the state")
    dead = folder / "journal.sqlite"
    for suffix in ("", "-wal"):
        dead.with_name(dead.name + suffix).write_bytes(living.with_name(living.name + suffix).read_bytes())
    await journal.close()
    return dead


async def test_a_log_as_a_kill_leaves_it_is_read_whole(tmp_path: Path) -> None:
    path = await killed_with_a_log(tmp_path)
    journal = SqliteJournal(path)
    state = await journal.open()
    assert not state.replaced and len(await journal.read(Lane.ALARM, 1, 40, 40)) == 40
    await journal.close()


async def test_a_commit_torn_at_the_end_is_no_damage(tmp_path: Path) -> None:
    """The power went while it was written: nobody has seen its number."""
    path = await killed_with_a_log(tmp_path)
    log = path.with_name(path.name + "-wal")
    log.write_bytes(log.read_bytes()[:-2000])
    journal = SqliteJournal(path)
    state = await journal.open()
    assert not state.replaced and len(await journal.read(Lane.ALARM, 1, 40, 40)) == 39
    await journal.close()


async def test_a_flipped_bit_within_the_log_hides_nothing_and_gives_no_number_twice(tmp_path: Path) -> None:
    """SQLite stops at the frame and says nothing; what was synced behind it would be lost, its numbers used again."""
    path = await killed_with_a_log(tmp_path)
    log = path.with_name(path.name + "-wal")
    octets = bytearray(log.read_bytes())
    octets[len(octets) // 2] ^= 1
    log.write_bytes(bytes(octets))
    journal = SqliteJournal(path)
    state = await journal.open()
    assert [(lane, part) for _, lane, part, _ in state.replaced] == [(Lane.ALARM, (1, 40))]
    assert "hidden" in state.replaced[0][3] and state.replaced[0][0] != state.epoch
    saved = await journal.read(Lane.ALARM, 1, 100, 100)
    said = {record.body.at_us for record in saved if isinstance(record.body, HeartbeatRecord)}
    assert said >= set(range(1, 20)) | set(range(22, 41)), "also what stands behind the damage"
    assert state.checkpoint == b"the state"
    await journal.close()
