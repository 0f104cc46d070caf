"""The page's door against those who push: bodies without a size, odd numbers, sessions that are over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from memory_board import FixedClock, MemoryBoard, fire

from dashboards.people import Person
from dashboards.server import BODY_BYTES_MAX, create_app
from device_model.read_models import BoardEvent


class Session:
    """A SignIn whose one session may end."""

    def __init__(self) -> None:
        self.over = False

    def enter(self, name: str, secret: str) -> str | None:
        return None

    def person(self, cookie: str) -> Person | None:
        return Person("li", "brigade") if cookie == "c" and not self.over else None

    def leave(self, cookie: str) -> None:
        self.over = True


class Beats(MemoryBoard):
    """A board whose stream beats; signs out at the second beat."""

    def __init__(self, session: Session) -> None:
        super().__init__(fire())
        self.session, self.sent = session, 0

    async def events(self, scope: str, after: int) -> AsyncIterator[BoardEvent]:
        self.after = after
        for self.sent in range(1, 100):
            if self.sent == 3:
                self.session.leave("c")
            yield BoardEvent(self.sent, "heartbeat", b"{}")


def client(board: MemoryBoard, session: Session | None) -> httpx.AsyncClient:
    app = create_app(board, clock=FixedClock(), sign_in=session)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test",
                             cookies={"tocsin_session": "c"})


@pytest.mark.parametrize("path", ["/sign-in", "/api/incidents/i-1/actions"])
async def test_a_body_in_chunks_is_bounded_as_well(path: str) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"x" * 4096

    async with client(MemoryBoard(fire()), Session()) as http:
        answer = await http.post(path, content=chunks(), headers={"X-Tocsin": "board"})
    assert answer.status_code == 413


@pytest.mark.parametrize("number", ["²", "9" * 5000, "-1", "1e9", "٣", ""])
async def test_odd_numbers_are_no_fault_of_the_server(number: str) -> None:
    session = Session()
    board = Beats(session)
    async with client(board, session) as http:
        answer = await http.get("/api/board/events", params={"after": number})
        assert answer.status_code == 200 and board.after == 0
        answer = await http.post("/sign-in", headers={"Content-Length": number.encode("latin-1", "replace")})
        assert answer.status_code in (403, 413)


async def test_a_stream_ends_with_its_session() -> None:
    session = Session()
    board = Beats(session)
    async with client(board, session) as http:
        answer = await http.get("/api/board/events")
    assert answer.text.count("event: heartbeat") == 2 and board.sent == 3


class Silent(MemoryBoard):
    """A board whose workers are dead: one beat, then nothing ever."""

    async def events(self, scope: str, after: int) -> AsyncIterator[BoardEvent]:
        yield BoardEvent(1, "heartbeat", b"{}")
        self.waits = asyncio.Event()
        await self.waits.wait()


async def test_a_stream_with_nothing_to_send_ends_with_its_session_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboards.guard.LOOK_EVERY_S", 0.01)
    session, board = Session(), Silent(fire())
    async with client(board, session) as http:
        asking = asyncio.create_task(http.get("/api/board/events"))
        while not hasattr(board, "waits"):
            await asyncio.sleep(0)
        assert not asking.done()
        session.leave("c")
        async with asyncio.timeout(60):  # a hang only
            answer = await asking
        assert answer.status_code == 200 and answer.text.count("event: heartbeat") == 1
        assert (await http.get("/api/board")).status_code == 401


async def test_who_hangs_up_ends_the_stream_as_ever() -> None:
    board = Silent(fire())
    async with client(board, Session()) as http:
        asking = asyncio.create_task(http.get("/api/board/events"))
        while not hasattr(board, "waits"):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


def test_the_bound_is_small() -> None:
    assert BODY_BYTES_MAX <= 64 * 1024
