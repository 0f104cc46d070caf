"""The administrator's page of channels (I/O): where people and programs are told, and whether it works now.

    GET  /channels                  every endpoint, without its address
    POST /channels/{channel}/test   a message that says it is a test ─► what the service answered

Channels are the whole cloud's: only an administrator without a narrower scope sees and tries them.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dashboards.channels import ChannelDesk, Tried
from dashboards.people import Person

PersonOf = Callable[[Request], Person]
Page = Callable[..., Response]


def channel_router(desk: ChannelDesk, person_of: PersonOf, page: Page) -> APIRouter:
    """Both routes; the gate has asked for the right already."""
    router = APIRouter()

    def shown(request: Request, name: str = "", tried: Tried | None = None, status: int = 200) -> Response:
        person = person_of(request)
        return page("channels.html", request, status=status, person=person, whole=not person.scope, tried=tried,
                    rows=desk.rows() if not person.scope else (), tried_name=name)

    @router.get("/channels")
    async def channels(request: Request) -> Response:
        return shown(request)

    @router.post("/channels/{channel}/test")
    async def test(channel: str, request: Request) -> Response:
        tried = await desk.test(channel[:80]) if not person_of(request).scope else None
        if tried is None:
            return shown(request, status=404)
        request.state.why = f"{channel[:80]}: {tried.reason or ('waits' if tried.wait_s else 'taken')}"
        return shown(request, channel[:80], tried, 429 if tried.wait_s else 502 if tried.reason else 200)

    return router
