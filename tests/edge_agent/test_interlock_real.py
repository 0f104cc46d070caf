"""Interlock test on the real way of an output: a gateway process, its Modbus driver, a relay on a TCP port that is
read back, a limit switch that follows the relay, or does not."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from dashboards.install_view import WalkStep
from device_model.errors import LocalFault
from edge_agent.installer import GatewayInstaller

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
SITE = """
site: {path: a/b/c/d, name: House}
gateway: {id: gw-1, journal_path: j.sqlite}
lines: [ {id: self, kind: gateway}, {id: l1, kind: modbus_tcp, host: 127.0.0.1, port: %d} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: Z} ]} ]} ]
devices:
  - {id: gw, profile: tocsin-gateway, line: self, zone: z1}
  - {id: relays, profile: wb-mr3, line: l1, unit: 4, zone: z1}
outputs:
  - {id: followed, drives: relays.output_1, purpose: charger_cut_off, hazards: [charging], proof: relays.input_1,
     proof_within_s: 3, on_power_loss: hold, on_agent_death: hold, on_restart: hold}
  - {id: stuck, drives: relays.output_2, purpose: charger_cut_off, hazards: [charging], proof: relays.input_2,
     proof_within_s: 3, on_power_loss: hold, on_agent_death: hold, on_restart: hold}
  - {id: bare, drives: relays.output_3, purpose: sounder, hazards: [fire], on_power_loss: off, on_agent_death: hold,
     on_restart: hold}
"""


class Relays:
    """Three relays on a port of their own. Limit switch 1 follows relay 1; the second is stuck where it is put."""

    def __init__(self) -> None:
        block, ready = ModbusSequentialDataBlock, threading.Event()
        device = ModbusDeviceContext(di=block(1, [0] * 2000), co=block(1, [0] * 2000), hr=block(1, [0] * 2000),
                                     ir=block(1, [0] * 2000))
        context = ModbusServerContext(devices={4: device}, single=False)
        self._loop, self._over = asyncio.new_event_loop(), asyncio.Event()
        self.seen: dict[int, bool] = {}

        async def serve() -> None:
            self._server = ModbusTcpServer(context, address=("127.0.0.1", 0))
            await self._server.serve_forever(background=True)
            self.port = self._server.transport.sockets[0].getsockname()[1]
            ready.set()
            while not self._over.is_set():  # the physics of the box
                coils = await self._server.context.async_getValues(4, 1, 0, 3)
                self.seen = {number + 1: bool(value) for number, value in enumerate(coils[:3])}
                await self._server.context.async_setValues(4, 2, 0, [int(self.seen[1])])
                await asyncio.sleep(0.02)
            await self._server.shutdown()

        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(serve(),), daemon=True)
        self._thread.start()
        assert ready.wait(60)

    def put_second_switch(self, on: bool) -> None:
        asyncio.run_coroutine_threadsafe(
            self._server.context.async_setValues(4, 2, 1, [int(on)]), self._loop).result(30)

    def coil(self, number: int, on: bool) -> bool:
        """Whether the relay comes to that state."""
        until_s = time.monotonic() + 60
        while self.seen.get(number) is not on:
            if time.monotonic() > until_s:
                return False
            time.sleep(0.02)
        return True

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder, relays = tmp_path_factory.mktemp("interlock"), Relays()
    config = folder / "site.yaml"
    config.write_text(SITE % relays.port, encoding="utf-8")
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "edge_agent", str(config)]
        gateway = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    installer = GatewayInstaller(config)
    try:
        until_s = time.monotonic() + 60
        while not any(d.id == "relays" and d.quality == "good" for d in installer.view().devices):
            assert time.monotonic() < until_s and gateway.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield installer, relays
    finally:
        gateway.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            gateway.wait(20)
        gateway.kill()
        relays.close()


def driven(installer: GatewayInstaller, output: str) -> WalkStep:
    step = installer.interlock(output, "drive", "Li Wei", "contractor")
    assert step.result == "running" and step.role == "contractor"
    until_s = time.monotonic() + 60
    while step.result == "running":
        assert time.monotonic() < until_s
        time.sleep(0.1)
        step = installer.interlock(output, "look", "Li Wei")
    return step


def test_commanded_confirmed_proved_and_reset(house):
    installer, relays = house
    step = driven(installer, "followed")
    assert (step.result, step.confirmed, step.point) == ("proved", True, "relays.input_1")
    assert relays.coil(1, True), "read back at the relay itself"
    with pytest.raises(LocalFault, match="is on already"):
        installer.interlock("followed", "drive", "Li Wei")
    done = installer.interlock("followed", "reset", "Li Wei")
    assert (done.result, done.note) == ("proved", "reset")
    assert relays.coil(1, False)
    assert next(one.tested for one in installer.view().outputs if one.id == "followed") == "proved"


def test_an_output_whose_switch_does_not_follow_has_failed(house):
    installer, relays = house
    step = driven(installer, "stuck")
    assert (step.result, step.confirmed) == ("failed", True) and relays.coil(2, True)
    installer.interlock("stuck", "reset", "Li Wei")
    relays.put_second_switch(True)
    until_s = time.monotonic() + 60
    while True:
        assert time.monotonic() < until_s
        try:
            installer.interlock("stuck", "drive", "Li Wei")
        except LocalFault as refusal:
            if "relays.input_2" in str(refusal):
                break  # a switch that says "on" beforehand proves nothing
        time.sleep(0.2)
    assert relays.coil(2, False)


def test_without_an_input_of_its_own_nothing_is_ever_passed(house):
    installer, relays = house
    step = driven(installer, "bare")
    assert (step.result, step.confirmed) == ("unproved", True) and relays.coil(3, True)
