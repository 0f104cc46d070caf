"""Faults are scheduled and seeded; a paced line takes the time that its baud rate takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.faults import Fault, FaultKind, LineFaults
from firmware_sim.modbus_device import Framing, Request, exception, frame
from firmware_sim.pace import LinePace

REQUEST = Request(1, bytes.fromhex("0300000002"), 7)
PDU = bytes.fromhex("0304000A0014")


def sent(*faults: Fault, framing: Framing = Framing.TCP, at_s: float = 1.0, seed: int = 1) -> list[tuple[float, str]]:
    out = LineFaults("bus", faults, seed).send("dev", REQUEST, PDU, framing, at_s)
    return [(o.delay_s, o.octets.hex()) for o in out]


WHOLE = frame(Framing.TCP, 1, PDU, 7).hex()


@pytest.mark.parametrize(("fault", "expected"), [
    (Fault(FaultKind.DROP, "bus"), []),
    (Fault(FaultKind.SILENT, "dev"), []),
    (Fault(FaultKind.HALF_OPEN, "bus"), [(0.0, WHOLE)]),
    (Fault(FaultKind.DELAY, "dev", delay_s=2.0), [(2.0, WHOLE)]),
    (Fault(FaultKind.DUPLICATE, "dev", delay_s=0.5), [(0.0, WHOLE), (0.5, WHOLE)]),
    (Fault(FaultKind.WRONG_UNIT, "dev"), [(0.0, frame(Framing.TCP, 2, PDU, 7).hex())]),
    (Fault(FaultKind.SHORT, "dev"), [(0.0, frame(Framing.TCP, 1, bytes.fromhex("0302000A"), 7).hex())]),
    (Fault(FaultKind.EXCEPTION, "dev", code=6), [(0.0, frame(Framing.TCP, 1, exception(3, 6), 7).hex())]),
    (Fault(FaultKind.DROP, "other"), [(0.0, WHOLE)]),
    (Fault(FaultKind.DROP, "bus", from_s=2.0), [(0.0, WHOLE)]),
    (Fault(FaultKind.DROP, "bus", from_s=0.0, for_s=1.0), [(0.0, WHOLE)]),
    (Fault(FaultKind.DROP, "bus", chance=0.0), [(0.0, WHOLE)]),
    (Fault(FaultKind.STUCK, "dev.x"), [(0.0, WHOLE)]),
])
def test_each_line_fault(fault: Fault, expected: list[tuple[float, str]]) -> None:
    assert sent(fault) == expected


def test_garble_flips_one_bit_and_never_a_tcp_value() -> None:
    line = LineFaults("bus", [Fault(FaultKind.GARBLE, "bus")], 3)
    for _ in range(200):
        (out,) = line.send("dev", REQUEST, PDU, Framing.TCP, 0.0)
        whole = bytes.fromhex(WHOLE)
        assert sum((a ^ b).bit_count() for a, b in zip(out.octets, whole, strict=True)) == 1
        assert out.octets[9:] == whole[9:]


MANY = [Fault(FaultKind.DROP, "bus", chance=0.3), Fault(FaultKind.GARBLE, "dev", chance=0.5),
        Fault(FaultKind.DUPLICATE, "bus", chance=0.2), Fault(FaultKind.BABBLE, "bus", amount=30.0)]


@given(st.integers(0, 2**31), st.sampled_from(list(Framing)))
def test_same_seed_same_bytes(seed: int, framing: Framing) -> None:
    def run(with_seed: int) -> list[object]:
        line = LineFaults("bus", MANY, with_seed)
        return [(line.send("dev", REQUEST, PDU, framing, n / 10), line.babble(n / 10, 0.1)) for n in range(30)]

    assert run(seed) == run(seed)
    assert run(seed) != run(seed + 1)


def test_babble_comes_at_its_rate() -> None:
    line = LineFaults("bus", MANY, 1)
    total = sum(len(line.babble(n * 0.1, 0.1)) for n in range(1000))
    assert 2800 < total < 3200


def test_a_message_is_bent_likewise() -> None:
    line = LineFaults("air", [Fault(FaultKind.DUPLICATE, "air", delay_s=1.0), Fault(FaultKind.SHORT, "hall")], 1)
    out = line.publish("hall", b'{"a":1}', 0.0)
    assert [(o.delay_s, o.octets) for o in out] == [(0.0, b'{"a":'), (1.0, b'{"a":')]
    assert line.publish("attic", b"x", 0.0)[0].octets == b"x"
    assert LineFaults("air", [Fault(FaultKind.SILENT, "hall")], 1).publish("hall", b"x", 0.0) == []


@pytest.mark.parametrize("baud", [1200, 9600, 19200, 115200])
def test_a_line_takes_the_time_of_its_characters(baud: int) -> None:
    pace = LinePace(baud, 10, 0.0)
    character_us = 10e6 / baud
    pace.heard(8, 1_000_000)
    pieces = pace.reply(bytes(25), 1_000_000)
    t35_us = 1750 if baud > 19200 else 3.5 * character_us
    assert b"".join(piece for _, piece in pieces) == bytes(25)
    assert pieces[-1][0] == pytest.approx(1_000_000 + 33 * character_us + t35_us, abs=2)
    # After n bytes no more than n characters' time may have passed, and no byte comes before its time.
    count = 0
    for due_us, piece in pieces:
        count += len(piece)
        assert due_us - (1_000_000 + 8 * character_us + t35_us) >= count * character_us - 2


def test_turns_do_not_overlap() -> None:
    pace = LinePace(9600, 11, 0.02)
    first = pace.reply(bytes(20), 0)
    pace.heard(8, 0)  # a master that does not wait talks into the reply; the line is busy until then
    second = pace.reply(bytes(20), 0)
    assert second[0][0] > first[-1][0] + 8 * pace.character_us + 20_000
    assert pace.reply(b"", 0) == []


def test_a_hundred_polls_at_9600_baud_take_what_arithmetic_says() -> None:
    pace = LinePace(9600, 10, 0.0)
    at_us = 0
    for _ in range(100):
        pace.heard(8, at_us)
        at_us = pace.reply(bytes(25), at_us)[-1][0]
    assert at_us / 1e6 == pytest.approx(100 * (33 + 3.5) / 960, rel=0.001)
