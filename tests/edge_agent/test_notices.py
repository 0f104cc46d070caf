"""What a driver tells people reaches the people at the gateway, in their language, and touches no value."""

from __future__ import annotations

from device_drivers.driver import DeviceNotice
from device_model.site import Text
from edge_agent.events import Log, NotifyLocal
from tests.edge_agent.test_core import started


def test_a_notice_of_a_device_is_logged_and_shown(kit):
    core = started(kit)
    text = Text("operator 1: duty_answer", "操作员 1 已应答")
    notice = DeviceNotice("panels", "uitd", "duty_answered", text, kit.at(5))
    effects = core.step(notice, kit.at(5))
    shown = [effect for effect in effects if isinstance(effect, NotifyLocal)]
    assert [(n.kind, n.subject, n.detail) for n in shown] == [("duty_answered", "uitd", "操作员 1 已应答")]
    logged = [effect for effect in effects if isinstance(effect, Log)]
    assert [line.fields["text"] for line in logged] == ["operator 1: duty_answer"]
