"""The main path of every role on its first day, in a browser, on the real system with the simulator.

One estate is started for all; the roles come one after another, as on a first day: the administrator lets them in, the
tester makes smoke, the brigade sees and ends it, the desk is asked who is on duty, the officer approves a permit that
the property asked for, and the auditor reads who did what. Nothing waits for a time: each step waits for what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.system.house import OWN_SECRET, PATH, until
from tests.system.paths_house import INSTALLER, PEOPLE, PIN, SECRET, WITHIN_S, PathsHouse

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(280)]
MS = 1000
RESIDENT = "Resident Zhou"
NOTHING = "[data-nothing]"


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


def one_time(page: Page) -> str:
    return page.locator("code.big").inner_text()


def test_the_administrator_lets_people_in(estate: PathsHouse, people: People) -> None:
    page = people.page("admin")
    (secret,) = set(until(estate.admin_secrets, estate.said))
    sign_in(page, estate, "admin", secret)
    page.goto(f"{estate.url}/people")
    expect(page).to_have_url(re.compile("/account"))  # the one-time secret opens nothing else
    own_password(page, secret, OWN_SECRET)
    page.goto(f"{estate.url}/people")
    form = page.locator("form[action='/people/add']")
    form.get_by_label("Name").fill(RESIDENT)
    form.locator("[name=role]").select_option("resident")
    form.locator("[name=scope]").fill(PATH)
    form.get_by_role("button").click()
    first = one_time(page)
    card = page.locator("ul.people > li", has=page.get_by_role("heading", name=RESIDENT))
    card.locator("summary").click()
    card.locator("form[action='/people/reset'] button").click()
    second = one_time(page)
    assert first != second

    phone = people.page(RESIDENT, width=360)
    sign_in(phone, estate, RESIDENT, second)
    own_password(phone, second, SECRET)
    phone.goto(f"{estate.url}/building")
    live(phone)
    expect(phone.locator("#alarms")).to_contain_text("No alarm")
