"""What each role of a PIN may do on the gateway's own pages (pure): the one table that every route there asks.

    session_of(request, door, deed) ─► may_here(role, deed)        a deed that nobody listed is the property's alone

A contractor installs and tests: scans, binds, walks, puts a device under test (30 minutes at most, law 6). Accepting
the work, changing rules, disabling an alarm, taking a device out and making people stay with who owns the site. Local
duty answers alarms and looks at pictures. Whoever does or watches hot work does the permit's acts on site; a
contractor closes none.
"""

from __future__ import annotations

from enum import StrEnum


class LocalDeed(StrEnum):
    """One thing that a person may do on the gateway itself."""

    ACKNOWLEDGE = "acknowledge"
    SILENCE = "silence"
    RESET = "reset"
    SCAN = "scan"
    BIND = "bind"  # add a line, zone or device; place it; put another one of its model in its stead
    REMOVE = "remove"  # take a device out, give it another profile, go back a version
    TEST = "test"  # walk test, interlock test, test mode of one device
    PHOTO = "photo"
    ACCEPT = "accept"
    DISABLE = "disable"  # isolate, shelve, inhibit
    SWITCH = "switch"  # an output by hand
    PERMIT = "permit"  # hot work on site: gas sample, watcher, start, pause, resume, finish
    PERMIT_END = "permit_end"  # close it: the place is safe again
    LOOK = "look"  # pictures of the cameras that a sweep kept, and of now
    DRAW = "draw"  # zones and masks on a picture of now
    LABEL = "label"  # say what the cameras saw: clips that are kept to learn from
    PEOPLE = "people"
    OTHER = "other"


_DUTY = frozenset({LocalDeed.ACKNOWLEDGE, LocalDeed.SILENCE, LocalDeed.RESET, LocalDeed.PERMIT, LocalDeed.PERMIT_END,
                   LocalDeed.LOOK})
_INSTALL = frozenset({LocalDeed.SCAN, LocalDeed.BIND, LocalDeed.TEST, LocalDeed.PHOTO, LocalDeed.PERMIT,
                      LocalDeed.DRAW, LocalDeed.LABEL})

PROPERTY, CONTRACTOR, DUTY = "property", "contractor", "duty"
LOCAL_ROLES: dict[str, frozenset[LocalDeed]] = {
    PROPERTY: frozenset(LocalDeed), CONTRACTOR: _INSTALL, DUTY: _DUTY,
}
# What an action of the local page, or of the gateway's socket, needs; any other: the property's alone.
DEED_OF_ACTION: dict[str, LocalDeed] = {
    "acknowledge": LocalDeed.ACKNOWLEDGE, "silence": LocalDeed.SILENCE, "reset": LocalDeed.RESET,
    "test": LocalDeed.TEST, "restore": LocalDeed.DISABLE, "isolate": LocalDeed.DISABLE, "inhibit": LocalDeed.DISABLE,
    "shelve": LocalDeed.DISABLE, "on": LocalDeed.SWITCH, "off": LocalDeed.SWITCH,
}


def may_here(role: str, deed: LocalDeed) -> bool:
    """Whether somebody of that role may. A role that is not known may nothing."""
    return deed in LOCAL_ROLES.get(role, frozenset())


def deed_of_action(action: str) -> LocalDeed:
    """What an action needs."""
    return DEED_OF_ACTION.get(action, LocalDeed.OTHER)
