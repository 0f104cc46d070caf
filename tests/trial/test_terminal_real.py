"""The tester's page without a browser: the command line starts it, the terminal works it, the token guards it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from device_model.library import shipped_profiles
from device_model.system_clock import SystemClock
from firmware_sim.scenario import Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.world import SimWorld
from trial.page_commands import read_control, run_deed, run_show
from trial.page_server import create_tester_app
from trial.sim_bench import SimBench

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """(control file, address of the Modbus port) of a running `tocsin sim page`."""
    place = tmp_path_factory.mktemp("page")
    scenario = place / "house.yaml"
    text = (ROOT / "examples" / "tester" / "house.yaml").read_text(encoding="utf-8")
    scenario.write_text(text.replace("port: 15020", "port: 0"), encoding="utf-8")
    child = subprocess.Popen(
        [sys.executable, "-m", "tocsin", "sim", "page", str(scenario)], cwd=place, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert child.stdout is not None
    address = ""
    for line in child.stdout:
        if found := re.search(r"127\.0\.0\.1:(\d+)$", line.strip()):
            address = found.group(0)
        if line.startswith("page:"):
            break
    control = place / ".tocsin-sim.json"
    yield control, address
    child.send_signal(signal.SIGTERM)
    child.wait(60)
    assert not control.exists(), "the token outlives the page"


def smoke(address: str) -> str:
    port = address.rpartition(":")[2]
    asked = f"mbpoll -m tcp -p {port} -a 1 -t 1 -0 -r 2 -c 1 -1 127.0.0.1".split()
    told = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"\[2\]:\s+(\d)", told)
    return found.group(1) if found else "silent"


@pytest.mark.real
def test_the_terminals_commands_do_what_the_page_does(page: tuple[Path, str], capsys) -> None:
    control, address = page
    assert control.stat().st_mode & 0o777 == 0o600 and len(read_control(control).token) > 20
    assert run_show("", find="", as_json=False, control=control) == 0
    assert "3 devices" in capsys.readouterr().out
    assert smoke(address) == "0"
    assert run_deed("act", {"device": "duct", "action": "alarm", "begin": True}, control) == 0
    assert smoke(address) == "1"
    assert run_deed("act", {"device": "duct", "action": "alarm", "begin": False}, control) == 0
    assert run_deed("press", {"device": "duct", "button": "reset"}, control) == 0
    assert run_deed("strike", {"kind": "silent", "target": "duct", "for_s": 0.0}, control) == 0
    assert "done: 0" in capsys.readouterr().out and smoke(address) == "silent"
    assert run_deed("end", {"number": 0}, control) == 0
    assert smoke(address) == "0"
    assert run_deed("set", {"point": "co.gas", "value": "120"}, control) == 0
    assert run_deed("turn", {"knob": "door.open", "value": 0.0}, control) == 0
    capsys.readouterr()
    assert run_show("co", find="", as_json=False, control=control) == 0
    assert re.search(r"gas +120 ", capsys.readouterr().out)


@pytest.mark.real
def test_what_is_refused_is_said_with_a_remedy(page: tuple[Path, str], tmp_path: Path, capsys) -> None:
    control, _ = page
    assert run_deed("press", {"device": "nobody", "button": "test"}, control) == 1
    assert "no device 'nobody'" in capsys.readouterr().err
    assert run_deed("strike", {"kind": "gremlin", "target": "bus"}, control) == 1
    assert "gremlin" in capsys.readouterr().err
    assert run_deed("press", {}, tmp_path / "none.json") == 1
    assert "tocsin sim page" in capsys.readouterr().err
    forged = tmp_path / "forged.json"
    forged.write_text(control.read_text(encoding="utf-8").replace(read_control(control).token, "x" * 32))
    assert run_deed("press", {"device": "duct", "button": "test"}, forged) == 1
    assert "token" in capsys.readouterr().err


def test_beyond_loopback_even_looking_needs_the_token(tmp_path: Path) -> None:
    world = SimWorld(Scenario("one", (SimLine("bus", LineKind.MODBUS_TCP),), (SimDevice("m", "sdm120", "bus"),)),
                     shipped_profiles(), {})
    app = create_tester_app(SimBench(world, SystemClock(), tmp_path), host="0.0.0.0", token="t" * 32)
    client = TestClient(app, base_url="http://192.168.1.5:8090")
    assert client.get("/tester").status_code == 401
    assert client.get("/?token=guess").status_code == 401
    assert client.get(f"/?token={'t' * 32}").status_code == 200  # follows to the page, with the cookie
    assert client.get("/api/sim/devices").json()["total"] == 1
    assert client.post("/api/sim/do/press", json={"device": "m", "button": "test"}).status_code == 403
    answer = client.get("/tester")
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    large = client.post("/api/sim/do/batch", content=b"x" * (3 * 2**20), headers={"x-tocsin-token": "t" * 32})
    assert large.status_code == 413


def test_devices_of_mqtt_bring_their_own_broker_where_none_is_named(tmp_path: Path) -> None:
    words = ["sim", "page", "--profile", "zigbee2mqtt-smoke", "--broker", "own", "--for", "2", "--control",
             str(tmp_path / "control.json"), "--reports", str(tmp_path / "reports")]
    told = subprocess.run([sys.executable, "-m", "tocsin", *words], cwd=tmp_path, capture_output=True, text=True,
                          timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert told.returncode == 0, told.stderr
    assert re.search(r"mqtt +mqtt://127\.0\.0\.1:\d+", told.stdout) and "no broker" not in told.stderr
