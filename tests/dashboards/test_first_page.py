"""The page of a bare gateway: who may set it up, what a stranger sees, both languages on a phone, axe."""

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

from test_install_page import RULES

from dashboards.first_pages import create_first_app
from dashboards.pins import PinDoor
from device_model.errors import ConfigError, LocalFault, PeerRefused, PeerSilent
from edge_agent.install_first import FirstDay, Given, page_certificate, read_given

SHOTS = os.environ.get("TOCSIN_SHOTS", "")
OURS = {"x-tocsin": "local"}


class House:
    """A folder, its page, and a count of starts. Nobody is asked over the network."""

    def __init__(self, folder: Path, given: Given | None = None) -> None:
        self.config, self.started = folder / "box" / "site.yaml", 0
        self.config.parent.mkdir()
        self.first = FirstDay(self.config, given or Given(), 8443, self._start)
        self.door = PinDoor(folder / "box" / "pins.json", time.monotonic)
        self.app = create_first_app(self.first, self.door, ("gateway.local",))

    def _start(self, _: Path) -> None:
        self.started += 1

    def signed_in(self, client: TestClient) -> dict[str, str]:
        asked = {"name": "Li Wei", "pin": "274951"}
        assert client.post("/api/first/pin", json=asked, headers=OURS).status_code == 200
        answer = client.post("/api/sign-in", json=asked, headers=OURS).json()
        return {**OURS, "x-tocsin-csrf": answer["csrf"]}


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def client_of(house: House, base: str = "http://127.0.0.1") -> TestClient:
    return TestClient(house.app, base_url=base)


def test_the_first_person_makes_the_pin_and_nobody_after(house):
    client, stranger = client_of(house), client_of(house)
    assert client.get("/").status_code == 200 and client.get("/api/first").json()["step"] == "pin"
    begin = {"name": "Li Wei", "pin": "274951"}
    assert client.post("/api/first/pin", json=begin).status_code == 403, "another page's form cannot"
    assert client.post("/api/first/pin", json={"name": "Li Wei", "pin": "111111"}, headers=OURS).status_code == 409
    assert client.post("/api/first/pin", json={"name": "Li Wei", "pin": ""}, headers=OURS).status_code == 409
    assert client.post("/api/first/pin", content=b"x" * 9000, headers=OURS).status_code == 400
    headers = house.signed_in(client)
    assert stranger.post("/api/first/pin", json={"name": "Eve", "pin": "835204"}, headers=OURS).status_code == 409
    elsewhere, ours = {"address": "https://evil.example"}, {"address": "https://cloud.example/"}
    assert stranger.post("/api/first/cloud", json=elsewhere, headers=OURS).status_code == 403
    assert stranger.post("/api/first/code", json={}, headers=OURS).status_code == 403
    assert client.post("/api/first/cloud", json={"address": "cloud"}, headers=headers).status_code == 409
    assert client.post("/api/first/code", json={}, headers=headers).status_code == 409, "no cloud yet"
    assert client.post("/api/first/cloud", json=ours, headers=headers).status_code == 200
    Box(house.first.box, [None])
    assert not client.get("/api/first").json()["claim"]["code"], "not before the cloud has heard of it"
    house.first.step()
    claim = client.get("/api/first").json()["claim"]
    assert len(claim["code"]) == 13 and claim["qr"].startswith("<svg") and claim["cloud"] == "https://cloud.example"
    hidden = stranger.get("/api/first").json()["claim"]
    assert not hidden["code"] and not hidden["qr"], "who has not signed in sees no code"
    assert client.get("/first/label.svg").text.count(claim["code"]) >= 1
    assert stranger.get("/first/label.svg").status_code == 403
    assert client.post("/api/first/code", json={}, headers=headers).status_code == 200
    Box(house.first.box, [None])
    house.first.step()
    assert client.get("/api/first").json()["claim"]["code"] not in ("", claim["code"])


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1", 200), ("192.168.1.9", 200), ("gateway.local", 200),
                                              ("localhost", 200), ("evil.example", 421), ("[::1]", 200)])
