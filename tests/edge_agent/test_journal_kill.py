"""kill -9 at random points: what was said to be durable is there, nothing has a hole, no number is used twice."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from device_model.messages import HeartbeatRecord, Lane
from device_model.ranges import RangeSet
from edge_agent.journal import SqliteJournal

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = 20


async def one_life(path: Path, seed: int, dice: random.Random, said: dict[tuple[str, int], int]) -> None:
    """Start the writer, kill it after a random number of its lines and a random moment, note what it said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("journal_writer.py")), str(path), str(seed),
        stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert child.stdout is not None
    lines = [await child.stdout.readline() for _ in range(dice.randint(1, 12))]
    await asyncio.sleep(dice.random() * 0.01)
    child.kill()
    lines += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    for line in lines:
        words = line.decode().split()
        if line.endswith(b"\n") and len(words) == 4:
            for number in range(int(words[1]), int(words[2]) + 1):
                assert (words[0], number) not in said, "a number was used twice"
                said[words[0], number] = int(words[3])


@pytest.mark.real
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path, dice = tmp_path / "j.sqlite", random.Random(5)
    said: dict[tuple[str, int], int] = {}
    for seed in range(KILLS):
        await one_life(path, seed, dice, said)
        journal = SqliteJournal(path)
        state = await journal.open()
        assert not state.damage and not state.replaced
        for lane in (Lane.ALARM, Lane.TELEMETRY):
            known = next(s for s in state.lanes if s.lane is lane)
            rows = await journal.read(lane, 1, 1 << 40, 1 << 30)
            held = RangeSet(known.acknowledged)
            for row in rows:
                held.add(row.sequence, row.sequence)
                assert isinstance(row.body, HeartbeatRecord)
                assert row.body.version == f"{row.at_us}:{row.sequence}"
            assert not held.missing(1, known.last_sequence), "no hole"
            writers = {row.sequence: row.at_us for row in rows}
            for (which, number), writer in said.items():
                if which == lane:
                    assert number in held, "said to be durable, and gone"
                    assert writers.get(number, writer) == writer, "the number stands for other content"
        await journal.close()
    assert len(said) > KILLS
