"""Envelopes of the small estate of `tests/rules_engine/incident_house.py`, for tests of the cloud's worker."""

from __future__ import annotations

from community_os.envelopes import ActEnvelope, UpEnvelope
from community_os.site_setup import SiteSetup
from community_os.site_worker import Effects, SiteWorker
from device_model.alarm import AlarmTransition
from device_model.clock import SECOND_US
from device_model.messages import Batch, Body, HeartbeatRecord, Lane, Record
from device_model.read_models import IncidentAction
from device_model.reading import Quality, Reading, Reason
from tests.rules_engine.incident_house import INVENTORY, T0, T

PATH = T.path


def setup() -> SiteSetup:
    """The estate without rules: the gateway decides all."""
    return SiteSetup(INVENTORY, None)


def worker() -> SiteWorker:
    return setup().worker(T0)


def up(*bodies: Body, first: int = 1, at_s: float = 0, lane: Lane = Lane.ALARM, epoch: str = "e1",
       gateway: str = "gw-1", backlog: bool = False) -> UpEnvelope:
    """One batch with records numbered from `first` (heartbeats 0), arrived at T0 + at_s."""
    at_us = T0 + round(at_s * SECOND_US)
    records, number = [], first
    for body in bodies:
        if isinstance(body, HeartbeatRecord):
            records.append(Record(0, at_us, at_us, "b", body))
        else:
            records.append(Record(number, at_us, at_us, "b", body))
            number += 1
    return UpEnvelope(PATH, at_us, Batch(1, gateway, epoch, lane, tuple(records), backlog))


def act(incident: str, action: IncidentAction, at_s: float = 0, *, request: str = "r1", why: str = "seen",
        who: str = "Li") -> ActEnvelope:
    return ActEnvelope(PATH, incident, action, who, why, request, T0 + round(at_s * SECOND_US))


def reading(point: str, value: float | None, at_s: float, *, received_s: float | None = None) -> Reading:
    at_us = T0 + round(at_s * SECOND_US)
    received_us = at_us if received_s is None else T0 + round(received_s * SECOND_US)
    unit = INVENTORY.points[point].unit
    if value is None:
        return Reading(point, None, unit, Quality.BAD, Reason.SILENT, at_us, received_us)
    return Reading(point, value, unit, source_time_us=at_us, receive_time_us=received_us)


def heartbeat(at_s: float = 0, **last: tuple[str, int]) -> HeartbeatRecord:
    return HeartbeatRecord(T0 + round(at_s * SECOND_US), last, 4, 4)


def rows(effects: Effects, kind: type) -> list:
    """The changes of one kind."""
    return [change for change in effects.changes if isinstance(change, kind)]


def only_incident(effects: Effects) -> str:
    """The id of the incident that was stored."""
    from community_os.store_changes import IncidentRow

    (row,) = {row.id for row in rows(effects, IncidentRow)}
    return str(row)


__all__ = ["AlarmTransition"]
