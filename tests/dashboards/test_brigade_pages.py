"""Board, desk, register, station and hand-over in a real browser, each by its main path; every page in both languages
by axe; the station's phone loses nothing without a net."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from brigade_house import LAKESIDE, RIVERSIDE, BrigadeHouse
from playwright.sync_api import Page, Route, expect

import dashboards
from community_os.brigade_store import BrigadeStore
from device_model.alarm import Hazard
from device_model.duty import DutyCheck
from device_model.messages import DutyCheckRecord

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("browser")]
PAGES = ("/board", "/board?wall", "/desk", "/register", "/station", "/handover", "/incidents/FIRE")
JPEG = (Path(__file__).parent / "scene.jpg").read_bytes()


@pytest.fixture(scope="module")
def house() -> Iterator[BrigadeHouse]:
    one = BrigadeHouse().start()
    one.quiet(but=("tank-b1",), postponed=850)
    one.quiet(LAKESIDE)
    one.fire = one.alarm("smoke-301-bed.smoke", ago_s=75)
    one.water = one.alarm("leak-b1.leak", Hazard.WATER, ago_s=40)
    yield one
    one.stop()


@pytest.fixture
def page(browser, house) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1400, "height": 900},
                                  geolocation={"latitude": 30.287, "longitude": 119.999}, permissions=["geolocation"])
    one = context.new_page()
    one.problems = []
    one.on("pageerror", lambda error: one.problems.append(str(error)))
    yield one
    assert one.problems == []
    context.close()


def at(page: Page, house: BrigadeHouse, path: str, who: str = "Li") -> Page:
    page.goto(f"{house.url}{path}")
    expect(page.locator("#link")).to_have_class("link live")
    if page.locator("#you").is_visible():
        page.locator("#you").fill(who)
    return page


def answer(page: Page, **fields: str) -> None:
    """Fill the dialog and press its first button."""
    for name, value in fields.items():
        field = page.locator(f"#reason-{name}")
        if field.evaluate("node => node.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.locator("#reason button.primary").click()


# --- the board --------------------------------------------------------------------------------------------------


def test_a_filter_never_hides_an_unanswered_fire(page, house) -> None:
    at(page, house, "/board")
    expect(page.locator(f'[data-incident="{house.water}"]')).to_be_visible()
    page.locator("#filter-hazard").select_option("gas")
    expect(page.locator(f'[data-incident="{house.fire}"]')).to_be_visible()
    expect(page.locator(f'[data-incident="{house.water}"]')).to_have_count(0)
    expect(page.locator("#filter-said")).to_contain_text("hidden by the filter")
    page.locator("#filter-hazard").select_option("")


def test_postponed_telemetry_of_a_metered_link_is_said(page, house) -> None:
    expect(at(page, house, "/board").locator("#gateways")).to_contain_text("850 of them wait: the metered link")


def test_the_wall_keeps_the_screen_on_or_says_why_not(page, house) -> None:
    at(page, house, "/board?wall")
    expect(page.locator("body")).to_have_class(re.compile("wall"))
    expect(page.locator("#awake")).to_contain_text(re.compile("Screen stays on|refused"))
    expect(page.locator("#detail")).to_be_hidden()
    refused = page.context.new_page()
    refused.add_init_script("navigator.wakeLock.request = () => Promise.reject(new Error('battery is low'))")
    at(refused, house, "/board?wall")
    expect(refused.locator("#awake")).to_contain_text("refused to keep the screen on: battery is low")


def test_a_drill_is_marked_everywhere_and_a_real_fire_stands_before_it(page, house) -> None:
    at(page, house, "/board")
    page.locator("#drill-start").click()
    answer(page, zone=f"{LAKESIDE}|b1-101", hazard="fire", text="evacuation of the stair")
    expect(page.locator("#drill")).to_contain_text("DRILL: Lakeside Court")
    cards = page.locator(".card")
    expect(cards.first).to_have_attribute("data-incident", house.fire)
    drill = page.locator(".card.drill")
    expect(drill).to_contain_text("DRILL")
    name = drill.get_attribute("data-incident")
    drill.click()
    expect(page.locator("#detail [data-action=dispatch]")).to_contain_text("nobody is sent")
    for path in ("/desk", "/station", "/register", "/handover", f"/incidents/{name}"):
        at(page, house, path)
        expect(page.locator("#drill" if "incidents" not in path else "#incident header")).to_contain_text("DRILL")
    at(page, house, "/desk")
    expect(page.locator("#queue")).not_to_contain_text("Lakeside")
    assert BrigadeStore(house.store).notices(name) == ()
    at(page, house, f"/incidents/{name}")
    page.locator("[data-action=close]").click()
    answer(page, text="over")
    expect(page.locator("#incident header")).to_contain_text("Closed")


def test_an_acknowledgement_in_a_cut_is_not_lost_and_counts_once(page, house) -> None:
    gas = house.alarm("co-301.gas", Hazard.CO, ago_s=2)
    at(page, house, f"/incidents/{gas}", "Sun")
    cut = {"posts": 0}

    def lose(route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        cut["posts"] += 1
        if cut["posts"] == 2:
            route.fetch()  # the server has it, its answer is lost
        if cut["posts"] < 3:
            route.abort()
        else:
            route.continue_()

    page.route("**/api/incidents/*/actions", lose)
    page.locator("[data-action=acknowledge]").click()
    expect(page.locator(".outcome")).to_contain_text("goes again by itself")
    expect(page.locator("#incident")).to_contain_text("Acknowledged by Sun")
    expect(page.locator(".outcome")).to_contain_text("Done")
    assert [entry.who for entry in house.store.incident(gas).log if entry.what == "acknowledged"] == ["Sun"]


# --- the desk ---------------------------------------------------------------------------------------------------


def test_the_desk_is_worked_by_the_keyboard_alone(page, house) -> None:
    gas = house.alarm("co-402.gas", Hazard.CO, ago_s=10)
    house.up(DutyCheckRecord(DutyCheck("d-1", "relay-b1", "b3-plant", "889", house.now_us(),
                                       house.now_us() + 600_000_000)))
    at(page, house, "/desk")
    queue = page.locator("#queue")
    for words in ("Acknowledge", "Call", "Answer the duty check", "Firm's own check", "to the dispatch queue"):
        expect(queue).to_contain_text(words)
    first = page.locator(f'[data-work="answer-{gas}"]')
    page.locator("[data-work]").first.focus()
    for _ in range(10):
        if page.evaluate("document.activeElement.dataset.work") == f"answer-{gas}":
            break
        page.keyboard.press("ArrowDown")
    expect(first).to_be_focused()
    page.keyboard.press("a")
    expect(first).to_have_count(0)
    expect(page.locator(f'[data-work="verify-{gas}"]')).to_be_visible()
    page.locator(f'[data-work="verify-{gas}"]').focus()
    page.keyboard.press("v")
    answer(page, by="person", detail="the tenant smells it")
    expect(page.locator(f'[data-work="dispatch-{gas}"]')).to_be_visible()
    page.locator(f'[data-work="dispatch-{gas}"]').focus()
    page.keyboard.press("d")
    page.locator("#reason button.primary").click()
    expect(page.locator(f'[data-work="dispatch-{gas}"]')).to_have_count(0)
    page.locator(f'[data-work="call-{gas}"]').focus()
    page.keyboard.press("c")
    expect(page.locator("[data-key^=call-]").first).to_be_focused()
    page.keyboard.press("Enter")
    answer(page, outcome="answered", text="opens the door")
    expect(page.locator(f'[data-work="call-{gas}"]')).to_have_count(0)


def test_a_notice_that_failed_is_work_and_can_be_tried_again(page, house) -> None:
    import sqlalchemy as sa

    from community_os import schema

    with house.store.transaction() as connection:
        one = connection.execute(sa.select(schema.notice.c.id).limit(1)).scalar_one()
        connection.execute(sa.update(schema.notice).where(schema.notice.c.id == one).values(
            status="dead", reason="nobody answers there"))
    at(page, house, "/desk")
    row = page.locator(f'[data-work="notice-{one}"]')
    expect(row).to_contain_text("nobody answers there")
    row.click()
    expect(row).to_have_count(0)


def test_who_was_told_and_that_somebody_answered_stands_at_the_incident(page, house) -> None:
    import sqlalchemy as sa

    from community_os import schema

    gas = house.alarm("co-402.gas", Hazard.CO, ago_s=3)
    with house.store.transaction() as connection:
        connection.execute(sa.update(schema.notice).where(schema.notice.c.incident == gas).values(
            status="sent", attempts=3))
    at(page, house, f"/incidents/{gas}", "Sun")
    expect(page.locator("#incident")).to_contain_text("delivered — 3 tries")
    page.locator("[data-action=acknowledge]").click()
    expect(page.locator("#incident")).to_contain_text("delivered; answered since by Sun — 3 tries")


# --- the register -----------------------------------------------------------------------------------------------


def test_silences_shelf_inspections_and_merges_have_their_pages(page, house) -> None:
    at(page, house, "/register")
    page.locator("#tab-silences").click()
    page.locator("[data-key=silence]").click()
    answer(page, site=RIVERSIDE, name="roof-works", matchers='zone="b3-plant"', minutes="60",
           text="works on the roof")
    expect(page.locator("#panel-silences")).to_contain_text("roof-works")
    page.locator("[data-key=end-roof-works]").click()
    answer(page, text="done")
    expect(page.locator("#panel-silences")).not_to_contain_text("roof-works")
    page.locator("#tab-shelf").click()
    page.locator("[data-key=shelve]").click()
    answer(page, alarm=f"{RIVERSIDE} fire.smoke|smoke-301-bed.smoke", kind="shelved", minutes="30", text="never")
    expect(page.locator("#outcome")).to_contain_text("Refused")
    page.locator("[data-key=shelve]").click()
    answer(page, alarm=f"{RIVERSIDE} water.leak|leak-b1.leak", kind="shelved", minutes="30", text="plumber is there")
    expect(page.locator("#panel-shelf")).to_contain_text("plumber is there")
    page.locator("#tab-inspections").click()
    page.locator("[data-key=inspect]").click()
    page.locator("#reason input").first.fill("Fire doors")
    answer(page, subject=f"{RIVERSIDE} b3-plant", items="door closes\nnothing stored", person="Wang", days="3")
    panel = page.locator("#panel-inspections")
    expect(panel).to_contain_text("Fire doors")
    panel.locator("[data-key^=fill-]").click()
    answer(page, p1="no", n1="boxes")
    expect(panel).to_contain_text("found: 1")
    panel.locator("[data-key^=back-]").click()
    answer(page, text="take them away")
    expect(panel).to_contain_text("take them away")
    first, second = house.alarm("smoke-402-bed.smoke", ago_s=3), ""
    second = house.alarm("smoke-105-bed.smoke", ago_s=1)
    page.locator("#tab-merge").click()
    at(page, house, "/register#merge")
    pair = page.locator(f"[data-key=merge-{second}]")
    pair.click()
    answer(page, text="one fire")
    expect(pair).to_have_count(0)
    assert house.workers[RIVERSIDE].incident_of("fire.smoke|smoke-105-bed.smoke") == first


# --- the hand-over ----------------------------------------------------------------------------------------------


def test_a_shift_is_handed_over_and_signed_in_by_somebody_else(page, house) -> None:
    at(page, house, "/handover", "Li")
    page.locator("#note").fill("Barrier of the south gate is slow.")
    page.locator("#give").click()
    entry = page.locator(".handover").first
    expect(entry).to_contain_text("Handed over by Li")
    expect(entry).to_contain_text("Flat 301")
    entry.get_by_role("button", name="I take over").click()
    page.locator("#reason button.primary").click()
    expect(page.locator("#outcome")).to_contain_text("cannot take over")
    page.locator("#you").fill("Wang")
    entry.get_by_role("button", name="I take over").click()
    answer(page, note="seen")
    expect(entry).to_contain_text("Taken over by Wang")


# --- the micro station ------------------------------------------------------------------------------------------


def test_the_station_receives_comes_arrives_and_reports_with_a_photo(page, house) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    at(page, house, "/station", "Zhao")
    page.locator("#unit").fill("Cangqian")
    page.locator(f"[data-key=coming-{house.fire}]").click()
    page.locator(f"[data-key=arrived-{house.fire}]").click()
    page.locator(f"[data-key=report-{house.fire}]").click()
    page.locator("#report-text").fill("smoke on the third floor")
    page.locator("#report-photo").set_input_files({"name": "scene.jpg", "mimeType": "image/jpeg", "buffer": JPEG})
    page.get_by_role("button", name="Send the report").click()
    expect(page.locator("form.report")).to_have_count(0)
    # The phone looks for its position first: the arrival may be the last that is sent.
    page.locator(f"[data-key=left-{house.fire}]").wait_for()
    expect(page.locator("#queue")).to_have_text("Everything is sent.")
    handling = house.store.incident(house.fire).handling
    assert [unit.move.value for unit in handling.units] == ["coming", "arrived"]
    assert handling.units[1].position.latitude == 30.287
    report = handling.reports[-1]
    (photo,) = BrigadeStore(house.store).photos(house.fire)
    assert report.photo == photo.sha256 and report.text == "smoke on the third floor" and photo.size < 1_500_000
    assert b"PhoneMaker" not in BrigadeStore(house.store).photo(photo.sha256, RIVERSIDE)
    at(page, house, f"/incidents/{house.fire}")
    expect(page.locator(".photos img")).to_have_count(1)
    expect(page.locator("section[aria-labelledby=s-units]")).to_contain_text("Cangqian: arrived")


# What the station's page was made of and its worker does not hold, once it holds all or a minute is over. The page
# asks again by itself: `wait_for_function` takes a promise for a yes, whatever comes of it.
LACKING = """async () => {
  const cache = await caches.open('tocsin-station-1'), end = Date.now() + 60e3;
  for (;;) {
    const used = performance.getEntriesByType('resource').map((e) => new URL(e.name).pathname);
    const lacking = [];
    for (const path of ['/station', '/texts/en.json', ...used])
      if (/^[/](station$|static|texts|phrases)/.test(path) && !await cache.match(path)) lacking.push(path);
    if (!lacking.length || Date.now() > end) return lacking;
    await new Promise((again) => setTimeout(again, 100));
  }
}"""


def test_texts_that_come_late_are_kept_for_when_there_is_no_net(page, house) -> None:
    """On a slow line the texts are still under way when a worker could be there: it must hold them all the same."""
    held: list[Route] = []
    page.route("**/texts/en.json", lambda route: held.append(route))  # noqa: PLW0108  (it asks for the signature)
    page.goto(f"{house.url}/station", wait_until="commit")
    page.wait_for_function("() => performance.getEntriesByName(`${location.origin}/phrases/en.json`).length > 0")
    for route in held:
        route.continue_()
    page.unroute("**/texts/en.json")
    expect(page.locator("#link")).to_have_class("link live")
    assert page.evaluate(LACKING) == []


def test_without_a_net_nothing_is_lost_and_each_counts_once(page, house) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    at(page, house, "/station", "Zhao")
    page.locator("#unit").fill("Second unit")
    assert page.evaluate(LACKING) == []
    page.route("**/api/**", lambda route: route.abort())
    page.locator(f"[data-key=coming-{house.fire}]").click()
    expect(page.locator("#queue")).to_contain_text("1 wait to be sent")
    page.locator(f"[data-key=report-{house.fire}]").click()
    page.locator("#report-text").fill("stair is full of smoke")
    page.locator("#report-photo").set_input_files({"name": "scene.jpg", "mimeType": "image/jpeg", "buffer": JPEG})
    page.get_by_role("button", name="Send the report").click()
    expect(page.locator("#queue")).to_contain_text("2 wait to be sent")
    # The page is closed and opened again without a net: its worker has it, the phone has the deeds and the alarms.
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("#queue")).to_contain_text("2 wait to be sent")
    expect(page.locator("#alarms")).to_contain_text("kept on this phone")
    page.context.set_offline(False)
    page.unroute("**/api/**")
    # An answer that is lost on its way: the same click again counts once.
    lost = {"left": 1}

    def lose(route) -> None:
        if lost["left"] and route.request.method == "POST":
            lost["left"] -= 1
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route("**/api/incidents/*/deeds", lose)
    expect(page.locator("#queue")).to_have_text("Everything is sent.")
    handling = house.store.incident(house.fire).handling
    assert [unit.move.value for unit in handling.units if unit.unit == "Second unit"] == ["coming"]
    assert [report.text for report in handling.reports].count("stair is full of smoke") == 1
    page.unroute("**/api/incidents/*/deeds")


def test_a_refusal_stays_in_sight_until_it_is_put_away(page, house) -> None:
    at(page, house, "/station", "Zhao")
    page.locator("#unit").fill("Third")
    page.route("**/api/incidents/*/deeds", lambda route: route.fulfill(
        status=409, content_type="application/json", body=json.dumps({"done": False, "refusal": "it has ended"})))
    page.locator(f"[data-key=coming-{house.fire}]").click()
    expect(page.locator("#waiting")).to_contain_text("it has ended")
    page.unroute("**/api/incidents/*/deeds")
    page.get_by_role("button", name="Put it away").click()
    expect(page.locator("#waiting")).not_to_contain_text("it has ended")


# --- all pages --------------------------------------------------------------------------------------------------


# English: test_every_page
@pytest.mark.parametrize("language", ["zh-CN", pytest.param("en-GB", marks=pytest.mark.soak)])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_and_360_pixels_are_enough(browser, house, path: str, language: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(locale=language, viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(house.url + path.replace("FIRE", house.fire))
    expect(page.locator("#link")).to_have_class("link live")
    page.locator(".card, .record, .plan, #panel-impairments p, .handover, .empty").first.wait_for()
    if path == "/board":
        page.locator(f'[data-incident="{house.fire}"]').click()
        page.locator(".plan").wait_for()
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
    assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 360, "height": 740})
    if "wall" not in path:
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    context.close()


@pytest.mark.parametrize("script", ["board", "incident_page", "desk", "register", "station", "handover"])
def test_no_page_carries_more_than_300_kilobytes_of_script(script: str) -> None:
    static = Path(dashboards.__file__).parent / "static"
    wanted, sizes = [f"{script}.js"], dict[str, int]()
    while wanted:
        name = wanted.pop()
        if name not in sizes:
            text = (static / name).read_text(encoding="utf-8")
            sizes[name] = len(gzip.compress(text.encode()))
            wanted += re.findall(r'from "\./([a-z_]+\.js)"', text)
    assert len(sizes) > 3 and sum(sizes.values()) < 60_000, sizes
