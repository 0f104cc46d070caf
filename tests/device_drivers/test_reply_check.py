"""Reply checks: what does not fit the request, to the byte, is never a value. 10,000 seeded bad replies in CI
(a million in the soak), through the whole pure line: no wrong attribution, no event but a failure."""

from __future__ import annotations

import random

import pytest

from device_drivers.driver import DeviceRead
from device_drivers.line_schedule import Failed, Outcome, Transaction
from device_drivers.register_driver import RegisterLine
from device_drivers.reply_check import expected_bytes, reply_fault
from device_model.ports import LineReply, LineRequest
from device_model.profile import RegisterType, Table
from device_model.reading import Quality, Reason
from tests.device_drivers.rig import START, TCP, entry, point, profile

READ = LineRequest(1, 3, 10, 2)
BITS = LineRequest(1, 1, 0, 10)
WRITE = LineRequest(1, 6, 7, 1, (0x1234,))


@pytest.mark.parametrize(("request_", "reply", "fault"), [
    (READ, LineReply(1, 3, b"\0\1\0\2"), ""),
    (READ, LineReply(2, 3, b"\0\1\0\2"), "unit 2 answered"),
    (READ, LineReply(1, 4, b"\0\1\0\2"), "got 4"),
    (READ, LineReply(1, 3, b"\0\1"), "asked for 4 bytes, got 2"),
    (READ, LineReply(1, 3, b"\0\1\0\2\0\3"), "got 6"),
    (READ, LineReply(1, 3, b""), "got 0"),
    (BITS, LineReply(1, 1, b"\xff\x03"), ""),
    (BITS, LineReply(1, 1, b"\xff"), "asked for 2 bytes"),
    (BITS, LineReply(1, 1, b"\xff\x07"), "bits beyond"),
    (WRITE, LineReply(1, 6, b"\0\x07\x12\x34"), ""),
    (WRITE, LineReply(1, 6, b"\0\x08\x12\x34"), "echoed"),
    (WRITE, LineReply(1, 6, b"\0\x07\x12\x35"), "echoed"),
    (LineRequest(1, 5, 3, 1, (1,)), LineReply(1, 5, b"\0\3\xff\0"), ""),
    (LineRequest(1, 5, 3, 1, (1,)), LineReply(1, 5, b"\0\3\0\0"), "echoed"),
    (LineRequest(1, 16, 3, 2, (1, 2)), LineReply(1, 16, b"\0\3\0\2"), ""),
    (LineRequest(1, 16, 3, 2, (1, 2)), LineReply(1, 16, b"\0\3\0\1"), "echoed"),
    (LineRequest(1, 22, 3, 1, (0xFFFE, 1)), LineReply(1, 22, b"\0\3\xff\xfe\0\1"), ""),
])
def test_table(request_: LineRequest, reply: LineReply, fault: str) -> None:
    found = reply_fault(request_, reply)
    assert fault in found and bool(found) == bool(fault)


def bad_reply(rng: random.Random, request: LineRequest, last: LineReply | None) -> Outcome:
    """Something that a broken line gives instead of the reply."""
    right = expected_bytes(request) or 0
    kind = rng.randrange(8)
    if kind == 0 and last is not None and len(last.payload) != right:
        return last  # late or duplicate: another block's
    if kind == 1:
        return LineReply((request.unit + rng.randrange(1, 247)) % 248, request.function, rng.randbytes(right))
    if kind == 2:
        return LineReply(request.unit, rng.choice([f for f in range(1, 127) if f != request.function]),
                         rng.randbytes(right))
    if kind == 3:
        return LineReply(request.unit, request.function, rng.randbytes(rng.randrange(right)))
    if kind == 4:
        return LineReply(request.unit, request.function, rng.randbytes(right + rng.randrange(1, 200)))
    if kind == 5:
        return Failed(Reason.REFUSED, "busy or failing", rng.choice((4, 5, 6, 8, 10, 11)))
    return Failed(rng.choice((Reason.GARBLED, Reason.SILENT)), "CRC")


def storm(seed: int, count: int) -> int:
    """Feed `count` bad replies; returns how many values came of them."""
    rng = random.Random(seed)
    of = profile(point("a", 10), point("b", 40, type=RegisterType.F32), point("c", 3, table=Table.INPUT),
                 point("d", 5, table=Table.COIL, type=RegisterType.BIT, quantity="leak"), read_holes=False)
    line = RegisterLine(TCP, [entry("d", of, 1), entry("e", of, 2)], START, rng.random)
    now, done, values, last = START, 0, 0, None
    while done < count:
        step = line.next(now)
        if not isinstance(step, Transaction):
            now = now.later(step.until_us - now.mono_us)
            line.look_for_silence(now)
            continue
        outcome = bad_reply(rng, step.request, last)
        last = LineReply(step.request.unit, step.request.function, bytes(expected_bytes(step.request) or 0))
        now = now.later(1000)
        done += 1
        for event in line.done(step, outcome, now).events:
            if isinstance(event, DeviceRead):
                values += len(event.fresh) + sum(r.quality is not Quality.BAD for r in event.readings)
    return values


def test_ten_thousand_bad_replies_make_no_value() -> None:
    assert storm(seed=7, count=10_000) == 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_million_bad_replies_make_no_value(seed: int) -> None:
    assert storm(seed, 100_000) == 0
