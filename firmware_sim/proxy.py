"""LinkProxy (I/O): a TCP link that can be cut, held half-open, delayed or throttled on command.

    client ──► listen │ LinkProxy │ to ──► server        state: None | Cut
"""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from device_model.clock import Clock
from device_model.errors import LocalFault
from firmware_sim.scenario import Cut, CutKind, Proxy

# A gateway has one or two connections; a browser some six. More is a loop.
CONNECTIONS_MAX = 64
_CHUNK = 16_384
_POLL_S = 0.05

_log = structlog.get_logger("sim.proxy")


class LinkProxy:
    """One proxied link. `bend(cut)` makes it bad, `bend(None)` good again; takes effect at once."""

    def __init__(self, proxy: Proxy, clock: Clock) -> None:
        self._proxy = proxy
        self._clock = clock
        self._state: Cut | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.address = ("", 0)

    async def start(self) -> None:
        """Listen. Raises LocalFault when the port is taken."""
        host, _, port = self._proxy.listen.rpartition(":")
        try:
            self._server = await asyncio.start_server(self._serve, host, int(port))
        except OSError as error:
            raise LocalFault(f"proxy {self._proxy.id}: cannot listen on {self._proxy.listen} ({error.strerror}): "
                             "another program has the port; end it or choose another") from error
        self.address = self._server.sockets[0].getsockname()[:2]

    def bend(self, cut: Cut | None) -> None:
        """The link is in this state from now on."""
        if cut == self._state:
            return
        was_half_open = self._state is not None and self._state.kind is CutKind.HALF_OPEN
        self._state = cut
        # A peer behind a half-open link finds its connection dead when the link is back.
        if (cut is not None and cut.kind is CutKind.CUT) or was_half_open:
            self._drop_all()

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
        self._drop_all()
        await asyncio.sleep(0)

    def _drop_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= 2 * CONNECTIONS_MAX or (self._state is not None and self._state.kind is CutKind.CUT):
            writer.transport.abort()
            return
        host, _, port = self._proxy.to.rpartition(":")
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()  # the server is not there: the client sees what it would see without us
            return
        self._open |= {writer, far_writer}
        pumps = [asyncio.create_task(self._pump(reader, far_writer)),
                 asyncio.create_task(self._pump(far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The end of the simulation. asyncio's stream server prints a traceback for a handler that ends
            # cancelled; this is the outermost frame, so nobody waits for the cancellation.
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            for end in (writer, far_writer):
                self._open.discard(end)
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(_CHUNK):
                while self._state is not None and self._state.kind is CutKind.HALF_OPEN:
                    await self._clock.sleep(_POLL_S)
                if self._state is not None and self._state.kind is CutKind.DELAY:
                    await self._clock.sleep(self._state.delay_s)
                elif self._state is not None and self._state.kind is CutKind.THROTTLE:
                    await self._clock.sleep(len(octets) / max(1, self._state.bytes_per_s))
                writer.write(octets)
                await writer.drain()
