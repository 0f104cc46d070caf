"""The web server of the pages (I/O): routes, sign-in, the event stream.

    browser ──GET /board──────────► page (no data in it)
            ──GET /api/board──────► snapshot, with the server's time and speed
            ──GET /api/board/events► SSE: each change encoded once for all clients; heartbeat ≤ 2 s
            ──POST /api/incidents/{id}/actions► Board.act, durable before the answer

Every route passes `_person`; nothing is open without sign-in unless the program passes no SignIn (the demo on
loopback). A page holds no data, so a cached page can never show an old alarm.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from dashboards.kit.texts import LANGUAGES, table, text
from dashboards.people import VISITOR, Person, SignIn
from device_model.clock import Clock
from device_model.read_models import Board, IncidentAction

HERE = Path(__file__).parent
COOKIE = "tocsin_session"
# One browser tab holds one stream; 33 µs an event and client were measured, so 2,000 clients fit one core.
CLIENTS_MAX = 2000
BODY_BYTES_MAX = 16 * 1024  # the largest request is one action with a reason
REASON_CHARACTERS_MAX = 500
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class ActionBody(msgspec.Struct, frozen=True):
    """What the page sends for one click. request: its id of the click; repeating it is safe."""

    action: IncidentAction
    request: str
    why: str = ""
    who: str = ""


class _NotSignedIn(Exception):
    """Nobody is signed in."""


def create_app(board: Board, *, clock: Clock, sign_in: SignIn | None, speed: float = 1.0) -> FastAPI:
    """The application. `sign_in` None leaves all open: callers allow that on loopback only. `speed`: shown
    seconds per real second, so that ages on the page run right in an accelerated demo."""
    app = FastAPI(title="Tocsin", docs_url=None, redoc_url=None, openapi_url=None)
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    streams = _StreamCount()

    def person_of(request: Request) -> Person:
        if sign_in is None:
            return VISITOR
        person = sign_in.person(request.cookies.get(COOKIE, ""))
        if person is None:
            raise _NotSignedIn
        return person

    def page(name: str, request: Request, status: int = 200, **values: Any) -> Response:
        language = _language(request)
        other = next(other for other in LANGUAGES if other != language)
        html = pages.get_template(name).render(
            t=lambda key: text(key, language), language=language, other=other, signed_in=sign_in is not None,
            **values,
        )
        return Response(html, status, media_type="text/html", headers={"Cache-Control": "no-store"})

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        if int(request.headers.get("content-length") or 0) > BODY_BYTES_MAX:
            return PlainTextResponse("request too large", 413)
        try:
            response: Response = await call_next(request)
        except _NotSignedIn:
            if request.url.path.startswith("/api/"):
                response = JSONResponse({"refusal": "sign in first"}, 401)
            else:
                response = RedirectResponse("/sign-in", 303)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.get("/")
    async def root() -> Response:
        return RedirectResponse("/board", 303)

    @app.get("/health")
    async def health() -> Response:
        return PlainTextResponse("ok")

    @app.get("/language/{language}")
    async def choose_language(language: str) -> Response:
        response = RedirectResponse("/board", 303)
        if language in LANGUAGES:
            response.set_cookie("tocsin_language", language, max_age=365 * 86400, samesite="lax", httponly=True)
        return response

    @app.get("/texts/{language}.json")
    async def texts(language: str) -> Response:
        return JSONResponse(table(language if language in LANGUAGES else LANGUAGES[0]))

    @app.get("/board")
    async def board_page(request: Request) -> Response:
        person = person_of(request)
        return page("board.html", request, person=person)

    @app.get("/api/board")
    async def snapshot(request: Request) -> Response:
        person = person_of(request)
        body = await board.snapshot(person.scope)
        wrapped = {"at_us": clock.now().wall_us, "speed": speed, "board": msgspec.Raw(msgspec.json.encode(body))}
        return _json(msgspec.json.encode(wrapped))

    @app.get("/api/incidents/{incident}")
    async def one_incident(incident: str, request: Request) -> Response:
        person = person_of(request)
        view = await board.incident(incident, person.scope)
        return JSONResponse({"refusal": "no such incident"}, 404) if view is None else _json(msgspec.json.encode(view))

    @app.get("/api/board/events")
    async def events(request: Request, after: int = 0) -> Response:
        person = person_of(request)
        if not streams.enter():
            return PlainTextResponse("too many open boards", 503)
        resume = request.headers.get("last-event-id", "")
        start = int(resume) if resume.isdigit() else after
        body = _sse(board, person.scope, start, clock, speed, streams)
        return StreamingResponse(body, media_type="text/event-stream",
                                 headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    @app.post("/api/incidents/{incident}/actions")
    async def act(incident: str, request: Request) -> Response:
        person = person_of(request)
        # A foreign page cannot set this header without a preflight that we never grant: no forged clicks.
        if request.headers.get("x-tocsin") != "board":
            return JSONResponse({"refusal": "this request did not come from the board"}, 403)
        try:
            body = msgspec.json.decode(await request.body(), type=ActionBody)
        except ValueError as error:
            return JSONResponse({"refusal": f"not an action: {error}"}, 400)
        who = person.name if sign_in is not None else body.who.strip()
        if not who or len(who) > 80:
            return JSONResponse({"refusal": "say who you are (at most 80 characters)"}, 400)
        if not _REQUEST_ID.fullmatch(body.request) or len(body.why) > REASON_CHARACTERS_MAX:
            return JSONResponse({"refusal": "request id or reason is not acceptable"}, 400)
        outcome = await board.act(incident, body.action, who=who, why=body.why.strip(), request=body.request,
                                  scope=person.scope)
        return _json(msgspec.json.encode(outcome), 200 if outcome.done else 409)

    _add_sign_in(app, sign_in, page)
    return app


def _add_sign_in(app: FastAPI, sign_in: SignIn | None, page: Any) -> None:
    """The sign-in page and its two actions."""

    @app.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        if sign_in is None:
            return RedirectResponse("/board", 303)
        result: Response = page("sign_in.html", request, wrong=False)
        return result

    @app.post("/sign-in")
    async def enter(request: Request) -> Response:
        if sign_in is None:
            return RedirectResponse("/board", 303)
        form = _form(await request.body())
        # argon2 and scrypt are slow on purpose: not in the event loop.
        cookie = await asyncio.to_thread(sign_in.enter, form.get("name", ""), form.get("secret", ""))
        if cookie is None:
            wrong: Response = page("sign_in.html", request, status=403, wrong=True)
            return wrong
        response = RedirectResponse("/board", 303)
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response

    @app.post("/sign-out")
    async def leave(request: Request) -> Response:
        if sign_in is not None:
            sign_in.leave(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response


async def _sse(
    board: Board, scope: str, after: int, clock: Clock, speed: float, streams: _StreamCount
) -> AsyncIterator[bytes]:
    """Board events as server-sent events. Heartbeats carry the server's time, so that ages never lie."""
    try:
        yield b"retry: 1000\n\n"
        async for event in board.events(scope, after):
            payload = event.payload
            if event.kind == "heartbeat":
                payload = msgspec.json.encode({"at_us": clock.now().wall_us, "speed": speed})
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.revision, event.kind.encode(), payload)
    finally:
        streams.leave()


class _StreamCount:
    """How many event streams are open; refuses beyond CLIENTS_MAX."""

    def __init__(self) -> None:
        self._open = 0

    def enter(self) -> bool:
        if self._open >= CLIENTS_MAX:
            return False
        self._open += 1
        return True

    def leave(self) -> None:
        self._open -= 1


def _language(request: Request) -> str:
    """The chosen language, else the browser's, else Chinese."""
    chosen = request.cookies.get("tocsin_language", "")
    if chosen in LANGUAGES:
        return chosen
    accepted = request.headers.get("accept-language", "").lower()
    return "en" if accepted.startswith("en") else "zh"


def _form(body: bytes) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=10))


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json", headers={"Cache-Control": "no-store"})
