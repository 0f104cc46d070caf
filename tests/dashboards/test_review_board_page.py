"""The connection state never lies: a snapshot from the store proves nothing of the workers behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
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
