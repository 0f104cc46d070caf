"""Reports, rectification notices and dossiers over HTTP (I/O).

    GET  /reports                                    page: buttons, notices, a form
    GET  /reports/{day|week|month}.{pdf|csv}?scope=… a report
    GET  /api/reports                                notices
    POST /api/sites/{c}/{d}/{s}/{site}/rectifications        issue one
    POST /api/rectifications/{notice}/done           it was put right, seen by somebody
    GET  /rectifications/{notice}.pdf                the printed notice
    GET  /incidents/{incident}/dossier.pdf           everything about one incident
"""

from __future__ import annotations

import re

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from dashboards.gate import language_of
from dashboards.officer_pages import Page, PersonOf, read_body, scope_of
from dashboards.report import Document, NoticeDraft, Reports
from dashboards.rights import Deed, may

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class IssueBody(msgspec.Struct, frozen=True):
    """A notice that somebody issues."""

    draft: NoticeDraft
    request: str = ""
    who: str = ""


class DoneBody(msgspec.Struct, frozen=True):
    """Somebody has seen that it is put right."""

    why: str
    request: str = ""
    who: str = ""


def report_router(reports: Reports, person_of: PersonOf, page: Page, *, signed: bool) -> APIRouter:
    """All routes. signed: names come from the sign-in."""
    router = APIRouter()
    _add_reports(router, reports, person_of, page)
    _add_notices(router, reports, person_of, signed=signed)
    return router


def _add_reports(router: APIRouter, reports: Reports, person_of: PersonOf, page: Page) -> None:
    @router.get("/reports")
    async def show(request: Request) -> Response:
        person = person_of(request)
        return page("officer.html", request, person=person, view="reports", scope=person.scope,
                    may_ask=may(person, Deed.ISSUE_NOTICE), may_sign=False, may_report=True)

    @router.get("/reports/{period}.{kind}")
    async def report(period: str, kind: str, request: Request) -> Response:
        scope = scope_of(request, person_of(request), Deed.SEE_REPORTS)
        if scope is None:
            return PlainTextResponse("no such place", 404)
        try:
            return _file(await reports.report(scope, period[:10], kind[:4], _language(request)))
        except ValueError as error:
            return PlainTextResponse(str(error), 404)

    @router.get("/incidents/{incident}/dossier.pdf")
    async def dossier(incident: str, request: Request) -> Response:
        person = person_of(request)
        known = _NAME.fullmatch(incident)
        found = await reports.dossier(
            incident, person.scope, person.name, _language(request)) if known else None
        return _file(found) if found is not None else PlainTextResponse("no such incident", 404)


def _add_notices(router: APIRouter, reports: Reports, person_of: PersonOf, *, signed: bool) -> None:
    @router.get("/api/reports")
    async def listed(request: Request) -> Response:
        scope = scope_of(request, person_of(request), Deed.SEE_REPORTS)
        if scope is None:
            return JSONResponse({"refusal": "no such place"}, 404)
        return _json(await reports.page(scope))

    @router.post("/api/sites/{city}/{district}/{street}/{site}/rectifications")
    async def issue(city: str, district: str, street: str, site: str, request: Request) -> Response:
        person = person_of(request)
        if request.headers.get("x-tocsin") != "board":
            return JSONResponse({"refusal": "this request did not come from our pages"}, 403)
        try:
            body = msgspec.json.decode(await read_body(request), type=IssueBody)
            who = person.name if signed else body.who.strip()
            if not who or len(who) > 80:
                raise ValueError("say who you are (at most 80 characters)")
            return _json(await reports.issue(f"{city}/{district}/{street}/{site}", body.draft, who))
        except ValueError as error:
            return JSONResponse({"refusal": str(error)}, 400)

    @router.post("/api/rectifications/{notice}/done")
    async def done(notice: str, request: Request) -> Response:
        person = person_of(request)
        if request.headers.get("x-tocsin") != "board":
            return JSONResponse({"refusal": "this request did not come from our pages"}, 403)
        try:
            body = msgspec.json.decode(await read_body(request), type=DoneBody)
        except ValueError as error:
            return JSONResponse({"refusal": str(error)}, 400)
        who = person.name if signed else body.who.strip()
        if not who or len(who) > 80:
            return JSONResponse({"refusal": "say who you are (at most 80 characters)"}, 400)
        refusal = await reports.done(notice[:64], person.scope, who, body.why)
        return JSONResponse({"done": not refusal, "refusal": refusal}, 409 if refusal else 200)

    @router.get("/rectifications/{notice}.pdf")
    async def printed(notice: str, request: Request) -> Response:
        person = person_of(request)
        known = _NAME.fullmatch(notice)
        found = await reports.notice(notice, person.scope, _language(request)) if known else None
        return _file(found) if found is not None else PlainTextResponse("no such notice", 404)


def _language(request: Request) -> str:
    """The one that is asked for, else that of the pages."""
    asked = request.query_params.get("lang", "")
    return asked if asked in ("zh", "en") else language_of(request)


def _file(document: Document) -> Response:
    return Response(document.body, media_type=document.media_type, headers={
        "Content-Disposition": f'inline; filename="{document.name}"', "Cache-Control": "no-store"})


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})
