"""The audit for those who check others (I/O): /audit with filters, /audit/export as CSV. Rows of one's scope."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from dashboards.account_pages import Page
from dashboards.gate import PersonOf, language_of
from dashboards.kit.people_texts import AUDIT_WORDS

ROWS = 100
EXPORT_MAX = 100_000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
FIELDS = ("who", "what", "subject", "path", "where")


class AuditRow(msgspec.Struct, frozen=True):
    """One record as shown."""

    number: int
    at_us: int
    who: str
    what: str
    subject: str
    path: str
    why: str
    where: str
    outcome: str
    hash: str


class AuditState(msgspec.Struct, frozen=True):
    """Whether the chain holds, checked when. anchor: its head."""

    records: int
    anchor: str
    faults: tuple[str, ...]
    checked_s: float


class Wanted(msgspec.Struct, frozen=True):
    """Which records: each text must occur in its field; a time of 0 does not bound; scope: within that path."""

    who: str = ""
    what: str = ""
    subject: str = ""
    path: str = ""
    where: str = ""
    since_us: int = 0
    until_us: int = 0
    scope: str = ""
    below: int = 0


class AuditDesk(Protocol):
    """What a program offers. Blocking."""

    def rows(self, wanted: Wanted, count: int) -> tuple[AuditRow, ...]:
        """The newest that fit."""
        ...

    def state(self) -> AuditState:
        """The check of the whole chain, at most a minute old."""
        ...


def audit_router(desk: AuditDesk, person_of: PersonOf, page: Page) -> APIRouter:
    """Both routes."""
    router = APIRouter()

    @router.get("/audit")
    async def audit(request: Request) -> Response:
        person, asked = person_of(request), _asked(request)
        rows = await asyncio.to_thread(desk.rows, _wanted(asked, person.scope), ROWS)
        state = await asyncio.to_thread(desk.state)
        older = urlencode({**asked, "below": rows[-1].number}) if len(rows) == ROWS else ""
        return page("audit.html", request, person=person, rows=rows, state=state, asked=asked, older=older,
                    export=urlencode(asked), when=_stamp(round(state.checked_s * 1e6)), word=_words(request))

    @router.get("/audit/export")
    async def export(request: Request) -> Response:
        person = person_of(request)
        rows = await asyncio.to_thread(desk.rows, _wanted(_asked(request), person.scope), EXPORT_MAX)
        text = await asyncio.to_thread(_csv, rows)
        return Response(text, media_type="text/csv; charset=utf-8", headers={
            "Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"})

    return router


def _words(request: Request) -> Callable[[str], str]:
    """What was written, in the reader's language."""
    language = language_of(request)

    def word(written: str) -> str:
        known = AUDIT_WORDS.get(written)
        return written if known is None else known.zh if language == "zh" else known.en

    return word


def _asked(request: Request) -> dict[str, str]:
    asked = {name: request.query_params.get(name, "")[:120] for name in (*FIELDS, "since", "until")}
    below = request.query_params.get("below", "")
    return {name: value for name, value in asked.items() if value} | (
        {"below": below} if re.fullmatch(r"[0-9]{1,15}", below) else {})


def _wanted(asked: dict[str, str], scope: str) -> Wanted:
    return Wanted(**{name: asked.get(name, "") for name in FIELDS}, since_us=_day_us(asked.get("since", "")),
                  until_us=_day_us(asked.get("until", ""), days=1), scope=scope, below=int(asked.get("below", "0")))


def _day_us(text: str, days: int = 0) -> int:
    """The beginning of a day of UTC, or of the day after; 0 for what is no day."""
    if not _DAY.fullmatch(text):
        return 0
    try:
        return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() + days * 86400) * 1_000_000
    except (ValueError, OverflowError):
        return 0


def _stamp(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _csv(rows: tuple[AuditRow, ...]) -> str:
    """For spreadsheets: a text that begins like a formula is quoted, since names and reasons are free text."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(AuditRow.__struct_fields__)
    for row in rows:
        values = msgspec.structs.asdict(row)
        values["at_us"] = _stamp(row.at_us)
        writer.writerow([f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
                         for value in values.values()])
    return "\ufeff" + out.getvalue()
