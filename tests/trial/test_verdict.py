"""The judge: each kind of expectation can hold and can fail, and what nobody expected is listed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from device_model.errors import ConfigError
from trial.commands import prove, run_trial
from trial.scenario_files import SHIPPED, find_scenario, is_complete, read_trial
from trial.stage import play
from trial.verdict import Verdict, judge

SITE = str(SHIPPED / "sites" / "flat.yaml")
BASE: dict[str, Any] = {
    "scenario": "little", "zh": "小", "en": "little", "site": SITE,
    "events": [{"at_s": 10, "set": {"smoke-bed.smoke": True}}],
}
ALLOW_FIRE = {"allow": [{"rule": "fire.smoke"}]}


def written(tmp_path: Path, expect: dict[str, Any], **more: Any) -> Path:
    path = tmp_path / "little.yaml"
    content = {**BASE, "expect": {"duration_s": 40, **expect}, **more}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def verdict_of(tmp_path: Path, expect: dict[str, Any], **more: Any) -> Verdict:
    return run_trial(written(tmp_path, expect, **more))[0]


CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("alarms", {"rule": "fire.smoke", "of": "event:0", "within_s": 3}, True),
    ("alarms", {"rule": "fire.smoke", "of": "event:0", "within_s": 0.001}, False),
    ("alarms", {"rule": "fire.smoke", "after_s": 20, "within_s": 20}, False),
    ("alarms", {"rule": "fire.smoke", "count": 2}, False),
    ("alarms", {"rule": "fire.smoke", "zone": "b1-plant"}, False),
    ("alarms", {"rule": "fire.smoke", "device": "smoke-bed", "zone": "b1-301", "severity": "critical"}, True),
    ("alarms", {"rule": "fire.smoke", "cleared_within_s": 5}, False),
    ("faults", {"rule": "device.silent"}, False),
    ("incidents", {"hazard": "fire", "zone": "b1-301", "alarms": ["fire.smoke"]}, True),
    ("incidents", {"hazard": "fire", "count": 2}, False),
    ("incidents", {"hazard": "fire", "verified": "second_detector"}, False),
    ("incidents", {"hazard": "gas_high"}, False),
    ("no_alarms", {"class": "fire"}, False),
    ("no_alarms", {"class": "fire", "to_s": 9}, True),
    ("no_alarms", {"rule": "water.leak"}, True),
    ("no_alarms", {"hazard": "fire", "from_s": 5, "to_s": 20}, False),
    ("outputs", {"output": "relay.relay", "of": "event:0", "within_s": 4}, True),
    ("outputs", {"output": "relay.relay", "proved": True}, False),
    ("outputs", {"output": "relay.relay", "never": True}, False),
    ("outputs", {"output": "valve.output_1"}, False),
    ("outputs", {"output": "valve.output_1", "never": True}, True),
    ("world", {"quantity": "temp-bed.temperature", "between": [10, 30]}, True),
    ("world", {"quantity": "temp-bed.temperature", "below": 10}, False),
    ("world", {"quantity": "temp-bed.temperature", "above": 30}, False),
    ("world", {"quantity": "nothing.level", "below": 1}, False),
    ("impairments", {"kind": "silent", "subject": "smoke-bed"}, False),
    ("readings", {"point": "smoke-bed.smoke", "value": True}, True),
    ("readings", {"point": "smoke-bed.smoke", "quality": "bad"}, False),
    ("silent_devices", "smoke-bed", False),
    ("fires", {"id": "f", "devices": ["smoke-bed"], "onset_s": 10, "within_s": 5}, True),
    ("fires", {"id": "f", "devices": ["co-bed"], "onset_s": 10}, False),
]


@pytest.mark.parametrize(("key", "wish", "holds"), CASES, ids=[f"{key}-{i}" for i, (key, _, _) in enumerate(CASES)])
def test_each_expectation_can_hold_and_fail(tmp_path: Path, key: str, wish: Any, holds: bool) -> None:
    verdict = verdict_of(tmp_path, {key: [wish], **ALLOW_FIRE})
    assert [check.ok for check in verdict.expected if check.kind != "sound"] == [holds]
    assert verdict.passed == holds


def test_what_nobody_expected_fails(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {})
    assert [alarm.rule for alarm in verdict.unexpected] == ["fire.smoke"]
    assert not verdict.passed


def test_an_alarm_before_its_time_is_unexpected(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, {"alarms": [{"rule": "fire.smoke", "of": "event:1", "within_s": 5}]},
                         events=[*BASE["events"], {"at_s": 20, "set": {"smoke-hall.smoke": True}}])
    assert [alarm.device for alarm in verdict.unexpected] == ["smoke-bed"]


def test_people_acknowledge_silence_and_reset(tmp_path: Path) -> None:
    verdict = verdict_of(
        tmp_path, {"alarms": [{"rule": "fire.smoke", "cleared_within_s": 60}],
                   "outputs": [{"output": "relay.relay", "becomes": False, "of": "deed:1", "within_s": 3}],
                   "duration_s": 60},
        events=[*BASE["events"], {"at_s": 20, "set": {"smoke-bed.smoke": False}}],
        people=[{"at_s": 15, "does": "acknowledge", "target": "fire"}, {"at_s": 25, "does": "silence"},
                {"at_s": 30, "does": "reset", "target": "fire.smoke"}])
    assert verdict.passed, verdict.expected
    said = [(entry.who, entry.what) for entry in verdict.timeline]
    assert ("gateway", "alarm_acknowledged") in said and ("gateway", "reset_alarm") in said


def test_a_cut_uplink_delays_the_board_not_the_sounder(tmp_path: Path) -> None:
    verdict = verdict_of(
        tmp_path, {"outputs": [{"output": "relay.relay", "of": "event:0", "within_s": 4}],
                   "incidents": [{"hazard": "fire", "after_s": 30, "within_s": 15}], "duration_s": 60, **ALLOW_FIRE},
        cuts=[{"proxy": "uplink", "from_s": 5, "for_s": 25}])
    assert verdict.passed, verdict.expected


def test_a_site_may_stand_in_the_scenario(tmp_path: Path) -> None:
    site = yaml.safe_load(Path(SITE).read_text(encoding="utf-8"))
    site["outputs"][0]["on_power_loss"] = "off"
    assert verdict_of(tmp_path, ALLOW_FIRE, site=site).passed


STATION = {
    "site": {"path": "a/b/c/d", "name": "x"}, "gateway": {"id": "gw-1"},
    "lines": [{"id": "air", "kind": "hj212_tcp_server", "host": "127.0.0.1", "port": 15901},
              {"id": "bus", "kind": "modbus_rtu", "port_path": "/dev/ttyS0", "baud": 9600}],
    "buildings": [{"id": "b1", "name": "x",
                   "floors": [{"id": "f1", "name": "x", "zones": [{"id": "gate", "name": "x"}]}]}],
    "devices": [{"id": "dust", "profile": "hj212-dust", "line": "air", "address": "BB120100001", "zone": "gate",
                 "place": "gate"},
                {"id": "smoke", "profile": "calectro-ug3", "line": "bus", "unit": 1, "zone": "gate",
                 "place": "gate"}],
}


def test_stations_and_serial_lines_take_part(tmp_path: Path) -> None:
    verdict = verdict_of(
        tmp_path, {"readings": [{"point": "dust.pm10", "value": 900, "of": "event:0", "within_s": 60}],
                   "alarms": [{"rule": "fire.smoke", "of": "event:1", "within_s": 5}],
                   "faults": [{"rule": "device.bad_reading", "device": "smoke", "of": "fault:0", "within_s": 90}],
                   "duration_s": 180},
        site=STATION, events=[{"at_s": 10, "set": {"dust.pm10": 900}}, {"at_s": 20, "set": {"smoke.smoke": True}}],
        faults=[{"kind": "garble", "target": "bus", "from_s": 60, "for_s": 0, "chance": 1.0}])
    assert verdict.passed, (verdict.expected, verdict.unexpected)


def test_the_site_has_its_own_hour(tmp_path: Path) -> None:
    setup = read_trial(written(tmp_path, {}, begins="2026-01-15T23:30"))
    assert setup.began_us == 1_768_491_000_000_000  # 15:30 UTC, as Shanghai has +08:00
    with pytest.raises(ConfigError, match="no date and time"):
        read_trial(written(tmp_path, {}, begins="late"))


def test_mistakes_in_a_scenario_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="event:7"):
        read_trial(written(tmp_path, {"alarms": [{"rule": "fire.smoke", "of": "event:7"}]}))
    with pytest.raises(ConfigError, match=r"no rule and no output 'fire.smokey'"):
        run_trial(written(tmp_path, {}), disabled=("fire.smokey",))
    with pytest.raises(ConfigError, match="protected_by"):
        prove(written(tmp_path, {}))
    with pytest.raises(ConfigError, match="no such scenario"):
        find_scenario("no-such")
    with pytest.raises(ConfigError, match="nobody 'sing'"):
        read_trial(written(tmp_path, {}, people=[{"at_s": 1, "does": "sing"}]))
    (tmp_path / "bare.yaml").write_text("scenario: bare\n", encoding="utf-8")
    assert not is_complete(tmp_path / "bare.yaml")


def test_a_mistake_of_the_programs_fails_the_verdict(tmp_path: Path) -> None:
    setup = read_trial(written(tmp_path, ALLOW_FIRE))
    witness = play(setup, seed=1)
    assert judge(setup, witness, seed=1).passed
    witness.mistakes.append("gateway: step failed")
    assert not judge(setup, witness, seed=1).passed


def test_another_seed_is_another_story_and_the_same_seed_the_same(tmp_path: Path) -> None:
    path = written(tmp_path, ALLOW_FIRE)
    digests = [run_trial(path, seed=seed)[0].digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    code = ("import msgspec, sys; from trial.commands import run_trial; "
            "v = run_trial('flaming-room-fire')[0]; "
            "sys.stdout.buffer.write(msgspec.json.encode(msgspec.structs.replace(v, wall_s=0.0)))")
    seen = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True,
                           env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"}).stdout for seed in ("1", "2")}
    assert len(seen) == 1
    assert msgspec.json.decode(seen.pop())["verdict"] == "pass"
