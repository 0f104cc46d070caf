"""What the Modbus benchmarks measure against: the servers answer rightly and the wire has the right speed."""

from __future__ import annotations

import struct

import pytest

from bench.modbus_server import Counts, UnitImage, _Port
from bench.modbus_server_rtu import character_s, crc, gap_s, reply_to, transaction_s
from device_drivers.links import request_payload
from device_model.ports import LineRequest
from wire_codecs import modbus_frame


class _Wire:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def request(unit: int, function: int, address: int, count: int, transaction: int = 1) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, unit, function, address, count)


def port(dead: tuple[int, ...] = ()) -> tuple[_Port, _Wire, Counts]:
    counts, wire = Counts(), _Wire()
    made = _Port({1: UnitImage(10, seed=0), 2: UnitImage(10, seed=1)}, dead, counts)
    made.connection_made(wire)  # type: ignore[arg-type]
    return made, wire, counts


def test_reads_are_answered_also_in_pieces() -> None:
    made, wire, counts = port()
    data = request(1, 3, 2, 3) + request(2, 4, 0, 1, 2)
    made.data_received(data[:7])
    assert wire.written == b""
    made.data_received(data[7:])
    assert wire.written[:15] == struct.pack(">HHHBBB3H", 1, 0, 9, 1, 3, 6, 202, 203, 204)
    assert (counts.requests, counts.values) == (2, 4)


@pytest.mark.parametrize(("function", "address", "count"), [(1, 0, 1), (3, 8, 3), (16, 0, 1)])
def test_what_is_not_there_is_refused(function: int, address: int, count: int) -> None:
    made, wire, counts = port()
    made.data_received(request(1, function, address, count))
    assert wire.written[7:] == bytes((function | 0x80, 2)) and counts.requests == 0


def test_dead_and_unknown_units_are_silent() -> None:
    made, wire, _ = port(dead=(2,))
    made.data_received(request(2, 3, 0, 1) + request(7, 3, 0, 1))
    assert wire.written == b""


@pytest.mark.parametrize(("share", "moves"), [(0.0, 0), (0.01, 10), (0.5, 500), (1.0, 1000)])
def test_the_wished_share_of_the_values_moves_each_period(share: float, moves: int) -> None:
    image = UnitImage(1000, seed=3)
    for turn in range(6):
        before = bytes(image.image)
        assert image.move(share) == moves
        after = bytes(image.image)
        changed = sum(before[at:at + 2] != after[at:at + 2] for at in range(0, 2000, 2))
        assert changed == moves, turn


def test_the_rtu_server_speaks_rtu() -> None:
    ask = bytes((5, 3, 0, 0, 0, 2))
    assert modbus_frame is not None and request_payload(LineRequest(5, 3, 0, 2)) == ask[2:]
    # "01 03 00 00 00 0A" with CRC C5 CD stands in every Modbus tutorial.
    assert crc(bytes.fromhex("01 03 00 00 00 0a")) == bytes.fromhex("c5 cd")
    reply = reply_to(ask + crc(ask), range(1, 10), range(1, 3))
    assert reply[:-2] == bytes((5, 3, 4, 0, 200, 0, 200)) and crc(reply[:-2]) == reply[-2:]


@pytest.mark.parametrize("unit", [2, 11])
def test_the_rtu_server_is_silent_for_dead_and_unknown_units(unit: int) -> None:
    ask = bytes((unit, 3, 0, 0, 0, 2))
    assert reply_to(ask + crc(ask), range(1, 10), range(1, 3)) == b""


def test_garbage_is_not_answered() -> None:
    assert reply_to(bytes(8), range(1, 10), range(0)) == b""


def test_the_theoretical_time_of_a_read() -> None:
    # 8 + 45 characters of 11 bits and two silences of 3.5 characters at 9600 baud.
    assert transaction_s(9600, 20) == pytest.approx((53 + 7) * 11 / 9600)
    assert gap_s(115200) == 1.75e-3 and character_s(9600) == pytest.approx(1.1458e-3, rel=1e-3)
