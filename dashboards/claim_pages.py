"""Claiming gateways over HTTP (I/O): the owner's page, and the doors at which gateways knock.

    GET /claim                        type or scan the code ─► choose the site ─► confirm
    GET /api/claims/places            sites within one's scope, with their gateways
    POST /api/claims, …/revoke        deed claim_gateway at that very site
    POST /api/claims/offers, /api/gateways/ask
                                      open: what comes proves itself by a code or a key (provisioning/claim.py)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from dashboards.gate import address_of
from dashboards.people import Person
from dashboards.rights import Deed, may
from device_model.errors import LocalFault, PeerRefused

ASK_BYTES_MAX = 4 * 1024 * 1024  # a site file on its way to the cloud
_PATH = re.compile(r"[a-z0-9-]{1,40}(/[a-z0-9-]{1,40}){3}\Z")


class ClaimBody(msgspec.Struct, frozen=True):
    """One claim. path: city/district/street/site; names: of a site that is new; replace: the box there is broken."""

    code: str
    path: str
    gateway: str
    name_en: str = ""
    name_zh: str = ""
    replace: bool = False


class RevokeBody(msgspec.Struct, frozen=True):
    """Shut a gateway out."""

    path: str
    gateway: str
    why: str


class PlaceGateway(msgspec.Struct, frozen=True):
    """One enrolled gateway. until_us: the end of its certificate, real time."""

    id: str
    status: str
    until_us: int


class SitePlace(msgspec.Struct, frozen=True):
    """One site that is known."""

    path: str
    name_en: str
    name_zh: str
    gateways: tuple[PlaceGateway, ...] = ()


class ClaimService(Protocol):
    """What the community OS brings (community_os/claim_service.py). All of it may block."""

    def offer(self, payload: bytes, where: str) -> bytes:
        """A gateway waits: its grant; b"" while nobody has claimed it."""
        ...

    def hear(self, payload: bytes) -> bytes:
        """What an enrolled gateway asks."""
        ...

    def places(self) -> tuple[SitePlace, ...]:
        """All sites; the page shows what the reader may claim for."""
        ...

    def claim(self, body: ClaimBody, who: str) -> str:
        """Claim; returns the gateway's common name."""
        ...

    def revoke(self, body: RevokeBody, who: str) -> None:
        """Revoke."""
        ...


Page = Callable[..., Response]


def claim_router(service: ClaimService, person_of: Callable[[Request], Person], page: Page) -> APIRouter:
    """The routes."""
    router = APIRouter()
    _add_doors(router, service)

    @router.get("/claim")
    async def claim_page(request: Request) -> Response:
        return page("claim.html", request, person=person_of(request))

    @router.get("/api/claims/places")
    async def places(request: Request) -> Response:
        person = person_of(request)
        known = await asyncio.to_thread(service.places)
        mine = [place for place in known if may(person, Deed.CLAIM_GATEWAY, place.path)]
        return Response(msgspec.json.encode({"scope": person.scope, "places": mine}), media_type="application/json")

    @router.post("/api/claims")
    async def claim(request: Request) -> Response:
        body, refusal = await _body(request, ClaimBody, person_of(request))
        if refusal is not None or body is None:
            return refusal or PlainTextResponse("", 400)
        request.state.why = f"claim {body.path}/{body.gateway}"
        return await _done(lambda: service.claim(body, person_of(request).name))

    @router.post("/api/claims/revoke")
    async def revoke(request: Request) -> Response:
        body, refusal = await _body(request, RevokeBody, person_of(request))
        if refusal is not None or body is None:
            return refusal or PlainTextResponse("", 400)
        if not body.why.strip():
            return JSONResponse({"refusal": "say why"}, 400)
        request.state.why = f"revoke {body.path}/{body.gateway}: {body.why[:200]}"
        return await _done(lambda: service.revoke(body, person_of(request).name))

    return router


def _add_doors(router: APIRouter, service: ClaimService) -> None:
    @router.post("/api/claims/offers")
    async def offer(request: Request) -> Response:
        payload, where = await request.body(), address_of(request)
        return await _raw(lambda: service.offer(payload, where))

    @router.post("/api/gateways/ask")
    async def ask(request: Request) -> Response:
        payload = await request.body()
        return await _raw(lambda: service.hear(payload))


async def _body(request: Request, kind: Any, person: Person) -> tuple[Any, Response | None]:
    """The body, and that this person may claim at this very site."""
    if request.headers.get("x-tocsin") != "board":
        return None, JSONResponse({"refusal": "this request did not come from our pages"}, 403)
    try:
        body = msgspec.json.decode(await request.body(), type=kind)
    except ValueError as error:
        return None, JSONResponse({"refusal": f"not a claim: {error}"}, 400)
    if not _PATH.match(body.path):
        return None, JSONResponse({"refusal": "path", "field": "path"}, 400)
    if not may(person, Deed.CLAIM_GATEWAY, body.path):
        return None, JSONResponse({"refusal": "right"}, 403)
    return body, None


async def _done(act: Callable[[], Any]) -> Response:
    try:
        return JSONResponse({"done": await asyncio.to_thread(act) or True})
    except PeerRefused as refused:
        return JSONResponse({"refusal": str(refused)}, 409)
    except LocalFault as fault:
        return JSONResponse({"refusal": str(fault)}, 503)


async def _raw(act: Callable[[], bytes]) -> Response:
    try:
        return Response(await asyncio.to_thread(act), media_type="application/json")
    except PeerRefused as refused:
        return JSONResponse({"refusal": str(refused)}, 409)
    except LocalFault as fault:
        return JSONResponse({"refusal": str(fault)}, 503)
