"""Clock accidents of gateways over seeds: corrected times lie within the stated error of what truly was, in order."""

from __future__ import annotations

import itertools
from random import Random

import msgspec
import pytest

from community_os.clock_book import BEFORE_TOCSIN_US, BOOTS_MAX, TOLERANCE_US, BootClock, ClockBook
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.clock import HOUR_US, MINUTE_US, SECOND_US
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import (
    AlarmRecord,
    Batch,
    HeartbeatRecord,
    ImpairmentRecord,
    Lane,
    OutputRecord,
    ReadingsRecord,
    Record,
)
from device_model.reading import Reading

TRUE_US = 1_790_000_000_000_000


def step(at_us: int) -> AlarmTransition:
    return AlarmTransition("a", AlarmKey("fire.smoke", "s.smoke"), AlarmState.RAISED, AlarmState.PENDING, Hazard.FIRE,
                           Severity.CRITICAL, at_us, at_us - SECOND_US)


class Machine:
    """A gateway's clocks beside the true time."""

    def __init__(self, wall_us: int, boot: str = "b1", drift_ppm: float = 0.0, error_us: int = -1) -> None:
        self.offset, self.boot, self.drift, self.error_us = wall_us, boot, drift_ppm / 1e6, error_us
        self.booted = TRUE_US
        self.sequence = 0

    def record(self, true_us: int, body=None) -> Record:
        mono = round((true_us - self.booted) * (1 + self.drift))
        wall = self.offset + mono
        self.sequence += 1
        return Record(self.sequence, wall, mono, self.boot, body or AlarmRecord(step(wall)))

    def beat(self, true_us: int) -> Record:
        record = self.record(true_us)
        beat = HeartbeatRecord(record.at_us, {}, wall_error_us=self.error_us)
        return msgspec.structs.replace(record, sequence=0, body=beat)


def batch(*records: Record, backlog: bool = False) -> Batch:
    return Batch(1, "gw-1", "e", Lane.ALARM, records, backlog)


def correct(book: ClockBook, arrived_us: int, *records: Record, backlog: bool = False) -> tuple[Record, ...]:
    return book.correct(batch(*records, backlog=backlog), records, arrived_us)


def test_a_boot_in_1970_is_corrected_at_once_with_a_stated_error():
    machine, book = Machine(0), ClockBook()
    correct(book, TRUE_US + 30 * SECOND_US, machine.beat(TRUE_US + 30 * SECOND_US))
    (record,) = correct(book, TRUE_US + 41 * SECOND_US, machine.record(TRUE_US + 40 * SECOND_US))
    assert abs(record.at_us - (TRUE_US + 40 * SECOND_US)) <= 10 * SECOND_US
    moved = record.body.transition
    assert record.at_us - moved.at_us == 0 and moved.at_us - moved.onset_us == SECOND_US
    assert "known to 10 s" in moved.detail and book.corrected == 2


def test_what_the_gateway_learns_later_corrects_what_it_said_before():
    """A backlog of one boot: 1970 first, then its time server came."""
    machine, book = Machine(0), ClockBook()
    early = machine.record(TRUE_US + 60 * SECOND_US)
    machine.offset = TRUE_US
    late = machine.record(TRUE_US + HOUR_US)
    out = correct(book, TRUE_US + 5 * HOUR_US, early, late, backlog=True)
    assert [r.at_us for r in out] == [TRUE_US + 60 * SECOND_US, TRUE_US + HOUR_US]


def test_a_dead_boot_that_never_knew_is_placed_where_it_was_heard_and_says_so():
    machine, book = Machine(0), ClockBook()
    (record,) = correct(book, TRUE_US + HOUR_US, machine.record(TRUE_US + 60 * SECOND_US), backlog=True)
    assert record.at_us == TRUE_US + HOUR_US and "no bound known" in record.body.transition.detail


def test_a_right_clock_is_never_touched_however_late_its_records_are():
    machine, book = Machine(TRUE_US, error_us=1000), ClockBook()
    for hours in (1, 5, 70):
        records = (machine.record(TRUE_US + hours * MINUTE_US), machine.record(TRUE_US + 2 * hours * MINUTE_US))
        assert correct(book, TRUE_US + hours * HOUR_US, *records, backlog=True) == records
        assert correct(book, TRUE_US + hours * HOUR_US, *records) == records, "a broker that held them is no lag"
    assert book.corrected == 0


