"""The web server of the pages (I/O): routes, sign-in, the event stream.

    browser ──GET /board──────────► page (no data in it)
            ──GET /api/board──────► snapshot, with the server's time and speed
            ──GET /api/board/events► SSE: each change encoded once for all clients; heartbeat ≤ 2 s
            ──POST /api/incidents/{id}/actions► Board.act, durable before the answer
            ──POST /api/duties/{id}/answer► Board.answer_duty: a signed-in person is on duty

Every route passes gate.py, every answer guard.py; nothing is open without sign-in unless the program passes no SignIn
(the demo on loopback). A page holds no data, so a cached page can never show an old alarm.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jinja2
import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from dashboards.account_desk import AccountDesk
from dashboards.account_pages import OutsideSignIn, account_router
from dashboards.audit_pages import AuditDesk, audit_router
from dashboards.brigade import PHOTO_BYTES_MAX, Brigade
from dashboards.brigade_pages import brigade_router
from dashboards.channel_pages import channel_router
from dashboards.channels import ChannelDesk
from dashboards.claim_pages import ASK_BYTES_MAX, ClaimService, claim_router
from dashboards.district_map import DistrictMap
from dashboards.estate import Estate
from dashboards.estate_pages import estate_router
from dashboards.evidence_pages import EvidenceDesk, evidence_router
from dashboards.frame_pages import frame_router
from dashboards.gate import MustChange, NotSignedIn, Refused, gate_of, language_of, routes_of
from dashboards.guard import Guard
from dashboards.incident_work import IncidentWork, add_incident_work
from dashboards.kit.navigation import destinations
from dashboards.kit.phrases import phrases
from dashboards.kit.texts import LANGUAGES, table, text
from dashboards.map_pages import map_router
from dashboards.officer_parts import OfficerParts, officer_routers
from dashboards.people import VISITOR, NoTrail, Person, SignIn, Trail
from dashboards.rights import DEED_OF_ACTION, ROLES, may
from dashboards.walk_pages import walk_router
from dashboards.walks import Walks
from device_model.clock import Clock
from device_model.read_models import Board, IncidentAction

HERE = Path(__file__).parent
COOKIE = "tocsin_session"
# One browser tab holds one stream; 33 µs an event and client were measured, so 2,000 clients fit one core.
CLIENTS_MAX = 2000
BODY_BYTES_MAX = 16 * 1024  # the largest request is one action with a reason
REASON_CHARACTERS_MAX = 500
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_OWN_PATH = re.compile(r"/(?:[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)?")  # never another host
_NUMBER = re.compile(r"[0-9]{1,18}")  # str.isdigit knows further digits, which int() does not


class ActionBody(msgspec.Struct, frozen=True):
    """What the page sends for one click. request: its id of the click; repeating it is safe."""

    action: IncidentAction
    request: str
    why: str = ""
    who: str = ""


class AnswerBody(msgspec.Struct, frozen=True):
    """A person's click on a duty check."""

    request: str


class PeopleParts(msgspec.Struct, frozen=True):
    """What a program brings about people. accounts: the sign-in itself; outside: another service that vouches."""

    accounts: AccountDesk | None = None
    outside: OutsideSignIn | None = None
    audit: AuditDesk | None = None


class _TooLarge(Exception):
    """The body is larger than it said, or said nothing of its size."""


