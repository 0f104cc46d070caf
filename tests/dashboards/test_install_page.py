"""The installer's page on the gateway: who may act, its whole path on a phone, both languages, axe."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from install_house import MemoryInstaller
from local_gateway import HandGateway

from dashboards.local_page import create_local_app
from dashboards.pins import PinDoor, set_pin

SHOTS = os.environ.get("TOCSIN_SHOTS", "")
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
         "resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    file = tmp_path_factory.mktemp("pins") / "pins.json"
    set_pin(file, "Li Wei", "274951")
    return PinDoor(file, time.monotonic)


@pytest.fixture
def installer():
    return MemoryInstaller()


def test_looking_is_open_and_every_deed_needs_the_pin(door, installer):
    client = TestClient(create_local_app(HandGateway(), door, installer))
    assert client.get("/install").status_code == 200
    assert client.get("/api/install").json()["claim"]["code"] == "7K3F-Q9XM-2TD"
    assert client.get("/install/report.pdf").content.startswith(b"%PDF")
    assert client.get("/api/install/photos/x").status_code == 404
    assert client.get("/api/install/plan", params={"floor": "../../etc"}).status_code == 404
    deeds = {"scan": {"kind": "tcp", "target": "h"}, "save": {}, "undo": {},
             "walk": {"subject": "a", "step": "begin"}, "interlock": {"subject": "a", "step": "drive"},
             "table": {"text": ""}, "photos?device=a": {}}
    for deed, body in deeds.items():
        assert client.post(f"/api/install/{deed}", json=body, headers={"x-tocsin": "local"}).status_code == 403, deed
    assert not installer.saved and not installer.steps and not installer.undone
    csrf = client.post("/api/sign-in", json={"name": "Li Wei", "pin": "274951"}, headers={"x-tocsin": "local"}).json()
    headers = {"x-tocsin": "local", "x-tocsin-csrf": csrf["csrf"]}
    refused = client.post("/api/install/scan", json={"kind": "tcp", "target": "192.0.2.66"}, headers=headers)
    assert refused.status_code == 409 and "unreachable" in refused.json()["refusal"]
    assert client.post("/api/install/scan", json={"kind": "x", "target": ""}, headers=headers).status_code == 400
    assert client.post("/api/install/photos?device=a", content=b"x" * (5 * 2**20), headers=headers).status_code == 413


class Served:
    def __init__(self, door, installer) -> None:
        self._server = uvicorn.Server(uvicorn.Config(create_local_app(HandGateway(), door, installer),
                                                     host="127.0.0.1", port=0, log_level="error"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        ready = threading.Event()
        while not self._server.started:
            ready.wait(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_whole_path_on_a_phone(browser, door, installer, language):
    served = Served(door, installer)
    context = browser.new_context(viewport={"width": 360, "height": 780}, locale=language, accept_downloads=False)
    context.add_cookies([{"name": "tocsin_language", "value": language, "url": served.url}])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(f"{served.url}/install")
        page.wait_for_selector("#claim .big")
        page.click("#sign")
        page.fill("#pin-name", "Li Wei")
        page.fill("#pin-pin", "274951")
        page.keyboard.press("Enter")
        page.wait_for_selector("#who:has-text('Li Wei')")
        page.fill("#target", "192.0.2.10:502")
        page.click("#scan-go")
        page.wait_for_selector("#found li")
        page.fill("#found li input >> nth=1", "厨房")
        page.click("#found li button.primary")
        page.wait_for_selector("#plan .pin:has-text('calectro-ug3-2')")
        page.focus("#plan .pin[aria-label='calectro-ug3-2']")
        page.keyboard.press("ArrowRight")
        page.click("#check")
        page.wait_for_selector("#write:not([hidden])")
        assert "calectro-ug3-2" in page.inner_text("#diff")
        page.click("#write")
        page.wait_for_selector("#saved.good")
        placed = installer.saved[0].devices[0]
        assert (placed.unit, placed.place_zh) == (2, "厨房") and placed.plan_x is not None
        page.click("#walk li >> nth=0 >> button.primary")
        page.wait_for_selector("#walk li.passed")
        assert page.locator("#walk li >> nth=1 >> .wrong").count() == 1, "a call point says that it is real"
        page.click("#lock button.primary")
        page.wait_for_selector("#lock li.passed")
        wide = page.evaluate("[...document.querySelectorAll('body *')]"
                             ".filter(n => n.getBoundingClientRect().right > 361)"
                             ".map(n => n.outerHTML.slice(0, 90))")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, wide
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/install-{language}.png", full_page=True)
        found = Axe().run(page, options=RULES).response["violations"]
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]
        assert not errors
    finally:
        context.close()
        served.stop()
