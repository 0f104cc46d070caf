"""Environment over HTTP (I/O): for who may, and (published sites only) for everybody, read-only."""

from __future__ import annotations

import re

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dashboards.environment import Environment
from dashboards.officer_pages import Page, PersonOf, read_body, scope_of
from dashboards.rights import Deed, may

_PATH = re.compile(r"[a-z0-9][a-z0-9-]{0,39}(?:/[a-z0-9][a-z0-9-]{0,39}){3}")


class PublishBody(msgspec.Struct, frozen=True):
    """Show a site to everybody, or not any longer."""

    on: bool
    why: str
    request: str = ""
    who: str = ""


def environment_router(environment: Environment, person_of: PersonOf, page: Page, *, signed: bool) -> APIRouter:
    """All routes. signed: names come from the sign-in."""
    router = APIRouter()

    def asked(request: Request) -> str:
        path = request.query_params.get("site", "")
        return path if _PATH.fullmatch(path) else ""

    @router.get("/environment")
    async def show(request: Request) -> Response:
        person = person_of(request)
        return page("officer.html", request, person=person, view="environment", scope=person.scope,
                    may_ask=may(person, Deed.SET_PARAMETERS), may_sign=False, may_report=False)

    @router.get("/api/environment")
    async def read(request: Request) -> Response:
        scope = scope_of(request, person_of(request), Deed.SEE_ENVIRONMENT)
        if scope is None:
            return JSONResponse({"refusal": "no such place"}, 404)
        return _json(await environment.page(scope, asked(request)))

    @router.get("/public")
    async def public_page(request: Request) -> Response:
        return page("public.html", request)

    @router.get("/api/public")
    async def public(request: Request) -> Response:
        return _json(await environment.public(asked(request)))

    @router.post("/api/sites/{city}/{district}/{street}/{site}/publish")
    async def publish(city: str, district: str, street: str, site: str, request: Request) -> Response:
        person = person_of(request)
        if request.headers.get("x-tocsin") != "board":
            return JSONResponse({"refusal": "this request did not come from our pages"}, 403)
        try:
            body = msgspec.json.decode(await read_body(request), type=PublishBody)
        except ValueError as error:
            return JSONResponse({"refusal": str(error)}, 400)
        who = person.name if signed else body.who.strip()
        if not who or len(who) > 80:
            return JSONResponse({"refusal": "say who you are (at most 80 characters)"}, 400)
        refusal = await environment.publish(f"{city}/{district}/{street}/{site}", on=body.on, who=who, why=body.why)
        return JSONResponse({"done": not refusal, "refusal": refusal}, 409 if refusal else 200)

    return router


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})
