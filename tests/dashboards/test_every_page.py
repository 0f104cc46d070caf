"""Every page of the application, in both languages: axe, 360 px, the budget of scripts, no other host, no errors.

Which pages there are is asked of the application itself: a new one is covered from its first line on.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pyotp
import pytest
from playwright.sync_api import expect
from visits import PATIENCE_MS, SCOPE, Served, Visit, look

from dashboards.kit.navigation import NAVIGATION
from dashboards.rights import ROLES

__all__ = ["SCOPE", "Served"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

PAGES = Path(__file__).resolve().parents[2] / "dashboards"
ROLE_NAMES = [role for role in ROLES if role not in ("demo", "admin")]
# Pages of other programs, and the tests that hold them to axe in both languages.
ELSEWHERE = {
    "local.html": "tests/system/test_main_paths.py", "local_matrix.html": "tests/system/test_main_paths.py",
    "install.html": "tests/system/test_main_paths.py", "tester.html": "tests/system/test_main_paths.py",
    "first.html": "tests/dashboards/test_first_page.py",
    "labelling.html": "tests/dashboards/test_labelling_page.py",
    "labelling_closed.html": "tests/dashboards/test_labelling_page.py",
    "vision_zones.html": "tests/edge_agent/test_vision_page_real.py",
    "vision_sweep.html": "tests/edge_agent/test_vision_page_real.py",
    "tester_profile.html": "tests/trial/test_profile_page_real.py",
}
FRAMES = {"base.html", "sign_in_going.html"}  # the second leads on by itself at once: a heading and a link
BY_STEPS = {"sign_in_code.html", "refused.html"}  # test_the_way_in goes there
PRINTED = ("/incidents/riverside-incidentrow-0", "/handover", "/overview", "/permits", "/reports", "/audit",
           "/register", "/my-sites")


@pytest.fixture(scope="module")
def house() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tocsin-pages-") as folder:
        served = Served(Path(folder))
        yield served
        served.stop()


@pytest.mark.parametrize(("language", "width", "dark"), [
    ("zh", 360, False), ("en", 1400, True),
    pytest.param("en", 360, True, marks=pytest.mark.soak), pytest.param("zh", 1400, False, marks=pytest.mark.soak),
])
def test_every_page(browser, house: Served, language: str, width: int, dark: bool) -> None:
    assert "\n".join(look(browser, house, "admin", language, house.pages(), width=width, dark=dark)) == ""


def test_no_page_and_no_template_is_left_out(house: Served, monkeypatch) -> None:
    """What is visited is all that the application can show; what others show is visited by others."""
    drawn: set[str] = set()
    get = jinja2.Environment.get_template

    def seen(self: jinja2.Environment, name: str, *more: Any, **named: Any) -> jinja2.Template:
        drawn.add(name)
        return get(self, name, *more, **named)

    monkeypatch.setattr(jinja2.Environment, "get_template", seen)
    pages = house.pages()
    assert {entry.path for entry in NAVIGATION} & house.paths <= set(pages)
    every = {file.name for file in (PAGES / "templates").glob("*.html")}
    assert every - drawn - FRAMES - BY_STEPS - set(ELSEWHERE) == set()
    for test in set(ELSEWHERE.values()):
        assert re.search(r"Axe\(\)|Visit\(", (PAGES.parent / test).read_text(encoding="utf-8")), test


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_way_in(browser, house: Served, language: str) -> None:
    """Signing in by two steps, and being turned away."""
    accounts, name = house.real.accounts, f"coder-{language}"
    accounts.put(name, "a-long-enough-secret", role="resident", scope=SCOPE)
    cookie = accounts.enter(name, "a-long-enough-secret")
    assert cookie
    key, _ = accounts.begin_factor(cookie)
    accounts.confirm_factor(cookie, pyotp.TOTP(key).now(), "127.0.0.1")
    visit = Visit(browser, house.url, "", language)
    try:
        for path in ("/sign-in", "/offline", "/public"):
            visit.open(path)
            visit.check(path)
        visit.open("/sign-in")
        visit.page.locator("[name=name]").fill(name)
        visit.page.locator("[name=secret]").fill("a-long-enough-secret")
        visit.page.keyboard.press("Enter")
        visit.page.locator("[name=code]").wait_for()
        visit.check("/sign-in/code")
        visit.context.add_cookies([{"name": "tocsin_session", "value": house.real.cookies["resident", SCOPE],
                                    "url": house.url}])
        visit.open("/people", status=403)
        visit.check("/people, refused")
        assert visit.problems == []
    finally:
        visit.close()


# What the other roles may open is held against the table of rights by test_tenants.py, without a browser.
@pytest.mark.parametrize("role", [
    role if role in ("resident", "officer") else pytest.param(role, marks=pytest.mark.soak) for role in ROLE_NAMES])
def test_every_role_opens_its_pages(browser, house: Served, role: str) -> None:
    assert house.listed(role)
    assert look(browser, house, role, "en", house.listed(role), axe=False) == []


@pytest.mark.soak
@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_page_of_every_role(browser, house: Served, role: str, language: str) -> None:
    assert look(browser, house, role, language, house.listed(role)) == []


def test_the_keyboard_reaches_the_navigation(browser, house: Served) -> None:
    visit = Visit(browser, house.url, house.real.cookies["admin", SCOPE], "en")
    try:
        visit.open("/account")
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.className") == "skip"
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.getAttribute('href')") == house.listed("admin")[0]
        for _ in house.listed("admin")[1:]:
            visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.getAttribute('href')") == house.listed("admin")[-1]
        visit.page.wait_for_function("() => document.activeElement.getBoundingClientRect().right <= 361")
    finally:
        visit.close()


def test_printed_pages_are_dark_on_white_without_what_cannot_be_pressed_on_paper(browser, house: Served) -> None:
    visit = Visit(browser, house.url, house.real.cookies["admin", SCOPE], "zh", 800, dark=True)
    wrong = []
    try:
        visit.page.emulate_media(media="print", color_scheme="dark")
        for path in PRINTED:
            visit.open(path)
            shown = visit.page.locator(".site-nav, .tools, .skip, .jump, main form, main p.buttons, main .actions")
            wrong += [f"{path}: {one.evaluate('n => n.outerHTML')[:90]}" for one in shown.all() if one.is_visible()]
            ink = visit.page.evaluate("(({ color, backgroundColor }) => [color, backgroundColor])"
                                      "(getComputedStyle(document.body))")
            light = [sum(map(float, re.findall(r"[\d.]+", colour)[:3])) for colour in ink]
            if not light[0] < 300 < 660 < light[1]:
                wrong.append(f"{path}: {ink}")
        assert "\n".join(wrong) == ""
    finally:
        visit.close()


def test_no_file_of_the_pages_names_another_host() -> None:
    """Everything is served by the product itself: what a browser would fetch is never elsewhere."""
    fetched = re.compile(r"""(?:src|href|action)=["']?https?:|url\(["']?https?:"""
                         r"""|(?:from|import|fetch)\s*\(?["'`]https?:""")
    files = [file for folder in ("static", "templates") for file in (PAGES / folder).rglob("*")
             if file.suffix in (".js", ".css", ".html", ".svg") and "vendor" not in file.parts]
    assert len(files) > 60
    assert [str(file) for file in files if fetched.search(file.read_text(encoding="utf-8"))] == []


