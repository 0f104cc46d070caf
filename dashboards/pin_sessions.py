"""Signing in with a PIN (I/O): the routes that pages on the gateway share, and who is behind a request.

    GET /api/session    who, and the token that each action carries
    POST /api/sign-in   name and PIN ─► cookie (HttpOnly, SameSite=Strict)      POST /api/sign-out
"""

from __future__ import annotations

import asyncio
import hmac

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from dashboards.kit.texts import LANGUAGES
from dashboards.pin_rights import LocalDeed, may_here
from dashboards.pins import NAME_MOST, Locked, PinDoor, Session
from device_model.errors import LocalFault

_log = structlog.get_logger("tocsin.pins")
COOKIE = "tocsin_local"
BODY_BYTES_MAX = 4096
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class SignInBody(msgspec.Struct, frozen=True):
    """Who, and the PIN."""

    name: str
    pin: str


def add_pin_sign_in(app: FastAPI, door: PinDoor) -> None:
    """The three routes."""

    @app.get("/api/session")
    async def session(request: Request) -> Response:
        known = door.session(request.cookies.get(COOKIE, ""))
        try:
            anybody = await asyncio.to_thread(lambda: door.anybody)
        except LocalFault:
            anybody = False
        return JSONResponse({"who": known.who if known else "", "csrf": known.csrf if known else "",
                             "role": known.role if known else "", "anybody": anybody})

    @app.post("/api/sign-in")
    async def sign_in(request: Request) -> Response:
        if request.headers.get("x-tocsin") != "local":
            return JSONResponse({"refusal": "this request did not come from the page"}, 403)
        where = request.client.host if request.client is not None else ""
        try:
            body = msgspec.json.decode(await bounded_body(request), type=SignInBody)
            # scrypt is slow on purpose: not in the event loop.
            entered = await asyncio.to_thread(door.enter, body.name, body.pin, where)
        except ValueError:
            return JSONResponse({"refusal": "not a name and a PIN"}, 400)
        except Locked as locked:
            _log.warning("PIN not looked at: too many wrong ones", name=body.name[:NAME_MOST], address=where,
                         wait_s=round(locked.seconds))
            return JSONResponse({"refusal": "locked", "minutes": max(1, round(locked.seconds / 60))}, 429)
        except LocalFault as fault:
            return JSONResponse({"refusal": str(fault)}, 503)
        if entered is None:
            _log.warning("PIN refused", name=body.name[:NAME_MOST], address=where)
            return JSONResponse({"refusal": "wrong"}, 403)
        cookie, known = entered
        _log.info("signed in with a PIN", name=known.who, role=known.role, address=where)
        response = JSONResponse({"who": known.who, "csrf": known.csrf, "role": known.role})
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response

    @app.post("/api/sign-out")
    async def sign_out(request: Request) -> Response:
        if _session(request, door) is not None:
            door.leave(request.cookies.get(COOKIE, ""))
        response = JSONResponse({})
        response.delete_cookie(COOKIE)
        return response


def session_of(request: Request, door: PinDoor, deed: LocalDeed = LocalDeed.OTHER) -> Session | None:
    """Who may do that deed: signed in, asking from our page, in a role that may. A route that names no deed is the
    property's alone."""
    session = _session(request, door)
    return session if session is not None and may_here(session.role, deed) else None


def looker_of(request: Request, door: PinDoor, *deeds: LocalDeed) -> Session | None:
    """Who may do one of those deeds, for what an element of the page asks for: it carries the cookie and no token. It
    changes nothing but the log, and the cookie is SameSite=Strict."""
    session = door.session(request.cookies.get(COOKIE, ""))
    return session if session is not None and any(may_here(session.role, deed) for deed in deeds) else None


def refusal_of(request: Request, door: PinDoor) -> Response:
    """Why `session_of` said no: "session", or "role" where somebody is signed in who may not."""
    return JSONResponse({"refusal": "role" if _session(request, door) is not None else "session"}, 403)


def _session(request: Request, door: PinDoor) -> Session | None:
    """The session behind a request that truly comes from our page: cookie, token and a header that a foreign page
    cannot set without a preflight, which we never grant."""
    session = door.session(request.cookies.get(COOKIE, ""))
    if session is None or request.headers.get("x-tocsin") != "local":
        return None
    token = request.headers.get("x-tocsin-csrf", "")
    return session if hmac.compare_digest(session.csrf.encode(), token.encode("utf-8", "replace")) else None


async def bounded_body(request: Request, most: int = BODY_BYTES_MAX) -> bytes:
    """ValueError: larger than any request of ours."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise ValueError("too large")
    return bytes(body)


def language_of(request: Request) -> str:
    """The language chosen, else the browser's, else Chinese."""
    chosen = request.cookies.get("tocsin_language", "")
    if chosen in LANGUAGES:
        return chosen
    return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "zh"
