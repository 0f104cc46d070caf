"""A damaged checkpoint costs no latch and no trip: the journal keeps it twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edge_agent.agent_checkpoint import VERSION, AgentCheckpoint, encode_checkpoint, read_checkpoint
from edge_agent.health import HealthMemory
from edge_agent.journal import SqliteJournal
from edge_agent.orders import OrdersMemory
from edge_agent.outputs import OutputMemory

TRIPPED = AgentCheckpoint(VERSION, 7, 7, "boot", b"rules", {"valve": OutputMemory(on=True, tripped=True)},
                          HealthMemory(), OrdersMemory(), (), ())


async def kept(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    await journal.commit([], encode_checkpoint(TRIPPED))
    await journal.close()


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint_copy"])
@pytest.mark.parametrize("damage", ["flipped", "gone"])
async def test_a_trip_is_known_although_one_of_both_is_damaged(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / "j.sqlite"
    await kept(path)
    connection = sqlite3.connect(path)
    (octets,) = connection.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
    if damage == "flipped":
        wrong = bytearray(octets)
        wrong[len(wrong) // 2] ^= 0x55
        connection.execute("UPDATE meta SET value=? WHERE name=?", (bytes(wrong), name))
    else:
        connection.execute("DELETE FROM meta WHERE name=?", (name,))
    connection.commit()
    connection.close()
    said: list[str] = []
    state = await (journal := SqliteJournal(path)).open()
    await journal.close()
    found = read_checkpoint(state, lambda level, text, **more: said.append(text))
    assert found is not None and found.outputs["valve"].tripped
    assert said == (["checkpoint damaged, its copy is taken"] if (name, damage) == ("checkpoint", "flipped") else [])


async def test_both_damaged_is_said(tmp_path: Path) -> None:
    await kept(tmp_path / "j.sqlite")
    connection = sqlite3.connect(tmp_path / "j.sqlite")
    connection.execute("UPDATE meta SET value=x'00' WHERE name LIKE 'checkpoint%'")
    connection.commit()
    connection.close()
    said: list[str] = []
    state = await (journal := SqliteJournal(tmp_path / "j.sqlite")).open()
    await journal.close()
    assert read_checkpoint(state, lambda level, text, **more: said.append(text)) is None
    assert said == ["checkpoint not readable, starting without it"]
