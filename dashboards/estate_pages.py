"""The property manager's and the resident's pages (I/O): my sites, my building.

    GET  /my-sites  /building                              pages without data
    GET  /api/my-sites                                     sites, what needs me, rotas, what is out of service
    GET  /api/my-sites/{c}/{d}/{s}/{site}/usage            daily use of energy and water
    POST /api/my-sites/{c}/{d}/{s}/{site}/maintenance      out of service for a time, with a measure; or back
    POST /api/my-sites/{c}/{d}/{s}/{site}/rota             a swap, or "I have taken over"
    GET  /api/incidents/{id}/deliveries                    who was told of it: waiting, sent, failed, acknowledged
    GET  /api/building/{c}/{d}/{s}/{site}                  alarms for neighbours, contacts, places
    POST /api/building/{c}/{d}/{s}/{site}/reports          a resident tells of something
    POST /api/building/reports/{token}/photos              a picture to it

Each asks `may` with the path of the site that it is about; reports are bounded and limited by person.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dashboards.estate import PHOTO_BYTES_MAX, Estate
from dashboards.people import Person
from dashboards.rights import Deed, may
from device_model.alarm import Hazard
from device_model.read_models import ActionOutcome

T = TypeVar("T")
PersonOf = Callable[[Request], Person]
Page = Callable[..., Response]
BODY_BYTES_MAX = 16 * 1024
TEXT_MAX = 500
MINUTES_MAX = 3 * 24 * 60
DAYS_MAX = 92
DEVICES_MAX = 20
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_TOKEN = re.compile(r"[0-9a-f]{32}")
# What a resident can tell of, in the words of the page.
REPORTABLE = frozenset({Hazard.FIRE, Hazard.GAS, Hazard.WATER, Hazard.CHARGING, Hazard.ELECTRICAL, Hazard.SECURITY,
                        Hazard.ENVIRONMENT})


class _Click(msgspec.Struct, frozen=True):
    request: str
    why: str = ""
    who: str = ""


class MaintenanceBody(_Click, frozen=True, kw_only=True):
    """minutes 0: back in service."""

    devices: tuple[str, ...]
    minutes: int = 0
    measure: str = ""


class RotaBody(_Click, frozen=True, kw_only=True):
    """leaving "": coming has taken over."""

    rota: str
    coming: str
    leaving: str = ""
    day: str = ""
    shift: str = ""


class ReportBody(_Click, frozen=True, kw_only=True):
    """What somebody saw."""

    zone: str
    hazard: Hazard
    text: str
    phone: str = ""


class _Refused(Exception):
    def __init__(self, refusal: str, status: int) -> None:
        super().__init__(refusal)
        self.refusal, self.status = refusal, status


def estate_router(estate: Estate, person_of: PersonOf, page: Page, *, signed: bool) -> APIRouter:
    """All routes. person_of: who asks, raising where nobody is signed in; page: draws a template; signed: whether
    names come from the sign-in."""
    router = APIRouter()
    _add_mine(router, estate, person_of, page)
    _add_clicks(router, estate, person_of, signed=signed)
    _add_building(router, estate, person_of, page)
    _add_reports(router, estate, person_of, signed=signed)
    return router


def _add_mine(router: APIRouter, estate: Estate, person_of: PersonOf, page: Page) -> None:
    @router.get("/my-sites")
    async def my_sites(request: Request) -> Response:
        return page("my_sites.html", request, person=person_of(request))

    @router.get("/api/my-sites")
    async def sites(request: Request) -> Response:
        person = person_of(request)
        found = await estate.page(person.scope)
        return _json({**msgspec.to_builtins(found), "may_maintain": may(person, Deed.MAINTAIN),
                      "may_change_rota": may(person, Deed.CHANGE_ROTA), "may_see_board": may(person, Deed.SEE_BOARD)})

    @router.get("/api/my-sites/{city}/{district}/{street}/{site}/usage")
    async def usage(city: str, district: str, street: str, site: str, request: Request, days: int = 30) -> Response:
        path = f"{city}/{district}/{street}/{site}"
        if not may(person_of(request), Deed.SEE_DEVICES, path):
            return JSONResponse({"refusal": "no such site"}, 404)
        return _json(await estate.usage(path, max(1, min(days, DAYS_MAX))))

    @router.get("/api/incidents/{incident}/deliveries")
    async def deliveries(incident: str, request: Request) -> Response:
        found = await estate.deliveries(incident[:64], person_of(request).scope)
        return _json(found) if found is not None else JSONResponse({"refusal": "no such incident"}, 404)


def _add_clicks(router: APIRouter, estate: Estate, person_of: PersonOf, *, signed: bool) -> None:
    @router.post("/api/my-sites/{city}/{district}/{street}/{site}/maintenance")
    async def maintenance(city: str, district: str, street: str, site: str, request: Request) -> Response:
        async def do() -> Response:
            path, person = f"{city}/{district}/{street}/{site}", person_of(request)
            _allow(person, Deed.MAINTAIN, path)
            body = await _decoded(request, MaintenanceBody)
            if not 0 <= body.minutes <= MINUTES_MAX or not 0 < len(body.devices) <= DEVICES_MAX:
                raise _Refused(f"1 to {DEVICES_MAX} devices, at most {MINUTES_MAX // 60} hours", 400)
            return _outcome(await estate.maintain(
                path, body.devices, body.minutes, body.measure.strip(), who=_who(person, body, signed),
                why=body.why.strip(), request=body.request))

        return await _answered(do)

    @router.post("/api/my-sites/{city}/{district}/{street}/{site}/rota")
    async def rota(city: str, district: str, street: str, site: str, request: Request) -> Response:
        async def do() -> Response:
            path, person = f"{city}/{district}/{street}/{site}", person_of(request)
            _allow(person, Deed.CHANGE_ROTA, path)
            body = await _decoded(request, RotaBody)
            who = _who(person, body, signed)
            if body.leaving:
                outcome = await estate.swap(path, body.rota, body.day, body.shift, body.leaving, body.coming, who=who,
                                            why=body.why.strip(), request=body.request)
            else:
                outcome = await estate.take_over(path, body.rota, body.coming, body.why.strip(), who=who,
                                                 request=body.request)
            return _outcome(outcome)

        return await _answered(do)


def _add_building(router: APIRouter, estate: Estate, person_of: PersonOf, page: Page) -> None:
    @router.get("/building")
    async def building_page(request: Request) -> Response:
        return page("building.html", request, person=person_of(request))

    @router.get("/api/building")
    async def buildings(request: Request) -> Response:
        found = await estate.sites(person_of(request).scope)
        return _json([{"path": path, "name": name} for path, name in found])

    @router.get("/api/building/{city}/{district}/{street}/{site}")
    async def building(city: str, district: str, street: str, site: str, request: Request) -> Response:
        path = f"{city}/{district}/{street}/{site}"
        found = await estate.building(path) if may(person_of(request), Deed.SEE_OWN_BUILDING, path) else None
        return _json(found) if found is not None else JSONResponse({"refusal": "no such site"}, 404)


def _add_reports(router: APIRouter, estate: Estate, person_of: PersonOf, *, signed: bool) -> None:
    @router.post("/api/building/{city}/{district}/{street}/{site}/reports")
    async def report(city: str, district: str, street: str, site: str, request: Request) -> Response:
        async def do() -> Response:
            path, person = f"{city}/{district}/{street}/{site}", person_of(request)
            _allow(person, Deed.REPORT_HAZARD, path)
            body = await _decoded(request, ReportBody)
            if body.hazard not in REPORTABLE or not body.text.strip() or len(body.text) > TEXT_MAX:
                raise _Refused(f"say what you saw (at most {TEXT_MAX} characters)", 400)
            outcome = await estate.report(path, body.zone, body.hazard, body.text.strip(), body.phone.strip(),
                                          who=_who(person, body, signed), request=body.request)
            return _json(outcome, 200 if outcome.done else 409)

        return await _answered(do)

    @router.post("/api/building/reports/{token}/photos")
    async def photo(token: str, request: Request) -> Response:
        async def do() -> Response:
            person = person_of(request)
            _allow(person, Deed.REPORT_HAZARD, "")
            if request.headers.get("x-tocsin") != "board" or not _TOKEN.fullmatch(token):
                raise _Refused("there is no such report", 404)
            body = await _body(request, PHOTO_BYTES_MAX)
            who = person.name if signed else request.query_params.get("who", "")[:80]
            refusal = await estate.add_photo(token, body, who=who)
            return _json(ActionOutcome(not refusal, refusal), 200 if not refusal else 409)

        return await _answered(do)


def _allow(person: Person, deed: Deed, path: str) -> None:
    if not may(person, deed, path):
        raise _Refused("not for this role, or no such site", 403)


def _who(person: Person, body: _Click, signed: bool) -> str:
    name = person.name if signed else body.who.strip()
    if not name or len(name) > 80:
        raise _Refused("say who you are (at most 80 characters)", 400)
    if not _REQUEST_ID.fullmatch(body.request) or len(body.why) > TEXT_MAX:
        raise _Refused("request id or reason is not acceptable", 400)
    return name


async def _answered(do: Callable[[], Any]) -> Response:
    try:
        answer: Response = await do()
    except _Refused as error:
        return JSONResponse({"refusal": error.refusal}, error.status)
    return answer


async def _decoded(request: Request, kind: type[T]) -> T:
    # A foreign page cannot set this header without a preflight that we never grant: no forged clicks.
    if request.headers.get("x-tocsin") != "board":
        raise _Refused("this request did not come from the page", 403)
    try:
        return msgspec.json.decode(await _body(request, BODY_BYTES_MAX), type=kind)
    except ValueError as error:
        raise _Refused(f"not acceptable: {error}", 400) from error


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _Refused("request too large", 413)
    return bytes(body)


def _outcome(outcome: ActionOutcome) -> Response:
    return _json(outcome, 200 if outcome.done else 409)


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json",
                    headers={"Cache-Control": "no-store"})