def test_a_name_of_somebody_else_is_not_answered(house, host, status):
    assert client_of(house, f"http://{host}:8443").get("/api/first").status_code == status


class Box:
    """What the cloud answers, in turn."""

    def __init__(self, box, answers) -> None:
        self._box, self._answers = box, list(answers)
        box.collect = self.collect

    def collect(self, shown):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_what_hinders_is_told_and_tried_again(house):
    client = client_of(house)
    assert not house.first.step(), "without a cloud nothing is asked"
    headers = house.signed_in(client)
    client.post("/api/first/cloud", json={"address": "https://cloud.example"}, headers=headers)
    Box(house.first.box, [None, PeerSilent("no answer"), PeerRefused("the code is over"), None,
                            LocalFault("disk full")])
    house.first.step()
    code = client.get("/api/first").json()["claim"]["code"]
    assert not house.first.step()
    seen = client.get("/api/first").json()
    assert (seen["trouble"], seen["why"], seen["claim"]["code"]) == ("silent", "no answer", code)
    assert not house.first.step()
    seen = client.get("/api/first").json()
    assert seen["trouble"] == "refused" and seen["claim"]["code"] == "", "another code: not yet heard of"
    assert not house.first.step()
    seen = client.get("/api/first").json()
    assert seen["trouble"] == "" and seen["claim"]["code"] not in ("", code)
    assert not house.first.step() and client.get("/api/first").json()["trouble"] == "fault"
    assert house.started == 0


def test_what_the_maker_of_the_box_wrote_is_taken(tmp_path):
    assert read_given(tmp_path / "site.yaml") == Given()
    (tmp_path / "first-day.yaml").write_text("cloud: https://cloud.example\nhost: 0.0.0.0\n", encoding="utf-8")
    given = read_given(tmp_path / "site.yaml")
    assert (given.cloud, given.host, given.port) == ("https://cloud.example", "0.0.0.0", 8443)
    (tmp_path / "first-day.yaml").write_text("clout: x\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        read_given(tmp_path / "site.yaml")


def test_the_certificate_of_the_page_is_made_once(tmp_path):
    mark = page_certificate(tmp_path, "0.0.0.0")
    assert page_certificate(tmp_path, "0.0.0.0") == mark and len(mark.split(":")) == 32
    assert (tmp_path / "page-key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_on_a_phone(browser, tmp_path, language):
    house = House(tmp_path, Given(cloud="https://cloud.example"))
    server = uvicorn.Server(uvicorn.Config(house.app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ready = threading.Event()
    while not server.started:
        ready.wait(0.02)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    context = browser.new_context(viewport={"width": 360, "height": 780}, locale=language)
    context.add_cookies([{"name": "tocsin_language", "value": language, "url": url}])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(url)
        page.wait_for_selector("#network li")
        found = Axe().run(page, options=RULES).response["violations"]
        page.keyboard.press("Tab")
        page.fill("#name", "Li Wei")
        page.fill("#pin", "274951")
        page.keyboard.press("Enter")
        page.wait_for_selector("#begun:not([hidden])")
        assert page.input_value("#address") == "https://cloud.example", "as the maker of the box wrote"
        page.click("#cloud-go")
        page.wait_for_selector("#code p:has-text('云端')" if language == "zh" else "#code p:has-text('Telling')")
        Box(house.first.box, [None])
        house.first.step()
        page.wait_for_selector("#code .big")
        found += Axe().run(page, options=RULES).response["violations"]
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/first-{language}.png", full_page=True)
        assert not found, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]
        assert page.evaluate("document.documentElement.scrollWidth") <= 360 and not errors
    finally:
        context.close()
        server.should_exit = server.force_exit = True
        thread.join(5)
