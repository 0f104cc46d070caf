"""The gate: every route of the pages declares here what it lets people do, and nothing passes without.

    request ──► route found ──► gate ──┬ no line below           refused: a forgotten route is closed, not open
                                       ├ sent by a foreign page  refused (writes only)
                                       ├ a path that climbs      refused
                                       ├ nobody signed in        to the sign-in page
                                       └ may(person, deed, path of the site in the address) ──► route

A test walks all routes of the real application and fails where one has no line, or a line has no route. Which rows
of its scope a person sees, and what a body asks for, the route itself holds against `may`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

from fastapi import Request

from dashboards.people import Person, Trail
from dashboards.rights import Deed, may


class Open(StrEnum):
    """What is there for everybody, with the reason."""

    SIGN_IN = "the way in"
    LOOKS = "texts, styles and scripts without data"
    ALIVE = "whether the server lives"
    PUBLIC = "the public view"
    GATEWAY = "gateways, who prove themselves by their code or their key"


Rule = Deed | Open

ROUTES: dict[str, Rule] = {
    # frame
    "GET /": Open.SIGN_IN,
    "GET /health": Open.ALIVE,
    "GET /language/{language}": Open.LOOKS,
    "GET /texts/{language}.json": Open.LOOKS,
    "GET /phrases/{language}.json": Open.LOOKS,
    "GET /manifest/{language}.webmanifest": Open.LOOKS,
    "GET /worker.js": Open.LOOKS,
    "GET /offline": Open.LOOKS,
    "GET /sign-in": Open.SIGN_IN,
    "POST /sign-in": Open.SIGN_IN,
    "POST /sign-out": Open.SIGN_IN,
    "GET /sign-in/code": Open.SIGN_IN,
    "POST /sign-in/code": Open.SIGN_IN,
    "GET /outside": Open.SIGN_IN,
    "GET /outside/back": Open.SIGN_IN,
    # people
    "GET /account": Deed.OWN_ACCOUNT,
    "POST /account/password": Deed.OWN_ACCOUNT,
    "POST /account/sessions": Deed.OWN_ACCOUNT,
    "POST /account/factor": Deed.OWN_ACCOUNT,
    "POST /account/factor/confirm": Deed.OWN_ACCOUNT,
    "POST /account/factor/end": Deed.OWN_ACCOUNT,
    "GET /people": Deed.ADMINISTER,
    "POST /people/{what}": Deed.ADMINISTER,
    "GET /audit": Deed.SEE_AUDIT,
    "GET /audit/export": Deed.SEE_AUDIT,
    # gateways that come
    "GET /claim": Deed.CLAIM_GATEWAY,
    "GET /api/claims/places": Deed.CLAIM_GATEWAY,
    "POST /api/claims": Deed.CLAIM_GATEWAY,
    "POST /api/claims/revoke": Deed.CLAIM_GATEWAY,
    "POST /api/claims/offers": Open.GATEWAY,
    "POST /api/gateways/ask": Open.GATEWAY,
    "GET /walk-tests": Deed.SEE_DEVICES,
    "GET /walk-tests/export.csv": Deed.SEE_DEVICES,
    # board: which click needs which deed stands in rights.py
    "GET /board": Deed.SEE_BOARD,
    "GET /api/board": Deed.SEE_BOARD,
    "GET /api/board/events": Deed.SEE_BOARD,
    "GET /api/incidents/{incident}": Deed.SEE_BOARD,
    "POST /api/incidents/{incident}/actions": Deed.SEE_BOARD,
    "POST /api/incidents/{incident}/deeds": Deed.SEE_BOARD,
    "POST /api/duties/{check}/answer": Deed.ANSWER_DUTY,
    "POST /api/sites/{city}/{district}/{street}/{site}/reports": Deed.SEE_BOARD,
    "POST /api/sites/{city}/{district}/{street}/{site}/silences": Deed.SILENCE,
    "POST /api/sites/{city}/{district}/{street}/{site}/inspections": Deed.INSPECT,
    "POST /api/sites/{city}/{district}/{street}/{site}/shelf": Deed.SHELVE,
    # district
    "GET /map": Deed.SEE_BOARD,
    "GET /api/map": Deed.SEE_BOARD,
    # brigade
    "GET /desk": Deed.VERIFY,
    "GET /register": Deed.SEE_BOARD,
    "GET /station": Deed.ACKNOWLEDGE,
    "GET /handover": Deed.SEE_BOARD,
    "GET /incidents/{incident}": Deed.SEE_BOARD,
    "GET /station-worker.js": Open.LOOKS,
    "GET /api/places/{city}/{district}/{street}/{site}": Deed.SEE_BOARD,
    "GET /plans/{city}/{district}/{street}/{site}/{plan}": Deed.SEE_BOARD,
    "GET /api/incidents/{incident}/side": Deed.SEE_BOARD,
    "POST /api/incidents/{incident}/photos": Deed.ACKNOWLEDGE,
    "GET /photos/{sha256}": Deed.SEE_EVIDENCE,
    "GET /api/incidents/{incident}/evidence": Deed.SEE_EVIDENCE,
    "GET /evidence/{incident}/{evidence}/{name}": Deed.SEE_EVIDENCE,
    "GET /api/register": Deed.SEE_BOARD,
    "GET /api/notices/failed": Deed.SEE_BOARD,
    "POST /api/notices/{notice}/again": Deed.VERIFY,
    # officer
    "GET /permits": Deed.SEE_PERMITS,
    "GET /hot-work": Deed.SEE_PERMITS,
    "GET /overview": Deed.SEE_OVERVIEW,
    "GET /api/officer/permits": Deed.SEE_PERMITS,
    "GET /api/officer/permits/events": Deed.SEE_PERMITS,
    "GET /api/officer/hot-work": Deed.SEE_PERMITS,
    "GET /api/officer/hot-work/events": Deed.SEE_PERMITS,
    "GET /api/officer/overview": Deed.SEE_OVERVIEW,
    "GET /api/officer/overview/events": Deed.SEE_OVERVIEW,
    "POST /api/sites/{city}/{district}/{street}/{site}/permits": Deed.SEE_PERMITS,
    "GET /channels": Deed.ADMINISTER,
    "POST /channels/{channel}/test": Deed.ADMINISTER,
    "GET /packs": Deed.SEE_OVERVIEW,
    "GET /api/packs": Deed.SEE_OVERVIEW,
    "GET /api/backtests/{test}": Deed.SET_PARAMETERS,
    "POST /api/sites/{city}/{district}/{street}/{site}/backtests": Deed.SET_PARAMETERS,
    "POST /api/backtests/{test}/ask": Deed.SET_PARAMETERS,
    "POST /api/numbers/{change}": Deed.SET_PARAMETERS,
    "GET /environment": Deed.SEE_ENVIRONMENT,
    "GET /api/environment": Deed.SEE_ENVIRONMENT,
    "POST /api/sites/{city}/{district}/{street}/{site}/publish": Deed.SET_PARAMETERS,
    "GET /public": Open.PUBLIC,
    "GET /api/public": Open.PUBLIC,
    "GET /reports": Deed.SEE_REPORTS,
    "GET /reports/{period}.{kind}": Deed.SEE_REPORTS,
    "GET /api/reports": Deed.SEE_REPORTS,
    "POST /api/sites/{city}/{district}/{street}/{site}/rectifications": Deed.ISSUE_NOTICE,
    "POST /api/rectifications/{notice}/done": Deed.ISSUE_NOTICE,
    "GET /rectifications/{notice}.pdf": Deed.SEE_REPORTS,
    "GET /incidents/{incident}/dossier.pdf": Deed.SEE_EVIDENCE,
    "GET /api/handovers": Deed.SEE_BOARD,
    "POST /api/handovers": Deed.ACKNOWLEDGE,
    "POST /api/handovers/{handover}/take": Deed.ACKNOWLEDGE,
    # my sites, my building
    "GET /my-sites": Deed.MAINTAIN,
    "GET /api/my-sites": Deed.MAINTAIN,
    "GET /api/my-sites/{city}/{district}/{street}/{site}/usage": Deed.MAINTAIN,
    "POST /api/my-sites/{city}/{district}/{street}/{site}/maintenance": Deed.MAINTAIN,
    "POST /api/my-sites/{city}/{district}/{street}/{site}/rota": Deed.CHANGE_ROTA,
    "GET /api/incidents/{incident}/deliveries": Deed.SEE_BOARD,
    "GET /building": Deed.SEE_OWN_BUILDING,
    "GET /api/building": Deed.SEE_OWN_BUILDING,
    "GET /api/building/{city}/{district}/{street}/{site}": Deed.SEE_OWN_BUILDING,
    "POST /api/building/{city}/{district}/{street}/{site}/reports": Deed.REPORT_HAZARD,
    "POST /api/building/reports/{token}/photos": Deed.REPORT_HAZARD,
}
# What leaves the product as a file: noted in the audit also when it is only read.
NOTED_READS = frozenset({
    "GET /audit/export", "GET /walk-tests/export.csv", "GET /photos/{sha256}",
    "GET /evidence/{incident}/{evidence}/{name}", "GET /reports/{period}.{kind}",
    "GET /rectifications/{notice}.pdf", "GET /incidents/{incident}/dossier.pdf",
})
# Files that hold no data: the only thing that is mounted beside the routes.
OPEN_MOUNTS = frozenset({"/static"})

# The desk of accounts notes what was done and to whom, which an address cannot say.
_NOTED_BY_DESK = ("POST /account/", "POST /people/")
_PLACE = ("city", "district", "street", "site")
_CLIMBS = re.compile(r"\.\.|[\\/\x00-\x1f\x7f]")
_NO_ID = re.compile(r"['\"<>;`]")  # in no id of ours: somebody tries markup, or another language's statements
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

PersonOf = Callable[[Request], Person]


class Refused(Exception):
    """Stopped at the gate. reason: for the one who asked, without saying what is there."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class MustChange(Exception):
    """The one-time secret has to be replaced before anything else."""


