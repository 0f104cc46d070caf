"""A fire from the broker to a real webhook, signed, over the cloud's own processes and a kill of the sender."""

from __future__ import annotations

import asyncio
import base64
import http.server
import json
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from community_os.commands import make_key, series_of
from community_os.notice_signing import is_genuine
from tests.community_os.test_centre_real import Centre
from tests.community_os.test_cloud_real import ROOT, WITHIN_S, Cloud, alarm, send
from wire_codecs.gbt26875_objects import ComponentState

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]


class Receiver:
    """A dispatch system: takes the second try of everything, once per id."""

    def __init__(self) -> None:
        self.tries: dict[str, int] = {}
        self.taken: dict[str, tuple[dict[str, str], bytes]] = {}
        self.words: list[dict[str, str]] = []
        receiver = self

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {k.lower(): v for k, v in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                if self.path == "/words":  # a channel of people
                    receiver.words.append(json.loads(body))
                name = headers.get("webhook-id", f"words-{len(receiver.words) // 2}")
                receiver.tries[name] = receiver.tries.get(name, 0) + 1
                taken = receiver.tries[name] > 1
                if taken and self.path != "/words":
                    receiver.taken[name] = (headers, body)
                self.send_response(204 if taken else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[tuple[Cloud, Receiver]]:
    made, receiver = Cloud(tmp_path), Receiver()
    make_key(tmp_path / "hook.key", "hmac")
    names = ("micro-station-app", "desk-screen", "dispatch-system", "property-app", "street-platform")
    (tmp_path / "owner.url").write_text(f"json://127.0.0.1:{receiver.port}/words\n", encoding="utf-8")
    with (tmp_path / "cloud.yaml").open("a", encoding="utf-8") as file:
        file.write("routing: estate.yaml\nduty: duty.yaml\nresponse: response.yaml\nendpoints:\n" + "".join(
            f"  - {{name: {name}, url: '{receiver.url}', key_file: hook.key}}\n" for name in names))
        file.write("  - {name: owner-phone, kind: apprise, url_file: owner.url, language: both}\n")
    for name in ("estate.yaml", "duty.yaml", "response.yaml"):
        shutil.copy(ROOT / "examples" / "routing" / name, tmp_path / name)
    centre = Centre()
    server = await centre.start()
    with (tmp_path / "cloud.yaml").open("a", encoding="utf-8") as file:
        file.write(f"centres:\n  - {{name: city, host: 127.0.0.1, port: {centre.port}, "
                   f"sites: {{{made.site.tenancy.path}: 889}}}}\n")
    made.centre = centre  # type: ignore[attr-defined]  # beside the cloud
    await made.start()
    yield made, receiver
    server.close()
    assert made.process is not None
    if made.process.returncode is None:
        made.process.terminate()
        await asyncio.wait_for(made.process.wait(), 60)
    receiver.close()


async def test_a_fire_reaches_dispatch_signed_and_the_incident_knows(cloud: tuple[Cloud, Receiver]) -> None:
    made, receiver = cloud
    await made.until(lambda board: board["gateways"])
    link = await made.link()
    try:
        device = next(d for d in made.site.devices if d.zone)
        await send(made, link, 1, alarm(made, device.id, device.zone))
        async with asyncio.timeout(WITHIN_S):
            while not receiver.taken:
                await asyncio.sleep(0.05)
        made.kill("notify")
        centre = made.centre  # type: ignore[attr-defined]  # as above
        async with asyncio.timeout(WITHIN_S):
            while not any(told.state & 2 for told in centre.told(ComponentState)):
                await asyncio.sleep(0.05)
        (incident,) = await made.until(lambda board: [
            i for i in board["incidents"] if i.get("handling", {}).get("told", 0) >= 4])
        assert incident["handling"]["stage"] == "all" and "undelivered" not in incident["handling"]
        secret_text = (made.folder / "hook.key").read_text(encoding="utf-8").strip().removeprefix("whsec_")
        for headers, body in receiver.taken.values():
            event = json.loads(body)
            assert headers["webhook-id"] == event["id"] and event["subject"] == incident["id"]
            stamp_us = int(headers["webhook-timestamp"]) * 1_000_000
            assert is_genuine(headers, body, stamp_us, secret=base64.b64decode(secret_text))
        async with asyncio.timeout(WITHIN_S):
            while len(receiver.words) < 2:  # the first try was refused
                await asyncio.sleep(0.05)
        # On a slow machine "nobody has answered" may have followed by now.
        assert any("报警 · 火警" in words["title"] and "Not verified yet" in words["message"]
                   for words in receiver.words)
        deliveries = await asyncio.to_thread(made.get, f"/api/incidents/{incident['id']}/deliveries")
        assert "sent" in {one["state"] for one in deliveries}
        assert "owner-phone" in {one["endpoint"] for one in deliveries}
        async with asyncio.timeout(WITHIN_S):
            while not (made.folder / "state/series.sqlite").exists():
                await asyncio.sleep(0.2)
            while (await asyncio.to_thread(series_of, made.folder / "cloud.yaml")).kept == 0:
                await asyncio.sleep(0.2)
        # A person reports the next one by hand, and it is told as well.
        path = "/api/sites/" + made.site.tenancy.path + "/reports"
        call = {"deed": {"type": "take_in", "kind": "record_119", "hazard": "fire", "zone": device.zone,
                         "text": "smoke from the window"}, "request": "report-0001", "who": "Li"}
        answer = await asyncio.to_thread(made.get, path, call)
        assert answer["done"], answer
        await made.until(lambda board: [i for i in board["incidents"] if i["in_dispatch_queue"]])
        assert any(json.loads(body)["type"] == "tocsin.notification.v1" for _, body in receiver.taken.values())
    finally:
        await link.close()
