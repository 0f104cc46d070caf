"""The main path of every role on its first day, in a browser, on the real system with the simulator.

One estate is started for all; the roles come one after another, as on a first day: the administrator lets them in,
the tester makes smoke, the brigade sees and ends it, the desk is asked who is on duty, the officer approves a permit
that the property asked for, and the auditor reads who did what. Nothing waits for a time: each step waits for what it
shows.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page, expect

from tests.dashboards.visits import Visit
from tests.system.house import OWN_SECRET, PATH, tocsin, until
from tests.system.paths_house import INSTALLER, PEOPLE, PIN, SECRET, WITHIN_S, PathsHouse
from tests.system.pictures import Camera
from wire_codecs.gbt26875_objects import UitdOperation

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(280)]
MS = 1000
RESIDENT = "Resident Zhou"
KEYS_MAX = 400  # no page has so many things to press


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PathsHouse]:
    expect.set_options(timeout=WITHIN_S * MS)
    house = PathsHouse(tmp_path_factory.mktemp("paths"))
    try:
        house.start()
        yield house
    finally:
        house.close()
        expect.set_options(timeout=5 * MS)


CAMERA = Camera()  # takes the pictures of docs/pictures.md when it is asked to


class People:
    """One browser context a person, signed in once; what went wrong on any page."""

    def __init__(self, browser: Any, house: PathsHouse) -> None:
        self._browser, self._house = browser, house
        self._pages: dict[str, Page] = {}
        self.problems: list[str] = []

    def page(self, name: str, *, width: int = 1280) -> Page:
        """That person's tab, empty at first."""
        if name not in self._pages:
            page = self._browser.new_context(locale="en-GB", viewport={"width": width, "height": 860},
                                             reduced_motion="reduce", service_workers="block").new_page()
            page.set_default_timeout(WITHIN_S * MS)
            page.on("pageerror", lambda error: self.problems.append(f"{name}: {error}"))
            self._pages[name] = page
        return self._pages[name]

    def signed_in(self, role: str, path: str, *, width: int = 1280) -> Page:
        """That role's person on a page of the community OS."""
        name = PEOPLE[role]
        fresh = name not in self._pages
        page = self.page(name, width=width)
        if fresh:
            sign_in(page, self._house, name, SECRET)
        page.goto(self._house.url + path)
        return page

    def close(self) -> None:
        """Shut all tabs."""
        for page in self._pages.values():
            page.context.close()


@pytest.fixture(scope="module")
def people(browser, estate: PathsHouse) -> Iterator[People]:
    made = People(browser, estate)
    until(lambda: estate.http("GET", "/health")[0] == 200, estate.said)
    yield made
    made.close()


