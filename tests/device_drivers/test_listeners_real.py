"""Listeners on real loopback sockets: confirms after the event, bad peers alone, all three ways to be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from device_drivers import listeners
from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent, LineDevice, LineState
from device_drivers.listeners import PanelListener, StationListener, listener_for, listens
from device_model.errors import LocalFault
from device_model.library import shipped_profiles
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import TCP, entry, until
from wire_codecs.gbt26875 import Command, Frame, FrameReader, Stamp, decode_frame, encode_frame
from wire_codecs.gbt26875_exchange import Finished
from wire_codecs.gbt26875_objects import UitdState
from wire_codecs.gbt26875_uitd import ClockGiven, DutyAsked, Uitd
from wire_codecs.hj212 import Packet, PacketReader, encode_packet

pytestmark = pytest.mark.real
PROFILES = shipped_profiles()
FRAMES = {row[0]: bytes.fromhex(row[2])
          for line in (Path(__file__).parents[1] / "golden/frames/gbt26875.txt").read_text("utf-8").splitlines()
          if line and not line.startswith("#") for row in (line.split(" ", 2),)}
FIRE = FRAMES["A"]
SITE = (entry("uitd", PROFILES["gbt26875-uitd"], address="889"),
        entry("smoke", PROFILES["gbt26875-component"], address="889/1.1/0A000200"))
STATION = (entry("dust", PROFILES["hj212-dust"], address="MN1"),)
AT = Stamp(0, 0, 0, 1, 1, 26)


def line(kind: LineKind, port: int = 0) -> Line:
    return Line("line", kind, "127.0.0.1", port, reconnect_max_s=1.0)


class Seen(list[DriverEvent]):
    def fires(self) -> int:
        return sum(r.point == "smoke.fire" and r.value is True
                   for e in self if isinstance(e, DeviceRead) for r in e.readings)


@asynccontextmanager
async def running(of: Line, devices: tuple[LineDevice, ...] = SITE) \
        -> AsyncIterator[tuple[PanelListener | StationListener, Seen]]:
    seen = Seen()
    listener = listener_for(of, devices, SystemClock(), seen.append)
    task = asyncio.ensure_future(listener.run())
    try:
        yield listener, seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def connect(listener: PanelListener | StationListener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    await until(lambda: listener.port > 0)
    return await asyncio.open_connection("127.0.0.1", listener.port)


async def next_frame(reader: asyncio.StreamReader, frames: FrameReader, command: Command) -> Frame:
    async with asyncio.timeout(60):
        while True:
            for frame in frames.feed(await reader.read(4096)):
                if isinstance(frame, Frame) and frame.command == command:
                    return frame


async def test_a_fire_over_tcp_is_read_before_it_is_confirmed() -> None:
    async with running(line(LineKind.GBT26875_TCP_SERVER)) as (listener, seen):
        reader, writer = await connect(listener)
        writer.write(FIRE[:40])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(FIRE[40:])
        confirm = await next_frame(reader, FrameReader(), Command.CONFIRM)
        assert seen.fires() == 1 and confirm.serial == 1 and confirm.destination == 889
        assert seen[0] == LineState("line", True, "", seen[0].at)
        writer.close()


async def test_an_event_that_is_not_taken_is_not_confirmed_and_taken_when_it_comes_again() -> None:
    refusing = True
    seen = Seen()

    def emit(event: DriverEvent) -> None:
        if refusing and isinstance(event, DeviceRead):
            raise RuntimeError("no room")
        seen.append(event)

    listener = PanelListener(line(LineKind.GBT26875_TCP_SERVER), SITE, SystemClock(), emit)
    task = asyncio.ensure_future(listener.run())
    try:
        reader, writer = await connect(listener)
        writer.write(FIRE + FRAMES["B"])  # the second is an answer to nothing: no reply
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        refusing = False
        writer.write(FIRE)
        assert (await next_frame(reader, FrameReader(), Command.CONFIRM)).serial == 1
        writer.close()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert any(isinstance(event, DeviceRead) and event.device == "smoke" for event in seen)


async def test_one_bad_peer_never_stops_others() -> None:
    async with running(line(LineKind.GBT26875_TCP_SERVER)) as (listener, seen):
        peers = [await connect(listener) for _ in range(5)]
        peers[0][1].write(b"GET / HTTP/1.1\r\n\r\n" * 50)
        peers[1][1].write(b"@@" * 20_000)
        peers[2][1].write(FRAMES["V"])
        peers[3][1].transport.abort()
        peers[4][1].write(FIRE)
        await next_frame(peers[4][0], FrameReader(), Command.CONFIRM)
        assert seen.fires() == 1
        denial = await next_frame(peers[2][0], FrameReader(), Command.DENY)
        assert denial.serial == 0x69
        for _, writer in peers:
            writer.close()


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "CONNECTIONS_MAX", 3)
    async with running(line(LineKind.GBT26875_TCP_SERVER)) as (listener, _):
        held = [await connect(listener) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, _ = await connect(listener)
        with suppress(ConnectionError):
            assert await reader.read(1) == b""
        assert listener.turned_away == 1
        held[0][1].close()
        await until(lambda: len(listener._peers) == 2)
        reader, writer = await connect(listener)
        writer.write(FIRE)
        await next_frame(reader, FrameReader(), Command.CONFIRM)
        for _, open_writer in held:
            open_writer.close()


async def test_a_frame_that_never_ends_does_not_hold_up_the_fire_behind_it() -> None:
    stuck = bytearray(FRAMES["D"])
    stuck[24:26] = (1000).to_bytes(2, "little")
    async with running(line(LineKind.GBT26875_TCP_SERVER)) as (listener, seen):
        _, writer = await connect(listener)
        writer.write(bytes(stuck) + FIRE)
        await until(lambda: seen.fires() == 1)
        writer.close()


async def test_as_a_client_it_connects_again() -> None:
    calls: list[asyncio.StreamWriter] = []

    async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(writer)
        writer.write(FIRE)
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(device, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, running(line(LineKind.GBT26875_TCP_CLIENT, port)) as (_, seen):
        await until(lambda: len(calls) >= 2 and seen.fires() >= 1)
        states = [e.up for e in seen if isinstance(e, LineState)]
        assert states[:3] == [True, False, True] and not [e for e in seen if isinstance(e, DeviceFailed)]


async def test_a_client_whose_device_is_not_there_loses_the_line() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with running(line(LineKind.GBT26875_TCP_CLIENT, port)) as (_, seen):
        await until(lambda: len(seen) >= 3)
        assert isinstance(seen[0], LineState) and not seen[0].up and "cannot be reached" in seen[0].detail
        assert {e.device for e in seen if isinstance(e, DeviceFailed)} == {"uitd", "smoke"}


async def test_a_port_that_is_taken_is_said_and_tried_again() -> None:
    other = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    async with running(line(LineKind.GBT26875_TCP_SERVER, port)) as (listener, seen):
        await until(lambda: bool(seen))
        assert isinstance(seen[0], LineState) and not seen[0].up
        other.close()
        await until(lambda: listener.port == port)
        assert isinstance(seen[-1], LineState) and seen[-1].up


async def test_a_fire_over_udp() -> None:
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Device(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            answers.put_nowait(data)

    async with running(line(LineKind.GBT26875_UDP)) as (listener, seen):
        await until(lambda: listener.port > 0)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Device, remote_addr=("127.0.0.1", listener.port))
        transport.sendto(b"\x00garbage")
        transport.sendto(FIRE + b"x")
        transport.sendto(FIRE)
        async with asyncio.timeout(60):
            while (frame := decode_frame(await answers.get())).command != Command.CONFIRM:
                pass
        assert seen.fires() == 1 and frame.serial == 1
        transport.close()


async def test_both_roles_meet() -> None:
    """Our own UITD against our own centre: upload confirmed, clock given, duty check left to the person."""
    async with running(line(LineKind.GBT26875_TCP_SERVER)) as (listener, seen):
        reader, writer = await connect(listener)
        uitd, frames, told = Uitd(889, 88888), FrameReader(), []
        uitd.send([UitdState(0x03, AT)])
        clock = SystemClock()

        async def serve() -> None:
            while True:
                for item in uitd.exchange.due(clock.now().mono_us, AT):
                    assert isinstance(item, Frame)
                    writer.write(encode_frame(item))
                for frame in frames.feed(await reader.read(4096)):
                    assert isinstance(frame, Frame)
                    events, answers = uitd.take(frame, clock.now().mono_us, AT)
                    told.extend(events)
                    for answer in answers:
                        writer.write(encode_frame(answer))
                    for event in events:
                        if hasattr(event, "objects"):
                            writer.write(encode_frame(Uitd.reply(event, [UitdState(3, AT)], AT)))

        serving = asyncio.ensure_future(serve())
        assert isinstance(listener, PanelListener)
        await until(lambda: any(isinstance(e, Finished) and e.reply is not None for e in told)
                    and any(r.point == "uitd.fire" and r.value is True
                            for e in seen if isinstance(e, DeviceRead) for r in e.readings))
        assert listener.ask_duty("uitd", 10)
        await until(lambda: DutyAsked(10) in told)
        assert not [e for e in seen if getattr(e, "kind", "") == "duty_answered"]
        assert uitd.answer_duty(7, AT)
        for item in uitd.exchange.due(clock.now().mono_us, AT):
            assert isinstance(item, Frame)
            writer.write(encode_frame(item))
        await until(lambda: bool([e for e in seen if getattr(e, "kind", "") == "duty_answered"]))
        assert any(isinstance(e, ClockGiven) for e in told) or SystemClock().now().wall_error_us < 0
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        writer.close()


async def test_a_station_is_read_and_acknowledged() -> None:
    upload = Packet("20240520210700000", "39", "2011", "123456", "MN1", 5,
                    area=((("DataTime", "20240520210700"),), (("a34004-Rtd", "39.6"), ("a34004-Flag", "N"))))
    async with running(line(LineKind.HJ212_TCP_SERVER), STATION) as (listener, seen):
        reader, writer = await connect(listener)
        _, bad_writer = await connect(listener)
        bad_writer.write(b"##9999" + b"x" * 30_000)
        writer.write(b"##0050half of a packet that never ends##")
        writer.write(encode_packet(upload))
        frames, answers = PacketReader(), []
        async with asyncio.timeout(60):
            while not answers:
                answers += frames.feed(await reader.read(4096))
        assert answers == [upload.answer("9014")]
        assert any(r.point == "dust.pm25" and r.value == 39.6
                   for e in seen if isinstance(e, DeviceRead) for r in e.readings)
        writer.close()
        bad_writer.close()


async def test_nothing_on_these_lines_is_switched() -> None:
    listener = listener_for(line(LineKind.GBT26875_TCP_SERVER), SITE, SystemClock(), lambda event: None)
    with pytest.raises(LocalFault, match="monitor-only"):
        await listener.write("smoke", "fire", value=False)
    assert listens(line(LineKind.HJ212_TCP_SERVER)) and not listens(TCP)
