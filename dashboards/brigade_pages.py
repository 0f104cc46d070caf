"""The brigade's pages beyond the board (I/O): incident, desk, register, station, hand-over.

    GET  /incidents/{id}  /desk  /register  /station  /handover     pages without data, for those who may
    GET  /api/places/{c}/{d}/{s}/{site}      plans, map, ways in, water, key-holders
    GET  /plans/{c}/{d}/{s}/{site}/{plan}    a floor's drawing, never able to run anything
    GET  /api/incidents/{id}/side            permits, evidence, impaired systems, photos, notices
    GET  /api/register   /api/notices/failed   /api/handovers
    POST /api/notices/{id}/again   /api/incidents/{id}/photos   /api/handovers   /api/handovers/{id}/take
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from dashboards.brigade import PHOTO_BYTES_MAX, Brigade
from dashboards.people import Person
from dashboards.rights import Deed, may

T = TypeVar("T")
BODY_BYTES_MAX = 16 * 1024
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STATIC = Path(__file__).parent / "static"
# A drawing is shown as a picture; opened by itself it can do nothing either.
_HARMLESS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
             "Cache-Control": "private, max-age=300"}
PAGES = {"desk": Deed.VERIFY, "register": Deed.SEE_BOARD, "station": Deed.ACKNOWLEDGE, "handover": Deed.SEE_BOARD}

PersonOf = Callable[[Request], Person]
Page = Callable[..., Response]


class NoteBody(msgspec.Struct, frozen=True):
    """A hand-over, or a word on one."""

    request: str
    note: str = ""
    who: str = ""


class _Refused(Exception):
    def __init__(self, refusal: str, status: int) -> None:
        super().__init__(refusal)
        self.refusal, self.status = refusal, status


def brigade_router(brigade: Brigade, person_of: PersonOf, page: Page, *, signed: bool) -> APIRouter:
    """All routes. person_of: who asks, raising where nobody is signed in; page: draws a template; signed: whether
    names come from the sign-in."""
    router = APIRouter()
    _add_pages(router, person_of, page)
    _add_places(router, brigade, person_of)
    _add_incident(router, brigade, person_of, signed=signed)
    _add_duty(router, brigade, person_of, signed=signed)
    return router


def _add_pages(router: APIRouter, person_of: PersonOf, page: Page) -> None:
    def add(name: str, deed: Deed) -> None:
        @router.get(f"/{name}")
        async def show(request: Request) -> Response:
            person = person_of(request)
            if not may(person, deed):
                return PlainTextResponse("not for this role", 403)
            return page(f"{name}.html", request, person=person)

    for name, deed in PAGES.items():
        add(name, deed)

    @router.get("/incidents/{incident}")
    async def incident_page(incident: str, request: Request) -> Response:
        person = person_of(request)
        if not may(person, Deed.SEE_BOARD):
            return PlainTextResponse("not for this role", 403)
        if not _NAME.fullmatch(incident):
            return PlainTextResponse("no such incident", 404)
        return page("incident.html", request, person=person, incident=incident)

    @router.get("/station-worker.js")
    async def station_worker() -> Response:
        """Served at the root, so that it may keep the station's page for when there is no net."""
        return FileResponse(_STATIC / "station_worker.js", media_type="text/javascript",
                            headers={"Cache-Control": "no-cache"})


def _add_places(router: APIRouter, brigade: Brigade, person_of: PersonOf) -> None:
    @router.get("/api/places/{city}/{district}/{street}/{site}")
    async def places(city: str, district: str, street: str, site: str, request: Request) -> Response:
        path = f"{city}/{district}/{street}/{site}"
        view = await brigade.places(path) if may(person_of(request), Deed.SEE_BOARD, path) else None
        return _json(view) if view is not None else JSONResponse({"refusal": "no such site"}, 404)

    @router.get("/plans/{city}/{district}/{street}/{site}/{plan}")
    async def plan(city: str, district: str, street: str, site: str, plan: str, request: Request) -> Response:
        path = f"{city}/{district}/{street}/{site}"
        drawing = await brigade.drawing(path, plan[:64]) if may(person_of(request), Deed.SEE_BOARD, path) else None
        if drawing is None:
            return PlainTextResponse("no such plan", 404, headers=_HARMLESS)
        return Response(drawing.body, media_type=drawing.media_type, headers=_HARMLESS)


