"""The local page: who may act, what it shows, and that a keyboard, a small screen and both languages do."""
# ruff: noqa: E501  the script for contrast

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from local_gateway import HandGateway, ServedLocal

from dashboards.local_page import create_local_app
from dashboards.local_view import LocalView
from dashboards.pins import PinDoor, set_pin

CLICK = {"action": "acknowledge", "target": "a1", "request": "click-0001"}


@pytest.fixture
def door(tmp_path):
    set_pin(tmp_path / "pins.json", "Li Wei", "274951")
    return PinDoor(tmp_path / "pins.json", time.monotonic)


@pytest.fixture
def client(door):
    gateway = HandGateway()
    made = TestClient(create_local_app(gateway, door))
    made.gateway = gateway
    return made


def sign_in(client) -> dict[str, str]:
    answer = client.post("/api/sign-in", json={"name": "Li Wei", "pin": "274951"}, headers={"x-tocsin": "local"})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    return {"x-tocsin": "local", "x-tocsin-csrf": answer.json()["csrf"]}


def test_everybody_may_look_and_nobody_may_act_without_a_pin(client):
    assert client.get("/api/view").json()["alarms"][0]["id"] == "a1"
    assert client.post("/api/act", json=CLICK, headers={"x-tocsin": "local"}).status_code == 403
    assert client.gateway.acts == []


def test_with_a_pin(client):
    headers = sign_in(client)
    answer = client.post("/api/act", json=CLICK, headers=headers)
    assert answer.status_code == 200 and client.gateway.acts == [("acknowledge", "a1", "Li Wei")]
    client.gateway.answer = (False, "refused by law of safety 3")
    answer = client.post("/api/act", json={**CLICK, "action": "reset"}, headers=headers)
    assert answer.status_code == 409 and "law of safety 3" in answer.json()["refusal"]
    client.post("/api/sign-out", headers=headers)
    assert client.post("/api/act", json=CLICK, headers=headers).status_code == 403


@pytest.mark.parametrize("drop", ["x-tocsin", "x-tocsin-csrf"])
def test_a_forged_click_of_a_signed_in_person_does_nothing(client, drop):
    headers = {name: value for name, value in sign_in(client).items() if name != drop}
    assert client.post("/api/act", json=CLICK, headers=headers).status_code == 403
    assert client.post("/api/act", json=CLICK, headers={**headers, "x-tocsin-csrf": "other"}).status_code == 403
    assert client.gateway.acts == []


@pytest.mark.parametrize("body", [
    {**CLICK, "action": "write"}, {**CLICK, "request": "x"}, {"action": 1}, {**CLICK, "why": "x" * 400},
    {**CLICK, "target": "x" * 5000},
])
def test_what_is_no_click_of_ours_is_refused(client, body):
    assert client.post("/api/act", json=body, headers=sign_in(client)).status_code == 400
    assert client.gateway.acts == []


def test_wrong_pins_lock_the_page(client):
    for _ in range(5):
        assert client.post("/api/sign-in", json={"name": "Li Wei", "pin": "000111"},
                           headers={"x-tocsin": "local"}).status_code == 403
    locked = client.post("/api/sign-in", json={"name": "Li Wei", "pin": "274951"}, headers={"x-tocsin": "local"})
    assert locked.status_code == 429 and locked.json()["minutes"] == 5
    assert client.post("/api/sign-in", json={"name": "Li Wei", "pin": "274951"}).status_code == 403


def test_pages_hold_no_data_and_load_nothing_from_afar(client):
    for path in ("/", "/matrix"):
        page = client.get(path, headers={"accept-language": "zh-CN"})
        assert page.status_code == 200 and "http://" not in page.text and "https://" not in page.text
        assert "Riverside" not in page.text and page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "因果逻辑表" in client.get("/matrix").text and client.get("/health").text == "ok"


@pytest.fixture
def served(door):
    local = ServedLocal(door)
    yield local
    local.stop()


