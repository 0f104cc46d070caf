"""Evidence from a gateway's folder to the incident's page: real processes, and a kill in the middle of a clip."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.house import House, Json, tocsin, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]
CLIP = bytes(range(251)) * 4000  # a megabyte: twenty parts and more


def with_camera(site: Json) -> None:
    site["lines"].append({"id": "radio", "kind": "mqtt", "host": "127.0.0.1", "port": 9})  # nobody is there
    site["devices"].append({"id": "eye", "profile": "tocsin-camera", "line": "radio", "address": "eye-1",
                            "zone": "flat-104", "place": {"en": "stairs", "zh": "楼梯"}})
    site["gateway"]["vision"] = {"config": "vision.yaml", "start": False, "evidence": "evidence"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("watched"))
    try:
        made.enrol()
        made.write_site(made.folder / "journal.sqlite", with_camera)
        (made.folder / "evidence").mkdir()
        made.cloud.start()
        made.gateway.start()
        yield made
    finally:
        made.close()


def listed(house: House, incident: str) -> list[Json]:
    found: list[Json] = house.get(f"/api/incidents/{incident}/evidence")
    return found


def whole(house: House, incident: str) -> dict[str, Json]:
    return {f["kind"]: f for item in listed(house, incident) for f in item["files"] if f["state"] == "whole"}


def test_a_clip_reaches_its_incident_over_a_kill_and_is_held_until_it_is_closed(watched: House) -> None:
    house, folder = watched, watched.folder / "evidence"
    house.gateway_heard()
    house.devices.set("smoke-104", "smoke", True)
    (incident,) = until(lambda: house.incidents_of("104"), house.said)
    at_us = incident["alarms"][0]["at_us"]
    name = f"eye-1-{at_us // 1000 + 900}"
    (folder / f"{name}.jpg").write_bytes(b"\xff\xd8 a snapshot")
    until(lambda: "snapshot" in whole(house, incident["id"]), house.said)
    assert json.loads((folder / "open-incidents.json").read_bytes()) == {name: incident["alarms"][0]["alarm"]}
    (folder / f"{name}.mp4").write_bytes(CLIP)
    until(lambda: any(f["kind"] == "clip" and f["got"] for i in listed(house, incident["id"]) for f in i["files"]),
          house.said)
    house.gateway.kill()
    house.new_gateway().start()
    clip = until(lambda: whole(house, incident["id"]).get("clip"), house.said)
    assert clip["sha256"] == hashlib.sha256(CLIP).hexdigest() and clip["size"] == len(CLIP)
    side = house.get(f"/api/incidents/{incident['id']}/side")
    assert side["evidence"][0]["clip"] == clip["url"] and side["evidence"][0]["snapshot"]
    kept = list(Path(house.folder / "state" / "evidence").rglob("*.mp4"))
    assert [path.read_bytes() for path in kept] == [CLIP]
    assert house.http("GET", "/evidence/none/none/none.mp4")[0] == 404

    # The incident ends: the gateway hears it, and its own copy may age.
    house.devices.set("smoke-104", "smoke", False)
    house.devices.calm()
    alarm, site = incident["alarms"][0]["alarm"], str(house.folder / "site.yaml")
    reset = ("gateway", "act", "reset", alarm, "--who", "Chen Jing", "--why", "burnt toast", "--config", site)
    until(lambda: tocsin(*reset, env={**os.environ, **house.environment}).returncode == 0, house.said)
    numbers = itertools.count()
    until(lambda: house.act(incident["id"], "close", f"click-0000{next(numbers):04}", why="burnt toast").get("done"),
          house.said)
    until(lambda: json.loads((folder / "open-incidents.json").read_bytes()) == {} or None, house.said, 90.0)
