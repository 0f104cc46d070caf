"""Frames in words: what a piece of bytes on a simulated line says, field by field, for people who test.

    00 07 00 00 00 06 01 04 00 00 00 02 ──► unit 1 · 04 read input registers · from 0 · 2

A reading aid, no driver: it explains what is plain and says nothing of what it does not know. English and Chinese.
"""

from __future__ import annotations

import struct

from device_model.errors import TocsinError
from device_model.site import Text
from firmware_sim.frame_log import Frame
from firmware_sim.scenario_lines import LineKind
from wire_codecs.checksums import modbus_frame
from wire_codecs.gbt26875 import Command, decode_frame

_FUNCTIONS: dict[int, Text] = {
    1: Text("read coils", "读线圈"), 2: Text("read discrete inputs", "读离散输入"),
    3: Text("read holding registers", "读保持寄存器"), 4: Text("read input registers", "读输入寄存器"),
    5: Text("write a coil", "写单个线圈"), 6: Text("write a register", "写单个寄存器"),
    15: Text("write coils", "写多个线圈"), 16: Text("write registers", "写多个寄存器"),
    22: Text("mask a register", "掩码写寄存器"), 23: Text("read and write registers", "读写寄存器"),
    43: Text("read identification", "读设备标识"),
}
_EXCEPTIONS: dict[int, Text] = {
    1: Text("illegal function", "非法功能"), 2: Text("illegal address", "非法地址"),
    3: Text("illegal value", "非法数值"), 4: Text("device failure", "设备故障"), 6: Text("busy", "设备忙"),
    11: Text("target silent", "目标无响应"),
}
_COMMANDS: dict[int, Text] = {
    Command.CONTROL: Text("control", "控制"), Command.SEND: Text("send", "发送"),
    Command.CONFIRM: Text("confirm", "确认"), Command.REQUEST: Text("request", "请求"),
    Command.REPLY: Text("reply", "应答"), Command.DENY: Text("deny", "否认"),
}
_WORDS_MAX = 12
_MODBUS = frozenset({LineKind.MODBUS_TCP, LineKind.MODBUS_TLS, LineKind.PTY, LineKind.SERIAL})


def frame_words(kind: LineKind, frame: Frame, language: str = "zh") -> str:
    """What a frame says; "" for what is not understood."""
    if kind in _MODBUS:
        return _modbus(frame, language, tcp=kind in (LineKind.MODBUS_TCP, LineKind.MODBUS_TLS))
    if kind is LineKind.MQTT:
        return f"{frame.topic} {_plain(frame.octets)}"
    if kind is LineKind.GBT26875:
        return _panel(frame.octets, language)
    return _plain(frame.octets)


def _modbus(frame: Frame, language: str, *, tcp: bool) -> str:
    octets = frame.octets
    if tcp:
        if len(octets) < 9 or octets[2:4] != b"\0\0":
            return _say(language, "no Modbus/TCP frame", "不是 Modbus/TCP 帧")
        unit, pdu = octets[6], octets[7:6 + struct.unpack(">H", octets[4:6])[0]]
    else:
        if len(octets) < 4:
            return _say(language, "a piece", "片段")
        if modbus_frame(octets[:-2]) != octets:
            return _say(language, "CRC wrong, or a piece", "CRC 错误或片段")
        unit, pdu = octets[0], octets[1:-2]
    if not pdu:
        return ""
    head = _say(language, f"unit {unit}", f"站号 {unit}")
    return f"{head} · {_pdu(pdu, language, reply=frame.ours)}"


def _pdu(pdu: bytes, language: str, *, reply: bool) -> str:
    function = pdu[0] & 0x7F
    name = _FUNCTIONS.get(function, Text("function", "功能"))
    said = f"{function:02X} {name.in_language(language)}"
    if pdu[0] & 0x80:
        code = pdu[1] if len(pdu) > 1 else 0
        why = _EXCEPTIONS.get(code, Text("unknown", "未知")).in_language(language)
        return f"{said} · {_say(language, 'exception', '异常')} {code}: {why}"
    if reply and function in (1, 2, 3, 4, 23) and len(pdu) > 1:
        body = pdu[2:]
        if function in (1, 2):
            return f"{said} · {' '.join(f'{octet:08b}'[::-1] for octet in body[:_WORDS_MAX])}"
        words = [f"{word:04X}" for (word,) in struct.iter_unpack(">H", body[:len(body) // 2 * 2])]
        return f"{said} · {' '.join(words[:_WORDS_MAX])}{' …' if len(words) > _WORDS_MAX else ''}"
    if len(pdu) >= 5 and function in (1, 2, 3, 4, 15, 16, 23):
        address, count = struct.unpack(">HH", pdu[1:5])
        return f"{said} · {_say(language, 'from', '自')} {address} · {count}"
    if len(pdu) >= 5 and function in (5, 6):
        address, value = struct.unpack(">HH", pdu[1:5])
        return f"{said} · {address} := {value:04X}"
    return said


def _panel(octets: bytes, language: str) -> str:
    try:
        frame = decode_frame(octets)
    except (TocsinError, ValueError):
        return _say(language, "no whole frame", "不是完整帧")
    name = _COMMANDS.get(frame.command)
    said = name.in_language(language) if name is not None else str(int(frame.command))
    unit = frame.unit
    if len(unit) >= 2:
        said += _say(language, f" · type {unit[0]} · {unit[1]} objects", f" · 类型 {unit[0]} · {unit[1]} 个对象")
    return f"{_say(language, 'serial', '流水号')} {frame.serial} · {said}"


def _plain(octets: bytes) -> str:
    text = octets[:400].decode("utf-8", "replace").strip()
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def _say(language: str, en: str, zh: str) -> str:
    return zh if language == "zh" else en
