"""Coalescing: exactly the fewest requests, every point in one block, and refusals teach."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.register_plan import Block, Learnt, forget_refusal, learn_refusal, plan_blocks, register_span
from device_model.profile import DeviceProfile, RegisterType, Table
from tests.device_drivers.rig import point, profile

TYPES = (RegisterType.U16, RegisterType.U32, RegisterType.F64)


def spans_of(of: DeviceProfile) -> list[tuple[int, int]]:
    return sorted({register_span(p.register) for p in of.points if p.register is not None})


def fewest(spans: list[tuple[int, int]], limit: int, may_read: frozenset[int]) -> int:
    """Brute force: dynamic programme over sets of points, every window that may be asked for tried."""
    windows = []
    for start in sorted({s for s, _ in spans}):
        for end in sorted({e for _, e in spans}):
            inside = frozenset(i for i, (s, e) in enumerate(spans) if start <= s and e <= end)
            whole = all(a in may_read for a in range(start, end))
            single = (start, end) in spans  # a point is asked for alone, however wide
            if inside and (whole or single) and (end - start <= limit or single):
                windows.append(inside)
    everything = frozenset(range(len(spans)))

    @cache
    def cost(left: frozenset[int]) -> int:
        if not left:
            return 0
        return 1 + min(cost(left - window) for window in windows if min(left) in window)

    return cost(everything)


def check(of: DeviceProfile, learnt: Learnt | None = None) -> tuple[Block, ...]:
    blocks = plan_blocks(of, learnt)
    covered = [p for block in blocks for p in block.points]
    assert sorted(covered) == sorted(p.id for p in of.points)
    for block in blocks:
        for spec in of.points:
            if spec.id in block.points and spec.register is not None:
                start, end = register_span(spec.register)
                assert block.table is spec.register.table and block.address <= start and end <= block.end
        assert block.interval_us > 0
    return blocks


MAPS = st.lists(st.tuples(st.integers(0, 24), st.sampled_from(TYPES)), min_size=1, max_size=7)


@settings(max_examples=300)
@given(MAPS, st.integers(1, 12), st.booleans(), st.sets(st.integers(0, 27), max_size=4))
def test_small_maps_are_planned_exactly_as_brute_force(
    entries: list[tuple[int, RegisterType]], limit: int, read_holes: bool, holes: set[int]
) -> None:
    of = profile(*(point(f"p{i}", a, type=t) for i, (a, t) in enumerate(entries)),
                 max_registers=limit, read_holes=read_holes)
    blocks = check(of, Learnt({(Table.HOLDING, a) for a in holes}))
    spans = spans_of(of)
    used = {a for s, e in spans for a in range(s, e)}
    may_read = frozenset(a for a in range(0, 40) if a not in holes and (read_holes or a in used))
    assert len(blocks) == fewest(spans, limit, may_read)


def test_a_thousand_random_maps_reach_the_optimum() -> None:
    for seed in range(1000):
        rng = random.Random(seed)
        of = profile(*(point(f"p{i}", rng.randrange(400), type=rng.choice(TYPES))
                       for i in range(rng.randrange(1, 60))),
                     max_registers=rng.choice((4, 16, 60, 125)))
        limit = of.modbus.max_registers if of.modbus else 0
        # The stabbing bound: points pairwise too far apart to share a window each need a request of their own.
        bound, reach = 0, -1
        for start, end in spans_of(of):
            if end > reach:
                bound, reach = bound + 1, start + limit
        assert len(check(of)) <= max(1, bound) * 1.05


def test_a_slow_point_rides_along_in_a_fast_block() -> None:
    of = profile(point("a", 0), point("b", 9), point("slow", 5, poll_interval_s=60.0),
                 point("far", 80, poll_interval_s=60.0))
    blocks = check(of)
    assert [(b.address, b.count, b.interval_us) for b in blocks] == [(0, 10, 1_000_000), (80, 1, 60_000_000)]


@pytest.mark.parametrize(("table", "count", "bytes_wanted"), [
    (Table.COIL, 9, 2), (Table.DISCRETE_INPUT, 8, 1), (Table.HOLDING, 9, 18), (Table.INPUT, 1, 2)])
def test_byte_counts(table: Table, count: int, bytes_wanted: int) -> None:
    assert Block(table, 0, count, 1, ()).byte_count == bytes_wanted


class PickyDevice:
    """Refuses what it does not have, what is too long, and what crosses one of its borders."""

    def __init__(self, missing: set[int], cap: int, borders: set[int]) -> None:
        self.missing, self.cap, self.borders = missing, cap, borders

    def answer(self, block: Block) -> int:
        if block.count > self.cap:
            return 3
        asked = range(block.address, block.end)
        crosses = any(block.address < border < block.end for border in self.borders)
        return 2 if crosses or self.missing & set(asked) else 0


@settings(max_examples=200)
@given(MAPS, st.sets(st.integers(0, 27), max_size=5), st.sampled_from((4, 5, 125)),
       st.sets(st.integers(1, 24), max_size=2))
def test_learning_ends_and_reads_everything_that_can_be_read(
    entries: list[tuple[int, RegisterType]], missing: set[int], cap: int, borders: set[int]
) -> None:
    of = profile(*(point(f"p{i}", a, type=t) for i, (a, t) in enumerate(entries)))
    device, learnt = PickyDevice(missing, cap, borders), Learnt()
    for _ in range(200):
        blocks = check(of, learnt)
        refused = [(b, code) for b in blocks if (code := device.answer(b))]
        before = learnt.copy()
        for block, code in refused:
            learn_refusal(of, block, code, learnt)
            if learnt != before:
                break
        if learnt == before:
            break
    else:
        pytest.fail("learning does not end")
    read = {p for b in plan_blocks(of, learnt) if device.answer(b) == 0 for p in b.points}
    for spec in of.points:
        assert spec.register is not None
        start, end = register_span(spec.register)
        lonely = Block(spec.register.table, start, end - start, 1, (spec.id,))
        overlapped = any(p.id != spec.id and p.register and register_span(p.register)[0] < end
                         and start < register_span(p.register)[1] for p in of.points)
        if device.answer(lonely) == 0 and not overlapped:
            assert spec.id in read, (spec.id, learnt)


def test_a_hole_is_forgotten_when_it_answers() -> None:
    of, learnt = profile(point("a", 0), point("b", 1)), Learnt({(Table.HOLDING, 1)})
    first, second = check(of, learnt)
    forget_refusal(second, learnt)
    assert first.count == 1 and len(check(of, learnt)) == 1
