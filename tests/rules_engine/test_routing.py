"""Routing: the tree, its file, waiting and repeating, what holds back, and the class that nothing holds back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.alarm import LIFE_SAFETY, AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.clock import HOUR_US, SECOND_US
from device_model.errors import ConfigError, LawRefusal
from rules_engine.routing import ALARMS_MAX, Router
from rules_engine.routing_commands import check_routes, run_route_tests
from rules_engine.routing_file import duration_us, parse_routing
from rules_engine.routing_labels import RoutedSite, labels_of
from rules_engine.routing_match import Matcher, parse_matcher
from rules_engine.routing_record import Notification, Silence, Why
from rules_engine.routing_time import ClockText, IntervalText, parse_interval
from tests.rules_engine.incident_house import INVENTORY, T0, step

ROOT = Path(__file__).parents[2]
S = SECOND_US


def file(**more: object) -> str:
    content: dict[str, object] = {
        "receivers": [{"name": n, "party": n} for n in ("owner", "micro_station", "monitoring_desk", "brigade")]
        + [{"name": "p"}, {"name": "watch", "party": "watcher"}],
        "life_safety": ["owner", "micro_station", "monitoring_desk", "brigade"],
        "under_permit": ["watch"],
        "route": {"receiver": "p", "group_by": ["zone"], "group_wait": "10s", "group_interval": "1m",
                  "repeat_interval": "1h"},
    }
    return yaml.safe_dump(content | more, sort_keys=False)


def router(**more: object) -> Router:
    return Router(parse_routing(file(**more), "r.yaml"), "a/b/c/d")


def water(zone: str = "z1", **more: str) -> dict[str, str]:
    return {"hazard": "water", "zone": zone, "severity": "alarm"} | more


def until(one: Router, end_us: int) -> list[Notification]:
    said: list[Notification] = []
    while (due := one.due_us()) is not None and due <= end_us:
        said += one.tick(due)
    return said


# --- the file ---------------------------------------------------------------------------------------------


def test_the_example_is_sound_and_its_tests_pass() -> None:
    path = ROOT / "examples/routing/estate.yaml"
    assert check_routes([path]) == []
    report = run_route_tests([path])
    assert (report.passed, report.failed) == (5, 0)


ROUTE = {"receiver": "p"}


@pytest.mark.parametrize(("more", "what"), [
    ({"route": {"receiver": "nobody"}}, "there is no receiver 'nobody'"),
    ({"route": {}}, "the first route has no receiver"),
    ({"route": ROUTE | {"matchers": ["a=b"]}}, "the first route takes everything"),
    ({"route": ROUTE | {"group_wait": "soon"}}, "'soon' is not a duration"),
    ({"route": ROUTE | {"repeat_interval": "0s"}}, "must be longer than nothing"),
    ({"route": ROUTE | {"routes": [{"matchers": ["a ? b"]}]}}, "'a ? b' is not a matcher"),
    ({"route": ROUTE | {"routes": [{"matchers": ['a=~"("']}]}}, "not an expression"),
    ({"route": ROUTE | {"routes": [{"matchers": ['a=~"(x+)+"']}]}}, "repeats a repetition"),
    ({"route": ROUTE | {"routes": [{"matchers": [r'a=~"(x)\\1"']}]}}, "refers back"),
    ({"route": ROUTE | {"routes": [{"matchers": ["a=b"]}, {"matchers": ["a=b"]}]}}, "this route is never reached"),
    ({"route": ROUTE | {"routes": [{"matchers": ["a=b"], "mute_time_intervals": ["x"]}]}}, "no time interval 'x'"),
    ({"route": ROUTE | {"group_by": ["...", "a"]}}, "stands beside other labels"),
    ({"route": ROUTE | {"routes": [{"matchers": ["hazard=fire"], "mute_time_intervals": ["n"]}]},
      "time_intervals": [{"name": "n", "time_intervals": [{"weekdays": ["sunday"]}]}]}, "never muted (law 2)"),
    ({"inhibit_rules": [{"source_matchers": ["a=b"], "target_matchers": ['hazard=~"fire|co"']}]}, "(law 2)"),
    ({"life_safety": ["owner", "micro_station", "monitoring_desk"]}, "would not reach the party 'brigade' (law 1)"),
    ({"time_intervals": [{"name": "n", "time_intervals": [{"location": "Mars/Base"}]}]}, "no time zone 'Mars/Base'"),
    ({"rout": {}}, "unknown key 'rout'"),
])
def test_every_mistake_is_found_with_line_and_remedy(more: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_routing(file(**more), "r.yaml")
    findings = [f for f in caught.value.findings if what in f.what]
    assert findings and all(f.line > 0 and f.remedy for f in findings), caught.value


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_matcher_or_refused(text: str) -> None:
    try:
        matcher = parse_matcher(text)
    except ValueError:
        return
    assert matcher.matches({}) in (True, False)
    assert parse_matcher(str(matcher)) == matcher


@pytest.mark.parametrize(("text", "labels", "result"), [
    ("a=b", {"a": "b"}, True), ('a="b"', {}, False), ('a=""', {}, True), ("a!=b", {}, True),
    ('a=~"b|c"', {"a": "c"}, True), ('a=~"b|c"', {"a": "cc"}, False), ('a!~"b.*"', {"a": "bx"}, False),
    (r'a="q\"\n\\"', {"a": 'q"\n\\'}, True),
])
def test_matchers(text: str, labels: dict[str, str], result: bool) -> None:
    assert parse_matcher(text).matches(labels) is result


@pytest.mark.parametrize(("text", "us"), [("30s", 30 * S), ("1h30m", 5400 * S), ("5 min", 300 * S),
                                          ("250ms", S // 4)])
def test_durations(text: str, us: int) -> None:
    assert duration_us(text) == us


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * S


@pytest.mark.parametrize(("interval", "at", "inside"), [
    (IntervalText(times=(ClockText("22:00", "24:00"),)), "2026-11-20T23:59:59+00:00", True),
    (IntervalText(times=(ClockText("22:00", "24:00"),)), "2026-11-21T00:00+00:00", False),
    (IntervalText(times=(ClockText("08:00", "18:00"),), location="Asia/Shanghai"), "2026-11-20T00:30+00:00", True),
    (IntervalText(weekdays=("monday:friday",)), "2026-11-20T12:00+00:00", True),
    (IntervalText(weekdays=("sunday", "saturday")), "2026-11-20T12:00+00:00", False),
    (IntervalText(days_of_month=("-3:-1",)), "2026-02-26T12:00+00:00", True),
    (IntervalText(days_of_month=("-3:-1",)), "2026-02-25T12:00+00:00", False),
    (IntervalText(days_of_month=("29:31",)), "2026-02-28T12:00+00:00", False),
    (IntervalText(days_of_month=("1:-1",)), "2026-02-28T12:00+00:00", True),
    (IntervalText(months=("november:december",)), "2026-11-20T12:00+00:00", True),
    (IntervalText(months=("1:3",)), "2026-11-20T12:00+00:00", False),
    (IntervalText(years=("2026:2027",)), "2026-11-20T12:00+00:00", True),
    (IntervalText(years=("2027",), months=("november",)), "2026-11-20T12:00+00:00", False),
])
def test_time_intervals(interval: IntervalText, at: str, inside: bool) -> None:
    assert parse_interval(interval).holds(moment(at)) is inside


@pytest.mark.parametrize("interval", [
    IntervalText(times=(ClockText("22:00", "06:00"),)), IntervalText(times=(ClockText("7:00", "08:00"),)),
    IntervalText(weekdays=("friday:monday",)), IntervalText(days_of_month=("0",)),
    IntervalText(days_of_month=("-1:3",)),
    IntervalText(months=("13",)), IntervalText(years=("2027:2026",)), IntervalText(weekdays=("day",)),
])
def test_intervals_that_are_none(interval: IntervalText) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_interval(interval)


# --- waiting, repeating, holding back ------------------------------------------------------------------------


def test_a_group_waits_speaks_once_and_repeats() -> None:
    one = router()
    assert one.put(water(device="a"), started_us=T0, now_us=T0) == ()
    assert one.put(water(device="b"), started_us=T0 + 4 * S, now_us=T0 + 4 * S) == ()
    said = until(one, T0 + 2 * HOUR_US - S)
    assert [(n.why, (n.at_us - T0) // S, n.firing) for n in said] == [(Why.NEW, 10, 2), (Why.REPEAT, 3610, 2)]
    one.put(water(device="a"), started_us=T0, now_us=T0 + 2 * HOUR_US, ended_us=T0 + 2 * HOUR_US)
    said = until(one, T0 + 2 * HOUR_US + 60 * S)
    assert [(n.why, n.state, n.firing, n.resolved) for n in said] == [(Why.RESOLVED, "firing", 1, 1)]


def test_turns_that_were_missed_together_are_said_once() -> None:
    one = router()
    one.put(water(), started_us=T0, now_us=T0)
    assert [n.why for n in one.tick(T0 + 24 * HOUR_US)] == [Why.NEW, Why.REPEAT]


def test_what_stood_for_longer_than_the_wait_is_said_at_once() -> None:
    assert len(router().put(water(), started_us=T0 - 60 * S, now_us=T0)) == 1


@pytest.mark.parametrize("hazard", sorted(LIFE_SAFETY))
def test_nothing_holds_back_the_class_of_law_2(hazard: Hazard) -> None:
    everything = [{"name": "always", "time_intervals": [{"years": ["1970:9999"]}]}]
    one = router(
        route={"receiver": "p", "group_wait": "1h", "routes": [
            {"receiver": "p", "matchers": ["zone=~.+"], "mute_time_intervals": ["always"]}]},
        time_intervals=everything,
        inhibit_rules=[{"source_matchers": ["zone=~.+"], "target_matchers": ["zone=~.+"]}])
    one.silence(Silence("s", (Matcher("zone", "=~", ".+"),), T0, T0 + HOUR_US, "Li", "noise"), T0)
    one.put(water("z9"), started_us=T0, now_us=T0)
    said = one.put({"hazard": hazard.value, "zone": "z1"}, started_us=T0, now_us=T0)
    assert {n.receiver for n in said} == {"p", "owner", "micro_station", "monitoring_desk", "brigade"}
    assert all(n.life_safety and n.at_us == T0 for n in said)
    said = one.put({"hazard": hazard.value, "zone": "z1", "device": "second"}, started_us=T0 + 1, now_us=T0 + 1)
    assert len(said) == 5 and all(n.firing == 2 for n in said), "each further alarm is said at once"
    assert one.put({"hazard": hazard.value, "zone": "z1"}, started_us=T0, now_us=T0 + 2) == (), "said again: no news"
    with pytest.raises(LawRefusal):
        one.silence(Silence("t", (Matcher("hazard", "=", hazard.value),), T0, T0 + HOUR_US, "Li", "why"), T0)


def test_a_fire_that_comes_again_is_said_again() -> None:
    one = router()
    fire = {"hazard": "fire", "zone": "z1"}
    assert len(one.put(fire, started_us=T0, now_us=T0)) == 5
    one.put(fire, started_us=T0, now_us=T0 + S, ended_us=T0 + S)
    assert len(one.put(fire, started_us=T0 + 2 * S, now_us=T0 + 2 * S)) == 5


def test_smoke_under_a_permit_goes_to_its_watcher_instead_of_the_brigade() -> None:
    one = router()
    smoke = {"hazard": "fire", "zone": "z1"}
    said = one.put(smoke | {"audience": "permit:p-1"}, started_us=T0, now_us=T0)
    assert {n.receiver for n in said} == {"p", "owner", "micro_station", "monitoring_desk", "watch"}
    said = one.put(smoke, started_us=T0, now_us=T0 + S)
    assert "brigade" in {n.receiver for n in said}, "when the permit ends, law 1 as ever"


def test_ten_thousand_alarms_are_one_notification_a_group_and_fire_passes_through() -> None:
    one = router(route={"receiver": "p", "group_by": ["site"], "group_wait": "10s"})
    fires = []
    for i in range(10_000):
        at_us = T0 + i * 1_000
        assert one.put(water(device=f"d{i}"), started_us=at_us, now_us=at_us) == ()
        if i % 1_000 == 0:
            said = one.put({"hazard": "fire", "zone": f"z{i}"}, started_us=at_us, now_us=at_us)
            fires.append({n.at_us - at_us for n in said})
    assert fires == [{0}] * 10
    (said,) = until(one, T0 + 10 * S)
    assert (said.firing, len(said.alarms)) == (10_000, 100)


def test_alarms_beyond_the_bound_are_counted_and_fire_is_not_bounded() -> None:
    one = router(route={"receiver": "p", "group_wait": "1m"})
    for i in range(ALARMS_MAX + 5):
        one.put(water(device=f"d{i}"), started_us=T0, now_us=T0)
    assert len(one.put({"hazard": "fire"}, started_us=T0, now_us=T0)) == 5
    said = [n for n in until(one, T0 + 60 * S) if not n.life_safety]
    assert [(n.firing, n.more) for n in said] == [(ALARMS_MAX, 5)]


def test_silences_need_name_reason_end_and_hold_until_then() -> None:
    one = router()
    matchers = (Matcher("zone", "=", "z1"),)
    for bad in (Silence("s", matchers, T0, T0 + S, "", "why"), Silence("s", matchers, T0, T0 + S, "Li", " "),
                Silence("s", matchers, T0, T0, "Li", "why"), Silence("s", (), T0, T0 + S, "Li", "why"),
                Silence("s", matchers, T0, T0 + 31 * 24 * HOUR_US, "Li", "why")):
        with pytest.raises(ValueError, match="silence"):
            one.silence(bad, T0)
    one.silence(Silence("s", matchers, T0, T0 + 65 * S, "Li", "painting"), T0)
    one.put(water(), started_us=T0, now_us=T0)
    assert [n.at_us - T0 for n in until(one, T0 + 200 * S)] == [70 * S]
    one.silence(Silence("t", matchers, T0 + 200 * S, T0 + HOUR_US, "Li", "painting"), T0 + 200 * S)
    ended = one.end_silence("t", "Wang", T0 + 201 * S)
    assert ended is not None and ended.ended_by == "Wang" and one.silences(T0 + 202 * S) == ()


def test_an_alarm_that_ended_while_silenced_is_news_when_it_comes_again() -> None:
    one = router()
    one.put(water(), started_us=T0, now_us=T0)
    until(one, T0 + 10 * S)
    one.silence(Silence("s", (Matcher("zone", "=", "z1"),), T0 + 11 * S, T0 + 100 * S, "Li", "why"), T0 + 11 * S)
    one.put(water(), started_us=T0, now_us=T0 + 20 * S, ended_us=T0 + 20 * S)
    until(one, T0 + 100 * S)
    one.put(water(), started_us=T0 + 110 * S, now_us=T0 + 110 * S)
    assert [n.why for n in until(one, T0 + 200 * S)] == [Why.NEW]


def test_inhibition_ends_with_its_source() -> None:
    one = router(inhibit_rules=[{"source_matchers": ["severity=critical"], "target_matchers": ["severity=alarm"],
                                 "equal": ["zone"]}])
    one.put(water(severity="critical"), started_us=T0, now_us=T0)
    one.put(water(), started_us=T0, now_us=T0)
    one.put(water("z2"), started_us=T0, now_us=T0)
    assert sorted(n.firing for n in until(one, T0 + 10 * S)) == [1, 1]
    one.put(water(severity="critical"), started_us=T0, now_us=T0 + 11 * S, ended_us=T0 + 11 * S)
    (said,) = until(one, T0 + 75 * S)
    assert (said.firing, said.resolved) == (1, 1)


# --- keeping --------------------------------------------------------------------------------------------------

PUTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(("water", "fire", "gas")), st.sampled_from("ab"),
                          st.booleans()), max_size=25)


@given(PUTS, st.integers(0, 24))
@settings(max_examples=60, deadline=None)
def test_a_restart_changes_nothing(puts: list[tuple[int, str, str, bool]], cut: int) -> None:
    def play(restart: bool) -> tuple[list[Notification], bytes]:
        one, now_us, said = router(), T0, []
        for i, (passes, hazard, zone, ends) in enumerate(puts):
            now_us += passes * S
            said += until(one, now_us)
            said += one.put({"hazard": hazard, "zone": zone}, started_us=now_us, now_us=now_us,
                            ended_us=now_us if ends else 0)
            if restart and i == cut:
                kept = one.checkpoint()
                one = router()
                assert one.resume(kept, now_us) == ()
                assert one.checkpoint() == kept
        said += until(one, now_us + HOUR_US)
        return said, one.checkpoint()

    assert play(True) == play(False)
    assert len({n.id for n in play(False)[0]}) == len(play(False)[0])


def test_a_changed_file_groups_anew_and_says_nothing_twice() -> None:
    one = router()
    one.put(water(), started_us=T0, now_us=T0)
    one.put({"hazard": "fire", "zone": "z1"}, started_us=T0, now_us=T0)
    until(one, T0 + 20 * S)
    kept = one.checkpoint()
    other = router(route={"receiver": "p", "group_by": ["zone"], "group_wait": "5s", "group_interval": "2m",
                          "repeat_interval": "1h", "routes": [{"matchers": ["zone=z2"], "receiver": "watch"}]})
    assert other.resume(kept, T0 + 30 * S) == ()
    assert until(other, T0 + 300 * S) == []
    assert other.standing() == 2


def test_a_step_of_an_alarm_is_routed_by_its_labels() -> None:
    one, routed = router(), RoutedSite()
    fire = step("b1-0", Hazard.FIRE)
    said = routed.take(fire, INVENTORY.site, one, fire.at_us)
    assert len(said) == 5 and said[0].alarms[0].labels["building"] == "b1"
    cleared = step("b1-0", Hazard.FIRE, AlarmState.CLEARED, 60)
    routed.take(cleared, INVENTORY.site, one, cleared.at_us)
    assert {n.state for n in until(one, cleared.at_us + 70 * S)} == {"resolved"} and routed.routed == {}


def test_drills_say_so_and_faults_are_not_routed() -> None:
    key = AlarmKey("r.x", "s")
    drill = AlarmTransition("a", key, AlarmState.RAISED, AlarmState.PENDING, Hazard.FIRE, Severity.CRITICAL, T0, T0,
                            drill=True)
    assert labels_of(drill, INVENTORY.site)["drill"] == "yes"
    fault = AlarmTransition("a", key, AlarmState.RAISED, AlarmState.PENDING, Hazard.FAULT, Severity.ALARM, T0, T0)
    assert RoutedSite().take(fault, INVENTORY.site, router(), T0) == ()
