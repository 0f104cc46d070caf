"""Conformance of Modbus servers, TCP and RTU. Pure: checks with their clauses; conform_run.py asks them.

AP = MODBUS Application Protocol V1.1b3 · TCP = MODBUS Messaging on TCP/IP V1.0b · SL = MODBUS over Serial Line V1.02
Nothing of the device changes: the two writes among the requests are malformed and aim beyond every map.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from firmware_sim.conform import Check
from firmware_sim.modbus_device import Framing, frame
from wire_codecs.checksums import modbus_frame

_TRANSACTION = 0x5A17
_FIRST_UNUSED = 0x66  # a function code that the standard leaves to nobody (public codes end at 43, users' at 110)


def modbus_checks(framing: Framing, unit: int, readable: tuple[int, int] = (3, 0)) -> list[Check]:
    """The checklist. readable: (function, address) of a register, or of a bit, that is there."""
    function, address = readable
    width, most = (1, 2000) if function in (1, 2) else (2, 125)
    read = struct.pack(">BHH", function, address, 1)

    def check(name: str, clause: str, en: str, zh: str, pdu: bytes, judge: Callable[[bytes], str]) -> Check:
        return Check(name, clause, en, zh, frame(framing, unit, pdu, _TRANSACTION),
                     lambda octets: _in_frame(framing, unit, octets) or judge(_pdu(framing, octets)))

    found = [
        check("read", "AP 6.1-6.4", f"one is read: byte count {width}, the function echoed",
              "读一个寄存器或线圈", read, lambda pdu: _normal(pdu, function, width)),
        check("count_zero", "AP 6.3", "a count of 0 is refused with exception 03", "数量为 0 应返回异常 03",
              struct.pack(">BHH", function, address, 0), lambda pdu: _exception(pdu, function, {3})),
        check("count_over", "AP 6.1-6.4", f"{most + 1} are refused with exception 03",
              f"数量 {most + 1} 应返回异常 03", struct.pack(">BHH", function, address, most + 1),
              lambda pdu: _exception(pdu, function, {3})),
        check("address_over", "AP 6.3, figure 13", "an address beyond 65,535 is refused with exception 02",
              "地址越界应返回异常 02", struct.pack(">BHH", function, 0xFFFF, 2),
              lambda pdu: _exception(pdu, function, {2})),
        check("bits_over", "AP 6.1", "2,001 coils are refused with exception 03 (01 without coils)",
              "线圈数量超限应返回异常 03", struct.pack(">BHH", 1, 0, 2001), lambda pdu: _exception(pdu, 1, {1, 3})),
        check("unknown_function", "AP 7", "an unknown function is refused with exception 01",
              "未知功能码应返回异常 01", bytes((_FIRST_UNUSED, 0, 0)),
              lambda pdu: _exception(pdu, _FIRST_UNUSED, {1})),
        check("identification", "AP 6.21", "function 43/14 gives the basic identification or exception 01",
              "功能码 43/14 设备标识", bytes((43, 14, 1, 0)), _identification),
        check("identification_object", "AP 6.21", "an unknown object is refused with 02 (or 01 without function 43)",
              "未知标识对象应返回异常 02", bytes((43, 14, 4, 0x7F)), lambda pdu: _exception(pdu, 43, {1, 2})),
        check("coil_value", "AP 6.5", "a coil value that is neither FF00 nor 0000 is refused with 03 (01, 02)",
              "线圈写入值非法应返回异常", struct.pack(">BHH", 5, 0xFFFF, 0x1234),
              lambda pdu: _exception(pdu, 5, {1, 2, 3})),
        check("byte_count", "AP 6.12", "a write whose byte count does not fit is refused with 03 (01)",
              "写多个寄存器的字节数不符应返回异常 03", struct.pack(">BHHBH", 16, 0xFFFF, 1, 1, 0),
              lambda pdu: _exception(pdu, 16, {1, 3})),
    ]
    return [*found, *(_tcp(unit, read) if framing is Framing.TCP else _rtu(unit, read))]


def _tcp(unit: int, read: bytes) -> list[Check]:
    whole = frame(Framing.TCP, unit, read, _TRANSACTION)
    second = frame(Framing.TCP, unit, read, _TRANSACTION + 1)
    return [
        Check("transaction", "TCP 3.1.3", "the transaction identifier is echoed", "事务标识符应原样返回", whole,
              lambda o: "" if o[:2] == whole[:2] else f"sent {whole[:2].hex()}, came {o[:2].hex() or 'nothing'}"),
        Check("protocol", "TCP 3.1.3", "the protocol identifier is 0", "协议标识符应为 0", whole,
              lambda o: "" if o[2:4] == b"\0\0" else f"came {o[2:4].hex() or 'nothing'}"),
        Check("length", "TCP 3.1.3", "the length counts unit identifier and PDU", "长度字段应为后续字节数", whole,
              lambda o: "" if len(o) > 6 and int.from_bytes(o[4:6], "big") == len(o) - 6 else
              f"says {int.from_bytes(o[4:6], 'big')}, {max(0, len(o) - 6)} bytes follow"),
        Check("unit", "TCP 3.1.3", "the unit identifier is echoed", "单元标识符应原样返回", whole,
              lambda o: "" if o[6:7] == whole[6:7] else f"sent {unit}, came {o[6:7].hex() or 'nothing'}"),
        Check("pipelined", "TCP 4.4.2", "two requests in one segment get two answers",
              "同一报文中的两个请求应分别应答", whole + second,
              lambda o: "" if o[:2] == whole[:2] and second[:2] in o[7:] else "not both were answered"),
        Check("foreign_protocol", "TCP 3.1.3", "a protocol identifier that is not 0 is not answered as Modbus",
              "协议标识符非 0 不应应答", whole[:2] + b"\0\1" + whole[4:],
              lambda o: "" if not o else "it was answered", wait_s=0.5, fresh=True),
    ]


def _rtu(unit: int, read: bytes) -> list[Check]:
    whole = modbus_frame(bytes((unit,)) + read)
    quiet: Callable[[bytes], str] = lambda o: "" if not o else "it was answered"  # noqa: E731  one word for both
    return [
        Check("crc_wrong", "SL 2.5.1.2", "a frame with a wrong CRC is not answered", "CRC 错误不应应答",
              whole[:-1] + bytes((whole[-1] ^ 0x55,)), quiet, wait_s=0.6),
        Check("broadcast", "SL 2.1", "a broadcast (unit 0) is not answered", "广播（地址 0）不应应答",
              modbus_frame(b"\0" + read), quiet, wait_s=0.6),
        Check("other_unit", "SL 2.2", "another unit's request is not answered", "其他地址的请求不应应答",
              modbus_frame(bytes((unit % 247 + 1,)) + read), quiet, wait_s=0.6),
        Check("torn", "SL 2.5.1.1", "after a torn frame and a pause the next frame is answered",
              "残帧之后应恢复应答", whole[:4], lambda o: "" if not o else "half a frame was answered", wait_s=0.6),
        Check("after_torn", "SL 2.5.1.1", "the frame behind the pause is answered", "停顿后的完整帧应被应答", whole,
              lambda o: "" if len(o) >= 5 and modbus_frame(o[:-2]) == o else "it was not answered rightly"),
    ]


# -- judges --------------------------------------------------------------------------------------------------------


def _pdu(framing: Framing, octets: bytes) -> bytes:
    return octets[7:] if framing is Framing.TCP else octets[1:-2]


def _in_frame(framing: Framing, unit: int, octets: bytes) -> str:
    if not octets:
        return "no answer"
    if framing is Framing.RTU:
        if len(octets) < 5 or modbus_frame(octets[:-2]) != octets:
            return "the CRC of the answer is wrong"
        return "" if octets[0] == unit else f"unit {octets[0]} answered"
    return "" if len(octets) >= 9 else "the answer is no frame"


def _normal(pdu: bytes, function: int, count: int) -> str:
    if pdu[:1] == bytes((function | 0x80,)):
        return f"exception {pdu[1:2].hex()} for a register that should be there"
    if pdu[:1] != bytes((function,)):
        return f"function {pdu[:1].hex()} answered"
    return "" if len(pdu) == 2 + count and pdu[1] == count else f"byte count {pdu[1:2].hex()}, {len(pdu) - 2} bytes"


def _exception(pdu: bytes, function: int, codes: set[int]) -> str:
    wanted = "/".join(f"{code:02}" for code in sorted(codes))
    if pdu[:1] == bytes((function,)):
        return f"a normal answer instead of exception {wanted}"
    if len(pdu) != 2 or pdu[0] != (function | 0x80):
        return f"{pdu[:4].hex(' ')} is no exception of function {function}"
    return "" if pdu[1] in codes else f"exception {pdu[1]:02} instead of {wanted}"


def _identification(pdu: bytes) -> str:
    if pdu[:1] == b"\xab":
        return "" if pdu[1:2] == b"\x01" else f"exception {pdu[1:2].hex()} instead of 01"
    if pdu[:3] != b"\x2b\x0e\x01" or len(pdu) < 7:
        return f"{pdu[:4].hex(' ')} is no identification"
    at, ids = 7, []
    for _ in range(pdu[6]):
        if at + 2 > len(pdu) or at + 2 + pdu[at + 1] > len(pdu):
            return "an object goes beyond the end"
        ids.append(pdu[at])
        at += 2 + pdu[at + 1]
    if at != len(pdu):
        return "bytes behind the last object"
    return "" if ids[:3] == [0, 1, 2] or pdu[4] == 0xFF else f"objects {ids}: 0, 1 and 2 are mandatory"