@pytest.mark.parametrize("by_us", [HOUR_US, 400 * 24 * HOUR_US])
def test_a_forged_time_in_the_future_is_not_believed(by_us):
    machine, book = Machine(TRUE_US + by_us, error_us=1000), ClockBook()
    (record,) = correct(book, TRUE_US + 41 * SECOND_US, machine.record(TRUE_US + 40 * SECOND_US))
    assert abs(record.at_us - TRUE_US - 40 * SECOND_US) <= 10 * SECOND_US


def test_an_hour_behind_is_found_by_its_persistence():
    machine, book = Machine(TRUE_US - HOUR_US, error_us=1000), ClockBook()
    for minute in range(12):
        at = TRUE_US + minute * MINUTE_US
        (record,) = correct(book, at + SECOND_US, machine.record(at))
        assert record.at_us == at - HOUR_US if minute < 9 else abs(record.at_us - at) <= 10 * SECOND_US


@pytest.mark.parametrize("seed", range(200))
def test_seeds_of_accidents(seed):
    """Steps of ±1 h, drift, leap seconds, a boot in 1970, time servers that lie or never come; messages are late at
    random. Order within a boot is the monotonic one; the last word on each record is within its bound."""
    random, book = Random(seed), ClockBook()
    machine = Machine(random.choice([0, 0, TRUE_US, TRUE_US - 3 * HOUR_US, TRUE_US + 900 * HOUR_US]),
                      drift_ppm=random.uniform(-100, 100))
    true_us, out = TRUE_US, []
    for _ in range(60):
        true_us += random.randrange(1, 60) * SECOND_US
        accident = random.random()
        if accident < 0.03:
            machine.offset += random.choice([-HOUR_US, HOUR_US, SECOND_US, -SECOND_US])
        elif accident < 0.05:
            machine.offset, machine.error_us = TRUE_US, 50_000
        delay_us = random.randrange(0, 5) * SECOND_US
        record = machine.beat(true_us) if random.random() < 0.3 else machine.record(true_us)
        out += [(true_us, r) for r in correct(book, true_us + delay_us, record)]
    assert all(a[1].mono_us < b[1].mono_us for a, b in itertools.pairwise(out))
    assert all(r.at_us > BEFORE_TOCSIN_US for _, r in out), "nobody is shown 1970"
    assert all(r.at_us <= at + TOLERANCE_US + 5 * SECOND_US for at, r in out), "nor the future"
    settled = [(at, r) for at, r in out[12:] if at > TRUE_US + 6 * MINUTE_US]
    assert settled and all(abs(r.at_us - at) <= TOLERANCE_US + 10 * SECOND_US for at, r in settled)


def test_each_kind_of_body_moves_whole_and_a_device_with_its_own_clock_does_not():
    machine, book = Machine(0), ClockBook()
    correct(book, TRUE_US, machine.beat(TRUE_US))
    own = Reading("d.p", 1.0, "Cel", source_time_us=TRUE_US, receive_time_us=5)
    gateways = Reading("d.q", 1.0, "Cel", source_time_us=4, receive_time_us=5)
    lack = Impairment(ImpairmentKind.SILENT, "d", 5, expires_us=9)
    bodies = (ReadingsRecord((own, gateways)), OutputRecord("o", True, "a", 5),
              ImpairmentRecord(ImpairmentChange(lack, 7)))
    moved = [r.body for r in correct(book, TRUE_US, *(machine.record(TRUE_US, body) for body in bodies))]
    assert moved[0].readings[0].source_time_us == TRUE_US and moved[0].readings[1].source_time_us == TRUE_US + 4
    assert moved[1].at_us == TRUE_US + 5 and moved[2].change.ended_us == TRUE_US + 7
    assert moved[2].change.impairment.since_us == TRUE_US + 5 and moved[2].change.impairment.expires_us == TRUE_US + 9


def test_the_book_is_bounded_and_survives_as_json():
    book = ClockBook()
    for n in range(3 * BOOTS_MAX):
        correct(book, TRUE_US + n, Machine(0, boot=f"b{n}").beat(TRUE_US))
    assert len(book.boots) == BOOTS_MAX
    again = ClockBook(msgspec.json.decode(msgspec.json.encode(book.boots), type=dict[str, BootClock]))
    record = Machine(0, boot="b190").record(TRUE_US)
    assert correct(again, TRUE_US + 9, record) == correct(book, TRUE_US + 9, record)
