"""Wire codecs: bytes to events and back, both roles, for protocols that no well-kept library speaks. All pure."""

from wire_codecs.buffer import ReceiveBuffer
from wire_codecs.checksums import crc16_dc09, crc16_hj212, crc16_modbus, modbus_frame

__all__ = ["ReceiveBuffer", "crc16_dc09", "crc16_hj212", "crc16_modbus", "modbus_frame"]
