"""Register plan: which block reads cover a device's points with the fewest requests, and what refusals teach.

    points   ▓▓ ▓▓▓▓      ▓▓        ▓▓▓▓ ▓
    blocks   └───────────────┘      └────┘        one request each, at most `max_registers` long

Fewest requests: points are intervals, blocks are windows of bounded length. The leftmost point that is not yet
covered must be in some block, and no block does better than the one that starts exactly there; so taking it,
again and again, is optimal. Addresses that may not be read (learnt holes; every gap where the profile forbids
reading along) cut the address space into parts, none of which shares a block with another: optimal in each is
optimal in all.

Records of a file (FC 20) stand in one address space with their file: file << 16 | record.

Faster points are planned first; a slower point that lies wholly in a faster block rides along for nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from device_model.ports import LineRequest
from device_model.profile import (
    READ_FUNCTION,
    REGISTER_COUNT,
    DeviceProfile,
    ModbusTraits,
    ProfilePoint,
    RegisterSource,
    Table,
)

BIT_TABLES = (Table.COIL, Table.DISCRETE_INPUT)
FILE_REGISTERS_MAX = 121  # of one FC 20 reply: 245 bytes, of which four are its own (V1.1b3, 6.14)


class Block(msgspec.Struct, frozen=True):
    """One read request: `count` registers or bits from `address`, and the ids of the points in it.

    In the table of files, `address` is file << 16 | record.
    """

    table: Table
    address: int
    count: int
    interval_us: int
    points: tuple[str, ...]

    @property
    def function(self) -> int:
        """The Modbus function code."""
        return READ_FUNCTION[self.table]

    @property
    def byte_count(self) -> int:
        """How many payload bytes the reply must have, exactly."""
        return (self.count + 7) // 8 if self.table in BIT_TABLES else 2 * self.count

    @property
    def end(self) -> int:
        """The first address after the block."""
        return self.address + self.count

    def request(self, unit: int) -> LineRequest:
        """The request that reads it."""
        file = (self.address >> 16,) if self.table is Table.FILE else ()
        return LineRequest(unit, self.function, self.address & 0xFFFF, self.count, file)


class Learnt(msgspec.Struct):
    """What a device taught by refusing. Kept over restarts by whoever owns it; safe to lose.

    holes: addresses that must not be read; cuts: a block may not reach across the boundary before that
    address; caps: the largest count that a table answers. Lists of (table, address or count).
    """

    holes: set[tuple[Table, int]] = msgspec.field(default_factory=set)
    cuts: set[tuple[Table, int]] = msgspec.field(default_factory=set)
    caps: dict[Table, int] = msgspec.field(default_factory=dict)

    def copy(self) -> Learnt:
        """An independent copy."""
        return Learnt(set(self.holes), set(self.cuts), dict(self.caps))


def register_span(source: RegisterSource) -> tuple[int, int]:
    """First address and first address after a point's registers (or its one bit)."""
    length = 1 if source.table in BIT_TABLES else REGISTER_COUNT[source.type]
    start = source.file << 16 | source.address
    return start, start + length


def plan_blocks(profile: DeviceProfile, learnt: Learnt | None = None) -> tuple[Block, ...]:
    """The fewest block reads for all register points of a profile, by table and poll interval."""
    traits = profile.modbus or ModbusTraits()
    known = learnt or Learnt()
    blocks: list[Block] = []
    for table in Table:
        points = [p for p in profile.points if p.register is not None and p.register.table is table]
        blocks += _plan_table(table, points, traits, known)
    return tuple(blocks)


def _plan_table(
    table: Table, points: Sequence[ProfilePoint], traits: ModbusTraits, learnt: Learnt
) -> list[Block]:
    limit = traits.max_bits if table in BIT_TABLES else traits.max_registers
    if table is Table.FILE:
        limit = min(limit, FILE_REGISTERS_MAX)
    limit = max(1, min(limit, learnt.caps.get(table, limit)))
    by_interval: dict[int, list[ProfilePoint]] = {}
    for point in points:
        by_interval.setdefault(max(1, round(point.poll_interval_s * 1e6)), []).append(point)
    blocks: list[Block] = []
    for interval_us in sorted(by_interval):
        left: list[ProfilePoint] = []
        for point in by_interval[interval_us]:
            index = _covering(blocks, point)
            if index is None:
                left.append(point)
            else:
                blocks[index] = msgspec.structs.replace(blocks[index], points=(*blocks[index].points, point.id))
        blocks += _cover(table, left, interval_us, limit, read_holes=traits.read_holes, learnt=learnt)
    return blocks


