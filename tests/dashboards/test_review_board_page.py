"""The connection state never lies: a snapshot from the store proves nothing of the workers behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from memory_board import fire
from playwright.sync_api import expect

from device_model.read_models import BoardEvent

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]


def test_a_page_that_gets_a_snapshot_but_no_heartbeat_is_never_called_live(browser, served) -> None:
    beating = served.board.events
    dead = [True]

    async def events(scope: str, after: int) -> AsyncIterator[BoardEvent]:
        """What the board's service gives while no worker is heard: lists from the store, no heartbeat."""
        yield BoardEvent(after, "impairments", b"[]")
        while dead:
            await asyncio.sleep(0.05)
        async for event in beating(scope, after):
            yield event

    served.board.events = events
    page = browser.new_context(locale="en-GB").new_page()
    page.add_init_script("""new MutationObserver(() => {
        const link = document.getElementById('link');
        if (link && link.classList.contains('live')) window.saidLive = true;
    }).observe(document, {subtree: true, childList: true, attributes: true, characterData: true});""")
    page.goto(f"{served.url}/board")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#link")).to_contain_text("STALE")
    expect(page.locator("#banner")).to_be_visible()
    assert page.evaluate("window.saidLive") is None
    dead.clear()
    expect(page.locator("#link")).to_have_text("Live")
    page.close()


def test_a_server_that_counts_anew_hides_no_incident(browser, served) -> None:
    """Its numbers begin again below those of the page: the page asks for all anew, and nothing is left out."""
    beating, board = served.board.events, served.board
    board.revision = 500
    again = asyncio.Event()

    async def events(scope: str, after: int) -> AsyncIterator[BoardEvent]:
        if after == 500:  # the page's first stream: the store is put back beneath it, with an incident more
            yield BoardEvent(500, "heartbeat", b"{}")
            while board.revision == 500:
                await asyncio.sleep(0.05)
            yield BoardEvent(board.revision, "fresh", b'{"id": "i-2"}')
            await again.wait()
        async for event in beating(scope, after):
            yield event

    board.events = events
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(f"{served.url}/board")
    expect(page.locator("#link")).to_have_text("Live")
    board.incidents["i-2"] = fire("i-2")
    board.revision = 3
    expect(page.locator(".card")).to_have_count(2)
