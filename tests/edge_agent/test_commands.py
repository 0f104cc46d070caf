"""`tocsin gateway …`: clear messages before anything connects, and a real process from start to SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device_model.errors import ConfigError, LocalFault
from edge_agent.commands import act_on_site, check_gateway, run_gateway
from edge_agent.compose import read_configuration

ROOT = Path(__file__).resolve().parents[2]
SITE = (ROOT / "examples" / "site" / "riverside.yaml").read_text(encoding="utf-8")
SMALL = """
site:
  path: hangzhou/yuhang/cangqian/riverside
  name: {en: Riverside, zh: 河滨}
  address: {en: River Street 1, zh: 河滨街1号}
  time_zone: Asia/Shanghai
gateway: {id: gw-1, journal_path: var/journal.sqlite}
lines:
  - {id: bus, kind: modbus_tcp, host: 127.0.0.1, port: 9}
buildings:
  - {id: b1, name: {en: b, zh: 楼}, floors: [{id: f1, name: {en: f, zh: 层},
     zones: [{id: z1, name: {en: z, zh: 区}, kind: dwelling}]}]}
devices:
  - {id: duct, profile: calectro-ug3, line: bus, unit: 1, zone: z1, place: {en: p, zh: 处}}
"""


def site_file(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("old", "new", "says"), [
    ("time_zone: Asia/Shanghai", "time_zone: Mars/Olympus", "Mars"),
    ("profile: calectro-ug3", "profile: no-such-device", "no-such-device"),
    ("line: bus", "line: nowhere", "nowhere"),
    ("id: gw-1", "id: GW_1!", "GW_1"),
])
def test_a_wrong_site_file_is_named_before_anything_connects(tmp_path, old, new, says):
    path = site_file(tmp_path, SMALL.replace(old, new))
    with pytest.raises(ConfigError) as error:
        run_gateway(path)
    assert says in str(error.value) and str(path) in str(error.value)
    assert check_gateway(path) == list(error.value.findings)
    assert not (tmp_path / "var").exists()


def test_the_example_and_the_demo_site_are_right():
    for name in ("examples/site/riverside.yaml", "demo/sites/riverside.yaml"):
        inventory, rules, _ = read_configuration(ROOT / name)
        assert inventory.points and rules.rules


@pytest.mark.parametrize(("action", "says"), [("state", "no gateway answers"), ("explode", "is no action")])
def test_acting_on_a_gateway_that_does_not_run(tmp_path, action, says):
    with pytest.raises(LocalFault, match=says):
        act_on_site(site_file(tmp_path, SMALL), action, "", who="Li Wei")


def eventually(what, within_s=120.0):
    """Real processes need real patience; what never comes ends the test."""
    end = time.monotonic() + within_s
    while True:
        try:
            return what()
        except (LocalFault, AssertionError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@pytest.mark.real
def test_a_real_gateway_with_an_unreachable_device_a_kill_and_a_stop(tmp_path):
    path = site_file(tmp_path, SMALL)
    command = [sys.executable, "-m", "edge_agent", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def lost():
        state = json.loads(act_on_site(path, "state", ""))
        assert sorted(i["kind"] for i in state["impairments"]) == ["line_down", "silent"]
        return state

    first = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        assert eventually(lost)["devices_expected"] == 1
        second = subprocess.run(command, capture_output=True, env=environment, text=True, timeout=60, check=False)
        assert second.returncode == 1 and "another gateway runs on this journal" in second.stderr
        assert act_on_site(path, "isolate", "duct", who="Li Wei", why="being replaced", for_s=600,
                           compensating_measure="guard walks hourly") == (
            "isolate duct: applied")
        with pytest.raises(LocalFault, match="nobody is named"):
            act_on_site(path, "isolate", "duct", why="x", for_s=600)
        eventually(lambda: _journaled(tmp_path))
    finally:
        first.kill()
        first.communicate()

    again = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        def isolated():
            state = json.loads(act_on_site(path, "state", ""))
            assert "isolated" in [i["kind"] for i in state["impairments"]]
            return state

        assert eventually(isolated)["journal_ok"] is True
        again.send_signal(signal.SIGTERM)
        _, log = again.communicate(timeout=60)
    finally:
        again.kill()
    assert again.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    said = [line["event"] for line in lines]
    assert "resumed" in said and "gateway stops" in said
    assert not (tmp_path / "var" / "journal.control").exists()


def _journaled(tmp_path):
    """The command's answer is on disk when its journal is not empty any more."""
    import sqlite3

    rows = sqlite3.connect(tmp_path / "var" / "journal.sqlite").execute("SELECT body FROM record").fetchall()
    assert any(b"being replaced" in bytes(row[0]) for row in rows)


@pytest.mark.real
def test_a_journal_that_cannot_be_written_keeps_the_gateway_running(tmp_path):
    (tmp_path / "var").write_text("a file where the folder should be", encoding="utf-8")
    path = site_file(tmp_path, SMALL)
    process = subprocess.Popen([sys.executable, "-m", "edge_agent", str(path)], stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
    try:
        said = []
        assert process.stderr is not None
        for line in process.stderr:
            said.append(json.loads(line))
            if said[-1]["event"] == "device lost":
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert "journal cannot be opened, alarms go from memory" in [line["event"] for line in said]
    assert process.returncode == 0
