"""A fire panel's gateway: what it shields is an impairment, and nothing is confirmed that the core did not take."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from datetime import timedelta, timezone
from random import Random

from device_drivers.driver import DutyAsked, devices_on_line
from device_drivers.listeners import PanelListener
from device_model.command import Command as Command_
from device_model.command import CommandKind, CommandOutcome
from device_model.duty import DutyState
from device_model.impairment import ImpairmentKind
from device_model.inventory import Inventory
from device_model.library import shipped_profiles
from device_model.messages import DutyCheckRecord
from device_model.site_file import parse_site
from edge_agent.duty_book import DutyBook
from edge_agent.events import CommandReceived, Commit
from edge_agent.runtime import GatewayRuntime
from rules_engine.packs import rules_of_site
from trial.store_model import DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual
from wire_codecs.gbt26875 import Command, Frame, Stamp, decode_frame
from wire_codecs.gbt26875_objects import (
    COMPONENT_BITS,
    ComponentState,
    DutyCheck,
    Part,
    System,
    decode_unit,
    encode_unit,
)

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
AT = Stamp(0, 0, 0, 1, 1, 26)
NUMBERS = itertools.count()
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
        self.records = []
        line = self.inventory.site.lines[0]

        def make(emit):
            self.listener = PanelListener(line, devices_on_line(self.inventory, "panels"), clock, emit)
            self.listener.run = self.listener._watch  # no socket; time passes
            self.peer = self.listener._enter("panel", lambda octets: self.sent.append(decode_frame(octets)))
            return self.listener

        self.runtime = GatewayRuntime(
            self.inventory, rules_of_site(self.inventory.site), clock=clock,
            store=StoreModel(DiskModel(Random(1)), clock), zone=timezone(timedelta(hours=8)),
            listening={"panels": make})

    def record(self, step):
        """Keep every record that a step of the core makes."""
        def stepped(event, now):
            effects = step(event, now)
            self.records += [record for effect in effects if isinstance(effect, Commit)
                             for _, record in effect.records]
            return effects

        return stepped

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
        house.runtime.core.step = house.record(house.runtime.core.step)
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


def asks(house: House, serial: int = 9, minutes: int = 10) -> list[Frame]:
    """The centre behind address 889 asks whether somebody is on duty; what it is answered with at once."""
    house.sent.clear()
    house.listener._take(house.peer, Frame(serial, Stamp(0, 0, 0, 1, 1, 26), 889, 1, int(Command.CONTROL),
                                           encode_unit([DutyCheck(minutes)])))
    return [answer for answer in house.sent if answer.serial == serial]


def duty_records(house: House) -> list[str]:
    return [record.body.check.state.value for record in house.records
            if isinstance(record.body, DutyCheckRecord)]


def answers(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame.command == Command.SEND and frame.unit[0] == 24]


def click(house: House, clock: VirtualClock, check: str, who: str = "Li Wei") -> CommandOutcome:
    now_us = clock.now().wall_us
    command = Command_(f"c-{next(NUMBERS)}", CommandKind.ANSWER_DUTY, check, who, "", now_us, now_us + 60_000_000)
    result = house.runtime._result_in(house.runtime._take(CommandReceived(command)))
    assert result is not None
    return result.outcome


def test_a_duty_check_is_answered_by_a_person_and_by_nobody_else() -> None:
    async def script(house: House, clock: VirtualClock) -> None:
        assert [a.command for a in asks(house)] == [Command.CONFIRM]  # received; that is no answer
        asks(house)  # its repeat is the same check
        (check,) = house.runtime.core.duties.present()
        assert (check.device, check.asker, check.zone) == ("uitd", "889", "hall")
        assert check.due_us - check.asked_us == 600_000_000
        await clock.sleep(300.0)
        assert not answers(house.sent)
        assert click(house, clock, check.id, who=" ") is CommandOutcome.REFUSED
        assert click(house, clock, "another") is CommandOutcome.REFUSED
        house.sent.clear()
        assert click(house, clock, check.id) is CommandOutcome.APPLIED
        await clock.sleep(60.0 - 25.0)
        (first, *again) = answers(house.sent)
        assert decode_unit(first.unit)[0].flags == 0x20 and len(again) == 3  # the standard's three repeats
        house.listener._take(house.peer, Frame(first.serial, AT, 889, 1, int(Command.CONFIRM)))
        assert duty_records(house) == ["asked", "answered", "delivered"]
        assert house.runtime.core.duties.present() == ()
        assert click(house, clock, check.id) is CommandOutcome.REFUSED

    in_house(script)


def test_a_duty_check_that_nobody_answers_is_told_as_unanswered() -> None:
    async def script(house: House, clock: VirtualClock) -> None:
        asks(house, minutes=2)
        (check,) = house.runtime.core.duties.present()
        await clock.sleep(125.0)
        assert duty_records(house) == ["asked", "unanswered"] and not answers(house.sent)
        assert click(house, clock, check.id) is CommandOutcome.REFUSED

    in_house(script)


def test_an_answer_that_cannot_reach_its_asker_is_told_as_failed() -> None:
    async def script(house: House, clock: VirtualClock) -> None:
        asks(house)
        (check,) = house.runtime.core.duties.present()
        house.listener._gone(house.peer.number, clock.now())
        assert click(house, clock, check.id) is CommandOutcome.APPLIED
        assert duty_records(house) == ["asked", "answered", "failed"]

    in_house(script)


def test_a_duty_check_survives_a_restart_and_its_answer_says_that_nobody_is_connected(kit) -> None:
    site = Inventory(parse_site(SITE_FILE, "site.yaml", PROFILES), PROFILES)
    book = DutyBook(site)
    book.asked(DutyAsked("panels", "uitd", "c1", "889", kit.at(600).wall_us, kit.at(0)), kit.at(0))
    book.asked(DutyAsked("panels", "uitd", "c2", "889", kit.at(600).wall_us, kit.at(0)), kit.at(0))
    book.answer("c2", "Li", kit.at(1))
    again = DutyBook(site)
    (failed,) = again.resume(book.memory(), kit.at(5))
    assert (failed.id, failed.state) == ("c2", DutyState.FAILED)
    assert [check.id for check in again.present()] == ["c1"]
