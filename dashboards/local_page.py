"""The local page (I/O): served on the gateway itself, for the people on site, with the cloud gone.

    browser ──GET /──────────► page without data, two languages
            ──GET /api/view──► LocalView each 2 s; `answers: false` when the gateway itself does not
            ──GET /api/plot──► last 24 hours of one point
            ──GET /matrix────► cause and effect
            ──POST /api/sign-in──► PIN ─► session cookie (HttpOnly, SameSite=Strict) and a CSRF token
            ──POST /api/act──────► acknowledge, silence, reset: cookie, token and header, or 403
            ──POST /api/permit, /api/switch──► local_deeds.py: hot work on site, outputs by hand

Anybody who reaches the page may look; nobody acts without a PIN. It is a process of its own, beside the gateway.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from dashboards.install_pages import add_install_pages
from dashboards.install_view import Installer
from dashboards.kit.phrases import phrases
from dashboards.kit.texts import LANGUAGES, table, text
from dashboards.local_deeds import add_local_deeds
from dashboards.local_view import LocalGateway
from dashboards.pin_rights import deed_of_action
from dashboards.pin_sessions import HEADERS, add_pin_sign_in, bounded_body, language_of, refusal_of, session_of
from dashboards.pins import PinDoor

HERE = Path(__file__).parent
ACTIONS = ("acknowledge", "silence", "reset")
REASON_MOST = 300
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


class ActBody(msgspec.Struct, frozen=True):
    """One click. request: its id; repeating it counts once."""

    action: str
    target: str
    request: str
    why: str = ""


def create_local_app(gateway: LocalGateway, door: PinDoor, installer: Installer | None = None) -> FastAPI:
    """The application of one gateway. installer: who does the work of the first day, where there is one."""
    app = FastAPI(title="Tocsin gateway", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    _add_guard(app)
    _add_pages(app, gateway, door, installer)
    _add_reads(app, gateway)
    _add_people(app, gateway, door)
    add_local_deeds(app, gateway, door)
    return app


def _add_guard(app: FastAPI) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _add_pages(app: FastAPI, gateway: LocalGateway, door: PinDoor, installer: Installer | None) -> None:
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)

    def page(name: str, request: Request, **values: Any) -> Response:
        language = language_of(request)
        other = next(other for other in LANGUAGES if other != language)
        return Response(pages.get_template(name).render(
            t=lambda key: text(key, language), language=language, other=other, **values), media_type="text/html")

    @app.get("/")
    async def local(request: Request) -> Response:
        return page("local.html", request, installs=installer is not None)

    if installer is not None:
        add_install_pages(app, installer, door, page)

    @app.get("/matrix")
    async def matrix(request: Request) -> Response:
        return page("local_matrix.html", request, sheet=gateway.matrix(language_of(request)))

    @app.get("/health")
    async def health() -> Response:
        return PlainTextResponse("ok")

    @app.get("/language/{language}")
    async def choose(language: str) -> Response:
        response = RedirectResponse("/", 303)
        if language in LANGUAGES:
            response.set_cookie("tocsin_language", language, max_age=365 * 86400, samesite="lax", httponly=True)
        return response

    @app.get("/texts/{language}.json")
    async def texts(language: str) -> Response:
        return JSONResponse(table(language if language in LANGUAGES else LANGUAGES[0]))

    @app.get("/phrases/{language}.json")
    async def phrases_of(language: str) -> Response:
        return JSONResponse(phrases() if language == "zh" else {})


def _add_reads(app: FastAPI, gateway: LocalGateway) -> None:
    @app.get("/api/view")
    async def view() -> Response:
        return _json(msgspec.json.encode(await gateway.view()))

    @app.get("/api/plot")
    async def plot(point: str) -> Response:
        return _json(msgspec.json.encode(await gateway.plot(point[:200])))


def _add_people(app: FastAPI, gateway: LocalGateway, door: PinDoor) -> None:
    add_pin_sign_in(app, door)

    @app.post("/api/act")
    async def act(request: Request) -> Response:
        try:
            body = msgspec.json.decode(await bounded_body(request), type=ActBody)
        except ValueError as error:
            return JSONResponse({"refusal": f"not an action: {error}"}, 400)
        session = session_of(request, door, deed_of_action(body.action))
        if session is None:
            return refusal_of(request, door)
        if body.action not in ACTIONS or not _REQUEST_ID.fullmatch(body.request) or len(body.why) > REASON_MOST:
            return JSONResponse({"refusal": "action, request id or reason is not acceptable"}, 400)
        done, what = await gateway.act(body.action, body.target[:120], session.who, body.why.strip(), body.request)
        return JSONResponse({"done": what} if done else {"refusal": what}, 200 if done else 409)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
