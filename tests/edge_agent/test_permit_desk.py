"""Permits at the gateway: commands to facts and shields in the real rules engine, restart, change of site, and the
command line against a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from device_model.alarm import AlarmState, AlarmTransition
from device_model.clock import Now
from device_model.command import Command, CommandKind
from device_model.errors import LocalFault
from device_model.inventory import Inventory
from device_model.permit import GasSample, Permit, PermitAct, PermitLevel, PermitPlan, PermitPolicy, PermitStep
from device_model.reading import Reading
from edge_agent import permit_commands
from edge_agent.orders import OrderDesk
from edge_agent.permit_desk import PermitDesk
from rules_engine import Engine
from rules_engine.packs import shipped_packs
from rules_engine.rule_tests import TestPoint, synthetic_inventory

ROOT = Path(__file__).resolve().parents[2]
BEGIN = 1_772_499_600_000_000  # 2026-03-03 09:00 in Shanghai, a Tuesday
RULES = shipped_packs(["fire", "hot_work"])
POINTS = {
    "cam.score": TestPoint(quantity="hot_work_score", stale_after_s=100_000),
    "s.smoke": TestPoint(quantity="smoke_alarm", stale_after_s=100_000),
    "far.smoke": TestPoint(quantity="smoke_alarm", zone="z2", stale_after_s=100_000),
}


class Post:
    """A desk with the real engine; times are seconds since BEGIN."""

    def __init__(self) -> None:
        self.inventory = synthetic_inventory(POINTS)
        self.engine = Engine(RULES, self.inventory, decides="edge", lateness_us=10_000_000)
        self.desk = PermitDesk(self.inventory, self.engine, ZoneInfo("Asia/Shanghai"))
        self.number = 0

    @staticmethod
    def now(at: float) -> Now:
        return Now(BEGIN + round(at * 1e6), round(at * 1e6), "b")

    def act(self, act: str, at: float, who: str = "Li", **more: object) -> tuple[AlarmTransition, ...]:
        self.number += 1
        step = PermitStep("HW-1", PermitAct(act), **more)  # type: ignore[arg-type]
        command = Command(f"c{self.number}", CommandKind.PERMIT, "HW-1", who, "", 0, 0, permit=step)
        return self.desk.apply(command, self.now(at))[1]

    def begin(self, at: float = 0.0, hours: float = 1.0) -> None:
        plan = PermitPlan("z1", PermitLevel.TWO, BEGIN, BEGIN + round(hours * 3.6e9), ("Wang",), "Zhao",
                          measures=PermitPolicy().measures)
        self.act("create", at, "Chen", plan=plan)
        self.act("approve", at)
        self.act("sample", at, "Qian", sample=GasSample(BEGIN + round(at * 1e6), 0.0, "Qian"))
        self.act("watcher_on", at, "Zhao")
        self.act("start", at, "Wang")

    def read(self, point: str, value: float | bool, at: float) -> None:
        when = self.now(at)
        self.engine.step([Reading(point, value, "1", source_time_us=when.wall_us, receive_time_us=when.wall_us,
                                  mono_us=when.mono_us, boot="b")], when)

    def standing(self) -> dict[str, str]:
        return {step.key.rule: step.audience for step in self.engine.open_alarms() if step.state is AlarmState.RAISED}


def of_smoke(steps: tuple[AlarmTransition, ...]) -> list[tuple[str, AlarmState]]:
    return [(step.audience, step.state) for step in steps if step.key.rule == "fire.smoke"]


def test_work_under_a_permit_and_its_smoke() -> None:
    post = Post()
    post.begin()
    post.read("cam.score", 0.9, 1)
    post.read("s.smoke", True, 2)
    post.read("far.smoke", True, 2)
    post.engine.step((), post.now(60))
    told = {step.points[0]: step.audience for step in post.engine.open_alarms()}
    assert told == {"s.smoke": "permit:HW-1", "far.smoke": ""}
    steps = post.act("watcher_off", 70, "Zhao")  # nobody watches: it is everybody's at once
    assert of_smoke(steps) == [("", AlarmState.RAISED)]


def test_time_alone_ends_it() -> None:
    post = Post()
    post.begin(hours=1)
    post.read("s.smoke", True, 10)
    assert post.desk.due_us(post.now(10)) == 3_600_000_000
    assert post.desk.check(post.now(3599)) == ()
    assert of_smoke(post.desk.check(post.now(3600))) == [("", AlarmState.RAISED)]
    post.read("cam.score", 0.9, 3610)
    post.engine.step((), post.now(3630))
    assert "hot_work.over_time" in post.standing()


def test_a_restart_changes_nothing() -> None:
    post = Post()
    post.begin()
    post.read("s.smoke", True, 2)
    kept, permits = post.engine.checkpoint(), post.desk.permits()
    again = Post()
    again.engine.resume(kept)
    again.desk.resume(msgspec.json.decode(msgspec.json.encode(permits), type=tuple[Permit, ...]))
    assert again.desk.check(again.now(3)) == ()
    again.read("cam.score", 0.9, 4)
    again.engine.step((), again.now(60))
    assert again.standing() == {"fire.smoke": "permit:HW-1"}


def test_what_ended_while_the_gateway_was_down_is_over() -> None:
    post = Post()
    post.begin(hours=1)
    post.read("s.smoke", True, 2)
    kept, permits = post.engine.checkpoint(), post.desk.permits()
    again = Post()
    again.engine.resume(kept)
    again.desk.resume(permits)
    assert of_smoke(again.desk.check(again.now(7200))) == [("", AlarmState.RAISED)]
    again.read("cam.score", 0.9, 7201)
    again.engine.step((), again.now(7220))
    assert "hot_work.over_time" in again.standing()


def test_a_shield_without_its_permit_does_not_stay() -> None:
    post = Post()
    post.begin()
    kept = post.engine.checkpoint()
    again = Post()
    again.engine.resume(kept)  # the permits themselves are lost
    again.desk.check(again.now(3))
    again.read("s.smoke", True, 4)
    assert again.standing()["fire.smoke"] == ""


def test_a_changed_site_keeps_the_permits() -> None:
    post = Post()
    post.begin()
    post.read("s.smoke", True, 2)
    engine, steps = post.engine.rebound(RULES, post.inventory)
    assert steps == ()
    post.desk.rebind(post.inventory, engine, ZoneInfo("Asia/Shanghai"))
    post.engine = engine
    assert post.desk.check(post.now(3)) == ()
    assert post.standing() == {"fire.smoke": "permit:HW-1"}


def test_a_zone_that_is_gone_lets_nobody_work() -> None:
    post = Post()
    post.begin()
    post.act("suspend", 10)
    site = msgspec.structs.replace(post.inventory.site, zones=post.inventory.site.zones[1:],
                                   devices=tuple(d for d in post.inventory.site.devices if d.zone != "z1"))
    post.desk.rebind(Inventory(site, post.inventory.profiles), post.engine, ZoneInfo("Asia/Shanghai"))
    with pytest.raises(ValueError, match="no longer part"):
        post.act("resume", 20)


def test_a_command_names_its_permit_twice() -> None:
    post = Post()
    wrong = Command("c", CommandKind.PERMIT, "HW-2", "Li", "", 0, 0, permit=PermitStep("HW-1", PermitAct.APPROVE))
    for command in (wrong, msgspec.structs.replace(wrong, permit=None)):
        with pytest.raises(ValueError, match="twice"):
            post.desk.apply(command, post.now(0))


@pytest.mark.parametrize("act", list(PermitAct))
def test_what_needs_eyes_is_done_on_site_only(act: PermitAct) -> None:
    command = Command("c", CommandKind.PERMIT, "HW-1", "Li", "", 0, 0, permit=PermitStep("HW-1", act))
    refused = "on site only" in OrderDesk._objection(command, on_site=False)
    assert refused is (act.value in ("sample", "watcher_on", "start", "resume", "close"))
    assert OrderDesk._objection(command, on_site=True) == ""


SITE = """
site:
  path: hangzhou/yuhang/cangqian/works
  name: {en: Works, zh: 工厂}
  address: {en: Works Road 1, zh: 工厂路1号}
  time_zone: Asia/Shanghai
