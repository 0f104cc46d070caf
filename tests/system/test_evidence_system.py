"""Evidence from a gateway's folder to the incident's page: real processes, and a kill in the middle of a clip."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from device_model.clock import SECOND_US
from device_model.system_clock import SystemClock
from tests.system.house import PATH, WITHIN_S, House, Json, tocsin, until
from tests.system.paths_house import write_places

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]
# What the brigade reaches from an incident, and what shows that it is there.
REACHED = {
    "plan": ".plan", "water": "section[aria-labelledby=s-water] li:has-text('Hydrant at the gate')",
    "contacts": "section[aria-labelledby=s-contacts] li:has-text('Chen Jing')",
    "permit": "section[aria-labelledby=s-permit] li:has-text('HW-1')",
    "evidence": "section[aria-labelledby=s-evidence] video"}


def with_camera(site: Json) -> None:
    site["lines"].append({"id": "radio", "kind": "mqtt", "host": "127.0.0.1", "port": 9})  # nobody is there
    site["devices"].append({"id": "eye", "profile": "tocsin-camera", "line": "radio", "address": "eye-1",
                            "zone": "flat-104", "place": {"en": "stairs", "zh": "楼梯"}})
    site["permits"] = {"off_hours_raise": False}  # the test may run at night or on a Sunday
    site["gateway"]["vision"] = {"config": "vision.yaml", "start": False, "evidence": "evidence"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("watched"))
    try:
        made.enrol()
        made.write_site(made.folder / "journal.sqlite", with_camera)
        write_places(made.folder, "104")
        (made.folder / "evidence").mkdir()
        made.cloud.start()
        made.gateway.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip as a camera's: some hundred kilobytes, in parts on its way."""
    file = tmp_path_factory.mktemp("film") / "clip.mp4"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i",
                    "testsrc2=size=640x360:rate=25,noise=alls=40", "-t", "3",
                    "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(file)], check=True)
    return file.read_bytes()


def ask_permit(house: House) -> None:
    """Hot work at the burning flat, asked for on the page and confirmed by the gateway."""
    now_us = SystemClock(house.scale).now().wall_us
    plan = {"zone": "flat-104", "level": "two", "starts_us": now_us - 60 * SECOND_US,
            "ends_us": now_us + 3600 * SECOND_US, "workers": ["Wang Qiang"], "watcher": "Sun Lei",
            "gases": ["methane"], "work": "weld a bracket",
            "measures": ["combustibles_cleared", "drains_covered", "isolated", "cylinders_apart", "extinguishers"]}
    status, text = house.http("POST", f"/api/sites/{PATH}/permits", json.dumps({
        "step": {"permit": "HW-1", "act": "create", "plan": plan}, "who": "Chen Jing", "why": "",
        "request": "press-create-1"}))
    assert status == 200, text
    told = until(lambda: [one for one in house.get("/api/officer/permits")["view"]["permits"]
                          if one.get("heard_us") or one.get("refused")], house.said)
    assert not told[0].get("refused"), told


def two_actions_away(page: Page, house: House, incident: str) -> None:
    """From the board: the card, then the word; what was asked for is in view."""
    for what, shown in REACHED.items():
        page.goto(f"http://127.0.0.1:{house.web_port}/board")
        for action in (f'[data-incident="{incident}"]', f"[data-jump={what}]"):
            page.locator(action).first.click()
        expect(page.locator(shown).first).to_be_in_viewport()
    clip = page.locator(REACHED["evidence"])
    clip.evaluate("node => { node.preload = 'metadata'; node.load(); }")
    page.wait_for_function("node => node.duration > 2.5", arg=clip.element_handle())


def listed(house: House, incident: str) -> list[Json]:
    found: list[Json] = house.get(f"/api/incidents/{incident}/evidence")
    return found


def whole(house: House, incident: str) -> dict[str, Json]:
    return {f["kind"]: f for item in listed(house, incident) for f in item["files"] if f["state"] == "whole"}


def test_a_clip_reaches_its_incident_over_a_kill_and_is_held_until_it_is_closed(
    watched: House, film: bytes, browser: Any
) -> None:
    house, folder = watched, watched.folder / "evidence"
    house.gateway_heard()
    ask_permit(house)
    house.devices.set("smoke-104", "smoke", True)
    (incident,) = until(lambda: house.incidents_of("104"), house.said)
    at_us = incident["alarms"][0]["at_us"]
    name = f"eye-1-{at_us // 1000 + 900}"
    (folder / f"{name}.jpg").write_bytes(b"\xff\xd8 a snapshot")
    until(lambda: "snapshot" in whole(house, incident["id"]), house.said)
    assert json.loads((folder / "open-incidents.json").read_bytes()) == {name: incident["alarms"][0]["alarm"]}
    (folder / f"{name}.mp4").write_bytes(film)
    until(lambda: any(f["kind"] == "clip" and f["got"] for i in listed(house, incident["id"]) for f in i["files"]),
          house.said)
    house.gateway.kill()
    house.new_gateway().start()
    clip = until(lambda: whole(house, incident["id"]).get("clip"), house.said)
    assert clip["sha256"] == hashlib.sha256(film).hexdigest() and clip["size"] == len(film)
    side = house.get(f"/api/incidents/{incident['id']}/side")
    assert side["evidence"][0]["clip"] == clip["url"] and side["evidence"][0]["snapshot"]
    kept = list(Path(house.folder / "state" / "evidence").rglob("*.mp4"))
    assert [path.read_bytes() for path in kept] == [film]
    assert house.http("GET", "/evidence/none/none/none.mp4")[0] == 404

    context = browser.new_context(locale="en-GB", viewport={"width": 1400, "height": 900}, service_workers="block")
    page = context.new_page()
    page.set_default_timeout(WITHIN_S * 1000)
    two_actions_away(page, house, incident["id"])
    context.close()

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
