"""A serial bus to measure against: a pty whose bytes take the time that a wire would take.

    request ─ its characters on the wire ─ t3.5 ─ reply, character by character ─┐
    time starts when the first byte of the request is seen                       └ its last byte arrives exactly then

A thread of a process of its own (`python -m bench.modbus_server_rtu …`), so that a busy gateway does not stretch the
wire. It prints the path of its pty. Dead units never answer. A character is 11 bits, as the standard says.
"""

from __future__ import annotations

import argparse
import os
import select
import struct
import sys
import time
import tty

BITS_PER_CHARACTER = 11
REQUEST_BYTES = 8
# The end of a reply is what counts; before it, the bytes come in pieces, as a UART's FIFO gives them.
PIECE_BYTES = 8


def character_s(baud: int) -> float:
    """Seconds of one character on the wire."""
    return BITS_PER_CHARACTER / baud


def gap_s(baud: int) -> float:
    """t3.5: the silence between two frames; fixed by the standard above 19200 baud."""
    return 1.75e-3 if baud > 19200 else 3.5 * character_s(baud)


def transaction_s(baud: int, registers: int) -> float:
    """The least time of one read: request, silence, reply, silence. Nobody can be faster on this wire."""
    return (REQUEST_BYTES + 5 + 2 * registers) * character_s(baud) + 2 * gap_s(baud)


def crc(frame: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def reply_to(request: bytes, units: range, dead: range) -> bytes:
    """The reply of a bus whose registers hold 20.0 degrees; empty where nobody answers."""
    unit, function, _, count = struct.unpack(">BBHH", request[:6])
    if crc(request[:6]) != request[6:8] or unit not in units or unit in dead:
        return b""
    if function not in (3, 4) or not 1 <= count <= 125:
        body = bytes((unit, function | 0x80, 1))
    else:
        body = bytes((unit, function, 2 * count)) + struct.pack(">H", 200) * count
    return body + crc(body)


def serve(master: int, baud: int, units: range, dead: range) -> None:
    """Answer for ever, at the speed of the wire."""
    character = character_s(baud)
    waiting = b""
    while True:
        waiting += os.read(master, 256)
        seen = time.monotonic()
        while len(waiting) < REQUEST_BYTES and select.select([master], [], [], 0.05)[0]:
            waiting += os.read(master, 256)
        request, waiting = waiting[:REQUEST_BYTES], b""  # one master: what else came is noise
        reply = reply_to(request, units, dead) if len(request) == REQUEST_BYTES else b""
        at = seen + REQUEST_BYTES * character + gap_s(baud)
        for start in range(0, len(reply), PIECE_BYTES):
            piece = reply[start:start + PIECE_BYTES]
            at += len(piece) * character
            time.sleep(max(0.0, at - time.monotonic()))
            os.write(master, piece)


def main() -> None:
    """Open the pty, say its path, serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--baud", type=int, default=9600)
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--dead", type=int, default=0, help="the first so many units never answer")
    options = parser.parse_args()
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    try:
        serve(master, options.baud, range(1, options.units + 1), range(1, options.dead + 1))
    except (OSError, KeyboardInterrupt):
        sys.exit(0)  # who measures is gone


if __name__ == "__main__":
    main()
