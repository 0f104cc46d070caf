"""The cameras' page on a gateway (I/O): zones and masks drawn on a picture; the last sweep.

    browser ──GET /cameras──────────────────────► page: picture, polygons, keyboard     ──GET /sweep──► page
            ──GET /api/cameras──────────────────► cameras and what is drawn
            ──GET /api/cameras/{camera}/now.jpg─► a fresh picture, people blurred     (PIN, right, logged)
            ──POST /api/cameras/{camera}/drawing► checked, written into the vision file  (PIN, right)
            ──POST /api/cameras/{camera}/undo───► the file as it was before              (PIN, right)
            ──GET /api/sweep────────────────────► N of M, deadline, the dead, the longest unseen
            ──GET /api/sweep/{camera}.jpg───────► the newest picture, people blurred  (PIN, right, logged)

Pictures never leave the gateway: this page is served there, on loopback or with TLS, to people whose PIN has a role
that may (pin_rights.py) and whom the vision file names. A picture that cannot be logged is not shown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import jinja2
import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from dashboards.kit.texts import LANGUAGES, table, text
from dashboards.labelling import labelling_router
from dashboards.pin_rights import LocalDeed
from dashboards.pin_sessions import HEADERS, add_pin_sign_in, bounded_body, language_of, looker_of, session_of
from dashboards.pins import PinDoor
from device_model.errors import ConfigError, LocalFault
from device_model.labelling import LabelDesk

HERE = Path(__file__).parent
DRAWING_BYTES_MAX = 256 * 1024
_CAMERA = re.compile(r"[A-Za-z0-9_-]{1,64}")


class CameraSketch(msgspec.Struct, frozen=True):
    """A camera and what is drawn on it: zones and masks as JSON of the vision file's own words."""

    id: str
    zones: tuple[dict[str, Any], ...] = ()
    masks: tuple[tuple[tuple[float, float], ...], ...] = ()


class CamerasView(msgspec.Struct, frozen=True):
    """What may be drawn. undo: whether there is a file from before; scenes, classes: what a zone may ask for."""

    cameras: tuple[CameraSketch, ...]
    scenes: tuple[str, ...]
    classes: tuple[str, ...]
    undo: bool


class SweptRow(msgspec.Struct, frozen=True):
    """One camera of the last sweep."""

    camera: str
    outcome: str
    state: str
    took_s: float
    seen_us: int
    missed: int
    picture: bool
    alarms: tuple[str, ...] = ()
    decided: tuple[str, ...] = ()
    what: str = ""


class SweepView(msgspec.Struct, frozen=True):
    """The last sweep. began_us 0: there was none yet. unseen: cameras never seen; longest_s: the longest unseen of
    the others, for fairness."""

    at_us: int
    began_us: int = 0
    period_s: float = 0.0
    sweep_s: float = 0.0
    cameras: int = 0
    swept: int = 0
    seen: int = 0
    kept: bool = False
    unseen: int = 0
    longest_s: float = 0.0
    longest: str = ""
    blurs: bool = False
    rows: tuple[SweptRow, ...] = ()


class VisionDesk(Protocol):
    """What the gateway brings (edge_agent/vision_page.py). Its methods block: they are called in threads."""

    def cameras(self) -> CamerasView: ...
    def save(self, camera: str, drawing: bytes, who: str) -> None: ...
    def undo(self, who: str) -> bool: ...
    def picture(self, camera: str, who: str) -> bytes: ...
    def sweep(self) -> SweepView: ...
    def swept_picture(self, camera: str, who: str) -> bytes: ...
    def may_look(self, who: str) -> bool: ...
    def may_draw(self, who: str) -> bool: ...
    def may_label(self, who: str) -> bool: ...


