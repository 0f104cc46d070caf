"""Router: alarms of one site to notifications (pure): grouped, waited for, repeated, silenced, inhibited.

    put(labels, started) ─► route tree ─► group ──its timer──► inhibited? in its hours? silenced? ─► anything new?
    fire, call point, high gas, CO ─────► group ──at once────────────────────────────────────────► anything new?
                                                                                                        │
    tick(now) runs every timer at the moment it was due          told log (Sent) ◄── Notification ◄─────┘

Waiting and repeating are Alertmanager's (a test runs Debian's beside this one); docs/routing.md argues the rest.
What law 2 names never waits and is never held back by anything here, and always reaches the receivers of law 1.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping

import msgspec

from device_model.clock import HOUR_US, SECOND_US
from device_model.errors import LawRefusal
from rules_engine.routing_file import InhibitRule, Party, Route, RoutingPlan, is_life_safety, only_life_safety
from rules_engine.routing_match import Labels, matches_all
from rules_engine.routing_record import (
    Group,
    Notification,
    Routed,
    RouterState,
    Sent,
    Silence,
    ToldAlarm,
    Why,
    fingerprint,
    group_key,
    told_order,
)

# A group that holds nothing is kept so long: what comes back at once is no new matter.
EMPTY_KEPT_US = 30 * SECOND_US
# Alarms that stand at once in one site, beyond the class of law 2, which is never bounded: more are counted.
ALARMS_MAX = 20_000
# Groups; beyond them a route's further alarms share one.
GROUPS_MAX = 5_000
# What was told last, of groups that may be gone; the oldest go.
SENT_MAX = 10_000
SILENCES_MAX = 1_000
SILENCE_US_MAX = 30 * 24 * HOUR_US
# Alarms listed in one notification; the rest is a number.
TOLD_MAX = 100
_decoder = msgspec.json.Decoder(RouterState)


class Router:
    """Routing of one site. Owned by one worker; not thread-safe."""

    def __init__(self, plan: RoutingPlan, scope: str) -> None:
        """scope: the site's path, so that ids differ between sites."""
        self._scope = scope
        self._take_plan(plan)
        self._state = RouterState(self._mark, {}, {}, {}, [])
        self._timers: list[tuple[int, str]] = []
        # Per rule of inhibition: values of its equal labels → alarms that are sources. Follows from the state.
        self._sources: list[dict[tuple[str, ...], dict[str, None]]] = []
        self._index_all()

    def _take_plan(self, plan: RoutingPlan) -> None:
        self._plan = plan
        self._routes = plan.routes()
        for name in dict.fromkeys((*plan.life_safety, *plan.under_permit)):
            key = f"law 1 {name}"
            self._routes[key] = msgspec.structs.replace(plan.root, key=key, receiver=name, routes=())
        self._mark = hashlib.sha256(msgspec.json.encode(plan)).hexdigest()[:16]

    # --- alarms -------------------------------------------------------------------------------------------

    def put(
        self, labels: Mapping[str, str], *, started_us: int, now_us: int, ended_us: int = 0
    ) -> tuple[Notification, ...]:
        """An alarm stands since started_us, or ended then. Labels name it: saying it again changes nothing."""
        said = list(self.tick(now_us))
        name, express = fingerprint(labels), is_life_safety(labels)
        known = self._state.alarms.get(name)
        if ended_us:
            if known is not None and not known.ended_us:
                known.ended_us = max(ended_us, known.started_us)
            return tuple(said)
        again = known is not None and not known.standing_at(now_us)
        if known is None or again:
            known = Routed(dict(labels), started_us)
        known.started_us, known.ended_us = min(known.started_us, started_us), 0
        if name not in self._state.alarms and not express and len(self._state.alarms) >= ALARMS_MAX:
            self._count_only(known, now_us)
            return tuple(said)
        self._state.alarms[name] = known
        self._index(name, known.labels, known=True)
        for route in self._routes_of(known.labels, express):
            said += self._insert(route, name, known, express, again, now_us)
        return tuple(said)

    def _routes_of(self, labels: Labels, express: bool) -> list[Route]:
        """The tree's routes, and for the class of law 1 every receiver that the law names. While a permit is its
        audience, an alarm goes to those of the permit instead of the brigade."""
        found = self._plan.root.match(labels)
        if not express:
            return found
        named: tuple[str, ...] = self._plan.life_safety
        if labels.get("audience"):
            found = [route for route in found if not self._is_brigade(route.receiver)]
            named = (*(name for name in named if not self._is_brigade(name)), *self._plan.under_permit)
        reached = {route.receiver for route in found}
        return found + [self._routes[f"law 1 {name}"] for name in dict.fromkeys(named) if name not in reached]

    def reached(self, labels: Labels, at_us: int) -> list[tuple[str, bool]]:
        """Which receivers these labels reach, and whether each is held back by its hours then."""
        express = is_life_safety(labels)
        return [(route.receiver, not express and self._plan.muted_at(route, at_us))
                for route in self._routes_of(labels, express)]

    def _is_brigade(self, receiver: str) -> bool:
        return self._plan.receivers[receiver].party is Party.BRIGADE

    def _insert(
        self, route: Route, name: str, alarm: Routed, express: bool, again: bool, now_us: int
    ) -> list[Notification]:
        key, group = self._group(route, alarm.labels, express, now_us)
        joins = name not in group.members
        group.members[name] = None
        group.emptied_us = 0
        if express:
            if not (joins or again):
                return []
            if again and (sent := self._state.sent.get(key)) is not None and name in sent.firing:
                sent.firing.remove(name)  # raised anew after it had ended: said anew
            return self._flush(key, group, now_us, now_us + route.group_interval_us)
        if not group.flushed and alarm.started_us + route.group_wait_us < now_us:
            return self._flush(key, group, now_us, now_us + route.group_interval_us)
        return []

    def _group(self, route: Route, labels: Labels, express: bool, now_us: int) -> tuple[str, Group]:
        by = labels if route.group_by is None else route.group_by
        chosen = {label: labels[label] for label in by if label in labels}
        key = group_key(route.key, chosen, express)
        group = self._state.groups.get(key)
        if group is not None and self._is_stale(group, now_us):
            del self._state.groups[key]
            group = None
        if group is None and len(self._state.groups) >= GROUPS_MAX and not express:
            chosen = {"overflow": "yes"}
            key = group_key(route.key, chosen, express)
            group = self._state.groups.get(key)
        if group is None:
            if key in self._state.sent and now_us >= self._state.sent[key].expires_us:
                del self._state.sent[key]
            group = self._state.groups[key] = Group(route.key, chosen, express, now_us + route.group_wait_us, {})
            heapq.heappush(self._timers, (group.next_us, key))
        return key, group

    def _count_only(self, alarm: Routed, now_us: int) -> None:
        """One too many: its groups say how many more there are."""
        self._state.overflow += 1
        for route in self._plan.root.match(alarm.labels):
            self._group(route, alarm.labels, False, now_us)[1].more += 1

    # --- time ---------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> tuple[Notification, ...]:
        """Let time pass: every timer at the moment it was due, so that a late tick changes nothing; of several turns
        of one group that were missed together, the first and the last."""
        said: list[Notification] = []
        while self._timers and self._timers[0][0] <= now_us:
            due_us, key = heapq.heappop(self._timers)
            group = self._state.groups.get(key)
            if group is None:
                continue
            if self._is_stale(group, due_us):
                del self._state.groups[key]
            elif due_us == group.next_us:
                interval = self._routes[group.route].group_interval_us
                missed = max(1, (now_us - due_us) // interval)
                said += self._flush(key, group, due_us, due_us + missed * interval)
        return tuple(said)

    def due_us(self) -> int | None:
        """When `tick` will next have something to do."""
        return self._timers[0][0] if self._timers else None

    def _is_stale(self, group: Group, at_us: int) -> bool:
        return bool(group.emptied_us) and at_us >= group.emptied_us + EMPTY_KEPT_US

    def _flush(self, key: str, group: Group, at_us: int, next_us: int) -> list[Notification]:
        """The group's turn: say what is new, and let go of what has ended."""
        group.flushed, group.next_us = True, next_us
        heapq.heappush(self._timers, (next_us, key))
        if not group.members:
            return []
        route = self._routes[group.route]
        told = [name for name in group.members if not self._held_back(route, group, name, at_us)]
        if not group.express and told and self._plan.muted_at(route, at_us):
            told = []
        firing = [name for name in told if self._state.alarms[name].standing_at(at_us)]
        resolved = [name for name in told if not self._state.alarms[name].standing_at(at_us)]
        said = self._say(key, group, route, firing, resolved, at_us) if told else []
        for name in [name for name in group.members if not self._state.alarms[name].standing_at(at_us)]:
            del group.members[name]
            if name not in resolved:
                self._ended_unsaid(key, name)
            self._forget(name)
        if not group.members:
            group.emptied_us, group.more = at_us, 0
            heapq.heappush(self._timers, (at_us + EMPTY_KEPT_US, key))
        return said

    def _held_back(self, route: Route, group: Group, name: str, at_us: int) -> bool:
        """Whether a rule of inhibition or a silence holds this alarm back."""
        if group.express:
            return False  # law 2
        labels = self._state.alarms[name].labels
        return self.inhibited_by(labels, at_us) is not None or self.silenced_by(labels, at_us) is not None

    def _say(
        self, key: str, group: Group, route: Route, firing: list[str], resolved: list[str], at_us: int
    ) -> list[Notification]:
        """One notification, if there is anything that its receiver does not know."""
        sends_resolved = self._plan.receivers[route.receiver].send_resolved
        sent = self._state.sent.get(key)
        why = _why(sent, firing, resolved, at_us, route.repeat_interval_us, sends_resolved)
        if why is None:
            return []
        number = (sent.number if sent else 0) + 1
        self._state.sent.pop(key, None)
        self._state.sent[key] = Sent(at_us, sorted(firing), sorted(resolved), number,
                                     at_us + 2 * (route.repeat_interval_us + route.group_interval_us))
        while len(self._state.sent) > SENT_MAX:
            del self._state.sent[next(iter(self._state.sent))]
        if not sends_resolved:
            if not firing:
                return []  # known now, without a word
            resolved = []
        alarms = self._state.alarms
        names = sorted([*firing, *resolved], key=lambda name: told_order(alarms[name].labels))
        standing = set(firing)
        text = "|".join([self._scope, route.receiver, key, str(number), *sorted(firing), ".", *sorted(resolved)])
        return [Notification(
            hashlib.sha256(text.encode()).hexdigest()[:24], route.receiver, route.key, group.labels, why, at_us,
            tuple(ToldAlarm(alarms[n].labels, alarms[n].started_us, 0 if n in standing else alarms[n].ended_us)
                  for n in names[:TOLD_MAX]),
            len(firing), len(resolved), group.express, group.more)]

    def _ended_unsaid(self, key: str, name: str) -> None:
        """It ended while it was held back: should it come again, that is news."""
        sent = self._state.sent.get(key)
        if sent is not None and name in sent.firing:
            sent.firing.remove(name)

    def _forget(self, name: str) -> None:
        """An alarm that has ended and that no group has to speak of any more."""
        if not any(name in group.members for group in self._groups_of(name)):
            self._index(name, self._state.alarms[name].labels, known=False)
            del self._state.alarms[name]

    def _groups_of(self, name: str) -> list[Group]:
        labels, found = self._state.alarms[name].labels, []
        express = is_life_safety(labels)
        for route in self._routes_of(labels, express):
            by = labels if route.group_by is None else route.group_by
            for chosen in ({label: labels[label] for label in by if label in labels}, {"overflow": "yes"}):
                group = self._state.groups.get(group_key(route.key, chosen, express))
                if group is not None:
                    found.append(group)
        return found

    # --- what holds back ----------------------------------------------------------------------------------

    def inhibited_by(self, labels: Labels, at_us: int) -> dict[str, str] | None:
        """The labels of the alarm that holds these back, or None."""
        if is_life_safety(labels):
            return None
        for rule, index in zip(self._plan.inhibit, self._sources, strict=True):
            if not matches_all(rule.target, labels):
                continue
            both = matches_all(rule.source, labels)
            for name in index.get(_values(rule, labels), ()):
                other = self._state.alarms[name]
                if not other.standing_at(at_us) or (both and matches_all(rule.target, other.labels)):
                    continue  # two that are source and target alike would hold each other back
                return other.labels
        return None

    def _index(self, name: str, labels: Labels, *, known: bool) -> None:
        """Whether an alarm stands in the sources of each rule of inhibition."""
        for rule, index in zip(self._plan.inhibit, self._sources, strict=True):
            if matches_all(rule.source, labels):
                names = index.setdefault(_values(rule, labels), {})
                if known:
                    names[name] = None
                else:
                    names.pop(name, None)
                    if not names:
                        del index[_values(rule, labels)]

    def _index_all(self) -> None:
        self._sources = [{} for _ in self._plan.inhibit]
        for name, alarm in self._state.alarms.items():
            self._index(name, alarm.labels, known=True)

    def silenced_by(self, labels: Labels, at_us: int) -> Silence | None:
        """The silence that holds these labels back, or None."""
        if is_life_safety(labels):
            return None
        return next((silence for silence in self._state.silences if silence.holds(labels, at_us)), None)

    def silence(self, silence: Silence, now_us: int) -> None:
        """Take a silence in (again: the same id changes it). Raises ValueError; LawRefusal for the class of law 2."""
        if not silence.who.strip() or not silence.why.strip():
            raise ValueError("a silence needs a name and a reason")
        if silence.ends_us <= max(silence.starts_us, now_us):
            raise ValueError("a silence ends after it begins, and not in the past")
        if silence.ends_us - max(silence.starts_us, now_us) > SILENCE_US_MAX:
            raise ValueError("a silence lasts 30 days at most")
        if matches_all(silence.matchers, {}):
            raise ValueError("a silence must name what it silences")
        if only_life_safety(silence.matchers):
            raise LawRefusal(2, "fire, call point, high gas and CO are never silenced; isolate the device by name")
        self._state.silences = [s for s in self._state.silences if s.id != silence.id and s.ends_us > now_us]
        if len(self._state.silences) >= SILENCES_MAX:
            raise ValueError(f"more than {SILENCES_MAX} silences stand")
        self._state.silences.append(silence)

    def end_silence(self, name: str, who: str, now_us: int) -> Silence | None:
        """Somebody ends a silence early; None where there is none that holds."""
        for i, silence in enumerate(self._state.silences):
            if silence.id == name and silence.ends_us > now_us:
                ended = msgspec.structs.replace(silence, ends_us=now_us, ended_by=who)
                self._state.silences[i] = ended
                return ended
        return None

    def silences(self, at_us: int) -> tuple[Silence, ...]:
        """Those that stand or will."""
        return tuple(silence for silence in self._state.silences if silence.ends_us > at_us)

    # --- keeping ------------------------------------------------------------------------------------------

    def reload(self, plan: RoutingPlan, now_us: int) -> tuple[Notification, ...]:
        """Another file: what stands is grouped anew; what was told stays told."""
        self._take_plan(plan)
        self._state.plan, self._state.groups, self._timers = self._mark, {}, []
        self._index_all()
        said: list[Notification] = []
        for name in list(self._state.alarms):
            alarm = self._state.alarms[name]
            if not alarm.standing_at(now_us):
                del self._state.alarms[name]
                continue
            express = is_life_safety(alarm.labels)
            for route in self._routes_of(alarm.labels, express):
                said += self._insert(route, name, alarm, express, False, now_us)
        self._index_all()
        return tuple(said)

    def standing(self) -> int:
        """How many alarms it knows."""
        return len(self._state.alarms)

    def checkpoint(self) -> bytes:
        """Everything, as JSON; equal histories give equal bytes."""
        return msgspec.json.encode(self._state)

    def resume(self, checkpoint: bytes, now_us: int) -> tuple[Notification, ...]:
        """From a checkpoint; after a change of the file, as after `reload`. ValueError where it does not fit."""
        self._state = _decoder.decode(checkpoint)
        if self._state.plan != self._mark:
            return self.reload(self._plan, now_us)
        self._index_all()
        self._timers = []
        for key, group in self._state.groups.items():
            self._timers.append((group.next_us, key))
            if group.emptied_us:
                self._timers.append((group.emptied_us + EMPTY_KEPT_US, key))
        heapq.heapify(self._timers)
        return ()


def _values(rule: InhibitRule, labels: Labels) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in rule.equal)


def _why(
    sent: Sent | None, firing: list[str], resolved: list[str], at_us: int, repeat_us: int, sends_resolved: bool
) -> Why | None:
    """Why a receiver is to be told, or None where it knows all of it."""
    if sent is None:
        return Why.NEW if firing else None
    if not set(firing) <= set(sent.firing):
        return Why.NEW
    if not firing:
        return Why.RESOLVED if sent.firing else None
    if sends_resolved and not set(resolved) <= set(sent.resolved):
        return Why.RESOLVED
    return Why.REPEAT if at_us - sent.at_us >= repeat_us else None
