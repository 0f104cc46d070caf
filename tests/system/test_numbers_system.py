"""A changed number on real processes: asked for, approved by another, sent by the cloud, run by the gateway, and
taken back by itself when the cloud is lost after it."""

from __future__ import annotations

import asyncio
import shutil
import urllib.request
from collections import defaultdict
from collections.abc import Iterator

import pytest
import yaml

from device_model.child_process import free_ports
from device_model.system_clock import SystemClock
from firmware_sim.proxy import LinkProxy
from firmware_sim.scenario import Cut, Proxy
from tests.system.house import PATH, WITHIN_S, House, tocsin, until

pytestmark = pytest.mark.real
RULE, NAME, DEFAULT = "device.battery_level", "level", "15 %"


class Cuttable(House):
    """A house whose gateway reaches its cloud by a link that a test can cut."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        (uplink,) = free_ports(1)
        self._link = LinkProxy(Proxy("uplink", f"127.0.0.1:{uplink}", f"127.0.0.1:{self.mqtt}"), SystemClock())
        self._loop = self.devices._loop
        asyncio.run_coroutine_threadsafe(self._link.start(), self._loop).result(WITHIN_S)

        def changed(site) -> None:
            site["gateway"].update(remote_numbers={"roll_back_after_s": 30})
            site["gateway"]["cloud"]["port"] = uplink

        self.write_site(folder / "journal.sqlite", changed)

    def cut(self, *, off: bool) -> None:
        self._loop.call_soon_threadsafe(self._link.bend, Cut("uplink", 0, 1e9) if off else None)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cuttable]:
    made = Cuttable(tmp_path_factory.mktemp("numbers"))
    tmp_path = made.folder
    try:
        # The cloud has a copy of its own, as it has of any gateway that stands elsewhere.
        shutil.copy(tmp_path / "site.yaml", tmp_path / "copy.yaml")
        cloud = yaml.safe_load(made.cloud_file.read_text())
        made.cloud_file.write_text(yaml.safe_dump({**cloud, "sites": ["copy.yaml"]}))
        made.enrol()
        made.cloud.start()
        made.gateway.start()
        yield made
    finally:
        made.close()


def page_of(house: House) -> dict:
    return house.get(f"/api/packs?site={PATH}")


def shown(house: House) -> tuple[str, str]:
    """(in the cloud's copy of the site file, running as the gateway says)."""
    rule = next(rule for pack in page_of(house)["packs"] for rule in pack["rules"] if rule["id"] == RULE)
    number = next(one for one in rule["parameters"] if one["name"] == NAME)
    return number["value"], number["running"]


def asked(house: House, value: str, request: str) -> str:
    test = until(lambda: house.ask("POST", f"/api/sites/{PATH}/backtests", {
        "rule": RULE, "name": NAME, "value": value, "hours": 1.0, "who": "Li", "request": request}),
        house.said)
    until(lambda: house.get(f"/api/backtests/{test['id']}")["state"] == "done", house.said)
    answer = house.ask("POST", f"/api/backtests/{test['id']}/ask", {"why": "old batteries", "who": "Li"})
    assert answer["done"], answer
    return str(page_of(house)["changes"][0]["id"])


def state_of(house: House, change: str) -> dict:
    return next(one for one in page_of(house)["changes"] if one["id"] == change)


def numbers_at_gateway(house: House) -> dict:
    return (yaml.safe_load((house.folder / "site.yaml").read_text()).get("rules") or {}).get("parameters") or {}


def test_a_number_travels_runs_and_is_taken_back_when_the_cloud_is_lost(house: Cuttable) -> None:
    house.gateway_heard()
    until(lambda: shown(house) == (DEFAULT, DEFAULT), house.said)
    assert page_of(house)["gateway"]["takes"]
    change = asked(house, "25 %", "r1")
    refused = house.ask("POST", f"/api/numbers/{change}", {"yes": True, "why": "mine", "who": "Li"})
    assert not refused["done"] and "second person" in refused["refusal"]
    assert numbers_at_gateway(house) == {}
    assert house.ask("POST", f"/api/numbers/{change}", {"yes": True, "why": "seen", "who": "Sun"})["done"]
    until(lambda: state_of(house, change)["state"] in ("probation", "running"), house.said)
    assert numbers_at_gateway(house) == {RULE: {NAME: "25 %"}}
    until(lambda: shown(house) == ("25 %", "25 %") and state_of(house, change)["state"] == "running", house.said)

    later = asked(house, "35 %", "r2")
    assert house.ask("POST", f"/api/numbers/{later}", {"yes": True, "why": "seen", "who": "Sun"})["done"]
    until(lambda: state_of(house, later)["state"] == "probation", house.said)
    house.cut(off=True)
    until(lambda: numbers_at_gateway(house) == {RULE: {NAME: "25 %"}}, house.said)
    house.cut(off=False)
    until(lambda: state_of(house, later)["state"] == "rolled_back", house.said)
    until(lambda: shown(house) == ("25 %", "25 %"), house.said)
    assert "cloud was gone" in state_of(house, later)["told"]


def test_the_officers_overview_says_what_is_so(house: Cuttable) -> None:
    def view() -> dict:
        return house.get("/api/officer/overview")["view"]

    def whole() -> defaultdict:
        return defaultdict(int, view()["whole"])

    def lacks() -> list[str]:
        return [f"{one['kind']} {one['measure']}" for one in view()["lacks"]]

    devices = len(yaml.safe_load((house.folder / "site.yaml").read_text())["devices"])
    until(lambda: (whole()["expected"], whole()["connected"]) == (devices, devices), house.said)
    config = str(house.folder / "site.yaml")
    # The daily proof alarm, asked for on site lest its hour has not come today.
    assert tocsin("gateway", "act", "proof", "--who", "Li", "--why", "test", "--config", config).returncode == 0
    until(lambda: whole()["proven"] == devices and whole()["unproven"] == 0, house.said)
    assert tocsin("gateway", "act", "isolate", "smoke-101", "--who", "Li", "--why", "new head", "--for", "3600",
                  "--meanwhile", "guard walks", "--config", config).returncode == 0
    until(lambda: "isolated guard walks" in lacks() and whole()["impairments"] >= 1, house.said)
    house.devices.set("smoke-102", "smoke", True)
    until(lambda: (whole()["open"], whole()["life_safety"]) == (1, 1), house.said)
    (incident,) = view()["incidents"]
    assert house.http("GET", f"/incidents/{incident['id']}")[0] == 200  # down to its evidence
    dossier = f"http://127.0.0.1:{house.web_port}/incidents/{incident['id']}/dossier.pdf"
    with urllib.request.urlopen(dossier, timeout=WITHIN_S) as printed:
        assert printed.read(5) == b"%PDF-"
    house.gateway.stop()
    until(lambda: whole()["silent"] == 1 and whole()["connected"] == 0, house.said)
