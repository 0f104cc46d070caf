"""A process to be killed: commits numbered records to a journal and says each number once it is durable."""

from __future__ import annotations

import asyncio
import random
import sys

from device_model.messages import HeartbeatRecord, Lane, Record
from edge_agent.journal import SqliteJournal


async def main(path: str, seed: int) -> None:
    dice = random.Random(seed)
    journal = SqliteJournal(path)
    state = await journal.open()
    last = {lane.lane: lane.last_sequence for lane in state.lanes}
    print("opened", flush=True)
    while True:
        lane = dice.choice((Lane.ALARM, Lane.TELEMETRY))
        count = dice.randint(1, 20)
        numbers = range(last[lane] + 1, last[lane] + 1 + count)
        # The content names process and number: a number used twice would show.
        rows = [(lane, Record(n, seed, n, "boot", HeartbeatRecord(n, {}, version=f"{seed}:{n}"))) for n in numbers]
        await journal.commit(rows, f"{lane}:{numbers[-1]}".encode())
        last[lane] = numbers[-1]
        print(lane, numbers[0], numbers[-1], seed, flush=True)
        if dice.random() < 0.1:
            first = dice.randint(1, last[lane])
            await journal.acknowledge(lane, [(first, min(last[lane], first + 5))])


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
