"""Production links on real sockets and ptys: pymodbus's own server as an independent peer, and servers that lie."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent, LineState, LineUnreachable
from device_drivers.links import ModbusLink, open_modbus_line
from device_drivers.poller import LinePoller
from device_model.child_process import free_ports
from device_model.errors import LocalFault, PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineReply, LineRequest
from device_model.profile import RegisterType, Table
from device_model.reading import Reading
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import RTU, entry, line_to, modbus_server, point, profile, until
from wire_codecs import modbus_frame

pytestmark = pytest.mark.real

READ = LineRequest(1, 3, 10, 2)
PDU = bytes((3, 4, 0, 1, 0, 2))


def independent_device() -> SimDevice:
    bits = [SimData(0, count=16, values=False, datatype=DataType.BITS)]
    registers = [SimData(0, count=100, values=17, datatype=DataType.REGISTERS)]
    return SimDevice(1, simdata=(bits, bits, registers, registers))


@asynccontextmanager
async def raw_server(talk: Callable[[bytes, int], bytes]) -> AsyncIterator[Line]:
    """A TCP server that answers each MBAP request with whatever `talk(request, connection)` gives, even nothing."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(7)
                request = head + await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                answer = talk(request, mine)
                if answer == b"close":
                    break
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield line_to(server)
    finally:
        server.close()


def framed(request: bytes, pdu: bytes, *, unit: int | None = None, transaction: int | None = None,
           length: int | None = None, protocol: int = 0) -> bytes:
    own = int.from_bytes(request[:2], "big")
    return struct.pack(">HHHB", own if transaction is None else transaction, protocol,
                       len(pdu) + 1 if length is None else length, request[6] if unit is None else unit) + pdu


LIES: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("silence", lambda r: b""),
    ("foreign unit", lambda r: framed(r, PDU, unit=9)),
    ("old transaction", lambda r: framed(r, PDU, transaction=(int.from_bytes(r[:2], "big") + 7) % 65536)),
    ("transaction zero", lambda r: framed(r, PDU, transaction=0)),
    ("wrong function", lambda r: framed(r, bytes((4,)) + PDU[1:])),
    ("unknown function", lambda r: framed(r, bytes((99,)) + PDU[1:])),
    ("short count", lambda r: framed(r, bytes((3, 4, 0, 1)))),
    ("long count", lambda r: framed(r, PDU + b"\0\0")),
    ("no content", lambda r: framed(r, bytes((3,)))),
    ("exception of another function", lambda r: framed(r, bytes((0x84, 2)))),
    ("exception without a code", lambda r: framed(r, bytes((0x83,)))),
    ("wrong protocol", lambda r: framed(r, PDU, protocol=1)),
    ("header says more than comes", lambda r: framed(r, PDU, length=200)),
    ("garbage", lambda r: os.urandom(40)),
    ("connection closed", lambda r: b"close"),
)


@pytest.mark.parametrize(("name", "lie"), LIES)
async def test_a_lie_is_an_error_and_the_next_request_is_answered_rightly(
    name: str, lie: Callable[[bytes], bytes]
) -> None:
    lying = True

    def talk(request: bytes, connection: int) -> bytes:
        return lie(request) if lying else framed(request, bytes((3, 4, 0, 5, 0, 6)))

    async with raw_server(talk) as line:
        link = ModbusLink(line)
        for _ in range(2):
            with pytest.raises((PeerSilent, PeerGarbled)):
                await link.exchange(READ, timeout_s=0.05)
        lying = False
        assert await link.exchange(READ, timeout_s=30.0) == LineReply(1, 3, b"\0\5\0\6"), name
        await link.close()


