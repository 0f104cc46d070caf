"""The local page's own process: plots, names, and a real gateway with a real detector behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
import urllib.request

import pytest
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from dashboards.local_view import LocalPoint
from dashboards.pins import set_pin
from device_model.child_process import free_ports
from device_model.errors import LocalFault
from device_model.site import Text
from edge_agent.page import set_page_pin, settings_of
from edge_agent.plot_ring import CELL_US, CELLS, PlotRing, with_gaps

NOTHING = Text("", "")
SITE = """
site: {path: a/b/c/d, name: {en: House, zh: 楼}}
gateway: {id: gw-1, journal_path: j.sqlite, page: {pin_file: pins.json}}
lines: [ {id: self, kind: gateway}, {id: l1, kind: modbus_tcp, host: 127.0.0.1, port: %d} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: {en: Stair, zh: 楼梯} } ]} ]} ]
devices:
  - {id: gw, profile: tocsin-gateway, line: self, zone: z1}
  - {id: duct, profile: calectro-ug3, line: l1, unit: 1, zone: z1}
  - {id: horn, profile: wb-msgr, line: l1, unit: 4, zone: z1}
outputs:
  - {id: horn, drives: horn.relay, purpose: sounder, hazards: [fire], on_power_loss: off, on_agent_death: hold,
     on_restart: hold}
"""


def point(value: object, name: str = "d.p") -> LocalPoint:
    return LocalPoint(name, "d", NOTHING, NOTHING, NOTHING, "Cel", value, "good" if value is not None else "bad", 0)


def test_plots_are_bounded_break_at_gaps_and_never_show_zero_for_nothing():
    ring = PlotRing()
    for n in range(2 * CELLS):
        ring.take([point(None if n % 10 == 0 else 20.0), point("text", "d.t"), point(True, "d.b")], n * CELL_US)
    samples = ring.samples("d.p", 2 * CELLS * CELL_US)
    assert len(samples) == CELLS and {s.value for s in samples} == {None, 20.0} and ring.samples("d.t", 0) == ()
    assert ring.samples("d.b", 2 * CELLS * CELL_US)[-1].value == 1.0
    ring.take([point(1.0)], (2 * CELLS + 9) * CELL_US)
    assert [s.value for s in ring.samples("d.p", (2 * CELLS + 9) * CELL_US)][-2:] == [None, 1.0]
    ring.take([point(2.0)], 5 * CELL_US)
    assert [s.value for s in ring.samples("d.p", 5 * CELL_US)] == [2.0], "the clock was set back"


def test_gaps_of_a_series():
    assert [s.value for s in with_gaps([(0, 1.0), (60, 2.0), (900, 3.0)], 600)] == [1.0, 2.0, None, 3.0]


def test_settings(tmp_path):
    config = tmp_path / "site.yaml"
    config.write_text(SITE % 1502, encoding="utf-8")
    assert settings_of(config).host == "127.0.0.1"
    assert set_page_pin(config, "Li Wei", "274951").name == "pins.json"
    config.write_text(SITE.replace("page: {pin_file: pins.json}", "heartbeat_s: 30") % 1502, encoding="utf-8")
    with pytest.raises(LocalFault, match="pin_file"):
        set_page_pin(config, "Li Wei", "274951")


@contextlib.contextmanager
def process(*arguments: str):
    started = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def line_with(stream, pattern: str) -> re.Match[str]:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([stream], [], [], 1)[0] and (found := re.search(pattern, stream.readline().decode())):
            return found
    raise AssertionError(f"no {pattern} in a minute")


def ask(url: str, body: object = None, **headers: str) -> tuple[dict, str]:
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer), answer.headers.get("set-cookie", "").partition(";")[0]


@pytest.mark.real
async def test_a_real_gateway_its_page_and_a_detector_that_smells_smoke(tmp_path):
    """Read over TCP, alarm raised, sounder driven, seen on the page, acknowledged and silenced with a PIN, refused
    where the law says so; then the gateway is ended and the page says that nothing answers."""
    (port,) = free_ports(1)

    def unit(bit: int) -> ModbusDeviceContext:
        block = ModbusSequentialDataBlock
        return ModbusDeviceContext(di=block(1, [bit] * 200), co=block(1, [0] * 2000), hr=block(1, [0] * 2000),
                                   ir=block(1, [0] * 2000))

    server = ModbusTcpServer(ModbusServerContext(devices={1: unit(1), 4: unit(0)}, single=False),
                             address=("127.0.0.1", port))
    serving = asyncio.ensure_future(server.serve_forever())
    config = tmp_path / "site.yaml"
    config.write_text(SITE % port, encoding="utf-8")
    set_pin(tmp_path / "pins.json", "Li Wei", "274951")
    try:
        await asyncio.to_thread(_drive_page, config)
    finally:
        await server.shutdown()
        serving.cancel()


def _drive_page(config) -> None:
    with process("-m", "edge_agent", str(config)) as gateway, \
            process("-m", "tocsin", "gateway", "page", "--config", str(config), "--port", "0") as page:
        url = line_with(page.stderr, r"http://127\.0\.0\.1:\d+/")[0]

        def view_when(holds):
            until = time.monotonic() + 120
            while time.monotonic() < until:
                view, _ = ask(url + "api/view")
                if holds(view):
                    return view
                time.sleep(0.3)
            raise AssertionError(view)

        view = view_when(lambda v: any(a["hazard"] == "fire" for a in v.get("alarms", ())) and v["outputs"][0]["on"])
        alarm = next(a for a in view["alarms"] if a["hazard"] == "fire")
        assert alarm["title"]["zh"] and alarm["zone"] == {"en": "Stair", "zh": "楼梯"}
        session, cookie = ask(url + "api/sign-in", {"name": "Li Wei", "pin": "274951"}, **{"x-tocsin": "local"})
        headers = {"x-tocsin": "local", "x-tocsin-csrf": session["csrf"], "cookie": cookie}

        def act(action, target, number):
            click = {"action": action, "target": target, "request": f"click-000{number}"}
            return ask(url + "api/act", click, **headers)

        act("acknowledge", alarm["id"], 1)
        view_when(lambda v: any(a["acknowledged_by"] == "Li Wei" for a in v["alarms"]))
        assert view_when(lambda v: True)["outputs"][0]["on"], "acknowledging silences nothing (law 3)"
        act("silence", "horn", 2)
        view_when(lambda v: not v["outputs"][0]["on"])
        with pytest.raises(urllib.error.HTTPError) as refused:
            act("reset", alarm["id"], 3)
        assert refused.value.code == 409 and "law of safety 3" in refused.value.read().decode()
        by_hand = {"output": "horn", "on": True, "why": "monthly test", "minutes": 5.0, "request": "click-0004"}
        ask(url + "api/switch", by_hand, **headers)
        horn = view_when(lambda v: v["outputs"][0]["on"] and v["outputs"][0]["confirmed"])["outputs"][0]
        assert horn["by_hand"] and horn["until_us"] and horn["cause"] == "by hand: Li Wei: monthly test"
        assert horn["may_hand"] == "", "an alarm asks for it: it is silenced, not switched off"
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url + "api/switch", {**by_hand, "on": False, "request": "click-0005"}, **headers)
        assert refused.value.code == 409 and "law of safety 3" in refused.value.read().decode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url + "api/permit", {"permit": "HW-9", "act": "start", "request": "click-0006"}, **headers)
        assert refused.value.code == 409 and "没有作业票" in refused.value.read().decode()
        gateway.terminate()
        gateway.wait(60)
        view_when(lambda v: not v["answers"])
