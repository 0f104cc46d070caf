"""Panels, stations, serial ports and recorded lines on real ports; mbpoll, libmodbus and tshark as witnesses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from device_model.library import shipped_profiles
from device_model.system_clock import SystemClock
from firmware_sim.conform import Outcome
from firmware_sim.conform_run import conform
from firmware_sim.pcapng import as_pcapng
from firmware_sim.recorder import LineWriter, SerialRecorder, TcpRecorder, read_line_file
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld
from wire_codecs.gbt26875 import Command, Frame, FrameReader, Stamp, encode_frame
from wire_codecs.hj212 import Packet, PacketReader, encode_packet

pytestmark = pytest.mark.real
PROFILES = shipped_profiles()


@contextlib.asynccontextmanager
async def running(text: str) -> AsyncIterator[SimRuntime]:
    runtime = SimRuntime(SimWorld(parse_scenario(text, "t.yaml", PROFILES), PROFILES, {}), SystemClock())
    task = asyncio.create_task(runtime.run())
    ready = asyncio.create_task(runtime.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            await task
        yield runtime
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return said.decode(errors="replace")


@contextlib.asynccontextmanager
async def serial_pair(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Two ends of one line, as two RS-485 adapters would be."""
    ends = str(folder / "a"), str(folder / "b")
    socat = await asyncio.create_subprocess_exec("socat", *(f"pty,rawer,link={end}" for end in ends))
    for _ in range(3000):
        if all(os.path.exists(end) for end in ends):  # noqa: PTH110  a look at two names
            break
        await asyncio.sleep(0.02)
    try:
        yield ends
    finally:
        socat.terminate()
        await socat.wait()


async def test_mbpoll_reads_a_device_on_a_serial_port_and_the_checklist_is_clean(tmp_path: Path) -> None:
    async with serial_pair(tmp_path) as (ours, theirs):
        async with running(f"""
scenario: s
lines: [{{id: rs485, kind: serial, path: {ours}, baud: 19200, parity: E}}]
devices: [{{id: meter, profile: sdm120, line: rs485, unit: 5, start: {{voltage: 231.5}}}}]
""") as runtime:
            assert runtime.addresses["rs485"] == ours
            said = await output("mbpoll", "-1", "-0", "-q", "-m", "rtu", "-b", "19200", "-P", "even", "-a", "5", "-t",
                                "3:float", "-B", "-r", "0", "-c", "1", theirs)
            assert "231.5" in said
            report = await conform(f"rtu://{theirs}?baud=19200&unit=5&profile=sdm120", SystemClock())
    assert len(report.verdicts) == 15 and not report.deviations, report.deviations


async def test_a_serial_tap_writes_what_passes(tmp_path: Path) -> None:
    async with serial_pair(tmp_path) as (ours, theirs):
        clock = SystemClock()
        writer = LineWriter(tmp_path / "bus.jsonl", "serial", ours, clock, 9600)
        recorder = SerialRecorder(ours, 9600, writer, clock)
        task = asyncio.create_task(recorder.run())
        request = bytes.fromhex("010300000001840a")
        Path(theirs).write_bytes(request)
        for _ in range(3000):
            await asyncio.sleep(0.02)
            if writer.pieces:
                break
        task.cancel()
        recorder.close()
        writer.close()
    recording = read_line_file(tmp_path / "bus.jsonl")
    assert b"".join(piece.octets for piece in recording.pieces) == request and recording.head.baud == 9600
    (tmp_path / "bus.pcapng").write_bytes(as_pcapng(recording))
    said = await output("tshark", "-r", str(tmp_path / "bus.pcapng"), "-d", "rtacser.data,mbrtu", "-T", "fields",
                        "-e", "mbrtu.unit_id", "-e", "modbus.func_code")
    assert "1\t3" in said


async def test_a_recorded_modbus_line_replays_to_mbpoll_and_opens_in_tshark(tmp_path: Path) -> None:
    file = tmp_path / "meter.jsonl"
    poll = ("mbpoll", "-1", "-0", "-q", "-a", "9", "-t", "3:float", "-B", "-r", "0", "-c", "1", "-p")
    async with running("""
scenario: s
lines: [{id: bus, kind: modbus_tcp, port: 0}]
devices: [{id: meter, profile: sdm120, line: bus, unit: 9, start: {voltage: 229.25}}]
""") as runtime:
        writer = LineWriter(file, "tcp", runtime.addresses["bus"], SystemClock())
        link = TcpRecorder("127.0.0.1:0", runtime.addresses["bus"], writer)
        await link.start()
        first = await output(*poll, str(link.address[1]), "127.0.0.1")
        await asyncio.sleep(0.1)
        await link.close()
        writer.close()
    assert "229.25" in first
    async with running(f"""
scenario: again
lines: [{{id: bus, kind: replay, role: server, file: {file}, speed: 10}}]
devices: []
""") as runtime:
        again = await output(*poll, runtime.addresses["bus"].split(":")[1], "127.0.0.1")
    assert "229.25" in again
    (tmp_path / "meter.pcapng").write_bytes(as_pcapng(read_line_file(file), 502))
    said = await output("tshark", "-r", str(tmp_path / "meter.pcapng"), "-o", "tcp.check_checksum:TRUE", "-T", "json",
                        "-Y", "modbus")
    packets = json.loads(said[said.index("["):])
    assert len(packets) == 2
    assert all(p["_source"]["layers"]["tcp"]["tcp.checksum.status"] == "1" for p in packets)


