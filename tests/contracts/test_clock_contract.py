"""One suite for every Clock: properties only, no assertion on how long anything took on the machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from device_model.clock import Clock, TimeScale
from device_model.system_clock import SystemClock
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

WALL_US = 1_780_000_000_000_000
Make = Callable[[], Clock]


def virtual() -> Clock:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return VirtualClock(loop, "boot", wall_us=WALL_US, drift_ppm=50)


CLOCKS: dict[str, tuple[Make, bool]] = {
    "virtual": (virtual, True),
    "system": (SystemClock, False),
    "scaled": (lambda: SystemClock(TimeScale(100.0, 0, WALL_US)), False),
}


@pytest.fixture(params=sorted(CLOCKS))
def in_time(request: pytest.FixtureRequest) -> Callable[[Callable[[Clock], object]], None]:
    """Runs a coroutine function with a clock of each kind, in the loop that it belongs to."""
    make, is_virtual = CLOCKS[request.param]

    def run(check: Callable[[Clock], object]) -> None:
        async def main() -> None:
            await check(make())  # type: ignore[misc]

        run_virtual(main()) if is_virtual else asyncio.run(main())

    return run


def test_monotonic_time_never_steps_back_under_one_boot(in_time: Callable[[Callable[[Clock], object]], None]) -> None:
    async def check(clock: Clock) -> None:
        instants = []
        for _ in range(20):
            instants.append(clock.now())
            await clock.sleep(0.001)
        assert len({now.boot for now in instants}) == 1 and instants[0].boot
        assert [now.mono_us for now in instants] == sorted(now.mono_us for now in instants)

    in_time(check)


def test_a_sleep_lasts_at_least_what_it_says(in_time: Callable[[Callable[[Clock], object]], None]) -> None:
    async def check(clock: Clock) -> None:
        for delay_s in (0.0, 0.001, 0.02):
            before = clock.now().mono_us
            await clock.sleep(delay_s)
            # asyncio's own timers may fire up to the clock's resolution early.
            assert clock.now().mono_us - before >= delay_s * 1e6 * 0.9 - 100

    in_time(check)


def test_a_sleep_of_nothing_or_less_returns(in_time: Callable[[Callable[[Clock], object]], None]) -> None:
    async def check(clock: Clock) -> None:
        await clock.sleep(0)
        await clock.sleep(-5)
        assert clock.now().mono_us >= 0

    in_time(check)


def test_wall_time_is_in_microseconds_of_this_century(in_time: Callable[[Callable[[Clock], object]], None]) -> None:
    async def check(clock: Clock) -> None:
        assert 1_500_000_000_000_000 < clock.now().wall_us < 4_200_000_000_000_000

    in_time(check)


def test_shorter_sleeps_end_first(in_time: Callable[[Callable[[Clock], object]], None]) -> None:
    async def check(clock: Clock) -> None:
        ended: list[float] = []

        async def one(delay_s: float) -> None:
            await clock.sleep(delay_s)
            ended.append(delay_s)

        await asyncio.gather(*(one(delay_s) for delay_s in (9.0, 1.0, 5.0))) if isinstance(clock, VirtualClock) else (
            await asyncio.gather(*(one(delay_s) for delay_s in (0.3, 0.01, 0.15))))
        assert ended == sorted(ended)

    in_time(check)


def test_only_the_wall_clock_of_the_model_steps() -> None:
    async def main() -> tuple[int, int]:
        clock = virtual()
        assert isinstance(clock, VirtualClock)
        before = clock.now()
        clock.step(-3_600_000_000)
        after = clock.now()
        return after.mono_us - before.mono_us, after.wall_us - before.wall_us

    assert run_virtual(main()) == (0, -3_600_000_000)
