"""A real server and a real browser for tests of pages."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parent))

from memory_board import FixedClock, MemoryBoard, fire

from dashboards.people import Person, SignIn
from dashboards.server import create_app

CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]


class Served:
    """A board served on loopback."""

    def __init__(self, sign_in: SignIn | None = None) -> None:
        self.board = MemoryBoard(fire())
        app = create_app(self.board, clock=FixedClock(), sign_in=sign_in, work=self.board)
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        ready = threading.Event()
        while not self._server.started:
            ready.wait(0.02)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(5)


class OneOfficer:
    """A sign-in that knows one person."""

    def enter(self, name: str, secret: str) -> str | None:
        return "cookie" if secret == "right" else None

    def person(self, cookie: str) -> Person | None:
        return Person("Chen Jing", "brigade", "") if cookie == "cookie" else None

    def leave(self, cookie: str) -> None:
        pass


@pytest.fixture
def signed_served() -> Iterator[Served]:
    board = Served(OneOfficer())
    yield board
    board.stop()


@pytest.fixture
def served() -> Iterator[Served]:
    board = Served()
    yield board
    board.stop()


@pytest.fixture(scope="module")  # its event loop must be gone before asyncio tests of other modules run
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
