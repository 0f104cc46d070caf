"""A fire of a gateway that booted in 1970: the incident, its plot and its lacks stand at the true time, also after
the worker's own restart."""

from __future__ import annotations

import msgspec
import pytest

from community_os.clock_book import ClockBook
from community_os.envelopes import UpEnvelope
from community_os.store_changes import ImpairmentRow, IncidentRow
from device_model.clock import SECOND_US
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import AlarmRecord, Batch, HeartbeatRecord, ImpairmentRecord, Lane, Record
from tests.community_os.site_messages import PATH, reading, rows, worker
from tests.rules_engine.incident_house import T0, step

SMOKE = "multi-b1-0.smoke"
BOOTED_US = T0 - 60 * SECOND_US  # true time at which the gateway's monotonic and its wall clock stood at zero


def in_1970(at_us: int) -> int:
    return at_us - BOOTED_US


def sent(number: int, body, true_us: int) -> UpEnvelope:
    """One live record of that gateway, half a second on its way."""
    record = Record(number, in_1970(true_us), in_1970(true_us), "boot-1970", body)
    return UpEnvelope(PATH, true_us + SECOND_US // 2, Batch(1, "gw-1", "e1", Lane.ALARM, (record,)))


def beat(true_us: int) -> UpEnvelope:
    return sent(0, HeartbeatRecord(in_1970(true_us), {}, 4, 4, wall_error_us=-1), true_us)


def fire_of_1970(true_us: int) -> AlarmRecord:
    moved = msgspec.structs.replace(step(), at_us=in_1970(true_us), onset_us=in_1970(true_us))
    shown = msgspec.structs.replace(reading(SMOKE, 1.4, 0), source_time_us=in_1970(true_us),
                                    receive_time_us=in_1970(true_us))
    return AlarmRecord(moved, (shown,))


def test_an_incident_of_a_boot_in_1970_stands_at_its_true_time():
    site = worker()
    site.step(beat(T0))
    again = worker()
    again.resume(site.checkpoint())
    for one in (site, again):
        effects = one.step(sent(1, fire_of_1970(T0 + 5 * SECOND_US), T0 + 5 * SECOND_US))
        (row,) = rows(effects, IncidentRow)
        assert abs(row.view.opened_us - (T0 + 5 * SECOND_US)) <= SECOND_US
        assert all(abs(sample.at_us - T0) <= 10 * SECOND_US for plot in row.view.plots for sample in plot.samples)
        assert any("known to" in alarm.detail for alarm in row.view.alarms), "the error is stated"
    assert site.checkpoint() == again.checkpoint()


def test_lacks_of_a_boot_in_1970_stand_at_their_true_time():
    site = worker()
    site.step(beat(T0))
    lack = Impairment(ImpairmentKind.LINE_DOWN, "l1", in_1970(T0 + SECOND_US))
    effects = site.step(sent(1, ImpairmentRecord(ImpairmentChange(lack)), T0 + SECOND_US))
    (row,) = rows(effects, ImpairmentRow)
    assert row.view is not None and abs(row.view.impairment.since_us - T0 - SECOND_US) <= SECOND_US


@pytest.mark.parametrize("error_us", [-1, 5_000])
def test_the_heartbeat_of_a_gateway_says_whether_its_clock_was_set(error_us):
    book = ClockBook()
    record = Record(0, 1, 1, "b", HeartbeatRecord(1, {}, wall_error_us=error_us))
    book.correct(Batch(1, "gw-1", "e", Lane.ALARM, (record,)), (record,), T0)
    (clock,) = book.boots.values()
    assert clock.error_us == error_us
