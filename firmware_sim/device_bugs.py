"""Firmware bugs of a device by name, so that a driver can be shown each of them. `bugs:` of a device.

    request ─bent_request─► device ─► reply ─BugState.bend─► (delay, reply)      Modbus devices
    raw value ─► bent_source ─► register                                        all that show numbers in registers
    wall time ─► bent_wall_us ─► payload                                        MQTT time stamps

Faults come and go by the clock (faults.py); a bug is always there. Bugs of whole lines, panels and stations stand in
modbus_bugs.py, panel_bugs.py, station_bugs.py.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.profile import REGISTER_COUNT, RegisterSource, WordOrder

LATE_S = 1.5
LATE_EVERY = 5
TRUNCATED_EVERY = 7
ZERO_AFTER_BOOT_S = 30.0
# 2000-01-01T00:00:00Z: where clocks without a battery begin.
YEAR_2000_US = 946_684_800_000_000


class DeviceBug(StrEnum):
    """What the firmware does wrong."""

    OFF_BY_ONE_ADDRESS = "off_by_one_address"  # register n is answered with register n + 1
    WORD_SWAPPED = "word_swapped"  # 32 and 64 bit values in the other word order than the manual says
    BYTE_SWAPPED = "byte_swapped"  # low byte first within each register
    STICKY_EXCEPTION = "sticky_exception"  # after one exception it answers nothing else until power is cut
    LATE_REPLY = "late_reply"  # every fifth reply comes 1.5 s late: after the master has given up
    TRUNCATED_REPLY = "truncated_reply"  # every seventh reply has lost its last two bytes, checksum or length right
    ZERO_AFTER_BOOT = "zero_after_boot"  # numbers read 0 for 30 s after a boot, as if they were measured
    YEAR_2000 = "year_2000"  # its clock begins at 2000 with every boot
    DEAF_WRITE = "deaf_write"  # acknowledges a write, shows it when read back, and does nothing
    UNSIGNED = "unsigned"  # forgets the sign: -5 °C shows as +5 °C


MODBUS_ONLY = frozenset(DeviceBug) - {DeviceBug.YEAR_2000, DeviceBug.ZERO_AFTER_BOOT, DeviceBug.UNSIGNED}
_READS = (1, 2, 3, 4)


def bent_request(bugs: frozenset[DeviceBug], pdu: bytes) -> bytes:
    """The request as the faulty firmware understands it."""
    if DeviceBug.OFF_BY_ONE_ADDRESS in bugs and len(pdu) == 5 and pdu[0] in _READS:
        address = (int.from_bytes(pdu[1:3], "big") + 1) & 0xFFFF
        return bytes((pdu[0],)) + address.to_bytes(2, "big") + pdu[3:]
    return pdu


def bent_source(bugs: frozenset[DeviceBug], source: RegisterSource) -> RegisterSource:
    """Where and how the faulty firmware puts a value."""
    if DeviceBug.WORD_SWAPPED in bugs and REGISTER_COUNT[source.type] > 1:
        other = WordOrder.LOW_FIRST if source.word_order is WordOrder.HIGH_FIRST else WordOrder.HIGH_FIRST
        source = msgspec.structs.replace(source, word_order=other)
    if DeviceBug.BYTE_SWAPPED in bugs:
        source = msgspec.structs.replace(source, byte_swap=not source.byte_swap)
    return source


def bent_number(bugs: frozenset[DeviceBug], value: float, since_boot_s: float) -> float:
    """The number that the faulty firmware shows."""
    if DeviceBug.ZERO_AFTER_BOOT in bugs and since_boot_s < ZERO_AFTER_BOOT_S:
        return 0.0
    return abs(value) if DeviceBug.UNSIGNED in bugs else value


def bent_wall_us(bugs: frozenset[DeviceBug], wall_us: int, since_boot_s: float) -> int:
    """The time that the faulty firmware believes in."""
    return YEAR_2000_US + round(since_boot_s * 1e6) if DeviceBug.YEAR_2000 in bugs else wall_us


class BugState:
    """What the bugs of one device remember between replies."""

    def __init__(self, bugs: frozenset[DeviceBug]) -> None:
        self.bugs = bugs
        self._replies = 0
        self._stuck = b""
        self._boots = 0

    def bend(self, pdu: bytes, boots: int) -> tuple[float, bytes]:
        """(delay in seconds, reply). boots: how often the device has booted."""
        if boots != self._boots:
            self._boots, self._stuck = boots, b""
        self._replies += 1
        if DeviceBug.STICKY_EXCEPTION in self.bugs:
            if pdu[0] & 0x80:
                self._stuck = self._stuck or pdu[1:]
            elif self._stuck:
                pdu = bytes((pdu[0] | 0x80,)) + self._stuck
        if DeviceBug.TRUNCATED_REPLY in self.bugs and self._replies % TRUNCATED_EVERY == 0 and len(pdu) > 4:
            pdu = pdu[:-2]
        late = DeviceBug.LATE_REPLY in self.bugs and self._replies % LATE_EVERY == 0
        return (LATE_S if late else 0.0), pdu