class NotSignedIn(Exception):
    """Nobody is signed in."""


def gate_of(person_of: PersonOf, trail: Trail) -> Callable[[Request], Any]:
    """The dependency that stands before every route of the application."""

    async def gate(request: Request) -> None:
        key = key_of(request)
        rule = ROUTES.get(key)
        if request.method not in _SAFE and from_elsewhere(request):
            trail.note("", "refused", subject=key, why="sent by a foreign page", where=address_of(request))
            raise Refused("this request did not come from our pages")
        if isinstance(rule, Open):
            return
        person = person_of(request)  # NotSignedIn leads to the sign-in page
        if any(_CLIMBS.search(value) for value in map(str, request.path_params.values())):
            trail.note(person.name, "refused", subject=key, why="a path that climbs", where=address_of(request))
            raise Refused("no such thing", 404)
        if any(_NO_ID.search(value) for value in map(str, request.path_params.values())):
            trail.note(person.name, "refused", subject=key, why="an id that is none", where=address_of(request))
            raise Refused("no such thing", 404)
        path = "/".join(str(request.path_params.get(label, "")) for label in _PLACE).strip("/")
        if rule is None or not may(person, rule, path):
            why = "the route declares no right" if rule is None else f"{person.role} may not {rule}"
            trail.note(person.name, "refused", subject=key, path=path, why=why, where=address_of(request))
            raise Refused("this route declares no right: dashboards/gate.py" if rule is None else "not for this role")
        if person.must_change and rule is not Deed.OWN_ACCOUNT:
            raise MustChange
        request.state.came_in = person
        if (request.method not in _SAFE or key in NOTED_READS) and not key.startswith(_NOTED_BY_DESK):
            request.state.noted = (person, key, path)

    return gate


def key_of(request: Request) -> str:
    """What the route of a request is called in ROUTES. HEAD asks for what GET does."""
    route = request.scope.get("route")
    return f"{'GET' if request.method == 'HEAD' else request.method} {getattr(route, 'path', request.url.path)}"


def from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page sent this. Without such a word it was no page at all, and the
    session cookie (SameSite=Strict) would not have come along."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != request.headers.get("host", "").lower()


def language_of(request: Request) -> str:
    """The chosen language, else the browser's, else Chinese."""
    chosen = request.cookies.get("tocsin_language", "")
    if chosen in ("zh", "en"):
        return chosen
    return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "zh"


def address_of(request: Request) -> str:
    """From where somebody asks."""
    return request.client.host if request.client is not None else ""


def routes_of(routes: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """(name as in ROUTES, is it a mount) of everything that an application serves, included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner.routes, prefix + getattr(route.include_context, "prefix", ""))
        elif (methods := getattr(route, "methods", None)) is not None:
            yield from ((f"{method} {prefix}{route.path}", False) for method in sorted(methods) if method != "HEAD")
        else:
            yield prefix + getattr(route, "path", repr(route)), True
