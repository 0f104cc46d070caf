"""What an administrator wrote is taken once; all that the gateway writes lies where its unit lets it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from dashboards.install_view import PlacedZone, SaveAsk
from dashboards.pins import PinDoor, set_pin
from device_model.library import read_inventory, read_site
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from edge_agent.install_settle import become_owner, left_over, settle
from edge_agent.installer import GatewayInstaller
from edge_agent.remote_site import RemoteSite
from provisioning import claim_box
from provisioning.authority import Authority
from provisioning.claim_box import ClaimBox
from provisioning.claim_desk import ClaimDesk, ClaimPlace
from provisioning.site_signing import make_site_key, sign_site
from provisioning.site_versions import SiteVersions
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
ADDRESS = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-1")
PRIVATE, PUBLIC = make_site_key()
SITE = """
site: {path: a/b/c/d, name: %s}
gateway:
  id: gw-1
  journal_path: %s/journal.sqlite
  page: {pin_file: pins.json}
  remote_configuration: {key_file: %s/site-key.pub.pem, roll_back_after_s: 60}
lines: [ {id: self, kind: gateway} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: Z} ]} ]} ]
devices: [ {id: gw, profile: tocsin-gateway, line: self, zone: z1} ]
"""


def unit(name: str) -> dict[str, str]:
    """The last value of each key of a unit of the package."""
    return dict(re.findall(r"(?m)^([A-Za-z]+)=(.*)$", (PACKAGING / name).read_text(encoding="utf-8")))


def seen(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
            for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def places(tmp_path):
    first, state = tmp_path / "etc" / "tocsin", tmp_path / "var"
    first.mkdir(parents=True)
    state.mkdir(mode=0o700)
    (first / "site.yaml").write_text(SITE % ("Old", state, first), encoding="utf-8")
    (first / "site-key.pub.pem").write_bytes(PUBLIC)
    (first / "key.pem").write_bytes(b"key")
    set_pin(first / "pins.json", "Li Wei", "274951")
    return first, state


def test_units_name_only_what_the_gateway_may_write():
    for name in ("tocsin-gateway.service", "tocsin-page.service", "tocsin-vision.service"):
        keys = unit(name)
        assert "/etc/" not in keys["ExecStart"] and "/var/lib/tocsin/" in keys["ExecStart"]
        assert keys["StateDirectory"] == "tocsin" and keys["ProtectSystem"] == "strict"
    pre = unit("tocsin-gateway.service")["ExecStartPre"]
    assert pre.startswith("-"), "what is wrong in /etc never keeps the gateway from starting"
    assert pre.endswith("--first /etc/tocsin --state /var/lib/tocsin")
    assert unit("tocsin-gateway.path")["PathChanged"] == "/var/lib/tocsin/site.yaml"


def test_taken_once_and_then_the_gateways_own(places):
    first, state = places
    before = seen(first)
    done = settle(first, state)
    assert set(done.taken) == {"site.yaml", "site-key.pub.pem", "key.pem", "pins.json"} and done.live
    site = read_site(state / "site.yaml")
    assert site.gateway.remote_configuration.key_file == str(state / "site-key.pub.pem")
    assert site.gateway.page.pin_file == str(state / "pins.json")
    (state / "key.pem").write_bytes(b"renewed")
    SiteVersions(state / "site.yaml").save((SITE % ("Placed by phone", state, state)), "Li Wei", "placed")
    again = settle(first, state)
    assert again.taken == () and (state / "key.pem").read_bytes() == b"renewed"
    assert read_site(state / "site.yaml").name.en == "Placed by phone"
    assert seen(first) == before, "nothing is ever written there"


def test_a_new_word_of_the_administrator_holds_and_a_wrong_one_does_not(places):
    first, state = places
    settle(first, state)
    (first / "site.yaml").write_text(SITE % ("Newer", state, first), encoding="utf-8")
    assert settle(first, state).taken == ("site.yaml",) and read_site(state / "site.yaml").name.en == "Newer"
    assert SiteVersions(state / "site.yaml").history()[-1].who == "administrator", "and can be undone"
    wrong = (SITE % ("Wrong", state, first)).replace("zone: z1", "zone: z9")
    (first / "site.yaml").write_text(wrong, encoding="utf-8")
    for _ in range(2):
        done = settle(first, state)
        assert done.live and done.taken == () and "z9" in done.findings[0]
        assert read_site(state / "site.yaml").name.en == "Newer", "the old one runs on"


def test_a_claimed_gateway_keeps_its_own_over_what_lay_there(places):
    first, state = places
    (state / "site.yaml").write_text(SITE % ("Claimed", state, state), encoding="utf-8")
    (state / "key.pem").write_bytes(b"own")
    done = settle(first, state)
    assert "key.pem" not in done.taken and "site.yaml" not in done.taken and done.findings
    assert (state / "key.pem").read_bytes() == b"own" and settle(first, state).findings == ()


def test_second_copies_are_named_for_removal_and_a_persons_files_are_not(places):
    first, state = places
    settle(first, state)
    assert {file.name for file in left_over(first, state)} == {"key.pem", "pins.json"}


def test_nothing_there_and_nothing_written(tmp_path):
    (tmp_path / "etc").mkdir()
    done = settle(tmp_path / "etc", tmp_path)
    assert not done.live and done.taken == () and "no site file yet" in done.text()
    become_owner(tmp_path / "nowhere")
    assert os.getuid() == os.geteuid()


def test_keys_are_renewed_and_a_staged_site_file_runs_with_the_units_paths(places, tmp_path, monkeypatch):
    first, state = places
    (first / "key.pem").unlink()
    settle(first, state)
    before = seen(first)
    first.chmod(0o555)
    authority = Authority.open(tmp_path / "cloud" / "authority")
    desk = ClaimDesk(authority, tmp_path / "cloud", lambda: ("cloud.example", 8883))

    def post(url: str, body: bytes) -> bytes:
        if not url.endswith("/offers"):
            return msgspec.json.encode(desk.hear(body)[1])
        grant = desk.answer(desk.offer(body, "here"))
        return msgspec.json.encode(grant) if grant is not None else b""

    monkeypatch.setattr(claim_box, "_post", post)
    box = ClaimBox(state)
    shown = box.code("https://cloud.example")
    assert box.collect(shown) is None
    desk.claim(shown.code, ClaimPlace(ADDRESS), "Wang")
    assert box.collect(shown).address == ADDRESS
    old = box.certificate_file.read_bytes()
    assert box.renew() and box.certificate_file.read_bytes() != old

    loop = VirtualLoop()

    class Tap:
        connected, waiting, numbers = True, asyncio.Queue(), asyncio.Queue()

    async def main():
        clock, ran = VirtualClock(loop, "b", wall_us=0), []

        async def apply(file):
            ran.append(read_inventory(file).site.name.en)
            return "names"

        remote = RemoteSite(Tap(), state / "site.yaml", state / "site-key.pub.pem", ADDRESS, clock, apply,
                            roll_back_after_s=60)
        task = asyncio.ensure_future(remote.run())
        Tap.waiting.put_nowait(sign_site(SITE % ("From the cloud", state, state), 1, ADDRESS, PRIVATE))
        await clock.sleep(70)
        task.cancel()
        assert ran == ["From the cloud"] and remote.last == "version 1 confirmed"

    run_virtual(main(), loop)
    assert read_site(state / "site.yaml").name.en == "From the cloud"
    assert settle(first, state).taken == (), "the next start takes nothing back"
    assert seen(first) == before


def closed(first: Path) -> list[str]:
    """A prefix under which `first` is a read-only mount, as ProtectSystem=strict makes it; [] where the machine does
    not let a user do that."""
    if shutil.which("unshare") is None:
        return []
    prefix = ["unshare", "-rm", "sh", "-c", f'mount --bind "{first}" "{first}" && '
              f'mount -o remount,ro,bind "{first}" && exec "$@"', "sh"]
    tried = subprocess.run([*prefix, "sh", "-c", f'! touch "{first}/x"'], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else []


@pytest.mark.real
def test_saving_from_the_phone_on_a_packaged_gateway(places):
    """The unit's own commands, its paths put below this test's folder, with /etc read-only."""
    first, state = places
    prefix, before = closed(first), seen(first)

    def command(line: str) -> list[str]:
        words = line.lstrip("-").replace("/etc/tocsin", str(first)).replace("/var/lib/tocsin", str(state)).split()
        words[0] = sys.executable
        return prefix + (words if words[1] == "-m" else [words[0], "-m", "tocsin", *words[1:]])

    keys = unit("tocsin-gateway.service")
    done = subprocess.run(command(keys["ExecStartPre"]), cwd=ROOT, capture_output=True, text=True, check=True,
                          timeout=120)
    assert "taken: site.yaml" in done.stdout
    with (state / "log").open("wb") as log:
        gateway = subprocess.Popen(command(keys["ExecStart"]), cwd=ROOT, stdout=log, stderr=log)
    try:
        installer, until_s = GatewayInstaller(state / "site.yaml"), time.monotonic() + 60
        while not installer.view().running:
            assert time.monotonic() < until_s and gateway.poll() is None, (state / "log").read_text()
            time.sleep(0.1)
        answer = installer.save(SaveAsk(zones=(PlacedZone("kitchen", "厨房", "kitchen"),)), "Li Wei")
        assert answer.written and not answer.findings, answer
        assert [one.id for one in read_site(state / "site.yaml").zones] == ["z1", "kitchen"]
        assert PinDoor(state / "pins.json", time.monotonic).enter("Li Wei", "274951")
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(60)
    assert seen(first) == before, "the folder of the administrator was only read"
