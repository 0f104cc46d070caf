"""SimLine: where simulated devices are reached: a port, a pseudo or real serial port, a broker, a centre, a host."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from firmware_sim.modbus_bugs import ModbusBug
from firmware_sim.panel_bugs import PanelBug
from firmware_sim.station_bugs import StationBug

_BROKER = re.compile(r"mqtt://([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(?::([0-9]{1,5}))?/?\Z")
_PANEL_ADDRESS = re.compile(r"[0-9]{1,15}(/[0-9]{1,3}\.[0-9]{1,3}(/[0-9A-Fa-f]{8})?)?\Z")
_STATION_ADDRESS = re.compile(r"[0-9A-Za-z_-]{1,24}\Z")


class LineKind(StrEnum):
    """What a line of simulated devices is."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_TLS = "modbus_tls"  # Modbus/TCP Security: the same frames inside TLS
    PTY = "pty"  # Modbus RTU on a pseudo terminal, paced as the baud rate would
    SERIAL = "serial"  # Modbus RTU on a real serial port (an RS-485 adapter): hardware in the loop
    MQTT = "mqtt"
    GBT26875 = "gbt26875"  # fire panels behind transmission devices
    HJ212 = "hj212"  # environment stations
    LLS_TCP = "lls_tcp"  # LLS level probes behind a serial device server
    REPLAY = "replay"  # a recorded line, byte for byte


# The protocol that the profile of a device on such a line must have; "" for lines that bear no devices.
LINE_PROTOCOLS: dict[LineKind, str] = {
    LineKind.MODBUS_TCP: "modbus", LineKind.MODBUS_TLS: "modbus", LineKind.PTY: "modbus", LineKind.SERIAL: "modbus",
    LineKind.MQTT: "mqtt", LineKind.GBT26875: "gbt26875", LineKind.HJ212: "hj212", LineKind.LLS_TCP: "lls",
    LineKind.REPLAY: "",
}
SESSION_KINDS = frozenset({LineKind.GBT26875, LineKind.HJ212, LineKind.LLS_TCP, LineKind.REPLAY})


class Role(StrEnum):
    """Who opens the connection."""

    CLIENT = "client"  # the devices connect to host:port
    SERVER = "server"  # they listen on host:port


class Transport(StrEnum):
    """What carries a panel's frames."""

    TCP = "tcp"
    UDP = "udp"


class Parity(StrEnum):
    """Of a serial character."""

    NONE = "N"
    EVEN = "E"
    ODD = "O"


class SimLine(msgspec.Struct, frozen=True):
    """One line. modbus_tcp: host, port (0: any free one, printed at start). modbus_tls: also ca_file, which is
    written at start for those who connect. pty: path of the symlink to make,
    baud, bits_per_character (start, data, parity, stop: 10 or 11), turnaround_s. serial: path of the port, baud,
    parity, stop_bits, turnaround_s. mqtt: url mqtt://host:port, hub_devices (Zigbee
    devices that share a hub's connection; 0: a connection each). gbt26875, hj212: host and port of the centre or host
    (role client), or to listen on (role server); gbt26875: transport, centre (its address), heartbeat_s (0: none);
    lls_tcp: host, port; it always listens. hj212: edition, password, key (32 hex digits: SM4), real_time_s, minutes.
    replay: file, role, host, port, speed.
    bugs: named faults of the firmware (README). """

    id: str
    kind: LineKind
    host: str = "127.0.0.1"
    port: int = 0
    ca_file: str = ""
    path: str = ""
    baud: int = 9600
    bits_per_character: int = 10
    turnaround_s: float = 0.005
    parity: Parity = Parity.NONE
    stop_bits: int = 1
    url: str = "mqtt://127.0.0.1:1883"
    hub_devices: int = 0
    role: Role = Role.CLIENT
    transport: Transport = Transport.TCP
    centre: int = 1
    heartbeat_s: float = 20.0
    edition: int = 2017
    password: str = "123456"  # noqa: S105  the standard's own example, and most stations'
    key: str = ""
    real_time_s: int = 30
    minutes: int = 10
    file: str = ""
    speed: float = 1.0
    bugs: tuple[str, ...] = ()


def line_findings(line: SimLine) -> list[tuple[str, str, str]]:
    """What is wrong with a line by itself: (key, what, remedy)."""
    found: list[tuple[str, str, str]] = []
    if line.kind in (LineKind.PTY, LineKind.SERIAL) and not line.path:
        remedy = "add `path: ./sim-rs485`" if line.kind is LineKind.PTY else "add `path: /dev/ttyUSB0`"
        found.append(("path", f"the {line.kind} line {line.id} has no path", remedy))
    if line.kind is LineKind.MODBUS_TLS and not line.ca_file:
        found.append(("ca_file", f"the TLS line {line.id} names no ca_file", "add `ca_file: ./sim-ca.pem`: it is "
                      "written at start, and the gateway's line trusts it by its own ca_file"))
    for key in ("baud", "bits_per_character", "speed", "real_time_s", "minutes", "stop_bits"):
        if getattr(line, key) <= 0:
            found.append((key, "must be more than 0", "write a positive number"))
    if not 0 <= line.port <= 65535:
        found.append(("port", f"{line.port} is no port", "write 0 (any free one) to 65535"))
    if line.kind is LineKind.MQTT and broker_address(line.url) is None:
        found.append(("url", f"{line.url!r} is no broker", "write mqtt://host:port"))
    if line.edition not in (2005, 2017, 2025):
        found.append(("edition", f"{line.edition} is no edition of HJ 212", "write 2005, 2017 or 2025"))
    if line.key and not re.fullmatch(r"[0-9A-Fa-f]{32}", line.key):
        found.append(("key", "the key is not 32 hex digits", "write the 128-bit SM4 key in hex"))
    if line.kind is LineKind.REPLAY and not line.file:
        found.append(("file", f"the replay line {line.id} names no file", "add `file: recorded.jsonl`"))
    known = _bug_names(line.kind)
    found += [("bugs", f"no bug {name!r} of {line.kind}", f"bugs: {', '.join(sorted(known)) or 'none'}")
              for name in line.bugs if name not in known]
    return found


def address_finding(line: SimLine, address: str) -> tuple[str, str] | None:
    """What is wrong with a device's address on that line: (what, remedy), or None."""
    if line.kind is LineKind.GBT26875 and not _PANEL_ADDRESS.match(address):
        return f"{address!r} is no address on a panel", 'write "889", "889/1.1" or "889/1.1/0A000200"'
    if line.kind is LineKind.HJ212 and not _STATION_ADDRESS.match(address):
        return f"{address!r} is no MN", "write the station's id, up to 24 letters and digits"
    return None


def _bug_names(kind: LineKind) -> set[str]:
    if LINE_PROTOCOLS[kind] == "modbus":
        return {bug.value for bug in ModbusBug}
    if kind is LineKind.GBT26875:
        return {bug.value for bug in PanelBug}
    return {bug.value for bug in StationBug} if kind is LineKind.HJ212 else set()


def broker_address(url: str) -> tuple[str, int] | None:
    """Host and port of mqtt://host[:port]; None where it is not one."""
    match = _BROKER.match(url)
    if match is None:
        return None
    host, port = match.group(1).strip("[]"), int(match.group(2) or 1883)
    return (host, port) if 0 < port <= 65535 else None
