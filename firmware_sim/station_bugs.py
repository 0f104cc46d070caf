"""Bugs that stations in the field have, by name, so that a host can be shown each of them. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from wire_codecs.checksums import crc16_modbus
from wire_codecs.hj212 import TAIL, Cipher, Packet, encode_packet


class StationBug(StrEnum):
    """What the firmware does wrong, with the clause of HJ 212-2017 that it breaks."""

    MODBUS_CRC = "modbus_crc"  # annex A: the CRC is not Modbus'
    LOWER_CRC = "lower_crc"  # annex A prints upper case
    LENGTH_WITH_TAIL = "length_with_tail"  # 6.3.1: the length counts the data segment only
    NO_TAIL = "no_tail"  # 6.3.1: CR LF
    NO_DATA_TIME = "no_data_time"  # 6.3.4: every record says of when it is
    NO_FLAG = "no_flag"  # 6.3.2: Flag
    SHORT_QN = "short_qn"  # 6.3.2: QN has 17 digits
    NO_REPEAT = "no_repeat"  # 6.5, table 1: what is not answered is sent again


def written(packet: Packet, bugs: frozenset[StationBug], encrypt: Cipher | None = None) -> bytes:
    """The packet as the faulty firmware sends it."""
    if StationBug.NO_FLAG in bugs and packet.pnum is None:
        packet = msgspec.structs.replace(packet, flag=None)
    if StationBug.SHORT_QN in bugs:
        packet = msgspec.structs.replace(packet, qn=packet.qn[:14])
    if StationBug.NO_DATA_TIME in bugs:
        packet = msgspec.structs.replace(packet, area=tuple(g for g in packet.area if g[0][0] != "DataTime"))
    octets = encode_packet(packet, encrypt)
    segment, sum_text = octets[6:-6], octets[-6:-2]
    if StationBug.MODBUS_CRC in bugs:
        sum_text = b"%04X" % crc16_modbus(segment)
    if StationBug.LOWER_CRC in bugs:
        sum_text = sum_text.lower()
    length = len(segment) + (6 if StationBug.LENGTH_WITH_TAIL in bugs else 0)
    return b"##%04d" % length + segment + sum_text + (b"" if StationBug.NO_TAIL in bugs else TAIL)
