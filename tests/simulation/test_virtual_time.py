"""The loop itself: time jumps, order is stable, threads are refused, deadlock is said."""

from __future__ import annotations

import asyncio

import pytest

from trial.virtual_time import Deadlock, VirtualClock, VirtualLoop, run_virtual


def test_an_hour_passes_at_once_and_exactly() -> None:
    async def main() -> float:
        await asyncio.sleep(3600.000001)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600.000001


def test_timers_of_one_instant_run_in_order_of_setting() -> None:
    async def main() -> list[int]:
        seen: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(5)
            seen.append(number)

        await asyncio.gather(*(one(number) for number in range(50)))
        return seen

    assert run_virtual(main()) == list(range(50))


def test_timeouts_cancellation_and_queues_work() -> None:
    async def main() -> str:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 10)
        assert asyncio.get_running_loop().time() == 10
        task = asyncio.create_task(asyncio.sleep(1000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return "done"

    assert run_virtual(main()) == "done"


def test_a_deadlock_is_said_and_threads_are_refused() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    async def threads() -> None:
        await asyncio.to_thread(sum, [1])

    with pytest.raises(Deadlock):
        run_virtual(forever())
    with pytest.raises(RuntimeError, match="threads have no place"):
        run_virtual(threads())


def test_clocks_drift_and_step() -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock = VirtualClock(loop, "boot-1", wall_us=1_000_000, drift_ppm=100)
        await clock.sleep(100)
        clock.step(-500_000)
        return clock.now().mono_us, clock.now().wall_us

    assert run_virtual(main()) == (100_010_000, 100_510_000)
