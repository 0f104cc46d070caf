"""The pages about people (I/O): signing in by steps, one's own account, everybody's accounts.

    /sign-in ──► /sign-in/code ──► home          /account: password, second factor, sessions, language
    /outside ──► another service ──► /outside/back    /people: add, role, scope, disable, reset (administrator)

Plain forms without scripts. A secret is shown in the answer that made it and nowhere else; answers are never cached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, quote

import segno
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from dashboards.account_desk import AccountDesk, Entry, NotDone
from dashboards.gate import PersonOf, Refused, address_of
from dashboards.people import Person
from dashboards.rights import ROLES, end_of

T = TypeVar("T")
BODY_BYTES_MAX = 16 * 1024
WAITING_MAX = 40  # some four seconds of hashing
COOKIE = "tocsin_session"
PENDING_COOKIE = "tocsin_step"
OUTSIDE_COOKIE = "tocsin_outside"
_SAID = {f"account.done.{what}" for what in ("password", "factor", "factor_off", "session", "sessions")} | {
    f"account.bad.{what}" for what in ("old", "again", "weak", "code", "wait")} | {"people.done"}

Page = Callable[..., Response]
Home = Callable[[Person | None], str]


class _Slow:
    """Hashes passwords apart from all else: two at once, and a bounded queue. A flood of sign-ins must not take
    the threads by which the board reads its store."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, "passwords")
        self._waiting = 0

    async def __call__(self, work: Callable[..., T], *arguments: Any) -> T:
        """The result of slow work. Raises Refused where too many wait."""
        if self._waiting >= WAITING_MAX:
            raise Refused("too many sign-ins at once; try again in a minute", 429)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting -= 1


class OutsideSignIn(Protocol):
    """Signing in by another service (OIDC). The program brings it."""

    name: str

    async def leave_to(self, base: str) -> tuple[str, str]:
        """(address to send the browser to, what to keep in a cookie until it is back). Raises NotDone."""
        ...

    async def back(self, base: str, query: dict[str, str], kept: str, address: str, agent: str) -> Entry:
        """The browser is back. Raises NotDone with the reason."""
        ...


def account_router(desk: AccountDesk, person_of: PersonOf, page: Page, home: Home,
                   outside: OutsideSignIn | None = None) -> APIRouter:
    """All routes."""
    router, slow = APIRouter(), _Slow()
    _add_sign_in(router, desk, page, home, outside, slow)
    _add_account(router, desk, person_of, page, slow)
    _add_factor(router, desk, person_of, page, slow)
    _add_people(router, desk, person_of, page)
    return router


# --- signing in ---------------------------------------------------------------------------------------------------


