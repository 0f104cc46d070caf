"""The brigade's board in a real browser: what a watch officer sees and presses."""

from __future__ import annotations

import msgspec
import pytest
from memory_board import T0, fire
from playwright.sync_api import expect

from device_model.handling import Handling, ProofKind, Stage, Task
from device_model.incident_deeds import DoTask
from device_model.read_models import IncidentAction
from device_model.site import Text

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]


def open_board(browser, served, locale: str = "en-GB", width: int = 1400):
    context = browser.new_context(locale=locale, viewport={"width": width, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{served.url}/board")
    expect(page.locator("#link")).to_have_class("link live")
    return page, problems


def test_a_fire_is_shown_with_place_age_and_readings(browser, served) -> None:
    page, problems = open_board(browser, served)
    card = page.locator(".card").first
    expect(card).to_contain_text("Critical")
    expect(card).to_contain_text("Riverside Estate · Building 1 · 3rd floor · Flat 301")
    expect(card).to_contain_text("Unverified")
    expect(card.locator(".age")).to_contain_text("1 min")
    card.click()
    expect(page.locator("#detail")).to_contain_text("Chen Jing")
    expect(page.locator("#detail .plot svg")).to_have_count(1)
    # A missing sample breaks the line: two move commands in the path.
    path = page.locator("#detail .trace").get_attribute("d")
    assert path.count("M") == 2
    expect(page.locator("#impairments")).to_contain_text("silent")
    assert problems == []


def test_acknowledge_with_the_keyboard_only(browser, served) -> None:
    page, _ = open_board(browser, served)
    page.locator("#you").focus()
    page.keyboard.type("Watch Officer Li")
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    page.locator("[data-action=acknowledge]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_contain_text("Acknowledged by Watch Officer Li")
    incident, action, who, _, request = served.board.actions[0]
    assert (incident, action, who) == ("i-1", IncidentAction.ACKNOWLEDGE, "Watch Officer Li")
    assert len(request) >= 8


def test_an_action_needs_a_name_and_a_refusal_is_shown(browser, served) -> None:
    page, _ = open_board(browser, served)
    page.locator(".card").first.click()
    page.locator("[data-action=acknowledge]").click()
    expect(page.locator("#detail .outcome")).to_contain_text("enter your name")
    assert served.board.actions == []
    page.locator("#you").fill("Li")
    page.locator("[data-action=close]").click()
    page.locator("#reason-text").fill("nothing there")
    page.locator("#reason button.primary").click()
    expect(page.locator("#detail .outcome")).to_contain_text("still in alarm")


def test_a_new_fire_appears_by_itself_and_is_announced(browser, served) -> None:
    page, _ = open_board(browser, served)
    served.board.put(msgspec.structs.replace(fire("i-2", T0 - 1_000_000), zone="b1-402"))
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator("#said")).to_contain_text("Fire")


def test_a_cut_is_said_within_five_seconds_and_heals(browser, served) -> None:
    page, _ = open_board(browser, served)
    served.board.cut = True
    expect(page.locator("#link")).to_contain_text("STALE")
    expect(page.locator("#banner")).to_be_visible()
    served.board.cut = False
    expect(page.locator("#link")).to_have_text("Live")
    expect(page.locator("#banner")).to_be_hidden()


def test_chinese_is_complete_on_the_page(browser, served) -> None:
    page, _ = open_board(browser, served, locale="zh-CN")
    expect(page.locator("h1")).to_contain_text("消防接警台")
    page.locator(".card").first.click()
    expect(page.locator("#detail")).to_contain_text("接警")
    expect(page.locator("#detail")).to_contain_text("感烟报警 是")
    page.get_by_role("link", name="Switch to English").click()
    expect(page.locator("h1")).to_contain_text("Brigade board")


def test_it_works_on_a_phone(browser, served) -> None:
    page, _ = open_board(browser, served, width=360)
    page.locator(".card").first.click()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


def test_grade_clock_and_tasks_are_shown_and_a_task_is_done_by_its_person(browser, served) -> None:
    place = Task("t1", Text("Go and look", "到场核实"), "property-duty", T0, T0 + 180_000_000, ProofKind.BOTH)
    task = Task("t2", Text("Open the barrier", "打开道闸"), "Wang", T0, T0 + 180_000_000)
    handling = Handling(Stage.SELF_CHECK, T0, T0 + 900_000_000, plan=Text("Fire in a dwelling", "住宅火灾"),
                        steps=(Text("Call the dwelling", "联系住户"),), tasks=(place, task), told=4, undelivered=1)
    page, problems = open_board(browser, served)
    served.board.put(msgspec.structs.replace(fire(), handling=handling))
    page.locator(".card").first.click()
    detail = page.locator("#detail")
    for words in ("Fire in a dwelling", "the firm's own check", "1 could not be told", "Call the dwelling", "Wang"):
        expect(detail).to_contain_text(words)
    page.locator("#you").fill("Wang")
    page.get_by_role("button", name="Done", exact=True).click()
    page.locator("#reason-text").fill("open")
    page.locator("#reason button.primary").click()
    expect(page.locator("#detail .outcome")).to_contain_text("Done")
    assert served.board.deeds == [("i-1", DoTask("t2", "open"), "Wang")]
    assert problems == []
