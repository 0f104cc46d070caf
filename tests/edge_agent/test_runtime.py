"""The gateway's hands in virtual time: real drivers, rules and uplink on models of line, disk and broker."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest

from device_model.alarm import AlarmState
from device_model.command import Command, CommandKind, CommandOutcome
from device_model.errors import PeerSilent
from device_model.impairment import ImpairmentKind
from device_model.messages import (
    AlarmRecord,
    BatchAck,
    CommandResultRecord,
    Down,
    HeartbeatRecord,
    ImpairmentRecord,
    ReadingsRecord,
    decode_batch,
    encode,
    is_memory_epoch,
)
from device_model.ports import LineReply
from edge_agent.runtime import GatewayRuntime
from rules_engine import RuleSet, parse_pack
from rules_engine.packs import shipped_packs
from trial.link_model import BrokerModel
from trial.store_model import DiskMode, DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

SLOW_PACK = """
pack: slow
version: 1
title: {en: Slow, zh: 慢}
rules:
  - id: slow.smoke_level
    version: 1
    title: {en: Smoke for a minute, zh: 烟雾持续一分钟}
    hazard: fire
    severity: critical
    bind: {quantities: [obscuration]}
    when: value >= 0.5 dB/m
    for: 60 s
    unknown_after: 10 min
    source: "thresholds.md section 1: a test"
    certainty: A
    response: {en: look, zh: 查看}
