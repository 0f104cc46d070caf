"""Files, read-and-write in one, identification in parts: against pymodbus's server, which encodes them by itself."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from pymodbus import ModbusDeviceIdentification
from pymodbus.framer import FramerType
from pymodbus.pdu import ExceptionResponse
from pymodbus.pdu.file_message import (
    ReadFileRecordRequest,
    ReadFileRecordResponse,
    WriteFileRecordRequest,
    WriteFileRecordResponse,
)
from pymodbus.pdu.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

from device_drivers.discover import scan_units
from device_drivers.links import open_modbus_line
from device_drivers.poller import LinePoller
from device_model.child_process import free_ports
from device_model.errors import PeerGarbled, PeerRefused
from device_model.ports import LineExchange, LineReply, LineRequest
from device_model.profile import RegisterType, Table
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import RTU, entry, point, profile, until
from tests.device_drivers.test_links_real import Seen, independent_device, pty_pair

pytestmark = pytest.mark.real

# The objects do not fit into one reply of 253 bytes.
IDENTITY = ModbusDeviceIdentification(info_name={
    "VendorName": "Aacme " * 25, "ProductCode": "MX-7 " * 25, "MajorMinorRevision": "2.0"})
FILES: dict[tuple[int, int], int] = {}  # (file, record) → register; emptied for each peer


class ReadFile(ReadFileRecordRequest):
    """pymodbus's own request, answered from a store instead of its dummy text."""

    async def datastore_update(self, context: object, device_id: int) -> ModbusPDU:
        for record in self.records:
            # pymodbus halves the length that the wire gives in registers; the tests ask for even ones.
            wanted = [(record.file_number, record.record_number + i) for i in range(2 * record.record_length)]
            if any(key not in FILES for key in wanted):
                return ExceptionResponse(20, 2)
            record.record_data = b"".join(FILES[key].to_bytes(2, "big") for key in wanted)
        return ReadFileRecordResponse(self.records, device_id, self.transaction_id)


class WriteFile(WriteFileRecordRequest):
    """The same for writing. File 9 is a device that keeps something else than it was told."""

    async def datastore_update(self, context: object, device_id: int) -> ModbusPDU:
        for record in self.records:
            data = record.record_data
            for i in range(0, len(data), 2):
                FILES[record.file_number, record.record_number + i // 2] = int.from_bytes(data[i:i + 2], "big")
            if record.file_number == 9:
                record.record_data = bytes(len(data))
        return WriteFileRecordResponse(self.records, device_id, self.transaction_id)


@asynccontextmanager
async def peer(kind: str) -> AsyncIterator[Line]:
    """pymodbus's server on a socket or on a pty pair."""
    FILES.clear()
    FILES.update({(4, record): 1000 + record for record in range(20)})
    custom: list[type[ModbusPDU]] = [ReadFile, WriteFile]
    if kind == "tcp":
        (port,) = free_ports(1)
        server = ModbusTcpServer(independent_device(), address=("127.0.0.1", port), identity=IDENTITY,
                                 custom_pdu=custom)
        await server.serve_forever(background=True)
        yield Line("line", LineKind.MODBUS_TCP, "127.0.0.1", port)
        await server.shutdown()
        return
    with tempfile.TemporaryDirectory() as folder:
        async with pty_pair(Path(folder)) as (near, far):
            serial = ModbusSerialServer(independent_device(), framer=FramerType.RTU, port=far, baudrate=19200,
                                        identity=IDENTITY, custom_pdu=custom)
            await serial.serve_forever(background=True)
            yield msgspec.structs.replace(RTU, port_path=os.fspath(near), baud=19200)
            await serial.shutdown()


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_files_are_polled_and_written(kind: str) -> None:
    of = profile(point("wide", 2, table=Table.FILE, file=4, type=RegisterType.U32, poll_interval_s=0.05),
                 point("setting", 10, table=Table.FILE, file=4, type=RegisterType.U32, writable=True,
                       poll_interval_s=0.05),
                 point("absent", 2, table=Table.FILE, file=7, type=RegisterType.U32, poll_interval_s=0.05),
                 point("liar", 2, table=Table.FILE, file=9, type=RegisterType.U32, writable=True,
                       poll_interval_s=30.0, stale_after_s=100.0), reply_timeout_s=10.0, late_reply_max_s=0.1)
    async with peer(kind) as line:
        seen = Seen()
        poller = LinePoller(line, [entry("d", of)], open_modbus_line(line), SystemClock(), seen)
        task = asyncio.create_task(poller.run())
        await until(lambda: len(seen.values) == 4)
        assert seen.values["d.wide"].value == 1002 << 16 | 1003
        assert seen.values["d.setting"].value == 1010 << 16 | 1011
        assert seen.values["d.absent"].reason == "refused" and seen.values["d.liar"].reason == "refused"
        await poller.write("d", "setting", 70000)
        await until(lambda: seen.values["d.setting"].value == 70000)
        with pytest.raises(PeerGarbled, match="echoed"):
            await poller.write("d", "liar", 5)
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_registers_are_written_and_read_back_in_one(kind: str) -> None:
    of = profile(point("t", 3, writable=True, poll_interval_s=0.05),
                 point("nowhere", 500, type=RegisterType.U32, writable=True, poll_interval_s=30.0,
                       stale_after_s=100.0),
                 write_function=23, reply_timeout_s=10.0, late_reply_max_s=0.1)
    async with peer(kind) as line:
        seen = Seen()
        link = open_modbus_line(line)
        poller = LinePoller(line, [entry("d", of)], link, SystemClock(), seen)
        task = asyncio.create_task(poller.run())
        await until(lambda: "d.t" in seen.values)
        await poller.write("d", "t", 4711)
        await until(lambda: seen.values["d.t"].value == 4711)
        with pytest.raises(PeerRefused):
            await poller.write("d", "nowhere", 5)
        task.cancel()
        await asyncio.wait([task])
        # Written at one place, read at another: the general form.
        reply = await link.exchange(LineRequest(1, 23, 3, 2, (50, 8, 9)), timeout_s=30.0)
        assert reply == LineReply(1, 23, (4711).to_bytes(2, "big") + (17).to_bytes(2, "big"))
        assert (await link.exchange(LineRequest(1, 3, 50, 2), timeout_s=30.0)).payload == b"\0\x08\0\x09"
        await link.close()


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
async def test_an_identity_in_two_replies_is_read_whole(kind: str) -> None:
    async with peer(kind) as line:
        link: LineExchange = open_modbus_line(line)
        asked: list[LineRequest] = []

        async def ask(request: LineRequest, timeout_s: float) -> LineReply:
            asked.append(request)
            return await link.exchange(request, timeout_s=timeout_s)

        found = await scan_units(ask, [1], {}, SystemClock(), timeout_s=30.0)
        await link.close()
        assert [r.values for r in asked if r.function == 43] == [(14, 1, 0), (14, 1, 1)]
        who = found[0].identity
        assert who.maker == ("Aacme " * 25).strip() and who.product == ("MX-7 " * 25).strip()
        assert who.revision == "2.0"
