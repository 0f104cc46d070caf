"""Many tabs of one browser: one stream of the server feeds them all, so that none starves for connections; whichever
tab closes or stands still, the others stay live; people do not share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import expect
from real_app import RIVERSIDE, made
from visits import SCOPE, Served

from community_os.store_changes import IncidentRow, SiteCommit
from device_model.read_models import IncidentView

pytestmark = [pytest.mark.real, pytest.mark.timeout(400), pytest.mark.xdist_group("browser")]
TABS = 8  # more than the six connections that a browser has for a host over HTTP/1.1


@pytest.fixture(scope="module")
def house() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tocsin-tabs-") as folder:
        served = Served(Path(folder))
        yield served
        served.stop()


@pytest.fixture
def context(browser, house: Served) -> Iterator[Any]:
    one = browser.new_context(locale="en-GB", service_workers="block")
    seat(one, house, "brigade")
    yield one
    one.close()


def seat(context: Any, house: Served, role: str) -> None:
    context.add_cookies([{"name": "tocsin_session", "value": house.real.cookies[role, SCOPE], "url": house.url},
                         {"name": "tocsin_language", "value": "en", "url": house.url}])


def opened(context: Any, house: Served, path: str = "/board") -> Any:
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(house.url + path)
    expect(page.locator("#link")).to_have_class("link live")
    return page


def streams(house: Served, page: Any, count: int) -> None:
    """Wait until the server has so many open streams of the board; one that was closed ends with its next piece."""
    for _ in range(600):
        if len(house.real.board._pages) == count:
            return
        page.wait_for_timeout(100)
    assert len(house.real.board._pages) == count


def fresh(house: Served, name: str, number: int) -> None:
    view = msgspec.structs.replace(made(IncidentView, RIVERSIDE, name), acknowledged_by="", acknowledged_us=0,
                                   closed_us=0)
    house.real.store.apply([SiteCommit(RIVERSIDE.path, number, (IncidentRow(view),), tick=True)])


def test_eight_tabs_are_live_and_hear_everything_over_one_stream(context, house: Served) -> None:
    tabs = [opened(context, house) for _ in range(TABS)]
    streams(house, tabs[0], 1)
    fresh(house, "for-all-1", 800)
    for tab in tabs:
        expect(tab.locator('[data-incident="for-all-1"]')).to_have_count(1)
    # The one that leads goes; the next takes over where it was.
    tabs.pop(0).close()
    fresh(house, "for-all-2", 801)
    for tab in tabs:
        expect(tab.locator('[data-incident="for-all-2"]')).to_have_count(1)
        expect(tab.locator("#link")).to_have_class("link live")
    # A tab that comes late knows what happened in between, and a click has a connection.
    late = opened(context, house)
    expect(late.locator('[data-incident="for-all-2"]')).to_have_count(1)
    assert late.evaluate("async () => (await fetch('/api/board')).status") == 200
    streams(house, late, 1)


def test_a_tab_that_stands_still_holds_up_no_other(context, house: Served) -> None:
    leads, other = opened(context, house), opened(context, house)
    streams(house, other, 1)
    # A dialog that waits, as that of printing: the tab's scripts stand, and its lock stays.
    waiting: list[Any] = []

    def answered_at_the_end(dialog: Any) -> None:
        waiting.append(dialog)

    leads.on("dialog", answered_at_the_end)
    leads.evaluate("() => { setTimeout(() => alert('waits'), 0); }")
    streams(house, other, 2)
    assert waiting, "it has its own while the first waits"
    expect(other.locator("#link")).to_have_class("link live")
    fresh(house, "for-one", 802)
    expect(other.locator('[data-incident="for-one"]')).to_have_count(1)
    waiting[0].dismiss()
    streams(house, other, 1)  # whoever leads is heard again: one stream is enough
    expect(leads.locator('[data-incident="for-one"]')).to_have_count(1)


def test_the_officers_view_is_shared_and_whole_at_once(context, house: Served) -> None:
    seat(context, house, "officer")
    first, second = opened(context, house, "/overview"), opened(context, house, "/overview")
    expect(second.locator("#view")).not_to_be_empty()
    assert first.locator("#view").inner_text() != ""


def test_people_do_not_share(context, house: Served) -> None:
    one = opened(context, house)
    seat(context, house, "desk")
    other = opened(context, house)
    assert one.evaluate("document.documentElement.dataset.seat") != other.evaluate(
        "document.documentElement.dataset.seat")
    expect(other.locator("#link")).to_have_class("link live")


def test_without_locks_every_tab_has_its_own(browser, house: Served) -> None:
    context = browser.new_context(locale="en-GB", service_workers="block")
    try:
        seat(context, house, "brigade")
        context.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
        tabs = [opened(context, house) for _ in range(2)]
        streams(house, tabs[0], 2)
    finally:
        context.close()
