"""Conformance of HJ 212 hosts (receivers). Pure: packets of a station to send, and what must come back.

The station sends real-time values of 0 with the flag C (calibrating), so that no host takes them for measurements.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from firmware_sim.conform import Check
from wire_codecs.checksums import crc16_hj212, crc16_modbus
from wire_codecs.hj212 import Packet, encode_packet, instant_text, instant_us

_PACKET = re.compile(rb"##(\d{4})(.*?)([0-9A-Fa-f]{4})\r\n", re.DOTALL)


def host_checks(mn: str, password: str, st: str, wall_us: int) -> list[Check]:
    """The checklist of a host that knows this station."""
    def upload(
        number: int, cn: str = "2011", flag: int = 5, pnum: int | None = None, pno: int | None = None
    ) -> bytes:
        qn = instant_text(wall_us + number * 1000, milliseconds=True)
        area = ((("DataTime", qn[:14]),), (("a34004-Rtd", "0"), ("a34004-Flag", "C")))
        return encode_packet(Packet(qn, st, cn, password, mn, flag, pnum, pno, area if cn == "2011" else ()))

    def qn_of(number: int) -> str:
        return instant_text(wall_us + number * 1000, milliseconds=True)

    right = upload(1)
    segment = right[6:-6]
    modbus = right[:-6] + b"%04X\r\n" % crc16_modbus(segment)

    def answer(number: int, cn: str, more: Callable[[dict[str, str]], str] = lambda _f: "") -> Callable[[bytes], str]:
        return lambda octets: _answer(octets, qn_of(number), cn) or more(_answers(octets)[-1])

    return [
        Check("data_answer", "6.5, annex C", "an upload with Flag bit 0 gets 9014", "数据应答 9014", right,
              answer(1, "9014")),
        Check("crc", "annex A", "the answer's CRC and length are right", "应答的 CRC 与长度应正确", upload(2),
              _whole),
        Check("qn", "6.3.2", "the answer echoes the QN", "应答应回送 QN", upload(3),
              lambda o: "" if any(f.get("QN") == qn_of(3) for f in _answers(o)) else "another QN, or none"),
        Check("st", "6.3.2, table 5", "the answer carries ST=91", "应答 ST 应为 91", upload(4),
              answer(4, "9014", lambda f: "" if f.get("ST") == "91" else f"ST={f.get('ST')}")),
        Check("mn", "6.3.2", "the answer echoes the MN", "应答应回送 MN", upload(5),
              answer(5, "9014", lambda f: "" if f.get("MN") == mn else f"MN={f.get('MN')}")),
        Check("flag", "6.3.2", "the answer's Flag wants no answer", "应答 Flag 不应要求应答", upload(6),
              answer(6, "9014", lambda f: "" if not int(f.get("Flag") or 0) & 1 else f"Flag={f['Flag']}")),
        Check("empty_area", "annex C", "9014 has an empty data area", "9014 数据区应为空", upload(7),
              answer(7, "9014", lambda f: "" if not f["CP"] else f"CP={f['CP'][:30]}")),
        Check("no_answer_wanted", "6.3.2", "an upload with Flag bit 0 = 0 gets no answer", "Flag 位 0 为 0 不应应答",
              upload(8, flag=4), lambda o: "" if not _answers(o) else "it was answered", wait_s=0.6),
        Check("wrong_crc", "6.3.1, annex A", "a packet with a wrong CRC is not answered", "CRC 错误不应应答",
              right[:-6] + b"%04X\r\n" % (crc16_hj212(segment) ^ 0x0F0F),
              lambda o: "" if not _answers(o) else "it was answered", wait_s=0.6),
        Check("modbus_crc", "annex A", "a packet with Modbus' CRC is not answered", "Modbus CRC 不应被接受", modbus,
              lambda o: "" if not _answers(o) else "it was answered", wait_s=0.6),
        Check("after_wrong", "6.3.1", "the right packet behind garbage is answered", "错误数据之后的包应被应答",
              b"##00x?" + modbus + upload(9), answer(9, "9014")),
        Check("two_at_once", "6.1", "two packets in one segment get two answers", "粘包应分别应答",
              upload(10) + upload(11), lambda o: "" if len(_answers(o)) >= 2 else "not both were answered"),
        Check("split", "6.3.2, annex C.50", "each packet of a split record gets its own answer", "分包应逐包应答",
              upload(12, flag=7, pnum=2, pno=1) + upload(13, flag=7, pnum=2, pno=2),
              lambda o: "" if {f.get("QN") for f in _answers(o)} >= {qn_of(12), qn_of(13)} else "not both"),
        Check("notice", "6.5", "a notice (1013) gets 9013", "通知应答 9013", upload(14, "1013"),
              answer(14, "9013")),
    ]


def _answers(octets: bytes) -> list[dict[str, str]]:
    """The fields of what came; CP is the area's text. Read here without the product's decoder."""
    found = []
    for match in _PACKET.finditer(octets):
        head, _, area = match[2].decode("utf-8", "replace").partition("CP=&&")
        fields = dict(pair.partition("=")[::2] for pair in head.strip(";").split(";"))
        if fields.get("CN", "").startswith("901"):
            found.append({**fields, "CP": area.removesuffix("&&")})
    return found


def _answer(octets: bytes, qn: str, cn: str) -> str:
    answers = _answers(octets)
    if not answers:
        return f"no {cn}"
    fields = answers[-1]
    if fields.get("CN") != cn:
        return f"CN={fields.get('CN')} instead of {cn}"
    return "" if instant_us(fields.get("QN", "")) and fields["QN"] == qn else "another QN"


def _whole(octets: bytes) -> str:
    match = _PACKET.search(octets)
    if match is None:
        return "no answer"
    if len(match[2]) != int(match[1]):
        return f"length {match[1].decode()}, {len(match[2])} bytes"
    right = crc16_hj212(match[2])
    return "" if int(match[3], 16) == right else f"CRC {match[3].decode()}, should be {right:04X}"
