"""Throttle: a TCP relay of a stated rate towards the server, as a cellular link is: bytes queue, none are lost."""

from __future__ import annotations

import asyncio
import contextlib

PIECE = 4096
# What a modem and its kernel hold before the sender feels the rate; more would be bufferbloat of its own.
BUFFER = 16 * 1024


class Throttle:
    """Listens on a port of its own and relays to host:port. bytes_per_s 0: as fast as it goes."""

    def __init__(self, host: str, port: int, bytes_per_s: int) -> None:
        self._host, self._port, self._rate = host, port, bytes_per_s
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Returns the port to connect to."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=BUFFER)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
                break
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
        both = [asyncio.ensure_future(self._relay(reader, far_writer, self._rate)),
                asyncio.ensure_future(self._relay(far_reader, writer, 0))]
        self._tasks.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        writer.close()
        far_writer.close()

    @staticmethod
    async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: int) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                writer.write(piece)
                await writer.drain()
                if rate:
                    await asyncio.sleep(len(piece) / rate)

    async def stop(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
