"""The web server's manners: sign-in, forged requests, bounds, headers."""

from __future__ import annotations

import httpx
import pytest
from memory_board import FixedClock, MemoryBoard, fire

from dashboards.people import Person
from dashboards.server import BODY_BYTES_MAX, create_app


class OneGuard:
    """A SignIn that knows one person."""

    def enter(self, name: str, secret: str) -> str | None:
        return "cookie-1" if (name, secret) == ("li", "right") else None

    def person(self, cookie: str) -> Person | None:
        return Person("li", "brigade", "hangzhou/yuhang") if cookie == "cookie-1" else None

    def leave(self, cookie: str) -> None:
        return None


def client(sign_in: OneGuard | None, board: MemoryBoard | None = None) -> httpx.AsyncClient:
    app = create_app(board or MemoryBoard(fire()), clock=FixedClock(), sign_in=sign_in)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


ACTION = {"action": "acknowledge", "request": "click-0001", "who": "somebody else"}


@pytest.mark.parametrize(("path", "status"), [
    ("/board", 303), ("/api/board", 401), ("/api/incidents/i-1", 401), ("/api/board/events", 401),
])
async def test_nothing_is_open_without_sign_in(path: str, status: int) -> None:
    async with client(OneGuard()) as http:
        answer = await http.get(path)
    assert answer.status_code == status


async def test_sign_in_then_act_under_ones_own_name() -> None:
    board = MemoryBoard(fire())
    async with client(OneGuard(), board) as http:
        assert (await http.post("/sign-in", data={"name": "li", "secret": "wrong"})).status_code == 403
        answer = await http.post("/sign-in", data={"name": "li", "secret": "right"})
        assert answer.status_code == 303 and "HttpOnly" in answer.headers["set-cookie"]
        done = await http.post("/api/incidents/i-1/actions", json=ACTION, headers={"X-Tocsin": "board"})
    assert done.status_code == 200 and board.actions[0][2] == "li"


@pytest.mark.parametrize(("body", "headers", "status"), [
    (ACTION, {}, 403),  # a forged click from a foreign page
    ({"action": "explode", "request": "click-0001", "who": "x"}, {"X-Tocsin": "board"}, 400),
    ({"action": "acknowledge", "request": "x", "who": "x"}, {"X-Tocsin": "board"}, 400),
    ({"action": "acknowledge", "request": "click-0001", "who": " "}, {"X-Tocsin": "board"}, 400),
    ({"action": "note", "request": "click-0001", "who": "x", "why": "y" * 501}, {"X-Tocsin": "board"}, 400),
])
async def test_bad_actions_are_refused(body, headers, status: int) -> None:
    board = MemoryBoard(fire())
    async with client(None, board) as http:
        answer = await http.post("/api/incidents/i-1/actions", json=body, headers=headers)
    assert answer.status_code == status and board.actions == []


async def test_oversized_bodies_and_missing_incidents() -> None:
    async with client(None) as http:
        large = await http.post("/api/incidents/i-1/actions", content=b"x" * (BODY_BYTES_MAX + 1))
        missing = await http.get("/api/incidents/../../etc/passwd")
        unknown = await http.get("/api/incidents/nope")
    assert (large.status_code, missing.status_code, unknown.status_code) == (413, 404, 404)


async def test_every_answer_carries_the_security_headers() -> None:
    async with client(None) as http:
        answer = await http.get("/board")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "Flat 301" not in answer.text  # the page itself holds no data
