"""A board without a browser: the same snapshot and event stream that the page uses, read over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

Json = dict[str, Any]


async def get_json(port: int, path: str) -> Any:
    """One GET on loopback; OSError when nobody answers, ValueError for anything but 200."""
    return await asyncio.to_thread(_request, port, "GET", path, None)


async def post_json(port: int, path: str, body: Json) -> Any:
    """One POST on loopback, as the board's page makes it."""
    return await asyncio.to_thread(_request, port, "POST", path, body)


def _request(port: int, method: str, path: str, body: Json | None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json", "X-Tocsin": "board"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 409):
            raise ValueError(f"{method} {path} answered {answer.status}: {text[:200]!r}")
        return json.loads(text)
    finally:
        connection.close()


async def board_events(port: int, after: int) -> AsyncIterator[tuple[int, str, Any]]:
    """(revision, kind, payload) of each server-sent event; ends when the stream breaks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=16 * 1024 * 1024)
    try:
        writer.write(
            f"GET /api/board/events?after={after} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
            .encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        revision, kind = after, ""
        while line := await reader.readline():
            field, _, value = line.rstrip(b"\r\n").partition(b": ")
            if field == b"id":
                revision = int(value)
            elif field == b"event":
                kind = value.decode()
            elif field == b"data" and kind:
                yield revision, kind, json.loads(value)
                kind = ""
    finally:
        writer.close()
