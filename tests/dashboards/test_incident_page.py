"""The incident as the brigade sees it, in a real browser on the real worker, store and place books."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from brigade_house import LAKESIDE, RIVERSIDE, BrigadeHouse
from playwright.sync_api import Page, expect

from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import ImpairmentRecord

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def house() -> Iterator[BrigadeHouse]:
    one = BrigadeHouse().start()
    one.quiet(but=("tank-b1",), postponed=850)
    one.quiet(LAKESIDE)
    one.fire = one.alarm("smoke-301-bed.smoke", ago_s=75)
    one.other = one.alarm("smoke-102.smoke", path=LAKESIDE, ago_s=20)
    lack = Impairment(ImpairmentKind.SILENT, "tank-b1", one.now_us() - 600_000_000, "b3-plant")
    one.up(ImpairmentRecord(ImpairmentChange(lack)))
    yield one
    one.stop()


@pytest.fixture
def page(browser, house) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1400, "height": 900})
    one = context.new_page()
    one.problems = []
    one.on("pageerror", lambda error: one.problems.append(str(error)))
    yield one
    assert one.problems == []
    context.close()


def opened(page: Page, house: BrigadeHouse, who: str = "Officer Li") -> Page:
    page.goto(f"{house.url}/incidents/{house.fire}")
    expect(page.locator("#link")).to_have_class("link live")
    expect(page.locator("#incident h1")).to_contain_text("Fire — Flat 301")
    page.locator("#you").fill(who)
    return page


def test_the_device_is_lit_and_its_neighbours_say_value_age_and_quality(page, house) -> None:
    opened(page, house)
    lit = page.locator(".device.alarm")
    expect(lit).to_have_count(1)
    expect(lit).to_have_attribute("data-device", "smoke-301-bed")
    house.read("temp-301-bed.temperature", 63.2)
    page.wait_for_timeout(1100)
    house.tick()
    expect(page.locator('[data-device="temp-301-bed"]')).to_have_attribute("aria-label", re.compile("63.2 °C"))
    expect(page.locator(".values")).to_contain_text("63.2 °C")
    expect(page.locator("#incident .estate .area.lit")).to_have_count(1)
    expect(page.locator("#incident")).to_contain_text("South gate")
    # The tank was never heard: said, not drawn as a number.
    expect(page.locator("section[aria-labelledby=s-water]")).to_contain_text("Roof tank of building 3")
    expect(page.locator("section[aria-labelledby=s-water] .warn")).to_contain_text("not heard yet")
    expect(page.locator("section[aria-labelledby=s-impaired]")).to_contain_text("silent")
    expect(page.locator("section[aria-labelledby=s-told]")).to_contain_text("dispatch-system")


REACHED = {
    "plan": ".plan", "water": "section[aria-labelledby=s-water] li",
    "contacts": "section[aria-labelledby=s-contacts] li",
    "permit": "section[aria-labelledby=s-permit] .empty", "evidence": "section[aria-labelledby=s-evidence] .empty"}


@pytest.mark.parametrize("start", ["board", "page"])
@pytest.mark.parametrize("what", sorted(REACHED))
def test_plan_hydrant_contact_permit_clip_are_at_most_two_actions_away(page, house, start: str, what: str) -> None:
    actions = 0

    def press(selector: str) -> None:
        nonlocal actions
        actions += 1
        page.locator(selector).first.click()

    if start == "board":
        page.goto(f"{house.url}/board")
        press(f'[data-incident="{house.fire}"]')
    else:
        page.goto(f"{house.url}/incidents/{house.fire}")
    expect(page.locator("[data-jump=plan]")).to_be_visible()
    press(f"[data-jump={what}]")
    expect(page.locator(REACHED[what]).first).to_be_in_viewport()
    assert actions <= 2


def test_a_call_is_written_down_a_step_is_ticked_a_task_is_given_and_all_stand_in_the_timeline(page, house) -> None:
    opened(page, house)
    page.locator('[data-key="call-Chen Jing"]').click()
    page.locator("#reason-outcome").select_option("will_call_back")
    page.locator("#reason-text").fill("brings the key")
    page.locator("#reason button.primary").click()
    calls = page.locator("section[aria-labelledby=s-contacts]")
    expect(calls).to_contain_text("Officer Li → Chen Jing: will call back")
    page.get_by_label("Meet the engine at the south gate").check()
    expect(page.locator("section[aria-labelledby=s-steps]")).to_contain_text("Officer Li, ")
    page.locator("[data-action=do_task]").click()
    page.locator("#reason input").first.fill("Open the barrier")
    page.locator("#reason-person").fill("Wang")
    page.locator("#reason button.primary").click()
    expect(page.locator("section[aria-labelledby=s-steps]")).to_contain_text("Open the barrier — Wang")
    timeline = page.locator("section[aria-labelledby=s-timeline]")
    for words in ("call", "step done", "task"):
        expect(timeline).to_contain_text(words)


def test_the_whole_life_by_its_verbs_and_law_3_refuses_a_false_alarm_that_still_burns(page, house) -> None:
    opened(page, house)
    page.locator("[data-action=acknowledge]").click()
    expect(page.locator("#incident")).to_contain_text("Acknowledged by Officer Li")
    page.locator("[data-action=do_verify]").click()
    page.locator("#reason-by").select_option("person")
    page.locator("#reason-detail").fill("the neighbour sees smoke")
    page.locator("#reason button.primary").click()
    expect(page.locator("#incident header")).to_contain_text("Verified")
    expect(page.locator("#incident header")).to_contain_text("Dispatch queue")
    page.locator("[data-action=false_alarm]").click()
    page.locator("#reason-cause").select_option("cooking")
    page.locator("#reason-text").fill("a pan")
    page.locator("#reason button.primary").click()
    expect(page.locator(".outcome")).to_contain_text("Refused")
    page.locator("[data-action=dispatch]").click()
    expect(page.locator("#incident header")).to_contain_text("Dispatched")
    page.locator("[data-action=on_scene]").click()
    expect(page.locator("#incident header")).to_contain_text("On scene")
    page.locator("[data-action=resolve]").click()
    expect(page.locator("#incident header")).to_contain_text("Resolved")


def test_two_incidents_of_a_site_are_merged_by_hand(page, house) -> None:
    second = house.alarm("smoke-402-bed.smoke", ago_s=5)
    page.goto(f"{house.url}/incidents/{second}")
    expect(page.locator("#link")).to_have_class("link live")
    page.locator("#you").fill("Li")
    page.locator("[data-action=do_merge]").click()
    page.locator("#reason-text").fill("one smoke, two flats")
    page.locator("#reason button.primary").click()
    expect(page.locator("#incident header")).to_contain_text("Closed")
    assert house.workers[RIVERSIDE].incident_of("fire.smoke|smoke-402-bed.smoke") == house.fire


def test_it_says_that_it_is_stale_and_an_unknown_incident_is_said(page, house) -> None:
    opened(page, house)
    house.board.cut = True
    expect(page.locator("#link")).to_contain_text("STALE")
    house.board.cut = False
    expect(page.locator("#link")).to_have_text("Live")
    page.goto(f"{house.url}/incidents/nothing-here")
    expect(page.locator("#incident")).to_contain_text("There is no such incident")


def test_a_phone_of_360_pixels_shows_it_all(browser, house) -> None:
    page = browser.new_context(locale="zh-CN", viewport={"width": 360, "height": 740}).new_page()
    page.goto(f"{house.url}/incidents/{house.fire}")
    expect(page.locator("#incident h1")).to_contain_text("火警")
    expect(page.locator(".plan")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
