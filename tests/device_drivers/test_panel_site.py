"""From the site file to the alarm: lines of fire panels and stations, and what the check refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_drivers.driver import DeviceRead, devices_on_line
from device_drivers.fire_panel import FirePanels
from device_model.alarm import AlarmState, Hazard
from device_model.errors import ConfigError
from device_model.inventory import Inventory
from device_model.library import shipped_profiles
from device_model.site import LineKind
from device_model.site_file import parse_site
from rules_engine import Engine
from rules_engine.packs import rules_of_site
from tests.device_drivers.rig import START
from wire_codecs.gbt26875 import decode_frame

PROFILES = shipped_profiles()
FRAMES = {row[0]: bytes.fromhex(row[2])
          for line in (Path(__file__).parents[1] / "golden/frames/gbt26875.txt").read_text("utf-8").splitlines()
          if line and not line.startswith("#") for row in (line.split(" ", 2),)}
SITE_FILE = """
site: {path: shanghai/pudong/river/tower, name: Tower}
gateway: {id: gw-1}
lines:
  - {id: panels, kind: gbt26875_tcp_server, host: 0.0.0.0, port: 9001}
  - {id: stations, kind: hj212_tcp_server, host: 0.0.0.0, port: 9002}
buildings:
  - id: b1
    name: Building
    floors:
      - id: f1
        name: First floor
        zones: [{id: hall, name: Hall}, {id: yard, name: Yard}]
devices:
  - {id: uitd, profile: gbt26875-uitd, line: panels, zone: hall, address: "889"}
  - {id: panel, profile: gbt26875-facility, line: panels, zone: hall, address: "889/1.1"}
  - {id: smoke, profile: gbt26875-component, line: panels, zone: hall, address: "889/1.1/0A000200"}
  - {id: field, profile: gbt26875-uitd, line: panels, zone: yard, address: "841756972"}
  - {id: dust, profile: hj212-dust, line: stations, zone: yard, address: 010000A8900016F000169DC0}
"""


def test_a_site_with_panels_and_stations_loads() -> None:
    site = parse_site(SITE_FILE, "site.yaml", PROFILES)
    assert [line.kind for line in site.lines] == [LineKind.GBT26875_TCP_SERVER, LineKind.HJ212_TCP_SERVER]
    assert [line.kind.protocol for line in site.lines] == ["gbt26875", "hj212"]
    assert LineKind.MODBUS_RTU_TCP.protocol == "modbus" and LineKind.MQTT.protocol == "mqtt"


@pytest.mark.parametrize(("old", "new", "what"), [
    ('"889/1.1/0A000200"', '"889/1.1/0a000200"', "names nothing"), ('"889/1.1"', '"889/1"', "names nothing"),
    ('"889/1.1/0A000200"', '"777/1.1/0A000200"', "no device on line 'panels' has the address '777'"),
    ('"841756972"', '"889"', "both have address '889'"), ("010000A8900016F000169DC0", '"a b"', "is no MN"),
    ("profile: hj212-dust, line: stations", "profile: hj212-dust, line: panels", "speaks hj212"),
    ("profile: gbt26875-uitd, line: panels, zone: yard", "profile: gbt26875-pressure, line: panels, zone: yard",
     "no point for the fires"),
    ("port: 9002", "port: 9001", "same end"), ("host: 0.0.0.0, port: 9001", "port: 9001", "no host"),
    ("port: 9001", "port: 0", "port 0"),
])
def test_what_makes_no_sense_is_refused(old: str, new: str, what: str) -> None:
    assert old in SITE_FILE
    with pytest.raises(ConfigError, match=what):
        parse_site(SITE_FILE.replace(old, new, 1), "site.yaml", PROFILES)


@pytest.mark.parametrize(("name", "zone"), [("A", "hall"), ("S", "hall"), ("X", "yard")])
def test_field_frames_raise_fire_alarms_at_once(name: str, zone: str) -> None:
    """A is a listed detector, S comes from a device that nobody listed, X from an unlisted component and its clock
    says 2012: all three are live fire alarms, not test and not the past."""
    site = parse_site(SITE_FILE, "site.yaml", PROFILES)
    inventory = Inventory(site, PROFILES)
    rules = rules_of_site(site)
    engine = Engine(rules, inventory, decides="edge", lateness_us=10_000_000)
    panels = FirePanels("panels", devices_on_line(inventory, "panels"), START)
    turn = panels.take(1, decode_frame(FRAMES[name]), START)
    raised = [t for event in turn.events if isinstance(event, DeviceRead)
              for t in engine.step(event.readings, START, event.fresh) if t.state is AlarmState.RAISED]
    fires = [t for t in raised if t.hazard is Hazard.FIRE]
    assert len(fires) == 1 and fires[0].zone == zone
