"""The network between browser and server is really cut: said within five seconds, nothing old is shown as live, what
was pressed meanwhile counts once, and everything comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from playwright.sync_api import expect
from real_app import RIVERSIDE, made
from test_every_page import SCOPE, Served

from community_os.store_changes import IncidentRow, SiteCommit
from device_model.read_models import IncidentView

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
STATIC = Path(__file__).resolve().parents[2] / "dashboards/static"


def test_every_live_page_calls_itself_stale_within_five_seconds() -> None:
    """What the pages hold themselves to; how long a loaded machine takes to draw it is no matter of the pages."""
    said = {path.name: int(found[1]) for path in STATIC.glob("*.js")
            if (found := re.search(r"^const STALE_(?:AFTER_)?MS = (\d+)", path.read_text(encoding="utf-8"), re.M))}
    assert {"live.js", "officer_live.js", "local.js", "tester.js"} <= set(said)
    assert all(after_ms <= 4500 for after_ms in said.values()), said


class Cable:
    """A wire between browser and server that can be pulled out."""

    def __init__(self, port: int) -> None:
        self._far_port, self.port = port, 0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.plug()

    def plug(self) -> None:
        """In: under the same port as before."""
        asyncio.run_coroutine_threadsafe(self._plug(), self._loop).result(10)

    def pull(self) -> None:
        """Out: all connections break, new ones are refused."""
        asyncio.run_coroutine_threadsafe(self._pull(), self._loop).result(10)

    async def _plug(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _pull(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in [*self._open]:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._far_port)
        ends = ((reader, far_writer), (far_reader, writer))
        self._open |= {writer, far_writer}

        async def one_way(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while piece := await source.read(65536):
                    sink.write(piece)
                    await sink.drain()
            sink.close()

        await asyncio.gather(*(one_way(*end) for end in ends))
        self._open -= {writer, far_writer}

    def close(self) -> None:
        """For good."""
        self.pull()
        self._loop.call_soon_threadsafe(self._loop.stop)


@pytest.fixture(scope="module")
def house() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="tocsin-cut-") as folder:
        served = Served(Path(folder))
        view = msgspec.structs.replace(
            made(IncidentView, RIVERSIDE, "fresh-1"), acknowledged_by="", acknowledged_us=0, closed_us=0)
        served.real.store.apply([SiteCommit(RIVERSIDE.path, 900, (IncidentRow(view),), tick=True)])
        yield served
        served.stop()


def test_a_real_cut(browser, house: Served) -> None:
    cable = Cable(urlsplit(house.url).port or 0)
    url = f"http://127.0.0.1:{cable.port}"
    context = browser.new_context(locale="en-GB", viewport={"width": 1400, "height": 900})
    try:
        context.add_cookies([
            {"name": "tocsin_session", "value": house.real.cookies["brigade", SCOPE], "url": url},
            {"name": "tocsin_language", "value": "en", "url": url}])
        page = context.new_page()
        page.goto(f"{url}/board")
        expect(page.locator("#link")).to_have_class("link live")
        page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
        page.locator('[data-incident="fresh-1"]').click()
        acknowledge = page.locator("#detail [data-action=acknowledge]").first
        expect(acknowledge).to_be_visible()

        before = len(house.real.stream.let_through)
        cable.pull()
        expect(page.locator("#link")).to_contain_text("STALE")
        expect(page.locator("#banner")).to_be_visible()
        acknowledge.click()
        other = context.new_page()
        other.goto(f"{url}/board", wait_until="load")
        expect(other.locator("h1")).to_have_text("No contact")
        assert "leak-" not in other.content()  # nothing old is shown, as there is nothing that is live
        assert len(house.real.stream.let_through) == before

        cable.plug()
        expect(page.locator("#link")).to_have_class("link live")
        expect(other.locator("#link")).to_have_class("link live")  # by itself
        for _ in range(600):
            if len(house.real.stream.let_through) > before:
                break
            page.wait_for_timeout(100)
        page.wait_for_timeout(3000)  # longer than the pause after which an unanswered click goes again
        assert [path for path, _ in house.real.stream.let_through[before:]] == [
            "hangzhou/yuhang/cangqian/riverside"]
    finally:
        context.close()
        cable.close()


def test_the_pages_can_be_installed(browser, house: Served) -> None:
    context = browser.new_context(locale="zh-CN")
    try:
        page = context.new_page()
        page.goto(f"{house.url}/sign-in")
        manifest = page.evaluate(
            "() => fetch(document.querySelector('link[rel=manifest]').href).then((answer) => answer.json())")
        assert manifest["name"] and manifest["display"] == "standalone" and manifest["start_url"] == "/"
        for icon in manifest["icons"]:
            assert page.request.get(house.url + icon["src"]).ok
        assert page.evaluate("() => navigator.serviceWorker.ready.then((one) => one.scope)") == f"{house.url}/"
        kept = page.evaluate("""async () => (await Promise.all((await caches.keys()).map(async (name) =>
            (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname)))).flat()""")
        assert kept and all(path == "/offline" or path.startswith("/static/") for path in kept)
    finally:
        context.close()
