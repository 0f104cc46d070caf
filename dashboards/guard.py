"""Around every answer (I/O): bounds, security headers, the end of streams whose reader lost the right, the audit.

    request ──► too large? ──► application ──► headers added ──► deed noted with its outcome
                                   └ text/event-stream: before each piece and every 5 s: still who came in?

Plain ASGI: a thousand open streams pass here, so nothing is buffered or copied.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request
from fastapi.responses import PlainTextResponse

from dashboards.gate import NotSignedIn, PersonOf, address_of, key_of
from dashboards.people import Trail
from device_model.errors import LocalFault

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]
_App = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]

_NUMBER = re.compile(r"[0-9]{1,18}")  # str.isdigit knows further digits, which int() does not
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    # With no-referrer browsers send `Origin: null` with our own forms, which could not be told from a foreign page.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


# A stream that has nothing to send is looked at this often: its reader goes also where no piece would tell. Sessions
# age in real seconds, and so does this.
LOOK_EVERY_S = 5.0


class _StreamOver(Exception):
    """The reader of a stream is no longer who came in."""


class Guard:
    """The middleware. most: how many bytes a request to a path may have."""

    def __init__(self, app: _App, *, person_of: PersonOf, trail: Trail, most: Callable[[str], int]) -> None:
        self._app, self._person_of, self._trail, self._most = app, person_of, trail, most

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        answer = _Answer(self, request, send, asyncio.current_task())
        length = request.headers.get("content-length") or "0"
        if not _NUMBER.fullmatch(length) or int(length) > self._most(request.url.path):
            await PlainTextResponse("request too large", 413)(scope, receive, answer.send)
            return
        try:
            await self._app(scope, receive, answer.send)
        except _StreamOver:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if not answer.over or answer.task is None or answer.task.uncancel() > 0:
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except BaseExceptionGroup as group:
            rest = group.split(_StreamOver)[1]
            if rest is not None:
                raise rest from None
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            answer.end()

    def note(self, request: Request, status: int, *, leaves: bool) -> None:
        """Write down a deed that the gate let in. leaves: the answer is a file to be kept: an export."""
        noted = getattr(request.state, "noted", None)
        person = getattr(request.state, "came_in", None)
        if noted is None and leaves and person is not None:
            noted = (person, key_of(request), "")
        if noted is not None:
            person, key, path = noted
            subject = " ".join(f"{k}={v}" for k, v in request.path_params.items())
            self._trail.note(person.name, key, subject=subject, path=path or person.scope,
                             why=getattr(request.state, "why", ""), where=address_of(request), outcome=str(status))

    def still_there(self, request: Request, came_in: Any) -> bool:
        """Whether the reader of a stream still is who came in, with the same role and scope."""
        try:
            return came_in is None or self._person_of(request) == came_in
        except (NotSignedIn, LocalFault):  # who cannot be looked up is nobody
            return False


class _Answer:
    """One answer on its way out."""

    def __init__(self, guard: Guard, request: Request, send: _Send, task: asyncio.Task[Any] | None) -> None:
        self._guard, self._request, self._send, self.task = guard, request, send, task
        self._stream, self._came_in = False, None
        self._timer: asyncio.TimerHandle | None = None
        self.over = False  # ended because the right was gone

    async def send(self, message: _Message) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            self._began(message)
        elif self._stream and not self._guard.still_there(self._request, self._came_in):
            raise _StreamOver
        await self._send(message)

    def _began(self, message: _Message) -> None:
        headers = message.setdefault("headers", [])
        known = {name.lower() for name, _ in headers}
        headers.extend((name.lower().encode(), value.encode()) for name, value in HEADERS.items()
                       if name.lower().encode() not in known)
        self._stream = any(name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                           for name, value in headers)
        if self._stream:
            self._came_in = getattr(self._request.state, "came_in", None)
            self._look_again()
        leaves = any(name.lower() == b"content-disposition" and value.startswith(b"attachment")
                     for name, value in headers)
        self._guard.note(self._request, message["status"], leaves=leaves)

    def _look_again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        if self._guard.still_there(self._request, self._came_in):
            self._look_again()
        elif self.task is not None:
            self.over = True
            self.task.cancel()

    def end(self) -> None:
        """The answer is over."""
        if self._timer is not None:
            self._timer.cancel()
