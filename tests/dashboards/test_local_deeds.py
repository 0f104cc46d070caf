"""Permits on site, outputs by hand, cameras' link on the gateway's page: who may, by phone, axe, both languages."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from local_gateway import HandGateway, ServedLocal

from dashboards.local_page import create_local_app
from dashboards.local_permit_view import PermitAsk, SwitchAsk
from dashboards.pin_rights import CONTRACTOR, DUTY
from dashboards.pins import PinDoor, set_pin

SHOTS = os.environ.get("TOCSIN_SHOTS", "")
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
         "resultTypes": ["violations"]}
PIN = "274951"
START = {"permit": "HW-1", "act": "start", "request": "press-0001"}
HORN = {"output": "valve", "on": True, "why": "leak seen", "request": "press-0002", "minutes": 5.0}


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    file = tmp_path_factory.mktemp("pins") / "pins.json"
    set_pin(file, "Li Wei", PIN)
    set_pin(file, "Zhao Min", PIN, DUTY)
    set_pin(file, "Wang Qiang", PIN, CONTRACTOR)
    return PinDoor(file, time.monotonic)


@pytest.fixture
def client(door):
    gateway = HandGateway()
    made = TestClient(create_local_app(gateway, door))
    made.gateway = gateway
    return made


def signed_in(client, name: str) -> dict[str, str]:
    told = client.post("/api/sign-in", json={"name": name, "pin": PIN}, headers={"x-tocsin": "local"}).json()
    return {"x-tocsin": "local", "x-tocsin-csrf": told["csrf"]}


def test_nobody_without_a_pin(client):
    for path, body in (("/api/permit", START), ("/api/switch", HORN)):
        assert client.post(path, json=body, headers={"x-tocsin": "local"}).status_code == 403
    assert client.get("/api/cameras").json() is None and client.gateway.acts == []


@pytest.mark.parametrize(("who", "path", "body", "status"), [
    ("Li Wei", "/api/permit", START, 200), ("Zhao Min", "/api/permit", START, 200),
    ("Wang Qiang", "/api/permit", START, 200), ("Wang Qiang", "/api/permit", {**START, "act": "close"}, 403),
    ("Zhao Min", "/api/permit", {**START, "act": "close"}, 200),
    ("Li Wei", "/api/switch", HORN, 200), ("Zhao Min", "/api/switch", HORN, 403),
    ("Wang Qiang", "/api/switch", HORN, 403),
    ("Li Wei", "/api/switch", {**HORN, "why": " "}, 400), ("Li Wei", "/api/switch", {**HORN, "minutes": 31.0}, 400),
    ("Li Wei", "/api/switch", {**HORN, "minutes": 0.0}, 400),
    ("Li Wei", "/api/switch", {**HORN, "request": "x"}, 400),
    ("Li Wei", "/api/permit", {**START, "where": "x" * 301}, 400), ("Li Wei", "/api/permit", {"permit": 1}, 400),
    ("Li Wei", "/api/permit", {**START, "who": "somebody else"}, 400),
])
def test_who_may_by_the_role_of_the_pin(client, who, path, body, status):
    answer = client.post(path, json=body, headers=signed_in(client, who))
    assert answer.status_code == status, answer.text
    assert [by for _, by in client.gateway.acts] == ([who] if status == 200 else [])


def test_what_the_gateway_refuses_is_said(client):
    client.gateway.answer = (False, "the fire watcher is not on the spot · 监护人未到位")
    answer = client.post("/api/permit", json=START, headers=signed_in(client, "Zhao Min"))
    assert answer.status_code == 409 and "监护人未到位" in answer.json()["refusal"]


def test_the_cameras_are_linked_for_whoever_may_see_them(client):
    signed_in(client, "Li Wei")
    assert client.get("/api/cameras").json() == {"port": 8444, "secure": False}
    signed_in(client, "Zhao Min")
    assert client.get("/api/cameras").json() is None


@pytest.fixture(scope="module")
def served(door):
    local = ServedLocal(door)
    yield local
    local.stop()


def opened(browser, served, width: int, locale: str, scheme: str):
    page = browser.new_context(locale=locale, viewport={"width": width, "height": 900}, color_scheme=scheme,
                               reduced_motion="reduce", service_workers="block").new_page()
    page.set_default_timeout(60_000)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(served.url)
    page.locator("#permits .permit").first.wait_for()
    return page


def looked(page, name: str) -> None:
    found = Axe().run(page, options=RULES).response["violations"]
    assert found == [], [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


@pytest.mark.real
@pytest.mark.parametrize(("width", "locale", "scheme"), [
    (390, "zh-CN", "light"), (1400, "en-GB", "light"), (390, "en-GB", "dark"), (1400, "zh-CN", "dark")])
def test_axe_finds_nothing_with_each_panel_open(browser, served, width, locale, scheme):
    page = opened(browser, served, width, locale, scheme)
    name = f"local-{width}-{locale[:2]}-{scheme}"
    looked(page, name)
    page.locator("[data-key='permit:HW-1:sample']").click()
    looked(page, f"{name}-pin")
    page.locator("#pin-name").fill("Li Wei")
    page.locator("#pin-pin").fill(PIN)
    page.keyboard.press("Enter")
    page.locator("#sample[open]").wait_for()
    page.locator("#sample-value").fill("12")
    page.locator("#sample-unit").select_option("lel")
    looked(page, f"{name}-sample")
    page.locator("#sample-cancel").click()
    page.locator("[data-key='permit:HW-2:watcher_on']").click()
    looked(page, f"{name}-deed")
    page.locator("#deed-cancel").click()
    page.locator("[data-key='hand:valve']").click()
    page.locator("#switch-why").fill("leak seen")
    looked(page, f"{name}-switch")
    page.keyboard.press("Enter")
    page.locator("#switch-sure:not([hidden])").wait_for()
    looked(page, f"{name}-sure")
    page.locator("#switch-cancel").click()
    page.locator("[data-key='story:HW-1']").click()
    looked(page, f"{name}-story")
    assert page.faults == []
    page.context.close()


@pytest.mark.real
def test_a_person_does_it_by_keyboard(browser, served):
    from playwright.sync_api import expect

    served.gateway.acts.clear()
    page = opened(browser, served, 390, "en-GB", "light")
    expect(page.locator("[data-key='permit:HW-2:start']")).to_be_disabled()
    expect(page.locator(".permit", has_text="HW-2").locator(".missing")).to_contain_text("No gas sample")
    expect(page.locator("#cameras")).to_be_hidden()
    page.locator("[data-key='permit:HW-2:watcher_on']").press("Enter")
    page.locator("#pin-name").fill("Li Wei")
    page.locator("#pin-pin").fill(PIN)
    page.keyboard.press("Enter")
    expect(page.locator("#deed-ask")).to_contain_text("Li Wei: You become the fire watcher")
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Done: I watch here")
    link = page.locator("#cameras")
    expect(link).to_be_visible()
    assert ":8444/cameras?gateway=" in (link.get_attribute("href") or "")
    page.locator("[data-key='permit:HW-1:sample']").press("Enter")
    page.locator("#sample-list button").press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Done: Gas sample")
    page.locator("[data-key='permit:HW-2:sample']").press("Enter")
    page.locator("#sample-gas").select_option("propane")
    page.locator("#sample-value").fill("0.1")
    page.locator("#sample-where").fill("pit")
    expect(page.locator("#sample-verdict")).to_contain_text("0.1 % vol = 4.8 %LEL: below the limit")
    page.keyboard.press("Enter")
    expect(page.locator("#sample")).to_be_hidden()
    page.locator("[data-key='hand:valve']").press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("#switch-sure")).to_be_hidden()  # no reason, no second step
    page.keyboard.type("leak seen")
    page.keyboard.press("Enter")
    expect(page.locator("#switch-words")).to_contain_text("Li Wei switches valve ON now")
    expect(page.locator("#switch-words")).to_contain_text("until it is reset here")
    served.gateway.answer = (False, "valve is inhibited: end that first")
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Refused: valve is inhibited")
    served.gateway.answer = (True, "applied")
    asked = [one for one, _ in served.gateway.acts]
    assert [type(one) for one in asked] == [PermitAsk, PermitAsk, PermitAsk, SwitchAsk]
    assert (asked[0].act, asked[1].point, asked[2].value, asked[2].gas) == ("watcher_on", "gas-1.gas", 0.1, "propane")
    assert (asked[3].output, asked[3].on, asked[3].why) == ("valve", True, "leak seen")
    assert page.faults == []
    page.context.close()