def create_vision_app(desk: VisionDesk, door: PinDoor, labelling: LabelDesk | None = None) -> FastAPI:
    """The application of one gateway's cameras. labelling: clips that people may say what they show of."""
    app = FastAPI(title="Tocsin cameras", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    _add_pages(app, labelling is not None)
    add_pin_sign_in(app, door)
    _add_drawing(app, desk, door)
    _add_pictures(app, desk, door)
    if labelling is not None:

        def who(request: Request) -> str:
            session = looker_of(request, door, LocalDeed.LABEL)
            return session.who if session is not None and desk.may_label(session.who) else ""

        app.include_router(labelling_router(labelling, lambda request: bool(who(request)), who, back="/cameras"))
    return app


def _add_pages(app: FastAPI, labels: bool) -> None:
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)

    def page(name: str, request: Request) -> Response:
        language = language_of(request)
        other = next(other for other in LANGUAGES if other != language)
        return Response(pages.get_template(name).render(
            t=lambda key: text(key, language), language=language, other=other, here=request.url.path,
            labels=labels),
            media_type="text/html")

    @app.get("/")
    async def root() -> Response:
        return RedirectResponse("/cameras", 303)

    @app.get("/cameras")
    async def cameras(request: Request) -> Response:
        return page("vision_zones.html", request)

    @app.get("/sweep")
    async def sweep(request: Request) -> Response:
        return page("vision_sweep.html", request)

    @app.get("/health")
    async def health() -> Response:
        return PlainTextResponse("ok")

    @app.get("/language/{language}")
    async def choose(language: str, request: Request) -> Response:
        back = "/sweep" if request.headers.get("referer", "").endswith("/sweep") else "/cameras"
        response = RedirectResponse(back, 303)
        if language in LANGUAGES:
            response.set_cookie("tocsin_language", language, max_age=365 * 86400, samesite="lax", httponly=True)
        return response

    @app.get("/texts/{language}.json")
    async def texts(language: str) -> Response:
        return JSONResponse(table(language if language in LANGUAGES else LANGUAGES[0]))


def _add_drawing(app: FastAPI, desk: VisionDesk, door: PinDoor) -> None:
    @app.get("/api/cameras")
    def cameras() -> Response:
        try:
            return _json(msgspec.json.encode(desk.cameras()))
        except (ConfigError, LocalFault) as error:
            return _refused(error)

    def drawer(request: Request) -> str | None:
        session = session_of(request, door, LocalDeed.DRAW)
        return session.who if session is not None and desk.may_draw(session.who) else None

    @app.post("/api/cameras/{camera}/drawing")
    async def save(request: Request, camera: str) -> Response:
        who = drawer(request)
        if who is None:
            return JSONResponse({"refusal": "right"}, 403)
        try:
            body = await bounded_body(request, DRAWING_BYTES_MAX)
            await _threaded(desk.save, camera, body, who)
        except (ValueError, ConfigError, LocalFault) as error:
            return _refused(error)
        return JSONResponse({})

    @app.post("/api/cameras/undo")
    async def undo(request: Request) -> Response:
        who = drawer(request)
        if who is None:
            return JSONResponse({"refusal": "right"}, 403)
        try:
            done = await _threaded(desk.undo, who)
        except (ConfigError, LocalFault) as error:
            return _refused(error)
        return JSONResponse({"undone": done})


def _add_pictures(app: FastAPI, desk: VisionDesk, door: PinDoor) -> None:
    @app.get("/api/sweep")
    def sweep() -> Response:
        return _json(msgspec.json.encode(desk.sweep()))

    async def given(request: Request, camera: str, *, now: bool) -> Response:
        looker, drawer = looker_of(request, door, LocalDeed.LOOK), looker_of(request, door, LocalDeed.DRAW)
        session = looker or (drawer if now else None)
        if session is None or not _CAMERA.fullmatch(camera):
            return JSONResponse({"refusal": "sign in"}, 403)
        if not ((looker and desk.may_look(session.who)) or (now and drawer and desk.may_draw(session.who))):
            return JSONResponse({"refusal": "right"}, 403)
        try:
            octets = await _threaded(desk.picture if now else desk.swept_picture, camera, session.who)
        except KeyError:
            return JSONResponse({"refusal": "no picture"}, 404)
        except (ConfigError, LocalFault) as error:
            return _refused(error, 503)
        return Response(octets, media_type="image/jpeg")

    @app.get("/api/cameras/{camera}/now.jpg")
    async def now_picture(request: Request, camera: str) -> Response:
        return await given(request, camera, now=True)

    @app.get("/api/sweep/{camera}.jpg")
    async def swept_picture(request: Request, camera: str) -> Response:
        return await given(request, camera, now=False)


async def _threaded(call: Any, *given: Any) -> Any:
    import asyncio

    return await asyncio.to_thread(call, *given)


def _refused(error: Exception, status: int = 409) -> Response:
    if isinstance(error, ConfigError):
        return JSONResponse({"refusal": "; ".join(f"{f.what} — {f.remedy}" for f in error.findings[:5])}, status)
    return JSONResponse({"refusal": str(error)}, status)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
