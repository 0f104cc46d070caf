"""The schedule in virtual time: a dead device costs the healthy nothing, a line comes back at once, nothing is
attributed wrongly. The line model here decides the outcome and how long it takes; the schedule decides all else."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from device_drivers.line_schedule import (
    BlockAnswered,
    BlockRefused,
    DeviceBack,
    DeviceLost,
    Failed,
    LineChanged,
    LineEvent,
    LineSchedule,
    OrderDone,
    Outcome,
    Transaction,
    UnitTraits,
    Wait,
)
from device_drivers.register_plan import Block
from device_model.clock import Now
from device_model.errors import LocalFault
from device_model.ports import LineReply, LineRequest
from device_model.profile import Table
from device_model.reading import Reason
from tests.device_drivers.rig import START

SECOND = 1_000_000
SILENT = Failed(Reason.SILENT, "no answer")


def block(address: int = 0, count: int = 10, interval_us: int = SECOND) -> Block:
    return Block(Table.HOLDING, address, count, interval_us, (f"p{address}",))


def good(request: LineRequest) -> LineReply:
    if request.function in (5, 6):
        return LineReply(request.unit, request.function, request.address.to_bytes(2, "big") + (
            (b"\xff\x00" if request.values[0] else b"\x00\x00") if request.function == 5
            else request.values[0].to_bytes(2, "big")))
    return LineReply(request.unit, request.function, bytes(2 * request.count))


class Bench:
    """Runs a schedule against a line model."""

    def __init__(self, units: int, *, serial: bool = False, blocks: tuple[Block, ...] = (block(),),
                 fire: frozenset[int] = frozenset(), timeout_us: int = SECOND, rtt_us: int = 5000) -> None:
        rng = random.Random(1)
        self.now = START
        self.rtt_us = rtt_us
        self.schedule = LineSchedule(
            [(UnitTraits(f"d{i}", i, i in fire, 0, timeout_us, 500_000), blocks) for i in range(units)],
            serial=serial, start_us=START.mono_us, jitter=rng.random)
        self.events: list[tuple[int, LineEvent]] = []
        self.log: list[Transaction] = []

    def run(self, seconds: float, answer: Callable[[Transaction], Outcome]) -> None:
        end = self.now.mono_us + round(seconds * SECOND)
        turns = 0
        while self.now.mono_us < end:
            turns += 1
            assert turns < 400_000, "the schedule spins"
            step = self.schedule.next(self.now)
            if isinstance(step, Wait):
                assert step.until_us > self.now.mono_us
                self.now = self.now.later(min(step.until_us, end) - self.now.mono_us)
                continue
            self.log.append(step)
            outcome = answer(step)
            slow = isinstance(outcome, Failed) and outcome.reason is Reason.SILENT
            self.now = self.now.later(step.timeout_us if slow else self.rtt_us)
            result = self.schedule.done(step, outcome, self.now)
            self.events += [(self.now.mono_us, event) for event in result.events]
            self.now = self.now.later(result.hold_us)

    def periods(self, devices: range, after_s: float = 0.0) -> list[int]:
        found = []
        for i in devices:
            times = [at for at, e in self.events if isinstance(e, BlockAnswered) and e.device == f"d{i}"
                     and at > START.mono_us + after_s * SECOND]
            found += [b - a for a, b in pairwise(times)]
        return sorted(found)

    def of(self, kind: type[LineEvent]) -> list[LineEvent]:
        return [event for _, event in self.events if isinstance(event, kind)]


def p95(values: list[int]) -> int:
    return values[int(len(values) * 0.95)]


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("rtt_us", [5_000, 25_000, 40_000])
def test_dead_units_do_not_delay_the_healthy(serial: bool, rtt_us: int) -> None:
    """Issue 3: 32 units, 8 dead, p95 period of the healthy at most 5 % longer than with none dead."""
    calm, hurt = Bench(32, serial=serial, rtt_us=rtt_us), Bench(32, serial=serial, rtt_us=rtt_us)
    calm.run(400, lambda t: good(t.request))
    hurt.run(400, lambda t: good(t.request) if t.request.unit < 24 else SILENT)
    before = p95(calm.periods(range(24), after_s=60))
    after = p95(hurt.periods(range(24), after_s=60))
    assert after <= before * 1.05, (before, after)
    assert {e.device for e in hurt.of(DeviceLost) if isinstance(e, DeviceLost)} == {f"d{i}" for i in range(24, 32)}
    assert len(hurt.of(DeviceLost)) == 8, "each is lost once"
    probed = {t.device for t in hurt.log[-20000:] if t.request.unit >= 24}
    assert len(probed) == 8, "and none is forgotten"


def test_a_probe_that_fits_between_polls_costs_nothing_and_finds_the_device_at_once() -> None:
    bench = Bench(2, blocks=(block(interval_us=10 * SECOND),))
    bench.run(60, lambda t: good(t.request) if t.request.unit == 0 else SILENT)
    assert bench.of(DeviceLost)
    back_at = bench.now.mono_us
    bench.run(25, lambda t: good(t.request))
    first = next(at for at, e in bench.events if isinstance(e, DeviceBack))
    assert first - back_at <= 20 * SECOND
    assert max(bench.periods(range(1))) <= 10 * SECOND + 10_000


@pytest.mark.parametrize("seed", range(20))
def test_polling_is_back_within_two_periods_when_a_whole_line_was_deaf(seed: int) -> None:
    bench, rng = Bench(16, timeout_us=200_000), random.Random(seed)
    bench.run(5, lambda t: good(t.request))
    bench.run(20 + rng.random() * 60, lambda t: SILENT)
    assert len(bench.of(DeviceLost)) == 16
    ended = bench.now.mono_us
    bench.run(5, lambda t: good(t.request))
    back = [at for at, e in bench.events if isinstance(e, DeviceBack)]
    assert len(back) == 16 and max(back) - ended <= 2 * SECOND, (max(back) - ended) / SECOND


def test_a_line_that_is_gone_is_said_once_and_comes_back_whole() -> None:
    bench = Bench(8)
    bench.run(3, lambda t: good(t.request))
    gone = Failed(Reason.LINE_DOWN, "connection refused")
    bench.run(100, lambda t: gone)
    assert [e.up for e in bench.of(LineChanged) if isinstance(e, LineChanged)] == [True, False]
    assert len(bench.of(DeviceLost)) == 8
    attempts = len([t for t in bench.log if t.started_us > START.mono_us + 4 * SECOND])
    assert attempts < 110, "one attempt a period, not one for each of eight devices"
    bench.run(2, lambda t: good(t.request))
    assert [e.up for e in bench.of(LineChanged) if isinstance(e, LineChanged)] == [True, False, True]
    assert len(bench.of(DeviceBack)) == 8


def test_one_lost_frame_is_no_lost_device_and_a_short_cut_of_the_line_is_not_said() -> None:
    bench, count = Bench(1), 0

    def flaky(transaction: Transaction) -> Outcome:
        nonlocal count
        count += 1
        if count == 3:
            return SILENT
        return Failed(Reason.LINE_DOWN, "reset") if count == 6 else good(transaction.request)

    bench.run(30, flaky)
    assert not bench.of(DeviceLost) and len(bench.of(LineChanged)) == 1
    assert len(bench.of(BlockAnswered)) > 20


def test_writes_go_before_polls_and_fire_before_the_rest() -> None:
    bench = Bench(6, fire=frozenset({4, 5}))
    token = bench.schedule.write("d0", LineRequest(0, 6, 7, 1, (1,)))
    bench.run(0.9, lambda t: good(t.request))
    assert [t.request.unit for t in bench.log] == [0, 4, 5, 0, 1, 2, 3]
    assert bench.log[0].token == token
    done = [e for e in bench.of(OrderDone) if isinstance(e, OrderDone)]
    assert [e.token for e in done] == [token] and done[0].fault is None


def test_a_line_that_fire_polls_fill_still_reads_the_rest() -> None:
    bench = Bench(10, fire=frozenset(range(8)), rtt_us=150_000)
    bench.run(60, lambda t: good(t.request))
    assert len([e for e in bench.of(BlockAnswered) if isinstance(e, BlockAnswered) and e.device in ("d8", "d9")]) > 20


def test_one_block_that_never_answers_turns_bad_alone() -> None:
    bench = Bench(1, blocks=(block(0), block(50)))
    bench.run(120, lambda t: SILENT if t.request.address == 50 else good(t.request))
    assert not bench.of(DeviceLost)
    refused = [e for e in bench.of(BlockRefused) if isinstance(e, BlockRefused)]
    assert len(refused) == 1 and refused[0].reason is Reason.SILENT and refused[0].block.address == 50


@pytest.mark.parametrize("code", [5, 6])
def test_busy_is_never_a_value_and_passes(code: int) -> None:
    bench = Bench(1)
    bench.run(2.5, lambda t: Failed(Reason.REFUSED, "busy", code))
    assert not bench.of(BlockAnswered) and not bench.of(DeviceLost)
    bench.run(3, lambda t: good(t.request))
    assert bench.of(BlockAnswered)


def test_a_refused_block_is_asked_ever_more_seldom() -> None:
    bench = Bench(1)
    bench.run(300, lambda t: Failed(Reason.REFUSED, "illegal address", 2))
    assert 3 < len(bench.log) < 20


def test_a_gateway_that_says_its_target_is_silent_means_silence() -> None:
    bench = Bench(1)
    bench.run(60, lambda t: Failed(Reason.REFUSED, "target", 11))
    lost = [e for e in bench.of(DeviceLost) if isinstance(e, DeviceLost)]
    assert len(lost) == 1 and lost[0].reason is Reason.SILENT


def test_min_gap_is_kept() -> None:
    schedule = LineSchedule([(UnitTraits("d", 1, min_gap_us=50_000), (block(0), block(30)))], serial=False,
                            start_us=START.mono_us, jitter=lambda: 0.5)
    first = schedule.next(START)
    assert isinstance(first, Transaction)
    at = START.later(1000)
    schedule.done(first, good(first.request), at)
    step = schedule.next(at)
    assert isinstance(step, Wait) and step.until_us == at.mono_us + 50_000


def test_queues_are_bounded_and_say_so() -> None:
    bench = Bench(1)
    with pytest.raises(LocalFault, match="writes wait"):
        for _ in range(100):
            bench.schedule.write("d0", LineRequest(0, 6, 0, 1, (1,)))
    with pytest.raises(LocalFault, match="scan requests wait"):
        for _ in range(100):
            bench.schedule.ask(LineRequest(9, 3, 0, 1), 100_000)


def test_scans_disturb_polling_by_at_most_five_percent_of_the_line() -> None:
    calm, scanned = Bench(20, rtt_us=45_000), Bench(20, rtt_us=45_000)
    calm.run(200, lambda t: good(t.request))

    def answer(transaction: Transaction) -> Outcome:
        if transaction.extra and len(scanned.schedule._extras) < 2:
            scanned.schedule.ask(LineRequest(99, 3, 0, 1), 200_000)
        return SILENT if transaction.extra else good(transaction.request)

    scanned.schedule.ask(LineRequest(99, 3, 0, 1), 200_000)
    scanned.run(200, answer)
    extras = [t for t in scanned.log if t.extra]
    assert len(extras) > 5 and sum(t.timeout_us for t in extras) <= 0.06 * 200 * SECOND
    assert len(scanned.of(BlockAnswered)) >= 0.95 * len(calm.of(BlockAnswered))
    assert sum(scanned.periods(range(20))) / len(scanned.periods(range(20))) <= 1.05 * SECOND


@pytest.mark.parametrize("fire", [False, True])
def test_on_a_full_line_a_scan_goes_on_but_takes_nothing_from_fire(fire: bool) -> None:
    bench = Bench(20, rtt_us=100_000, fire=frozenset(range(20) if fire else ()))

    def answer(transaction: Transaction) -> Outcome:
        if len(bench.schedule._extras) < 2:
            bench.schedule.ask(LineRequest(99, 3, 0, 1), 200_000)
        return SILENT if transaction.extra else good(transaction.request)

    bench.run(200, answer)
    extras = [t for t in bench.log if t.extra]
    took_us = sum(t.timeout_us for t in extras)
    assert not extras if fire else len(extras) > 20 and took_us <= 0.05 * 200 * SECOND


def test_phases_stay_over_a_change_of_plan_and_a_dropped_unit_leaves_the_others_alone() -> None:
    bench = Bench(3)
    bench.run(2.5, lambda t: good(t.request))
    bench.schedule.put_unit(UnitTraits("d1", 1), (block(), block(100)), bench.now.mono_us)
    bench.schedule.drop_unit("d2")
    bench.run(3, lambda t: good(t.request))
    recent = [t for t in bench.log if t.started_us > START.mono_us + 2_600_000]
    assert {t.device for t in recent} == {"d0", "d1"}
    assert bench.periods(range(1))[-1] <= SECOND + 20_000


def test_a_reply_to_a_dropped_unit_is_nothing() -> None:
    bench = Bench(1)
    step = bench.schedule.next(bench.now)
    assert isinstance(step, Transaction)
    bench.schedule.drop_unit("d0")
    result = bench.schedule.done(step, good(step.request), Now(0, START.mono_us + 5, "boot"))
    assert not [e for e in result.events if isinstance(e, BlockAnswered)]
