"""Where a person can go: one list, which every page draws for those who may. Each entry names a text, not a title."""

from __future__ import annotations

import msgspec

from dashboards.people import Person
from dashboards.rights import Deed, may


class Destination(msgspec.Struct, frozen=True):
    """One page of the navigation. text: a key of the texts."""

    path: str
    text: str
    deed: Deed


NAVIGATION: tuple[Destination, ...] = (
    Destination("/board", "nav.board", Deed.SEE_BOARD),
    Destination("/map", "nav.map", Deed.SEE_BOARD),
    Destination("/desk", "nav.desk", Deed.VERIFY),
    Destination("/register", "nav.register", Deed.SEE_BOARD),
    Destination("/handover", "nav.handover", Deed.SEE_BOARD),
    Destination("/station", "nav.station", Deed.ACKNOWLEDGE),
    Destination("/overview", "nav.overview", Deed.SEE_OVERVIEW),
    Destination("/hot-work", "nav.hot_work", Deed.SEE_PERMITS),
    Destination("/permits", "nav.permits", Deed.SEE_PERMITS),
    Destination("/reports", "nav.reports", Deed.SEE_REPORTS),
    Destination("/packs", "nav.packs", Deed.SEE_OVERVIEW),
    Destination("/environment", "nav.environment", Deed.SEE_ENVIRONMENT),
    Destination("/claim", "nav.claim", Deed.CLAIM_GATEWAY),
    Destination("/walk-tests", "nav.walks", Deed.SEE_DEVICES),
    Destination("/my-sites", "nav.my_sites", Deed.MAINTAIN),
    Destination("/building", "nav.building", Deed.SEE_OWN_BUILDING),
    Destination("/people", "nav.people", Deed.ADMINISTER),
    Destination("/channels", "nav.channels", Deed.ADMINISTER),
    Destination("/audit", "nav.audit", Deed.SEE_AUDIT),
    Destination("/account", "nav.account", Deed.OWN_ACCOUNT),
)


def destinations(person: Person) -> tuple[Destination, ...]:
    """Those that a person may open, in the order of the list."""
    return tuple(entry for entry in NAVIGATION if may(person, entry.deed))
