"""Each checker is shown to be able to fail: something is broken on purpose, and the checker must say so.

Without the sabotage the same plan keeps all promises (`test_the_plans_are_kept_without_sabotage`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cloud_bridge.lanes import Outbox
from community_os.gateway_watch import GatewayWatch
from community_os.worker import PartitionWorker
from device_drivers.register_driver import RegisterLine
from device_model.messages import Lane
from device_model.ports import LineReply
from device_model.reading import Quality, Reason
from edge_agent.core import AgentCore
from edge_agent.health import DeviceHealth, HealthStep
from edge_agent.runtime import GatewayRuntime
from rules_engine.engine import Engine
from rules_engine.incident import IncidentBook
from tests.simulation import checkers
from tests.simulation.cloud_box import ProcessHandle
from tests.simulation.gateway_box import GatewayBox
from tests.simulation.models.line_model import LineModel
from tests.simulation.schedule import Event, Fire, Plan
from tests.simulation.world import Verdict, World, run_seed
from trial.link_model import LinkModel
from trial.store_model import DiskModel, StoreModel

SMOKE_1, SMOKE_2, GAS = 0, 1, 3
FOREVER = 1000.0
CALM = Plan((1,), (), (Fire(20.0, 1, SMOKE_1, 8.0), Fire(35.0, 1, SMOKE_2, FOREVER)), 90.0)
MUTE = Plan((1,), (Event(30.0, "mute", 1, 20.0, 0.0),), (Fire(20.0, 1, SMOKE_1, FOREVER),), 90.0)
LONG_MUTE = Plan((1,), (Event(30.0, "mute", 1, 45.0, 0.0),), (), 110.0)
HANG = Plan((1,), (Event(18.0, "disk_hang", 1, 30.0, 0.5),), (Fire(20.0, 1, SMOKE_1, FOREVER),), 90.0)
CUT = Plan((1,), (Event(20.0, "uplink_cut", 1, 60.0, 0.5),), (), 110.0)
KILL = Plan((1,), (Event(26.0, "kill_gateway", 1, 2.0, 0.5),), (Fire(20.0, 1, SMOKE_1, FOREVER),), 90.0)
KILL_IN_CUT = Plan((1,), (Event(18.0, "uplink_cut", 1, 30.0, 0.5), Event(27.0, "kill_gateway", 1, 2.0, 0.5)),
                   (Fire(20.0, 1, SMOKE_1, 5.0),), 90.0)
TOLD = Plan((1,), (Event(30.0, "acknowledge", 1),), (Fire(20.0, 1, SMOKE_1, FOREVER),), 90.0)
NOISE = Plan((1,), (), (), 60.0)
Patch = pytest.MonkeyPatch


def said(verdict: Verdict, checker: str) -> bool:
    return any(problem.startswith(f"{checker}:") for problem in verdict.problems)


@pytest.mark.parametrize("plan", [CALM, MUTE, LONG_MUTE, HANG, CUT, KILL, KILL_IN_CUT, TOLD, NOISE])
def test_the_plans_are_kept_without_sabotage(plan: Plan) -> None:
    assert run_seed(1, plan=plan).problems == ()


def an_ingest_that_drops_what_it_acknowledged(patch: Patch) -> None:
    real = ProcessHandle.publish
    lost: list[int] = []

    async def publish(self: ProcessHandle, subject: str, payload: bytes, *, message_id: str) -> int:
        if b'"type":"alarm"' in payload and b"fire.smoke" in payload:
            lost.append(1)
            return 10_000 + len(lost)
        return await real(self, subject, payload, message_id=message_id)

    patch.setattr(ProcessHandle, "publish", publish)


def a_worker_that_skips_a_message(patch: Patch) -> None:
    real = PartitionWorker._apply

    async def apply(self: PartitionWorker, message: Any, commits: Any) -> None:
        if b"fire.smoke" not in message.payload:
            await real(self, message, commits)

    patch.setattr(PartitionWorker, "_apply", apply)


def a_journal_that_forgets(patch: Patch) -> None:
    real = StoreModel._write

    def write(self: StoreModel, rows: Any, checkpoint: bytes | None) -> None:
        """Says that it stored, and keeps neither the alarm lane nor the state."""
        real(self, [row for row in rows if row[0] is not Lane.ALARM], None)

    patch.setattr(StoreModel, "_write", write)


def an_outbox_that_forgets_to_send(patch: Patch) -> None:
    real = Outbox.to_send
    patch.setattr(Outbox, "to_send", lambda self, now, *lanes: tuple(
        order for order in real(self, now, *lanes) if order.lane is Lane.ALARM or order.first % 5))


def an_engine_that_clears_on_bad(patch: Patch) -> None:
    real = Engine.step

    def step(self: Engine, readings: Any, now: Any, fresh: Any = ()) -> Any:
        lies = [msgspec.structs.replace(r, value=False, quality=Quality.GOOD, reason=Reason.NONE)
                if r.point.endswith(".smoke") and r.quality is Quality.BAD else r for r in readings]
        return real(self, lies, now, fresh)

    patch.setattr(Engine, "step", step)


def a_sounder_that_waits_for_the_disk(patch: Patch) -> None:
    real = GatewayRuntime._drive

    def drive(self: GatewayRuntime, wish: Any) -> None:
        async def after() -> None:
            await self._store.commit([], b"first the disk")
            real(self, wish)

        assert self._tasks is not None
        self._tasks.create_task(after())

    patch.setattr(GatewayRuntime, "_drive", drive)


def a_slow_uplink(patch: Patch) -> None:
    real = LinkModel.publish

    async def publish(self: LinkModel, topic: str, payload: bytes) -> None:
        await self._clock.sleep(4.0)
        await real(self, topic, payload)

    patch.setattr(LinkModel, "publish", publish)


def a_book_that_never_joins(patch: Patch) -> None:
    patch.setattr(IncidentBook, "_to_join", lambda self, step, drill: None)


def a_cloud_that_does_not_miss_gateways(patch: Patch) -> None:
    patch.setattr(GatewayWatch, "overdue", lambda self, now_us: ())


def a_journal_that_gives_numbers_twice(patch: Patch) -> None:
    real = GatewayBox.kill

    def kill(self: GatewayBox, *, power: bool) -> None:
        real(self, power=power)
        disk: DiskModel = self.disk
        disk.last[Lane.TELEMETRY] = 0
        disk.rows[Lane.TELEMETRY].clear()
        disk.acknowledged[Lane.TELEMETRY] = type(disk.acknowledged[Lane.TELEMETRY])()

    patch.setattr(GatewayBox, "kill", kill)


def a_driver_that_takes_any_reply(patch: Patch) -> None:
    real = LineModel._spoilt

    def spoilt(self: LineModel, request: Any, pdu: bytes, fault: Any) -> LineReply:
        reply = real(self, request, pdu, fault)
        if request.function == 2 and self._bus._random.random() < 0.05:
            return LineReply(reply.unit, reply.function, b"\x05" * len(reply.payload))
        return reply

    patch.setattr(LineModel, "_spoilt", spoilt)


def commands_that_never_arrive(patch: Patch) -> None:
    real = LinkModel.deliver
    patch.setattr(LinkModel, "deliver", lambda self, message, late_s, tasks: None
                  if message.topic.endswith("/down/command") else real(self, message, late_s, tasks))


def acknowledgements_that_never_arrive(patch: Patch) -> None:
    real = LinkModel.deliver
    patch.setattr(LinkModel, "deliver", lambda self, message, late_s, tasks: None
                  if message.topic.endswith("/down/ack") else real(self, message, late_s, tasks))


def a_core_that_stumbles(patch: Patch) -> None:
    real = AgentCore.step

    def step(self: AgentCore, event: Any, now: Any) -> Any:
        if now.mono_us > 40_000_000 and type(event).__name__ == "Tick":
            raise KeyError("a mistake")
        return real(self, event, now)

    patch.setattr(AgentCore, "step", step)


def bounds_that_are_exceeded(patch: Patch) -> None:
    patch.setattr(checkers, "CHECKPOINT_BYTES_MAX", 100)


def a_driver_that_never_gives_up(patch: Patch) -> None:
    real = RegisterLine._take
    patch.setattr(RegisterLine, "_take", lambda self, event, now, events: None
                  if type(event).__name__ == "DeviceLost" else real(self, event, now, events))
    patch.setattr(RegisterLine, "look_for_silence", lambda self, now: ())
    patch.setattr(DeviceHealth, "check", lambda self, now: HealthStep())


def a_driver_that_forgets_who_is_lost(patch: Patch) -> None:
    """A device that is back is never said to be."""
    patch.setattr(RegisterLine, "_back", lambda self, state, now, events: None)
    real = RegisterLine._answered

    def answered(self: RegisterLine, state: Any, *rest: Any) -> None:
        if not state.lost:
            real(self, state, *rest)

    patch.setattr(RegisterLine, "_answered", answered)


@pytest.mark.parametrize(("sabotage", "plan", "checker"), [
    (an_ingest_that_drops_what_it_acknowledged, CALM, "lost"),
    (an_ingest_that_drops_what_it_acknowledged, CALM, "gaps"),
    (a_worker_that_skips_a_message, CALM, "lost"),
    (a_journal_that_forgets, KILL_IN_CUT, "lost"),
    (an_outbox_that_forgets_to_send, CALM, "gaps"),
    (an_engine_that_clears_on_bad, MUTE, "latched"),
    (a_sounder_that_waits_for_the_disk, HANG, "sounder"),
    (a_slow_uplink, CALM, "deadline"),
    (a_book_that_never_joins, CALM, "twice"),
    (a_cloud_that_does_not_miss_gateways, CUT, "stale"),
    (a_journal_that_gives_numbers_twice, KILL, "numbers"),
    (a_driver_that_takes_any_reply, NOISE, "without cause"),
    (commands_that_never_arrive, TOLD, "told"),
    (acknowledgements_that_never_arrive, TOLD, "delivered"),
    (a_core_that_stumbles, CALM, "mistake"),
    (bounds_that_are_exceeded, CALM, "memory"),
    (a_driver_that_forgets_who_is_lost, MUTE, "stale"),
    (a_driver_that_never_gives_up, LONG_MUTE, "stale"),
], ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_seen(
    sabotage: Callable[[Patch], None], plan: Plan, checker: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    sabotage(monkeypatch)
    verdict = run_seed(1, plan=plan)
    assert said(verdict, checker), verdict.problems


def test_a_task_of_the_simulation_that_fails_is_said() -> None:
    def sabotage(world: World) -> None:
        world.boxes[1].devices.clear()

    assert said(run_seed(1, plan=CALM, sabotage=sabotage), "simulation")
