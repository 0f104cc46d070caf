"""Faults of a line in virtual time: polling is back within two periods of their end, nothing is attributed wrongly,
no task dies, memory stays flat. A few seeds in CI, many in the soak."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Callable

import pytest

from device_drivers import poller as poller_module
from device_drivers.driver import DeviceRead, DriverEvent
from device_drivers.poller import LinePoller
from device_model.reading import Quality
from tests.device_drivers.bus_model import (
    FAULTS,
    HALF_OPEN_FROM_S,
    STORM,
    WHOLE_LINE,
    BusModel,
    device_profile,
    true_value,
)
from tests.device_drivers.rig import RTU, TCP, entry
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

UNITS = (1, 2, 3, 4)
PERIOD_S = 4.0
POINTS = len(device_profile(PERIOD_S).points)


class Watcher:
    """Judges everything that the poller says."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.fresh_s: dict[str, float] = {}
        self.readings = 0
        self.wrong: list[str] = []

    def __call__(self, event: DriverEvent) -> None:
        if not isinstance(event, DeviceRead):
            return
        at_s = self.clock.now().mono_us / 1e6
        for name in event.fresh:
            self.fresh_s[name] = at_s
        for reading in event.readings:
            device, _, name = reading.point.partition(".")
            self.readings += reading.quality is Quality.GOOD
            if reading.value is not None and reading.value != true_value(int(device[1:]), name):
                self.wrong.append(f"{reading}")
            if (reading.value is None) != (reading.quality is Quality.BAD):
                self.wrong.append(f"bad and a number: {reading}")


def line_run(seed: int, *, serial: bool, poll_s: float, fault: Callable[[int, float], str],
             until_s: Callable[[BusModel], float | None]) -> tuple[Watcher, BusModel]:
    """Poll four devices until `until_s` says that it is over; it gives how long to go on, None for no more."""
    loop = VirtualLoop()
    clock = VirtualClock(loop, "boot", wall_us=1_700_000_000_000_000)
    failures: list[str] = []

    async def run() -> tuple[Watcher, BusModel]:
        watcher, rng = Watcher(clock), random.Random(seed)
        bus = BusModel(clock, seed, serial=serial, fault=fault)
        of = device_profile(poll_s)
        poller = LinePoller(RTU if serial else TCP, [entry(f"d{unit}", of, unit) for unit in UNITS], bus, clock,
                            watcher, jitter=rng.random)
        task = asyncio.create_task(poller.run())
        while (more_s := until_s(bus)) is not None:
            await clock.sleep(more_s)
            assert not task.done(), "a task died"
        task.cancel()
        await asyncio.wait([task])
        return watcher, bus

    class Log:
        def exception(self, what: str, **fields: object) -> None:
            failures.append(f"{what} {fields}")

        def warning(self, what: str, **fields: object) -> None:
            failures.append(f"{what} {fields}")

    kept = poller_module._log
    poller_module._log = Log()  # type: ignore[assignment]
    try:
        result = run_virtual(run(), loop)
    finally:
        poller_module._log = kept
    assert failures == [], "the poller met a fault of its own"
    return result


def back_after(kind: str, seed: int, *, serial: bool) -> float:
    """How long after the fault's end, in periods, until every point of every device was read again."""
    rng = random.Random(seed)
    begin_s = HALF_OPEN_FROM_S + rng.random() * PERIOD_S
    end_s = begin_s + rng.choice((0.5, 5.0, 40.0, 400.0)) + rng.random() * PERIOD_S
    units = UNITS if kind in WHOLE_LINE else tuple(rng.sample(UNITS, rng.randrange(1, len(UNITS) + 1)))

    def fault(unit: int, at_s: float) -> str:
        return kind if begin_s <= at_s < end_s and unit in units else ""

    times = iter((end_s, 2 * PERIOD_S, None))
    watcher, _ = line_run(seed, serial=serial, poll_s=PERIOD_S, fault=fault, until_s=lambda bus: next(times))
    assert watcher.wrong == []
    assert len(watcher.fresh_s) == POINTS * len(UNITS)
    late = {name: at_s for name, at_s in watcher.fresh_s.items() if at_s < end_s}
    assert not late, f"not read again within two periods of the end at {end_s:g} s: {late}"
    return max(at_s - end_s for at_s in watcher.fresh_s.values()) / PERIOD_S


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("kind", FAULTS)
def test_polling_is_back_within_two_periods(kind: str, serial: bool) -> None:
    for seed in range(3):
        assert back_after(kind, seed, serial=serial) <= 2


@pytest.mark.soak
@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("kind", FAULTS)
def test_polling_is_back_within_two_periods_over_many_seeds(kind: str, serial: bool) -> None:
    for seed in range(100, 250):
        assert back_after(kind, seed, serial=serial) <= 2


def storm(seed: int, count: int, *, serial: bool) -> Watcher:
    """Poll fast; four exchanges in five go wrong in a way drawn by the seed, until so many have."""
    rng = random.Random(f"{seed} storm")

    def fault(unit: int, at_s: float) -> str:
        return rng.choice(STORM) if rng.random() < 0.8 else ""

    watcher, bus = line_run(seed, serial=serial, poll_s=0.5, fault=fault,
                            until_s=lambda bus: None if bus.bad >= count else 20.0)
    assert bus.bad >= count
    return watcher


@pytest.mark.parametrize("serial", [False, True])
def test_ten_thousand_bad_replies_among_good_ones_are_never_attributed_wrongly(serial: bool) -> None:
    watcher = storm(1, 5_000, serial=serial)
    assert watcher.wrong == [] and watcher.readings > 100


@pytest.mark.soak
@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_million_bad_replies_among_good_ones_are_never_attributed_wrongly(seed: int, serial: bool) -> None:
    watcher = storm(seed, 50_000, serial=serial)
    assert watcher.wrong == [] and watcher.readings > 1000


def memory_after(rounds: int) -> int:
    """Bytes held after so many fault cycles; all kinds in turn."""
    def fault(unit: int, at_s: float) -> str:
        kind = FAULTS[int(at_s / 30) % len(FAULTS)]
        return kind if at_s % 30 < 20 else ""

    left = iter([30.0 * len(FAULTS)] * rounds + [None])
    held: list[int] = []

    def more(bus: BusModel) -> float | None:
        held.append(tracemalloc.get_traced_memory()[0])
        return next(left)

    line_run(3, serial=False, poll_s=PERIOD_S, fault=fault, until_s=more)
    return held[-1] - held[2]


def test_memory_stays_flat_through_all_faults() -> None:
    tracemalloc.start()
    try:
        assert memory_after(4) < 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.soak
def test_memory_stays_flat_through_all_faults_for_long() -> None:
    tracemalloc.start()
    try:
        assert memory_after(60) < 200_000
    finally:
        tracemalloc.stop()