gateway: {id: gw-1, journal_path: var/journal.sqlite}
lines:
  - {id: bus, kind: modbus_tcp, host: 127.0.0.1, port: 9}
buildings:
  - {id: b1, name: {en: b, zh: 楼}, floors: [{id: f1, name: {en: f, zh: 层},
     zones: [{id: z1, name: {en: z, zh: 区}, kind: plant}]}]}
devices:
  - {id: duct, profile: calectro-ug3, line: bus, unit: 1, zone: z1, place: {en: p, zh: 处}}
rules: {packs: [fire, device, hot_work]}
permits: {off_hours_raise: false}
"""


@pytest.mark.parametrize(("what", "says"), [
    ({"level": "huge"}, "is no level"), ({"gases": ["phlogiston"]}, "is no gas"), ({"starts": "soon"}, "no date"),
    ({}, "no gateway answers")])
def test_mistakes_on_the_command_line(tmp_path: Path, what: dict[str, object], says: str) -> None:
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    arguments = {"who": "Chen", "zone": "z1", "level": "two", "starts": "", "hours": 1.0, "workers": ["Wang"],
                 "watcher": "Zhao", **what}
    with pytest.raises(LocalFault, match=says):
        permit_commands.create_permit(tmp_path / "site.yaml", "HW-1", **arguments)  # type: ignore[arg-type]
    with pytest.raises(LocalFault, match="is no act"):
        permit_commands.act_on_permit(tmp_path / "site.yaml", "HW-1", "bless", who="Li")


@pytest.mark.soak  # the same life by page and cloud is tests/system/test_hot_work_site.py
@pytest.mark.real
def test_a_permit_at_a_real_gateway(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE, encoding="utf-8")
    gateway = subprocess.Popen([sys.executable, "-m", "edge_agent", str(path)], stderr=subprocess.DEVNULL,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})

    def tocsin(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(ROOT / "tocsin.py"), "permit", *words, "--config", str(path)],
                              capture_output=True, text=True, timeout=60, check=False)

    try:
        end = time.monotonic() + 120
        while tocsin("list").returncode and time.monotonic() < end:
            time.sleep(0.2)
        made = tocsin("create", "HW-1", "--who", "Chen", "--zone", "z1", "--level", "two", "--worker", "Wang",
                      "--watcher", "Zhao", "--gas", "methane", "--all-measures")
        assert (made.returncode, made.stdout.strip()) == (0, "HW-1 draft"), made.stderr
        assert tocsin("act", "HW-1", "approve", "--who", "Li").stdout.strip() == "HW-1 ready"
        early = tocsin("act", "HW-1", "start", "--who", "Wang")
        assert early.returncode == 1 and "watcher" in early.stderr and "监护人" in early.stderr
        assert tocsin("sample", "HW-1", "--percent", "0.05", "--gas", "methane", "--who", "Qian").returncode == 0
        assert tocsin("act", "HW-1", "watcher_on", "--who", "Zhao").returncode == 0
        assert tocsin("act", "HW-1", "start", "--who", "Wang").stdout.strip() == "HW-1 working"
        (permit,) = json.loads(tocsin("list", "--json").stdout)
        assert permit["state"] == "working" and permit["watched"]
        assert "HW-1  working  two  z1" in tocsin("list").stdout
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(timeout=60)
