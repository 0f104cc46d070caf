"""What a Modbus TCP device says of its firmware (I/O): function 43/14, object 2, MajorMinorRevision; "" for silence.

Source: MODBUS Application Protocol V1.1b3, 6.21. It only reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from urllib.parse import urlsplit

_WITHIN_S = 2.0
_OBJECT = 2


async def firmware_of(target: str) -> str:
    """Of modbus://host:port/unit; "" for another kind of target, for silence, and where the device does not say."""
    parts = urlsplit(target)
    if parts.scheme != "modbus" or not parts.hostname:
        return ""
    unit = int(digits) if (digits := parts.path.strip("/")).isdecimal() else 1
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, struct.error, ValueError):
        return await asyncio.wait_for(_ask(parts.hostname, parts.port or 502, unit & 0xFF), _WITHIN_S)
    return ""


async def _ask(host: str, port: int, unit: int) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack(">HHHB", 1, 0, 5, unit) + bytes((43, 14, 4, _OBJECT)))
        head = await reader.readexactly(7)
        pdu = await reader.readexactly(struct.unpack(">H", head[4:6])[0] - 1)
    finally:
        writer.close()
    if len(pdu) < 9 or pdu[0] != 43 or pdu[7] != _OBJECT:
        return ""
    return pdu[9:9 + pdu[8]].decode("ascii", "replace")
