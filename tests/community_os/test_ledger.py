"""The ledger against a plain set: what is fresh, what is missing, what is explained."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from community_os.ledger import (
    MEMORY_LOST,
    RANGES_MAX,
    STREAMS_MAX,
    GapState,
    Ledger,
)
from device_model.messages import (
    WIRE_VERSION,
    Batch,
    Body,
    HeartbeatRecord,
    Lane,
    LossRecord,
    OutputRecord,
    Record,
)

OUTPUT = OutputRecord("sounder-1", True, "restart", 0)


def batch(*numbers: int, epoch: str = "e1", lane: Lane = Lane.ALARM, body: Body = OUTPUT, boot: str = "b1",
          gateway: str = "gw-1") -> Batch:
    return Batch(WIRE_VERSION, gateway, epoch, lane, tuple(Record(n, 5, 5, boot, body) for n in numbers))


def heartbeat(last: dict[str, tuple[str, int]], boot: str = "b1") -> Batch:
    return batch(0, lane=Lane.TELEMETRY, body=HeartbeatRecord(9, last), boot=boot)


def steps(ledger: Ledger, each: Batch, now_us: int) -> list[tuple[int, int, str]]:
    return [(c.first, c.last, str(c.state)) for c in ledger.apply(each, now_us).changes]


def test_a_duplicate_is_not_fresh_and_changes_nothing() -> None:
    ledger = Ledger()
    assert [r.sequence for r in ledger.apply(batch(1, 2, 3), 10).fresh] == [1, 2, 3]
    before = ledger.checkpoint()
    assert ledger.apply(batch(2, 3), 10).fresh == ()
    assert ledger.checkpoint() == before
    assert [r.sequence for r in ledger.fresh(batch(3, 4))] == [4]


def test_a_hole_opens_and_is_delivered_in_parts() -> None:
    ledger = Ledger()
    assert steps(ledger, batch(1, 2), 10) == []
    assert steps(ledger, batch(8, 9), 20) == [(3, 7, "opened")]
    assert steps(ledger, batch(5), 30) == [(5, 5, "delivered")]
    assert [(g.first, g.last, g.since_us) for g in ledger.gaps()] == [(3, 4, 20), (6, 7, 20)]
    assert steps(ledger, batch(3, 4), 40) == [(3, 4, "delivered")]
    assert steps(ledger, batch(6, 7), 50) == [(6, 7, "delivered")]
    assert ledger.gaps() == () and ledger.known("gw-1", "e1", Lane.ALARM) == ((1, 9),)


def test_a_lost_tail_is_known_from_the_heartbeat() -> None:
    ledger = Ledger()
    ledger.apply(batch(1, 2), 10)
    assert steps(ledger, heartbeat({"alarm": ("e1", 5)}), 20) == [(3, 5, "opened")]
    assert steps(ledger, heartbeat({"alarm": ("e1", 4), "unheard-of": ("e1", 9), "evidence": ("e1", 0)}), 30) == []
    assert steps(ledger, heartbeat({"alarm": ("e1", 6)}), 40) == [(6, 6, "opened")]
    assert [(g.first, g.last, g.since_us) for g in ledger.gaps()] == [(3, 6, 20)]


def test_a_declared_loss_explains_a_gap_and_late_delivery_still_counts() -> None:
    ledger = Ledger()
    ledger.apply(batch(1, 6), 10)
    loss = LossRecord("e1", Lane.ALARM, ((2, 3), (9, 2), (0, 1)), "torn page", 11)
    changes = ledger.apply(batch(7, body=loss), 20).changes
    assert [(c.first, c.last, c.state, c.reason) for c in changes] == [(2, 3, GapState.LOST, "torn page")]
    assert [(loss.first, loss.last, loss.reason) for loss in ledger.losses()] == [(2, 3, "torn page")]
    assert [r.sequence for r in ledger.apply(batch(2), 30).fresh] == [2]
    assert [(loss.first, loss.last) for loss in ledger.losses()] == [(3, 3)]
    assert [(g.first, g.last) for g in ledger.gaps()] == [(4, 5)]


def test_a_loss_beyond_what_was_known_moves_the_known_end() -> None:
    ledger = Ledger()
    ledger.apply(batch(1, body=LossRecord("e0", Lane.TELEMETRY, ((4, 6),), "disk replaced", 1)), 20)
    assert [(g.epoch, g.first, g.last) for g in ledger.gaps()] == [("e0", 1, 3)]
    assert [(loss.epoch, loss.first, loss.last) for loss in ledger.losses()] == [("e0", 4, 6)]


def test_memory_of_an_earlier_boot_is_explained_by_the_restart() -> None:
    ledger = Ledger()
    ledger.apply(batch(1, 3, epoch="m-b1", boot="b1"), 10)
    assert steps(ledger, heartbeat({"alarm": ("m-b1", 4)}, boot="b1"), 20) == [(4, 4, "opened")]
    changes = ledger.apply(heartbeat({"alarm": ("e1", 1)}, boot="b2"), 30).changes
    assert [(c.epoch, c.first, c.last, c.state, c.reason) for c in changes if c.epoch == "m-b1"] == [
        ("m-b1", 2, 2, GapState.LOST, MEMORY_LOST), ("m-b1", 4, 4, GapState.LOST, MEMORY_LOST)]
    assert [(g.epoch, g.first) for g in ledger.gaps()] == [("e1", 1)]


def test_memory_of_an_earlier_life_in_the_same_boot_is_explained_by_the_later_lifes_heartbeat() -> None:
    ledger = Ledger()
    ledger.apply(batch(1, 3, epoch="m-b1-a"), 10)
    beat = heartbeat({"alarm": ("e1", 0)})
    assert ledger.apply(Batch(beat.v, beat.gateway, "m-b1-a", beat.lane, beat.records), 20).changes == ()
    changes = ledger.apply(Batch(beat.v, beat.gateway, "m-b1-b", beat.lane, beat.records), 30).changes
    assert [(c.epoch, c.first, c.last, c.reason) for c in changes] == [("m-b1-a", 2, 2, MEMORY_LOST)]


def test_a_journal_epochs_gaps_survive_a_restart_of_the_gateway() -> None:
    ledger = Ledger()
    ledger.apply(batch(1, 3), 10)
    ledger.apply(heartbeat({"alarm": ("e1", 3)}, boot="b2"), 20)
    assert [(g.first, g.last) for g in ledger.gaps()] == [(2, 2)]


def test_lanes_epochs_and_gateways_are_apart() -> None:
    ledger = Ledger()
    for each in (batch(1), batch(1, lane=Lane.TELEMETRY), batch(1, epoch="e2"), batch(1, gateway="gw-2")):
        assert len(ledger.apply(each, 1).fresh) == 1
    assert ledger.gaps() == ()


@pytest.mark.parametrize("number", [-1, 2**53, 2**60])
def test_absurd_numbers_are_refused_before_anything_changes(number: int) -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="sequence"):
        ledger.apply(batch(1, number), 1)
    assert ledger.known("gw-1", "e1", Lane.ALARM) == ()


def test_memory_stays_bounded_under_holes_and_says_so() -> None:
    ledger = Ledger()
    given_up = []
    for number in range(1, 4 * RANGES_MAX, 2):
        given_up += [c for c in ledger.apply(batch(number), 1).changes if c.state is GapState.LOST]
    assert len(ledger.known("gw-1", "e1", Lane.ALARM)) <= RANGES_MAX
    assert len(given_up) == RANGES_MAX and "holes" in given_up[0].reason


def test_memory_stays_bounded_under_epochs_and_says_so() -> None:
    ledger = Ledger()
    changes = []
    for number in range(2 * STREAMS_MAX):
        changes += ledger.apply(batch(2, epoch=f"e{number}"), number).changes
    assert len(ledger.gaps()) == STREAMS_MAX
    assert len([c for c in changes if c.state is GapState.LOST]) == STREAMS_MAX
    many = tuple(batch(n, body=LossRecord(f"x{n}", Lane.ALARM, ((1, 2),), "?", 1)) for n in range(1, 3))
    assert all(ledger.apply(each, 10**6).fresh for each in many)


def test_one_batch_that_names_too_many_epochs_does_no_harm() -> None:
    ledger = Ledger()
    records = tuple(
        Record(n, 1, 1, "b", LossRecord(f"x{n}", Lane.ALARM, ((1, 2),), "?", 1)) for n in range(1, 3 * STREAMS_MAX)
    )
    ledger.apply(Batch(WIRE_VERSION, "gw-1", "e1", Lane.ALARM, records), 5)
    assert ledger.gaps() == () and len(ledger.losses()) <= STREAMS_MAX


def test_a_damaged_checkpoint_is_a_value_error() -> None:
    for text in (b"", b"{}", b'[{"gateway": 1}]', b"[[[["):
        with pytest.raises(ValueError):
            Ledger.resume(text)


class LedgerMachine(RuleBasedStateMachine):
    """One stream against sets of numbers; now and then the ledger goes through its checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.received: set[int] = set()
        self.lost: set[int] = set()
        self.end = 0
        self.open: set[int] = set()
        self.now_us = 0

    def enter(self, each: Batch) -> tuple[Record, ...]:
        self.now_us += 1
        applied = self.ledger.apply(each, self.now_us)
        for change in applied.changes:
            if change.epoch != "e1":
                continue
            numbers = set(range(change.first, change.last + 1))
            if change.state is GapState.OPENED:
                assert not numbers & self.open
                self.open |= numbers
            else:
                assert numbers <= self.open
                self.open -= numbers
                assert numbers <= (self.received if change.state is GapState.DELIVERED else self.lost)
        return applied.fresh

    @rule(numbers=st.sets(st.integers(1, 60), min_size=1, max_size=12))
    def arrive(self, numbers: set[int]) -> None:
        expected = sorted(numbers - self.received)
        self.received |= numbers
        self.end = max(self.end, *numbers)
        assert [r.sequence for r in self.enter(batch(*sorted(numbers)))] == expected

    @rule(last=st.integers(0, 70))
    def beat(self, last: int) -> None:
        self.end = max(self.end, last)
        assert len(self.enter(heartbeat({"alarm": ("e1", last)}))) == 1

    @rule(first=st.integers(1, 60), count=st.integers(1, 10))
    def declare(self, first: int, count: int) -> None:
        numbers = range(first, first + count)
        self.lost |= set(numbers)
        self.end = max(self.end, numbers[-1])
        self.enter(batch(0, epoch="other", body=LossRecord("e1", Lane.ALARM, ((first, numbers[-1]),), "x", 1)))

    @rule()
    def restart(self) -> None:
        twin = Ledger.resume(self.ledger.checkpoint())
        assert (twin.gaps(), twin.losses()) == (self.ledger.gaps(), self.ledger.losses())
        self.ledger = twin

    @invariant()
    def agrees_with_sets(self) -> None:
        missing = {n for gap in self.ledger.gaps() if gap.epoch == "e1" for n in range(gap.first, gap.last + 1)}
        assert missing == set(range(1, self.end + 1)) - self.received - self.lost == self.open
        lost = {n for loss in self.ledger.losses() for n in range(loss.first, loss.last + 1)}
        assert lost == self.lost - self.received
        known = {n for first, last in self.ledger.known("gw-1", "e1", Lane.ALARM) for n in range(first, last + 1)}
        assert known == self.received


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
