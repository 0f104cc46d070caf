"""A broken or hostile gateway: it may spoil its own site's pages, never the cloud, and never hide an alarm."""

from __future__ import annotations

import pytest

from community_os.envelopes import decode_envelope, encode_envelope
from community_os.store import IncidentStore
from community_os.store_changes import AuditRow, IncidentRow, OutcomeRow, SiteCommit
from device_model.alarm import AlarmState
from device_model.command import CommandKind, CommandOutcome, CommandResult
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import (
    AlarmRecord,
    Body,
    CommandResultRecord,
    ImpairmentRecord,
    Lane,
    LossRecord,
    OutputRecord,
)
from device_model.read_models import IncidentAction
from tests.community_os.site_messages import PATH, act, heartbeat, only_incident, reading, rows, up, worker
from tests.rules_engine.incident_house import step

KV_VALUE_MAX = 1024 * 1024
FAR = 2**64 - 1
LONG = "火" * 30_000
BODIES: dict[str, Body] = {
    "alarm": AlarmRecord(step(at_us=FAR, onset_us=FAR, detail=LONG, points=tuple(f"p{n}" for n in range(5000)))),
    "impairment": ImpairmentRecord(ImpairmentChange(
        Impairment(ImpairmentKind.ISOLATED, "multi-b1-0", FAR, why=LONG, expires_us=FAR))),
    "end": ImpairmentRecord(ImpairmentChange(Impairment(ImpairmentKind.SILENT, "multi-b1-0", 1), FAR)),
    "result": CommandResultRecord(CommandResult(
        "c", CommandKind.ISOLATE, "d", CommandOutcome.APPLIED, FAR, detail="a\0b")),
    "output": OutputRecord("bell", True, LONG, FAR),
    "loss": LossRecord("e1", Lane.ALARM, ((1, 2),) * 5000, LONG, FAR),
}


@pytest.mark.parametrize("name", BODIES)
def test_times_and_texts_that_no_column_holds_do_not_stop_the_store(name: str) -> None:
    store = IncidentStore("sqlite://")
    store.open()
    site = worker()
    changes = []
    for number, body in enumerate((BODIES["alarm"], BODIES[name]), 1):
        effects = site.step(decode_envelope(encode_envelope(up(body, first=number))))
        changes += effects.changes
    assert store.apply([SiteCommit(PATH, 1, tuple(changes))]) == 1
    assert not any("\0" in row.detail or len(row.detail) > 2500 for row in rows(effects, AuditRow))
    store.close()


def test_an_alarm_with_nonsense_in_it_is_still_an_incident() -> None:
    assert rows(worker().step(up(BODIES["alarm"])), IncidentRow)


def test_long_texts_do_not_outgrow_the_checkpoint() -> None:
    site = worker()
    for number in range(1, 60):
        site.step(up(AlarmRecord(step(at_s=number, detail=LONG)), first=number, at_s=number))
    assert len(site.checkpoint()) < KV_VALUE_MAX


def test_names_of_journals_that_no_journal_has_do_not_outgrow_the_checkpoint() -> None:
    site = worker()
    for number in range(1, 40):
        site.step(up(LossRecord(f"{number}{LONG}", Lane.ALARM, ((1, 5),), LONG, 1), heartbeat(
            number, alarm=(f"{number}{LONG}", 2**53 - 1)), first=number, at_s=number))
    assert len(site.checkpoint()) < KV_VALUE_MAX


def test_a_gateway_clock_that_ran_ahead_does_not_hide_a_bad_point() -> None:
    """Law 3: "false" is refused while a point is bad, also after the gateway's clock was set back to the truth."""
    site = worker()
    smoke = "multi-b1-0.smoke"
    incident = only_incident(site.step(up(AlarmRecord(step(), (reading(smoke, 1.4, 86_400),)))))
    site.step(up(AlarmRecord(step(state=AlarmState.CLEARED, at_s=10, onset_s=0), (reading(smoke, None, 10),)),
                 first=2, at_s=10))
    (outcome,) = rows(site.step(act(incident, IncidentAction.FALSE_ALARM, 11)), OutcomeRow)
    assert not outcome.outcome.done and outcome.outcome.law == 3
