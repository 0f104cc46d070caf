"""Who may do what: the table of roles, whole labels of paths, and the navigation that follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.kit.navigation import NAVIGATION, destinations
from dashboards.kit.texts import text
from dashboards.people import VISITOR, Person
from dashboards.rights import ROLES, Deed, End, covers, end_of, may

SITE = "hangzhou/yuhang/cangqian/riverside"


@pytest.mark.parametrize(("role", "deed", "allowed"), [
    ("brigade", Deed.DISPATCH, True), ("brigade", Deed.APPROVE_PERMIT, False), ("brigade", Deed.CLAIM_GATEWAY, False),
    ("officer", Deed.APPROVE_PERMIT, True), ("officer", Deed.DISPATCH, False), ("officer", Deed.SILENCE, False),
    ("property", Deed.CLAIM_GATEWAY, True), ("property", Deed.APPROVE_PERMIT, False),
    ("contractor", Deed.WALK_TEST, True), ("contractor", Deed.CLAIM_GATEWAY, False),
    ("contractor", Deed.CLOSE, False),
    ("resident", Deed.SEE_OWN_BUILDING, True), ("resident", Deed.SEE_BOARD, False), ("tester", Deed.SIMULATE, True),
    ("tester", Deed.ACKNOWLEDGE, False), ("auditor", Deed.SEE_AUDIT, True), ("auditor", Deed.ACKNOWLEDGE, False),
    ("desk", Deed.ANSWER_DUTY, True), ("admin", Deed.ADMINISTER, True), ("cook", Deed.SEE_BOARD, False),
    ("cook", Deed.REPORT_HAZARD, False), ("", Deed.OWN_ACCOUNT, False),
])
def test_roles(role: str, deed: Deed, allowed: bool) -> None:
    assert may(Person("p", role, "hangzhou"), deed, SITE) is allowed
    assert may(Person("p", role, "hangzhou"), deed) is allowed


@pytest.mark.parametrize(("scope", "path", "covered"), [
    ("", SITE, True), ("hangzhou/yuhang", SITE, True), (SITE, SITE, True), ("hangzhou/yu", SITE, False),
    (SITE, "hangzhou", False), ("hangzhou/yuhang/", SITE, False), ("beijing", SITE, False),
])
def test_a_scope_covers_whole_labels(scope: str, path: str, covered: bool) -> None:
    assert covers(scope, path) is covered
    assert may(Person("p", "brigade", scope), Deed.SEE_BOARD, path) is covered


LABELS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4)


@given(LABELS, LABELS, st.sampled_from(sorted(ROLES)), st.sampled_from(sorted(Deed)))
def test_nobody_reaches_beyond_the_scope(scope: list[str], path: list[str], role: str, deed: Deed) -> None:
    inside = path[:len(scope)] == scope
    assert not may(Person("p", role, "/".join(scope)), deed, "/".join(path)) or inside


def test_only_the_admin_changes_accounts() -> None:
    assert [role for role in ROLES if may(Person("p", role), Deed.ADMINISTER)] == ["admin"]
    assert not may(VISITOR, Deed.ADMINISTER) and not may(VISITOR, Deed.OWN_ACCOUNT) and may(VISITOR, Deed.SEE_BOARD)


def test_ends() -> None:
    assert end_of(Person("p", "brigade")) is End.GOVERNMENT and end_of(Person("p", "resident")) is End.CITIZEN
    assert end_of(Person("p", "property")) is End.BUSINESS and end_of(Person("p", "cook")) is End.CITIZEN


def test_the_navigation_names_pages_once_and_in_both_languages() -> None:
    assert len({entry.path for entry in NAVIGATION}) == len(NAVIGATION)
    for entry in NAVIGATION:
        assert text(entry.text, "en") != text(entry.text, "zh")
    assert destinations(Person("p", "cook")) == ()
    assert [entry.path for entry in destinations(Person("p", "brigade"))][:1] == ["/board"]
