"""Pages of the real application in a browser: which there are, and what is wrong with one.

    routes of the application ──► pages(): every GET that answers with HTML ──► Visit.open, Visit.check
                                                                               width, script, hosts, marks, axe

The list of pages is never written down: a new route is visited from its first line on.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvicorn
from axe_playwright_python.sync_playwright import Axe

from dashboards.gate import routes_of
from dashboards.kit.navigation import NAVIGATION, destinations
from dashboards.kit.texts import text
from dashboards.people import Person
from device_model.system_clock import SystemClock
from tests.dashboards.real_app import RealApp

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
         "resultTypes": ["violations"]}
SCRIPT_BYTES_MAX = 300 * 1024
SCOPE = "hangzhou/yuhang"
WIDTHS = (360, 1400)
PATIENCE_MS = 60_000  # how long a loaded machine may take; nothing here asserts that something is fast
# One thing behind each route that names one; a route with another name must be given one here.
EXAMPLES = {"incident": "riverside-incidentrow-0"}
_FILES = {".pdf", ".csv", ".json", ".js", ".webmanifest", ".{kind}", ".{language}"}
_NO_PAGES = ("/api/", "/language/", "/texts/", "/evidence/", "/photos/", "/plans/")
# The page is drawn: its stream is live, and nothing says any more that it is being fetched.
DRAWN = """words => {
  const link = document.getElementById("link");
  const loading = [...document.querySelectorAll(".empty")].some(n => n.textContent === words);
  return !loading && (!link || link.classList.contains("live"));
}"""


def page_routes(routes: Any) -> list[tuple[str, str]]:
    """(route, an address of it) of every route that may be a page. KeyError for one without an example."""
    found = []
    for name, mount in routes_of(routes):
        method, _, path = name.partition(" ")
        last = "." + path.rpartition("/")[2].rpartition(".")[2]
        if mount or method != "GET" or path.startswith(_NO_PAGES) or last in _FILES:
            continue
        found.append((path, "/".join(EXAMPLES[part.strip("{}")] if part.startswith("{") else part
                                     for part in path.split("/"))))
    return found


class Served:
    """The real application on loopback, with everything that runs beside it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.real = RealApp(folder, SystemClock(), **settings)
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

    def listed(self, role: str) -> list[str]:
        """What this role's navigation leads to."""
        return [entry.path for entry in destinations(Person("x", role, SCOPE)) if entry.path in self.paths]

    def pages(self) -> list[str]:
        """Every page that the application has, as the administrator gets it: found, not listed."""
        found = []
        with httpx.Client(base_url=self.url, cookies={"tocsin_session": self.real.cookies["admin", SCOPE]},
                          follow_redirects=False, timeout=60) as client:
            for _, path in page_routes(self.real.app.routes):
                answer = client.get(path)
                if answer.status_code == 200 and answer.headers.get("content-type", "").startswith("text/html"):
                    found.append(path)
        return found

    def stop(self) -> None:
        """End."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)
        self.real.close()


class Visit:
    """One person's tab in the browser; what was wrong with what it showed."""

    def __init__(self, browser: Any, url: str, cookie: str, language: str, width: int = 360, dark: bool = False
                 ) -> None:
        self.url, self.language = url, language
        self.context = browser.new_context(
            locale="zh-CN" if language == "zh" else "en-GB", viewport={"width": width, "height": 780},
            color_scheme="dark" if dark else "light", reduced_motion="reduce", service_workers="block")
        cookies = [{"name": "tocsin_language", "value": language, "url": url}]
        if cookie:
            cookies.append({"name": "tocsin_session", "value": cookie, "url": url})
        self.context.add_cookies(cookies)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.problems: list[str] = []
        self.scripts: dict[str, int] = {}
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def _asked(self, request: Any) -> None:
        if urlsplit(request.url).netloc not in ("", urlsplit(self.url).netloc):
            self.problems.append(f"asks another host: {request.url}")

    def _answered(self, response: Any) -> None:
        if response.status >= 500:
            self.problems.append(f"{response.status} {response.url}")
        if response.request.resource_type == "script":
            self.scripts[response.url] = int(response.headers.get("content-length", "0"))

    def open(self, path: str, status: int = 200) -> None:
        """Open it and wait until it shows what it has."""
        self.scripts = {}
        answer = self.page.goto(self.url + path, wait_until="load")
        assert answer is not None
        if answer.status != status:
            self.problems.append(f"{path}: {answer.status}")
        self.page.wait_for_function(DRAWN, arg=text("incidents.loading", self.language))

    def check(self, path: str, *, marked: bool = False, axe: bool = True) -> None:
        """Widths, script, marks, axe."""
        size = self.page.viewport_size
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": size["height"]})
            wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                self.problems.append(f"{path} ({self.language}): {wide} px wider than {width} px")
        self.page.set_viewport_size(size)
        if (script := sum(self.scripts.values())) > SCRIPT_BYTES_MAX:
            self.problems.append(f"{path}: {script} bytes of script")
        if marked and self.page.locator('.site-nav [aria-current="page"]').count() != 1:
            self.problems.append(f"{path}: its own entry is not marked")
        if axe:
            found = Axe().run(self.page, options=RULES).response["violations"]
            self.problems += [f"{path} ({self.language}): {one['id']}: {one['nodes'][0]['html'][:200]} "
                              f"{one['nodes'][0]['failureSummary'][:300]}" for one in found]

    def close(self) -> None:
        """Shut the tab."""
        self.context.close()


def listed(path: str) -> bool:
    """Whether the navigation has it."""
    return path in [entry.path for entry in NAVIGATION]


def look(browser: Any, house: Served, role: str, language: str, paths: list[str], *, axe: bool = True,
         width: int = 360, dark: bool = False) -> list[str]:
    """What is wrong with these pages, as that role sees them."""
    cookie = house.real.cookies[role, SCOPE] if role else ""
    visit = Visit(browser, house.url, cookie, language, width, dark)
    try:
        for path in paths:
            visit.open(path)
            visit.check(path, marked=bool(role) and listed(path) and len(house.listed(role)) > 1, axe=axe)
        return visit.problems
    finally:
        visit.close()
