"""The outbox: order, windows, retries, memory copies, losses; and a model of all of it under crashes."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloud_bridge import Outbox, SendOrder, flights, journal_lane, memory_lane
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.clock import SECOND_US, Now
from device_model.messages import (
    WIRE_VERSION,
    AlarmRecord,
    BatchAck,
    Body,
    GatewayAddress,
    Lane,
    LossRecord,
    ReadingsRecord,
    Record,
)
from device_model.ports import JournalState, LaneState
from device_model.ranges import Range, RangeSet
from device_model.reading import Reading
from device_model.site import Tenancy

ADDRESS = GatewayAddress(Tenancy("c", "d", "s", "site"), "gw")
NOW = Now(1_700_000_000_000_000, 5 * SECOND_US, "boot")


def empty(epoch: str = "e1", **lanes: int) -> JournalState:
    return JournalState(epoch, tuple(LaneState(Lane(name), last, ()) for name, last in lanes.items()), None)


def alarm(number: int) -> AlarmRecord:
    return AlarmRecord(AlarmTransition(f"{number:016x}", AlarmKey("fire", f"p{number}"), AlarmState.RAISED,
                                       AlarmState.PENDING, Hazard.FIRE, Severity.CRITICAL, number, number))


def reading(number: int) -> ReadingsRecord:
    return ReadingsRecord((Reading("t.temperature", number, "Cel"),))


def ack(lane: Lane, epoch: str, *ranges: Range) -> BatchAck:
    return BatchAck(WIRE_VERSION, epoch, lane, ranges)


def after(seconds: float) -> Now:
    return NOW.later(round(seconds * SECOND_US))


def test_only_what_is_committed_is_sent() -> None:
    box = Outbox(ADDRESS, empty(), NOW)
    first = box.assign(Lane.ALARM, alarm(1), NOW)
    assert first.sequence == 1 and box.to_send(after(0.1)) == () and box.heartbeat_last()["alarm"] == ("e1", 0)
    assert box.to_commit() == ((Lane.ALARM, first),)
    assert box.committed(box.to_commit()) == ()
    assert box.to_send(after(0.1)) == (SendOrder(Lane.ALARM, "e1", 1, 1, False),)
    assert box.to_send(after(0.1)) == (), "what is under way is not sent twice"
    assert box.heartbeat_last()["alarm"] == ("e1", 1) and box.backlog() == 1
    assert box.acknowledged(ack(Lane.ALARM, "e1", (1, 1)), after(0.2)) == ((Lane.ALARM, ((1, 1),)),)
    assert box.backlog() == 0 and box.due_us() is None


def test_alarm_first_and_live_before_backlog() -> None:
    box = Outbox(ADDRESS, empty(alarm=3, telemetry=10_000), NOW)
    for number in range(3):
        box.assign(Lane.TELEMETRY, reading(number), NOW)
    box.assign(Lane.ALARM, alarm(1), NOW)
    box.committed(box.to_commit())
    orders = [(o.lane, o.backlog, o.first, o.last) for o in box.to_send(NOW)]
    assert orders[0] == (Lane.ALARM, False, 4, 4) and orders[1] == (Lane.ALARM, True, 1, 3)
    assert orders[2] == (Lane.TELEMETRY, False, 10_001, 10_003)
    assert [o[:2] for o in orders[3:]] == [(Lane.TELEMETRY, True)] * flights.BACKLOG_WINDOW
    assert orders[3][2:] == (1, 500)


def test_a_new_alarm_overtakes_a_million_records() -> None:
    box = Outbox(ADDRESS, empty(telemetry=1_000_000), NOW)
    box.to_send(NOW)
    box.assign(Lane.ALARM, alarm(1), after(1))
    box.committed(box.to_commit())
    assert box.to_send(after(1))[0] == SendOrder(Lane.ALARM, "e1", 1, 1, False)


def test_alarm_retries_grow_from_2_to_30_seconds() -> None:
    box = Outbox(ADDRESS, empty(), NOW)
    box.assign(Lane.ALARM, alarm(1), NOW)
    box.committed(box.to_commit())
    waits, now = [], NOW
    for attempt in range(7):
        (order,) = box.to_send(now)
        assert order.attempt == attempt
        due = box.due_us()
        assert due is not None
        waits.append((due - now.mono_us) / SECOND_US)
        assert box.to_send(now.later(due - now.mono_us - 1)) == ()
        now = now.later(due - now.mono_us)
    assert waits == [2, 4, 8, 16, 30, 30, 30]
    box.reconnected(now)
    (order,) = box.to_send(now)
    assert order.attempt == 0


def test_jitter_spreads_by_a_fifth() -> None:
    dice = random.Random(1)
    delays = [flights.Flights(Lane.ALARM, "e", dice.random).delay_us(0) for _ in range(200)]
    assert min(delays) >= 1.6 * SECOND_US and max(delays) <= 2.4 * SECOND_US and len(set(delays)) > 100


def test_retries_merge_so_that_the_window_opens() -> None:
    box = Outbox(ADDRESS, empty(), NOW)
    for number in range(flights.LIVE_WINDOW[Lane.ALARM] + 20):
        box.assign(Lane.ALARM, alarm(number), after(0.01 * number))
        box.committed(box.to_commit())
        box.to_send(after(0.01 * number))
    orders = box.to_send(after(4))
    assert len(orders) <= 2 and (orders[0].first, orders[-1].last) == (1, flights.LIVE_WINDOW[Lane.ALARM] + 20)


def test_an_alarm_that_the_disk_does_not_take_in_time_goes_from_memory_and_later_again() -> None:
    box = Outbox(ADDRESS, empty(), NOW)
    box.assign(Lane.ALARM, alarm(7), NOW)
    assert box.due_us() == NOW.mono_us + 200_000 and box.journal_ok
    (order,) = box.to_send(after(0.2))
    assert order.epoch == box.memory_epoch and not box.journal_ok
    (copy,) = box.records_of(order) or ()
    assert isinstance(copy.body, AlarmRecord) and not copy.body.transition.journaled
    assert copy.body.transition.alarm == alarm(7).transition.alarm
    (kept,) = box.to_commit()
    assert isinstance(kept[1].body, AlarmRecord) and kept[1].body.transition.journaled
    box.committed(box.to_commit())
    assert box.journal_ok
    assert [o.epoch for o in box.to_send(after(0.3))] == ["e1"]


def test_patience_is_stretched_with_the_clock() -> None:
    box = Outbox(ADDRESS, empty(), NOW, patience_scale=10)
    box.assign(Lane.ALARM, alarm(7), NOW)
    assert box.to_send(after(1.9)) == () and len(box.to_send(after(2))) == 1


def test_a_refused_commit_sends_copies_at_once_and_once() -> None:
    box = Outbox(ADDRESS, empty(), NOW)
    box.assign(Lane.ALARM, alarm(1), NOW)
    box.assign(Lane.TELEMETRY, reading(1), NOW)
    batch = box.to_commit()
    assert [r.sequence for r in box.commit_failed(batch, after(0.01))] == [1, 1]
    assert box.commit_failed(batch, after(0.02)) == () and box.to_commit() == batch
    assert {o.epoch for o in box.to_send(after(5))} == {box.memory_epoch}


def test_without_a_journal_all_goes_from_memory_until_there_is_one() -> None:
    box = Outbox(ADDRESS, None, NOW)
    record = box.assign(Lane.ALARM, alarm(1), NOW)
    assert isinstance(record.body, AlarmRecord) and not record.body.transition.journaled
    assert box.to_commit() == () and not box.journal_ok and len(box.to_send(NOW)) == 1
    box.journal_opened(empty("e9", alarm=4), after(1))
    assert box.assign(Lane.ALARM, alarm(2), after(1)).sequence == 5 and box.journal_ok
    with pytest.raises(ValueError):
        box.journal_opened(empty(), after(2))


def test_two_lives_within_one_boot_have_different_memory_epochs() -> None:
    assert Outbox(ADDRESS, None, NOW).memory_epoch != Outbox(ADDRESS, None, after(1)).memory_epoch


def test_damage_is_declared_and_settled_once_the_declaration_is_committed() -> None:
    state = JournalState("e1", (LaneState(Lane.TELEMETRY, 20, ()),), None, ((Lane.TELEMETRY, (3, 6), "torn"),),
                         (("old", Lane.ALARM, (1, 9), "the file was damaged"),))
    box = Outbox(ADDRESS, state, NOW)
    bodies = {lane: record.body for lane, record in box.to_commit()}
    loss, old = bodies[Lane.TELEMETRY], bodies[Lane.ALARM]
    assert isinstance(loss, LossRecord) and loss.ranges == ((3, 6),) and loss.reason == "torn"
    assert isinstance(old, LossRecord) and (old.epoch, old.ranges) == ("old", ((1, 9),))
    assert box.to_send(after(60)) and not any(o.epoch == box.memory_epoch for o in box.to_send(after(60)))
    assert box.committed(box.to_commit()) == ((Lane.TELEMETRY, ((3, 6),)),)
    assert box.declare_lost(Lane.TELEMETRY, [(4, 5)], "again", NOW) is None


@pytest.mark.parametrize("claimed", [(1, 10**12), (5, 2), (0, 0), (-5, 1)])
def test_an_acknowledgement_is_believed_only_for_what_was_stored(claimed: Range) -> None:
    box = Outbox(ADDRESS, empty(alarm=3), NOW)
    told = box.acknowledged(ack(Lane.ALARM, "e1", claimed), NOW)
    assert all(1 <= a <= b <= 3 for _, ranges in told for a, b in ranges)
    assert box.acknowledged(ack(Lane.ALARM, "other", (1, 3)), NOW) == ()
    box.assign(Lane.ALARM, alarm(4), NOW)
    box.committed(box.to_commit())
    assert any(o.last == 4 for o in box.to_send(NOW))


def test_memory_is_bounded_and_overflow_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(memory_lane.RING_MAX, Lane.TELEMETRY, 40)
    monkeypatch.setitem(journal_lane.PENDING_MAX, Lane.TELEMETRY, 60)
    box = Outbox(ADDRESS, empty(), NOW)
    for number in range(1_000):
        box.assign(Lane.TELEMETRY, reading(number), NOW)
        box.commit_failed(box.to_commit(10_000), NOW)
    held = [r for o in box.to_send(NOW) for r in (box.records_of(o) or ())]
    assert len(held) <= 41 and len(box.to_commit(10_000)) <= 62
    explained = RangeSet((r.sequence, r.sequence) for r in held)
    for record in held:
        if isinstance(record.body, LossRecord):
            for first, last in record.body.ranges:
                explained.add(first, last)
    assert not explained.missing(1, max(r.sequence for r in held)), "every number is there or declared"
    box.committed(box.to_commit(10_000))
    assert box.heartbeat_last()["telemetry"][1] == box.assign(Lane.TELEMETRY, reading(0), NOW).sequence - 1


class Life(RuleBasedStateMachine):
    """Any order of assigning, committing, refusing, sending, acknowledging, crashing.

    The far end notes what it is sent. `disk` is what a journal would hold.
    """

    @initialize()
    def start(self) -> None:
        self.clock = NOW
        self.disk: dict[Lane, dict[int, Record]] = {lane: {} for lane in Lane}
        self.acked: dict[Lane, RangeSet] = {lane: RangeSet() for lane in Lane}
        self.seen: dict[tuple[Lane, str, int], Body] = {}
        self.alarms: dict[str, bool] = {}  # id → committed or sent, so that it must arrive
        self.made = 0
        self.box = Outbox(ADDRESS, empty(), self.clock, random.Random(2).random)

    def restart(self) -> None:
        lanes = tuple(LaneState(lane, max(rows, default=0), tuple(self.acked[lane]))
                      for lane, rows in self.disk.items())
        damage = []
        for lane, rows in self.disk.items():
            held = self.acked[lane].copy()
            for number in rows:
                held.add(number, number)
            damage += [(lane, part, "no row") for part in held.missing(1, max(rows, default=0))]
        self.clock = self.clock.later(SECOND_US)
        self.box = Outbox(ADDRESS, JournalState("e1", lanes, None, tuple(damage)), self.clock,
                          random.Random(2).random)

    @rule(lane=st.sampled_from([Lane.ALARM, Lane.TELEMETRY]), count=st.integers(1, 5))
    def assign(self, lane: Lane, count: int) -> None:
        for _ in range(count):
            self.made += 1
            body: Body = alarm(self.made) if lane is Lane.ALARM else reading(self.made)
            self.box.assign(lane, body, self.clock)

    @rule(limit=st.integers(1, 20), survives=st.booleans(), crash=st.booleans())
    def commit(self, limit: int, survives: bool, crash: bool) -> None:
        batch = self.box.to_commit(limit)
        if not crash or survives:
            for lane, record in batch:
                self.disk[lane][record.sequence] = record
                if isinstance(record.body, AlarmRecord):
                    self.alarms[record.body.transition.alarm] = True
        if crash:
            self.restart()
            return
        for lane, ranges in self.box.committed(batch):
            for first, last in ranges:
                self.acked[lane].add(first, last)

    @rule(limit=st.integers(1, 20))
    def refuse(self, limit: int) -> None:
        self.box.commit_failed(self.box.to_commit(limit), self.clock)

    @rule()
    def crash(self) -> None:
        self.restart()

    @rule(seconds=st.sampled_from([0.05, 0.3, 3.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.clock = self.clock.later(round(seconds * SECOND_US))

    @rule(answer=st.sampled_from(["all", "none", "twice", "half", "store late"]))
    def send(self, answer: str) -> None:
        orders = self.box.to_send(self.clock)
        places = [(o.lane is not Lane.ALARM, o.backlog) for o in orders]
        assert places == sorted(places), "alarm lane first, live before backlog"
        for order in orders:
            records = self.fetch(order)
            for record in records:
                key = (order.lane, order.epoch, record.sequence)
                if isinstance(record.body, LossRecord) and record.body.epoch == "e1":
                    assert order.epoch == "e1", "numbers are declared lost before that is on the disk"
                assert self.seen.setdefault(key, record.body) == record.body, "a number stands for two contents"
            self.box.sent(order, self.clock)
            if answer == "none":
                continue
            numbers = [(r.sequence, r.sequence) for r in records]  # an ingest acknowledges what it got, no more
            if answer == "half":
                del numbers[::2]
            for _ in range(2 if answer == "twice" else 1):
                told = self.box.acknowledged(ack(order.lane, order.epoch, *numbers), self.clock)
                for lane, ranges in told if answer != "store late" else ():
                    for first, end in ranges:
                        self.acked[lane].add(first, end)

    def fetch(self, order: SendOrder) -> tuple[Record, ...]:
        records = self.box.records_of(order)
        if records is not None:
            return records
        found = []
        for first, last in self.box.wanted(order):
            rows = [self.disk[order.lane][n] for n in range(first, last + 1) if n in self.disk[order.lane]]
            held = RangeSet((r.sequence, r.sequence) for r in rows)
            self.box.declare_lost(order.lane, held.missing(first, last), "gone", self.clock)
            found += rows
        return tuple(found)

    @invariant()
    def heartbeats_speak_of_what_is_on_the_disk(self) -> None:
        if hasattr(self, "box"):
            for lane, (epoch, last) in self.box.heartbeat_last().items():
                assert epoch == "e1" and last == max(self.disk[Lane(lane)], default=0)

    def teardown(self) -> None:
        """The disk and the far end become good: everything that was committed arrives or is declared."""
        if not hasattr(self, "box"):
            return
        for _ in range(60):
            self.commit(limit=10_000, survives=True, crash=False)
            self.clock = self.clock.later(70 * SECOND_US)
            self.send("all")
        assert self.box.backlog() == 0
        arrived = {body.transition.alarm for body in self.seen.values() if isinstance(body, AlarmRecord)}
        assert set(self.alarms) <= arrived, "a committed alarm never arrived"
        for lane in (Lane.ALARM, Lane.TELEMETRY):
            known = RangeSet()
            for (which, epoch, number), body in self.seen.items():
                if which is lane and epoch == "e1":
                    known.add(number, number)
                if isinstance(body, LossRecord) and body.lane is lane and body.epoch == "e1":
                    for first, last in body.ranges:
                        known.add(first, last)
            assert not known.missing(1, max(self.disk[lane], default=0)), "an unexplained gap"


@pytest.mark.parametrize("small", [False, True])
def test_life(small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if small:  # bounds so small that giving up happens all the time
        for lane in Lane:
            monkeypatch.setitem(journal_lane.PENDING_MAX, lane, 6)
            monkeypatch.setitem(memory_lane.RING_MAX, lane, 5)
            monkeypatch.setitem(journal_lane.RECENT_MAX, lane, 3)
        monkeypatch.setattr(flights, "BACKLOG_WINDOW", 1)

    class Machine(Life):
        pass

    case = Machine.TestCase()
    case.settings = settings(max_examples=120, stateful_step_count=40)
    case.runTest()
