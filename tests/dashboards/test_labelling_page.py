"""The labelling page: one key a label, undo, two languages; nothing is said before it is saved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from PIL import Image

from dashboards.labelling import create_labelling_app, labelling_router
from dashboards.pin_sessions import COOKIE
from dashboards.vision_page import create_vision_app
from device_model.errors import ConfigError, Finding
from device_model.labelling import ClipView, Counts

LOCAL = frozenset({"127.0.0.1", "testserver"})


class MemoryDesk:
    """Three clips in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number, colour in enumerate(((40, 60, 90), (200, 120, 30))):
            Image.new("RGB", (320, 180), colour).save(folder / f"{number}.jpg")
        self.views = {
            f"yard-{n}": ClipView(f"yard-{n}", "yard", reason, 1_700_000_000_000_000 + n, 2,
                                  {"hot_work": 0.2, "flame": 0.61, "smoke": 0.02})
            for n, reason in enumerate(("alarm", "unsure", "sample"))
        }
        self.order: list[str] = []

    def clips(self) -> list[ClipView]:
        return list(self.views.values())

    def counts(self) -> Counts:
        done = [v for v in self.views.values() if v.labels]
        return Counts(3, len(done), sum(v.skipped for v in self.views.values()), 0, sum(v.labels[1] for v in done), 0,
                      sum(1 not in v.labels for v in done), max(0, 6 - len(done)))

    def picture(self, clip: str, number: int) -> Path | None:
        path = self.folder / f"{number}.jpg"
        return path if clip in self.views and path.is_file() else None

    def label(self, clip: str, labels: tuple[int, ...], by: str, *, skip: bool) -> ClipView:
        if clip not in self.views or not by:
            raise ConfigError([Finding(clip, 0, 0, "no such clip", "load the page anew")])
        import msgspec

        self.views[clip] = msgspec.structs.replace(self.views[clip], labels=labels, by=by, skipped=skip)
        self.order.append(clip)
        return self.views[clip]

    def undo(self, by: str) -> str:
        import msgspec

        if not self.order:
            return ""
        clip = self.order.pop()
        self.views[clip] = msgspec.structs.replace(self.views[clip], labels=(), by="", skipped=False)
        return clip


@pytest.fixture
def desk(tmp_path: Path) -> MemoryDesk:
    return MemoryDesk(tmp_path)


@pytest.fixture
def client(desk: MemoryDesk) -> TestClient:
    return TestClient(create_labelling_app(desk, LOCAL), headers={"X-Tocsin-Labelling": "1"})


def test_a_label_is_kept_and_answered_with_the_counts(client: TestClient, desk: MemoryDesk) -> None:
    told = client.post("/api/labelling/clips/yard-1", json={"labels": [0, 1, -1], "by": "Li Wei"}).json()
    assert told["clip"]["labels"] == [0, 1, -1] and told["counts"]["labelled"] == 1
    assert desk.views["yard-1"].by == "Li Wei"
    assert client.post("/api/labelling/undo", json={"by": "Li Wei"}).json() == {"clip": "yard-1"}
    assert [c["labels"] for c in client.get("/api/labelling/clips").json()["clips"]] == [[], [], []]


def test_a_foreign_page_can_neither_write_nor_read(client: TestClient, desk: MemoryDesk) -> None:
    body = {"labels": [0, 1, 0], "by": "x"}
    bare = {"X-Tocsin-Labelling": ""}
    assert client.post("/api/labelling/clips/yard-1", json=body, headers=bare).status_code == 400
    for path in ("/labelling", "/api/labelling/clips", "/api/labelling/clips/yard-1/0.jpg"):
        assert client.get(path, headers={"Host": "evil.example"}).status_code == 403
    assert client.post("/api/labelling/undo", json={"by": "x"}, headers={"Host": "evil.example"}).status_code == 403
    assert desk.order == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"by": 1}', b'{"labels": ["x"], "by": "a"}', b"9" * 9000])
def test_what_is_not_understood_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/api/labelling/clips/yard-1", content=body).status_code == 400


def test_what_the_desk_refuses_is_told_with_its_remedy(client: TestClient) -> None:
    told = client.post("/api/labelling/clips/other-1", json={"labels": [0, 0, 0], "by": "Li Wei"})
    assert told.status_code == 422 and "load the page anew" in told.json()["error"]


def test_pictures_are_the_desks_alone(client: TestClient) -> None:
    assert client.get("/api/labelling/clips/yard-1/0.jpg").headers["content-type"] == "image/jpeg"
    for path in ("yard-1/9.jpg", "none-1/0.jpg", "..%2F..%2Fetc/0.jpg", "yard-1/-1.jpg"):
        assert client.get(f"/api/labelling/clips/{path}").status_code in (404, 422)


def test_the_page_is_in_the_language_that_was_chosen_and_loads_nothing_from_outside(client: TestClient) -> None:
    chinese = client.get("/labelling", headers={"Accept-Language": "zh-CN"})
    english = client.get("/labelling", headers={"Accept-Language": "en-GB"})
    assert "画面里是什么" in chinese.text and "What did the camera see?" in english.text
    assert "http://" not in english.text and "https://" not in english.text
    assert "default-src 'self'" in english.headers["content-security-policy"]
    client.get("/labelling/language/zh")
    assert "画面里是什么" in client.get("/labelling", headers={"Accept-Language": "en"}).text


