"""Unboxing: from a clean folder to first reading and walk test on the brigade's board, without editing a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from demo.children import free_ports

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
PATH = "hangzhou/yuhang/cangqian/newhouse"


class Line:
    """A Modbus line with a duct smoke detector on unit 1, whose alarm can be switched."""

    def __init__(self, port: int) -> None:
        block = ModbusSequentialDataBlock
        inputs = block(1, [1, *[0] * 199])  # the head is there, no smoke
        device = ModbusDeviceContext(di=inputs, co=block(1, [0] * 2000), hr=block(1, [0] * 2000),
                                     ir=block(1, [0] * 2000))
        self._context, self._port = ModbusServerContext(devices={1: device}, single=False), port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        async def serve() -> None:
            self._server = ModbusTcpServer(self._context, address=("127.0.0.1", self._port))
            await self._server.serve_forever()

        with contextlib.suppress(RuntimeError):
            self._loop.run_until_complete(serve())

    def smoke(self, on: bool) -> None:
        asyncio.run_coroutine_threadsafe(self._server.context.async_setValues(1, 2, 2, [on]), self._loop).result(5)


def ask(port: int, path: str, body: object = None) -> dict:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}",
                                     None if body is None else json.dumps(body).encode(), {"x-tocsin": "board"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def _read(port: int, path: str) -> str:
    """A table once it tells of a test that arrived; "" before."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"accept-language": "en"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    return text if ",arrived," in text else ""


def eventually(true, within_s: float = 60.0):
    until = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if (found := true()):
                return found
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)


@pytest.fixture
def cloud(tmp_path):
    web, mqtt, services = free_ports(3)
    folder = tmp_path / "cloud"
    folder.mkdir()
    (folder / "cloud.yaml").write_text(
        f"state: state\nport: {web}\nsign_in: open_on_loopback\nseries: {{keep: false}}\n"
        f"broker: {{mqtt_port: {mqtt}, services_port: {services}}}\n", encoding="utf-8")
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([sys.executable, "-m", "tocsin", "cloud", "run", "--config",
                                    str(folder / "cloud.yaml")], cwd=ROOT, stdout=log, stderr=log)
        eventually(lambda: ask(web, "/api/board"))
        yield web
        running.terminate()
        running.wait(20)


@pytest.mark.soak  # the same way by the phone is test_phone_unboxing.py; the wizard's steps are tests/provisioning
def test_from_a_clean_folder_to_the_brigades_board(cloud, tmp_path, capsys):
    line_port, page_port = free_ports(2)
    line, box = Line(line_port), tmp_path / "box"
    box.mkdir()
    answers = tmp_path / "answers.yaml"
    answers.write_text(json.dumps({
        "cloud": f"http://127.0.0.1:{cloud}", "who": "Li Wei", "pin": "274951", "page_port": page_port,
        "lines": [{"kind": "tcp", "target": f"127.0.0.1:{line_port}", "units": "1"}],
        "devices": [{"unit": 1, "id": "duct", "profile": "calectro-ug3", "place_zh": "风管", "place_en": "duct"}],
    }), encoding="utf-8")
    began = time.monotonic()
    command = [sys.executable, "-m", "tocsin", "provision", "--folder", str(box), "--answers", str(answers), "--json"]
    wizard = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    started: list[int] = []
    try:
        code = json.loads(wizard.stdout.readline())["code"]
        claim = {"code": code.lower(), "path": PATH, "gateway": "gw-1", "name_zh": "新居", "name_en": "New House"}
        assert ask(cloud, "/api/claims", claim)["done"] == "hangzhou.yuhang.cangqian.newhouse.gw-1"
        lines = [json.loads(text) for text in wizard.stdout.read().splitlines()]
        report = lines[-1]
        started = report["started"]
        assert wizard.wait(10) == 0 and "duct" in report["devices"] and "duct" in report["readings"], lines
        heard = eventually(lambda: [g for g in ask(cloud, "/api/board")["board"]["gateways"]
                                    if g["tenancy"]["site"] == "newhouse" and not g["silent"]
                                    and g["devices_alive"] == 2])
        took = time.monotonic() - began
        with capsys.disabled():
            print(f"\nunboxing: {took:.1f} s from a clean folder to the first reading on the board")
        assert heard

        again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        assert "claimed already" in again.stdout, "it goes on where it was"
        assert "law of safety 8" in again.stdout, "a detector on duty: its line is not scanned any more"

        config = str(box / "site.yaml")
        walk = subprocess.Popen([sys.executable, "-m", "tocsin", "provision", "walk", "duct", "--who", "Li Wei",
                                 "--config", config, "--json"], cwd=ROOT, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        assert "in test" in walk.stderr.readline()
        line.smoke(True)
        step = json.loads(walk.stdout.read())
        assert walk.wait(20) == 0 and step["result"] == "arrived" and step["who"] == "Li Wei", step
        shown = eventually(lambda: [i for i in ask(cloud, "/api/board?whole=1")["board"]["incidents"]
                                    if "newhouse" in json.dumps(i) and any(a.get("test") for a in i["alarms"])])
        fires = [alarm for one in shown for alarm in one["alarms"] if alarm["hazard"] == "fire"]
        assert fires and all(alarm["test"] for alarm in fires), "shown as a test, never as real"

        page = ask(page_port, "/api/install")
        assert page["running"] and page["claim"]["gateway"] and page["steps"][0]["result"] == "arrived"
        tests = eventually(lambda: _read(cloud, "/walk-tests/export.csv"), 120)
        assert f"{PATH},duct,duct,walk,arrived,Li Wei," in tests, "the cloud keeps what the test has shown"
        pdf = box / "acceptance.pdf"
        subprocess.run([sys.executable, "-m", "tocsin", "provision", "report", "--config", config, "--out", str(pdf)],
                       cwd=ROOT, check=True, capture_output=True, timeout=60)
        assert pdf.read_bytes().startswith(b"%PDF")
    finally:
        wizard.kill()
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
