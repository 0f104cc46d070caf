"""A hostile reading of laws 1 and 2, as tests of the incident book."""

from __future__ import annotations

import msgspec
import pytest

from device_model.alarm import AlarmState, Hazard
from device_model.clock import SECOND_US
from device_model.impairment import Impairment, ImpairmentKind
from device_model.read_models import IncidentAction
from tests.rules_engine.incident_house import T0, book, step

DAY_S = 86_400
NOW = T0 + 200 * SECOND_US


def test_a_gateway_clock_that_runs_ahead_does_not_prolong_the_time_to_answer() -> None:
    """Law 1: those unanswered past the site's limit (120 s here) enter the dispatch queue."""
    incidents = book()
    incidents.apply(step(at_s=DAY_S), T0)
    assert incidents.due_us() == T0 + 120 * SECOND_US
    assert [change.what for change in incidents.tick(NOW)] == ["queued"]


def test_a_new_zone_told_by_a_clock_that_runs_ahead_is_owed_an_answer_from_now() -> None:
    incidents = book()
    incidents.apply(step(at_s=0), T0)
    (incident,) = incidents.open_incidents()
    incidents.act(incident.id, IncidentAction.ACKNOWLEDGE, who="Li", why="", request="r", at_us=T0 + SECOND_US)
    incidents.apply(step("b1-1", at_s=DAY_S), T0 + 2 * SECOND_US)
    assert incident.unanswered_us == T0 + 2 * SECOND_US


def test_another_detector_of_the_zone_is_told_anew_when_what_was_acknowledged_is_over() -> None:
    """Burnt toast, acknowledged, reset on site, never closed; a day later the zone burns: somebody must hear."""
    incidents = book()
    for detector in ("multi-b1-0", "multi2-b1-0"):  # verified by a second detector, so that no verification is news
        incidents.apply(step(device=detector), T0)
    (incident,) = incidents.open_incidents()
    incidents.act(incident.id, IncidentAction.ACKNOWLEDGE, who="Li", why="", request="r", at_us=T0 + SECOND_US)
    for detector in ("multi-b1-0", "multi2-b1-0"):
        incidents.apply(step(device=detector, state=AlarmState.CLEARED, at_s=60, onset_s=0), T0 + 60 * SECOND_US)
    changes = incidents.apply(step(hazard=Hazard.CO, at_s=DAY_S), T0 + DAY_S * SECOND_US)
    assert "raised_again" in [change.what for change in changes if change.notify]
    assert not incident.acknowledged_us and incidents.open_incidents() == (incident,)


def test_a_second_detector_beside_one_that_stands_does_not_undo_the_acknowledgement() -> None:
    incidents = book()
    incidents.apply(step(), T0)
    (incident,) = incidents.open_incidents()
    incidents.act(incident.id, IncidentAction.ACKNOWLEDGE, who="Li", why="", request="r", at_us=T0 + SECOND_US)
    incidents.apply(step(device="multi2-b1-0", at_s=5), T0 + 5 * SECOND_US)
    assert incident.acknowledged_by == "Li"


@pytest.mark.parametrize("lacking", ["who", "why", "expires_us"])
def test_an_isolation_without_name_reason_or_end_excuses_nothing(lacking: str) -> None:
    """Law 3: "close" is refused while a point is in alarm, unless it is isolated with name, reason and expiry."""
    incidents = book()
    incidents.apply(step(), T0)
    (incident,) = incidents.open_incidents()
    whole = Impairment(ImpairmentKind.ISOLATED, "multi-b1-0", T0, who="Li", why="painting", expires_us=NOW)
    for isolation, done in ((msgspec.structs.replace(whole, **{lacking: type(getattr(whole, lacking))()}), False),
                            (whole, True)):
        incidents.impairment(isolation, ended=False, at_us=T0)
        result = incidents.act(incident.id, IncidentAction.CLOSE, who="Li", why="gone", request=str(done), at_us=T0)
        assert result.outcome.done is done