def _covering(blocks: Sequence[Block], point: ProfilePoint) -> int | None:
    first, end = register_span(_register(point))
    return next((i for i, block in enumerate(blocks) if block.address <= first and end <= block.end), None)


def _register(point: ProfilePoint) -> RegisterSource:
    if point.register is None:
        raise ValueError(f"{point.id} has no register")
    return point.register


def _cover(
    table: Table, points: Iterable[ProfilePoint], interval_us: int, limit: int, *, read_holes: bool, learnt: Learnt
) -> list[Block]:
    """Greedy windows over the points in order of address: optimal, see the head of this file."""
    spans = sorted((*register_span(_register(point)), point.id) for point in points)
    walls = sorted(
        {address for t, address in learnt.cuts if t is table}
        | {a for t, address in learnt.holes if t is table for a in (address, address + 1)}
    )
    runs = _runs(spans) if not read_holes else None
    blocks: list[Block] = []
    while spans:
        start = spans[0][0]
        end = max(span[1] for span in spans if span[0] == start)
        reach = max(end, start + limit)  # a point wider than the limit is asked for alone; the device may bear it
        wall = bisect_right(walls, start)
        if wall < len(walls):
            reach = max(end, min(reach, walls[wall]))
        if runs is not None:
            reach = min(reach, next(run_end for first, run_end in runs if first <= start < run_end))
        inside = [span for span in spans if span[1] <= reach]
        # A point that lies across a wall starts its own block; those after the wall must not join it.
        if wall < len(walls) and end > walls[wall]:
            inside = [span for span in inside if span[0] < walls[wall] or span[1] <= end]
        last = max(span_end for _, span_end, _ in inside)
        blocks.append(Block(table, start, last - start, interval_us, tuple(span[2] for span in inside)))
        taken = {span[2] for span in inside}
        spans = [span for span in spans if span[2] not in taken]
    return blocks


def _runs(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int]]:
    """Maximal stretches without a gap; spans are sorted by address."""
    runs: list[tuple[int, int]] = []
    for start, end, _ in spans:
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return runs


def learn_refusal(profile: DeviceProfile, block: Block, code: int, learnt: Learnt) -> bool:
    """Take an exception reply to a block read into `learnt`; True when another plan is worth trying.

    Code 2 (illegal address): first the gaps within the block are suspected, then the block is cut in the
    middle until a single point stands alone. Code 3 (illegal value): the count was too large; halve it.
    False: nothing smaller can be asked, so the points of this block are refused.
    """
    spans = sorted(register_span(_register(p)) for p in profile.points if p.id in block.points)
    widest = max(end - start for start, end in spans)
    if code == 3 and block.count > widest:
        learnt.caps[block.table] = max(widest, block.count // 2)
        return True
    if code not in (2, 3):
        return False
    read = {address for start, end in spans for address in range(start, end)}
    gaps = {(block.table, a) for a in range(block.address, block.end) if a not in read} - learnt.holes
    if gaps:
        learnt.holes |= gaps
        return True
    cuts = sorted({start for start, _ in spans[1:] if not any(s < start < e for s, e in spans)} - {block.address})
    if not cuts:
        _refuse_alone(block, learnt)
        return False
    learnt.cuts.add((block.table, cuts[len(cuts) // 2]))
    return True


def _refuse_alone(block: Block, learnt: Learnt) -> None:
    """One point alone was refused: it explains the cuts around it, which may go, so that its neighbours merge."""
    alone = {(block.table, address) for address in range(block.address, block.end)}
    if not alone <= learnt.holes:
        learnt.holes |= alone
        learnt.cuts = {cut for cut in learnt.cuts if cut[0] is not block.table}


def forget_refusal(block: Block, learnt: Learnt) -> None:
    """A block that stood alone as refused answered after all: its addresses are no holes."""
    learnt.holes -= {(block.table, address) for address in range(block.address, block.end)}
