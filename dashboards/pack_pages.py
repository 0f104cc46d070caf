"""Rule packs over HTTP (I/O): in words with their standards, numbers per site, back-test before anybody may ask."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dashboards.officer_pages import Page, PersonOf, read_body, scope_of
from dashboards.packs import Packs
from dashboards.rights import Deed, may

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")


class TestBody(msgspec.Struct, frozen=True):
    """A number to be tested."""

    rule: str
    name: str
    value: str
    hours: float
    request: str = ""
    who: str = ""


class AskBody(msgspec.Struct, frozen=True):
    """Ask for what was tested."""

    why: str
    request: str = ""
    who: str = ""


class JudgeBody(msgspec.Struct, frozen=True):
    """Approve, or decline and withdraw."""

    yes: bool
    why: str
    request: str = ""
    who: str = ""


B = TypeVar("B", TestBody, AskBody, JudgeBody)


def pack_router(packs: Packs, person_of: PersonOf, page: Page, *, signed: bool) -> APIRouter:
    """All routes. signed: names come from the sign-in."""
    router = APIRouter()

    @router.get("/packs")
    async def show(request: Request) -> Response:
        person = person_of(request)
        return page("officer.html", request, person=person, view="packs", scope=person.scope,
                    may_ask=may(person, Deed.SET_PARAMETERS), may_sign=False, may_report=False)

    @router.get("/api/packs")
    async def read(request: Request) -> Response:
        scope = scope_of(request, person_of(request), Deed.SEE_OVERVIEW)
        if scope is None:
            return JSONResponse({"refusal": "no such place"}, 404)
        return _json(await packs.page(scope, request.query_params.get("site", "")[:170]))

    @router.get("/api/backtests/{test}")
    async def result(test: str, request: Request) -> Response:
        found = await packs.result(test[:64], person_of(request).scope)
        return _json(found) if found is not None else JSONResponse({"refusal": "no such back-test"}, 404)

    @router.post("/api/sites/{city}/{district}/{street}/{site}/backtests")
    async def test(city: str, district: str, street: str, site: str, request: Request) -> Response:
        async def begin(body: TestBody, who: str) -> Response:
            if not _NAME.fullmatch(body.rule) or not _NAME.fullmatch(body.name) or len(body.value) > 60:
                raise ValueError("rule, number or value is not acceptable")
            return _json(await packs.test(f"{city}/{district}/{street}/{site}", body.rule, body.name,
                                          body.value.strip(), body.hours, who))

        return await _deed(request, person_of, TestBody, begin, signed=signed)

    @router.post("/api/backtests/{test}/ask")
    async def ask(test: str, request: Request) -> Response:
        async def go(body: AskBody, who: str) -> Response:
            return _outcome(await packs.ask(test[:64], person_of(request).scope, who, body.why[:500]))

        return await _deed(request, person_of, AskBody, go, signed=signed)

    @router.post("/api/numbers/{change}")
    async def judge(change: str, request: Request) -> Response:
        async def go(body: JudgeBody, who: str) -> Response:
            return _outcome(await packs.judge(change[:64], person_of(request).scope, who, body.why[:500],
                                              yes=body.yes))

        return await _deed(request, person_of, JudgeBody, go, signed=signed)

    return router


async def _deed(
    request: Request, person_of: PersonOf, kind: type[B], do: Callable[[B, str], Awaitable[Response]], *, signed: bool
) -> Response:
    """What our own page sent, done by a named person; a ValueError is a refusal."""
    person = person_of(request)
    if request.headers.get("x-tocsin") != "board":
        return JSONResponse({"refusal": "this request did not come from our pages"}, 403)
    try:
        body = msgspec.json.decode(await read_body(request), type=kind)
        who = person.name if signed else body.who.strip()
        if not who or len(who) > 80:
            raise ValueError("say who you are (at most 80 characters)")
        return await do(body, who)
    except ValueError as error:
        return JSONResponse({"refusal": str(error)}, 400)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})


def _outcome(refusal: str) -> Response:
    return JSONResponse({"done": not refusal, "refusal": refusal}, 409 if refusal else 200)
