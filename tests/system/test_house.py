"""Separate commands as README says, people who sign in, the board in a browser, and an acknowledgement that stays."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.system.house import PATH, WITHIN_S, House, tocsin, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]
MS = 1000


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Started by hand as README says: enrol, cloud, gateway; nobody gets in without signing in."""
    house = House(tmp_path_factory.mktemp("guarded"), sign_in="required")
    try:
        house.cloud.start()
        enrolled = tocsin("cloud", "enrol", PATH, "gw-1", "--out", str(house.folder / "keys"), "--config",
                          str(house.cloud_file))
        assert enrolled.returncode == 0, enrolled.stderr
        until(lambda: house.http("GET", "/health")[0] == 200, house.said)
        house.gateway.start()
        yield house
    finally:
        house.close()


FORM = "application/x-www-form-urlencoded"
OWN = "correct-horse-battery"


def sign_in(house: House) -> str:
    """Signed in as admin, the one-time secret replaced at the first time."""
    (secret,) = set(house.admin_secrets())
    status, _ = until(lambda: house.http("POST", "/sign-in", f"name=admin&secret={OWN}", FORM), house.said)
    if status != 303:
        assert house.http("POST", "/sign-in", f"name=admin&secret={secret}", FORM)[0] == 303
        assert house.http("GET", "/api/board")[0] == 403  # nothing is open to a one-time secret
        assert house.http("POST", "/account/password", f"old={secret}&new={OWN}&again={OWN}", FORM)[0] == 303
    return secret


def test_by_hand(guarded: House) -> None:
    house = guarded
    house.cookie = ""
    for method, path in (("GET", "/api/board"), ("GET", "/api/board/events"), ("GET", "/api/incidents/x"),
                         ("POST", "/api/incidents/x/actions")):
        status, text = house.http(method, path, "{}" if method == "POST" else None)
        assert (status, "sign in first" in text) == (401, True), (method, path, status, text)
    assert house.http("GET", "/board")[0] == 303
    assert house.http("POST", "/sign-in", "name=admin&secret=guess", FORM)[0] == 403
    secret = sign_in(house)
    view = house.gateway_heard()
    assert (view["gateway"], view["silent"]) == ("gw-1", False)
    # Said once, at the first start only, and kept nowhere.
    house.cloud.stop()
    house.cloud.start()
    until(house.board, house.said)
    assert house.cloud.said().count(secret) == 1
    assert len(house.admin_secrets()) == 1
    kept = []
    for file in (house.folder / "state").rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the broker's own files come and go
            if file.is_file() and secret.encode() in file.read_bytes():
                kept.append(file)
    assert kept == []
    house.gateway_heard()


def test_acknowledged_survives(guarded: House) -> None:
    """Done, said the board; then every process of the cloud is killed at once."""
    house = guarded
    sign_in(house)
    house.gateway_heard()
    house.devices.set("smoke-101", "smoke", True)
    (incident,) = until(lambda: house.incidents_of("101"), house.said)
    answer = house.act(incident["id"], "acknowledge", "click-00000001")
    victims = house.cloud_processes()
    for process in victims:
        os.kill(process, signal.SIGKILL)
    assert answer["done"], answer
    assert len(victims) >= 6, victims  # supervisor, broker, nats-server, ingest, worker, web
    assert house.cloud.exited() == -signal.SIGKILL
    house.cloud.start()
    (after,) = until(lambda: [i for i in house.incidents_of("101") if i.get("gateway_told_us")], house.said)
    assert (after["id"], after["acknowledged_by"]) == (incident["id"], "admin")
    words = [entry["what"] for entry in after["log"]]
    assert (words.count("acknowledged"), words.count("raised"), words.count("opened")) == (1, 1, 1), after["log"]
    assert "Traceback" not in house.cloud.said()


def test_the_board_in_a_browser(guarded: House, browser) -> None:
    house = guarded
    sign_in(house)
    house.gateway_heard()
    page = browser.new_context(locale="en-GB", viewport={"width": 1400, "height": 900}).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"http://127.0.0.1:{house.web_port}/board")
    page.locator("[name=name]").fill("admin")
    page.locator("[name=secret]").fill(OWN)
    page.locator("[name=secret]").press("Enter")
    expect(page.locator("#link")).to_have_class("link live", timeout=WITHIN_S * MS)

    house.devices.set("smoke-102", "smoke", True)
    card = page.locator(".card", has_text="Flat 102")
    expect(card).to_have_count(1, timeout=WITHIN_S * MS)
    expect(card).to_contain_text("Small House · Building 102 · 1st floor · Flat 102")
    card.click()
    detail = page.locator("#detail")
    expect(detail).to_contain_text("Chen Jing")
    page.locator("[data-action=acknowledge]").click()
    expect(card).to_contain_text("Acknowledged by admin", timeout=WITHIN_S * MS)
    expect(detail).to_contain_text(re.compile("gateway knows", re.IGNORECASE), timeout=WITHIN_S * MS)

    # The web role dies and may not come back at once: the page must say so by itself within 5 s.
    supervisor = house.cloud.pid
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(house.role("web"), signal.SIGKILL)
        expect(page.locator("#link")).to_contain_text("STALE")
        expect(page.locator("#banner")).to_be_visible()
    finally:
        os.kill(supervisor, signal.SIGCONT)
    expect(page.locator("#link")).to_have_class("link live", timeout=WITHIN_S * MS)
    expect(card).to_contain_text("Acknowledged by admin")
    # What happens after the recovery is shown, too.
    house.devices.set("smoke-103", "smoke", True)
    expect(page.locator(".card", has_text="Flat 103")).to_have_count(1, timeout=WITHIN_S * MS)
    assert problems == []
