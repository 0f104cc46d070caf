"""A mistake of ours in one step must not swallow the alarm that the step had found (laws 1 and 4)."""

from __future__ import annotations

import pytest

from device_model.messages import AlarmRecord
from edge_agent.events import Commit, DriveOutput, PowerOn, Tick


def drives(effects):
    return {(e.drive.output, e.drive.on) for e in effects if isinstance(e, DriveOutput)}


def alarms(effects):
    return [r.body.transition.state.value for e in effects if isinstance(e, Commit) for _, r in e.records
            if isinstance(r.body, AlarmRecord)]


@pytest.mark.parametrize(("part", "method"), [
    ("outputs", "check"), ("outputs", "transitions"), ("outputs", "_switch"), ("_telemetry", "offer"),
    ("_telemetry", "watch"),
])
def test_an_alarm_survives_a_step_that_fails_anywhere_behind_the_rules(kit, monkeypatch, part, method):
    core = kit.core()
    core.step(PowerOn(kit.journal), kit.at(0))
    with monkeypatch.context() as broken:
        broken.setattr(getattr(core, part), method, lambda *_: 1 / 0)
        first = core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    second = core.step(Tick(), kit.at(2))
    assert drives(first) | drives(second) == {("bell", True), ("cut", True)}
    assert "raised" in alarms(first) + alarms(second)
    assert core.counts["failed_steps"] == 1


def test_steps_that_all_fail_do_not_flood_the_lane(kit, monkeypatch):
    core = kit.core()
    core.step(PowerOn(kit.journal), kit.at(0))
    monkeypatch.setattr(core.outputs, "check", lambda *_: 1 / 0)
    said = []
    for second in range(1, 61):
        effects = core.step(kit.read(kit.at(second), smoke_1__smoke=True), kit.at(second))
        said += alarms(effects)
    assert 1 <= len(said) <= 8
