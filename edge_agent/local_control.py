"""Local control (I/O): what a named person on site asks of the running gateway, through a Unix socket beside the
journal (mode 0600: whoever may use it is on this machine, as the gateway's own user).

    tocsin gateway act … ──one JSON line──► socket ──► GatewayRuntime.act_on_site ──► one JSON line back

The local page of a later issue uses the same door, behind a PIN.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from device_model.clock import SECOND_US
from device_model.command import Command, CommandKind, CommandResult
from device_model.errors import LocalFault
from device_model.permit import PermitStep
from edge_agent.gateway_report import GatewayReport
from edge_agent.gateway_state import GatewayState
from edge_agent.line_reads import LineAnswer, LineRead

REQUEST_MAX = 16 * 1024
ANSWER_MAX = 16 * 1024 * 1024
REQUEST_WITHIN_S = 5.0
BY_HAND_MOST_S = 86_400.0  # what no time stamp could hold is cut; the outputs' own limit is shorter
SOCKET_NAME_MAX = 100  # the kernel takes 107 bytes

ACTIONS: dict[str, CommandKind] = {
    "silence": CommandKind.SILENCE_SOUNDER, "reset": CommandKind.RESET_ALARM, "test": CommandKind.TEST_MODE,
    "acknowledge": CommandKind.ALARM_ACKNOWLEDGED,
    "isolate": CommandKind.ISOLATE, "restore": CommandKind.RESTORE, "proof": CommandKind.PROOF_ALARM,
    "permit": CommandKind.PERMIT, "on": CommandKind.WRITE_OUTPUT, "off": CommandKind.WRITE_OUTPUT,
}


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked: one of ACTIONS, or "state", "report", "reload", or "read" with the read."""

    action: str
    target: str = ""
    who: str = ""
    why: str = ""
    for_s: float = 0.0
    id: str = ""
    compensating_measure: str = ""
    read: LineRead | None = None
    permit: PermitStep | None = None


class Answer(msgspec.Struct, frozen=True):
    """The gateway's answer: what became of it, or the state."""

    ok: bool
    detail: str = ""
    result: CommandResult | None = None
    state: GatewayState | None = None
    read: LineAnswer | None = None
    report: GatewayReport | None = None


def socket_paths(journal_path: str) -> tuple[Path, ...]:
    """Where the socket may be, best first: beside the journal; or in the folder for temporary files, where the
    name is too long for the kernel or the disk takes nothing (people must be able to silence a sounder then, too)."""
    beside = Path(journal_path).with_suffix(".control")
    short = hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]
    elsewhere = Path(tempfile.gettempdir()) / f"tocsin-{short}.control"
    return (beside, elsewhere) if len(os.fsencode(beside)) <= SOCKET_NAME_MAX else (elsewhere,)


def command_of(request: Request, issued_us: int) -> Command:
    """The command that a request means; ValueError says what is wrong with it."""
    kind = ACTIONS.get(request.action)
    if kind is None:
        raise ValueError(f"{request.action!r} is no action; known: {', '.join(ACTIONS)}, state")
    value: float | bool | None = request.for_s if request.for_s > 0 else None
    expires_us = 0
    if kind is CommandKind.WRITE_OUTPUT:
        expires_us = issued_us + round(min(value, BY_HAND_MOST_S) * SECOND_US) if value else 0
        value = request.action == "on"
    return Command(request.id or os.urandom(8).hex(), kind, request.target, request.who, request.why, issued_us,
                   expires_us, value, True, request.compensating_measure, request.permit)


class LocalControl:
    """The listening side. `serve` until cancelled."""

    def __init__(self, paths: Sequence[Path], act: Callable[[Request], Awaitable[Answer]]) -> None:
        """paths: where to listen, the first that can be had. act: carries one request out, within the event
        loop."""
        self._paths = tuple(paths)
        self._act = act

    def claim(self) -> None:
        """Make sure that no other gateway listens there. Raises LocalFault when one does."""
        for path in self._paths:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
                try:
                    probe.connect(str(path))
                except OSError:
                    with contextlib.suppress(OSError):
                        path.unlink()  # left behind by a killed gateway
                    continue
            raise LocalFault(f"{path}: another gateway runs on this journal; stop it first")

    async def serve(self) -> None:
        """Listen. Raises LocalFault when no socket can be made."""
        why = ""
        for path in self._paths:
            try:
                server = await self._listen(path)
            except OSError as error:
                why = f"{path}: cannot listen ({error.strerror or error})"
                continue
            try:
                async with server:
                    await server.serve_forever()
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()
        raise LocalFault(f"{why}; check the folder")

    async def _listen(self, path: Path) -> asyncio.Server:
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._talk, str(path), limit=REQUEST_MAX)
        finally:
            os.umask(mask)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_WITHIN_S):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            # Somebody who asks nothing, too much, or goes away: nobody is left to be told.
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            return await self._act(msgspec.json.decode(line, type=Request))
        except ValueError as error:
            return Answer(False, str(error))


def ask(paths: Sequence[Path], request: Request, timeout_s: float = 10.0) -> Answer:
    """Ask a running gateway. Raises LocalFault when none answers there."""
    why = ""
    for path in paths:
        try:
            received = _asked(path, request, timeout_s)
        except OSError as error:
            why = why or f"{path}: no gateway answers ({error.strerror or error})"
            continue
        try:
            return msgspec.json.decode(received, type=Answer)
        except ValueError as error:
            raise LocalFault(f"{path}: the answer makes no sense: {error}") from error
    raise LocalFault(f"{why}; is `tocsin gateway run` running with this site file, as this user?")


def _asked(path: Path, request: Request, timeout_s: float) -> bytes:
    if path.stat().st_uid not in (os.geteuid(), 0):
        raise PermissionError(1, "the socket belongs to somebody else")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as link:
        link.settimeout(timeout_s)
        link.connect(str(path))
        link.sendall(msgspec.json.encode(request) + b"\n")
        received = bytearray()
        while not received.endswith(b"\n") and len(received) < ANSWER_MAX:
            part = link.recv(65536)
            if not part:
                break
            received += part
        return bytes(received)
