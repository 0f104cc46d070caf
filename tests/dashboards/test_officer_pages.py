"""The officer's pages in a real browser over real workers, store and the gateway's own permit desk."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from officer_house import LAKESIDE, WORKS, OfficerHouse
from playwright.sync_api import Page, expect

from community_os.officer_service import OfficerService
from device_model.alarm import Hazard, Severity

pytestmark = [pytest.mark.real]
FLAG = {"X-Tocsin": "board"}


@pytest.fixture(scope="module")
def house() -> Iterator[OfficerHouse]:
    house = OfficerHouse().start()
    house.beat()
    house.beat(LAKESIDE, lost=2)
    house.working()
    house.read("camera.hot_work", 0.87)
    house.read("camera-store.hot_work", 0.91)
    house.read("gas.gas", 3.2)
    house.read("camera-show.people", 42)
    house.alarm("hot_work.outside_place", "camera-store.hot_work", Hazard.HOT_WORK)
    smoke = next(point for point in house.inventories[LAKESIDE].points if "smoke" in point)
    house.fire = house.alarm("fire.smoke", smoke, Hazard.FIRE, LAKESIDE, ago_s=60, severity=Severity.CRITICAL)
    house.tick()
    yield house
    house.stop()


@pytest.fixture
def page(browser, house) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    assert page.errors == []
    context.close()


def test_a_permit_is_asked_for_judged_on_site_and_signed(house: OfficerHouse, page: Page) -> None:
    page.goto(f"{house.url}/permits")
    page.locator("#you").fill("Chen Jing")
    page.locator("#new-permit summary").click()
    form = page.locator("#new-permit form")
    form.get_by_label("Number").fill("HW-T1")
    form.get_by_label("Site").select_option(WORKS)
    form.get_by_label("Zone").select_option("works")
    form.get_by_label("Level", exact=True).select_option("one")
    form.get_by_label("Workers").fill("Wang Qiang, Liu Yang")
    form.get_by_label("Fire watcher").fill("Zhao Min")
    form.get_by_label("methane").check()
    for box in form.locator("div fieldset input").all():
        box.check()
    form.get_by_role("button", name="Ask for it").click()
    card = page.locator("li.permit", has_text="HW-T1")
    expect(card).to_contain_text("gateway confirmed")
    expect(card).to_contain_text("limit 0.5 % vol = 10 %LEL")
    page.locator("#you").fill("Li Na")
    card.get_by_role("button", name="approve").click()
    page.locator("dialog button.primary").click()
    expect(card.get_by_role("button", name="countersign")).to_be_visible()
    card.get_by_role("button", name="countersign").click()
    page.locator("dialog button.primary").click()
    expect(card).to_contain_text("refused by the gateway")  # one person signs once
    expect(card).to_contain_text("a second person must countersign")
    assert next(one for one in house.desk.permits() if one.id == "HW-T1").state == "approved"


def test_with_the_link_cut_the_page_says_what_is_not_confirmed(house: OfficerHouse, page: Page) -> None:
    house.cut = True
    try:
        page.goto(f"{house.url}/permits")
        expect(page.locator("#link")).to_have_class("link live")
        plan = {"zone": "works", "level": "one", "starts_us": house.now_us(), "workers": ["A"], "watcher": "B",
                "ends_us": house.now_us() + 3_600_000_000}
        body = {"step": {"permit": "HW-CUT", "act": "create", "plan": plan}, "request": "click-cut-1", "who": "Chen"}
        answer = httpx.post(f"{house.url}/api/sites/{WORKS}/permits", json=body, headers=FLAG)
        assert answer.status_code == 200 and answer.json()["done"]
        card = page.locator("li.permit", has_text="HW-CUT")
        expect(card).to_contain_text("not confirmed by the gateway")
        expect(card).to_contain_text("waits for the gateway")
    finally:
        house.cut = False
    house.tick(ahead_s=6)


def test_gas_is_converted_with_that_gass_own_limit(house: OfficerHouse, page: Page) -> None:
    page.goto(f"{house.url}/permits")
    page.locator("#converter summary").click()
    page.locator("#converter select").select_option("propane")
    page.locator("#converter").get_by_label("%LEL").fill("12")
    expect(page.locator("#converter").get_by_label("% vol")).to_have_value("0.252")
    verdict = page.locator("#converter .verdict")
    expect(verdict).to_contain_text("limit 0.2 % vol = 9.5 %LEL — above the limit: no hot work")


def test_hot_work_shows_the_gateways_verdict_and_changes_live(house: OfficerHouse, page: Page) -> None:
    page.goto(f"{house.url}/hot-work")
    store = page.locator("li.hot", has_text="Store")
    expect(store).to_contain_text("outside its place")
    expect(store).to_contain_text("0.91")
    works = page.locator("li.hot", has_text="Workshop")
    expect(works).to_contain_text("allowed, no breach")
    expect(works).to_contain_text("3.2 %LEL")
    expect(works).to_contain_text("= 0.16 % vol")
    expect(works).to_contain_text("on the spot")
    house.read("gas.gas", 11.5)
    house.alarm("hot_work.gas_high", "gas.gas", Hazard.HOT_WORK, severity=Severity.CRITICAL)
    house.tick(ahead_s=6)
    expect(works).to_contain_text("gas too high")
    assert store.get_by_role("link", name="Incident").get_attribute("href").startswith("/incidents/")


def test_the_overview_leads_from_the_district_to_the_incident(house: OfficerHouse, page: Page) -> None:
    page.goto(f"{house.url}/overview")
    expect(page.locator("#link")).to_have_class("link live")
    for step in ("hangzhou", "yuhang", "cangqian", "Lakeside"):
        page.locator("#parts a", has_text=step).click()
        expect(page.locator(".crumbs b")).to_contain_text(step)
    expect(page.locator(".tiles")).to_contain_text("1 of them life safety")
    expected = len(house.inventories[LAKESIDE].devices)
    expect(page.locator("#parts tbody")).to_contain_text(f"0 / {expected - 2} / {expected}")
    expect(page.locator("#risk")).to_contain_text("it is no probability")
    incident = page.locator("#incidents tbody tr").first
    expect(incident).to_contain_text("Critical")
    assert incident.get_by_role("link").first.get_attribute("href") == f"/incidents/{house.fire}"
    incident.get_by_role("link", name="Rectification notice").click()
    expect(page.locator("#issue form")).to_be_visible()
    expect(page.get_by_label("Incident (optional)")).to_have_value(house.fire)


def test_a_silent_page_says_so_within_five_seconds(house: OfficerHouse, page: Page, monkeypatch) -> None:
    page.goto(f"{house.url}/overview")
    expect(page.locator("#link")).to_have_class("link live")
    with monkeypatch.context() as patch:
        patch.setattr(OfficerService, "live", False)  # the store or a worker does not answer
        expect(page.locator("#link")).to_have_class("link stale")
        expect(page.locator("#banner")).to_be_visible()
    expect(page.locator("#link")).to_have_class("link live")


def test_a_rectification_notice_is_issued_printed_and_put_right(house: OfficerHouse, page: Page) -> None:
    page.goto(f"{house.url}/reports")
    page.locator("#you").fill("Li Na")
    page.locator("#issue summary").click()
    form = page.locator("#issue form")
    form.get_by_label("Facts found").fill("Escape way blocked by scooters")
    form.get_by_label("Clause").fill("Fire Protection Law, article 28")
    form.get_by_label("To be done").fill("Clear it")
    form.get_by_label("Site").select_option(LAKESIDE)
    form.get_by_role("button").click()
    card = page.locator("li.card", has_text="第0001号")
    expect(card).to_contain_text("Escape way blocked")
    expect(card).to_contain_text("6 d left")
    printed = httpx.get(house.url + card.get_by_role("link", name="Print").get_attribute("href"))
    assert printed.headers["content-type"] == "application/pdf" and printed.content.startswith(b"%PDF-")
    card.get_by_role("button", name="Confirm").click()
    page.locator("dialog textarea").fill("Walked it, clear")
    page.locator("dialog button.primary").click()
    expect(card).to_contain_text("put right")


def test_reports_and_the_dossier_come_as_files(house: OfficerHouse) -> None:
    for period in ("day", "week", "month"):
        pdf = httpx.get(f"{house.url}/reports/{period}.pdf", params={"scope": "hangzhou"})
        assert pdf.status_code == 200 and pdf.content.startswith(b"%PDF-"), pdf.text
        sheet = httpx.get(f"{house.url}/reports/{period}.csv")
        assert "trial-works" in sheet.text
    dossier = httpx.get(f"{house.url}/incidents/{house.fire}/dossier.pdf")
    assert dossier.content.startswith(b"%PDF-")
    assert httpx.get(f"{house.url}/incidents/none/dossier.pdf").status_code == 404
    assert httpx.get(f"{house.url}/reports/year.pdf").status_code == 404
    assert httpx.get(f"{house.url}/reports/day.pdf", params={"scope": "../x"}).status_code == 404


def test_a_number_is_tested_approved_by_another_and_shown_as_the_gateway_says(
    house: OfficerHouse, page: Page,
) -> None:
    page.goto(f"{house.url}/packs?site={WORKS}")
    page.locator("#you").fill("Li Na")
    pack = page.locator("#pack-hot_work")
    pack.locator("summary").click()
    rule = pack.locator("article", has_text="hot_work.no_permit")
    expect(rule).to_contain_text("hot work detected without permit is a violation")
    rule.locator(".param", has_text="score").get_by_role("button").click()
    page.locator("#reason-value").fill("0.99")
    page.locator("dialog button.primary").click()
    expect(rule).to_contain_text("0.99 is above 0.95")
    rule.locator(".param", has_text="score").get_by_role("button").click()
    page.locator("#reason-value").fill("0.8")
    page.locator("dialog button.primary").click()
    expect(rule).to_contain_text("Alarms no more: 1")
    expect(rule.locator("svg.series")).to_have_count(1)
    rule.get_by_role("button", name="Ask for approval").click()
    page.locator("dialog textarea").fill("sun on the camera")
    page.locator("dialog button.primary").click()
    change = page.locator(".change", has_text="sun on the camera")
    expect(change).to_contain_text("waits for approval")
    change.get_by_role("button", name="Approve").click()
    page.locator("dialog textarea").fill("I want it")
    page.locator("dialog button.primary").click()
    expect(page.locator("#outcome")).to_contain_text("a second person approves")
    page.locator("#you").fill("Sun Bo")
    change.get_by_role("button", name="Approve").click()
    page.locator("dialog textarea").fill("seen on site")
    page.locator("dialog button.primary").click()
    expect(change).to_contain_text("approved, not yet sent")
    expect(rule.locator(".param", has_text="score")).to_contain_text("running: not known")
    before = dict(house.inventories[WORKS].site.rules.parameters)
    house.say_numbers(before, takes=True)
    expect(rule.locator(".param", has_text="score")).to_contain_text("wanted 0.8")
    expect(rule.locator(".param", has_text="score").locator("b")).to_have_text("0.6")
    house.say_numbers({**before, "hot_work.no_permit": {"score": "0.8"}}, takes=True, version=1, offered=1,
                      on_probation=True)
    expect(change).to_contain_text("runs on probation")
    expect(rule.locator(".param", has_text="score").locator("b")).to_have_text("0.8")


def test_environment_is_shown_with_age_and_published_by_a_person_only(house: OfficerHouse, page: Page) -> None:
    page.goto(f"{house.url}/public")
    expect(page.locator("#view")).to_contain_text("Nothing is published yet")
    page.goto(f"{house.url}/environment?site={WORKS}")
    page.locator("#you").fill("Li Na")
    expect(page.locator("article", has_text="temperature").first).to_contain_text("hours with values")
    expect(page.locator("article svg.series").first).to_be_visible()
    page.get_by_role("button", name="Publish").click()
    page.locator("dialog textarea").fill("order of the street")
    page.locator("dialog button.primary").click()
    expect(page.locator("#view")).to_contain_text("Published since")
    page.goto(f"{house.url}/public")
    expect(page.locator("article", has_text="temperature").first).to_contain_text("hours with values")
    assert "Li Na" not in page.content() and "lakeside" not in page.content()
