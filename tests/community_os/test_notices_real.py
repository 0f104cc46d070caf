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

from community_os.commands import make_key
from community_os.notice_signing import is_genuine
from tests.community_os.test_centre_real import Centre
from tests.community_os.test_cloud_real import ROOT, WITHIN_S, Cloud, alarm, send
from wire_codecs.gbt26875_objects import ComponentState

pytestmark = [pytest.mark.real, pytest.mark.timeout(150)]


class Receiver:
    """A dispatch system: takes the second try of everything, once per id."""

    def __init__(self) -> None:
        self.tries: dict[str, int] = {}
        self.taken: dict[str, tuple[dict[str, str], bytes]] = {}
        receiver = self

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {k.lower(): v for k, v in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                name = headers["webhook-id"]
                receiver.tries[name] = receiver.tries.get(name, 0) + 1
                taken = receiver.tries[name] > 1
                if taken:
                    receiver.taken[name] = (headers, body)
                self.send_response(204 if taken else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[tuple[Cloud, Receiver]]:
    made, receiver = Cloud(tmp_path), Receiver()
    make_key(tmp_path / "hook.key", "hmac")
    names = ("owner-phone", "micro-station-app", "desk-screen", "dispatch-system", "property-app", "street-platform")
    with (tmp_path / "cloud.yaml").open("a", encoding="utf-8") as file:
        file.write("routing: estate.yaml\nduty: duty.yaml\nresponse: response.yaml\nendpoints:\n" + "".join(
            f"  - {{name: {name}, url: '{receiver.url}', key_file: hook.key}}\n" for name in names))
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
        await asyncio.wait_for(made.process.wait(), 20)
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
