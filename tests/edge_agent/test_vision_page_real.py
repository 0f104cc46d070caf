"""The cameras' page: zones drawn by keyboard and mouse into the vision file, undo, the last sweep, who may look."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from dashboards.pins import PinDoor, people_of, set_pin
from dashboards.vision_page import create_vision_app
from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.objects import Box
from device_drivers.vision.run import read_plan
from device_drivers.vision.sources import now_us
from device_drivers.vision.sweep_plan import SweepCamera
from device_drivers.vision.sweep_result import Outcome, SweepReport, SweepResult
from device_drivers.vision.sweep_store import SweepStore
from device_model.errors import LocalFault
from edge_agent import vision_page
from edge_agent.vision_page import VisionDoor, serve_vision_page, set_vision_pin

pytestmark = pytest.mark.real
LOCALE = {"zh": "zh-CN", "en": "en-GB"}
FILE = """# the works' cameras
cameras:
  - id: yard-1  # by the gate
    source: "folder:{folder}"
    zones: [{{id: bay, outline: [[0.1, 0.3], [0.6, 0.3], [0.6, 0.9]], scenes: [headcount]}}]
  - {{id: hall, source: "folder:{folder}"}}
sweep: {{cameras: cameras.csv, period_s: 600}}
page: {{pin_file: pins.json, people: {{Li Wei: property, Wang Fang: tester, Zhao Lei: contractor}}}}
"""


class Seer:
    """A person detector that sees somebody in the middle."""

    def see(self, _: object, __: object) -> list[Box]:
        return [Box("person", 0.4, 0.3, 0.6, 0.9, 0.6)]


def swept(store: SweepStore, plan, missing: int = 3, cameras: int = 40) -> None:
    names = [f"cam-{n}" for n in range(1, cameras + 1)]
    results = [SweepResult(n, Outcome.SEEN, {"flame": 0.1}, (), CameraState.WELL, 0.2) for n in names[missing:]]
    results += [SweepResult(n, Outcome.SILENT, {}, (), CameraState.SILENT, 5.0, "rtsp://10.0.0.9/1: timed out")
                for n in names[:missing]]
    results[0] = SweepResult(names[missing], Outcome.SEEN, {"flame": 0.9}, ("flame",), CameraState.WELL, 0.3)
    report = SweepReport(51.9, cameras, {"seen": cameras - missing, "silent": missing}, tuple(results))
    listed = tuple(SweepCamera(n, "rtsp://h/1") for n in names)
    now = now_us()
    store.keep(report, listed, plan, now - 60_000_000, now, {names[missing]: {"flame": 0.2}})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("works")
    (folder / "pictures").mkdir()
    shutil.copy(Path(__file__).parents[1] / "device_drivers/vision/pictures/s2_neg_workshop_cc0_0000.jpg",
                folder / "pictures" / "0.jpg")
    (folder / "vision.yaml").write_text(FILE.format(folder=folder / "pictures"))
    set_pin(folder / "pins.json", "Li Wei", "135792")
    set_pin(folder / "pins.json", "Wang Fang", "246801")
    set_pin(folder / "pins.json", "Zhao Lei", "975310")
    store = SweepStore(folder / "sweep")
    with Image.open(folder / "pictures" / "0.jpg") as image:
        import numpy as np

        for n in range(1, 41):
            store.picture(f"cam-{n}", np.asarray(image.convert("RGB")))
    plan = read_plan(folder / "vision.yaml").sweep
    swept(store, plan)
    return folder / "vision.yaml"


@pytest.fixture
def page(site: Path) -> TestClient:
    return TestClient(create_vision_app(VisionDoor(site, Seer()), PinDoor(site.parent / "pins.json", lambda: 0.0)))


def entered(page: TestClient, name: str, pin: str) -> dict[str, str]:
    answer = page.post("/api/sign-in", json={"name": name, "pin": pin}, headers={"X-Tocsin": "local"})
    return {"X-Tocsin": "local", "X-Tocsin-Csrf": answer.json()["csrf"]}


def test_only_named_people_draw_and_every_save_can_be_undone(page: TestClient, site: Path) -> None:
    before = site.read_text()
    drawing = {"zones": [{"id": "pit", "outline": [[0, 0], [1, 0], [1, 1]], "scenes": ["no_entry"]}], "masks": []}
    url = "/api/cameras/yard-1/drawing"
    assert page.post(url, json=drawing).status_code == 403
    assert page.post(url, json=drawing, headers=entered(page, "Wang Fang", "246801")).status_code == 403
    mine = entered(page, "Li Wei", "135792")
    assert page.post(url, json=drawing, headers={"X-Tocsin": "local"}).status_code == 403, "no token"
    assert page.post(url, json=drawing, headers=mine).status_code == 200
    assert "no_entry" in site.read_text() and "# by the gate" in site.read_text()
    wrong = {"zones": [{"id": "pit", "outline": [[0, 0], [9, 0], [1, 1]]}]}
    answer = page.post(url, json=wrong, headers=mine)
    assert answer.status_code == 409 and "leaves the picture" in answer.json()["refusal"]
    assert page.post(url, content=b"{", headers=mine).status_code == 409
    assert page.get("/api/cameras").json()["undo"] is True
    assert page.post("/api/cameras/undo", headers=mine).json() == {"undone": True} and site.read_text() == before
    assert page.post("/api/cameras/undo", headers=mine).json() == {"undone": False}
    for number in range(12):
        drawing["zones"][0]["person_height"] = 0.1 + number / 100
        assert page.post(url, json=drawing, headers=mine).status_code == 200
    assert len(list((site.parent / ".vision.yaml.before").iterdir())) == 10
    while page.post("/api/cameras/undo", headers=mine).json()["undone"]:
        pass
    site.write_text(before)


def test_pictures_are_shown_blurred_to_named_people_and_each_look_is_logged(page: TestClient, site: Path) -> None:
    assert page.get("/api/sweep/cam-9.jpg").status_code == 403
    entered(page, "Wang Fang", "246801")
    assert page.get("/api/sweep/cam-9.jpg").status_code == 403
    entered(page, "Li Wei", "135792")
    shown = page.get("/api/sweep/cam-9.jpg")
    assert shown.status_code == 200 and shown.headers["content-type"] == "image/jpeg"
    assert shown.headers["cache-control"] == "no-store"
    assert page.get("/api/sweep/none.jpg").status_code == 404
    assert page.get("/api/sweep/..%2fx.jpg").status_code in (403, 404)
    assert page.get("/api/cameras/yard-1/now.jpg").status_code == 200
    assert page.get("/api/cameras/none/now.jpg").status_code == 404
    looks = SweepStore(site.parent / "sweep").looks()
    assert ("Li Wei", "cam-9", "sweep") in {(x.who, x.camera, x.what) for x in looks}
    assert ("Li Wei", "yard-1", "now") in {(x.who, x.camera, x.what) for x in looks}
    assert not [x for x in looks if x.who == "Wang Fang"]


def test_roles_decide_and_a_pin_needs_one(page: TestClient, site: Path) -> None:
    headers = entered(page, "Zhao Lei", "975310")
    assert page.get("/api/sweep/cam-9.jpg").status_code == 403, "a contractor draws zones and sees no sweep"
    assert page.get("/api/cameras/yard-1/now.jpg").status_code == 200
    assert page.post("/api/cameras/undo", headers=headers).status_code == 200
    with pytest.raises(LocalFault, match="no role"):
        set_vision_pin(site, "Stranger", "864209")
    assert set_vision_pin(site, "Zhao Lei", "975310") == site.parent / "pins.json"
    with pytest.raises(LocalFault, match="neither sees"):
        set_vision_pin(site, "Wang Fang", "864209")
    assert people_of(site.parent / "pins.json")["Zhao Lei"] == "property", "who has a PIN keeps its role"
    set_vision_pin(site, "Zhao Lei", "")
    set_vision_pin(site, "Zhao Lei", "975310")
    assert people_of(site.parent / "pins.json")["Zhao Lei"] == "contractor", "never more than the vision file says"
    set_pin(site.parent / "pins.json", "Zhao Lei", "975310")


def test_the_sweep_says_who_is_dead_without_saying_where(page: TestClient) -> None:
    view = page.get("/api/sweep").json()
    assert (view["swept"], view["cameras"], view["seen"], view["kept"], view["unseen"]) == (40, 40, 37, True, 3)
    assert view["rows"][0]["alarms"] == ["flame"] and view["rows"][1]["outcome"] == "silent"
    assert "10.0.0.9" not in json.dumps(view)


def test_without_a_person_detector_pictures_are_coarse(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision_page, "_detector", lambda: None)
    door = VisionDoor(site)
    assert door.sweep().blurs is False and len(door.swept_picture("cam-1", "Li Wei")) < 12_000


def test_the_page_is_not_served_abroad_without_tls(site: Path, tmp_path: Path) -> None:
    other = tmp_path / "vision.yaml"
    other.write_text(site.read_text().replace("page: {", "page: {host: 0.0.0.0, "))
    with pytest.raises(LocalFault, match="TLS"):
        serve_vision_page(other)


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    app = create_vision_app(VisionDoor(site, Seer()), PinDoor(site.parent / "pins.json", lambda: 0.0))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


def checked(tab) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in found]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_zone_is_drawn_by_keys_alone_and_saved(served: str, browser, site: Path, language: str) -> None:
    before = site.read_text()
    context = browser.new_context(viewport={"width": 360, "height": 800}, locale=LOCALE[language])
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(f"{served}/cameras")
    tab.wait_for_selector("#shapes li")
    assert checked(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.click("#sign")
    tab.fill("#pin-name", "Li Wei")
    tab.fill("#pin-pin", "135792")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#pin:not([open])", state="attached")
    tab.focus("#add-zone")
    tab.keyboard.press("Enter")
    for key in ("ArrowLeft", "Shift+ArrowUp", "Enter", "ArrowDown"):
        tab.keyboard.press(key)
    tab.focus("#zone-name")
    tab.fill("#zone-name", "pit")
    tab.keyboard.press("Tab")
    tab.check("#asks label:last-child input")
    tab.focus("#save")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#undo:not([disabled])")
    zone = next(z for c in read_plan(site).cameras if c.id == "yard-1" for z in c.zones if z.id == "pit")
    assert len(zone.outline) == 5 and zone.outline[0] == (0.29, 0.25) and zone.scenes == ("fire_lane",)
    tab.focus("#undo")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#undo[disabled]")
    assert site.read_text() == before and errors == []
    context.close()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_sweep_page_is_read_in_both_languages(served: str, browser, language: str) -> None:
    size = {"width": 360, "height": 800}
    context = browser.new_context(viewport=size, locale=LOCALE[language], color_scheme="dark")
    tab = context.new_page()
    tab.goto(f"{served}/sweep")
    tab.wait_for_selector("#rows li")
    assert checked(tab) == [] and tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.locator("#rows li").count() == 4
    tab.select_option("#filter", "all")
    assert tab.locator("#rows li").count() == 40
    tab.locator("#rows button").first.click()
    assert tab.locator("#outcome").text_content()
    context.close()


def test_the_gateways_page_is_linked_back_and_nothing_else(served: str, browser) -> None:
    tab = browser.new_context(viewport={"width": 390, "height": 800}, locale="en-GB").new_page()
    for forged in ("", "?gateway=//evil.example", "?gateway=0", "?gateway=99999", "?gateway=8443%2F@evil.example"):
        tab.goto(f"{served}/cameras{forged}")
        tab.wait_for_selector("#shapes li")
        assert tab.locator("#back").is_hidden(), forged
    tab.goto(f"{served}/cameras?gateway=8443s")
    tab.wait_for_selector("#back:not([hidden])")
    assert tab.locator("#back").get_attribute("href") == "https://127.0.0.1:8443/" and checked(tab) == []
    tab.goto(f"{served}/sweep")
    tab.wait_for_selector("#rows li")
    assert tab.locator("#back").get_attribute("href") == "https://127.0.0.1:8443/", "remembered between the two pages"
    tab.context.close()
