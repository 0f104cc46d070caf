"""The routing file: who is told of which alarm, and when. YAML to a checked RoutingPlan; all errors at once.

    receivers ─┐
    intervals ─┼─ parse_routing ─► RoutingPlan ── match(labels) ─► routes (receiver, grouping, timers)
    route tree ┤                             └─ life_safety: receivers that fire, call point, high gas and CO
    inhibition ┘                                always reach, whatever the tree says (law 1)

Keys are Alertmanager's, so that a file of its own can be carried over; what is ours is said in docs/routing.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from device_model.alarm import LIFE_SAFETY, Hazard
from device_model.errors import ConfigError, Finding
from device_model.yaml_source import Path, Source, convert, parse_yaml
from rules_engine.routing_match import LABEL_NAME, Labels, Matcher, matches_all, parse_matcher
from rules_engine.routing_time import Interval, IntervalText, any_holds, parse_interval

_UNIT_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "min": 60_000_000, "h": 3_600_000_000,
            "d": 86_400_000_000, "w": 604_800_000_000}
_DURATION = re.compile(r"(?:\d+(?:ms|s|min|m|h|d|w))+")
ROUTES_MAX = 2_000
# The four that law 1 names.
FOUR_PARTIES = ("owner", "micro_station", "monitoring_desk", "brigade")
ALL_LABELS = "..."


class Party(StrEnum):
    """Whom a receiver stands for."""

    OWNER = "owner"
    MICRO_STATION = "micro_station"
    MONITORING_DESK = "monitoring_desk"
    BRIGADE = "brigade"
    STREET = "street"
    DEPARTMENT = "department"
    WATCHER = "watcher"
    OTHER = "other"


class Receiver(msgspec.Struct, frozen=True):
    """Somebody to tell. endpoints: names of the cloud's settings; rota: whose duty it is then (duty_rota.py)."""

    name: str
    party: Party = Party.OTHER
    endpoints: tuple[str, ...] = ()
    rota: str = ""
    send_resolved: bool = True


class RouteText(msgspec.Struct, frozen=True, rename={"continue_": "continue"}):
    """A route as written; what is not given is the parent's, except matchers and intervals."""

    receiver: str = ""
    matchers: tuple[str, ...] = ()
    continue_: bool = False
    group_by: tuple[str, ...] = ()
    group_wait: str = ""
    group_interval: str = ""
    repeat_interval: str = ""
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    routes: tuple[RouteText, ...] = ()


class _InhibitText(msgspec.Struct, frozen=True):
    source_matchers: tuple[str, ...]
    target_matchers: tuple[str, ...]
    equal: tuple[str, ...] = ()


class _NamedIntervals(msgspec.Struct, frozen=True):
    name: str
    time_intervals: tuple[IntervalText, ...]


class RouteTest(msgspec.Struct, frozen=True):
    """Whom labels must reach. at: "2026-11-20T23:00+08:00", where intervals matter; muted: then held back."""

    labels: dict[str, str]
    receivers: tuple[str, ...]
    at: str = ""
    muted: tuple[str, ...] = ()


