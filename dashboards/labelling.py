"""The labelling page (I/O): a site's own people say what its cameras saw.

    browser ──GET /labelling────────────────► page without data, two languages, keyboard only
            ──GET /api/labelling/clips──────► clips, labels, counts
            ──GET /api/labelling/clips/…/0.jpg
            ──POST /api/labelling/clips/{id}► {"labels": [0, 1, 0], "by": …} or {"skip": true}
            ──POST /api/labelling/undo──────► that person's last label is taken back

The pictures are the site's: a program serves this page on loopback or behind its own sign-in (`may`), never to the
cloud.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from dashboards.kit.texts import LANGUAGES, table, text
from device_model.errors import ConfigError, LocalFault
from device_model.labelling import LabelDesk

HERE = Path(__file__).parent
BODY_BYTES_MAX = 4096
_CLIP = re.compile(r"[A-Za-z0-9_-]{1,100}")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class LabelBody(msgspec.Struct, frozen=True):
    """One click."""

    by: str
    labels: tuple[int, ...] = ()
    skip: bool = False


class UndoBody(msgspec.Struct, frozen=True):
    """Who takes back."""

    by: str


def _nobody(_: Request) -> str:
    return ""


def labelling_router(
    desk: LabelDesk, may: Callable[[Request], bool] = lambda _: True, who: Callable[[Request], str] = _nobody,
    *, back: str = "",
) -> APIRouter:
    """The page's routes. may: whether a request may see the site's pictures; else 403 and nothing is told. who: the
    person signed in, whose name every label then bears; "" where the page asks for a name. back: the page from which
    people come, and where they sign in; "" for none."""
    router = APIRouter()
    _add_page(router, may, back)
    _add_api(router, desk, may, who)
    return router


def create_labelling_app(desk: LabelDesk, hosts: frozenset[str]) -> FastAPI:
    """The page as an application of its own, for loopback. hosts: names under which it may be asked, so that a
    foreign page that points its name at this machine sees nothing."""
    app = FastAPI(title="Tocsin labelling", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

    def ours(request: Request) -> bool:
        return (request.url.hostname or "") in hosts

    app.include_router(labelling_router(desk, ours))

    @app.get("/")
    async def root() -> Response:
        return RedirectResponse("/labelling", 303)

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return app


def _add_page(router: APIRouter, may: Callable[[Request], bool], back: str) -> None:
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)

    @router.get("/labelling")
    async def page(request: Request) -> Response:
        allowed = may(request)
        if not allowed and not back:
            return PlainTextResponse("not allowed", 403)
        asked = request.cookies.get("tocsin_language", "")
        preferred = "en" if request.headers.get("accept-language", "").lower().startswith("en") else "zh"
        language = asked if asked in LANGUAGES else preferred
        other = next(other for other in LANGUAGES if other != language)
        html = pages.get_template("labelling.html" if allowed else "labelling_closed.html").render(
            t=lambda key: text("labelling.skip" if key == "skip" and allowed else key, language), language=language,
            other=other, back=back)
        return Response(html, 200 if allowed else 403, media_type="text/html", headers=HEADERS)

    @router.get("/labelling/language/{language}")
    async def choose(language: str) -> Response:
        response = RedirectResponse("/labelling", 303)
        if language in LANGUAGES:
            response.set_cookie("tocsin_language", language, max_age=365 * 86400, samesite="lax", httponly=True)
        return response

    @router.get("/labelling/texts/{language}.json")
    async def texts(language: str) -> Response:
        words = table(language if language in LANGUAGES else LANGUAGES[0])
        return JSONResponse({key: value for key, value in words.items() if key.startswith("labelling.")})


def _add_api(
    router: APIRouter, desk: LabelDesk, may: Callable[[Request], bool], who: Callable[[Request], str]
) -> None:
    def told(status: int, why: str) -> Response:
        return JSONResponse({"error": why}, status)

    async def body_of(request: Request, kind: type[Any]) -> Any:
        """The body as a struct; None where it is none. A form of another site cannot set the header."""
        if request.headers.get("x-tocsin-labelling") != "1":
            return None
        octets = b""
        async for chunk in request.stream():
            octets += chunk
            if len(octets) > BODY_BYTES_MAX:
                return None
        try:
            return msgspec.json.decode(octets, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    @router.get("/api/labelling/clips")
    async def clips(request: Request) -> Response:
        if not may(request):
            return told(403, "not allowed")
        found, counts = await asyncio.to_thread(lambda: (desk.clips(), desk.counts()))
        whole = {"clips": found, "counts": counts, "who": who(request)}
        return Response(msgspec.json.encode(whole), media_type="application/json")

    @router.get("/api/labelling/clips/{clip}/{number}.jpg")
    async def picture(request: Request, clip: str, number: int) -> Response:
        if not may(request):
            return told(403, "not allowed")
        path = await asyncio.to_thread(desk.picture, clip, number) if _CLIP.fullmatch(clip) else None
        return told(404, "no such picture") if path is None else FileResponse(path, media_type="image/jpeg")

    @router.post("/api/labelling/clips/{clip}")
    async def label(request: Request, clip: str) -> Response:
        if not may(request):
            return told(403, "not allowed")
        body = await body_of(request, LabelBody)
        if body is None or not _CLIP.fullmatch(clip):
            return told(400, "not understood")
        try:
            by = who(request) or body.by
            view = await asyncio.to_thread(lambda: desk.label(clip, body.labels, by, skip=body.skip))
        except ConfigError as error:
            return told(422, "; ".join(f"{f.what}: {f.remedy}" for f in error.findings))
        except LocalFault as error:
            return told(507, str(error))
        counts = await asyncio.to_thread(desk.counts)
        return Response(msgspec.json.encode({"clip": view, "counts": counts}), media_type="application/json")

    @router.post("/api/labelling/undo")
    async def undo(request: Request) -> Response:
        if not may(request):
            return told(403, "not allowed")
        body = await body_of(request, UndoBody)
        if body is None:
            return told(400, "not understood")
        try:
            return JSONResponse({"clip": await asyncio.to_thread(desk.undo, who(request) or body.by)})
        except LocalFault as error:
            return told(507, str(error))
