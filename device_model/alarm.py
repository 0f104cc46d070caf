"""Alarm: what a rule found, and the life of it as one transition table (after ISA-18.2).

    inactive ──condition──► pending ──`for` over──► raised ──condition ends──► held ──`keep` over──► cleared
       ▲                      │                        ▲                        │                      │
       └──────condition ends──┘                        └───────condition────────┘                      │
       └───────────────────────────────────────────────────────────────────────────────────────────────┘
    A latching rule stays raised until a person resets it on site while its condition is over (law 3).

The table below is the life; `next_state` only looks it up, and the package README draws it.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """The ladder, lowest first."""

    NOTICE = "notice"
    WARNING = "warning"
    ALARM = "alarm"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for notice … 3 for critical."""
        return _RANK[self]


# Asked for each alarm of each view: looked up, not counted.
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


class Hazard(StrEnum):
    """What a rule guards against. Decides who is told, and whether law 2 applies."""

    FIRE = "fire"
    CALL_POINT = "call_point"
    GAS_HIGH = "gas_high"
    CO = "co"
    GAS = "gas"  # below the high level
    WATER = "water"
    FIRE_WATER = "fire_water"
    ELECTRICAL = "electrical"
    CHARGING = "charging"
    ENVIRONMENT = "environment"
    HOT_WORK = "hot_work"
    OCCUPANCY = "occupancy"
    CARE = "care"
    SECURITY = "security"
    FAULT = "fault"  # device fault, silence, low battery, tamper: impairments, not incidents
    PROOF = "proof"  # the daily synthetic alarm: proves the path, never mistaken for a real one


# Law 1 and 2: shown at once to all; no grouping wait, mute, silence, shelving or inhibition.
LIFE_SAFETY: frozenset[Hazard] = frozenset({Hazard.FIRE, Hazard.CALL_POINT, Hazard.GAS_HIGH, Hazard.CO})
# Law 3: these latch whatever the rule says.
ALWAYS_LATCHED: frozenset[Hazard] = LIFE_SAFETY
# These never open an incident: they stand in the impairment list or the proof log.
NEVER_INCIDENT: frozenset[Hazard] = frozenset({Hazard.FAULT, Hazard.PROOF})


class AlarmState(StrEnum):
    """Where an alarm is in its life."""

    INACTIVE = "inactive"
    PENDING = "pending"  # condition true, `for` not over
    RAISED = "raised"
    HELD = "held"  # condition over, `keep` not over
    CLEARED = "cleared"


class AlarmCause(StrEnum):
    """What moves an alarm."""

    CONDITION_TRUE = "condition_true"
    CONDITION_FALSE = "condition_false"  # the clear condition, where the rule has one
    CONDITION_UNKNOWN = "condition_unknown"  # missing or bad: never false (law 7)
    FOR_OVER = "for_over"
    KEEP_OVER = "keep_over"
    RESET = "reset"  # by a person, on site


S, C = AlarmState, AlarmCause
# (state, cause) → next state. What is not listed changes nothing.
TRANSITIONS: dict[tuple[AlarmState, AlarmCause], AlarmState] = {
    (S.INACTIVE, C.CONDITION_TRUE): S.PENDING,
    (S.PENDING, C.CONDITION_FALSE): S.INACTIVE,
    (S.PENDING, C.FOR_OVER): S.RAISED,
    # PENDING + UNKNOWN: stays pending; the timer runs on (missing is never false, law 7).
    (S.RAISED, C.CONDITION_FALSE): S.HELD,
    # RAISED + UNKNOWN: stays raised (law 3).
    (S.HELD, C.CONDITION_TRUE): S.RAISED,
    (S.HELD, C.CONDITION_UNKNOWN): S.RAISED,
    (S.HELD, C.KEEP_OVER): S.CLEARED,
    (S.CLEARED, C.CONDITION_TRUE): S.PENDING,
}
# A latched alarm in HELD ignores KEEP_OVER and waits for a RESET; a reset while the condition is true, unknown
# or the point bad is refused (law 3).
LATCHED_TRANSITIONS: dict[tuple[AlarmState, AlarmCause], AlarmState] = {
    **{key: value for key, value in TRANSITIONS.items() if key != (S.HELD, C.KEEP_OVER)},
    (S.HELD, C.RESET): S.CLEARED,
}


def next_state(state: AlarmState, cause: AlarmCause, *, latched: bool) -> AlarmState:
    """The state that follows; the same state where the table has no row."""
    table = LATCHED_TRANSITIONS if latched else TRANSITIONS
    return table.get((state, cause), state)


class AlarmKey(msgspec.Struct, frozen=True, order=True):
    """What an alarm is about: at most one alarm per key is open at a time.

    subject: a point ("smoke-301.smoke"), a zone ("zone:b1-301") or the site ("site"), as the rule is bound.
    """

    rule: str
    subject: str


class AlarmTransition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step in the life of an alarm: a fact, carried from edge to cloud and into the incident.

    alarm: deterministic id (`alarm_id`), equal wherever the same onset is decided.
    at_us: event time of the step, µs since 1970 UTC: the reading's source time or the timer's due time, not
        the moment of evaluation, so that a restart changes nothing.
    onset_us: event time at which the condition became true.
    points: the points whose readings were the cause, for the board's plot.
    detail: the values that decided, for people and for evidence ("obscuration 1.4 dB/m > 0.5 dB/m").
    late: decided from backlog older than the lateness bound: a finding, never a live alarm.
    """

    alarm: str
    key: AlarmKey
    state: AlarmState
    previous: AlarmState
    hazard: Hazard
    severity: Severity
    at_us: int
    onset_us: int
    zone: str = ""
    device: str = ""
    points: tuple[str, ...] = ()
    detail: str = ""
    latched: bool = False
    test: bool = False  # a device under test (law 6): shown as such everywhere
    drill: bool = False
    late: bool = False
    journaled: bool = True  # False: sent from memory, the disk did not take it (law 4)
    decided: str = "edge"  # "edge" or "cloud"
    # "permit:<id>": smoke under a permit for hot work. Told to its watcher and the control room instead of the
    # brigade while the work goes on; "" (law 1 as ever) as soon as it does not. Unanswered, it is queued as ever.
    audience: str = ""


def alarm_id(site_path: str, key: AlarmKey, onset_us: int) -> str:
    """A deterministic id: the same site, rule, subject and onset give the same 16 hex digits anywhere."""
    text = f"{site_path}|{key.rule}|{key.subject}|{onset_us}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
