"""A real community OS, real gateways' boxes: a hundred claimed in a batch over HTTP, and what becomes of them."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from community_os.claim_service import Claims, claim_file
from community_os.settings import BrokerSettings, CloudSettings
from community_os.site_stamps import claimed_site_files
from dashboards.claim_pages import claim_router
from dashboards.people import VISITOR
from device_model.errors import PeerRefused
from provisioning.authority import Authority
from provisioning.claim_box import ClaimBox

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
PATH = "hangzhou/yuhang/cangqian/riverside"


class Trail:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def note(self, who, what, *, subject="", path="", why="", where="", outcome=""):
        self.lines.append((what, subject, why))


class Doors:
    """The claim pages' doors on a real port, the rest of the cloud left out."""

    def __init__(self, state: Path) -> None:
        self.settings = CloudSettings(state=str(state), broker=BrokerSettings(mqtt_port=8883))
        self.trail = Trail()
        self.service = Claims(self.settings, self.trail)
        app = FastAPI()
        app.include_router(claim_router(self.service, lambda _: VISITOR, lambda *_, **__: None))
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        ready = threading.Event()
        while not self._server.started:
            ready.wait(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(5)


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    served = Doors(tmp_path_factory.mktemp("cloud"))
    yield served
    served.stop()


def test_a_hundred_gateways_in_a_batch(doors, tmp_path):
    boxes = [ClaimBox(tmp_path / f"box-{n}") for n in range(100)]
    codes = []
    for box in boxes:
        codes.append(box.code(doors.url))
        assert box.collect(codes[-1]) is None and box.identity() is None
    with (tmp_path / "batch.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["code", "path", "gateway", "name_zh"])
        rows.writerows([shown.code, f"{PATH}-{n}", "gw-1", f"园区 {n}"] for n, shown in enumerate(codes))
    config = tmp_path / "cloud.yaml"
    config.write_text(f"state: {doors.settings.state}\n", encoding="utf-8")
    report = claim_file(config, tmp_path / "batch.csv", "Wang Lei", replace=False)
    assert report.claimed == 100 and "100 claimed, 0 refused" in report.text()
    names = {box.collect(shown).gateway for box, shown in zip(boxes, codes, strict=True)}
    assert len(names) == 100 and boxes[7].identity().site_name_zh == "园区 7"
    assert all(box.key_file.stat().st_mode & 0o777 == 0o600 for box in boxes)
    again = claim_file(config, tmp_path / "batch.csv", "Wang Lei", replace=True)
    assert again.claimed == 0 and "used before" in again.text(), "a batch played again claims nobody"


def test_box_renews_hands_in_its_site_and_is_shut_out(doors, tmp_path, monkeypatch):
    box = ClaimBox(tmp_path / "box")
    shown = box.code(doors.url, "A-17")
    assert box.collect(shown) is None and box.code(doors.url) == shown
    from dashboards.claim_pages import ClaimBody, RevokeBody

    doors.service.claim(ClaimBody(shown.code, PATH, "gw-2", "Riverside", "河畔"), "Wang")
    assert box.collect(shown).gateway == "hangzhou.yuhang.cangqian.riverside.gw-2" and box.shown() is None
    for year in (1970, 2025, 2030):
        monkeypatch.setattr("provisioning.claim_box._wall_us", lambda year=year: (year - 1970) * 31_557_600_000_000)
        renewed = box.renew()
        assert "signed by its authority" in renewed.words() and abs(renewed.ahead_us) > 10**12
    text = (ROOT / "demo/sites/riverside.yaml").read_text(encoding="utf-8")
    with pytest.raises(PeerRefused, match="another gateway"):
        box.hand_in(text)
    from device_model.yaml_source import parse_yaml

    content = parse_yaml(text, "").content
    content["site"]["path"], content["gateway"]["id"] = PATH, "gw-2"
    import yaml

    box.hand_in(yaml.safe_dump(content, allow_unicode=True))
    assert len(claimed_site_files(doors.settings)) == 1 and box.fetch_site()
    doors.service.revoke(RevokeBody(PATH, "gw-2", "stolen"), "Wang")
    with pytest.raises(PeerRefused, match="revoked"):
        box.renew()
    told = {what for what, _, _ in doors.trail.lines}
    assert {"claimed", "renew", "site refused", "revoked", "renew refused"} <= told


async def test_the_broker_lets_in_who_was_claimed_and_ends_the_session_of_who_was_replaced(tmp_path):
    from cloud_bridge.mqtt_link import GmqttLink, tls_context
    from community_os.broker import Broker
    from dashboards.claim_pages import ClaimBody
    from provisioning.claim import make_offer, open_grant
    from provisioning.claim_code import secret_of

    settings = CloudSettings(state=str(tmp_path / "cloud"), broker=BrokerSettings(mqtt_port=0, services_port=0))
    service = Claims(settings, Trail())
    broker = Broker(Path(settings.broker_folder), Authority.open(Path(settings.authority_folder)), settings.broker)
    await broker.start()
    keeping = asyncio.ensure_future(broker.run())
    links = []

    def enrol(name: str, replace: bool) -> ClaimBox:
        import msgspec

        from provisioning.authority import make_request

        box = ClaimBox(tmp_path / name)
        shown = box.new_code("http://127.0.0.1:1")
        secret = secret_of(shown.code)
        offer = make_offer(secret, make_request(None, box.key_file, named="unclaimed"), shown.nonce)
        assert service.offer(offer, "") == b""
        service.claim(ClaimBody(shown.code, PATH, "gw-1", replace=replace), "Wang")
        grant = open_grant(service.offer(offer, ""), secret, shown.nonce)
        assert msgspec.json.encode(grant) and grant.port == broker.mqtt_port
        box.certificate_file.write_text(grant.certificate)
        box.ca_file.write_text(grant.ca)
        return box

    def link(box: ClaimBox) -> GmqttLink:
        tls = tls_context(str(box.ca_file), str(box.certificate_file), str(box.key_file))
        made = GmqttLink("127.0.0.1", broker.mqtt_port, f"c-{os.urandom(3).hex()}", tls=tls, reconnect_max_s=0.5)
        links.append(made)
        made.start()
        return made

    async def until(true) -> None:
        async with asyncio.timeout(60):
            while not true():
                await asyncio.sleep(0.05)

    try:
        old = link(enrol("old", False))
        await until(lambda: old.connected)
        new = link(enrol("new", True))
        await until(lambda: new.connected and not old.connected)
        assert old.connections == 1
        foreign = Authority.open(tmp_path / "foreign")
        from device_model.messages import GatewayAddress
        from device_model.site import Tenancy
        from provisioning.commands import enrol_into

        keys = enrol_into(foreign, GatewayAddress(Tenancy.of(PATH), "gw-1"), tmp_path / "forged")
        (tmp_path / "forged" / "ca.pem").write_bytes((tmp_path / "new" / "ca.pem").read_bytes())
        tls = tls_context(str(keys.ca_file), str(keys.certificate_file), str(keys.key_file))
        forged = GmqttLink("127.0.0.1", broker.mqtt_port, "forged", tls=tls, reconnect_max_s=0.2)
        links.append(forged)
        forged.start()
        await asyncio.sleep(0.5)
        assert not forged.connected and new.connected
    finally:
        for one in links:
            await one.close()
        keeping.cancel()
        await broker.stop()


def test_commands_of_a_box_in_a_process(doors, tmp_path):
    """Code shown as JSON, labels printed, nobody claims: exit code 1."""
    def tocsin(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "tocsin", "provision", *arguments], cwd=ROOT, text=True,
                              capture_output=True, check=False, timeout=60)

    waited = tocsin("code", "--cloud", doors.url, "--folder", str(tmp_path), "--wait", "0.1", "--json")
    assert waited.returncode == 1 and '"address"' in waited.stdout and "/claim#" in waited.stdout
    pdf, svg = tmp_path / "l.pdf", tmp_path / "l.svg"
    labels = tocsin("label", "--folder", str(tmp_path), "--pdf", str(pdf), "--svg", str(svg))
    assert labels.returncode == 0 and pdf.read_bytes().startswith(b"%PDF") and "<svg" in svg.read_text()
    devices = tocsin("label", "--config", str(ROOT / "examples/site/riverside.yaml"), "--pdf", str(pdf))
    assert devices.returncode == 0 and pdf.stat().st_size > 10_000