async def test_a_late_reply_dies_with_its_connection() -> None:
    """pymodbus gave the late reply for address 10 to the request for address 20."""
    release: list[tuple[asyncio.StreamWriter, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await reader.readexactly(12)
                address = int.from_bytes(request[8:10], "big")
                reply = framed(request, bytes((3, 4)) + struct.pack(">HH", address, address))
                if address == 10:
                    release.append((writer, reply))
                else:
                    for late, content in release:
                        late.write(content)
                    writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    link = ModbusLink(line_to(server))
    for _ in range(5):
        with pytest.raises(PeerSilent):
            await link.exchange(LineRequest(1, 3, 10, 2), timeout_s=0.02)
        reply = await link.exchange(LineRequest(1, 3, 20, 2), timeout_s=30.0)
        assert reply.payload == struct.pack(">HH", 20, 20)
    await link.close()
    server.close()


async def test_refusals_and_a_missing_line() -> None:
    server = await modbus_server(lambda unit, pdu: bytes((pdu[0] | 0x80, 2)))
    link = open_modbus_line(line_to(server))
    with pytest.raises(PeerRefused) as refused:
        await link.exchange(READ, timeout_s=30.0)
    assert refused.value.code == 2
    await link.close()
    server.close()
    await server.wait_closed()
    with pytest.raises(LineUnreachable):
        await link.exchange(READ, timeout_s=0.5)
    nowhere = open_modbus_line(msgspec.structs.replace(RTU, port_path="/dev/no-such-port"))
    with pytest.raises(LineUnreachable):
        await nowhere.exchange(READ, timeout_s=0.5)


async def test_an_idle_connection_that_the_server_closed_is_opened_again_unnoticed() -> None:
    def talk(request: bytes, connection: int) -> bytes:
        seen.append(connection)
        return b"close" if connection == 1 and len(seen) > 1 else framed(request, PDU)

    seen: list[int] = []
    async with raw_server(talk) as line:
        link = ModbusLink(line)
        for _ in range(3):
            assert (await link.exchange(READ, timeout_s=30.0)).payload == PDU[2:]
        await link.close()
    assert seen[-1] == 2


class Seen:
    """What a poller said."""

    def __init__(self) -> None:
        self.events: list[DriverEvent] = []
        self.values: dict[str, Reading] = {}
        self.fresh: dict[str, int] = {}

    def __call__(self, event: DriverEvent) -> None:
        self.events.append(event)
        if isinstance(event, DeviceRead):
            self.values.update((r.point, r) for r in event.readings)
            for name in event.fresh:
                self.fresh[name] = self.fresh.get(name, 0) + 1

    def count(self, kind: type[DriverEvent]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


TWO = profile(
    point("t", 3, quantity="temperature", unit="Cel", scale=0.1, writable=True, poll_interval_s=0.05),
    point("wide", 20, type=RegisterType.U32, writable=True, poll_interval_s=0.05),
    point("relay", 3, quantity="relay", table=Table.COIL, type=RegisterType.BIT, writable=True, poll_interval_s=0.05),
    reply_timeout_s=10.0, late_reply_max_s=0.1,
)


async def exercise(poller: LinePoller, seen: Seen) -> None:
    """Read, write, read back."""
    task = asyncio.create_task(poller.run())
    try:
        await until(lambda: len(seen.values) == 3)
        assert seen.values["d.t"].value == 1.7 and seen.values["d.relay"].value is False
        await poller.write("d", "t", 25.5)
        await poller.write("d", "relay", True)
        await poller.write("d", "wide", 70000)
        await until(lambda: seen.values["d.t"].value == 25.5 and seen.values["d.relay"].value is True
                    and seen.values["d.wide"].value == 70000)
        with pytest.raises(LocalFault, match="does not fit"):
            await poller.write("d", "t", 1e9)
        with pytest.raises(LocalFault, match="not writable"):
            await poller.write("d", "nothing", 1)
        assert (await poller.ask(LineRequest(1, 3, 50, 1), timeout_s=0.3)).payload == b"\0\x11"
        with pytest.raises(LocalFault, match="law of safety 8"):
            await poller.ask(LineRequest(1, 6, 50, 1, (1,)), timeout_s=0.3)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_poller_against_an_independent_tcp_server_that_goes_and_comes_back() -> None:
    (port,), seen = free_ports(1), Seen()
    server = ModbusTcpServer(independent_device(), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    line = Line("line", LineKind.MODBUS_TCP, "127.0.0.1", port, reconnect_max_s=0.3)
    await exercise(LinePoller(line, [entry("d", TWO)], open_modbus_line(line), SystemClock(), seen), seen)
    again = Seen()
    poller = LinePoller(line, [entry("d", TWO)], open_modbus_line(line), SystemClock(), again)
    task = asyncio.create_task(poller.run())
    await until(lambda: again.count(DeviceRead) > 3)
    await server.shutdown()
    await until(lambda: again.count(DeviceFailed) == 1)
    server = ModbusTcpServer(independent_device(), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    reads = again.count(DeviceRead)
    await until(lambda: again.count(DeviceRead) > reads + 3)
    assert [e.up for e in again.events if isinstance(e, LineState)] == [True, False, True]
    assert again.count(DeviceFailed) == 1 and not task.done()
    task.cancel()
    await asyncio.wait([task])
    await server.shutdown()


@asynccontextmanager
async def pty_pair(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Two ends of a null-modem cable, from socat."""
    socat = shutil.which("socat")
    assert socat, "socat is needed: make system-packages"
    near, far = str(folder / "near"), str(folder / "far")
    child = await asyncio.create_subprocess_exec(
        socat, f"pty,raw,echo=0,link={near}", f"pty,raw,echo=0,link={far}")
    try:
        await until(lambda: Path(near).exists() and Path(far).exists())
        yield near, far
    finally:
        child.terminate()
        await child.wait()


async def test_poller_against_an_independent_rtu_server(tmp_path: Path) -> None:
    async with pty_pair(tmp_path) as (near, far):
        server = ModbusSerialServer(independent_device(), framer=FramerType.RTU, port=far, baudrate=19200)
        await server.serve_forever(background=True)
        line, seen = msgspec.structs.replace(RTU, port_path=near, baud=19200), Seen()
        await exercise(LinePoller(line, [entry("d", TWO)], open_modbus_line(line), SystemClock(), seen), seen)
        await server.shutdown()


@pytest.mark.parametrize("fault", ["crc", "short", "foreign", "late", "duplicate", "noise"])
async def test_rtu_faults_make_no_wrong_value_and_polling_comes_back(fault: str, tmp_path: Path) -> None:
    """A slave that answers every address with its own number, so that a reply to another request would show."""
    of = profile(*(point(f"r{a}", a, poll_interval_s=0.05) for a in (10, 20, 30)), read_holes=False,
                 reply_timeout_s=0.06, late_reply_max_s=0.12)
    async with pty_pair(tmp_path) as (near, far):
        bus = os.open(far, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(bus)
        loop, held, faulty, asked = asyncio.get_running_loop(), bytearray(), True, 0

        def serve() -> None:
            nonlocal asked
            held.extend(os.read(bus, 256))
            while len(held) >= 8:
                request = bytes(held[:8])
                del held[:8]
                asked += 1
                right = modbus_frame(bytes((1, 3, 2)) + request[2:4])
                if not faulty or asked % 3:
                    os.write(bus, right)
                    continue
                if fault == "late":
                    loop.call_later(0.1, os.write, bus, right)
                    continue
                os.write(bus, {
                    "crc": right[:-1] + bytes((right[-1] ^ 1,)), "short": modbus_frame(bytes((1, 3, 1, request[3]))),
                    "foreign": modbus_frame(bytes((2, 3, 2, 0, 99))), "duplicate": right + right,
                    "noise": os.urandom(7),
                }[fault])

        loop.add_reader(bus, serve)
        line, seen = msgspec.structs.replace(RTU, port_path=near), Seen()
        poller = LinePoller(line, [entry("d", of)], open_modbus_line(line), SystemClock(), seen)
        task = asyncio.create_task(poller.run())
        await until(lambda: asked >= 12)
        faulty = False
        before = dict(seen.fresh)
        await until(lambda: all(seen.fresh.get(f"d.r{a}", 0) > before.get(f"d.r{a}", 0) + 2 for a in (10, 20, 30)))
        task.cancel()
        await asyncio.wait([task])
        loop.remove_reader(bus)
        os.close(bus)
    told = [r for e in seen.events if isinstance(e, DeviceRead) for r in e.readings if r.value is not None]
    assert told and all(r.value == int(r.point.removeprefix("d.r")) for r in told)
