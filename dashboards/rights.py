"""Who may do what, and where: the one place that decides it for pages, streams and exports.

    Person(role, scope) ──► may(person, deed, path)        role: what somebody does
                              │         │      └ tenancy path "city/district/street/site", or above
                              │         └ Deed: one thing that a page or a route lets people do
                              └ scope: the part of the tenancy that they see ("" is all)

A scope covers a path when it is a prefix of it by whole labels: `hangzhou/yu` does not cover `hangzhou/yuhang`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from dashboards.people import VISITOR, Person
from device_model.read_models import IncidentAction


class Deed(StrEnum):
    """One thing that somebody may be allowed to do."""

    SEE_BOARD = "see_board"
    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    DISPATCH = "dispatch"
    VERIFY = "verify"
    CLOSE = "close"
    MERGE = "merge"
    SHELVE = "shelve"
    DRILL = "drill"
    ANSWER_DUTY = "answer_duty"
    CHANGE_ROTA = "change_rota"
    INSPECT = "inspect"
    SEE_EVIDENCE = "see_evidence"
    SEE_PERMITS = "see_permits"
    ASK_PERMIT = "ask_permit"
    APPROVE_PERMIT = "approve_permit"
    ISSUE_NOTICE = "issue_notice"
    SEE_OVERVIEW = "see_overview"
    SEE_REPORTS = "see_reports"
    SET_PARAMETERS = "set_parameters"
    SEE_DEVICES = "see_devices"
    MAINTAIN = "maintain"
    CLAIM_GATEWAY = "claim_gateway"
    INSTALL = "install"
    CONFIGURE = "configure"
    BIND = "bind"
    WALK_TEST = "walk_test"
    SIMULATE = "simulate"
    LABEL_PICTURES = "label_pictures"
    SEE_ENVIRONMENT = "see_environment"
    SEE_OWN_BUILDING = "see_own_building"
    REPORT_HAZARD = "report_hazard"
    SEE_AUDIT = "see_audit"
    EXPORT = "export"
    ADMINISTER = "administer"
    OWN_ACCOUNT = "own_account"


class End(StrEnum):
    """Which end of the community OS somebody stands at."""

    GOVERNMENT = "G"
    BUSINESS = "B"
    CITIZEN = "C"


_ALL_SIGNED_IN = frozenset({Deed.OWN_ACCOUNT, Deed.SEE_ENVIRONMENT, Deed.REPORT_HAZARD, Deed.SEE_OWN_BUILDING})
_WATCH = frozenset({Deed.SEE_BOARD, Deed.SEE_DEVICES, Deed.SEE_PERMITS, Deed.SEE_OVERVIEW})
_DUTY = frozenset({Deed.ACKNOWLEDGE, Deed.VERIFY, Deed.CLOSE, Deed.ANSWER_DUTY, Deed.SEE_EVIDENCE, Deed.MERGE})
_INSTALL = frozenset({Deed.INSTALL, Deed.CONFIGURE, Deed.BIND, Deed.WALK_TEST, Deed.MAINTAIN})

# What each role may do within its scope. A role that is not here may do nothing.
ROLES: dict[str, tuple[End, frozenset[Deed]]] = {
    "property": (End.BUSINESS, _WATCH | _DUTY | _INSTALL | {
        Deed.SILENCE, Deed.SHELVE, Deed.DRILL, Deed.CHANGE_ROTA, Deed.INSPECT, Deed.ASK_PERMIT, Deed.SEE_REPORTS,
        Deed.CLAIM_GATEWAY, Deed.LABEL_PICTURES, Deed.EXPORT}),
    "contractor": (End.BUSINESS, _INSTALL | {Deed.SEE_BOARD, Deed.SEE_DEVICES, Deed.INSPECT, Deed.LABEL_PICTURES}),
    "resident": (End.CITIZEN, frozenset()),
    "brigade": (End.GOVERNMENT, _WATCH | _DUTY | {Deed.SILENCE, Deed.DISPATCH, Deed.DRILL, Deed.INSPECT}),
    "desk": (End.GOVERNMENT, _WATCH | _DUTY | {
        Deed.SILENCE, Deed.DISPATCH, Deed.SHELVE, Deed.DRILL, Deed.CHANGE_ROTA, Deed.INSPECT, Deed.SEE_REPORTS}),
    "officer": (End.GOVERNMENT, _WATCH | {
        Deed.ACKNOWLEDGE, Deed.VERIFY, Deed.SEE_EVIDENCE, Deed.INSPECT, Deed.ASK_PERMIT, Deed.APPROVE_PERMIT,
        Deed.ISSUE_NOTICE,         Deed.SEE_REPORTS, Deed.SET_PARAMETERS, Deed.EXPORT}),
    "tester": (End.BUSINESS, frozenset({Deed.SIMULATE, Deed.SEE_BOARD, Deed.SEE_DEVICES, Deed.WALK_TEST})),
    "auditor": (End.GOVERNMENT, frozenset({
        Deed.SEE_AUDIT, Deed.EXPORT, Deed.SEE_REPORTS, Deed.SEE_BOARD, Deed.SEE_OVERVIEW})),
    "admin": (End.GOVERNMENT, frozenset(Deed)),
    # Who looks at the demo on loopback: everything to try, nobody's account to change.
    "demo": (End.GOVERNMENT, frozenset(Deed) - {Deed.ADMINISTER, Deed.OWN_ACCOUNT}),
}


def covers(scope: str, path: str) -> bool:
    """Whether a scope is the path or stands above it, by whole labels."""
    return scope in ("", path) or path.startswith(scope + "/")


def may(person: Person, deed: Deed, path: str = "") -> bool:
    """Whether a person may do that at a tenancy path. path "": anywhere within the person's own scope, as for a page
    that then shows what each of its rows allows."""
    role = ROLES.get(person.role)
    if role is None or (deed not in role[1] and (deed not in _ALL_SIGNED_IN or person.role == VISITOR.role)):
        return False
    return path == "" or covers(person.scope, path)


def end_of(person: Person) -> End:
    """The end at which somebody stands; who has no known role stands with the citizens."""
    role = ROLES.get(person.role)
    return End.CITIZEN if role is None else role[0]


# What a click on an incident needs.
DEED_OF_ACTION: dict[IncidentAction, Deed] = {
    IncidentAction.ACKNOWLEDGE: Deed.ACKNOWLEDGE, IncidentAction.CONFIRM: Deed.VERIFY,
    IncidentAction.DISPATCH: Deed.DISPATCH, IncidentAction.ON_SCENE: Deed.ACKNOWLEDGE,
    IncidentAction.RESOLVE: Deed.CLOSE, IncidentAction.FALSE_ALARM: Deed.CLOSE, IncidentAction.CLOSE: Deed.CLOSE,
    IncidentAction.REOPEN: Deed.ACKNOWLEDGE, IncidentAction.NOTE: Deed.ACKNOWLEDGE,
}
# What a deed of `device_model.incident_deeds` needs, by its tag; any other: what an acknowledgement needs.
DEED_OF_TAG: dict[str, Deed] = {
    "merge": Deed.MERGE, "split": Deed.MERGE, "verify": Deed.VERIFY, "give_task": Deed.VERIFY,
    "take_in": Deed.VERIFY, "start_drill": Deed.DRILL,
}


def deed_of(deed: msgspec.Struct) -> Deed:
    """What somebody must be allowed to do for a deed of an incident."""
    return DEED_OF_TAG.get(str(deed.__struct_config__.tag), Deed.ACKNOWLEDGE)
