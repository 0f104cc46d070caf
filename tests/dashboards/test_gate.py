"""The gate: no route without its line, foreign pages and climbing paths refused, streams end with their reader."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from memory_board import FixedClock, MemoryBoard, fire

from dashboards.gate import OPEN_MOUNTS, ROUTES, Open, routes_of
from dashboards.people import Person
from dashboards.rights import ROLES
from dashboards.server import create_app
from device_model.read_models import BoardEvent

SITE = "hangzhou/yuhang/cangqian/riverside"


class Trail:
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str, str]] = []

    def note(self, who: str, what: str, *, subject: str = "", path: str = "", why: str = "", where: str = "",
             outcome: str = "") -> None:
        self.lines.append((who, what, why, outcome))


class Seat:
    """A sign-in whose one person changes."""

    def __init__(self, person: Person | None) -> None:
        self.now = person

    def enter(self, name: str, secret: str) -> str | None:
        return None

    def person(self, cookie: str) -> Person | None:
        return self.now if cookie == "c" else None

    def leave(self, cookie: str) -> None:
        self.now = None


def application(person: Person | None, trail: Trail | None = None, board: MemoryBoard | None = None
                ) -> tuple[FastAPI, Seat]:
    seat, board = Seat(person), board or MemoryBoard(fire())
    return create_app(board, clock=FixedClock(), sign_in=seat, work=board, trail=trail), seat


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test",
                             cookies={"tocsin_session": "c"})


async def test_a_route_without_a_line_is_closed_to_everybody() -> None:
    trail = Trail()
    app, _ = application(Person("root", "admin"), trail)

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    async with client(app) as http:
        answer = await http.get("/forgotten")
    assert answer.status_code == 403 and "secret" not in answer.text
    assert ("root", "refused", "the route declares no right", "") in trail.lines
    assert "GET /forgotten" in dict(routes_of(app.routes)) and "GET /forgotten" not in ROUTES


@pytest.mark.parametrize(("headers", "status"), [
    ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://test"}, 409),
    ({"Sec-Fetch-Site": "same-origin"}, 409), ({}, 409),
])
async def test_writes_of_foreign_pages_are_refused_and_noted(headers: dict[str, str], status: int) -> None:
    trail = Trail()
    app, _ = application(Person("li", "brigade"), trail)
    body = '{"action": "note", "request": "12345678"}'
    async with client(app) as http:
        answer = await http.post("/api/incidents/none/actions", content=body,
                                 headers={"X-Tocsin": "board", **headers})
    assert answer.status_code == status
    assert (("", "refused", "sent by a foreign page", "") in trail.lines) == (status == 403)


@pytest.mark.parametrize("part", ["..", "a..b", "%2e%2e", "..%5c..", "a%00b", "a%0d%0aSet-Cookie:x"])
async def test_paths_that_climb_are_no_such_thing(part: str) -> None:
    trail = Trail()
    app, _ = application(Person("li", "brigade"), trail)
    async with client(app) as http:
        request = httpx.Request("GET", "http://test/x", headers={"Cookie": "tocsin_session=c"})
        request.url = httpx.URL("http://test").copy_with(raw_path=f"/api/incidents/{part}".encode())
        answer = await http.send(request)
    assert answer.status_code in (403, 404) and "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(("role", "action", "status"), [
    ("auditor", "acknowledge", 403), ("officer", "dispatch", 403), ("contractor", "close", 403),
    ("tester", "acknowledge", 403), ("resident", "note", 403), ("brigade", "acknowledge", 200),
])
async def test_a_click_needs_its_own_deed(role: str, action: str, status: int) -> None:
    trail = Trail()
    app, _ = application(Person("li", role), trail)
    body = f'{{"action": "{action}", "request": "12345678", "why": "because"}}'
    async with client(app) as http:
        answer = await http.post("/api/incidents/i-1/actions", content=body, headers={"X-Tocsin": "board"})
    assert answer.status_code == status
    assert status != 200 or trail.lines[-1] == (
        "li", "POST /api/incidents/{incident}/actions", f"{action}: because", "200")


async def test_another_site_is_refused_by_its_address() -> None:
    app, _ = application(Person("li", "property", "hangzhou/yu"))
    async with client(app) as http:
        answer = await http.post(f"/api/sites/{SITE}/silences", headers={"X-Tocsin": "board"},
                                 content='{"name": "n", "request": "12345678", "why": "w"}')
    assert answer.status_code == 403


class Beats(MemoryBoard):
    """Beats; at the third beat the reader's scope shrinks."""

    def __init__(self) -> None:
        super().__init__(fire())
        self.seat: Seat | None = None

    async def events(self, scope: str, after: int) -> AsyncIterator[BoardEvent]:
        for number in range(1, 50):
            if number == 3 and self.seat is not None:
                self.seat.now = Person("li", "brigade", "hangzhou/yuhang")
            yield BoardEvent(number, "incident", b"{}")


async def test_a_stream_ends_when_a_right_changes() -> None:
    board = Beats()
    app, board.seat = application(Person("li", "brigade"), board=board)
    async with client(app) as http:
        answer = await http.get("/api/board/events")
    assert answer.text.count("event: incident") == 2


async def test_a_one_time_secret_opens_nothing_but_the_own_account() -> None:
    app, _ = application(Person("li", "admin", must_change=True))
    async with client(app) as http:
        page, call = await http.get("/board"), await http.get("/api/board")
    assert page.status_code == 303 and page.headers["location"] == "/account" and call.status_code == 403


async def test_who_may_not_sees_a_page_that_says_so() -> None:
    app, _ = application(Person("li", "resident"))
    async with client(app) as http:
        answer = await http.get("/board", headers={"Accept-Language": "en"})
    assert answer.status_code == 403 and "not open to you" in answer.text


def test_what_is_open_is_little() -> None:
    assert {"/static"} == OPEN_MOUNTS
    assert not [route for route, rule in ROUTES.items() if isinstance(rule, Open) and route.startswith("GET /api/")
                and rule is not Open.PUBLIC]
    assert ROLES
