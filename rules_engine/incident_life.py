"""Life of an incident as one transition table, and the small tables that decide grouping and verification.

            ┌────────── confirm ─────────┐
    new ────┤                            ▼
      │     └─ dispatch ► dispatched ◄─ confirmed        acknowledged and verification are fields beside
      │                       │            │             the life, never stages of it (law 1): nothing has
      │  false_alarm          ▼            ▼             to wait for them.
      │                    on_scene ──► resolved ──► closed
      ▼                                    │            │
    false ──────── reopen, or an alarm ────┴────────────┴──► reopened (goes on like new)

`next_incident_state` only looks the table up. Laws are not in the table: `incident.py` asks them before.
"""

from __future__ import annotations

from device_model.alarm import Hazard
from device_model.read_models import IncidentAction, IncidentState, Verification

S, A = IncidentState, IncidentAction

# States in which nobody works on the incident any more.
ENDED: frozenset[IncidentState] = frozenset({S.FALSE, S.CLOSED})
# States in which an unanswered or verified incident stands in the dispatch queue.
BEFORE_DISPATCH: frozenset[IncidentState] = frozenset({S.NEW, S.REOPENED, S.CONFIRMED})
# Nobody has said yet what it is.
UNANSWERED: frozenset[IncidentState] = frozenset({S.NEW, S.REOPENED})

# (state, action) → next state. What is not listed is refused. Dispatch and arrival need no confirmation first,
# because verification may never delay (law 1).
TRANSITIONS: dict[tuple[IncidentState, IncidentAction], IncidentState] = {
    (S.NEW, A.CONFIRM): S.CONFIRMED,
    (S.NEW, A.DISPATCH): S.DISPATCHED,
    (S.NEW, A.ON_SCENE): S.ON_SCENE,
    (S.NEW, A.FALSE_ALARM): S.FALSE,
    (S.NEW, A.CLOSE): S.CLOSED,
    (S.REOPENED, A.CONFIRM): S.CONFIRMED,
    (S.REOPENED, A.DISPATCH): S.DISPATCHED,
    (S.REOPENED, A.ON_SCENE): S.ON_SCENE,
    (S.REOPENED, A.FALSE_ALARM): S.FALSE,
    (S.REOPENED, A.CLOSE): S.CLOSED,
    (S.CONFIRMED, A.DISPATCH): S.DISPATCHED,
    (S.CONFIRMED, A.ON_SCENE): S.ON_SCENE,
    (S.CONFIRMED, A.RESOLVE): S.RESOLVED,
    (S.CONFIRMED, A.FALSE_ALARM): S.FALSE,
    (S.CONFIRMED, A.CLOSE): S.CLOSED,
    (S.DISPATCHED, A.ON_SCENE): S.ON_SCENE,
    (S.DISPATCHED, A.RESOLVE): S.RESOLVED,
    (S.DISPATCHED, A.FALSE_ALARM): S.FALSE,
    (S.DISPATCHED, A.CLOSE): S.CLOSED,
    (S.ON_SCENE, A.RESOLVE): S.RESOLVED,
    (S.ON_SCENE, A.FALSE_ALARM): S.FALSE,
    (S.ON_SCENE, A.CLOSE): S.CLOSED,
    (S.RESOLVED, A.CLOSE): S.CLOSED,
    (S.RESOLVED, A.FALSE_ALARM): S.FALSE,
    (S.RESOLVED, A.REOPEN): S.REOPENED,
    (S.FALSE, A.CLOSE): S.CLOSED,
    (S.FALSE, A.REOPEN): S.REOPENED,
    (S.CLOSED, A.REOPEN): S.REOPENED,
}
# Actions that leave the state alone and are possible while the incident is open (NOTE also afterwards).
FIELD_ACTIONS: frozenset[IncidentAction] = frozenset({A.ACKNOWLEDGE, A.NOTE})
# Law 3: refused while a point is in alarm, bad or silent and not isolated.
ENDING_ACTIONS: frozenset[IncidentAction] = frozenset({A.FALSE_ALARM, A.CLOSE})
# Nobody may end, reopen or note something without saying why.
REASON_REQUIRED: frozenset[IncidentAction] = ENDING_ACTIONS | {A.REOPEN, A.NOTE}

# What the timeline calls each action.
LOG_WORD: dict[IncidentAction, str] = {
    A.ACKNOWLEDGE: "acknowledged",
    A.CONFIRM: "confirmed",
    A.DISPATCH: "dispatched",
    A.ON_SCENE: "on_scene",
    A.RESOLVE: "resolved",
    A.FALSE_ALARM: "false",
    A.CLOSE: "closed",
    A.REOPEN: "reopened",
    A.NOTE: "note",
}


def next_incident_state(state: IncidentState, action: IncidentAction) -> IncidentState | None:
    """The state that follows, or None where the table refuses."""
    if action in FIELD_ACTIONS:
        return None if action is A.ACKNOWLEDGE and state in ENDED else state
    return TRANSITIONS.get((state, action))


# Hazards of one cause make one incident: smoke, heat, CO and the call point of one fire belong together.
FAMILY: dict[Hazard, str] = {
    Hazard.FIRE: "fire", Hazard.CALL_POINT: "fire", Hazard.CO: "fire",
    Hazard.GAS_HIGH: "gas", Hazard.GAS: "gas",
}
# These spread from zone to zone of a building: a further zone joins the incident (and notifies again, law 2).
SPREADING: frozenset[str] = frozenset({"fire", "gas"})
# What the incident is called when it holds alarms of several hazards: the first of these.
HAZARD_ORDER: tuple[Hazard, ...] = (
    Hazard.FIRE, Hazard.CALL_POINT, Hazard.GAS_HIGH, Hazard.CO,
    *(h for h in Hazard if h not in (Hazard.FIRE, Hazard.CALL_POINT, Hazard.GAS_HIGH, Hazard.CO)),
)
# Verification only moves rightwards in this order.
VERIFICATION_ORDER: tuple[Verification, ...] = (
    Verification.NONE, Verification.SECOND_DETECTOR, Verification.FLOW_SWITCH, Verification.CAMERA,
    Verification.CALL_POINT, Verification.PERSON,
)
# Two criteria of one detector (smoke and heat) verify each other; two points of one criterion do not.
CRITERION: dict[str, str] = {
    "smoke_alarm": "smoke", "obscuration": "smoke", "fire_alarm": "smoke",
    "heat_alarm": "heat", "temperature": "heat",
    "co": "co", "co_alarm": "co", "co_mass": "co",
}


def family_of(hazard: Hazard) -> str:
    """The cause family: one of FAMILY's, else the hazard's own name."""
    return FAMILY.get(hazard, hazard.value)


def graver_hazard(one: Hazard, other: Hazard) -> Hazard:
    """The one that names the incident."""
    return min(one, other, key=HAZARD_ORDER.index)


def stronger_verification(one: Verification, other: Verification) -> Verification:
    """The stronger of two: verification never falls."""
    return max(one, other, key=VERIFICATION_ORDER.index)
