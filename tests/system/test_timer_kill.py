"""The real gateway, SIGKILLed inside `for: 60 s`: the alarm comes at the right second (of the house's time)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from device_model.system_clock import real_mono_us
from tests.system.house import House, Json, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]
FOR_S = 60.0
RULES = """
pack: slow
version: 1
title: {en: Slow, zh: 慢}
rules:
  - id: slow.smoke
    version: 1
    title: {en: Smoke for a minute, zh: 烟雾持续一分钟}
    hazard: environment
    severity: alarm
    bind: {quantities: [smoke_alarm]}
    when: value
    for: 60 s
    source: "a rule made for this test"
    certainty: B
    response: {en: Look., zh: 查看。}
"""


def slow_alarm(house: House) -> Json | None:
    for incident in house.board()["incidents"]:
        for alarm in incident["alarms"]:
            if alarm["rule"] == "slow.smoke":
                found: Json = alarm | {"log": incident["log"]}
                return found
    return None


def test_killed_inside_the_for(house: House) -> None:
    (house.folder / "slow.yaml").write_text(RULES, encoding="utf-8")

    def with_rule(site: Json) -> None:
        site["rules"] = {"packs": ["device"], "files": ["slow.yaml"]}

    house.write_site(house.folder / "journal.sqlite", with_rule)
    house.cloud.stop()
    house.cloud.start()  # with the same rules
    house.gateway.start()
    house.gateway_heard()
    before_us = house.scale.shown(real_mono_us())
    house.devices.set("smoke-101", "smoke", True)
    pause = threading.Event()
    for wait_s in (3.0, 2.0):  # 15 s and some 25 s of the house's time into the minute
        pause.wait(wait_s)
        house.gateway.kill()
        last_life_us = house.scale.shown(real_mono_us())
        house.gateway.start()
    alarm = until(lambda: slow_alarm(house), house.said)
    assert alarm["state"] == "raised"
    raised = [entry for entry in alarm["log"] if entry["what"] == "raised"]
    assert len(raised) == 1
    assert (raised[0]["at_us"] - before_us) / 1e6 >= FOR_S, "the minute was not over"
    # However late a busy machine's poll is: a life that began its minute anew is not done before its own is over.
    assert (raised[0]["at_us"] - last_life_us) / 1e6 < FOR_S, (alarm, house.said())


def test_the_rules_of_this_test_are_good(tmp_path: Path) -> None:
    from rules_engine.packs import read_pack

    file = tmp_path / "slow.yaml"
    file.write_text(RULES, encoding="utf-8")
    assert [rule.for_us for rule in read_pack(file).rules] == [60_000_000]
