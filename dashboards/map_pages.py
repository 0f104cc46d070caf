"""The map of the district (I/O): where it burns, among everything that a person watches.

    GET /map        a page without data
    GET /api/map    sites, base map, server of pictures; alarms come by the board's own stream

The page's content policy names the configured server of pictures and nothing else of the outside.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from dashboards.district_map import DistrictMap
from dashboards.guard import HEADERS
from dashboards.people import Person

PersonOf = Callable[[Request], Person]
Page = Callable[..., Response]
_POLICY = "Content-Security-Policy"


def map_router(district: DistrictMap, person_of: PersonOf, page: Page) -> APIRouter:
    """Both routes; the gate has asked for the right already."""
    router = APIRouter()
    policy = HEADERS[_POLICY].replace("img-src 'self' data:", f"img-src 'self' data: {district.tiles_from}".rstrip())

    @router.get("/map")
    async def show(request: Request) -> Response:
        answer = page("map.html", request, person=person_of(request))
        answer.headers[_POLICY] = policy
        return answer

    @router.get("/api/map")
    async def view(request: Request) -> Response:
        return Response(msgspec.json.encode(await district.view(person_of(request).scope)),
                        media_type="application/json", headers={"Cache-Control": "no-store"})

    return router