def _add_incident(router: APIRouter, brigade: Brigade, person_of: PersonOf, *, signed: bool) -> None:
    @router.get("/api/incidents/{incident}/side")
    async def side(incident: str, request: Request) -> Response:
        person = person_of(request)
        found = await brigade.side(incident[:64], person.scope) if may(person, Deed.SEE_BOARD) else None
        if found is None:
            return JSONResponse({"refusal": "no such incident"}, 404)
        if not may(person, Deed.SEE_PERMITS):
            found = msgspec.structs.replace(found, permits=None)
        if not may(person, Deed.SEE_EVIDENCE):
            found = msgspec.structs.replace(found, evidence=None, photos=())
        return _json(found)

    @router.post("/api/incidents/{incident}/photos")
    async def put_photo(incident: str, request: Request) -> Response:
        async def put() -> Response:
            person = _from_page(request, person_of, Deed.ACKNOWLEDGE)
            body = await _body(request, PHOTO_BYTES_MAX)
            who = person.name if signed else "demo"
            try:
                return _json(await brigade.put_photo(incident[:64], person.scope, body, who))
            except ValueError as error:
                raise _Refused(str(error), 400) from error

        return await _answered(put())

    @router.get("/photos/{sha256}")
    async def photo(sha256: str, request: Request) -> Response:
        person = person_of(request)
        allowed = _SHA256.fullmatch(sha256) and may(person, Deed.SEE_EVIDENCE)
        body = await brigade.photo(sha256, person.scope) if allowed else None
        if body is None:
            return PlainTextResponse("no such picture", 404, headers=_HARMLESS)
        return Response(body, media_type="image/jpeg", headers=_HARMLESS)


def _add_duty(router: APIRouter, brigade: Brigade, person_of: PersonOf, *, signed: bool) -> None:
    @router.get("/api/register")
    async def register(request: Request) -> Response:
        person = person_of(request)
        if not may(person, Deed.SEE_BOARD):
            return JSONResponse({"refusal": "not for this role"}, 403)
        return _json(await brigade.register(person.scope))

    @router.get("/api/notices/failed")
    async def failed(request: Request) -> Response:
        person = person_of(request)
        return _json(await brigade.failed_notices(person.scope) if may(person, Deed.SEE_BOARD) else ())

    @router.post("/api/notices/{notice}/again")
    async def again(notice: str, request: Request) -> Response:
        async def go() -> Response:
            person = _from_page(request, person_of, Deed.VERIFY)
            done = await brigade.try_again(notice[:64], person.scope)
            return _json({"done": done, "refusal": "" if done else "there is no such notice that was given up"})

        return await _answered(go())

    @router.get("/api/handovers")
    async def handovers(request: Request) -> Response:
        person = person_of(request)
        return _json(await brigade.handovers(person.scope) if may(person, Deed.SEE_BOARD) else ())

    @router.post("/api/handovers")
    async def hand_over(request: Request) -> Response:
        async def go() -> Response:
            person, body, who = await _note(request, person_of, signed=signed)
            return _json(await brigade.hand_over(person.scope, who, body.note.strip(), body.request))

        return await _answered(go())

    @router.post("/api/handovers/{handover}/take")
    async def take(handover: str, request: Request) -> Response:
        async def go() -> Response:
            person, body, who = await _note(request, person_of, signed=signed)
            refusal = await brigade.take_over(handover[:64], person.scope, who, body.note.strip())
            return _json({"done": not refusal, "refusal": refusal}, 409 if refusal else 200)

        return await _answered(go())


async def _note(request: Request, person_of: PersonOf, *, signed: bool) -> tuple[Person, NoteBody, str]:
    person = _from_page(request, person_of, Deed.ACKNOWLEDGE)
    try:
        body = msgspec.json.decode(await _body(request, BODY_BYTES_MAX), type=NoteBody)
    except ValueError as error:
        raise _Refused(f"not a request: {error}", 400) from error
    who = person.name if signed else body.who.strip()
    if not who or len(who) > 80 or not _REQUEST_ID.fullmatch(body.request):
        raise _Refused("say who you are (at most 80 characters)", 400)
    return person, body, who


def _from_page(request: Request, person_of: PersonOf, deed: Deed) -> Person:
    person = person_of(request)
    # A foreign page cannot set this header without a preflight that we never grant: no forged clicks.
    if request.headers.get("x-tocsin") != "board":
        raise _Refused("this request did not come from the board", 403)
    if not may(person, deed):
        raise _Refused("not for this role", 403)
    return person


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _Refused(f"more than {most} bytes", 413)
    return bytes(body)


async def _answered(going: Awaitable[Response]) -> Response:
    try:
        return await going
    except _Refused as refused:
        return JSONResponse({"refusal": refused.refusal}, refused.status)


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json",
                    headers={"Cache-Control": "no-store"})
