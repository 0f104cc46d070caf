"""Killed inside `for: 60 s`, again and again, with or without the power: the alarm comes at the right second."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from bench.outage_site import LINE, Feed, World, outage_site
from device_drivers.driver import Emit
from device_model.alarm import AlarmState
from device_model.messages import AlarmRecord, Lane, decode_record
from edge_agent.runtime import GatewayRuntime
from trial.store_model import DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

LEAK = "d1.leak"
FOR_S = 60.0
WALL_US = 1_780_000_000_000_000
ONSET_S = 20.0


class Gateway:
    """The production runtime on one disk, in virtual time; killed and started at will."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.inventory, rules = outage_site()
        self.rules = rules.with_parameters({"water.leak": {"wait": f"{FOR_S:g} s"}})
        self.disk = DiskModel(Random(3))
        self.world = World()
        self.boots = 0
        self.clock = self.boot()
        self.feeds: list[Feed] = []

    def boot(self) -> VirtualClock:
        """A machine with a battery clock."""
        self.boots += 1
        return VirtualClock(self.loop, f"boot-{self.boots}", wall_us=WALL_US + self.loop.now_us)

    def start(self) -> None:
        self.store = StoreModel(self.disk, self.clock)

        def make(emit: Emit) -> Feed:
            self.feeds.append(Feed(self.world, self.inventory, self.clock, emit))
            return self.feeds[-1]

        from datetime import UTC
        self.task = asyncio.ensure_future(GatewayRuntime(
            self.inventory, self.rules, clock=self.clock, store=self.store, zone=UTC, listening={LINE: make}).run())

    def kill(self, *, power: bool) -> None:
        self.feeds[-1].dead = True
        self.world.listener = None
        self.store.crash()
        self.task.cancel()
        if power:
            self.clock = self.boot()

    def raised(self) -> list[tuple[float, float]]:
        """(event time, time of journaling) of each rise on the disk, seconds of the world."""
        rises = []
        for _, row in sorted(self.disk.rows[Lane.ALARM].items()):
            record = decode_record(row)
            body = record.body
            if isinstance(body, AlarmRecord) and body.transition.key.subject == LEAK and (
                    body.transition.state, body.transition.previous) == (AlarmState.RAISED, AlarmState.PENDING):
                rises.append(((body.transition.at_us - WALL_US) / 1e6, (record.at_us - WALL_US) / 1e6))
        return rises


def played(kills: list[tuple[float, float, bool]]) -> Gateway:
    """Wet from second 20 on; kills: (at, away, power)."""
    loop = VirtualLoop()
    gateway = Gateway(loop)

    async def story() -> None:
        gateway.start()
        await asyncio.sleep(ONSET_S)
        gateway.world.set(LEAK, True)
        for at_s, away_s, power in kills:
            await asyncio.sleep(at_s - loop.time())
            gateway.kill(power=power)
            await asyncio.sleep(away_s)
            gateway.start()
        await asyncio.sleep(ONSET_S + FOR_S + 40 - loop.time())
        gateway.kill(power=False)

    run_virtual(story(), loop)
    return gateway


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("after_s", [1.5, 15.0, 30.0, 45.0, 57.0])
def test_one_kill_inside_the_for_changes_nothing(after_s: float, power: bool) -> None:
    (rise,) = played([(ONSET_S + after_s, 2.0, power)]).raised()
    assert rise[0] == ONSET_S + FOR_S
    assert rise[1] == pytest.approx(ONSET_S + FOR_S, abs=0.1), "and in the second in which it is due"


def test_killed_over_and_over() -> None:
    (rise,) = played([(ONSET_S + after, 1.5, after % 2 == 0) for after in range(2, 58, 5)]).raised()
    assert rise[0] == ONSET_S + FOR_S and rise[1] == pytest.approx(ONSET_S + FOR_S, abs=0.1)


def test_dead_when_it_was_due_it_comes_with_the_next_life_and_names_the_second_in_which_it_was_due() -> None:
    (rise,) = played([(ONSET_S + 50.0, 25.0, True)]).raised()
    assert rise[0] == ONSET_S + FOR_S and rise[1] < ONSET_S + 50.0 + 25.0 + 1.0


def test_killed_before_a_second_was_over_the_next_life_counts_from_what_it_sees() -> None:
    """The beginning of a timer is on the disk within a second; killed sooner, at most that second is lost."""
    (rise,) = played([(ONSET_S + 0.3, 1.0, False)]).raised()
    assert ONSET_S + FOR_S <= rise[0] <= ONSET_S + FOR_S + 2.0
