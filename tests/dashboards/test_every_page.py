"""Every page of the navigation, for every role, in both languages: axe, 360 px, the budget of scripts, no errors.

Driven by the navigation itself, over the real application: a new page is covered from its first line on.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from real_app import RealApp

from dashboards.gate import routes_of
from dashboards.kit.navigation import NAVIGATION, destinations
from dashboards.people import Person
from dashboards.rights import ROLES
from device_model.system_clock import SystemClock

pytestmark = [pytest.mark.real, pytest.mark.timeout(280)]

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
         "resultTypes": ["violations"]}
SCRIPT_BYTES_MAX = 300 * 1024
SCOPE = "hangzhou/yuhang"
MORE = ("/incidents/riverside-incidentrow-0",)  # not in the navigation, one step behind it
ROLE_NAMES = [role for role in ROLES if role not in ("demo", "admin")]


class Served:
    """The real application on loopback, with everything that runs beside it."""

    def __init__(self, folder: Path) -> None:
        self.real = RealApp(folder, SystemClock())
        self._server = uvicorn.Server(uvicorn.Config(self.real.app, host="127.0.0.1", port=0, log_level="error",
                                                     lifespan="off", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        waiting = threading.Event()
        while not self._server.started:
            waiting.wait(0.02)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.paths = {name.removeprefix("GET ") for name, _ in routes_of(self.real.app.routes)}

    async def _run(self) -> None:
        beside = [asyncio.ensure_future(run()) for run in self.real.beside]
        await self._server.serve()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)

    def pages(self, role: str) -> list[str]:
        """What this role's navigation leads to."""
        return [entry.path for entry in destinations(Person("x", role, SCOPE)) if entry.path in self.paths]

    def stop(self) -> None:
        """End."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)
        self.real.close()


@pytest.fixture(scope="module")
def house() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tocsin-pages-") as folder:
        served = Served(Path(folder))
        yield served
        served.stop()


class Visit:
    """One page in the browser; what was wrong with it."""

    def __init__(self, browser: Any, house: Served, role: str, language: str, width: int = 360, dark: bool = False
                 ) -> None:
        self.house, self.role, self.language = house, role, language
        self.context = browser.new_context(
            locale="zh-CN" if language == "zh" else "en-GB", viewport={"width": width, "height": 780},
            color_scheme="dark" if dark else "light", reduced_motion="reduce", service_workers="block")
        cookies = [{"name": "tocsin_language", "value": language, "url": house.url}]
        if role:
            cookies.append({"name": "tocsin_session", "value": house.real.cookies[role, SCOPE], "url": house.url})
        self.context.add_cookies(cookies)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.script_bytes = 0
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("response", self._answered)

    def _answered(self, response: Any) -> None:
        if response.status >= 500:
            self.problems.append(f"{response.status} {response.url}")
        if response.request.resource_type == "script":
            self.script_bytes += int(response.headers.get("content-length", "0"))

    def open(self, path: str, settle_ms: int = 100) -> None:
        """Open and let it fetch what it shows."""
        self.script_bytes = 0
        answer = self.page.goto(self.house.url + path, wait_until="load")
        assert answer is not None
        if answer.status >= 400:
            self.problems.append(f"{path}: {answer.status}")
        self.page.wait_for_timeout(settle_ms)  # scripts fill the page after it has loaded; the stream never ends

    def check(self, path: str, *, axe: bool = True) -> None:
        """Width, scripts, marks, axe."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            self.problems.append(f"{path}: {wide} px too wide")
        if self.script_bytes > SCRIPT_BYTES_MAX:
            self.problems.append(f"{path}: {self.script_bytes} bytes of script")
        listed = path in [entry.path for entry in NAVIGATION] and len(self.house.pages(self.role)) > 1
        if listed and self.page.locator('.site-nav [aria-current="page"]').count() != 1:
            self.problems.append(f"{path}: its own entry is not marked")
        if axe:
            found = Axe().run(self.page, options=RULES).response["violations"]
            self.problems += [f"{path} ({self.language}): {one['id']}: {one['nodes'][0]['html'][:200]} "
                              f"{one['nodes'][0]['failureSummary'][:300]}" for one in found]

    def close(self) -> None:
        """Shut the tab."""
        self.context.close()


def look(browser: Any, house: Served, role: str, language: str, paths: list[str], *, axe: bool = True,
         width: int = 360, dark: bool = False) -> list[str]:
    visit = Visit(browser, house, role, language, width, dark)
    try:
        for path in paths:
            visit.open(path, 250 if axe else 100)
            visit.check(path, axe=axe)
        return visit.problems
    finally:
        visit.close()


def of_all(house: Served) -> list[str]:
    """Every page that anybody's navigation lists."""
    return [path for path in dict.fromkeys(entry.path for entry in NAVIGATION) if path in house.paths]


@pytest.mark.parametrize(("language", "width", "dark"), [
    ("zh", 360, False), ("en", 1400, True),
    pytest.param("en", 360, True, marks=pytest.mark.soak), pytest.param("zh", 1400, False, marks=pytest.mark.soak),
])
def test_every_page(browser, house: Served, language: str, width: int, dark: bool) -> None:
    assert "\n".join(look(browser, house, "admin", language, [*of_all(house), *MORE], width=width, dark=dark)) == ""


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_way_in(browser, house: Served, language: str) -> None:
    assert look(browser, house, "", language, ["/sign-in", "/offline"]) == []


# What the other roles may open is held against the table of rights by test_tenants.py, without a browser.
@pytest.mark.parametrize("role", [
    role if role in ("resident", "officer") else pytest.param(role, marks=pytest.mark.soak) for role in ROLE_NAMES])
def test_every_role_opens_its_pages(browser, house: Served, role: str) -> None:
    assert house.pages(role)
    assert look(browser, house, role, "en", house.pages(role), axe=False) == []


@pytest.mark.soak
@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_page_of_every_role(browser, house: Served, role: str, language: str) -> None:
    assert look(browser, house, role, language, house.pages(role)) == []


def test_the_keyboard_reaches_the_navigation(browser, house: Served) -> None:
    visit = Visit(browser, house, "admin", "en")
    try:
        visit.open("/account")
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.className") == "skip"
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.getAttribute('href')") == house.pages("admin")[0]
        for _ in house.pages("admin")[1:]:
            visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.getAttribute('href')") == house.pages("admin")[-1]
        visit.page.wait_for_timeout(300)
        assert visit.page.evaluate("document.activeElement.getBoundingClientRect().right") <= 361
    finally:
        visit.close()
