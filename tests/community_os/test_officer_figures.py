"""Figures of sites and districts: counts, league, risk and days out of small, known histories."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from community_os.officer_figures import (
    Gathered,
    IncidentFact,
    days_of,
    ended_incidents,
    lacks_of,
    parts_below,
    summed,
    within,
)
from community_os.officer_store import OfficerStore
from community_os.risk import risk_of
from community_os.store import IncidentStore
from dashboards.officer import PlaceFigures
from device_model.clock import SECOND_US
from device_model.impairment import Impairment, ImpairmentKind
from device_model.read_models import BoardSnapshot, ImpairmentView
from device_model.site import Tenancy, Text

NOW = 1_772_499_600_000_000  # 2026-03-03 09:00 in Shanghai
NAME = Text("a", "甲")
SHANGHAI = ZoneInfo("Asia/Shanghai")


def fact(path: str, ago_s: int, taken_s: int = 60, *, state: str = "closed", hazard: str = "fire",
         drill: bool = False) -> IncidentFact:
    opened = NOW - ago_s * SECOND_US
    return IncidentFact(path, hazard, state, opened, opened + 10 * SECOND_US, opened + taken_s * SECOND_US, drill)


def test_streets_sum_their_sites_and_take_the_worst_risk() -> None:
    sites = {path: PlaceFigures(path, NAME, 1, expected=10, people=5 if path[-1] == "x" else None, risk=risk)
             for path, risk in (("c/d/s/x", 20.0), ("c/d/s/y", 70.0), ("c/d/t/z", 5.0))}
    past = [fact("c/d/s/x", 100, 60), fact("c/d/s/y", 200, 180), fact("c/d/t/z", 300, 600)]
    streets = parts_below("c/d", sites, past)
    assert [(part.path, part.sites, part.expected, part.risk, part.handled_s) for part in streets] == [
        ("c/d/s", 2, 20, 70.0, 120.0), ("c/d/t", 1, 10, 5.0, 600.0)]
    assert streets[0].people == 5 and streets[1].people is None
    assert [part.path for part in parts_below("c/d/s", sites, past)] == ["c/d/s/x", "c/d/s/y"]


def test_drills_count_nowhere() -> None:
    whole = summed("c", NAME, [PlaceFigures("c/d/s/x", NAME, 1)], [fact("c/d/s/x", 100, 60, drill=True)])
    assert whole.handled_s is None
    assert sum(day.fire for day in days_of([fact("c/d/s/x", 100, drill=True)], NOW, SHANGHAI)) == 0


def test_days_are_local_and_empty_days_are_there() -> None:
    past = [fact("p", 9 * 3600 + 60), fact("p", 60, hazard="co"), fact("p", 90, hazard="water", state="false")]
    days = days_of(past, NOW, SHANGHAI)
    assert len(days) == 30 and days[-1].at_us == NOW - 9 * 3600 * SECOND_US
    assert (days[-2].fire, days[-1].gas, days[-1].other, days[-1].false_alarms) == (1, 1, 1, 1)


@pytest.mark.parametrize(("figures", "risk"), [
    ({}, 0.0), ({"life_safety": 1, "open": 1}, 40.0), ({"open": 5}, 30.0), ({"silent": 1, "unproven": 1}, 30.0),
    ({"impairments": 3, "unwatched": 1}, 7.0), ({"expected": 10, "connected": 5}, 10.0),
    ({"overdue_checks": 9}, 20.0)])
def test_risk_is_the_stated_sum(figures: dict[str, int], risk: float) -> None:
    assert risk_of(PlaceFigures("p", NAME, 1, **figures)) == risk


@given(st.dictionaries(st.sampled_from([f.name for f in msgspec.structs.fields(PlaceFigures) if f.type is int]),
                       st.integers(0, 1000)))
def test_risk_never_leaves_its_scale(figures: dict[str, int]) -> None:
    figures["life_safety"] = min(figures.get("life_safety", 0), figures.get("open", 0))
    assert 0.0 <= risk_of(PlaceFigures("p", NAME, **{k: v for k, v in figures.items() if k != "risk"})) <= 100.0


def test_a_prefix_is_one_of_whole_labels() -> None:
    assert within("a/b/c/d", "a/b") and within("a/b/c/d", "") and not within("a/bc/c/d", "a/b")


def test_settings_are_kept_with_who_and_why_and_stand_in_the_audit_chain() -> None:
    store = IncidentStore("sqlite://")
    store.open()
    own = OfficerStore(store)
    own.put("parameter", "a/b/c/d", "fire.heat", b'{"x":"1"}', who="Li", why="dusty", at_us=NOW)
    own.put("parameter", "a/b/c/d", "fire.heat", b'{"x":"2"}', who="Li", why="dustier", at_us=NOW + 1)
    own.put("parameter", "a/b/c/e", "fire.heat", b"{}", who="Li", why="", at_us=NOW)
    assert [one.why for one in own.settings("parameter", "a/b/c/d")] == ["dustier", "dusty"]
    assert len(own.settings("parameter", "a/b")) == 3 and own.settings("publish") == ()
    report = store.verify_audit()
    assert report.entries == 3 and report.broken == ()


def gathered(*, incidents=(), lacks=()) -> Gathered:
    return Gathered(NOW, {}, BoardSnapshot(1, NOW, (), tuple(lacks), (), (), ()), (), (), (), incidents)


def test_what_league_and_trend_count_can_be_looked_at_one_by_one() -> None:
    facts = [msgspec.structs.replace(fact("c/d/s/x", ago, 60), id=f"i{ago}") for ago in (900, 300, 600)]
    still = msgspec.structs.replace(fact("c/d/s/x", 100), ended_us=0, id="open")
    found = ended_incidents(gathered(incidents=[*facts, still, fact("c/d/s/x", 50, drill=True)]))
    assert [one.id for one in found] == ["i300", "i600", "i900"] and found[0].acknowledged_us > found[0].opened_us


def test_what_does_not_protect_stands_first_where_nothing_is_done_about_it() -> None:
    tenancy = Tenancy("c", "d", "s", "x")
    lacks = [ImpairmentView(tenancy, NAME, NAME, Text("", "") if n else NAME, Impairment(
        ImpairmentKind.SILENT, f"d{n}", NOW - n, compensation=measure))
        for n, measure in enumerate(("guard", "", "", "guard"))]
    found = lacks_of(gathered(lacks=lacks))
    assert [(one.measure, NOW - one.since_us) for one in found] == [("", 2), ("", 1), ("guard", 3), ("guard", 0)]
    assert found[0].what.en == "d2" and found[-1].what == NAME and found[0].path == "c/d/s/x"
