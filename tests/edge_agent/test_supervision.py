"""Hung parts are found within ten seconds and started again; what sleeps by right is not missed. In virtual time."""

from __future__ import annotations

import asyncio
import itertools

from edge_agent.part_watch import PartWatch
from edge_agent.supervision import Supervisor
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual


def play(script):
    loop = VirtualLoop()
    clock = VirtualClock(loop, "boot-1", wall_us=1_780_000_000_000_000)

    async def main():
        supervisor = Supervisor(clock)
        said = []
        supervisor.failed = lambda part, detail: said.append((clock.now().mono_us / 1e6, part, detail))
        watch = asyncio.ensure_future(supervisor.watch())
        try:
            await script(supervisor, clock)
        finally:
            watch.cancel()
        return supervisor, said

    return run_virtual(main(), loop)


def test_a_part_that_waits_for_what_never_comes_is_found_in_ten_seconds_and_started_again():
    lives = []

    async def script(supervisor, clock):
        of_part = supervisor.clock_of("line a")

        async def part():
            lives.append(clock.now().mono_us / 1e6)
            for _ in range(5):
                await of_part.sleep(1)
            if len(lives) == 1:
                await asyncio.Event().wait()
            while True:
                await of_part.sleep(30)  # its right: it said so

        task = asyncio.ensure_future(supervisor.keep("line a", part))
        await clock.sleep(200)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    supervisor, said = play(script)
    assert len(lives) == 2 and len(said) == 1
    at, part, detail = said[0]
    assert part == "line a" and "no sign of life" in detail and 10 <= at - lives[0] - 5 <= 11.5
    assert supervisor.failures == {"line a": 1} and supervisor.lost_parts() == ()


def test_a_part_that_cannot_be_ended_stops_the_feeding_of_the_watchdog():
    async def script(supervisor, clock):
        of_part = supervisor.clock_of("line a")

        async def part():
            of_part.now()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()

        task = asyncio.ensure_future(supervisor.keep("line a", part))
        await clock.sleep(15)
        assert supervisor.lost_parts() == ()
        await clock.sleep(10)
        assert supervisor.lost_parts() == ("line a",)
        task.cancel()
        await clock.sleep(1)

    _, said = play(script)
    assert said == []


def test_parts_that_die_come_back_with_growing_pauses():
    lives = []

    async def script(supervisor, clock):
        async def part():
            lives.append(clock.now().mono_us / 1e6)
            raise RuntimeError("broken")

        task = asyncio.ensure_future(supervisor.keep("uplink", part))
        await clock.sleep(100)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    _, said = play(script)
    pauses = [round(b - a) for a, b in itertools.pairwise(lives)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30] and said[0][1:] == ("uplink", "RuntimeError: broken")


def test_a_clock_of_a_part_that_was_never_started_says_nothing():
    async def script(supervisor, clock):
        supervisor.clock_of("line b").now()
        await clock.sleep(60)
        assert supervisor.lost_parts() == ()

    play(script)


def test_part_watch_alone():
    watch = PartWatch(10)
    watch.alive("a", 0)
    watch.resting("b", 60_000_000)
    assert watch.hung(10_000_000) == () and watch.hung(10_000_001) == ("a",)
    assert watch.hung(69_000_000) == ("a",)
    watch.forget("a")
    assert watch.hung(70_000_001) == ("b",) and watch.hung(70_000_001, 2) == ()
