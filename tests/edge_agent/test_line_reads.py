"""Scan and diagnosis beside polling: the running gateway reads for them, on the line whose one master it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from device_drivers.commands import diagnose_device, scan_devices
from device_model.errors import LocalFault
from edge_agent.commands import act_on_site, reads_through_gateway
from tests.edge_agent.test_commands import ROOT, eventually, site_file

pytestmark = pytest.mark.real
SITE = """
site:
  path: hangzhou/yuhang/cangqian/riverside
  name: {en: Riverside, zh: 河滨}
  address: {en: River Street 1, zh: 河滨街1号}
  time_zone: Asia/Shanghai
gateway: {id: gw-1, journal_path: var/journal.sqlite}
lines:
  - {id: bus, kind: modbus_rtu, port_path: PTY, baud: 38400}
buildings:
  - {id: b1, name: {en: b, zh: 楼}, floors: [{id: f1, name: {en: f, zh: 层},
     zones: [{id: z1, name: {en: z, zh: 区}, kind: dwelling}]}]}
devices:
  - {id: known, profile: PROFILE, line: bus, unit: 3, zone: z1, place: {en: p, zh: 处}}
"""
SCENARIO = """
scenario: scan
lines: [{id: rs485, kind: pty, path: PTY, baud: 38400}]
devices:
  - {id: known, profile: PROFILE, line: rs485, unit: 3}
  - {id: new, profile: sdm120, line: rs485, unit: 11}
"""


class Bus:
    """A simulated serial line and the real gateway on it."""

    def __init__(self, folder: Path, profile: str) -> None:
        self.port = folder / "rs485"
        scenario = folder / "scan.yaml"
        scenario.write_text(SCENARIO.replace("PTY", str(self.port)).replace("PROFILE", profile), encoding="utf-8")
        self.site = site_file(folder, SITE.replace("PTY", str(self.port)).replace("PROFILE", profile))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT,
                 "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
        self._simulator = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "sim", "run", str(scenario), "--ports"], **quiet)
        self._gateway = None
        eventually(self.port.stat)
        self._gateway = subprocess.Popen([sys.executable, "-m", "edge_agent", str(self.site)], **quiet)
        eventually(self._polled)

    def state(self) -> dict:
        return msgspec.json.decode(act_on_site(self.site, "state", ""))

    def _polled(self) -> None:
        assert self.state()["devices_alive"] == 1

    def scan(self):
        return scan_devices("rtu", str(self.port), config=self.site, units="10-11", through=reads_through_gateway,
                            timeout_s=0.2)

    def close(self) -> None:
        for process in (self._gateway, self._simulator):
            if process is not None:
                process.kill()
                process.wait()


@pytest.fixture
def bus(tmp_path, request):
    served = Bus(tmp_path, request.param)
    yield served
    served.close()


@pytest.mark.parametrize("bus", ["wb-msw-v3"], indirect=True)
def test_a_scan_and_a_diagnosis_share_the_line_with_the_running_gateway(bus):
    report = bus.scan()
    assert [unit.unit for line in report.lines for unit in line.units] == [11]
    assert report.lines[0].units[0].matches[0].profile == "sdm120" and report.lines[0].baud == 38400
    diagnosis = diagnose_device("known", bus.site, 1, reads_through_gateway)
    assert diagnosis.ok and diagnosis.values and diagnosis.attempts[0].sent.startswith("03 ")
    assert bus.state()["devices_alive"] == 1 and not bus.state()["impairments"], "nobody was disturbed"


@pytest.mark.parametrize("bus", ["calectro-ug3"], indirect=True)
def test_a_fire_line_is_scanned_only_while_its_detectors_are_under_test(bus):
    with pytest.raises(LocalFault, match="law of safety 8: the line carries known"):
        bus.scan()
    assert diagnose_device("known", bus.site, 1, reads_through_gateway).ok, "its own polls read the same"
    act_on_site(bus.site, "test", "known", who="Li Wei", why="a second detector is being fitted", for_s=300)
    assert [unit.unit for line in bus.scan().lines for unit in line.units] == [11]
