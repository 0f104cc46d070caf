"""Hot work on the real system: signed in the cloud, done on site by the gateway's own page, seen in the cloud again.

    camera (a thread here) ─► mosquitto ─► gateway ─mTLS─► cloud: worker, /hot-work
    smoke detector ─Modbus TCP─►  ▲  gateway page ◄─ Chromium, 390 pixels, PIN

Welding without a permit is an alarm; under one it is quiet, and fire is told as ever.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Page, expect

from dashboards.pins import set_pin
from demo.children import free_ports
from device_model.clock import SECOND_US
from device_model.system_clock import SystemClock
from tests.system.house import PATH, WITHIN_S, House, Json, Program, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(280)]
WATCHER, PIN = "Zhao Min", "274951"
MS = 1000
WATCH_S = 8.0  # shown seconds of watch after the work, of this site


class Works(House):
    """The small house with a camera in flat 101 and the gateway's own page."""

    def __init__(self, folder: Path) -> None:
        self.radio, self.page_port = free_ports(2)
        super().__init__(folder)
        set_pin(folder / "pins.json", WATCHER, PIN)
        self.page = Program(folder, "page", "gateway", "page", "--config", str(folder / "site.yaml"),
                            environment=self.environment)
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {self.radio} 127.0.0.1\nallow_anonymous true\n")
        self.broker = subprocess.Popen([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.eye = Client(CallbackAPIVersion.VERSION2)
        until(lambda: self.eye.connect("127.0.0.1", self.radio) == 0, "no mosquitto")
        self.eye.loop_start()
        self.sees()

    def site(self, journal: Path) -> Json:
        site = super().site(journal)
        site["gateway"]["page"] = {"port": self.page_port, "pin_file": "pins.json"}
        site["lines"].append({"id": "radio", "kind": "mqtt", "host": "127.0.0.1", "port": self.radio})
        site["devices"].append({"id": "eye", "profile": "camera-scores", "line": "radio", "address": "eye",
                                "zone": "flat-101"})
        site["rules"] = {"packs": ["fire", "camera", "hot_work", "device"]}
        site["permits"] = {"fire_watch_s": WATCH_S, "off_hours_raise": False}
        return site

    def sees(self, hot_work: float = 0.0, flame: float = 0.0) -> None:
        """What the camera thinks it sees from now on."""
        scores = {"hot_work": hot_work, "flame": flame, "smoke": 0.0, "obstruction": 0.0, "people": 0, "fault": 0}
        self.eye.publish("tocsin/eye/availability", "online", qos=1, retain=True)
        self.eye.publish("tocsin/eye", json.dumps(scores), qos=1, retain=True).wait_for_publish(WITHIN_S)

    def asked(self, act: str, who: str, **more: Any) -> None:
        """An act of somebody in the cloud."""
        status, text = self.http("POST", f"/api/sites/{PATH}/permits", json.dumps(
            {"step": {"permit": "HW-1", "act": act, **more}, "who": who, "why": "", "request": f"press-{act}-1"}))
        assert status == 200, text

    def permit(self) -> Json:
        """The permit as the cloud shows it."""
        page: Json = self.get("/api/officer/permits")["view"]
        found: Json = next(one for one in page["permits"] if one["id"] == "HW-1")
        return found

    def view(self) -> Json:
        """What the gateway's page shows; OSError while it is not there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/api/view", timeout=10) as answer:
            view: Json = json.load(answer)
        return view

    def sees_for_long(self, since_us: int) -> bool:
        """Whether the camera has shown hot work for longer than the rule waits (10 s, shown time). Shows it again: a
        camera that says nothing is silent one day."""
        self.sees(hot_work=0.9)
        view = self.view()
        (permit,) = view["permits"]
        return view["at_us"] - since_us > 20 * SECOND_US and any(
            one["kind"] == "camera" and one["value"] == 0.9 for one in permit["meters"])

    def hot(self) -> list[Json]:
        """Incidents of hot work that are not over."""
        return [one for one in self.incidents_of("101") if one["hazard"] == "hot_work"]

    def close(self) -> None:
        self.page.stop()
        self.eye.loop_stop()
        self.broker.terminate()
        self.broker.wait(20)
        super().close()


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    made = Works(tmp_path_factory.mktemp("works"))
    expect.set_options(timeout=WITHIN_S * MS)
    try:
        made.enrol()
        made.cloud.start()
        made.gateway.start()
        made.page.start()
        yield made
    finally:
        expect.set_options(timeout=5 * MS)
        made.close()


def did(page: Page, act: str) -> None:
    """One press on the permit's card, and the second look."""
    page.locator(f"[data-key='permit:HW-1:{act}']").click()
    page.locator("#deed-go").click()
    expect(page.locator("#outcome")).to_have_class(re.compile("ok"))


def test_hot_work_from_the_signature_to_the_end_of_the_watch(works: Works, browser: Any) -> None:
    works.gateway_heard()
    now_us = SystemClock(works.scale).now().wall_us
    works.asked("create", "Chen Jing", plan={
        "zone": "flat-101", "level": "two", "starts_us": now_us - 60 * SECOND_US,
        "ends_us": now_us + 3600 * SECOND_US, "workers": ["Wang Qiang"], "watcher": "Sun Lei",
        "gases": ["methane"], "work": "weld a bracket",
        "measures": ["combustibles_cleared", "drains_covered", "isolated", "cylinders_apart", "extinguishers"]})

    # Nobody has signed it: welding is an alarm.
    works.sees(hot_work=0.9)
    until(works.hot, works.said)
    works.sees()

    page = browser.new_context(locale="en-GB", viewport={"width": 390, "height": 844}, reduced_motion="reduce",
                               service_workers="block").new_page()
    page.set_default_timeout(WITHIN_S * MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    until(works.view, works.said)
    page.goto(f"http://127.0.0.1:{works.page_port}/")
    card = page.locator(".permit", has_text="HW-1")
    expect(card.locator(".missing")).to_contain_text("not approved")
    works.asked("approve", "Li Na")
    expect(card.locator(".missing")).to_contain_text("No gas sample has been taken")
    expect(page.locator("[data-key='permit:HW-1:start']")).to_be_disabled()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.locator("[data-key='permit:HW-1:watcher_on']").click()
    page.locator("#pin-name").fill(WATCHER)
    page.locator("#pin-pin").fill(PIN)
    page.keyboard.press("Enter")
    page.locator("#deed-go").click()
    expect(card).to_contain_text(f"{WATCHER} on the spot")
    page.locator("[data-key='permit:HW-1:sample']").click()
    page.locator("#sample-value").fill("1")
    page.locator("#sample-unit").select_option("lel")
    page.locator("#sample-go").click()
    expect(card).to_contain_text("0.05 % vol = 1 %LEL methane")
    did(page, "start")
    until(lambda: works.permit()["permit"]["state"] == "working", works.said)
    cloud = browser.new_context(locale="en-GB", service_workers="block").new_page()
    cloud.goto(f"http://127.0.0.1:{works.web_port}/hot-work")
    expect(cloud.locator(".card.hot", has_text="HW-1")).to_contain_text(f"{WATCHER} on the spot")

    # Welding under the permit: seen, longer than the rule waits, and nothing new is said.
    started_us = works.view()["at_us"]
    until(lambda: works.sees_for_long(started_us), works.said)
    assert [a for a in works.view()["alarms"] if a["hazard"] == "hot_work" and a["since_us"] > started_us] == []

    # A flame outside the drawn spot is everybody's at once, whatever the permit; the sounder sounds.
    works.sees(hot_work=0.9, flame=0.95)
    fire = until(lambda: next((i for i in works.incidents_of("101") if i["hazard"] == "fire"), None), works.said)
    assert fire is not None and not fire.get("audience"), "told to all"
    until(works.sounding, works.said)
    works.sees()

    did(page, "finish")
    expect(card).to_contain_text("fire watch")
    close = page.locator("[data-key='permit:HW-1:close']")
    expect(close).to_be_enabled()  # when the watch is over, and not before: the gateway decides
    did(page, "close")
    until(lambda: works.permit()["permit"]["state"] == "closed", works.said)
    assert problems == []
