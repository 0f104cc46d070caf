"""The safety officer's live pages (I/O): permits, hot work now, overview.

    GET  /permits  /hot-work  /overview            pages without data
    GET  /api/officer/{permits|hot-work|overview}?scope=…           what they show
    GET  /api/officer/{permits|hot-work|overview}/events?scope=…    the same whenever it changes, and a heartbeat
    POST /api/sites/{c}/{d}/{s}/{site}/permits     an act on a permit, on its way to the gateway

A scope that is asked for is held against the person's own; each stream is one look a second, shared by all who look
at the same scope, and says nothing (so that the page says "stale") while the store or a worker does not answer.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from dashboards.officer import Officer
from dashboards.people import Person
from dashboards.rights import Deed, covers, may
from device_model.clock import SECOND_US, Clock
from device_model.permit import PermitAct, PermitStep

BODY_BYTES_MAX = 16 * 1024
STREAMS_MAX = 500
LOOK_EVERY_S = 1.0
# How old a shared look may be: one look serves everybody who asks within it.
FRESH_US = {"permits": SECOND_US, "hot-work": SECOND_US, "overview": 5 * SECOND_US}
PAGES = {"permits": Deed.SEE_PERMITS, "hot-work": Deed.SEE_PERMITS, "overview": Deed.SEE_OVERVIEW}
KEPT_MAX = 64  # scopes looked at within the last seconds
SIGNS = frozenset({PermitAct.APPROVE, PermitAct.COUNTERSIGN})
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_PERMIT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_SCOPE = re.compile(r"(?:[a-z0-9][a-z0-9-]{0,39}(?:/[a-z0-9][a-z0-9-]{0,39}){0,3})?")
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

PersonOf = Callable[[Request], Person]
Page = Callable[..., Response]


class PermitBody(msgspec.Struct, frozen=True):
    """What the page sends for one click on a permit. request: its id of the click; repeating it is safe."""

    step: PermitStep
    request: str
    why: str = ""
    who: str = ""


def officer_router(
    officer: Officer, person_of: PersonOf, page: Page, clock: Clock, *, speed: float, signed: bool
) -> APIRouter:
    """All routes. signed: whether names come from the sign-in; speed: shown seconds per real one."""
    router = APIRouter()
    looks = _Looks(officer, clock)
    for name, deed in PAGES.items():
        _add_page(router, name, person_of, page)
        _add_reads(router, name, deed, looks, person_of, clock, speed)
    _add_permit_acts(router, officer, person_of, signed=signed)
    return router


class _Looks:
    """What was read lately, encoded, by page and scope."""

    def __init__(self, officer: Officer, clock: Clock) -> None:
        self._clock = clock
        self._read: dict[str, Callable[[str], Awaitable[Any]]] = {
            "permits": officer.permits, "hot-work": officer.hot_work, "overview": officer.overview}
        self._kept: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._officer, self.open = officer, 0

    @property
    def live(self) -> bool:
        """Whether what is read is known to be current."""
        return self._officer.live

    async def look(self, name: str, scope: str) -> bytes:
        """The page's view as JSON, at most so old. Raises LocalFault."""
        at_us = self._clock.now().mono_us
        known = self._kept.get((name, scope))
        if known is not None and at_us - known[0] < FRESH_US[name]:
            return known[1]
        view = msgspec.json.encode(await self._read[name](scope))
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[name, scope] = (at_us, view)
        return view


def _add_page(router: APIRouter, name: str, person_of: PersonOf, page: Page) -> None:
    @router.get(f"/{name}")
    async def show(request: Request) -> Response:
        person = person_of(request)
        return page("officer.html", request, person=person, view=name.replace("-", "_"), scope=person.scope,
                    may_ask=may(person, Deed.ASK_PERMIT), may_sign=may(person, Deed.APPROVE_PERMIT),
                    may_report=may(person, Deed.SEE_REPORTS))


