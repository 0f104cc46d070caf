"""The map of the district in a browser: sites by what they need, the burning building, pictures of a server."""

from __future__ import annotations

import re
import tempfile
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import msgspec
import pytest
from memory_board import fire
from playwright.sync_api import expect
from real_app import LAKESIDE, RIVERSIDE
from visits import SCOPE, Served, Visit

from community_os.map_settings import MapSettings
from community_os.store_changes import IncidentRow, SiteCommit
from device_model.alarm import Severity
from device_model.read_models import IncidentState, IncidentView
from device_model.site import Datum

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
BASE = Path(__file__).resolve().parents[2] / "demo" / "sites" / "district.geojson"


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


PNG = (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", (1).to_bytes(4, "big") * 2 + bytes((8, 0, 0, 0, 0)))
       + _chunk(b"IDAT", zlib.compress(b"\x00\xc0")) + _chunk(b"IEND", b""))


class Maps:
    """A server of map pictures on loopback; what it was asked for, and whether it answers."""

    def __init__(self) -> None:
        maps, self.asked, self.works = self, list[str](), True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                maps.asked.append(self.path)
                self.send_response(200 if maps.works else 503)
                self.send_header("Content-Type", "image/png")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(PNG if maps.works else b"")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def maps() -> Iterator[Maps]:
    maps = Maps()
    yield maps
    maps.stop()


@pytest.fixture(scope="module")
def house(maps: Maps) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tocsin-map-") as folder:
        served = Served(Path(folder), map=MapSettings(
            base=str(BASE), base_datum=Datum.GCJ_02, tiles=maps.url + "/{z}/{x}/{y}.png", tiles_datum=Datum.GCJ_02,
            attribution="<b>Survey & Map</b>", zoom_max=18))
        yield served
        served.stop()


def visit_of(browser, house: Served, scope: str = SCOPE, width: int = 1400) -> Visit:
    return Visit(browser, house.url, house.real.cookies["brigade", scope], "en", width)


def test_where_it_burns_is_seen_on_ground_list_and_by_keyboard(browser, house: Served, maps: Maps) -> None:
    visit = visit_of(browser, house)
    page = visit.page
    try:
        visit.open("/map")
        for site, name in ((RIVERSIDE, "Riverside Estate"), (LAKESIDE, "Lakeside Court")):
            mark = page.locator(f".site[aria-label^='{name} · ']")
            expect(mark).to_have_count(1)
            expect(mark.locator(".face")).to_have_text("3")
            expect(page.locator(f"[data-site='{site.path}'] a")).to_have_count(3)
        expect(page.locator("path.base.road")).to_have_count(4)
        expect(page.get_by_text("Liangzhu Creek")).to_be_visible()
        # The pictures are asked of the named server alone, as plain text goes its name.
        page.wait_for_function("() => document.querySelectorAll('.leaflet-tile-loaded').length > 0")
        assert maps.asked and all(path.count("/") == 3 and path.endswith(".png") for path in maps.asked)
        expect(page.locator(".leaflet-control-attribution")).to_have_text("<b>Survey & Map</b>")
        page.locator(".site[aria-label^='Lakeside']").press("Enter")
        assert page.evaluate("document.activeElement.closest('[data-site]').dataset.site") == LAKESIDE.path
        page.keyboard.press("Enter")
        page.wait_for_url("**/incidents/lakeside-*")
    finally:
        visit.close()


def test_a_fire_lights_its_building_without_a_reload_and_goes_out(browser, house: Served, maps: Maps) -> None:
    visit = visit_of(browser, house, width=360)
    page = visit.page
    burning = msgspec.structs.replace(fire("i-lit"), tenancy=RIVERSIDE, zone="b1-301", severity=Severity.CRITICAL)
    try:
        visit.open("/map")
        line = page.locator(f"[data-site='{RIVERSIDE.path}']")
        line.get_by_role("button").click()
        expect(page.locator("path.area.building")).to_have_count(4)
        expect(page.locator(".spot.hydrant").first).to_be_visible()
        expect(page.locator("path.area.lit")).to_have_count(0)
        put(house, 900, burning)
        expect(page.locator(".site.critical .face")).to_have_text("4")
        expect(page.locator("path.area.lit")).to_have_count(1)
        expect(line.locator("a").first).to_have_text(re.compile("Fire — .*Flat 301"))
        put(house, 901, msgspec.structs.replace(burning, state=IncidentState.CLOSED, closed_us=burning.opened_us + 1))
        expect(page.locator("path.area.lit")).to_have_count(0)
        visit.check("/map, near")
        assert [one for one in visit.problems if f"asks another host: {maps.url}/" not in one] == []
    finally:
        visit.close()


def put(house: Served, sequence: int, view: IncidentView) -> None:
    """What a worker would commit."""
    house.real.store.apply([SiteCommit(RIVERSIDE.path, sequence, (IncidentRow(view),), tick=True)])


def test_without_its_pictures_the_map_still_shows_where_it_burns(browser, house: Served, maps: Maps) -> None:
    visit = visit_of(browser, house)
    maps.works = False
    try:
        visit.open("/map")
        expect(visit.page.locator("#ground-said")).to_contain_text("does not answer")
        expect(visit.page.locator(".site")).to_have_count(2)
        expect(visit.page.locator("path.base.road")).to_have_count(4)
    finally:
        maps.works = True
        visit.close()


def test_the_policy_names_the_server_of_pictures_on_this_page_alone(house: Served, maps: Maps) -> None:
    with httpx.Client(base_url=house.url, cookies={"tocsin_session": house.real.cookies["brigade", SCOPE]},
                      timeout=60) as client:
        policy = client.get("/map").headers["content-security-policy"]
        assert f"img-src 'self' data: {maps.url};" in policy and policy.count(maps.url) == 1
        assert maps.url not in client.get("/board").headers["content-security-policy"]
        assert [site["path"] for site in client.get("/api/map").json()["sites"]] == [LAKESIDE.path, RIVERSIDE.path]
    with httpx.Client(base_url=house.url, cookies={"tocsin_session": house.real.cookies["resident", SCOPE]},
                      timeout=60) as client:
        assert client.get("/api/map").status_code == 403