def create_app(
    board: Board, *, clock: Clock, sign_in: SignIn | None, speed: float = 1.0, work: IncidentWork | None = None,
    brigade: Brigade | None = None, trail: Trail | None = None, evidence: EvidenceDesk | None = None,
    people: PeopleParts | None = None, claims: ClaimService | None = None, officer: OfficerParts | None = None,
    estate: Estate | None = None, walks: Walks | None = None, district: DistrictMap | None = None,
    channels: ChannelDesk | None = None,
) -> FastAPI:
    """The application. work: what people do with incidents beyond the steps of their life. `sign_in` None leaves
    all open: callers allow that on loopback only. people: accounts and audit, where the program
    keeps them. `speed`: shown seconds per real second, so that ages on the page run right in an accelerated demo."""
    door, trail = _Door(sign_in), trail or NoTrail()
    app = FastAPI(title="Tocsin", docs_url=None, redoc_url=None, openapi_url=None,
                  dependencies=[Depends(gate_of(door.person, trail))])
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.add_middleware(Guard, person_of=door.person, trail=trail, most=_most_of)
    _add_refusals(app, door)
    _add_pages(app, door)
    app.include_router(frame_router(door.page))
    _add_board_api(app, board, door, clock, speed)
    _add_actions(app, board, door)
    _add_duties(app, board, door)
    if people is None or people.accounts is None:
        _add_sign_in(app, door)
    else:
        app.include_router(account_router(people.accounts, door.person, door.page, home_of, people.outside))
    if people is not None and people.audit is not None:
        app.include_router(audit_router(people.audit, door.person, door.page))
    if work is not None:
        add_incident_work(app, work, door.person, signed=sign_in is not None)
    if brigade is not None:
        app.include_router(brigade_router(brigade, door.person, door.page, signed=sign_in is not None))
    if estate is not None:
        app.include_router(estate_router(estate, door.person, door.page, signed=sign_in is not None))
    if evidence is not None:
        app.include_router(evidence_router(evidence, door.person))
    if officer is not None:
        for router in officer_routers(
                officer, door.person, door.page, clock, speed=speed, signed=sign_in is not None):
            app.include_router(router)
    if claims is not None:
        app.include_router(claim_router(claims, door.person, door.page))
    if channels is not None:
        app.include_router(channel_router(channels, door.person, door.page))
    if district is not None:
        app.include_router(map_router(district, door.person, door.page))
    if walks is not None:
        app.include_router(walk_router(walks, door.person, door.page))
    door.places = frozenset(name.removeprefix("GET ") for name, _ in routes_of(app.routes))
    return app


def _most_of(path: str) -> int:
    """How many bytes a request to this path may have."""
    if path == "/api/gateways/ask":
        return ASK_BYTES_MAX
    return PHOTO_BYTES_MAX if path.endswith("/photos") else BODY_BYTES_MAX


class _Door:
    """Who may in, and the pages in the language of the one who asks."""

    def __init__(self, sign_in: SignIn | None) -> None:
        self.sign_in = sign_in
        self.places: frozenset[str] = frozenset()  # what this program serves: the navigation names nothing else
        self._pages = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True)

    def person(self, request: Request) -> Person:
        """The person behind a request; NotSignedIn leads to the sign-in page."""
        if self.sign_in is None:
            return VISITOR
        person = self.sign_in.person(request.cookies.get(COOKIE, ""))
        if person is None:
            raise NotSignedIn
        return person

    def known(self, request: Request) -> Person | None:
        """The person behind a request, None where nobody is signed in."""
        return VISITOR if self.sign_in is None else self.sign_in.person(request.cookies.get(COOKIE, ""))

    def page(self, name: str, request: Request, status: int = 200, **values: Any) -> Response:
        """A page without data, never cached."""
        language = language_of(request)
        other = next(other for other in LANGUAGES if other != language)
        html = self._pages.get_template(name).render(
            t=lambda key: text(key, language), language=language, other=other,
            signed_in=self.sign_in is not None, utc=_utc, known_roles=ROLES, **self._for_whom(request, values),
        )
        return Response(html, status, media_type="text/html", headers={"Cache-Control": "no-store"})

    def _for_whom(self, request: Request, values: dict[str, Any]) -> dict[str, Any]:
        """The page's values, with where its reader can go from here."""
        person = values.get("person")
        return {"here": request.url.path, "seat": _seat(person) if isinstance(person, Person) else "",
                "navigation": [entry for entry in destinations(person) if entry.path in self.places]
                if isinstance(person, Person) else (), **values}


def _seat(person: Person) -> str:
    """What tabs of one browser know each other by: those of one person with the same rights share a stream."""
    told = "\n".join((person.name, person.role, person.scope))
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]


