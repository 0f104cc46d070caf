"""Level probes on a pty pair and behind a serial server: the makers' frames in, Readings out, no lie a number."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from device_drivers.driver import LineUnreachable
from device_drivers.links import open_modbus_line
from device_drivers.lls_link import LlsLink
from device_drivers.poller import LinePoller
from device_drivers.registry import driver_for
from device_model.errors import ConfigError, PeerGarbled, PeerRefused, PeerSilent
from device_model.library import shipped_profiles
from device_model.ports import LineReply, LineRequest
from device_model.profile_file import parse_profile
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import GOLDEN, entry, point, profile, read_transcript, until
from tests.device_drivers.test_functions import HEAD
from tests.device_drivers.test_golden_transcripts import judge
from tests.device_drivers.test_links_real import Seen, pty_pair
from wire_codecs.lls import LevelReading, reading_frame

pytestmark = pytest.mark.real
PROFILE = shipped_profiles()["aooog-ag-rs485"]
Answer = Callable[[bytes], bytes]
READ = LineRequest(1, 4, 0, 3)


@asynccontextmanager
async def probe(kind: LineKind, folder: Path, answer: Answer) -> AsyncIterator[Line]:
    """A probe that says `answer(request)` to each four bytes it gets."""
    if kind is LineKind.LLS_TCP:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    writer.write(answer(await reader.readexactly(4)))
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        yield Line("probes", kind, "127.0.0.1", server.sockets[0].getsockname()[1])
        server.close()
        return
    async with pty_pair(folder) as (near, far):
        bus = os.open(far, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(bus)
        held = bytearray()

        def serve_bus() -> None:
            held.extend(os.read(bus, 256))
            while len(held) >= 4:
                os.write(bus, answer(bytes(held[:4])))
                del held[:4]

        asyncio.get_running_loop().add_reader(bus, serve_bus)
        yield Line("probes", kind, port_path=near, baud=19200)
        asyncio.get_running_loop().remove_reader(bus)
        os.close(bus)


KINDS = (LineKind.LLS_SERIAL, LineKind.LLS_TCP)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_probe_is_read_as_its_transcript_says(kind: LineKind, tmp_path: Path) -> None:
    for index, look in enumerate(read_transcript(GOLDEN / "aooog-ag-rs485.txt")):
        frame, asked = look.messages[0][1], []

        def answer(request: bytes, frame: bytes = frame, asked: list[bytes] = asked) -> bytes:
            asked.append(request)
            return frame

        folder = tmp_path / str(index)
        folder.mkdir()
        async with probe(kind, folder, answer) as line:
            seen = Seen()
            poller = LinePoller(line, [entry("d", PROFILE)], open_modbus_line(line), SystemClock(), seen)
            task = asyncio.create_task(poller.run())
            await until(lambda seen=seen: len(seen.values) == 2)  # type: ignore[misc]
            task.cancel()
            await asyncio.wait([task])
        assert asked[0] == bytes.fromhex("3101066c")
        judge("aooog-ag-rs485", look, seen.values)


LIES: tuple[tuple[bytes, type[Exception]], ...] = (
    (b"", PeerSilent),
    (reading_frame(LevelReading(2, 20, 5, 5)), PeerGarbled),  # another probe
    (reading_frame(LevelReading(1, 20, 5, 5))[:-1] + b"\0", PeerGarbled),
    (reading_frame(LevelReading(1, 20, 5, 5))[:5], PeerGarbled),
    (reading_frame(LevelReading(1, 20, 5, 5, asked=False)), PeerSilent),  # said unasked
    (b"noise without a reading", PeerGarbled),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("lie", "error"), LIES)
async def test_a_lie_is_no_number_and_the_next_answer_is_right(
    lie: bytes, error: type[Exception], kind: LineKind, tmp_path: Path
) -> None:
    lying = True
    true = LevelReading(1, -7, 4095, 9)

    async with probe(kind, tmp_path, lambda request: lie if lying else b"\x00" + reading_frame(true)) as line:
        link = open_modbus_line(line)
        with pytest.raises((error, PeerSilent)):
            await link.exchange(READ, timeout_s=0.1)
        lying = False
        await link.drain(0.01)
        assert await link.exchange(READ, timeout_s=30.0) == LineReply(1, 4, bytes.fromhex("fff9 0fff 0009"))
        assert (await link.exchange(LineRequest(1, 4, 1, 1), timeout_s=30.0)).payload == bytes.fromhex("0fff")
        await link.close()


@pytest.mark.parametrize(("request_", "code"), [
    (LineRequest(1, 3, 0, 1), 1), (LineRequest(1, 6, 0, 1, (5,)), 1), (LineRequest(1, 4, 2, 2), 2),
    (LineRequest(255, 4, 0, 1), 3)])
async def test_what_a_probe_cannot_do_is_refused_without_a_word_on_the_bus(request_: LineRequest, code: int) -> None:
    link = LlsLink(Line("probes", LineKind.LLS_SERIAL, port_path="/dev/no-such-port"))
    with pytest.raises(PeerRefused) as refused:
        await link.exchange(request_, timeout_s=0.1)
    assert refused.value.code == code
    with pytest.raises(LineUnreachable):
        await link.exchange(READ, timeout_s=0.1)
    await link.close()


async def test_a_port_that_is_pulled_out_is_unreachable_and_one_that_is_back_is_read(tmp_path: Path) -> None:
    reading = reading_frame(LevelReading(1, 1, 2, 3))
    async with probe(LineKind.LLS_SERIAL, tmp_path, lambda request: reading + b"babble" * 100) as line:
        link = open_modbus_line(line)
        for _ in range(3):
            assert (await link.exchange(READ, timeout_s=30.0)).payload == bytes.fromhex("000100020003")
    for _ in range(2):
        with pytest.raises((LineUnreachable, PeerSilent)):
            await link.exchange(READ, timeout_s=0.1)
    with pytest.raises(LineUnreachable):
        await link.exchange(READ, timeout_s=0.1)
    async with probe(LineKind.LLS_SERIAL, tmp_path, lambda request: reading) as line:
        assert (await link.exchange(READ, timeout_s=30.0)).payload == bytes.fromhex("000100020003")
        await link.close()


def test_profiles_name_the_dialect() -> None:
    assert PROFILE.protocol == "lls" == LineKind.LLS_TCP.protocol and driver_for(PROFILE).name == "lls"
    assert profile(point("a")).protocol == "modbus"
    with pytest.raises(ConfigError, match="dialect 'llx' is not known"):
        parse_profile(f"{HEAD}modbus: {{dialect: llx}}\npoints:\n  a: {{quantity: count, address: 1}}\n", "p.yaml")