def test_where_people_sign_in_a_label_bears_the_session_name_and_a_stranger_sees_nothing(desk: MemoryDesk) -> None:
    app = FastAPI()

    def who(request: Request) -> str:
        return {"one": "Chen Jing"}.get(request.cookies.get("s", ""), "")

    app.include_router(labelling_router(desk, lambda request: bool(who(request)), who))
    page = TestClient(app, headers={"X-Tocsin-Labelling": "1"})
    assert page.get("/api/labelling/clips").status_code == page.get("/labelling").status_code == 403
    page.cookies.set("s", "one")
    assert page.get("/api/labelling/clips").json()["who"] == "Chen Jing"
    page.post("/api/labelling/clips/yard-1", json={"labels": [0, 0, 0], "by": "somebody else"})
    assert desk.views["yard-1"].by == "Chen Jing"


def test_the_cameras_page_lets_only_those_label_who_may(desk: MemoryDesk) -> None:
    sessions = {"one": SimpleNamespace(who="Chen Jing", role="contractor"),
                "two": SimpleNamespace(who="Visitor", role="property"),
                "three": SimpleNamespace(who="Chen Jing", role="duty")}
    door = SimpleNamespace(session=sessions.get)
    cameras = SimpleNamespace(may_label=lambda who: who == "Chen Jing")
    with_clips = TestClient(create_vision_app(cameras, door, desk))
    for cookie, status in (("", 403), ("two", 403), ("three", 403), ("one", 200)):
        with_clips.cookies.set(COOKIE, cookie)
        assert with_clips.get("/api/labelling/clips").status_code == status
        assert with_clips.get("/api/labelling/clips/yard-1/0.jpg").status_code == status
        page = with_clips.get("/labelling", headers={"Accept-Language": "en"})
        assert page.status_code == status and 'href="/cameras"' in page.text, "there is a way back"
        assert ("Sign in with your PIN" in page.text) == (status == 403)
    assert 'href="/labelling"' in with_clips.get("/cameras").text
    without = TestClient(create_vision_app(cameras, door))
    assert without.get("/labelling").status_code == 404 and "/labelling" not in without.get("/cameras").text


# In a browser


@pytest.fixture(scope="module")
def page_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MemoryDesk, str]]:
    desk = MemoryDesk(tmp_path_factory.mktemp("clips"))
    server = uvicorn.Server(uvicorn.Config(create_labelling_app(desk, LOCAL), host="127.0.0.1", port=0,
                                           log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield desk, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/labelling"
    server.should_exit = server.force_exit = True
    thread.join(5)


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_one_key_a_label_and_undo_by_keyboard_alone(browser, page_desk, language: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    desk, url = page_desk
    page = browser.new_context(locale="zh-CN" if language == "zh" else "en-GB",
                               viewport={"width": 360, "height": 740}).new_page()
    try:
        page.goto(url)
        page.wait_for_selector("#picture:not([hidden])")
        page.keyboard.press("2")
        page.wait_for_selector("#outcome.bad")  # no name yet: nothing was saved
        assert not any(v.labels for v in desk.views.values())
        page.fill("#you", "Li Wei")
        page.locator("main").focus()
        page.keyboard.press("2")
        page.wait_for_selector("#bar[data-done='1']")
        assert desk.views["yard-0"].labels == (0, 1, -1)
        page.keyboard.press("0")
        page.wait_for_selector("#bar[data-done='2']")
        assert desk.views["yard-1"].labels == (0, 0, 0)
        page.keyboard.press("u")
        page.wait_for_selector("#bar[data-done='1']")
        assert desk.views["yard-1"].labels == ()
        page.keyboard.press("Shift+1")
        page.keyboard.press("Shift+3")
        page.keyboard.press("Enter")
        page.wait_for_selector("#bar[data-done='2']")
        assert desk.views["yard-1"].labels == (1, 0, 1)
        page.keyboard.press("s")
        page.wait_for_selector("#bar[data-done='3']")
        assert desk.views["yard-2"].skipped
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, f"{wide} px wide on a phone of 360"
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    finally:
        page.close()
        for _ in range(4):
            desk.undo("Li Wei")


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_who_may_not_label_is_shown_the_way_back(browser, tmp_path, language: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    door = SimpleNamespace(session={}.get)
    app = create_vision_app(SimpleNamespace(may_label=lambda who: False), door, MemoryDesk(tmp_path))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    page = browser.new_context(locale="zh-CN" if language == "zh" else "en-GB",
                               viewport={"width": 360, "height": 740}).new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/labelling")
        assert page.locator("main a[href='/cameras']").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    finally:
        page.context.close()
        server.should_exit = server.force_exit = True
        thread.join(5)


@pytest.mark.real
@pytest.mark.parametrize("language", ["zh", "en"])
def test_whoever_may_not_label_is_told_so_with_a_way_back(browser, tmp_path: Path, language: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    door = SimpleNamespace(session=lambda _: None)
    html = TestClient(create_vision_app(SimpleNamespace(), door, MemoryDesk(tmp_path))).get(
        "/labelling", headers={"Accept-Language": language}).text
    static = Path(__file__).parents[2] / "dashboards/static"
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    try:
        page.route("**/*", lambda route: route.fulfill(path=static / route.request.url.rpartition("/static/")[2])
                   if "/static/" in route.request.url else route.fulfill(body=html, content_type="text/html"))
        page.goto("http://127.0.0.1/labelling")
        assert page.locator("main a[href='/cameras']").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    finally:
        page.close()