def _add_refusals(app: FastAPI, door: _Door) -> None:
    """What somebody sees who was stopped at the gate: a page for people, a word for programs."""

    def program(request: Request) -> bool:
        return request.url.path.startswith("/api/") or request.method not in ("GET", "HEAD")

    @app.exception_handler(_TooLarge)
    async def too_large(_: Request, __: _TooLarge) -> Response:
        return PlainTextResponse("request too large", 413)

    @app.exception_handler(NotSignedIn)
    async def not_signed_in(request: Request, _: NotSignedIn) -> Response:
        if program(request):
            return JSONResponse({"refusal": "sign in first"}, 401)
        return RedirectResponse("/sign-in", 303)

    @app.exception_handler(MustChange)
    async def must_change(request: Request, _: MustChange) -> Response:
        if program(request):
            return JSONResponse({"refusal": "replace the one-time secret first: /account"}, 403)
        return RedirectResponse("/account", 303)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        if program(request):
            return JSONResponse({"refusal": error.reason}, error.status)
        return door.page("refused.html", request, status=error.status, person=door.known(request))


def _add_pages(app: FastAPI, door: _Door) -> None:
    """The pages themselves, and the texts that their scripts need."""

    @app.get("/")
    async def root(request: Request) -> Response:
        return RedirectResponse(home_of(door.known(request)), 303)

    @app.get("/health")
    async def health() -> Response:
        return PlainTextResponse("ok")

    @app.get("/language/{language}")
    async def choose_language(language: str, request: Request) -> Response:
        back = request.query_params.get("back", "")
        response = RedirectResponse(back if _OWN_PATH.fullmatch(back) else "/", 303)
        if language in LANGUAGES:
            response.set_cookie("tocsin_language", language, max_age=365 * 86400, samesite="lax", httponly=True)
        return response

    @app.get("/texts/{language}.json")
    async def texts(language: str) -> Response:
        return JSONResponse(table(language if language in LANGUAGES else LANGUAGES[0]))

    @app.get("/phrases/{language}.json")
    async def phrases_of(language: str) -> Response:
        return JSONResponse(phrases() if language == "zh" else {})

    @app.get("/board")
    async def board_page(request: Request) -> Response:
        return door.page("board.html", request, person=door.person(request))


