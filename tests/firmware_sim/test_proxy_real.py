"""The link proxy: what passes, and what a cut, a half-open link and a throttle look like from both ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from device_model.errors import LocalFault
from device_model.system_clock import SystemClock, new_time_scale
from firmware_sim.proxy import LinkProxy
from firmware_sim.scenario import Cut, CutKind, Proxy

pytestmark = pytest.mark.real


@contextlib.asynccontextmanager
async def link() -> AsyncIterator[LinkProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(4096):
                writer.write(octets)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = LinkProxy(Proxy("up", "127.0.0.1:0", f"127.0.0.1:{port}"), SystemClock(new_time_scale(50.0)))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
        server.close()


async def ask(proxy: LinkProxy, octets: bytes, wait_s: float = 60.0) -> bytes:
    reader, writer = await asyncio.open_connection(*proxy.address)
    writer.write(octets)
    try:
        return await asyncio.wait_for(reader.read(100), wait_s)
    finally:
        writer.close()


async def test_a_whole_link_passes_and_a_cut_one_refuses() -> None:
    async with link() as proxy:
        assert await ask(proxy, b"one") == b"one"
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"two")
        assert await reader.read(10) == b"two"
        proxy.bend(Cut("up", 0, 1))
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(10), 60) == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            assert await ask(proxy, b"three") == b""
        proxy.bend(None)
        assert await ask(proxy, b"four") == b"four"


async def test_a_half_open_link_swallows_and_then_breaks() -> None:
    async with link() as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"a")
        assert await reader.read(10) == b"a"
        proxy.bend(Cut("up", 0, 1, CutKind.HALF_OPEN))
        writer.write(b"b")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(10), 0.2)
        proxy.bend(None)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(10), 60) == b""
        writer.close()
        assert await ask(proxy, b"c") == b"c"


@pytest.mark.parametrize("cut", [
    Cut("up", 0, 1, CutKind.DELAY, delay_s=5.0), Cut("up", 0, 1, CutKind.THROTTLE, bytes_per_s=2),
])
async def test_a_slow_link_passes_late(cut: Cut) -> None:
    async with link() as proxy:
        proxy.bend(cut)
        assert await ask(proxy, b"0123456789") == b"0123456789"


async def test_a_busy_port_and_a_missing_server_are_clear() -> None:
    async with link() as proxy:
        host, port = proxy.address
        with pytest.raises(LocalFault, match="another program has the port"):
            await LinkProxy(Proxy("b", f"{host}:{port}", "127.0.0.1:1"), SystemClock()).start()
        nowhere = LinkProxy(Proxy("n", "127.0.0.1:0", "127.0.0.1:1"), SystemClock())
        await nowhere.start()
        with contextlib.suppress(ConnectionError):
            assert await ask(nowhere, b"x") == b""
        await nowhere.close()
