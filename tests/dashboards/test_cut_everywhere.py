"""No page lies when its stream is cut: each live page of the application, found and not listed, says at once that it
is stale, greys itself and shows since when. The browser's clock is moved on, so that nobody waits."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from test_network_cut import Cable
from visits import PATIENCE_MS, SCOPE, Served, Visit

pytestmark = [pytest.mark.real, pytest.mark.timeout(280)]
LATER_MS = 6000  # longer than any page may stay silent before it says so
LIVE_LEAST = 10  # pages with a stream or a steady look; fewer: this test has lost them


def test_every_live_page_says_that_it_is_cut(browser) -> None:
    with tempfile.TemporaryDirectory(prefix="tocsin-cut-") as folder:
        house = Served(Path(folder))
        cable = Cable(urlsplit(house.url).port or 0)
        visit = Visit(browser, f"http://127.0.0.1:{cable.port}", house.real.cookies["admin", SCOPE], "en", 1200)
        seen = []
        try:
            visit.page.clock.install()
            for path in house.pages():
                visit.open(path)
                link = visit.page.locator("#link")
                if not link.count() or re.match("as of", link.inner_text()):
                    continue  # no live data, or a page that names the moment that it shows
                cable.pull()
                try:
                    visit.page.clock.fast_forward(LATER_MS)
                    expect(link).to_have_class("link stale", timeout=PATIENCE_MS)
                    expect(visit.page.locator("body")).to_have_class(re.compile("stale-page"))
                    expect(visit.page.locator("#banner")).to_contain_text(re.compile(r"\d+:\d+"))
                finally:
                    cable.plug()
                seen.append(path)
        finally:
            visit.close()
            cable.close()
            house.stop()
        assert len(seen) >= LIVE_LEAST, seen
