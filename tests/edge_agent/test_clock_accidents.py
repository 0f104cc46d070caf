"""The gateway under clock accidents, in virtual time, over seeds: order and durations are monotonic, whatever the
wall clock shows; and what it says lets the cloud find the true time of each alarm within the stated error."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_runtime import Bench, raised

from community_os.clock_book import ClockBook
from device_model.clock import HOUR_US, SECOND_US
from device_model.messages import AlarmRecord, decode_batch
from trial.virtual_time import VirtualLoop, run_virtual

TRUE_START_US = 1_780_000_000_000_000


@pytest.mark.parametrize("seed", range(12))
def test_an_alarm_rises_at_the_right_second_and_the_cloud_knows_when(kit, seed):
    random, loop = Random(seed), VirtualLoop()
    born_in_1970, error_us = random.choice([(True, -1), (False, 1000)])
    steps = [random.choice([-HOUR_US, HOUR_US, SECOND_US, -SECOND_US]) for _ in range(3)]

    async def main():
        bench = Bench(kit, loop, slow=True)
        heard = []
        listener = bench.broker.link("ear", ("tocsin/#",), clock=bench.clock)

        async def hear():
            async for message in listener.messages():
                if "/up/" in message.topic:
                    heard.append((TRUE_START_US + loop.now_us, decode_batch(message.payload)))

        ear = asyncio.ensure_future(hear())
        bench.clock.step((0 if born_in_1970 else TRUE_START_US) - bench.clock.now().wall_us)
        bench.clock.wall_error_us = error_us
        bench.start()
        await bench.runtime.started.wait()
        await bench.clock.sleep(40)
        bench.field.cells["tcp-1", 1, 4, 1] = 140  # 1.4 dB/m, for a minute
        began_us = loop.now_us
        for by_us in steps:
            await bench.clock.sleep(15)
            bench.clock.step(by_us)
        await bench.clock.sleep(45)
        await bench.kill()
        ear.cancel()
        bench.cloud_task.cancel()
        return began_us, heard

    began_us, heard = run_virtual(main(), loop)
    book, risen, last = ClockBook(), [], {}
    for arrived_us, batch in heard:
        for record in batch.records:
            if record.sequence:
                assert record.mono_us >= last.get((batch.lane, batch.epoch), 0), "order is monotonic"
                last[batch.lane, batch.epoch] = record.mono_us
        records = book.correct(batch, batch.records, arrived_us)
        risen += [r for r in records if isinstance(r.body, AlarmRecord) and raised(r.body)]
    assert risen, "no step of the clock keeps an alarm from rising"
    first = risen[0]
    leaps = sum(abs(by_us) for by_us in steps if abs(by_us) == SECOND_US) / SECOND_US
    waited_s = (first.mono_us - began_us) / SECOND_US
    assert 60 - leaps <= waited_s <= 62 + leaps, "an hour moves no timer, a leap second moves it by itself"
    wrong_us = abs(first.at_us - (TRUE_START_US + first.mono_us))
    behind = not born_in_1970 and sum(steps) < 0
    assert wrong_us <= 130 * SECOND_US or behind, "an hour behind needs ten messages over five minutes to be sure"

