"""The Modbus server side against the standard's own examples, and against garbage."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from device_model.profile import ModbusTraits, RegisterSource, Table
from firmware_sim.device import VirtualDevice
from firmware_sim.modbus_device import (
    BUFFER_MAX,
    Framing,
    ModbusUnits,
    NotModbus,
    Request,
    RtuFrames,
    TcpFrames,
    frame,
)
from tests.firmware_sim.sim_fixtures import CLIMATE, DUCT, GAS, point, profile

FLAT = profile("flat", tuple(
    point(f"r{a}", "count", register=RegisterSource(Table.HOLDING, a), writable=True) for a in range(8)))


def units() -> ModbusUnits:
    return ModbusUnits({1: VirtualDevice("d", DUCT), 2: VirtualDevice("g", GAS), 3: VirtualDevice("c", CLIMATE),
                        4: VirtualDevice("f", FLAT)})


@pytest.mark.parametrize(("unit", "pdu", "reply"), [
    (1, "0200000004", "020101"),  # head present only
    (1, "0300000002", "030400 00 00EA"),
    (3, "0500000000", "0500000000"),
    (3, "0500001234", "8503"),
    (4, "0600020007", "0600020007"),
    (4, "10000100020400 0A0102", "1000010002"),
    (4, "16000400F20025", "16000400F20025"),
    (4, "17000000020006000204 00FF00FF", "170400000000"),
    (1, "0400000001", "8402"),
    (1, "6300", "E301"),
    (1, "03", "8303"),
    (1, "0300000000", "8303"),
    (1, "030000007E", "8303"),
    (1, "2B0E0100", "2B0E018100000300 0454657374 01 0444554354 02 0573696D2D31"),
    (9, "0300000001", "830B"),
])
def test_answers(unit: int, pdu: str, reply: str) -> None:
    got = units().answer(Request(unit, bytes.fromhex(pdu)), Framing.TCP)
    assert got is not None and got.hex() == bytes.fromhex(reply).hex()


def test_rtu_is_silent_to_strangers_and_obeys_broadcasts() -> None:
    port = units()
    assert port.answer(Request(9, bytes.fromhex("0300000001")), Framing.RTU) is None
    assert port.answer(Request(0, bytes.fromhex("0600030009")), Framing.RTU) is None
    assert port.units[4].image.read(Table.HOLDING, 3, 1) == [9]


def test_a_device_without_power_says_nothing() -> None:
    port = units()
    port.units[1].power(on=False)
    assert port.answer(Request(1, bytes.fromhex("0200000004")), Framing.TCP) is None


def test_the_profiles_own_limits_hold() -> None:
    assert profile("p", (), modbus=ModbusTraits(max_registers=1)).modbus is not None
    assert units().answer(Request(3, bytes.fromhex("0400040009")), Framing.TCP) == bytes.fromhex("8403")
    assert units().answer(Request(3, bytes.fromhex("0400040002")), Framing.TCP) == bytes.fromhex("8402")


@given(st.integers(1, 247), st.binary(min_size=1, max_size=60))
def test_crc_is_that_of_pymodbus(unit: int, pdu: bytes) -> None:
    octets = frame(Framing.RTU, unit, pdu)
    assert struct.unpack(">H", octets[-2:])[0] == FramerRTU.compute_CRC(octets[:-2])


def test_crc_of_the_recorded_request() -> None:
    # device_register_maps.md no 17: request 01 03 00 04 00 01 + CRC C5 CB.
    assert frame(Framing.RTU, 1, bytes.fromhex("0300040001")).hex() == "010300040001c5cb"


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 255), st.binary(min_size=1, max_size=40)),
                max_size=8),
       st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_tcp_requests_come_out_in_order_however_split(sent: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frame(Framing.TCP, unit, pdu, transaction) for transaction, unit, pdu in sent)
    frames, got, at, turn = TcpFrames(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        got += frames.feed(stream[at:at + size])
        at, turn = at + size, turn + 1
    assert got == [Request(unit, pdu, transaction) for transaction, unit, pdu in sent]


@given(st.binary(max_size=600))
def test_garbage_never_breaks_the_server(octets: bytes) -> None:
    port, serial = units(), RtuFrames()
    for request in serial.feed(octets):
        port.answer(request, Framing.RTU)
    tcp = TcpFrames()
    try:
        for request in tcp.feed(octets):
            port.answer(request, Framing.TCP)
    except NotModbus:
        pass
    assert len(serial._buffer) <= BUFFER_MAX and len(tcp._buffer) <= BUFFER_MAX


@given(st.binary(min_size=1, max_size=80))
def test_any_pdu_gets_a_reply_that_fits_a_frame(pdu: bytes) -> None:
    reply = units().answer(Request(2, pdu), Framing.TCP)
    assert reply is not None and 2 <= len(reply) <= 253 and reply[0] & 0x7F == pdu[0] & 0x7F


def test_rtu_resumes_after_a_pause() -> None:
    frames = RtuFrames()
    whole = frame(Framing.RTU, 1, bytes.fromhex("0300000001"))
    assert frames.feed(whole[:5]) == []
    frames.pause()
    assert frames.feed(whole) == [Request(1, bytes.fromhex("0300000001"))]
    assert frames.feed(whole[:-1] + b"\0") == [] and frames.refused == 2
