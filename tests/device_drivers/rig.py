"""Small things that the driver tests share: profiles from a line of text each, a line model, golden transcripts."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec

from device_drivers.driver import LineDevice
from device_model.clock import Now
from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    ModbusTraits,
    MqttTraits,
    ProfilePoint,
    RegisterSource,
    Table,
)
from device_model.site import Device, Line, LineKind, Text

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "transcripts"
START = Now(1_700_000_000_000_000, 1_000_000, "boot")
TCP = Line("line", LineKind.MODBUS_TCP, "127.0.0.1", 502)
RTU = Line("bus", LineKind.MODBUS_RTU, port_path="tty")


def point(name: str, address: int = 0, quantity: str = "count", unit: str = "1", **more: object) -> ProfilePoint:
    """A register point; keywords of RegisterSource and of ProfilePoint both go."""
    source = {key: more.pop(key) for key in tuple(more) if key in RegisterSource.__struct_fields__}
    register = RegisterSource(**{"table": Table.HOLDING, "address": address, **source})  # type: ignore[arg-type]
    return ProfilePoint(name, quantity, unit, name, name, register=register,
                        **{"poll_interval_s": 1.0, "stale_after_s": 10.0, **more})  # type: ignore[arg-type]


def profile(*points: ProfilePoint, device_class: DeviceClass = DeviceClass.CLIMATE, warm_up_s: float = 0.0,
            **traits: object) -> DeviceProfile:
    """A Modbus profile."""
    return DeviceProfile("p", 1, "maker", "model", "en", "zh", device_class, Certainty.A, "here", points,
                         modbus=ModbusTraits(**traits), warm_up_s=warm_up_s)  # type: ignore[arg-type]


def mqtt_profile(*points: ProfilePoint, warm_up_s: float = 0.0, **traits: object) -> DeviceProfile:
    """An MQTT profile."""
    return DeviceProfile("p", 1, "maker", "model", "en", "zh", DeviceClass.SMOKE, Certainty.A, "here", points,
                         mqtt=MqttTraits(**{"base_topic": "z/{address}", **traits}),  # type: ignore[arg-type]
                         warm_up_s=warm_up_s)


def entry(name: str, of: DeviceProfile, unit: int = 1, line: str = "line", address: str = "") -> LineDevice:
    """A device on a line."""
    return LineDevice(Device(name, of.id, line, "zone", Text(name, name), unit=unit, address=address), of)


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for a condition of a real system; the bound is a safety net, not a measurement."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


def address_of(path: Path) -> str:
    """The address that a transcript's topics are written for."""
    marked = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# address: ")]
    return marked[0].removeprefix("# address: ").strip() if marked else "hall-1"


class Expectation(msgspec.Struct):
    """A `=` or `!` line of a transcript."""

    good: bool
    point: str
    text: str
    unit: str


class Look(msgspec.Struct):
    """One look of a transcript: (function, address) → word or bit; messages; what it means."""

    name: str
    unit: int = 1
    image: dict[tuple[int, int], int] = {}
    messages: list[tuple[str, bytes]] = []
    expected: list[Expectation] = []
    rtu: list[bytes] = []


def read_transcript(path: Path) -> list[Look]:
    """All looks of a transcript (format: tests/golden/README.md)."""
    looks: list[Look] = []
    asked = b""
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "--":
            looks.append(Look(rest, image={}, messages=[], expected=[], rtu=[]))
        elif mark == ">>":
            asked = bytes.fromhex(rest)
        elif mark == "hex<<":
            topic, _, payload = rest.partition(" ")
            looks[-1].messages.append((topic, bytes.fromhex(payload)))
        elif mark == "<<" and "/" in rest:
            topic, _, payload = rest.partition(" ")
            looks[-1].messages.append((topic, payload.encode()))
        elif mark == "<<":
            _enter(looks[-1], asked, bytes.fromhex(rest))
        elif mark == "raw<<":  # a frame or packet of a device that connects to us
            looks[-1].messages.append(("", bytes.fromhex(rest) if rest[:2] != "##" else rest.encode()))
        elif mark.startswith("rtu"):
            looks[-1].rtu.append(bytes.fromhex(rest))
        elif mark in ("=", "!"):
            words = rest.split()
            looks[-1].expected.append(
                Expectation(mark == "=", words[0], words[1], words[2] if len(words) > 2 else ""))
        elif mark == "file":
            continue  # what the machine's own files say: read by the tests of edge_agent/machine.py
        elif line and not line.startswith("#"):
            raise ValueError(f"{path.name}: {line}")
    return looks


def _enter(look: Look, asked: bytes, replied: bytes) -> None:
    assert replied[:2] == asked[:2] and replied[6] == asked[6], "transaction and unit of a pair agree"
    assert int.from_bytes(asked[4:6], "big") == len(asked) - 6
    assert int.from_bytes(replied[4:6], "big") == len(replied) - 6
    look.unit = asked[6]
    function, address, count = struct.unpack(">BHH", asked[7:12])
    body = replied[9:]
    assert replied[7] == function and replied[8] == len(body)
    for i in range(count):
        value = body[i >> 3] >> (i & 7) & 1 if function in (1, 2) else int.from_bytes(body[2 * i:2 * i + 2], "big")
        look.image[function, address + i] = value


def answer_from(image: dict[tuple[int, int], int], pdu: bytes) -> bytes:
    """What a device with that register image answers to a read request (exception 2 where it has nothing)."""
    function, address, count = struct.unpack(">BHH", pdu)
    keys = [(function, address + i) for i in range(count)]
    if any(key not in image for key in keys):
        return bytes((function | 0x80, 2))
    if function in (1, 2):
        packed = sum(image[key] << i for i, key in enumerate(keys)).to_bytes((count + 7) // 8, "little")
    else:
        packed = b"".join(image[key].to_bytes(2, "big") for key in keys)
    return bytes((function, len(packed))) + packed


Answer = Callable[[int, bytes], bytes | None]


async def modbus_server(answer: Answer) -> asyncio.Server:
    """A Modbus TCP server of the test's own: `answer(unit, pdu)` gives the reply PDU, None stays silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                transaction, protocol, length, unit = struct.unpack(">HHHB", head)
                assert protocol == 0
                reply = answer(unit, await reader.readexactly(length - 1))
                if reply is not None:
                    writer.write(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def line_to(server: asyncio.Server) -> Line:
    """The line that reaches a test server."""
    return msgspec.structs.replace(TCP, port=server.sockets[0].getsockname()[1])
