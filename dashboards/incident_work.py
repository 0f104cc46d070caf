"""What people do with incidents beyond the steps of their life, over HTTP: deeds and silences.

    POST /api/incidents/{id}/deeds      {"deed": {"type": "do_task", …}, "request": …, "why": …}
    POST /api/sites/{c}/{d}/{s}/{site}/reports    call, citizen's report, 119 ("take_in"); "start_drill"
    POST /api/sites/{c}/{d}/{s}/{site}/silences   {"name", "matchers", "minutes"}; no matchers: end it early
    POST /api/sites/{c}/{d}/{s}/{site}/shelf      {"alarm": "rule|subject", "kind", "minutes"}; no kind: take it off
    POST /api/sites/{c}/{d}/{s}/{site}/inspections   {"deed": {"type": "raise_inspection", …}}

Each is stored before the answer, as `Board.act` is; a repeated request counts once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from dashboards.people import Person
from dashboards.rights import deed_of, may
from device_model.clock import MINUTE_US
from device_model.incident_deeds import Deed, StartDrill, TakeIn
from device_model.inspection import InspectionDeed
from device_model.read_models import ActionOutcome

_T = TypeVar("_T")
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
BODY_BYTES_MAX = 16 * 1024
TEXT_MAX = 500
MINUTES_MAX = 30 * 24 * 60


class IncidentWork(Protocol):
    """What a program offers beside `Board`."""

    async def do(
        self, incident: str, deed: Deed | InspectionDeed, *, who: str, why: str, request: str, scope: str,
        site: str = "",
    ) -> ActionOutcome:
        """A deed; site where there is no incident yet."""
        ...

    async def silence(
        self, site: str, name: str, matchers: tuple[str, ...], for_us: int, *, who: str, why: str, request: str,
        scope: str,
    ) -> ActionOutcome:
        """Set a silence, or end it (no matchers)."""
        ...

    async def shelve(
        self, site: str, alarm: str, kind: str, for_us: int, *, who: str, why: str, request: str, scope: str
    ) -> ActionOutcome:
        """Put an alarm on the shelf, or take it off (kind "")."""
        ...


class _Body(msgspec.Struct, frozen=True):
    request: str
    why: str = ""
    who: str = ""


class DeedBody(_Body, frozen=True, kw_only=True):
    """One deed."""

    deed: Deed


class InspectionBody(_Body, frozen=True, kw_only=True):
    """One deed of an inspection."""

    deed: InspectionDeed


class SilenceBody(_Body, frozen=True, kw_only=True):
    """A silence."""

    name: str
    matchers: tuple[str, ...] = ()
    minutes: int = 60


class ShelfBody(_Body, frozen=True, kw_only=True):
    """The shelf. kind: shelved, suppressed, out_of_service; "" takes the alarm off."""

    alarm: str
    kind: str = ""
    minutes: int = 60


class _Refused(Exception):
    """The request itself is not acceptable."""

    def __init__(self, refusal: str, status: int) -> None:
        super().__init__(refusal)
        self.refusal, self.status = refusal, status


def add_incident_work(app: FastAPI, work: IncidentWork, person_of: Callable[[Request], Person], *, signed: bool
                      ) -> None:
    """The routes. person_of: who asks, as for every other route; signed: whether names come from the sign-in."""
    deeds, silences = msgspec.json.Decoder(DeedBody), msgspec.json.Decoder(SilenceBody)
    inspections = msgspec.json.Decoder(InspectionBody)
    shelves = msgspec.json.Decoder(ShelfBody)

    def who(person: Person, body: _Body) -> str:
        name = person.name if signed else body.who.strip()
        if not name or len(name) > 80:
            raise _Refused("say who you are (at most 80 characters)", 400)
        if not _REQUEST_ID.fullmatch(body.request) or len(body.why) > TEXT_MAX:
            raise _Refused("request id or reason is not acceptable", 400)
        return name

    @app.exception_handler(_Refused)
    async def refused(_: Request, error: _Refused) -> Response:
        return JSONResponse({"refusal": error.refusal}, error.status)

    @app.post("/api/incidents/{incident}/deeds")
    async def deed(incident: str, request: Request) -> Response:
        person, body = person_of(request), await _decoded(request, deeds)
        if isinstance(body.deed, TakeIn | StartDrill):
            raise _Refused("a report belongs to its site: /api/sites/…/reports", 400)
        _allowed(person, body.deed)
        return _answer(await work.do(incident[:64], body.deed, who=who(person, body), why=body.why.strip(),
                                     request=body.request, scope=person.scope))

    @app.post("/api/sites/{city}/{district}/{street}/{site}/reports")
    async def report(city: str, district: str, street: str, site: str, request: Request) -> Response:
        person, body = person_of(request), await _decoded(request, deeds)
        if not isinstance(body.deed, TakeIn | StartDrill):
            raise _Refused("only reports are taken in here, and drills begun", 400)
        _allowed(person, body.deed)
        return _answer(await work.do("", body.deed, who=who(person, body), why=body.why.strip(), request=body.request,
                                     scope=person.scope, site=f"{city}/{district}/{street}/{site}"))

    @app.post("/api/sites/{city}/{district}/{street}/{site}/silences")
    async def silence(city: str, district: str, street: str, site: str, request: Request) -> Response:
        person, body = person_of(request), await _decoded(request, silences)
        if not _NAME.fullmatch(body.name) or not 0 < body.minutes <= MINUTES_MAX or len(body.matchers) > 20:
            raise _Refused("a silence has a name, at most 20 matchers, and lasts 1 minute to 30 days", 400)
        return _answer(await work.silence(
            f"{city}/{district}/{street}/{site}", body.name, body.matchers, body.minutes * MINUTE_US,
            who=who(person, body), why=body.why.strip(), request=body.request, scope=person.scope))

    @app.post("/api/sites/{city}/{district}/{street}/{site}/inspections")
    async def inspection(city: str, district: str, street: str, site: str, request: Request) -> Response:
        person, body = person_of(request), await _decoded(request, inspections)
        return _answer(await work.do("", body.deed, who=who(person, body), why=body.why.strip(), request=body.request,
                                     scope=person.scope, site=f"{city}/{district}/{street}/{site}"))

    @app.post("/api/sites/{city}/{district}/{street}/{site}/shelf")
    async def shelf(city: str, district: str, street: str, site: str, request: Request) -> Response:
        person, body = person_of(request), await _decoded(request, shelves)
        if not 0 < len(body.alarm) <= 200 or not 0 < body.minutes <= MINUTES_MAX:
            raise _Refused("name an alarm, and 1 minute to 30 days", 400)
        return _answer(await work.shelve(
            f"{city}/{district}/{street}/{site}", body.alarm, body.kind, body.minutes * MINUTE_US,
            who=who(person, body), why=body.why.strip(), request=body.request, scope=person.scope))


def _allowed(person: Person, deed: Deed) -> None:
    if not may(person, deed_of(deed)):
        raise _Refused("not for this role", 403)


async def _decoded(request: Request, decoder: msgspec.json.Decoder[_T]) -> _T:
    """The body; refused where it did not come from our pages, is too large or does not fit."""
    # A foreign page cannot set this header without a preflight that we never grant: no forged clicks.
    if request.headers.get("x-tocsin") != "board":
        raise _Refused("this request did not come from the board", 403)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise _Refused("request too large", 413)
    try:
        return decoder.decode(bytes(body))
    except ValueError as error:
        raise _Refused(f"not a request: {error}", 400) from error


def _answer(outcome: ActionOutcome) -> Response:
    return Response(msgspec.json.encode(outcome), 200 if outcome.done else 409, media_type="application/json",
                    headers={"Cache-Control": "no-store"})