class _FileText(msgspec.Struct, frozen=True):
    receivers: tuple[Receiver, ...]
    life_safety: tuple[str, ...]
    route: RouteText
    under_permit: tuple[str, ...] = ()
    inhibit_rules: tuple[_InhibitText, ...] = ()
    time_intervals: tuple[_NamedIntervals, ...] = ()
    tests: tuple[RouteTest, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """A checked route. key: the matchers on the way to it, so that a changed file keeps what was said by the others.
    group_by None: by all labels."""

    key: str
    receiver: str
    matchers: tuple[Matcher, ...]
    goes_on: bool
    group_by: tuple[str, ...] | None
    group_wait_us: int
    group_interval_us: int
    repeat_interval_us: int
    mute: tuple[str, ...]
    active: tuple[str, ...]
    routes: tuple[Route, ...] = ()

    def match(self, labels: Labels) -> list[Route]:
        """The routes that take these labels: the deepest of each branch; [] where this one does not."""
        if not matches_all(self.matchers, labels):
            return []
        found: list[Route] = []
        for child in self.routes:
            taken = child.match(labels)
            found += taken
            if taken and not child.goes_on:
                break
        return found or [self]

    def walk(self) -> Iterator[Route]:
        """This one and all below it."""
        yield self
        for child in self.routes:
            yield from child.walk()


class InhibitRule(msgspec.Struct, frozen=True):
    """While a source stands, targets with the same values of `equal` are held back."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


class RoutingPlan(msgspec.Struct, frozen=True):
    """A checked file. under_permit: who is told instead of the brigade while an alarm's audience is a permit."""

    receivers: dict[str, Receiver]
    life_safety: tuple[str, ...]
    under_permit: tuple[str, ...]
    root: Route
    inhibit: tuple[InhibitRule, ...]
    intervals: dict[str, tuple[Interval, ...]]
    tests: tuple[RouteTest, ...]

    def routes(self) -> dict[str, Route]:
        """All routes by key."""
        return {route.key: route for route in self.root.walk()}

    def muted_at(self, route: Route, at_us: int) -> bool:
        """Whether that route is held back then: a mute interval holds, or none of its active ones does."""
        if any(any_holds(self.intervals[name], at_us) for name in route.mute):
            return True
        return bool(route.active) and not any(any_holds(self.intervals[name], at_us) for name in route.active)


def is_life_safety(labels: Labels) -> bool:
    """Whether laws 1 and 2 hold for an alarm of these labels."""
    return labels.get("hazard", "") in LIFE_SAFETY


def duration_us(text: str) -> int:
    """ "1h30m", "30 s", "5 min" in µs. Raises ValueError."""
    plain = text.replace(" ", "")
    if _DURATION.fullmatch(plain) is None:
        raise ValueError(f"{text!r} is not a duration such as 30s, 5m or 4h")
    total = sum(int(number) * _UNIT_US[unit] for number, unit in re.findall(r"(\d+)(ms|s|min|m|h|d|w)", plain))
    if total > 366 * _UNIT_US["d"]:
        raise ValueError(f"{text!r} is longer than a year")
    return total


def parse_routing(text: str, file: str) -> RoutingPlan:
    """Raises ConfigError with every finding."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    written = convert(source, (), _FileText, findings)
    if written is None:
        raise ConfigError(findings)
    plan = _Reader(source, written, findings).plan()
    if findings:
        raise ConfigError(findings)
    return plan


class _Reader:
    """Checks what is written, appending to `findings`."""

    def __init__(self, source: Source, written: _FileText, findings: list[Finding]) -> None:
        self._source, self._written, self._findings = source, written, findings
        self._count = 0
        self._receivers: dict[str, Receiver] = {}
        self._intervals: dict[str, tuple[Interval, ...]] = {}

    def plan(self) -> RoutingPlan:
        written = self._written
        for i, receiver in enumerate(written.receivers):
            if receiver.name in self._receivers:
                self._find(("receivers", i, "name"), f"{receiver.name!r} stands twice", "rename or remove one")
            self._receivers[receiver.name] = receiver
        for i, named in enumerate(written.time_intervals):
            parts = [self._try(("time_intervals", i, "time_intervals", j), lambda p=part: parse_interval(p))
                     for j, part in enumerate(named.time_intervals)]
            self._intervals[named.name] = tuple(part for part in parts if part is not None)
        self._names(("life_safety",), written.life_safety)
        self._names(("under_permit",), written.under_permit)
        self._four_parties()
        root = self._route(written.route, ("route",), "{}", Route("", "", (), False, (), 30_000_000, 300_000_000,
                                                                 14_400_000_000, (), ()))
        if not written.route.receiver:
            self._find(("route",), "the first route has no receiver", "add `receiver:` for what no branch takes")
        if written.route.matchers or written.route.mute_time_intervals or written.route.active_time_intervals:
            self._find(("route",), "the first route takes everything, always",
                       "move matchers and time intervals into a route below it")
        inhibit = tuple(InhibitRule(self._matchers(("inhibit_rules", i, "source_matchers"), rule.source_matchers),
                                    self._matchers(("inhibit_rules", i, "target_matchers"), rule.target_matchers),
                                    rule.equal)
                        for i, rule in enumerate(written.inhibit_rules))
        for i, rule in enumerate(inhibit):
            if rule.target and only_life_safety(rule.target):
                self._find(("inhibit_rules", i), "this rule would hold back fire, call point, high gas or CO (law 2)",
                           "remove it: that class is never inhibited")
        return RoutingPlan(self._receivers, written.life_safety, written.under_permit, root, inhibit, self._intervals,
                           written.tests)

    def _four_parties(self) -> None:
        reached = {self._receivers[name].party.value for name in self._written.life_safety if name in self._receivers}
        for party in FOUR_PARTIES:
            if party not in reached:
                self._find(("life_safety",), f"fire would not reach the party {party!r} (law 1)",
                           f"name a receiver with `party: {party}` here")

    def _route(self, text: RouteText, path: Path, key: str, parent: Route) -> Route:
        self._count += 1
        if self._count == ROUTES_MAX + 1:
            self._find(path, f"more than {ROUTES_MAX} routes", "match by expressions, or split by site")
        if text.receiver:
            self._names((*path, "receiver"), (text.receiver,))
        for field in ("mute_time_intervals", "active_time_intervals"):
            for i, name in enumerate(getattr(text, field)):
                if name not in self._intervals:
                    self._find((*path, field, i), f"there is no time interval {name!r}",
                               f"known: {', '.join(self._intervals) or 'none'}")
        for i, label in enumerate(text.group_by):
            if label != ALL_LABELS and not LABEL_NAME.fullmatch(label):
                self._find((*path, "group_by", i), f"{label!r} is not a label", "letters, digits and _")
            if label == ALL_LABELS and len(text.group_by) > 1:
                self._find((*path, "group_by"), "... stands beside other labels", "write it alone")
        matchers = self._matchers((*path, "matchers"), text.matchers)
        if (text.mute_time_intervals or text.active_time_intervals) and only_life_safety(matchers):
            self._find(path, "fire, call point, high gas and CO are never muted (law 2)",
                       "remove the time intervals of this route")
        group_by = parent.group_by
        if text.group_by:
            group_by = None if ALL_LABELS in text.group_by else text.group_by
        route = Route(
            key, text.receiver or parent.receiver, matchers, text.continue_, group_by,
            self._duration((*path, "group_wait"), text.group_wait, parent.group_wait_us),
            self._duration((*path, "group_interval"), text.group_interval, parent.group_interval_us, least=1),
            self._duration((*path, "repeat_interval"), text.repeat_interval, parent.repeat_interval_us, least=1),
            text.mute_time_intervals, text.active_time_intervals)
        children: list[Route] = []
        for i, child in enumerate(text.routes):
            below = f"{key}/{{{','.join(child.matchers)}}}"
            twins = sum(other.key.partition("#")[0] == below for other in children)
            children.append(self._route(child, (*path, "routes", i), f"{below}#{twins}" if twins else below, route))
        seen: set[tuple[Matcher, ...]] = set()
        for i, below_it in enumerate(children):
            taken = tuple(sorted(below_it.matchers))
            if taken in seen or () in seen:
                self._find((*path, "routes", i), "this route is never reached: one before it takes the same alarms",
                           "reorder them, or add `continue: true` to the earlier one")
            if not below_it.goes_on:
                seen.add(taken)
        return msgspec.structs.replace(route, routes=tuple(children))

    def _matchers(self, path: Path, texts: tuple[str, ...]) -> tuple[Matcher, ...]:
        found = [self._try((*path, i), lambda t=text: parse_matcher(t)) for i, text in enumerate(texts)]
        return tuple(matcher for matcher in found if matcher is not None)

    def _duration(self, path: Path, text: str, inherited: int, least: int = 0) -> int:
        if not text:
            return inherited
        value = self._try(path, lambda: duration_us(text))
        if value is not None and value < least:
            self._find(path, "must be longer than nothing", "write 1s or more")
        return inherited if value is None else value

    def _names(self, path: Path, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self._receivers:
                self._find(path, f"there is no receiver {name!r}", f"known: {', '.join(self._receivers) or 'none'}")

    def _try(self, path: Path, make: Any) -> Any:
        try:
            return make()
        except ValueError as error:
            self._find(path, str(error), "see docs/routing.md")
            return None

    def _find(self, path: Path, what: str, remedy: str) -> None:
        self._findings.append(self._source.finding(path, what, remedy))


def only_life_safety(matchers: tuple[Matcher, ...]) -> bool:
    """Whether these matchers take that class and nothing else."""
    mine = tuple(matcher for matcher in matchers if matcher.label == "hazard")
    if not mine:
        return False
    taken = [hazard for hazard in Hazard if matches_all(mine, {"hazard": hazard.value})]
    return bool(taken) and all(hazard in LIFE_SAFETY for hazard in taken)
