"""Bad input: each a clear message with file, line and remedy; nothing connects; what is well goes on."""

from __future__ import annotations

import json
import re
import socket
import threading
from pathlib import Path

import pytest

from device_model.child_process import free_ports
from tests.system.house import ROOT, House, Json, tocsin, until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("system"), pytest.mark.timeout(400)]
# file:line:column: what — remedy
FINDING = re.compile(r"^(?P<file>\S+):(?P<line>\d+):(?P<column>\d+): (?P<what>.+) — (?P<remedy>.+)$")

WRONG_SITE = (ROOT / "demo" / "sites" / "riverside.yaml").read_text(encoding="utf-8").replace(
    "smoke-301-bed, profile: calectro-ug3", "smoke-301-bed, profile: calectro-ug4")
WRONG_PROFILE = (ROOT / "device_model" / "profiles" / "calectro-ug3.yaml").read_text(encoding="utf-8").replace(
    "class: smoke", "class: smok")
WRONG_RULES = (ROOT / "rules_engine" / "packs" / "fire.yaml").read_text(encoding="utf-8").replace(
    "severity: critical", "severity: terrible", 1)
WRONG_CLOUD = "port: 99999\nsign_in: never\nsitez: []\n"
WRONG_SCENARIO = "scenario: x\nen: x\nzh: x\nlines:\n  - {id: a, kind: carrier_pigeon}\ndevices: []\n"


@pytest.mark.parametrize(("command", "text", "line", "named"), [
    (["site", "check"], WRONG_SITE, "calectro-ug4", "calectro-ug3"),
    (["gateway", "run", "--config"], WRONG_SITE, "calectro-ug4", "calectro-ug3"),
    (["profile", "check"], WRONG_PROFILE, "class: smok", "smoke"),
    (["rules", "check"], WRONG_RULES, "terrible", "critical"),
    (["cloud", "run", "--config"], WRONG_CLOUD, "never", "open_on_loopback"),
    (["sim", "run"], WRONG_SCENARIO, "carrier_pigeon", "modbus_tcp"),
])
def test_a_wrong_file(tmp_path: Path, command: list[str], text: str, line: str, named: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text, encoding="utf-8")
    done = tocsin(*command, str(file))
    assert (done.returncode, done.stdout) == (1, ""), done.stdout
    findings = [match for said in done.stderr.splitlines() if (match := FINDING.match(said))]
    assert len(findings) == len(done.stderr.splitlines()) > 0, done.stderr
    number = next(n for n, content in enumerate(text.splitlines(), 1) if line in content)
    (finding,) = [f for f in findings if int(f["line"]) == number]
    assert Path(finding["file"]) == file and int(finding["column"]) > 0
    assert named in finding["remedy"]
    assert list(tmp_path.iterdir()) == [file]  # nothing was begun
    if "check" in command:
        machine = tocsin(*command, "--json", str(file))
        answer = json.loads(machine.stdout)
        assert (machine.returncode, answer["ok"]) == (1, False)
        assert [(f["line"], f["column"], f["what"], f["remedy"]) for f in answer["findings"]] == [
            (int(f["line"]), int(f["column"]), f["what"], f["remedy"]) for f in findings]


@pytest.mark.parametrize("command", [
    ["site", "check"], ["gateway", "run", "--config"], ["profile", "check"], ["rules", "check"],
    ["cloud", "run", "--config"], ["sim", "run"],
])
def test_a_file_that_is_not_there(tmp_path: Path, command: list[str]) -> None:
    done = tocsin(*command, str(tmp_path / "nowhere.yaml"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "nowhere.yaml" in done.stderr


def test_an_unknown_role() -> None:
    done = tocsin("cloud", "run", "--role", "cook")
    assert done.returncode == 1
    assert done.stderr == "tocsin: there is no role 'cook': one of all, broker, ingest, worker, web, notify, series\n"


def test_busy_ports(tmp_path: Path) -> None:
    """Each program alone: one clear line with the port, exit 1. (Under the supervisor the others go on.)"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        scenario = tmp_path / "scenario.yaml"
        scenario.write_text((ROOT / "examples/scenario/one_detector.yaml").read_text(encoding="utf-8").replace(
            "port: 15020}", f"port: {port}}}"), encoding="utf-8")
        config = tmp_path / "cloud.yaml"
        config.write_text(
            f"port: {free_ports(1)[0]}\nbroker: {{mqtt_port: {port}, services_port: 0}}\nstate: state\n")
        for command in (["sim", "run", str(scenario)], ["cloud", "run", "--role", "broker", "--config", str(config)]):
            done = tocsin(*command)
            assert done.returncode == 1, done.stderr
            clear = [line for line in done.stderr.splitlines() if f"127.0.0.1:{port}" in line]
            assert len(clear) == 1 and "listen" in clear[0], done.stderr
            assert "Traceback" not in done.stderr


def test_bad_devices_are_each_said_once_and_the_others_go_on(house: House) -> None:
    """A line where nobody listens, a device that never answers, one that answers garbage: and a fire beside them."""
    nobody = free_ports(1)[0]

    def change(site: Json) -> None:
        site["lines"] += [
            {"id": name, "kind": "modbus_tcp", "host": "127.0.0.1", "port": port}
            for name, port in (("absent", nobody), ("mute", house.mute), ("babble", house.babble))]
        site["devices"] += [
            {"id": name, "profile": "pzem-016", "line": line, "unit": unit, "zone": "flat-106"}
            for name, line, unit in (("unreachable", "absent", 30), ("silent", "mute", 33),
                                     ("garbage", "babble", 32))]

    house.write_site(house.folder / "journal.sqlite", change)
    house.new_gateway().start()
    house.gateway_heard()
    bad = {"unreachable", "silent", "garbage"}
    until(lambda: bad <= {i["impairment"]["subject"] for i in house.board()["impairments"]}, house.said)
    house.devices.set("smoke-101", "smoke", True)
    until(house.sounding, house.said)
    (incident,) = until(lambda: house.incidents_of("101"), house.said)
    assert incident["alarms"][0]["device"] == "smoke-101"
    threading.Event().wait(3)  # fifteen shown seconds, in which nobody says it again
    said = [json.loads(line) for line in house.gateway.said().splitlines() if line.startswith("{")]
    lost = [line["device"] for line in said if line["event"] == "device lost"]
    assert sorted(lost) == sorted(bad), house.said()
    assert sum(line["event"] == "line down" and line["line"] == "absent" for line in said) == 1, house.said()
    assert "Traceback" not in house.gateway.said()