"""


class Field:
    """What stands on the lines: bits and registers by (line, unit, table function, address)."""

    def __init__(self, clock):
        self.clock, self.cells, self.writes, self.dead = clock, {}, [], set()

    def exchange(self, line):
        return _Exchange(self, line)


class _Exchange:
    def __init__(self, field, line):
        self._field, self._line = field, line

    async def exchange(self, request, *, timeout_s):
        field = self._field
        if self._line in field.dead:
            await field.clock.sleep(timeout_s)
            raise PeerSilent("nobody answers")
        await field.clock.sleep(0.005)
        if request.function == 5:
            field.writes.append((field.clock.now().mono_us, request.unit, request.address, bool(request.values[0])))
            field.cells[self._line, request.unit, 1, request.address] = int(bool(request.values[0]))
            word = b"\xff\x00" if request.values[0] else b"\x00\x00"
            return LineReply(request.unit, 5, request.address.to_bytes(2, "big") + word)
        values = [field.cells.get((self._line, request.unit, request.function, request.address + n), 0)
                  for n in range(request.count)]
        if request.function in (1, 2):
            bits = sum(bool(value) << n for n, value in enumerate(values))
            return LineReply(request.unit, request.function, bits.to_bytes((request.count + 7) // 8, "little"))
        return LineReply(request.unit, request.function, b"".join(v.to_bytes(2, "big") for v in values))

    async def drain(self, hold_s):
        await self._field.clock.sleep(hold_s)

    async def close(self):
        pass


class Cloud:
    """Takes batches as the ingest does: dedupes by (epoch, lane, sequence), acknowledges, remembers when."""

    def __init__(self, kit, clock, broker):
        self._kit, self._clock = kit, clock
        self.link = broker.link("cloud", ("tocsin/#",), clock=clock)
        self.records, self.arrivals, self.heartbeats = {}, [], []

    async def run(self):
        async for message in self.link.messages():
            if "/up/" not in message.topic:
                continue
            batch = decode_batch(message.payload)
            ranges = []
            for record in batch.records:
                if isinstance(record.body, HeartbeatRecord):
                    self.heartbeats.append(record.body)
                    continue
                key = (batch.epoch, batch.lane, record.sequence)
                assert self.records.setdefault(key, record) == record, "a number stands for one content for ever"
                self.arrivals.append((self._clock.now().mono_us, batch.epoch, record.body))
                ranges.append((record.sequence, record.sequence))
            if ranges:
                ack = BatchAck(1, batch.epoch, batch.lane, tuple(ranges))
                await self._send("ack", encode(ack))

    async def _send(self, kind, payload):
        with contextlib.suppress(PeerSilent):
            await self.link.publish(self._kit.address.down(kind), payload)

    async def command(self, command):
        await self._send("command", encode(Down(1, command)))

    def bodies(self, kind):
        return [record.body for record in self.records.values() if isinstance(record.body, kind)]

    def first(self, kind, wanted=lambda body: True):
        """(arrival s, epoch, body) of the first of its kind; None when there is none."""
        return next(((at / 1e6, epoch, body) for at, epoch, body in self.arrivals
                     if isinstance(body, kind) and wanted(body)), None)


class Bench:
    """One gateway on models; `kill` and `start` again as often as wanted."""

    def __init__(self, kit, loop, *, packs=("fire", "device"), slow=False):
        self.kit = kit
        self.clock = VirtualClock(loop, "boot-1", wall_us=kit.start_us)
        self.disk = DiskModel(Random(1))
        self.broker = BrokerModel(Random(2), self.clock)
        self.field = Field(self.clock)
        self.cloud = Cloud(kit, self.clock, self.broker)
        self.cloud_task = asyncio.ensure_future(self.cloud.run())
        rules = list(shipped_packs(packs).packs)
        self.rules = RuleSet([parse_pack(SLOW_PACK, "slow.yaml")] if slow else rules)
        self.logs, self.store, self.runtime, self.task = [], None, None, None

    def start(self):
        site = self.kit.site
        self.store = StoreModel(self.disk, self.clock)
        self.runtime = GatewayRuntime(
            self.kit.inventory(), self.rules, clock=self.clock, store=self.store, zone=self.kit.zone,
            uplink_link=self.broker.link("gw", (self.kit.address.down("ack"), self.kit.address.down("command"))),
            lines={line.id: self.field.exchange(line.id) for line in site.lines}, log=self.logs.append)
        self.task = asyncio.ensure_future(self.runtime.run())

    async def kill(self):
        self.store.crash()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def smoke(self, on=True, unit=1):
        self.field.cells["tcp-1", unit, 2, 0] = int(on)

    def said(self, what):
        return [line for line in self.logs if line.what == what]


def play(kit, script, **more):
    loop = VirtualLoop()

    async def main():
        bench = Bench(kit, loop, **more)
        bench.start()
        await bench.runtime.started.wait()
        await script(bench)
        await bench.kill()
        bench.cloud_task.cancel()
        return bench

    return run_virtual(main(), loop)


def raised(body):
    return body.transition.state is AlarmState.RAISED and body.transition.hazard == "fire"


def test_smoke_sounds_at_once_and_reaches_the_cloud(kit):
    async def script(bench):
        await bench.clock.sleep(10)
        bench.smoke()
        bench.at = bench.clock.now().mono_us
        await bench.clock.sleep(20)

    bench = play(kit, script)
    sounded, unit, address, on = bench.field.writes[0]
    assert (unit, address, on) == (1, 0, True) and sounded - bench.at <= 1_100_000
    at_s, epoch, body = bench.cloud.first(AlarmRecord, raised)
    assert at_s - bench.at / 1e6 <= 1.2 and not is_memory_epoch(epoch) and body.transition.journaled
    assert len([b for b in bench.cloud.bodies(AlarmRecord) if raised(b)]) == 1
    assert bench.cloud.heartbeats and bench.cloud.heartbeats[-1].devices_expected == 4
    plotted = [r for b in bench.cloud.bodies(ReadingsRecord) for r in b.readings if r.point == "smoke-1.obscuration"]
    assert len(plotted) >= 8


@pytest.mark.parametrize("mode", [DiskMode.HANG, DiskMode.FULL, DiskMode.READ_ONLY])
def test_with_a_broken_disk_outputs_act_and_alarms_are_sent_marked(kit, mode):
    async def script(bench):
        await bench.clock.sleep(10)
        bench.disk.mode = mode
        await bench.clock.sleep(3)
        bench.smoke()
        bench.at = bench.clock.now().mono_us
        await bench.clock.sleep(60)
        bench.disk.mode = DiskMode.OK
        await bench.clock.sleep(20)

    bench = play(kit, script)
    assert bench.field.writes[0][0] - bench.at <= 1_100_000, "no output waits for a disk"
    at_s, epoch, body = bench.cloud.first(AlarmRecord, raised)
    assert at_s - bench.at / 1e6 <= 1.6 and is_memory_epoch(epoch) and not body.transition.journaled
    both = [b.transition for b in bench.cloud.bodies(AlarmRecord) if raised(b)]
    assert len({t.alarm for t in both}) == 1 and {t.journaled for t in both} == {True, False}
    lack = [b.change for b in bench.cloud.bodies(ImpairmentRecord)
            if b.change.impairment.kind is ImpairmentKind.NOT_JOURNALED]
    assert any(change.ended_us == 0 for change in lack) and any(change.ended_us for change in lack)
    assert bench.runtime.core.journal_ok


def test_a_disk_that_cannot_be_opened_at_the_start(kit):
    loop = VirtualLoop()

    async def main():
        bench = Bench(kit, loop)
        bench.disk.mode = DiskMode.READ_ONLY
        bench.start()
        await bench.runtime.started.wait()
        await bench.clock.sleep(5)
        bench.smoke()
        await bench.clock.sleep(5)
        alarms = [(epoch, body) for _, epoch, body in bench.cloud.arrivals if isinstance(body, AlarmRecord)]
        bench.disk.mode = DiskMode.OK
        await bench.clock.sleep(60)
        await bench.kill()
        return bench, alarms

    bench, alarms = run_virtual(main(), loop)
    assert any(is_memory_epoch(epoch) and raised(body) for epoch, body in alarms)
    assert bench.field.writes and bench.said("journal opened")
    assert bench.runtime.core.journal_ok


def test_a_line_that_misbehaves_disturbs_no_other(kit):
    async def script(bench):
        await bench.clock.sleep(5)

        async def broken(request, *, timeout_s):
            raise RuntimeError("a driver of ours is wrong")

        bench.runtime.field.drivers["tcp-2"]._exchange.exchange = broken
        await bench.clock.sleep(30)
        bench.smoke()
        bench.at = bench.clock.now().mono_us
        await bench.clock.sleep(10)

    bench = play(kit, script)
    at_s, _, _ = bench.cloud.first(AlarmRecord, raised)
    assert at_s - bench.at / 1e6 <= 1.2
    # The sounder stands on the broken line: it is said that it did not act.
    assert (ImpairmentKind.OUTPUT_UNPROVED, "bell") in {i.key for i in bench.runtime.core.impairments()}


def test_a_silent_line_is_one_impairment_a_device_and_ends(kit):
    async def script(bench):
        await bench.clock.sleep(5)
        bench.field.dead.add("tcp-1")
        await bench.clock.sleep(60)
        bench.silent = {i.subject for i in bench.runtime.core.impairments() if i.kind is ImpairmentKind.SILENT}
        bench.field.dead.clear()
        await bench.clock.sleep(70)

    bench = play(kit, script)
    assert bench.silent == {"smoke-1", "smoke-2", "button-1"}
    begun = [b.change.impairment.subject for b in bench.cloud.bodies(ImpairmentRecord)
             if b.change.impairment.kind is ImpairmentKind.SILENT and not b.change.ended_us]
    assert sorted(begun) == ["button-1", "smoke-1", "smoke-2"], "lost once"
    assert not [i for i in bench.runtime.core.impairments() if i.kind is ImpairmentKind.SILENT]


def test_a_part_that_dies_is_started_again_alone(kit):
    async def script(bench):
        calls = []

        async def dies():
            calls.append(bench.clock.now().mono_us)
            raise ValueError("broken")

        bench.runtime._supervise("extra", dies)
        await bench.clock.sleep(16)
        bench.calls = calls

    bench = play(kit, script)
    gaps = [round((b - a) / 1e6) for a, b in zip(bench.calls, bench.calls[1:], strict=False)]
    assert gaps == [1, 2, 4, 8] and bench.runtime.failures["extra"] == 5
    assert bench.said("part failed, started again")


def test_an_acknowledgement_comes_down_and_its_answer_goes_up(kit):
    async def script(bench):
        await bench.clock.sleep(3)
        bench.smoke()
        await bench.clock.sleep(5)
        alarm = bench.cloud.first(AlarmRecord, raised)[2].transition.alarm
        told = Command("c-1", CommandKind.ALARM_ACKNOWLEDGED, alarm, "Chen Jing", "", 0, 0)
        for _ in range(5):
            await bench.cloud.command(told)
            await bench.clock.sleep(1)

    bench = play(kit, script)
    results = [b.result for b in bench.cloud.bodies(CommandResultRecord)]
    assert [(r.command, r.outcome, r.who) for r in results] == [("c-1", CommandOutcome.APPLIED, "Chen Jing")]
    assert bench.runtime.core.outputs.state("bell").on


def test_killed_inside_its_minute_the_alarm_comes_at_the_right_second(kit):
    async def script(bench):
        await bench.clock.sleep(10)
        bench.field.cells["tcp-1", 1, 4, 1] = 80
        await bench.clock.sleep(30)
        await bench.kill()
        await bench.clock.sleep(5)
        bench.start()
        await bench.clock.sleep(60)

    bench = play(kit, script, slow=True)
    alarms = {b.transition.alarm: b.transition for b in bench.cloud.bodies(AlarmRecord) if raised(b)}
    (transition,) = alarms.values()
    assert transition.at_us - transition.onset_us == 60_000_000
    arrived_s = bench.cloud.first(AlarmRecord, raised)[0]
    assert abs(arrived_s - (transition.at_us - kit.start_us) / 1e6) <= 1.0


@pytest.mark.parametrize("seed", range(12))
def test_kills_at_any_moment_lose_no_alarm_and_number_nothing_twice(kit, seed):
    random = Random(seed)

    async def script(bench):
        fires = 0
        for _ in range(6):
            await bench.clock.sleep(random.uniform(0.5, 8))
            if random.random() < 0.5:
                fires += 1
                bench.smoke(unit=1 + fires % 2)
                await bench.clock.sleep(random.uniform(0.0, 1.3))
            await bench.kill()
            await bench.clock.sleep(random.uniform(0.0, 5))
            bench.start()
        bench.smoke(unit=1)
        bench.smoke(unit=2)
        await bench.clock.sleep(30)

    bench = play(kit, script)
    fires = {b.transition.key.subject for b in bench.cloud.bodies(AlarmRecord) if raised(b)}
    assert fires == {"smoke-1.smoke", "smoke-2.smoke"}
    assert bench.runtime.core.outputs.state("bell").on
    by_subject = {}
    for body in bench.cloud.bodies(AlarmRecord):
        if raised(body):
            by_subject.setdefault(body.transition.key.subject, set()).add(body.transition.alarm)
    assert all(len(alarms) <= 2 for alarms in by_subject.values())
    for (epoch, lane, _) in bench.cloud.records:
        numbers = sorted(n for e, la, n in bench.cloud.records if (e, la) == (epoch, lane))
        assert numbers == list(range(1, len(numbers) + 1)), "no gap in a stream"


@pytest.mark.parametrize("back_s", [3600, 56 * 365 * 86_400])
def test_a_boot_without_a_battery_clock_begins_in_the_past_and_detects_all_the_same(kit, back_s):
    async def script(bench):
        await bench.clock.sleep(20)
        await bench.kill()
        bench.clock.step(-back_s * 1_000_000)
        bench.clock.boot = "boot-2"
        bench.start()
        await bench.clock.sleep(10)
        bench.smoke()
        bench.at = bench.clock.now().mono_us
        await bench.clock.sleep(5)
        bench.clock.step(back_s * 1_000_000)  # the time server was reached
        await bench.clock.sleep(5)
        bench.smoke(unit=2)
        await bench.clock.sleep(5)

    bench = play(kit, script)
    at_s, _, _ = bench.cloud.first(AlarmRecord, raised)
    assert at_s - bench.at / 1e6 <= 1.2
    subjects = [b.transition.key.subject for b in bench.cloud.bodies(AlarmRecord) if raised(b)]
    assert subjects == ["smoke-1.smoke", "smoke-2.smoke"]


def test_sixty_commands_a_second_and_one_fire(kit):
    async def script(bench):
        await bench.clock.sleep(3)
        for number in range(120):
            await bench.cloud.command(Command(f"x-{number}", CommandKind.ISOLATE, "nobody", "x", "y", 0, 0, 1.0))
        bench.smoke()
        bench.at = bench.clock.now().mono_us
        await bench.clock.sleep(10)

    bench = play(kit, script)
    assert bench.cloud.first(AlarmRecord, raised)[0] - bench.at / 1e6 <= 1.5
    assert len(bench.cloud.bodies(CommandResultRecord)) == 120


def test_a_line_whose_port_hangs_is_started_again_alone_and_can_be_written_again(kit):
    """A driver that waits for ever in its port (a serial adapter whose driver died) polls again within seconds."""
    async def script(bench):
        await bench.clock.sleep(5)
        exchange, stuck = _Exchange.exchange, []

        async def hang(self, request, *, timeout_s):
            if self._line == "tcp-2" and not stuck:
                stuck.append(bench.clock.now().mono_us)
                await asyncio.Event().wait()
            return await exchange(self, request, timeout_s=timeout_s)

        _Exchange.exchange = hang
        try:
            await bench.clock.sleep(15)
        finally:
            _Exchange.exchange = exchange
        bench.smoke()
        await bench.clock.sleep(5)

    bench = play(kit, script)
    assert bench.runtime.failures == {"line tcp-2": 1}
    assert [line.fields["part"] for line in bench.said("part failed, started again")] == ["line tcp-2"]
    assert bench.field.writes, "its sounder is driven as before"
