"""Traces: bounded, exported as pcapng, CSV and a recording that replays; frames in words, whatever the bytes."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.frame_log import Frame, FrameLog
from firmware_sim.frame_words import frame_words
from firmware_sim.line_recording import file_text, parse_line_file
from firmware_sim.pcapng import as_pcapng
from firmware_sim.scenario_lines import LineKind, Role, SimLine

ASK, REPLY = bytes.fromhex("000700000006010400000002"), bytes.fromhex("00070000000701040443660000")
BUS = SimLine("bus", LineKind.MODBUS_TCP)


def log() -> FrameLog:
    it = FrameLog(1_767_225_600_000_000)
    it.add(1000, "bus", ASK, ours=False)
    it.add(2000, "bus", REPLY, ours=True)
    it.add(3000, "air", b'{"smoke":true}', ours=True, topic="zigbee2mqtt/hall", device="hall")
    return it


def test_a_trace_reads_back_and_holds_the_bytes() -> None:
    recorded = log().line_file(BUS)
    again = parse_line_file(file_text(recorded.head, recorded.pieces), "trace")
    assert [(p.speaker, p.octets) for p in again.pieces if p.hex] == [("client", ASK), ("server", REPLY)]
    octets = as_pcapng(recorded)
    assert octets.startswith(bytes.fromhex("0A0D0D0A")) and ASK in octets and REPLY in octets
    air = log().line_file(SimLine("air", LineKind.MQTT))
    assert air.head.kind == "mqtt" and air.pieces[0].topic == "zigbee2mqtt/hall"
    panel = log().line_file(SimLine("bus", LineKind.GBT26875, role=Role.SERVER))
    assert {p.speaker for p in panel.pieces if p.hex} == {"client", "server"}


def test_a_serial_trace_is_a_table() -> None:
    rows = list(csv.reader(io.StringIO(log().as_csv(SimLine("bus", LineKind.PTY, path="x")))))
    assert rows[0] == ["seconds", "connection", "from", "topic", "hex"]
    assert rows[2][:3] == ["0.002000", "0", "device"] and bytes.fromhex(rows[2][4]) == REPLY


def test_the_oldest_go_first_and_are_counted() -> None:
    it = FrameLog(0, most=3)
    for number in range(5):
        it.add(number, "bus", bytes([number]), ours=True)
    assert (it.dropped, it.count) == (2, 5)
    assert [frame.octets for frame in it.after(0, "bus", 10)] == [b"\2", b"\3", b"\4"]
    assert [frame.number for frame in it.after(4, "bus", 10)] == [5] and it.after(0, "other", 10) == []
    assert [frame.number for frame in it.after(0, "bus", 2)] == [4, 5]


def test_messages_of_a_device_are_its_own() -> None:
    it = log()
    it.add(4000, "air", b"x", ours=True, topic="zigbee2mqtt/bed", device="bed")
    assert [frame.device for frame in it.after(0, "air", 10, "bed")] == ["bed"]


@pytest.mark.parametrize(("kind", "octets", "ours", "en", "zh"), [
    (LineKind.MODBUS_TCP, ASK, False, "unit 1 · 04 read input registers · from 0 · 2",
     "站号 1 · 04 读输入寄存器 · 自 0 · 2"),
    (LineKind.MODBUS_TCP, REPLY, True, "unit 1 · 04 read input registers · 4366 0000",
     "站号 1 · 04 读输入寄存器 · 4366 0000"),
    (LineKind.MODBUS_TCP, bytes.fromhex("000700000003018302"), True,
     "unit 1 · 03 read holding registers · exception 2: illegal address",
     "站号 1 · 03 读保持寄存器 · 异常 2: 非法地址"),
    (LineKind.PTY, bytes.fromhex("0106000100039809"), False, "CRC wrong, or a piece", "CRC 错误或片段"),
    (LineKind.PTY, bytes.fromhex("010600010003980B"), False, "unit 1 · 06 write a register · 1 := 0003",
     "站号 1 · 06 写单个寄存器 · 1 := 0003"),
    (LineKind.MQTT, b'{"smoke":true}', True, 't {"smoke":true}', 't {"smoke":true}'),
    (LineKind.HJ212, b"##0101QN=1\r\n", True, "##0101QN=1", "##0101QN=1"),
    (LineKind.GBT26875, b"@@short##", True, "no whole frame", "不是完整帧"),
])
def test_frames_in_words(kind: LineKind, octets: bytes, ours: bool, en: str, zh: str) -> None:
    frame = Frame(1, 0, "l", 0, ours, octets, "t" if kind is LineKind.MQTT else "")
    assert frame_words(kind, frame, "en") == en and frame_words(kind, frame, "zh") == zh


@settings(max_examples=200)
@given(st.sampled_from(list(LineKind)), st.binary(max_size=60), st.booleans())
def test_any_bytes_are_borne(kind: LineKind, octets: bytes, ours: bool) -> None:
    assert isinstance(frame_words(kind, Frame(1, 0, "l", 0, ours, octets)), str)
