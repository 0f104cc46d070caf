"""The page of tests and acceptances (I/O).

    GET /walk-tests              sites in one's scope: expected, connected, proven alive; each newest test
    GET /walk-tests/export.csv   the same as a table
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dashboards.gate import language_of
from dashboards.people import Person
from dashboards.walks import Walks
from device_model.site import Text

Page = Callable[..., Response]
COLUMNS = ("site", "subject", "place", "kind", "result", "who", "role", "begun_utc", "took_s", "real", "delivered",
           "confirmed", "gateway", "note")


def walk_router(walks: Walks, person_of: Callable[[Request], Person], page: Page) -> APIRouter:
    """Both routes."""
    router = APIRouter()

    @router.get("/walk-tests")
    async def show(request: Request) -> Response:
        person, language = person_of(request), language_of(request)

        def words(text: Text) -> str:
            return text.in_language(language)

        return page("walks.html", request, person=person, sites=await walks.sites(person.scope), words=words)

    @router.get("/walk-tests/export.csv")
    async def export(request: Request) -> Response:
        language, out = language_of(request), io.StringIO()
        table = csv.writer(out)
        table.writerow(COLUMNS)
        for site in await walks.sites(person_of(request).scope):
            for line in site.lines:
                one = line.test.record if line.test is not None else None
                row = [site.path, line.subject, line.place.in_language(language)]
                if one is not None and line.test is not None:
                    row += [one.kind, one.result, one.who, one.role, _utc(one.begun_us), f"{one.took_ms / 1000:.1f}",
                            str(one.real), str(one.delivered), str(one.confirmed), line.test.gateway, one.note]
                table.writerow([_plain(cell) for cell in row])
        return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers={
            "Content-Disposition": 'attachment; filename="walk-tests.csv"', "Cache-Control": "no-store"})

    return router


def _utc(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _plain(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
