"""The installer's pages on the gateway (I/O): scan, place, save, test, report; without internet, behind the PIN.

    GET /install, /api/install…   anybody who reaches the page may look
    POST …                        a signed-in person (pin_sessions.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from dashboards.install_view import Installer, SaveAsk, ScanAsk
from dashboards.pin_sessions import bounded_body, language_of, session_of
from dashboards.pins import PinDoor
from device_model.errors import ConfigError, LawRefusal, LocalFault

SAVE_MAX, TABLE_MAX, PHOTO_MAX = 2 * 1024 * 1024, 4 * 1024 * 1024, 4 * 1024 * 1024


class StepAsk(msgspec.Struct, frozen=True):
    """One step of a test. step: begin, look, end; drive, look, reset."""

    subject: str
    step: str
    seconds: float = 600.0


class TableAsk(msgspec.Struct, frozen=True):
    """Devices as CSV."""

    text: str
    dry: bool = True


Page = Callable[..., Response]


def add_install_pages(app: FastAPI, installer: Installer, door: PinDoor, page: Page) -> None:
    """The routes."""
    _add_looks(app, installer, page)
    _add_deeds(app, installer, door)


def _add_looks(app: FastAPI, installer: Installer, page: Page) -> None:
    @app.get("/install")
    async def install(request: Request) -> Response:
        return page("install.html", request)

    @app.get("/api/install")
    async def view() -> Response:
        return await _json(installer.view)

    @app.get("/api/install/network")
    async def network() -> Response:
        return await _json(installer.network)

    @app.get("/api/install/versions/{number}")
    async def version(number: int) -> Response:
        return await _json(lambda: {"diff": installer.difference(number)})

    @app.get("/api/install/plan")
    async def plan(floor: str) -> Response:
        return await _bytes(lambda: installer.plan(floor[:90]))

    @app.get("/api/install/photos/{name}")
    async def photo(name: str) -> Response:
        return await _bytes(lambda: (installer.photo(name), "image/jpeg"))

    @app.get("/install/report.pdf")
    async def report(request: Request) -> Response:
        language = language_of(request)
        return await _bytes(lambda: (installer.report(language), "application/pdf"))

    @app.get("/install/devices.csv")
    async def table() -> Response:
        return await _bytes(lambda: (installer.table().encode(), "text/csv"))


def _add_deeds(app: FastAPI, installer: Installer, door: PinDoor) -> None:
    async def deed(request: Request, kind: Any, do: Callable[[Any, str], Any], most: int = SAVE_MAX) -> Response:
        session = session_of(request, door)
        if session is None:
            return JSONResponse({"refusal": "session"}, 403)
        try:
            body = msgspec.json.decode(await bounded_body(request, most), type=kind)
        except ValueError as error:
            return JSONResponse({"refusal": f"not understood: {error}"}, 400)
        return await _json(lambda: do(body, session.who))

    @app.post("/api/install/scan")
    async def scan(request: Request) -> Response:
        return await deed(request, ScanAsk, lambda body, _: installer.scan(body))

    @app.post("/api/install/save")
    async def save(request: Request) -> Response:
        return await deed(request, SaveAsk, installer.save)

    @app.post("/api/install/undo")
    async def undo(request: Request) -> Response:
        return await deed(request, dict[str, str], lambda _, who: installer.undo(who))

    @app.post("/api/install/walk")
    async def walk(request: Request) -> Response:
        return await deed(request, StepAsk, lambda body, who: installer.walk(
            body.subject[:80], body.step, who, body.seconds))

    @app.post("/api/install/interlock")
    async def interlock(request: Request) -> Response:
        return await deed(request, StepAsk, lambda body, who: installer.interlock(body.subject[:80], body.step, who))

    @app.post("/api/install/table")
    async def take(request: Request) -> Response:
        return await deed(request, TableAsk, lambda body, who: installer.take_table(body.text, who, body.dry),
                          TABLE_MAX)

    @app.post("/api/install/photos")
    async def keep(request: Request, device: str) -> Response:
        session = session_of(request, door)
        if session is None:
            return JSONResponse({"refusal": "session"}, 403)
        try:
            jpeg = await bounded_body(request, PHOTO_MAX)
        except ValueError:
            return JSONResponse({"refusal": "a photo has at most 4 MiB"}, 413)
        return await _json(lambda: {"photo": installer.keep_photo(device[:80], jpeg, session.who)})


async def _json(make: Callable[[], Any]) -> Response:
    try:
        return Response(msgspec.json.encode(await asyncio.to_thread(make)), media_type="application/json")
    except (LocalFault, LawRefusal, ConfigError) as fault:
        return JSONResponse({"refusal": str(fault)}, 409)


async def _bytes(make: Callable[[], tuple[bytes, str]]) -> Response:
    try:
        body, kind = await asyncio.to_thread(make)
    except (LocalFault, ConfigError) as fault:
        return JSONResponse({"refusal": str(fault)}, 404)
    return Response(body, media_type=kind, headers={"Cache-Control": "no-store"})