def sign_in(page: Page, house: PathsHouse, name: str, secret: str) -> None:
    page.goto(f"{house.url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.locator("[name=secret]").fill(secret)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith("/sign-in"))


def own_password(page: Page, old: str, new: str) -> None:
    """Nothing else opens before."""
    page.locator("[name=old]").fill(old)
    page.locator("[name=new]").fill(new)
    page.locator("[name=again]").fill(new)
    page.keyboard.press("Enter")
    expect(page.locator(".banner.good")).to_be_visible()


def live(page: Page) -> None:
    expect(page.locator("#link")).to_have_class("link live")


def answered(page: Page, **fields: str) -> None:
    """The dialog, filled and confirmed."""
    for name, value in fields.items():
        field = page.locator(f"#reason-{name}")
        if field.evaluate("node => node.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.locator("#reason button.primary").click()


def reach(page: Page, what: Locator) -> None:
    """There by the Tab key alone, from wherever one is. A redraw may lose the place once: then again from the top."""
    what.wait_for()
    for _ in range(KEYS_MAX):
        page.keyboard.press("Tab")
        if what.evaluate("node => node === document.activeElement || node.contains(document.activeElement)"):
            return
    raise AssertionError(f"{what} is not reached by Tab")


def press(page: Page, what: Locator) -> None:
    """Reached and pressed by keyboard alone."""
    reach(page, what)
    page.keyboard.press("Enter")


def one_time(page: Page) -> str:
    return page.locator("code.big").inner_text()


def test_the_administrator_lets_people_in(estate: PathsHouse, people: People) -> None:
    page = people.page("admin")
    (secret,) = set(until(estate.admin_secrets, estate.said))
    page.goto(f"{estate.url}/sign-in")
    CAMERA.take(page, "sign-in")
    sign_in(page, estate, "admin", secret)
    page.goto(f"{estate.url}/people")
    expect(page).to_have_url(re.compile("/account"))  # the one-time secret opens nothing else
    own_password(page, secret, OWN_SECRET)
    page.goto(f"{estate.url}/people")
    form = page.locator("form[action='/people/add']")
    reach(page, form.get_by_label("Name"))  # by keyboard alone
    page.keyboard.type(RESIDENT)
    page.keyboard.press("Tab")
    page.keyboard.type("resident")
    expect(form.locator("[name=role]")).to_have_value("resident")
    page.keyboard.press("Tab")
    page.keyboard.type(PATH)
    page.keyboard.press("Enter")
    first = one_time(page)
    card = page.locator("ul.people > li", has=page.get_by_role("heading", name=RESIDENT))
    card.locator("summary").click()
    card.locator("form[action='/people/reset'] button").click()
    second = one_time(page)
    assert first != second
    page.goto(f"{estate.url}/people")
    CAMERA.take(page, "people")
    page.goto(f"{estate.url}/claim")
    CAMERA.take(page, "claim")

    phone = people.page(RESIDENT, width=360)
    sign_in(phone, estate, RESIDENT, second)
    own_password(phone, second, SECRET)
    phone.goto(f"{estate.url}/building")
    live(phone)
    expect(phone.locator("#alarms")).to_contain_text("No alarm")


def smoke(tester: Page, device: str, on: bool) -> None:
    """The tester blows smoke into a detector on the simulator's page, or lets it clear and resets it."""
    tester.locator(f"[data-pick={device}]").click()
    expect(tester.locator("#h-device")).to_contain_text(device)
    button = tester.locator("[data-act=alarm]")
    expect(button).to_have_attribute("aria-pressed", "false" if on else "true")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true" if on else "false")
    if not on:
        tester.locator("[data-press=reset]").click()
    expect(tester.locator("[data-point=smoke] .hex")).to_have_text("0001" if on else "0000")


def test_the_testers_smoke_is_the_brigades_alarm(estate: PathsHouse, people: People) -> None:
    """It appears without a reload; place, plan, water, people; acknowledged, dispatched, on scene; closed at last."""
    board = people.signed_in("brigade", "/board")
    live(board)
    board.evaluate("window.never_loaded_again = true")
    tester = people.page("bench")
    tester.goto(estate.sim_url)
    live(tester)
    press(tester, tester.locator("[data-pick=smoke-101]"))  # the first one by keyboard alone
    press(tester, tester.locator("[data-act=alarm]"))
    expect(tester.locator("[data-point=smoke] .hex")).to_have_text("0001")
    card = board.locator(".card", has_text="Flat 101")
    expect(card).to_contain_text("Small House · Building 101 · 1st floor · Flat 101")
    assert board.evaluate("window.never_loaded_again"), "the alarm came by the stream"
    card.click()
    detail = board.locator("#detail")
    board.locator("[data-action=acknowledge]").click()
    expect(card).to_contain_text("Acknowledged by Chen Jing")
    expect(detail).to_contain_text(re.compile("gateway knows", re.IGNORECASE))
    CAMERA.take(board, "board", before=lambda page: page.locator("[data-incident]").first.click())
    CAMERA.take(board, "board-phone", width=360, height=740)
    board.goto(f"{estate.url}/map")
    expect(board.locator(".site.critical[aria-label^='Small House']")).to_be_visible()
    press(board, board.locator("[data-site] button"))
    expect(board.locator("path.area.lit")).to_have_count(1)
    CAMERA.take(board, "map", before=lambda page: page.locator("[data-site] button").first.click())
    board.goto(f"{estate.url}/board")
    card.click()
    detail.get_by_role("link", name="Open").first.click()

    page = board
    live(page)
    for section, words in (("plan", "Flat 101"), ("water", "Hydrant at the gate"), ("contacts", "Chen Jing"),
                           ("steps", "Call the dwelling"), ("evidence", ""), ("permit", ""),
                           ("timeline", "Chen Jing")):
        page.locator(f"[data-jump={section}]").click()  # one action
        part = page.locator(f"section[aria-labelledby=s-{section}]")
        expect(part).to_be_in_viewport()
        expect(part).to_contain_text(words)
    expect(page.locator("section[aria-labelledby=s-plan] svg").first).to_be_visible()
    page.locator("[data-key^='step-Call']").check()
    page.locator("[data-action=dispatch]").click()
    page.locator("[data-action=on_scene]").click()
    page.locator("[data-action=resolve]").wait_for()
    CAMERA.take(page, "incident", height=1000)
    page.locator("[data-action=false_alarm]").click()
    answered(page, cause="cooking", text="a pan")
    expect(page.locator(".outcome").first).to_contain_text("Refused")  # while the detector smells smoke (law 3)

    smoke(tester, "smoke-101", False)


def reset_once(page: Page) -> bool:
    if page.locator("#alarms .empty").count():
        return True
    with contextlib.suppress(PlaywrightError):  # it went between the look and the press
        page.locator("[data-key^='reset:']").first.click(timeout=2 * MS)
    return False


def test_the_installer_resets_on_site_and_walks_a_detector(estate: PathsHouse, people: People) -> None:
    """The gateway's own page: it needs no cloud, a PIN for every deed."""
    phone = people.page("installer", width=360)
    phone.goto(estate.page_url)
    phone.locator("[data-key^='reset:']").first.wait_for()
    CAMERA.take(phone, "local", width=1100)
    phone.goto(f"{estate.page_url}/matrix")
    CAMERA.take(phone, "matrix")
    phone.goto(estate.page_url)
    phone.locator("[data-key^=reset]").first.click()
    phone.locator("#pin-name").fill(INSTALLER)
    phone.locator("#pin-pin").fill(PIN)
    phone.keyboard.press("Enter")
    expect(phone.locator("#who")).to_contain_text(INSTALLER)
    # The gateway refuses until it has read that the smoke is gone; whoever stands there presses again.
    until(lambda: reset_once(phone), estate.said)
    phone.goto(f"{estate.page_url}/install")
    expect(phone.locator("#who")).to_contain_text(INSTALLER)
    row = phone.locator("#walk li", has_text="smoke-106")
    press(phone, row.locator("button.primary"))
    expect(row).to_have_class(re.compile("under-test"))
    tester = people.page("bench")
    smoke(tester, "smoke-106", True)
    expect(row).to_have_class(re.compile("passed"))
    CAMERA.take(phone, "install", width=390, height=844, before=lambda page: row.scroll_into_view_if_needed())
    CAMERA.take(tester, "tester", height=800, before=lambda page: page.locator("[data-pick=smoke-106]").click())
    if CAMERA.folder is not None:
        editor = people.page("editor")
        editor.goto(f"{estate.sim_url}/profiles")
        CAMERA.take(editor, "profiles", height=900, before=lambda page: (
            page.locator("#which").fill("calectro-ug3"), page.keyboard.press("Enter")))
    tester.locator("[data-pick=smoke-106]").click()
    board = people.signed_in("brigade", "/board")
    mark = board.locator(".card", has_text="Flat 106").locator(".tag.drill")
    expect(mark.first).to_be_visible()  # shown as a test, never as real (law 6)
    smoke(tester, "smoke-106", False)


def test_the_brigade_closes_by_keyboard_alone(estate: PathsHouse, people: People) -> None:
    page = people.signed_in("brigade", "/board")
    live(page)
    card = page.locator(".card", has_text="Flat 101")
    press(page, card)
    for action in ("resolve", "close"):
        press(page, page.locator(f"[data-action={action}]"))
        if action == "close":
            page.keyboard.type("fat in a pan, kitchen aired")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
    expect(card).to_have_count(0)


def test_the_desk_verifies_calls_and_answers_the_duty_check(estate: PathsHouse, people: People) -> None:
    page = people.signed_in("desk", "/desk")
    live(page)
    tester = people.page("bench")
    smoke(tester, "smoke-102", True)
    row = page.locator("[data-work]", has_text="Flat 102").first
    row.wait_for()
    CAMERA.take(page, "desk", before=lambda page: page.locator("[data-work]").first.click())
    reach(page, row)
    page.keyboard.press("a")  # acknowledge
    expect(page.locator("#outcome")).to_have_class(re.compile("ok"))
    row.focus()
    page.keyboard.press("v")
    answered(page, by="person", detail="smoke seen from the gate")
    expect(page.locator("#detail")).to_contain_text("Verified")
    page.locator("[data-key='call-Chen Jing']").click()
    answered(page, outcome="answered", text="brings the key")
    expect(page.locator("section[aria-labelledby=s-contacts]")).to_contain_text("brings the key")
    page.locator("[data-action=dispatch]").click()
    expect(page.locator("[data-action=on_scene]")).to_be_visible()
    for path in ("register", "handover"):
        page.goto(f"{estate.url}/{path}")
        CAMERA.take(page, path)
    page.goto(f"{estate.url}/station")
    CAMERA.take(page, "station", width=390, height=780)
    page.goto(f"{estate.url}/desk")
    live(page)
    until(lambda: estate.centre.connected, estate.said)
    estate.centre.ask_who_is_on_duty(estate.clock.now(), 60)
    duty = page.locator("[data-work^=duty]")
    expect(duty).to_have_count(1)
    assert not estate.centre.told(UitdOperation), "shown is not answered"
    press(page, duty)
    expect(duty).to_have_count(0)
    until(lambda: estate.centre.told(UitdOperation), estate.said)  # the centre has the person's answer


def test_the_property_asks_and_the_officer_approves(estate: PathsHouse, people: People) -> None:
    """Maintenance that ends by itself, a shift swapped, a permit asked for; the officer's day."""
    mine = people.signed_in("property", "/my-sites")
    live(mine)
    expect(mine.locator("#needs")).to_contain_text("Flat 102")
    press(mine, mine.get_by_role("button", name="Take devices out of service"))
    reach(mine, mine.locator("#reason input[value=smoke-105]"))
    mine.keyboard.press("Space")
    for field, words in (("hours", "2"), ("measure", "a guard walks every hour"), ("why", "painting")):
        reach(mine, mine.locator(f"#reason-{field}"))
        mine.keyboard.press("Control+a")
        mine.keyboard.type(words)
    press(mine, mine.locator("#reason button.primary"))
    site = mine.locator("article.site")
    expect(site).to_contain_text("painting")
    expect(site.get_by_role("button", name="Back in service")).to_be_visible()  # the gateway has taken it
    mine.locator("[data-key^=swap]").click()
    answered(mine, coming="wang", why="dentist")
    expect(mine.locator("#outcome")).to_have_class(re.compile("ok"))
    CAMERA.take(mine, "my-sites", height=900)
    mine.goto(f"{estate.url}/permits")
    live(mine)
    mine.locator("#new-permit summary").click()
    form = mine.locator("#new-permit form")
    form.get_by_label("Number").fill("HW-1")
    form.get_by_label("Workers").fill("Zhou Qi")
    form.get_by_label("Watcher").fill("Sun Lei")
    for box in form.locator("div fieldset input").all():
        box.check()
    form.get_by_role("button", name="Ask for it").click()
    expect(mine.locator("li.permit", has_text="HW-1")).to_contain_text("gateway confirmed")
    CAMERA.take(mine, "permits", height=900)

    officer = people.signed_in("officer", "/overview")
    live(officer)
    expect(officer.locator("#view")).to_contain_text("yuhang")
    CAMERA.take(officer, "overview", height=900)
    drilled_down(officer)
    for path in ("packs", "environment", "public"):
        officer.goto(f"{estate.url}/{path}")
        CAMERA.take(officer, path)
    officer.goto(f"{estate.url}/hot-work")
    live(officer)
    CAMERA.take(officer, "hot-work")
    officer.goto(f"{estate.url}/permits")
    card = officer.locator("li.permit", has_text="HW-1")
    press(officer, card.get_by_role("button", name="approve"))
    press(officer, officer.locator("dialog button.primary"))
    expect(card).to_contain_text("Li Na")
    expect(card.get_by_role("button", name="approve")).to_have_count(0)
    officer.goto(f"{estate.url}/reports")
    CAMERA.take(officer, "reports")
    link = officer.locator("a[href*='/reports/day.pdf']").get_attribute("href")
    assert officer.request.get(f"{estate.url}{link}").body().startswith(b"%PDF-")


def drilled_down(officer: Page) -> None:
    """League, risk and trend say what people did a moment ago, and lead down to it."""
    row = officer.locator("#league tbody tr", has_text="Small House")
    expect(row.locator("td").nth(1)).to_have_text(re.compile(r"\d+ (s|min)"))
    expect(row.locator("td").nth(2)).to_have_text(re.compile(r"\d+ (s|min)"))
    expect(officer.locator("#risk .risk-grid a")).to_have_attribute("aria-label", re.compile(r"Small House: Risk \d"))
    assert officer.locator("#trend .bar.fire").count() > 0
    ended = officer.locator("#ended tbody tr", has_text="Flat 101")
    dossier = ended.locator("a[href$='dossier.pdf']").get_attribute("href")
    assert officer.request.get("/".join(officer.url.split("/")[:3]) + dossier).body().startswith(b"%PDF-")
    press(officer, ended.locator("a[href^='/incidents/']").first)
    expect(officer.locator("section[aria-labelledby=s-timeline]")).to_contain_text("fat in a pan")
    officer.go_back()


def test_the_contractor_and_the_resident_reach_what_is_theirs_and_no_more(
        estate: PathsHouse, people: People) -> None:
    contractor = people.signed_in("contractor", "/my-sites", width=360)
    live(contractor)
    expect(contractor.locator("article.site")).to_contain_text("painting")
    CAMERA.take(contractor, "my-sites-phone", width=360, height=740)
    contractor.locator(f"[data-key='back-{PATH}-smoke-105']").click()
    answered(contractor, why="paint is dry")
    expect(contractor.locator("article.site")).not_to_contain_text("painting")
    assert contractor.request.get(f"{estate.url}/permits").status == 403

    phone = people.page(RESIDENT)
    phone.goto(f"{estate.url}/building")
    live(phone)
    expect(phone.locator("#alarms")).to_contain_text("Building 102")
    expect(phone.locator("#alarms")).not_to_contain_text("Flat 102")  # a building and a floor, never a dwelling
    CAMERA.take(phone, "building", width=390, height=844)
    phone.locator("#hazard").select_option("water")
    reach(phone, phone.locator("#text"))
    phone.keyboard.type("water on the stair")
    press(phone, phone.locator("#report button.primary"))
    expect(phone.locator("#outcome")).to_have_class(re.compile("ok"))
    board = people.signed_in("brigade", "/board")
    expect(board.locator("#incidents")).to_contain_text("Water")
    assert phone.request.get(f"{estate.url}/board").status == 403


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_pages_beside_the_cloud(estate: PathsHouse, browser, language: str) -> None:
    """The gateway's own pages and the simulator's: axe, widths, script, no other host."""
    for url, paths in ((estate.page_url, ("/", "/matrix", "/install")), (estate.sim_url, ("/tester",))):
        visit = Visit(browser, url, "", language)
        try:
            for path in paths:
                visit.open(path)
                visit.check(path)
            assert "\n".join(visit.problems) == ""
        finally:
            visit.close()


def test_the_tester_and_the_auditor(estate: PathsHouse, people: People) -> None:
    tester = people.signed_in("tester", "/board")
    live(tester)
    assert tester.request.get(f"{estate.url}/people").status == 403
    for path, name in (("people", "refused"), ("account", "account"), ("offline", "offline")):
        tester.goto(f"{estate.url}/{path}")
        CAMERA.take(tester, name)
    auditor = people.signed_in("auditor", "/audit")
    expect(auditor.locator(".banner.good")).to_be_visible()  # the chain holds
    for who in ("Chen Jing", "Zhao Min", "Wang Fang", "Li Na", "Sun Lei", RESIDENT, "admin"):
        reach(auditor, auditor.locator("[name=who]"))
        auditor.keyboard.press("Control+a")
        auditor.keyboard.type(who)
        auditor.keyboard.press("Enter")
        expect(auditor.locator("table.audit tbody")).to_contain_text(who)
    auditor.goto(f"{estate.url}/audit")
    CAMERA.take(auditor, "audit")


def test_the_administrator_shuts_somebody_out_at_once(estate: PathsHouse, people: People) -> None:
    phone = people.page(RESIDENT)
    phone.goto(f"{estate.url}/building")
    live(phone)
    page = people.page("admin")
    CAMERA.take_the_rest(page, estate.url)
    page.goto(f"{estate.url}/people")
    card = page.locator("ul.people > li", has=page.get_by_role("heading", name=RESIDENT))
    card.locator("summary").click()
    card.locator("form[action='/people/disable'] button").click()
    expect(card).to_contain_text("disabled")
    phone.wait_for_url(re.compile("/sign-in"))
    assert people.problems == []
    audited = estate_audit(estate)
    assert audited.returncode == 0, audited.stdout + audited.stderr


def estate_audit(estate: PathsHouse) -> Any:
    """`tocsin audit verify`: all chains hold after the day."""
    return tocsin("audit", "verify", "--config", str(estate.cloud_file))
