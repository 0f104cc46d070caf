"""A sounder that an earlier life left on can be silenced by the person who hears it."""

from __future__ import annotations

from device_model.command import Command, CommandKind
from device_model.ports import JournalState
from edge_agent.events import DriveOutput, OnSiteAction, PowerOn


def on_site(kind, target, ident):
    return OnSiteAction(Command(ident, kind, target, "Li Wei", "heard it", 0, 0, on_site=True))


def drives(effects):
    return [(e.drive.output, e.drive.on) for e in effects if isinstance(e, DriveOutput)]


def test_what_a_life_without_a_disk_left_on_can_be_switched_off_on_site(kit):
    core = kit.core()
    core.step(PowerOn(kit.journal), kit.at(0))
    before = core.checkpoint(kit.at(0.5))
    assert ("bell", True) in drives(core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1)))
    # Killed; the disk had taken nothing since. The smoke is gone when the next life begins.
    state = JournalState("e-1", (), before)
    core = kit.core(now=kit.at(10), state=state)
    assert drives(core.step(PowerOn(state), kit.at(10))) == []
    core.step(kit.read(kit.at(11), smoke_1__smoke=False), kit.at(11))
    assert drives(core.step(on_site(CommandKind.SILENCE_SOUNDER, "", "c-1"), kit.at(12))) == [("bell", False)]
    assert drives(core.step(on_site(CommandKind.RESET_ALARM, "cut", "c-2"), kit.at(13))) == [("cut", False)]


def test_silencing_what_a_manual_alarm_still_demands_writes_nothing_twice(kit):
    core = kit.core()
    core.step(PowerOn(kit.journal), kit.at(0))
    core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    assert drives(core.step(on_site(CommandKind.SILENCE_SOUNDER, "bell", "c-1"), kit.at(2))) == [("bell", False)]
    assert drives(core.step(on_site(CommandKind.RESET_ALARM, "cut", "c-2"), kit.at(3))) == []  # refused: demanded