@pytest.fixture
def open_page(browser):
    contexts = []

    def opened(url: str, **options):
        context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.real
def test_a_person_acknowledges_with_the_keyboard_alone(served, open_page):
    from playwright.sync_api import expect

    page = open_page(served.url)
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#alarms .card")).to_have_count(1)
    expect(page.locator("#alarms")).to_contain_text("Flat 301, kitchen")
    button = page.get_by_role("button", name="Acknowledge: Smoke alarm")
    for _ in range(12):
        page.keyboard.press("Tab")
        if button.evaluate("node => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.keyboard.type("Li Wei")
    page.keyboard.press("Tab")
    page.keyboard.type("000000")
    page.keyboard.press("Enter")
    expect(page.locator("#pin-wrong")).to_have_text("Name or PIN is wrong.")
    page.keyboard.type("274951")
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Done: Acknowledge")
    assert served.gateway.acts == [("acknowledge", "a1", "Li Wei")], "the click that asked for the PIN is carried out"
    expect(page.locator("#alarms")).to_contain_text("acknowledged by Li Wei")
    page.get_by_role("button", name="Silence: horn").press("Enter")
    expect(page.locator("#outcome")).to_contain_text("Done: Silence")
    served.gateway.answer = (False, "smoke-301.smoke is still in alarm")
    page.get_by_role("button", name="Reset: Smoke alarm").click()
    expect(page.locator("#outcome")).to_contain_text("Refused: smoke-301.smoke is still in alarm")
    assert page.faults == []


@pytest.mark.real
def test_a_gateway_that_does_not_answer_is_said_and_seen(served, open_page):
    from playwright.sync_api import expect

    page = open_page(served.url)
    expect(page.locator("#link")).to_have_text("live")
    served.gateway.shown = LocalView(False)
    expect(page.locator("#link")).to_have_text("STALE")
    expect(page.locator("#stale")).to_be_visible()
    assert page.locator("body").evaluate("node => node.classList.contains('stale-page')")


@pytest.mark.real
@pytest.mark.parametrize(("width", "scheme", "locale"), [(360, "dark", "zh-CN"), (360, "light", "en-GB"),
                                                         (1280, "dark", "en-GB"), (1280, "light", "zh-CN")])
def test_small_and_large_dark_and_light_in_both_languages(served, open_page, width, scheme, locale, tmp_path):
    from playwright.sync_api import expect

    page = open_page(served.url, viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale)
    expect(page.locator("#alarms")).to_contain_text("感烟报警" if locale == "zh-CN" else "Smoke alarm")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is cut off sideways"
    assert page.evaluate(CONTRAST) == [], "each text has the contrast of WCAG 2.2 AA"
    page.locator("#values button").nth(1).click()
    expect(page.locator("#plot svg .trace")).to_have_count(1)
    assert page.locator("#plot .trace").get_attribute("d").count("M") == 2, "a gap breaks the line"
    page.screenshot(path=str(tmp_path / "plot.png"))
    page.keyboard.press("Escape")
    expect(page.locator("#plot")).to_be_hidden()
    page.goto(served.url + "/matrix")
    expect(page.locator("table.cause-effect")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.faults == []


# Contrast of each visible text against the colour behind it (WCAG 2.2, 1.4.3).
CONTRAST = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => { const f = (c) => { c /= 255; return c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; };
    return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const behind = (node) => { for (; node; node = node.parentElement) {
    const c = rgb(getComputedStyle(node).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !node.checkVisibility()) continue;
    const style = getComputedStyle(node), box = node.getBoundingClientRect();
    if (box.width < 2 || box.right < 0 || node.closest("dialog:not([open])")) continue;
    const a = light(rgb(style.color)), b = light(behind(node)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.push(`${node.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


def test_the_view_has_everything_a_page_needs():
    names = {field.name for field in msgspec.structs.fields(LocalView)}
    assert {"alarms", "outputs", "lacks", "points", "journal_ok", "cloud"} <= names
