"""HttpClient (I/O): the gateway's HTTP: one connection kept open, bounded answers, TLS; h11 does the protocol.

    request ─► h11 ─► socket ─► answer (status, headers, at most ANSWER_MAX bytes)
    a connection that the server closed meanwhile is opened anew once; every other fault is the caller's to repeat
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import h11
import msgspec

from device_model.errors import LocalFault, PeerGarbled, PeerSilent

ANSWER_MAX = 64 * 1024 * 1024  # a query for a day of a thousand points; more is asked in parts
TIMEOUT_S = 30.0
_READ_CHUNK = 65536


class HttpAnswer(msgspec.Struct, frozen=True):
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpClient:
    """One server. Not for concurrent use: its owner asks one thing at a time."""

    def __init__(self, base: str, *, headers: Mapping[str, str] | None = None, ca_file: str = "",
                 timeout_s: float = TIMEOUT_S) -> None:
        """base: http://host:port or https://…, with a path before all others if need be. LocalFault where it is
        none, or the CA file cannot be read."""
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LocalFault(f"{base!r} is no address: write http://host:port or https://host:port")
        self._host = parts.hostname
        self._tls = _context(ca_file) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._path = parts.path.rstrip("/")
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self.breaks = 0  # how often the line was lost unasked: the server may have begun anew
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter, h11.Connection] | None = None

    async def request(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
                      ) -> HttpAnswer:
        """Ask. Raises PeerSilent when the server is not there or does not answer in time, PeerGarbled for an answer
        that is no HTTP or is too large."""
        kept = self._link is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    return await self._ask(method, target, body, headers or {})
                except (ConnectionError, asyncio.IncompleteReadError, h11.RemoteProtocolError):
                    self._lost()
                    if not kept:
                        raise
                    return await self._ask(method, target, body, headers or {})
        except TimeoutError as error:
            self._lost()
            raise PeerSilent(f"{self._host}:{self._port} did not answer within {self._timeout_s:g} s") from error
        except h11.RemoteProtocolError as error:
            self._drop()
            raise PeerGarbled(f"{self._host}:{self._port}: {error}") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            self._lost()
            raise PeerSilent(f"{self._host}:{self._port}: {error}") from error
        except asyncio.CancelledError:
            self._drop()  # half an answer may be on its way: the next question needs a fresh line
            raise

    async def _ask(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        reader, writer, http = self._link or await self._open()
        host = f"{self._host}:{self._port}"
        sent = {"host": host, "content-length": str(len(body)), **self._headers, **headers}
        writer.write(http.send(h11.Request(method=method, target=self._path + target, headers=list(sent.items())))
                     or b"")
        writer.write(http.send(h11.Data(data=body)) or b"")
        writer.write(http.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        status, found, parts, size = 0, {}, [], 0
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(_READ_CHUNK))
            elif isinstance(event, h11.Response):
                status = event.status_code
                found = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(event.data)
                if size > ANSWER_MAX:
                    self._drop()
                    raise PeerGarbled(f"{host}: an answer of more than {ANSWER_MAX} bytes; ask for less at a time")
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("the server closed the connection")
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
        else:
            self._drop()
        return HttpAnswer(status, found, b"".join(parts))

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, h11.Connection]:
        reader, writer = await asyncio.open_connection(
            self._host, self._port, ssl=self._tls, server_hostname=self._host if self._tls else None)
        self._link = (reader, writer, h11.Connection(h11.CLIENT))
        return self._link

    def _lost(self) -> None:
        self.breaks += 1
        self._drop()

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link[1].close()

    async def close(self) -> None:
        """Let the connection go; idempotent."""
        self._drop()


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise LocalFault(f"{ca_file}: cannot be read as a CA certificate ({error})") from error