def _add_board_api(app: FastAPI, board: Board, door: _Door, clock: Clock, speed: float) -> None:
    """What the board reads: one snapshot, then changes."""
    streams = _StreamCount()

    def server_time() -> dict[str, Any]:
        return {"at_us": clock.now().wall_us, "speed": speed}

    @app.get("/api/board")
    async def snapshot(request: Request) -> Response:
        whole = request.query_params.get("whole") == "1"  # programs that want all of it; pages ask for one
        view = await board.snapshot(door.person(request).scope, whole=whole)
        return _json(msgspec.json.encode({**server_time(), "board": view}))

    @app.get("/api/incidents/{incident}")
    async def one_incident(incident: str, request: Request) -> Response:
        view = await board.incident(incident, door.person(request).scope)
        if view is None:
            return JSONResponse({"refusal": "no such incident"}, 404)
        return _json(msgspec.json.encode(view))

    @app.get("/api/board/events")
    async def events(request: Request) -> Response:
        person = door.person(request)
        if not streams.enter():
            return PlainTextResponse("too many open boards", 503)
        asked = request.headers.get("last-event-id") or request.query_params.get("after", "")
        changes = board.events(person.scope, int(asked) if _NUMBER.fullmatch(asked) else 0)

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"retry: 1000\n\n"
                async for event in changes:
                    # Who signed out or lost the right meanwhile reads no further: guard.py ends the stream.
                    payload = msgspec.json.encode(server_time()) if event.kind == "heartbeat" else event.payload
                    yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.revision, event.kind.encode(), payload)
            finally:
                streams.leave()

        return StreamingResponse(body(), media_type="text/event-stream",
                                 headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def _add_actions(app: FastAPI, board: Board, door: _Door) -> None:
    """What people do: refused clearly, or durable before the answer."""

    @app.post("/api/incidents/{incident}/actions")
    async def act(incident: str, request: Request) -> Response:
        person = door.person(request)
        # A foreign page cannot set this header without a preflight that we never grant: no forged clicks.
        if request.headers.get("x-tocsin") != "board":
            return JSONResponse({"refusal": "this request did not come from the board"}, 403)
        try:
            body = msgspec.json.decode(await _body(request), type=ActionBody)
        except ValueError as error:
            return JSONResponse({"refusal": f"not an action: {error}"}, 400)
        if not may(person, DEED_OF_ACTION[body.action]):
            return JSONResponse({"refusal": "not for this role"}, 403)
        request.state.why = f"{body.action}: {body.why.strip()}"
        who = person.name if door.sign_in is not None else body.who.strip()
        if not who or len(who) > 80:
            return JSONResponse({"refusal": "say who you are (at most 80 characters)"}, 400)
        if not _REQUEST_ID.fullmatch(body.request) or len(body.why) > REASON_CHARACTERS_MAX:
            return JSONResponse({"refusal": "request id or reason is not acceptable"}, 400)
        outcome = await board.act(incident, body.action, who=who, why=body.why.strip(), request=body.request,
                                  scope=person.scope)
        return _json(msgspec.json.encode(outcome), 200 if outcome.done else 409)


def _add_duties(app: FastAPI, board: Board, door: _Door) -> None:
    """Duty checks: answered by a signed-in person and by nobody else."""

    @app.post("/api/duties/{check}/answer")
    async def answer(check: str, request: Request) -> Response:
        person = door.person(request)
        if request.headers.get("x-tocsin") != "board":
            return JSONResponse({"refusal": "this request did not come from the board"}, 403)
        if door.sign_in is None:
            return JSONResponse({"refusal": "only a signed-in person answers a duty check: sign-in is off here"}, 403)
        try:
            body = msgspec.json.decode(await _body(request), type=AnswerBody)
        except ValueError as error:
            return JSONResponse({"refusal": f"not an answer: {error}"}, 400)
        if not _REQUEST_ID.fullmatch(body.request):
            return JSONResponse({"refusal": "request id is not acceptable"}, 400)
        outcome = await board.answer_duty(check[:64], who=person.name, request=body.request, scope=person.scope)
        return _json(msgspec.json.encode(outcome), 200 if outcome.done else 409)


def _add_sign_in(app: FastAPI, door: _Door) -> None:
    """The sign-in page and its two actions."""
    sign_in = door.sign_in

    @app.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        if sign_in is None:
            return RedirectResponse("/board", 303)
        return door.page("sign_in.html", request, wrong=False)

    @app.post("/sign-in")
    async def enter(request: Request) -> Response:
        if sign_in is None:
            return RedirectResponse("/board", 303)
        form = _form(await _body(request))
        # argon2 and scrypt are slow on purpose: not in the event loop.
        cookie = await asyncio.to_thread(sign_in.enter, form.get("name", ""), form.get("secret", ""))
        if cookie is None:
            return door.page("sign_in.html", request, status=403, wrong=True)
        response = RedirectResponse("/board", 303)
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response

    @app.post("/sign-out")
    async def leave(request: Request) -> Response:
        if sign_in is not None:
            sign_in.leave(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response


def _utc(at_s: float) -> str:
    """A time for readers without scripts; local_time.js makes it local."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def home_of(person: Person | None) -> str:
    """Where somebody begins: the first page of their navigation."""
    if person is None:
        return "/sign-in"
    return next((entry.path for entry in destinations(person)), "/account")


class _StreamCount:
    """How many event streams are open; refuses beyond CLIENTS_MAX."""

    def __init__(self) -> None:
        self._open = 0

    def enter(self) -> bool:
        if self._open >= CLIENTS_MAX:
            return False
        self._open += 1
        return True

    def leave(self) -> None:
        self._open -= 1


async def _body(request: Request) -> bytes:
    """The body, never more than the bound: one sent in chunks says nothing of its size. Raises _TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise _TooLarge
    return bytes(body)


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=10))


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json", headers={"Cache-Control": "no-store"})
