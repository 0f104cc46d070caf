"""The administrator's page of channels: what is set, a test message to a real peer, and nothing of an address."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from memory_board import FixedClock, MemoryBoard, fire
from test_gate import Seat, Trail

from community_os.channel_desk import AGAIN_AFTER_S, SettingsChannels
from community_os.settings import CloudSettings, parse_cloud
from dashboards.people import Person
from dashboards.server import create_app

pytestmark = pytest.mark.real
SECRET = "s3cr3tt0ken0123456789"


class Peer(http.server.BaseHTTPRequestHandler):
    status, got = 200, list[bytes]()

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["content-length"])))
        answer = b"<script>alert(1)</script> " + SECRET.encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[CloudSettings]:
    Peer.status, Peer.got = 200, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    (tmp_path / "gate").write_text(f"json://127.0.0.1:{port}/{SECRET}\n", encoding="utf-8")
    yield parse_cloud("endpoints:\n- {name: duty-phones, kind: apprise, url_file: gate, language: both, "
                      f"audience: brigade}}\n- {{name: hook, url: 'http://127.0.0.1:{port}/{SECRET}'}}\n"
                      "- {name: lost, kind: apprise, url_file: nowhere}\n", str(tmp_path / "cloud.yaml"))
    server.shutdown()
    server.server_close()


class House:
    def __init__(self, settings: CloudSettings, person: Person) -> None:
        self.now_s, self.trail, self.seat = 0.0, Trail(), Seat(person)
        board = MemoryBoard(fire())
        self.app = create_app(board, clock=FixedClock(), sign_in=self.seat, work=board, trail=self.trail,
                              channels=SettingsChannels(settings, lambda: self.now_s))

    def browser(self, language: str = "en") -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test",
                                 cookies={"tocsin_session": "c"}, headers={"Accept-Language": language})


async def test_a_test_message_goes_out_and_the_answer_is_said(settings: CloudSettings) -> None:
    house = House(settings, Person("li", "admin"))
    async with house.browser() as web:
        page = await web.get("/channels")
        assert page.status_code == 200 and "duty-phones" in page.text and "Chinese and English" in page.text
        assert SECRET not in page.text and "127.0.0.1" not in page.text, "nothing of an address"
        sent = await web.post("/channels/duty-phones/test")
        assert sent.status_code == 200 and "took the test message" in sent.text
        assert "测试消息" in json.loads(Peer.got[-1])["title"] and "Test" in json.loads(Peer.got[-1])["title"]
        again = await web.post("/channels/duty-phones/test")
        assert again.status_code == 429 and f"next in {AGAIN_AFTER_S:.0f} s" in again.text and len(Peer.got) == 1
        hook = await web.post("/channels/hook/test")
        assert hook.status_code == 200 and json.loads(Peer.got[-1])["type"] == "tocsin.test.v1"
        house.now_s += AGAIN_AFTER_S
        Peer.status = 403
        refused = await web.post("/channels/duty-phones/test")
        assert refused.status_code == 502 and "was not taken" in refused.text
        assert SECRET not in refused.text and "<script>alert" not in refused.text
        lost = await web.post("/channels/lost/test")
        assert lost.status_code == 502 and "cannot be read" in lost.text
        assert (await web.post("/channels/none/test")).status_code == 404
    noted = [line for line in house.trail.lines if line[1] == "POST /channels/{channel}/test"]
    assert [line[3] for line in noted] == ["200", "429", "200", "502", "502", "404"]
    assert noted[0][2] == "duty-phones: taken" and SECRET not in str(noted)


@pytest.mark.parametrize(("role", "scope", "status"), [
    ("property", "", 403), ("officer", "", 403), ("auditor", "", 403), ("admin", "hangzhou/yuhang", 200)])
async def test_only_an_administrator_of_everything_sees_and_tries_them(
    settings: CloudSettings, role: str, scope: str, status: int
) -> None:
    house = House(settings, Person("li", role, scope))
    async with house.browser("zh") as web:
        page = await web.get("/channels")
        assert page.status_code == status and "duty-phones" not in page.text
        assert status == 403 or "仅全域管理员可见" in page.text
        assert (await web.post("/channels/hook/test")).status_code in (403, 404) and Peer.got == []
        away = await web.post("/channels/hook/test", headers={"Sec-Fetch-Site": "cross-site"})
        assert away.status_code == 403
