"""What people on site do by the local page beyond answering alarms (I/O): permits, outputs by hand, cameras' page.

    POST /api/permit    PermitAsk: sample, watcher, start, pause, resume, finish, close ─► LocalGateway.permit
    POST /api/switch    SwitchAsk: output on or off by hand, reason, end                ─► LocalGateway.switch
    GET  /api/cameras   where the cameras' page is, for a signed-in person who may see it

Each asks for a PIN whose role may (pin_rights.py); the gateway judges, and journals what it did with the name.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from dashboards.local_permit_view import PermitAsk, SwitchAsk
from dashboards.local_view import LocalGateway
from dashboards.pin_rights import LocalDeed
from dashboards.pin_sessions import COOKIE, bounded_body, refusal_of, session_of
from dashboards.pins import PinDoor

TEXT_MAX = 300
MINUTES_MAX = 30.0  # as the gateway ends it (law 5 of outputs by hand)
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
ENDING = frozenset({"close"})  # who has the site says that the place is safe again


def add_local_deeds(app: FastAPI, gateway: LocalGateway, door: PinDoor) -> None:
    """The three routes."""

    @app.post("/api/permit")
    async def permit(request: Request) -> Response:
        asked = await _asked(request, PermitAsk)
        if isinstance(asked, Response):
            return asked
        session = session_of(request, door, LocalDeed.PERMIT_END if asked.act in ENDING else LocalDeed.PERMIT)
        if session is None:
            return refusal_of(request, door)
        return _told(await gateway.permit(asked, session.who))

    @app.post("/api/switch")
    async def switch(request: Request) -> Response:
        asked = await _asked(request, SwitchAsk)
        if isinstance(asked, Response):
            return asked
        session = session_of(request, door, LocalDeed.SWITCH)
        if session is None:
            return refusal_of(request, door)
        if not asked.why.strip() or not 1.0 <= asked.minutes <= MINUTES_MAX:
            return JSONResponse({"refusal": f"give a reason and 1 to {MINUTES_MAX:.0f} minutes · "
                                            f"须填写原因和 1 至 {MINUTES_MAX:.0f} 分钟的时限"}, 400)
        return _told(await gateway.switch(asked, session.who))

    @app.get("/api/cameras")
    async def cameras(request: Request) -> Response:
        session = door.session(request.cookies.get(COOKIE, ""))
        place = gateway.cameras(session.who) if session is not None else None
        return JSONResponse(None if place is None else {"port": place.port, "secure": place.secure})


async def _asked(request: Request, kind: Any) -> Any:
    try:
        asked = msgspec.json.decode(await bounded_body(request), type=kind)
    except (ValueError, RecursionError) as error:
        return JSONResponse({"refusal": f"not understood: {error}"}, 400)
    fields = msgspec.structs.asdict(asked)
    texts = [value for value in fields.values() if isinstance(value, str)]
    numbers = [value for value in fields.values() if isinstance(value, float)]
    if (not _REQUEST_ID.fullmatch(asked.request) or max(map(len, texts)) > TEXT_MAX
            or not all(math.isfinite(number) for number in numbers)):
        return JSONResponse({"refusal": "request id, a text or a number is not acceptable"}, 400)
    return asked


def _told(answer: tuple[bool, str]) -> Response:
    done, what = answer
    return JSONResponse({"done": what} if done else {"refusal": what}, 200 if done else 409)
