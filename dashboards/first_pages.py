"""The page of a gateway that nobody has claimed yet (I/O): a phone opens it, and no terminal is needed.

    GET  /, /install          page without data, two languages
    GET  /api/first           FirstView; the claim code only for who has signed in
    POST /api/first/pin       the first person makes the PIN; from then on every deed needs it
    POST /api/first/cloud, /api/first/code      the cloud's address, another code      GET /first/label.svg

Whoever comes first sets it up, as with every box that is unpacked: a stranger who did so on this network is noticed,
because the owner's PIN is refused then, and nothing is claimed before the owner confirms it in the cloud.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from dashboards.first_view import First
from dashboards.kit.phrases import phrases
from dashboards.kit.texts import LANGUAGES, table, text
from dashboards.pin_rights import LocalDeed
from dashboards.pin_sessions import (
    HEADERS,
    add_pin_sign_in,
    bounded_body,
    language_of,
    looker_of,
    refusal_of,
    session_of,
)
from dashboards.pins import PinDoor
from device_model.errors import LocalFault

HERE = Path(__file__).parent


class BeginAsk(msgspec.Struct, frozen=True):
    """Who sets the gateway up, and the PIN for its page."""

    name: str
    pin: str


class CloudAsk(msgspec.Struct, frozen=True):
    """Where it is to be claimed."""

    address: str


def create_first_app(first: First, door: PinDoor, names: Collection[str] = ()) -> FastAPI:
    """The application of a bare gateway. names: host names under which it may be asked, beside addresses."""
    app = FastAPI(title="Tocsin gateway", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    _add_guard(app, {name.lower() for name in (*names, "localhost")})
    _add_pages(app)
    add_pin_sign_in(app, door)
    _add_first(app, first, door)
    return app


def _add_guard(app: FastAPI, names: Collection[str]) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        # A name of somebody else that was bent to this address would let a foreign page make the first PIN.
        if not _ours(request.url.hostname or "", names):
            return PlainTextResponse("open this page by the gateway's address", 421)
        response: Response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _ours(host: str, names: Collection[str]) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.lower() in names
    return True


def _add_pages(app: FastAPI) -> None:
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)

    @app.get("/")
    @app.get("/install")
    async def first_page(request: Request) -> Response:
        language = language_of(request)
        other = next(other for other in LANGUAGES if other != language)
        return Response(pages.get_template("first.html").render(
            t=lambda key: text(key, language), language=language, other=other), media_type="text/html")

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


def _add_first(app: FastAPI, first: First, door: PinDoor) -> None:
    @app.get("/api/first")
    async def view(request: Request) -> Response:
        inside = looker_of(request, door, LocalDeed.BIND) is not None
        return await _answer(lambda: first.view(inside=inside))

    @app.get("/first/label.svg")
    async def label(request: Request) -> Response:
        if looker_of(request, door, LocalDeed.BIND) is None:
            return refusal_of(request, door)
        try:
            return Response(await asyncio.to_thread(first.label), media_type="image/svg+xml")
        except LocalFault as fault:
            return JSONResponse({"refusal": str(fault)}, 404)

    @app.post("/api/first/pin")
    async def begin(request: Request) -> Response:
        if request.headers.get("x-tocsin") != "local":
            return JSONResponse({"refusal": "this request did not come from the page"}, 403)
        try:
            asked = msgspec.json.decode(await bounded_body(request), type=BeginAsk)
        except ValueError:
            return JSONResponse({"refusal": "not a name and a PIN"}, 400)
        return await _answer(lambda: first.begin(asked.name, asked.pin))

    @app.post("/api/first/cloud")
    async def cloud(request: Request) -> Response:
        if session_of(request, door, LocalDeed.PEOPLE) is None:
            return refusal_of(request, door)
        try:
            asked = msgspec.json.decode(await bounded_body(request), type=CloudAsk)
        except ValueError:
            return JSONResponse({"refusal": "not an address"}, 400)
        return await _answer(lambda: first.to_cloud(asked.address))

    @app.post("/api/first/code")
    async def code(request: Request) -> Response:
        if session_of(request, door, LocalDeed.PEOPLE) is None:
            return refusal_of(request, door)
        return await _answer(first.new_code)


async def _answer(make: Callable[[], Any]) -> Response:
    try:
        return Response(msgspec.json.encode(await asyncio.to_thread(make)), media_type="application/json")
    except LocalFault as fault:
        return JSONResponse({"refusal": str(fault)}, 409)
