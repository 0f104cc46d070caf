"""The installer's pages on the gateway (I/O): scan, place, save, test, report; without internet, behind the PIN.

    GET /install, /api/install…   anybody who reaches the page may look
    POST …                        a signed-in person whose role may (pin_rights.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from dashboards.install_view import Installer, InstallPerson, SaveAsk, ScanAsk
from dashboards.pin_rights import CONTRACTOR, LocalDeed, may_here
from dashboards.pin_sessions import bounded_body, language_of, refusal_of, session_of
from dashboards.pins import PinDoor, Session, people_of, set_pin
from device_model.errors import ConfigError, LawRefusal, LocalFault

NOTE_MAX = 400
SAVE_MAX, TABLE_MAX, PHOTO_MAX = 2 * 1024 * 1024, 4 * 1024 * 1024, 4 * 1024 * 1024


class StepAsk(msgspec.Struct, frozen=True):
    """One step of a test. step: begin, look, end; drive, look, reset."""

    subject: str
    step: str
    seconds: float = 600.0


class AcceptAsk(msgspec.Struct, frozen=True):
    """The property takes the work over."""

    note: str = ""


class PersonAsk(msgspec.Struct, frozen=True):
    """A person's PIN and role; without a PIN the person is removed, without a name it is only asked who is there."""

    name: str = ""
    pin: str = ""
    role: str = CONTRACTOR


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
    async def deed(request: Request, what: LocalDeed, kind: Any, do: Callable[[Any, Session], Any],
                   most: int = SAVE_MAX) -> Response:
        session = session_of(request, door, what)
        if session is None:
            return refusal_of(request, door)
        try:
            body = msgspec.json.decode(await bounded_body(request, most), type=kind)
        except ValueError as error:
            return JSONResponse({"refusal": f"not understood: {error}"}, 400)
        return await _json(lambda: do(body, session))

    @app.post("/api/install/scan")
    async def scan(request: Request) -> Response:
        return await deed(request, LocalDeed.SCAN, ScanAsk, lambda body, _: installer.scan(body))

    @app.post("/api/install/save")
    async def save(request: Request) -> Response:
        return await deed(request, LocalDeed.BIND, SaveAsk, lambda body, by: installer.save(
            body, by.who, may_remove=may_here(by.role, LocalDeed.REMOVE)))

    @app.post("/api/install/undo")
    async def undo(request: Request) -> Response:
        return await deed(request, LocalDeed.REMOVE, dict[str, str], lambda _, by: installer.undo(by.who))

    @app.post("/api/install/walk")
    async def walk(request: Request) -> Response:
        return await deed(request, LocalDeed.TEST, StepAsk, lambda body, by: installer.walk(
            body.subject[:80], body.step, by.who, body.seconds, by.role))

    @app.post("/api/install/interlock")
    async def interlock(request: Request) -> Response:
        return await deed(request, LocalDeed.TEST, StepAsk, lambda body, by: installer.interlock(
            body.subject[:80], body.step, by.who, by.role))

    @app.post("/api/install/table")
    async def take(request: Request) -> Response:
        return await deed(request, LocalDeed.BIND, TableAsk, lambda body, by: installer.take_table(
            body.text, by.who, body.dry, may_remove=may_here(by.role, LocalDeed.REMOVE)), TABLE_MAX)

    @app.post("/api/install/accept")
    async def accept(request: Request) -> Response:
        return await deed(request, LocalDeed.ACCEPT, AcceptAsk, lambda body, by: installer.accept(
            by.who, body.note.strip()[:NOTE_MAX]))

    @app.post("/api/install/people")
    async def people(request: Request) -> Response:
        return await deed(request, LocalDeed.PEOPLE, PersonAsk, lambda body, _: _person(door, body))

    @app.post("/api/install/photos")
    async def keep(request: Request, device: str) -> Response:
        session = session_of(request, door, LocalDeed.PHOTO)
        if session is None:
            return refusal_of(request, door)
        try:
            jpeg = await bounded_body(request, PHOTO_MAX)
        except ValueError:
            return JSONResponse({"refusal": "a photo has at most 4 MiB"}, 413)
        return await _json(lambda: {"photo": installer.keep_photo(device[:80], jpeg, session.who)})


def _person(door: PinDoor, asked: PersonAsk) -> tuple[InstallPerson, ...]:
    """With a name: make, change or (without a PIN) remove a person. Everybody who then has a PIN. LocalFault."""
    if door.file is None:
        raise LocalFault("the site file names no pin_file")
    if asked.name.strip():
        set_pin(door.file, asked.name, asked.pin, asked.role)
        door.forget(asked.name)
    return tuple(InstallPerson(name, role) for name, role in sorted(people_of(door.file).items()))


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
