"""The simulator's page on a phone's width by keyboard alone: everything is reached with Tab and worked with keys."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.trial.served_bench import Served
from tests.trial.test_profile_page_real import RULES

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]
WITHIN_MS = 60_000
TABS_MAX = 250  # more than the page has stops


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    it = Served(tmp_path_factory.mktemp("bench"))
    yield it
    it.stop()


@pytest.fixture()
def page(browser, served: Served) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB", viewport={"width": 360, "height": 740})
    it = context.new_page()
    it.set_default_timeout(WITHIN_MS)
    expect.set_options(timeout=WITHIN_MS)
    problems: list[str] = []
    it.on("pageerror", lambda error: problems.append(str(error)))
    it.goto(served.url)
    expect(it.locator("#link")).to_have_class("link live")
    yield it
    assert problems == []
    context.close()


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until that is focused, seen, and marked as focused."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """(wanted) => { const it = document.activeElement; if (!it.matches(wanted)) return "";
               const box = it.getBoundingClientRect(), marked = getComputedStyle(it).outlineStyle !== "none";
               return marked && box.width > 0 && box.left >= -1 ? "yes" : `hidden ${JSON.stringify(box)}`; }""",
            selector)
        if found:
            assert found == "yes", f"{selector}: {found}"
            return
    raise AssertionError(f"{selector} is not reached by Tab")


def chosen(page: Page, device: str) -> None:
    tab_to(page, f"[data-pick={device}]")
    page.keyboard.press("Enter")
    expect(page.locator("#h-device")).to_contain_text(device)


def test_registers_are_read_and_set(page: Page) -> None:
    chosen(page, "co")
    expect(page.locator("#h-device")).to_be_focused()  # led to the device, which stands below the list
    tab_to(page, "[data-point=gas] input")
    page.keyboard.type("120")
    page.keyboard.press("Enter")
    expect(page.locator("[data-point=gas] .number")).to_have_text("120 ppm")
    expect(page.locator("[data-point=gas] .hex")).not_to_have_text("0000")
    tab_to(page, "[role=region][aria-labelledby=h-frames]")
    page.keyboard.press("ArrowDown")
    tab_to(page, ".links a")  # round the page to the link into the editor, or to a trace
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_buttons_frames_and_their_pause(page: Page) -> None:
    chosen(page, "duct")
    tab_to(page, "[data-act=alarm]")
    page.keyboard.press("Space")
    expect(page.locator("[data-point=smoke] .hex")).to_have_text("0001")
    tab_to(page, "#pause")
    page.keyboard.press("Enter")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    page.locator("[data-act=alarm]").focus()
    page.keyboard.press("Space")
    tab_to(page, "[data-press=reset]")
    page.keyboard.press("Enter")
    expect(page.locator("[data-point=smoke] .hex")).to_have_text("0000")


def turned(page: Page, served: Served, people: float) -> None:
    until = time.monotonic() + WITHIN_MS / 1000
    while served.bench.controls.world.surroundings.read("kitchen.people") != people and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert served.bench.controls.world.surroundings.read("kitchen.people") == people


def test_sliders_of_the_world(page: Page, served: Served) -> None:
    tab_to(page, "[data-knob='kitchen.people'] input[type=range]")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    number = page.locator("[data-knob='kitchen.people'] input[type=number]")
    knob = next(it for it in served.bench.controls.knobs() if it.name == "kitchen.people")
    expect(number).to_have_value(f"{4 * knob.high / 1000:g}")  # arrows move by what can be seen
    turned(page, served, 4 * knob.high / 1000)
    tab_to(page, "[data-knob='kitchen.people'] input[type=number]")
    number.fill("7")
    page.keyboard.press("Tab")
    expect(number).to_have_value("7")
    turned(page, served, 7.0)
    tab_to(page, "#world + details summary")
    page.keyboard.press("Enter")
    expect(page.locator("#readings dt").first).to_be_visible()


def test_a_fault_begins_and_ends(page: Page) -> None:
    tab_to(page, "#fault-kind")
    page.keyboard.type("silent")
    expect(page.locator("#fault-kind")).to_have_value("silent")
    tab_to(page, "#fault-target")
    page.keyboard.type("duct")
    tab_to(page, "#fault-for")
    page.keyboard.press("Control+a")
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    expect(page.locator("[data-fault]")).to_contain_text("silent on duct")
    tab_to(page, "[data-fault] button")
    page.keyboard.press("Enter")
    expect(page.locator("#faults")).to_contain_text("No fault lasts")


def test_a_scenario_to_its_verdict_and_its_report(page: Page) -> None:
    tab_to(page, "#run-name")
    page.keyboard.type("silent-detector")
    expect(page.locator("#run-name")).to_have_value("silent-detector")
    tab_to(page, "#run button")
    page.keyboard.press("Enter")
    run = page.locator("#runs > li").first
    expect(run.locator(".state")).to_have_text("PASS")
    with page.expect_popup() as popup:
        tab_to(page, "#runs a")
        page.keyboard.press("Enter")
    expect(popup.value.locator("h1")).to_be_visible()


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_axe_finds_nothing(browser, served: Served, locale: str) -> None:
    it = browser.new_context(locale=locale, viewport={"width": 360, "height": 740}).new_page()
    it.goto(served.url)
    it.locator("[data-pick=duct]").click()
    expect(it.locator("#points tr").first).to_be_visible(timeout=WITHIN_MS)
    found = Axe().run(it, options=RULES).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in found] == []
