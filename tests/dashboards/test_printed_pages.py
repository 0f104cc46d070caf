"""Pages as Chromium prints them on A4: their words are there, their controls and a dark screen are not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from estate_house import EstateHouse
from officer_house import LAKESIDE, OfficerHouse
from playwright.sync_api import expect

from device_model.alarm import Hazard, Severity

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler-utils")]
KEEP = os.environ.get("TOCSIN_PRINTED", "")
PAGES = {
    "overview": ("/overview", "Overview", "总览"), "hot-work": ("/hot-work", "Hot work now", "当前动火"),
    "permits": ("/permits", "HW-20260303-01", "HW-20260303-01"), "reports": ("/reports", "Report", "报告"),
    "packs": ("/packs", "Rule packs", "规则包"), "environment": ("/environment", "Environment", "环境"),
    "public": ("/public", "Environment", "环境"),
}


@pytest.fixture(scope="module")
def house() -> Iterator[OfficerHouse]:
    house = OfficerHouse().start()
    house.beat()
    house.beat(LAKESIDE, lost=2)
    house.working()
    house.read("camera.hot_work", 0.87)
    house.read("gas.gas", 3.2)
    house.alarm("hot_work.outside_place", "camera-store.hot_work", Hazard.HOT_WORK)
    smoke = next(point for point in house.inventories[LAKESIDE].points if "smoke" in point)
    house.alarm("fire.smoke", smoke, Hazard.FIRE, LAKESIDE, ago_s=60, severity=Severity.CRITICAL)
    house.tick()
    yield house
    house.stop()


def printed(browser, url: str, language: str, folder: Path, name: str, word: str,
            ) -> tuple[str, list[str]]:
    """The words of the page as Chromium prints it from a dark screen, and the controls that would be on the paper."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="dark",
                                  locale={"zh": "zh-CN", "en": "en-GB"}[language])
    page = context.new_page()
    base = "/".join(url.split("/")[:3])
    page.goto(f"{base}/language/{language}")
    page.goto(url)
    # What the page says is loaded later than the page: its first whole snapshot, where it has a stream.
    expect(page.locator("body")).to_contain_text(word)
    expect(page.locator("#link")).to_have_class("link live")
    expect(page.locator("main")).not_to_contain_text({"zh": "正在加载", "en": "Loading…"}[language])
    expect(page.locator("main .loading:visible, main [aria-busy=true]:visible")).to_have_count(0)
    page.emulate_media(media="print", color_scheme="dark")
    controls = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select, textarea, nav a')]"
        ".filter(one => one.checkVisibility({visibilityProperty: true}) && one.getClientRects().length)"
        # What was chosen is part of what is printed: as words, without the look of a control.
        ".filter(one => one.tagName !== 'SELECT' || getComputedStyle(one).appearance !== 'none')"
        ".map(one => one.outerHTML.slice(0, 120))")
    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert dark in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"), dark
    file = (Path(KEEP) if KEEP else folder) / f"{name}-{language}.pdf"
    page.pdf(path=str(file), format="A4", print_background=True, margin=dict.fromkeys(
        ("top", "bottom", "left", "right"), "12mm"))
    context.close()
    words = subprocess.run(["pdftotext", "-layout", str(file), "-"], capture_output=True, check=True).stdout
    return words.decode(), controls


@pytest.mark.parametrize(("name", "language"), [
    *((name, "zh") for name in PAGES), *(pytest.param(name, "en", marks=pytest.mark.soak) for name in PAGES)])
def test_an_officers_page_on_paper(house: OfficerHouse, browser, tmp_path: Path, name: str, language: str) -> None:
    path, english, chinese = PAGES[name]
    word = {"en": english, "zh": chinese}[language]
    words, controls = printed(browser, house.url + path, language, tmp_path, name, word)
    assert word in words
    assert controls == []


@pytest.mark.parametrize("language", ["zh"])
def test_my_sites_on_paper(browser, tmp_path: Path, language: str) -> None:
    word = {"en": "Maintenance", "zh": "维护"}[language]
    house = EstateHouse(tmp_path)
    house.quiet()
    house.start()
    try:
        words, controls = printed(browser, f"{house.url}/my-sites", language, tmp_path, "my-sites", word)
    finally:
        house.stop()
    assert word in words
    assert controls == []