def test_the_pages_can_be_installed(browser, house: Served) -> None:
    """Manifest and icons as a browser wants them; the worker takes the pages, and shows its own without a server."""
    context = browser.new_context(locale="en-GB", viewport={"width": 360, "height": 780})
    context.add_cookies([{"name": "tocsin_language", "value": "en", "url": house.url}])
    page = context.new_page()
    try:
        page.goto(f"{house.url}/sign-in")
        manifest = page.request.get(house.url + page.locator("link[rel=manifest]").get_attribute("href")).json()
        assert manifest["display"] == "standalone" and manifest["start_url"] == "/" and manifest["name"]
        sizes = set()
        for icon in manifest["icons"]:
            answer = page.request.get(house.url + icon["src"])
            assert answer.ok and answer.headers["content-type"].startswith(icon["type"]), icon
            sizes.add(icon["sizes"])
        assert {"192x192", "512x512"} <= sizes
        found = context.new_cdp_session(page).send("Page.getInstallabilityErrors")
        # The browser of a test is a private one, which installs nothing; of the pages themselves it finds no fault.
        assert {one["errorId"] for one in found["installabilityErrors"]} <= {"in-incognito"}
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.wait_for_function("() => navigator.serviceWorker.controller !== null", timeout=PATIENCE_MS)
        context.set_offline(True)
        page.goto(f"{house.url}/board")
        expect(page.locator("main")).to_be_visible(timeout=PATIENCE_MS)
        assert "Tocsin" in page.title()
        assert page.locator(".card").count() == 0, "nothing old is shown"
    finally:
        context.close()
