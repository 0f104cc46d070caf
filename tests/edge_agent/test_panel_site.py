"""A fire panel's gateway: what it shields is an impairment, and nothing is confirmed that the core did not take."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta, timezone
from random import Random

from device_drivers.driver import devices_on_line
from device_drivers.listeners import PanelListener
from device_model.impairment import ImpairmentKind
from device_model.inventory import Inventory
from device_model.library import shipped_profiles
from device_model.site_file import parse_site
from edge_agent.runtime import GatewayRuntime
from rules_engine.packs import rules_of_site
from trial.store_model import DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual
from wire_codecs.gbt26875 import Command, Frame, Stamp, decode_frame
from wire_codecs.gbt26875_objects import COMPONENT_BITS, ComponentState, Part, System, encode_unit

PROFILES = shipped_profiles()
SITE_FILE = """
site: {path: shanghai/pudong/river/tower, name: Tower}
gateway: {id: gw-1}
lines:
  - {id: panels, kind: gbt26875_tcp_server, host: 0.0.0.0, port: 9001}
buildings:
  - id: b1
    name: Building
    floors:
      - id: f1
        name: First floor
        zones: [{id: hall, name: Hall}]
devices:
  - {id: uitd, profile: gbt26875-uitd, line: panels, zone: hall, address: "889"}
  - {id: smoke, profile: gbt26875-component, line: panels, zone: hall, address: "889/1.1/0A000200"}
"""
SMOKE = Part(System(1, 1), 0x0002000A)
SHIELDED, FIRE = (1 << COMPONENT_BITS.index(name) for name in ("shielded", "fire"))


def frame(state: int, serial: int) -> Frame:
    unit = encode_unit([ComponentState(SMOKE, 40, state, "", Stamp(0, 0, 0, 1, 1, 26))])
    return Frame(serial, Stamp(0, 0, 0, 1, 1, 26), 889, 1, int(Command.SEND), unit)


class House:
    """The gateway of one panel line in virtual time; the listener is real, its sockets are not opened."""

    def __init__(self, clock: VirtualClock) -> None:
        self.inventory = Inventory(parse_site(SITE_FILE, "site.yaml", PROFILES), PROFILES)
        self.sent: list[Frame] = []
        line = self.inventory.site.lines[0]

        def make(emit):
            self.listener = PanelListener(line, devices_on_line(self.inventory, "panels"), clock, emit)
            self.listener.run = self._idle
            self.peer = self.listener._enter("panel", lambda octets: self.sent.append(decode_frame(octets)))
            return self.listener

        self.runtime = GatewayRuntime(
            self.inventory, rules_of_site(self.inventory.site), clock=clock,
            store=StoreModel(DiskModel(Random(1)), clock), zone=timezone(timedelta(hours=8)),
            listening={"panels": make})

    async def _idle(self) -> None:
        await asyncio.Event().wait()

    def says(self, state: int, serial: int) -> list[Frame]:
        """The panel sends one state; what it is answered with."""
        self.sent.clear()
        self.listener._take(self.peer, frame(state, serial))
        return [answer for answer in self.sent if answer.serial == serial
                and answer.command in (Command.CONFIRM, Command.DENY)]


def in_house(script) -> None:
    loop = VirtualLoop()

    async def run() -> None:
        clock = VirtualClock(loop, "boot-1", wall_us=1_780_000_000_000_000)
        house = House(clock)
        task = asyncio.ensure_future(house.runtime.run())
        await house.runtime.started.wait()
        try:
            await script(house, clock)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    run_virtual(run(), loop)


def shielded(house: House):
    return [i for i in house.runtime.core.impairments()
            if i.kind is ImpairmentKind.ISOLATED and i.subject == "smoke.shielded"]


def test_what_the_panel_shields_does_not_protect_until_the_panel_releases_it() -> None:
    async def script(house: House, clock: VirtualClock) -> None:
        assert [a.command for a in house.says(SHIELDED, 1)] == [Command.CONFIRM]
        (lack,) = shielded(house)
        assert (lack.who, lack.zone) == ("panel 889", "hall") and "panel" in lack.why
        await clock.sleep(400.0)  # the panel falls silent: that releases nothing
        assert shielded(house) == [lack]
        house.says(0, 2)
        assert not shielded(house)

    in_house(script)


def test_a_frame_is_confirmed_only_when_the_core_took_it(monkeypatch) -> None:
    """A step that fails leaves the frame unconfirmed: the panel repeats it, and then it is a fire and confirmed."""
    async def script(house: House, clock: VirtualClock) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(house.runtime.core._engine, "step", lambda *_: 1 / 0)
            assert house.says(FIRE, 7) == []
        assert not house.runtime.core.open_alarms()
        assert [answer.command for answer in house.says(FIRE, 7)] == [Command.CONFIRM]
        assert [alarm.subject for alarm in house.runtime.core.open_alarms()]

    in_house(script)