def _add_sign_in(router: APIRouter, desk: AccountDesk, page: Page, home: Home, outside: OutsideSignIn | None,
                 slow: _Slow) -> None:
    def said(request: Request, entry: Entry, name: str, status: int) -> Response:
        return page(name, request, status=status, wrong=not entry.wait_s, outside=outside.name if outside else "",
                    wait=f"{entry.wait_s / 60:.0f} min" if entry.wait_s >= 90 else f"{max(1, round(entry.wait_s))} s"
                    if entry.wait_s else "")

    @router.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        return page("sign_in.html", request, wrong=False, wait="", outside=outside.name if outside else "")

    @router.post("/sign-in")
    async def enter(request: Request) -> Response:
        form = await _form(request)
        entry = await slow(
            desk.begin, form.get("name", "").strip(), form.get("secret", ""), address_of(request), _agent(request),
            request.cookies.get(COOKIE, ""))
        if entry.pending:
            response: Response = RedirectResponse("/sign-in/code", 303)
            _keep(response, request, PENDING_COOKIE, entry.pending, max_age=300)
            return response
        if not entry.cookie:
            return said(request, entry, "sign_in.html", 429 if entry.wait_s else 403)
        return _welcome(request, entry)

    @router.get("/sign-in/code")
    async def code_page(request: Request) -> Response:
        if not request.cookies.get(PENDING_COOKIE):
            return RedirectResponse("/sign-in", 303)
        return page("sign_in_code.html", request, wrong=False, wait="")

    @router.post("/sign-in/code")
    async def code(request: Request) -> Response:
        form = await _form(request)
        entry = await slow(desk.finish, request.cookies.get(PENDING_COOKIE, ""),
                                        form.get("code", "")[:80], address_of(request), _agent(request))
        if entry.cookie:
            return _welcome(request, entry)
        if not entry.pending and not entry.wait_s:
            response: Response = RedirectResponse("/sign-in", 303)
            response.delete_cookie(PENDING_COOKIE)
            return response
        return said(request, entry, "sign_in_code.html", 429 if entry.wait_s else 403)

    def _welcome(request: Request, entry: Entry) -> Response:
        response: Response = RedirectResponse(home(desk.person(entry.cookie)), 303)
        _keep(response, request, COOKIE, entry.cookie)
        response.delete_cookie(PENDING_COOKIE)
        return response

    @router.post("/sign-out")
    async def leave(request: Request) -> Response:
        await asyncio.to_thread(desk.leave, request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response

    @router.get("/outside")
    async def go_outside(request: Request) -> Response:
        if outside is None:
            raise Refused("no other service is set up", 404)
        try:
            address, kept = await outside.leave_to(_base(request))
        except NotDone as error:
            return page("sign_in.html", request, status=502, wrong=False, wait="", outside=outside.name,
                        outside_failed=str(error))
        response = RedirectResponse(address, 303)
        # Lax: the way back comes from the other service's page.
        _keep(response, request, OUTSIDE_COOKIE, kept, max_age=600, samesite="lax")
        return response

    @router.get("/outside/back")
    async def back(request: Request) -> Response:
        if outside is None:
            raise Refused("no other service is set up", 404)
        try:
            entry = await outside.back(_base(request), dict(request.query_params),
                                       request.cookies.get(OUTSIDE_COOKIE, ""), address_of(request), _agent(request))
        except NotDone as error:
            return page("sign_in.html", request, status=403, wrong=False, wait="", outside=outside.name,
                        outside_failed=str(error))
        # A page of ours in between: a strict cookie does not travel with a redirect that another site began.
        response = page("sign_in_going.html", request, to=home(desk.person(entry.cookie)))
        _keep(response, request, COOKIE, entry.cookie)
        response.delete_cookie(OUTSIDE_COOKIE)
        return response


# --- one's own account --------------------------------------------------------------------------------------------


def _add_account(router: APIRouter, desk: AccountDesk, person_of: PersonOf, page: Page, slow: _Slow) -> None:
    @router.get("/account")
    async def account(request: Request) -> Response:
        return _account_page(desk, person_of, page, request)

    @router.post("/account/password")
    async def change(request: Request) -> Response:
        form = await _form(request)
        if form.get("new", "") != form.get("again", ""):
            return _to("/account", "account.bad.again")
        wrong = await slow(desk.change_password, request.cookies.get(COOKIE, ""), form.get("old", ""),
                                        form.get("new", ""), address_of(request))
        return _to("/account", f"account.bad.{wrong}" if wrong else "account.done.password")

    @router.post("/account/sessions")
    async def end(request: Request) -> Response:
        form = await _form(request)
        session = form.get("session", "")[:40]
        await asyncio.to_thread(desk.end_sessions, request.cookies.get(COOKIE, ""), session, address_of(request))
        return _to("/account", "account.done.session" if session else "account.done.sessions")


def _account_page(desk: AccountDesk, person_of: PersonOf, page: Page, request: Request, **values: Any) -> Response:
    person = person_of(request)
    return page("account.html", request, person=person, own=desk.own(request.cookies.get(COOKIE, "")),
                end=end_of(person).value, **{"said": _said(request), **values})


def _add_factor(router: APIRouter, desk: AccountDesk, person_of: PersonOf, page: Page, slow: _Slow) -> None:
    @router.post("/account/factor")
    async def begin(request: Request) -> Response:
        try:
            secret, address = desk.begin_factor(request.cookies.get(COOKIE, ""))
        except NotDone as error:
            raise Refused(str(error), 409) from error
        picture = segno.make(address, error="m").svg_data_uri(scale=5, border=2, dark="#000", light="#fff")
        return _account_page(desk, person_of, page, request, key=secret, picture=picture)

    @router.post("/account/factor/confirm")
    async def confirm(request: Request) -> Response:
        form = await _form(request)
        codes = await asyncio.to_thread(desk.confirm_factor, request.cookies.get(COOKIE, ""),
                                        form.get("code", "")[:20], address_of(request))
        if not codes:
            return _to("/account", "account.bad.code")
        return _account_page(desk, person_of, page, request, codes=codes, said="account.done.factor")

    @router.post("/account/factor/end")
    async def end(request: Request) -> Response:
        form = await _form(request)
        done = await slow(desk.end_factor, request.cookies.get(COOKIE, ""), form.get("secret", ""),
                                       address_of(request))
        return _to("/account", "account.done.factor_off" if done else "account.bad.old")


# --- everybody's accounts -----------------------------------------------------------------------------------------


def _add_people(router: APIRouter, desk: AccountDesk, person_of: PersonOf, page: Page) -> None:
    roles = tuple(role for role in ROLES if role != "demo")

    def listed(request: Request, status: int = 200, **values: Any) -> Response:
        person = person_of(request)
        return page("people.html", request, status=status, person=person, rows=desk.people(person.scope), roles=roles,
                    **{"said": _said(request), "why": "", **values})

    @router.get("/people")
    async def people(request: Request) -> Response:
        return listed(request)

    @router.post("/people/{what}")
    async def change(what: str, request: Request) -> Response:
        form, person = await _form(request), person_of(request)
        try:
            secret = await asyncio.to_thread(_change, desk, what, form, person, address_of(request))
        except NotDone as error:
            return listed(request, 400, why=str(error))
        if secret:
            return listed(request, secret=secret, whose=form.get("name", "").strip(), said="people.done")
        return _to("/people", "people.done")


def _change(desk: AccountDesk, what: str, form: dict[str, str], person: Person, where: str) -> str:
    """One change; a one-time secret where it made one. Raises NotDone."""
    name, role, scope = form.get("name", ""), form.get("role", ""), form.get("scope", "")
    if what == "add":
        return desk.add(name, role, scope, by=person.name, where=where, within=person.scope)
    if what == "reset":
        return desk.reset(name, by=person.name, where=where, within=person.scope)
    if what == "change":
        desk.change(name, role, scope, by=person.name, where=where, within=person.scope)
    elif what in ("disable", "enable"):
        desk.disable(name, what == "disable", by=person.name, where=where, within=person.scope)
    else:
        raise NotDone("there is no such change")
    return ""


# --- small things -------------------------------------------------------------------------------------------------


def _keep(response: Response, request: Request, name: str, value: str, *, max_age: int | None = None,
          samesite: Any = "strict") -> None:
    response.set_cookie(name, value, httponly=True, samesite=samesite, max_age=max_age, path="/",
                        secure=request.url.scheme == "https")


def _to(path: str, said: str) -> Response:
    return RedirectResponse(f"{path}?said={quote(said)}", 303)


def _said(request: Request) -> str:
    """What the page before wanted to be said: one of ours, never free text."""
    said = request.query_params.get("said", "")
    return said if said in _SAID else ""


def _agent(request: Request) -> str:
    return request.headers.get("user-agent", "")[:200]


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


async def _form(request: Request) -> dict[str, str]:
    """A form's fields. Refused when it is larger than any of ours, also where it said nothing of its size."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refused("request too large", 413)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10))
