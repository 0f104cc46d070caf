"""The property manager's and the resident's day in Chromium: by keyboard, in both languages, with axe, with a cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from device_model.alarm import Hazard
from tests.dashboards.brigade_house import RIVERSIDE
from tests.dashboards.estate_house import EstateHouse
from tests.dashboards.test_estate_pages import SCENE, Door, ask

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
         "resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EstateHouse]:
    made = EstateHouse(tmp_path_factory.mktemp("estate"), Door())
    made.quiet()
    for name, point in made.inventories[RIVERSIDE].points.items():
        if point.quantity in ("energy", "volume"):
            made.count(name, point.quantity, point.unit)
    made.alarm(next(iter(made.inventories[RIVERSIDE].points)))
    made.start()
    yield made
    made.stop()


def opened(house: EstateHouse, browser: Any, who: str, page: str, language: str = "en", width: int = 360) -> Any:
    context = browser.new_context(viewport={"width": width, "height": 800})
    context.add_cookies([{"name": name, "value": value, "url": house.url}
                         for name, value in (("tocsin_session", who), ("tocsin_language", language))])
    shown = context.new_page()
    shown.errors = []
    shown.on("pageerror", lambda error: shown.errors.append(str(error)))
    shown.goto(house.url + page)
    return shown


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(("who", "page", "ready"), [
    ("manager", "/my-sites", ".site"), ("resident", "/building", ".near")])
def test_nobody_is_shut_out(house: EstateHouse, browser: Any, who: str, page: str, ready: str, language: str) -> None:
    shown = opened(house, browser, who, page, language)
    shown.wait_for_selector(ready)
    if who == "manager":
        shown.click("button[data-key^=usage-]")
        shown.wait_for_selector(".meter svg")
    for theme in ("light", "dark"):
        shown.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        found = Axe().run(shown, options=RULES).response["violations"]
        assert not found, [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]
    assert shown.evaluate("document.documentElement.scrollWidth") <= 360 and not shown.errors
    shown.context.close()


def test_maintenance_by_keyboard_with_its_law(house: EstateHouse, browser: Any) -> None:
    shown = opened(house, browser, "manager", "/my-sites", width=1000)
    shown.wait_for_selector(".site")
    shown.focus("button[data-key^=maintain-]")
    shown.keyboard.press("Enter")
    shown.wait_for_selector("dialog[open]")
    shown.locator("dialog input[type=checkbox]").nth(2).focus()
    shown.keyboard.press("Space")
    shown.fill("#reason-measure", "a guard walks every hour")
    shown.fill("#reason-why", "painting")
    shown.locator("dialog button.primary").focus()
    shown.keyboard.press("Enter")
    shown.wait_for_selector("#outcome.ok")
    shown.wait_for_selector("text=asked of the gateway")
    house.gateway_answers()
    shown.wait_for_selector(".need.impairment >> text=a guard walks every hour", timeout=60_000)
    expect(shown.locator(".need.impairment .clock").first).to_have_text(re.compile(r"\S"))  # drawn once a second
    shown.context.close()


def test_who_was_told_is_one_click_away(house: EstateHouse, browser: Any) -> None:
    shown = opened(house, browser, "manager", "/my-sites")
    shown.wait_for_selector(".need.alarm")
    shown.click(".need.alarm button[data-key^=told-]")
    shown.wait_for_selector(".need.alarm li .tag")
    assert "waiting" in shown.locator(".need.alarm ul").first.inner_text()
    shown.context.close()


def test_a_resident_reports_with_a_picture(house: EstateHouse, browser: Any, tmp_path: Path) -> None:
    shown = opened(house, browser, "resident", "/building")
    shown.wait_for_selector(".near")
    assert "Leave by the stairs" in shown.locator(".near").first.inner_text()
    (tmp_path / "scene.jpg").write_bytes(SCENE)
    shown.select_option("#hazard", "charging")
    shown.fill("#text", "a bike is charged on the stairs")
    shown.set_input_files("#photo", str(tmp_path / "scene.jpg"))
    shown.click("#report button")
    shown.wait_for_selector("#outcome.ok >> text=Staff have it now")
    board = ask(house, "brigade", "/api/board?whole=1")[1]["board"]
    (incident,) = [one for one in board["incidents"] if one["hazard"] == "charging"]
    assert incident["handling"]["reports"][0]["photo"] and not shown.errors
    shown.context.close()


def test_a_cut_is_said_within_five_seconds_and_ends_by_itself(house: EstateHouse, browser: Any) -> None:
    shown = opened(house, browser, "resident", "/building")
    shown.wait_for_selector("#link.live")
    shown.context.set_offline(True)
    shown.wait_for_selector("#banner:not([hidden])", timeout=60_000)
    assert "119" in shown.locator("#banner").inner_text()
    house.alarm(list(house.inventories[RIVERSIDE].points)[1], Hazard.WATER)
    shown.context.set_offline(False)
    shown.wait_for_selector("#link.live", timeout=60_000)
    shown.wait_for_selector(".near >> text=Water", timeout=60_000)
    assert shown.locator("#banner").is_hidden()
    shown.context.close()


