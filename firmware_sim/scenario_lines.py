"""SimLine: where simulated devices are reached: a port, a pseudo terminal, a broker."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

_BROKER = re.compile(r"mqtt://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(?::([0-9]{1,5}))?/?\Z")


class LineKind(StrEnum):
    """What a line of simulated devices is."""

    MODBUS_TCP = "modbus_tcp"
    PTY = "pty"  # Modbus RTU on a pseudo terminal, paced as the baud rate would
    MQTT = "mqtt"


class SimLine(msgspec.Struct, frozen=True):
    """One line. modbus_tcp: host, port (0: any free one, printed at start). pty: path of the symlink to make,
    baud, bits_per_character (start, data, parity, stop: 10 or 11), turnaround_s. mqtt: url mqtt://host:port."""

    id: str
    kind: LineKind
    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""
    baud: int = 9600
    bits_per_character: int = 10
    turnaround_s: float = 0.005
    url: str = "mqtt://127.0.0.1:1883"


def broker_address(url: str) -> tuple[str, int] | None:
    """Host and port of mqtt://host[:port]; None where it is not one."""
    match = _BROKER.match(url)
    if match is None:
        return None
    host, port = match.group(1).strip("[]"), int(match.group(2) or 1883)
    return (host, port) if 0 < port <= 65535 else None
