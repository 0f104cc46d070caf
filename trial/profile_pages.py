"""Profile editor (I/O): its page and what the page asks.

    GET  /profiles                page                    POST /api/profiles/look   text, samples ─► findings, preview
    GET  /api/profiles            the list                POST /api/profiles/run    text ─► a device on a real port
    GET  /api/profiles/text       one, or a new draft     POST /api/profiles/set    a point of it
    GET  /api/profiles/run        side by side            POST /api/profiles/stop   /save  text, replace
Every POST carries the page's token; page_server.py refuses it else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dashboards.kit.finding_words import finding_words
from device_model.errors import ConfigError, TocsinError
from device_model.reading import Value
from trial.page_answers import answer, body_of, language_of, refused
from trial.profile_desk import ProfileDesk
from trial.profile_look import TEXT_MAX
from trial.profile_shelf import Taken

BODY_BYTES_MAX = 8 * TEXT_MAX  # a text with every character escaped, and samples


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text, and what the tester edited of its samples: point → words, topic → payload."""

    text: str
    samples: dict[str, str] = {}


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text to keep in the folder. replace: a person said that what stands there may give way."""

    text: str
    replace: bool = False


class SetPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A point of the running device shows a value."""

    point: str
    value: Value


def profile_router(desk: ProfileDesk, page: Callable[[str, Request], Response]) -> APIRouter:
    """The editor's routes. page: renders a template in the reader's language."""
    router = APIRouter()
    _add_reads(router, desk, page)
    _add_deeds(router, desk)
    return router


def _add_reads(router: APIRouter, desk: ProfileDesk, page: Callable[[str, Request], Response]) -> None:
    @router.get("/profiles")
    async def editor(request: Request) -> Response:
        return page("tester_profile.html", request)

    @router.get("/api/profiles")
    async def profiles() -> Response:
        folder = str(desk.shelf.folder) if desk.shelf.folder is not None else ""
        return answer({"rows": desk.shelf.rows(), "folder": folder, "text_max": TEXT_MAX})

    @router.get("/api/profiles/text")
    async def text(name: str = "", own: bool = False, new: str = "") -> Response:
        try:
            return answer({"text": desk.shelf.new_text(new) if new else desk.shelf.text_of(name, own=own)})
        except TocsinError as error:
            return refused(error, 404)

    @router.get("/api/profiles/run")
    async def run() -> Response:
        return answer(desk.view())


def _add_deeds(router: APIRouter, desk: ProfileDesk) -> None:
    @router.post("/api/profiles/look")
    async def looked(request: Request) -> Response:
        body = await _read(request, Draft)
        if isinstance(body, Response):
            return body
        try:
            look = await desk.look(body.text, body.samples)
        except TocsinError as error:
            return refused(error, 503)
        return answer(look if language_of(request) != "zh" else msgspec.structs.replace(look, findings=tuple(
            msgspec.structs.replace(it, what=finding_words(it.what), remedy=finding_words(it.remedy))
            for it in look.findings)))

    @router.post("/api/profiles/run")
    async def start(request: Request) -> Response:
        body = await _read(request, Draft)
        if isinstance(body, Response):
            return body
        try:
            return answer({"done": await desk.start(body.text)})
        except TocsinError as error:
            return _refused(error)

    @router.post("/api/profiles/stop")
    async def stop() -> Response:
        await desk.stop()
        return answer({"done": None})

    @router.post("/api/profiles/set")
    async def set_point(request: Request) -> Response:
        body = await _read(request, SetPoint)
        if isinstance(body, Response):
            return body
        try:
            desk.set(body.point, body.value)
        except TocsinError as error:
            return _refused(error)
        return answer({"done": None})

    @router.post("/api/profiles/save")
    async def save(request: Request) -> Response:
        body = await _read(request, Keep)
        if isinstance(body, Response):
            return body
        try:
            return answer({"done": desk.shelf.save(body.text, replace=body.replace)})
        except Taken as error:
            return JSONResponse({"refusal": str(error), "taken": True}, 409)
        except TocsinError as error:
            return _refused(error)


def _refused(error: TocsinError) -> Response:
    """A text with mistakes is one line to the reader: the findings stand beside it already."""
    if isinstance(error, ConfigError) and len(error.findings) > 1:
        return JSONResponse({"refusal": f"{error.findings[0]} (+{len(error.findings) - 1})"}, 409)
    return refused(error, 409)


async def _read(request: Request, kind: type[Any]) -> Any:
    """The body as its struct, or the refusal."""
    octets = await body_of(request, BODY_BYTES_MAX)
    if octets is None:
        return JSONResponse({"refusal": "the request is too large"}, 413)
    try:
        return msgspec.json.decode(octets, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return JSONResponse({"refusal": f"not what this takes: {error}"}, 400)
