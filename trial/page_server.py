"""The tester's page (I/O): a running simulator seen and worked in a browser, or over ssh by text commands.

    browser, `tocsin sim set|press|…` ──POST /api/…, token──► SimControls ──► devices on their ports
            ◄──SSE /api/sim/events── one view of what this page looks at, when it changed; a heartbeat otherwise

Loopback needs no sign-in to look; another host does (the token in the address, once). Every deed carries the token,
which a foreign page cannot know, and the Host header must be ours (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import jinja2
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

import dashboards
from dashboards.kit.texts import LANGUAGES, table, text
from device_model.errors import ConfigError, TocsinError
from trial.page_answers import answer, body_of, language_of, refused
from trial.profile_pages import profile_router
from trial.sim_bench import SimBench
from trial.tester_deeds import DEEDS, Deed

BODY_BYTES_MAX = 2 * 2**20  # a batch of 5,000 units as text
CLIENTS_MAX = 50
LOOK_S = 0.5
BEAT_S = 2.0
TOKEN_HEADER = "x-tocsin-token"  # noqa: S105  the header's name
COOKIE = "tocsin_sim"
_HERE = Path(dashboards.__file__).parent
_POLICY = ("default-src 'self'; img-src 'self' data:; style-src 'self'{style}; script-src 'self'; "
           "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})


def create_tester_app(bench: SimBench, *, host: str = "127.0.0.1", token: str = "") -> FastAPI:
    """The application over a running bench. token: what deeds must carry; "": a fresh one (`app.state.token`)."""
    app = FastAPI(title="Tocsin tester", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.token = token = token or secrets.token_urlsafe(24)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    _add_guard(app, host, token)
    page = _add_pages(app, token)
    app.include_router(profile_router(bench.desk, page))
    _add_views(app, bench)
    _add_deeds(app, bench)
    _add_files(app, bench)
    return app


def _add_guard(app: FastAPI, host: str, token: str) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        named = (request.headers.get("host") or "").rsplit(":", 1)[0]
        local = host in _LOOPBACK
        response: Response
        if local and named not in _LOOPBACK:
            response = PlainTextResponse("this page is served on loopback only", 421)
        elif not local and not _knows(request, token):
            response = PlainTextResponse("open the address that `tocsin sim page` printed, with its token", 401)
        elif request.method not in ("GET", "HEAD") and not _same(request.headers.get(TOKEN_HEADER, ""), token):
            response = JSONResponse({"refusal": "the token is missing or old: load the page again"}, 403)
        else:
            response = await call_next(request)
        style = " 'unsafe-inline'" if request.url.path.startswith("/reports/") else ""
        response.headers.setdefault("Content-Security-Policy", _POLICY.format(style=style))
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _knows(request: Request, token: str) -> bool:
    given = (request.query_params.get("token"), request.cookies.get(COOKIE), request.headers.get(TOKEN_HEADER))
    return any(_same(each, token) for each in given if each)


def _add_pages(app: FastAPI, token: str) -> Callable[[str, Request], Response]:
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True)

    @app.get("/")
    async def root(request: Request) -> Response:
        response = RedirectResponse("/tester", 303)
        if request.query_params.get("token"):
            response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return response

    @app.get("/health")
    async def health() -> Response:
        return PlainTextResponse("ok")

    @app.get("/language/{language}")
    async def choose_language(language: str, back: str = "") -> Response:
        response = RedirectResponse("/profiles" if back == "profiles" else "/tester", 303)
        if language in LANGUAGES:
            response.set_cookie("tocsin_language", language, max_age=365 * 86400, samesite="lax", httponly=True)
        return response

    @app.get("/texts/{language}.json")
    async def texts(language: str) -> Response:
        return JSONResponse(table(language if language in LANGUAGES else LANGUAGES[0]))

    def page(template: str, request: Request) -> Response:
        language = language_of(request)
        other = next(other for other in LANGUAGES if other != language)
        html = pages.get_template(template).render(
            t=lambda key: text(key, language), language=language, other=other, token=token)
        return Response(html, media_type="text/html", headers={"Cache-Control": "no-store"})

    @app.get("/tester")
    async def tester(request: Request) -> Response:
        return page("tester.html", request)

    return page


def _add_views(app: FastAPI, bench: SimBench) -> None:
    streams = 0

    @app.get("/api/sim")
    async def about(request: Request) -> Response:
        return answer(bench.about(language_of(request)))

    @app.get("/api/sim/devices")
    async def devices(find: str = "", first: int = 0, count: int = 50) -> Response:
        return answer(bench.controls.devices(find, first, count))

    @app.get("/api/sim/devices/{device}")
    async def device(device: str) -> Response:
        try:
            return answer(bench.controls.device(device))
        except ConfigError as error:
            return refused(error, 404)

    @app.get("/api/sim/events")
    async def events(request: Request, find: str = "", first: int = 0, device: str = "", line: str = "") -> Response:
        nonlocal streams
        if streams >= CLIENTS_MAX:
            return PlainTextResponse("too many open pages", 503)
        language = language_of(request)

        async def body() -> AsyncIterator[bytes]:
            nonlocal streams
            streams += 1
            last, frames_after, quiet_s = b"", 0, BEAT_S
            try:
                yield b"retry: 1000\n\n"
                while not bench.closing:
                    view, frames = bench.look(find, first, device, line, frames_after, language)
                    payload = msgspec.json.encode(view)
                    if frames:
                        frames_after = frames[-1].number
                        yield b"event: frames\ndata: %s\n\n" % msgspec.json.encode(frames)
                    if payload != last:
                        last = payload
                        yield b"event: view\ndata: %s\n\n" % payload
                    quiet_s += LOOK_S
                    if quiet_s >= BEAT_S:
                        quiet_s = 0.0
                        yield b"event: heartbeat\ndata: %s\n\n" % msgspec.json.encode({"at_s": bench.at_s()})
                    # A browser's view, not the simulated world: real time.
                    await asyncio.sleep(LOOK_S)
            finally:
                streams -= 1

        return StreamingResponse(body(), media_type="text/event-stream",
                                 headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def _add_deeds(app: FastAPI, bench: SimBench) -> None:
    @app.post("/api/sim/do/{deed}")
    async def act(deed: str, request: Request) -> Response:
        kind = DEEDS.get(deed)
        if kind is None:
            return JSONResponse({"refusal": f"no deed {deed!r}; there are {', '.join(DEEDS)}"}, 404)
        octets = await body_of(request, BODY_BYTES_MAX)
        if octets is None:
            return JSONResponse({"refusal": "the request is too large"}, 413)
        try:
            body: Deed = msgspec.json.decode(octets or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            fields = ", ".join(kind.__struct_fields__)
            return JSONResponse({"refusal": f"no {deed!r} can be made of this ({error}); it takes {fields}"}, 400)
        try:
            return answer({"done": body.on(bench, language_of(request))})
        except TocsinError as error:
            return refused(error, 409)


def _add_files(app: FastAPI, bench: SimBench) -> None:
    @app.get("/trace/{line}")
    async def trace(line: str, form: str = "") -> Response:
        try:
            name, octets = bench.trace(line, form)
        except ConfigError as error:
            return refused(error, 404)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(octets, media_type="application/octet-stream", headers=headers)

    @app.get("/reports/{number}")
    async def report(number: int) -> Response:
        page = bench.runs.page_of(number)
        return _file(page, "text/html; charset=utf-8")

    @app.get("/reports/batch/{form}")
    async def batch_report(form: str) -> Response:
        work = bench.batch
        if work is None or form not in ("csv", "html"):
            return PlainTextResponse("no batch", 404)
        if form == "csv":
            return _file(work.csv_file, "text/csv; charset=utf-8", download=work.csv_file.name)
        return _file(work.page_file, "text/html; charset=utf-8")


def _file(path: Path | None, kind: str, download: str = "") -> Response:
    if path is None or not path.is_file():
        return PlainTextResponse("no such report yet", 404)
    headers = {"Cache-Control": "no-store"}
    if download:
        headers["Content-Disposition"] = "attachment; filename=\"batch.csv\""
    return Response(path.read_bytes(), media_type=kind, headers=headers)
