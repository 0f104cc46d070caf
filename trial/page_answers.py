"""What all pages of the simulator answer alike (I/O of a request's body apart, nothing here touches the outside)."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import JSONResponse, Response

from dashboards.kit.texts import LANGUAGES
from device_model.errors import TocsinError


async def body_of(request: Request, most: int) -> bytes | None:
    """The body, or None where it has more bytes than that."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def language_of(request: Request) -> str:
    """The chosen language, else the browser's, else Chinese."""
    chosen = request.cookies.get("tocsin_language", "")
    if chosen in LANGUAGES:
        return chosen
    return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "zh"


def refused(error: TocsinError, status: int) -> Response:
    """A refusal, in words."""
    return JSONResponse({"refusal": str(error)}, status)


def answer(value: Any) -> Response:
    """JSON that nobody keeps."""
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"Cache-Control": "no-store"})