async def test_a_panel_and_a_station_reach_a_centre_and_a_host() -> None:
    frames: list[Frame] = []
    packets: list[Packet] = []

    async def centre(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frame_reader = FrameReader()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while octets := await reader.read(4096):
                for frame in frame_reader.feed(octets):
                    if isinstance(frame, Frame):
                        frames.append(frame)
                        writer.write(encode_frame(frame.answer(Command.CONFIRM, Stamp())))

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packet_reader = PacketReader()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while octets := await reader.read(4096):
                for packet in packet_reader.feed(octets):
                    if isinstance(packet, Packet):
                        packets.append(packet)
                        writer.write(encode_packet(packet.answer("9014")))

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for serve in (centre, host)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    async with running(f"""
scenario: s
lines:
  - {{id: centre, kind: gbt26875, port: {ports[0]}}}
  - {{id: host, kind: hj212, port: {ports[1]}}}
devices:
  - {{id: uitd, profile: gbt26875-uitd, line: centre, address: "889"}}
  - {{id: smoke, profile: gbt26875-component, line: centre, address: "889/1.1/0A000200"}}
  - {{id: dust, profile: hj212-dust, line: host, address: MN1}}
events: [{{at_s: 0.5, set: {{smoke.fire: true}}}}]
"""):
        for _ in range(1200):
            await asyncio.sleep(0.05)
            if any(frame.unit[:1] == b"\2" for frame in frames) and len(packets) >= 2:
                break
    for server in servers:
        server.close()
    assert [frame.unit[:1] for frame in frames][:2] == [b"\x15", b"\2"]
    assert [packet.cn for packet in packets][:2] == ["2081", "2011"]


async def test_a_panel_over_udp_and_one_that_listens() -> None:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    class Centre(asyncio.DatagramProtocol):
        def datagram_received(self, octets: bytes, _peer: object) -> None:
            heard.put_nowait(octets)

    transport, _ = await loop.create_datagram_endpoint(Centre, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    async with running(f"""
scenario: s
lines:
  - {{id: udp, kind: gbt26875, transport: udp, port: {port}}}
  - {{id: own, kind: gbt26875, role: server, port: 0}}
devices:
  - {{id: a, profile: gbt26875-uitd, line: udp, address: "1"}}
  - {{id: b, profile: gbt26875-uitd, line: own, address: "2"}}
""") as runtime:
        datagram = await asyncio.wait_for(heard.get(), 60)
        own, own_port = runtime.addresses["own"].split(":")
        reader, writer = await asyncio.open_connection(own, int(own_port))
        stream = await asyncio.wait_for(reader.readexactly(39), 60)
        writer.close()
    transport.close()
    for octets, source in ((datagram, 1), (stream, 2)):
        found = FrameReader().feed(octets)
        assert isinstance(found[0], Frame) and found[0].source == source


# libmodbus 3.1 does not look at the protocol identifier.
KNOWN_OF_LIBMODBUS = {"foreign_protocol"}
_LIBMODBUS = """
#include <modbus.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/socket.h>
#include <netinet/in.h>
int main(void) {
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
  modbus_mapping_t *map = modbus_mapping_new(10, 10, 10, 10);
  int s = modbus_tcp_listen(ctx, 1);
  struct sockaddr_in at; socklen_t size = sizeof at;
  getsockname(s, (struct sockaddr *)&at, &size);
  printf("%d\\n", ntohs(at.sin_port)); fflush(stdout);
  for (;;) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    if (modbus_tcp_accept(ctx, &s) < 0) return 1;
    for (;;) {
      int n = modbus_receive(ctx, query);
      if (n > 0) modbus_reply(ctx, query, n, map); else if (n < 0) break;
    }
    modbus_close(ctx);
  }
}
"""


async def test_libmodbus_deviates_in_what_is_known_of_it_and_in_nothing_else(tmp_path: Path) -> None:
    source, program = tmp_path / "server.c", tmp_path / "server"
    source.write_text(_LIBMODBUS)
    subprocess.run(["gcc", "-o", str(program), str(source), "-I/usr/include/modbus", "-lmodbus"], check=True)
    server = await asyncio.create_subprocess_exec(str(program), stdout=asyncio.subprocess.PIPE,
                                                  stderr=asyncio.subprocess.DEVNULL)
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    try:
        report = await conform(f"modbus://127.0.0.1:{port}/1", SystemClock())
    finally:
        server.kill()
        await server.wait()
    found = {verdict.check for verdict in report.verdicts if verdict.outcome is Outcome.DEVIATES}
    assert found == KNOWN_OF_LIBMODBUS, report.deviations