def _add_reads(
    router: APIRouter, name: str, deed: Deed, looks: _Looks, person_of: PersonOf, clock: Clock, speed: float
) -> None:
    def server_time() -> dict[str, Any]:
        return {"at_us": clock.now().wall_us, "speed": speed}

    @router.get(f"/api/officer/{name}")
    async def read(request: Request) -> Response:
        scope = scope_of(request, person_of(request), deed)
        if scope is None:
            return JSONResponse({"refusal": "no such place"}, 404)
        return Response(await _with_time(looks, name, scope, server_time()), media_type="application/json",
                        headers={"Cache-Control": "no-store"})

    @router.get(f"/api/officer/{name}/events")
    async def events(request: Request) -> Response:
        scope = scope_of(request, person_of(request), deed)
        if scope is None:
            return JSONResponse({"refusal": "no such place"}, 404)
        if looks.open >= STREAMS_MAX:
            return PlainTextResponse("too many open pages", 503)
        looks.open += 1

        async def body() -> AsyncIterator[bytes]:
            told = b""
            try:
                yield b"retry: 1000\n\n"
                while True:
                    if looks.live:
                        view = await looks.look(name, scope)
                        if without_time(view) != told:
                            told = without_time(view)
                            yield b"event: view\ndata: %s\n\n" % await _with_time(looks, name, scope, server_time())
                        yield b"event: heartbeat\ndata: %s\n\n" % msgspec.json.encode(server_time())
                    await clock.sleep(LOOK_EVERY_S * speed)
            finally:
                looks.open -= 1

        return StreamingResponse(body(), media_type="text/event-stream", headers=_HEADERS)


async def _with_time(looks: _Looks, name: str, scope: str, time: dict[str, Any]) -> bytes:
    return msgspec.json.encode({**time, "view": msgspec.Raw(await looks.look(name, scope))})


def without_time(view: bytes) -> bytes:
    """The view without the moment at which it was made, by which alone it differs each second."""
    return re.sub(rb'^\{"at_us":\d+,', b"{", view)


def scope_of(request: Request, person: Person, deed: Deed) -> str | None:
    """The scope that is asked for, else the person's own; None for one that is not theirs to see."""
    asked = request.query_params.get("scope", "") or person.scope
    if not _SCOPE.fullmatch(asked) or not covers(person.scope, asked) or not may(person, deed, asked):
        return None
    return asked


def _add_permit_acts(router: APIRouter, officer: Officer, person_of: PersonOf, *, signed: bool) -> None:
    @router.post("/api/sites/{city}/{district}/{street}/{site}/permits")
    async def act(city: str, district: str, street: str, site: str, request: Request) -> Response:
        person, path = person_of(request), f"{city}/{district}/{street}/{site}"
        # A foreign page cannot set this header without a preflight that we never grant: no forged clicks.
        if request.headers.get("x-tocsin") != "board":
            return JSONResponse({"refusal": "this request did not come from our pages"}, 403)
        try:
            body = msgspec.json.decode(await read_body(request), type=PermitBody)
        except ValueError as error:
            return JSONResponse({"refusal": f"not an act on a permit: {error}"}, 400)
        deed = Deed.APPROVE_PERMIT if body.step.act in SIGNS else Deed.ASK_PERMIT
        if not may(person, deed, path):
            return JSONResponse({"refusal": "not for this role · 本角色无此权限"}, 403)
        who = person.name if signed else body.who.strip()
        if not who or len(who) > 80:
            return JSONResponse({"refusal": "say who you are (at most 80 characters)"}, 400)
        if len(body.why) > 500 or not (
                _REQUEST_ID.fullmatch(body.request) and _PERMIT_ID.fullmatch(body.step.permit)):
            return JSONResponse({"refusal": "permit number, request id or reason is not acceptable"}, 400)
        request.state.why = f"{body.step.permit} {body.step.act}: {body.why.strip()}"
        outcome = await officer.permit(path, body.step, who=who, why=body.why.strip(), request=body.request,
                                       scope=person.scope)
        return Response(msgspec.json.encode(outcome), 200 if outcome.done else 409, media_type="application/json",
                        headers={"Cache-Control": "no-store"})


async def read_body(request: Request) -> bytes:
    """The body, never more than the bound. Raises ValueError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ValueError(f"more than {BODY_BYTES_MAX} bytes")
    return bytes(body)
