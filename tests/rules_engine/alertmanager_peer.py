"""Random routing configurations and streams, and Debian's Alertmanager to run them beside ours.

Each case is a branch `case="n"` of one Alertmanager, so that hundreds run in the same seconds. Timers are whole
seconds; every event of a case has a phase of its own within the second, an eighth apart, so that no event falls
together with a timer and small delays of the machine change nothing.
"""

from __future__ import annotations

import http.server
import json
import random
import subprocess
import threading
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from device_model.child_process import free_ports
from rules_engine.routing import Router
from rules_engine.routing_file import Route, RoutingPlan, parse_routing
from rules_engine.routing_match import Matcher, parse_matcher
from rules_engine.routing_record import Notification, Silence, fingerprint

PHASES = 7  # of eight: the last one stays free for the end of the run
STREAM_S = 8
RUN_S = 12
PARTIES = ("owner", "micro_station", "monitoring_desk", "brigade")
VALUES = {"a": ("x", "y", "z"), "b": ("p", "q", ""), "sev": ("warning", "alarm", "critical")}


class Event(msgspec.Struct, frozen=True):
    """kind: raise, resolve, silence. until: slot at which a silence ends. early_s: how long it stood already."""

    slot: int
    kind: str
    labels: dict[str, str] = {}
    early_s: int = 0
    matchers: tuple[str, ...] = ()
    until: int = 0


class Case(msgspec.Struct, frozen=True):
    """One configuration with its stream."""

    name: str
    route: dict[str, Any]
    receivers: tuple[tuple[str, bool], ...]
    inhibit: tuple[dict[str, Any], ...]
    events: tuple[Event, ...]


def random_case(seed: int) -> Case:
    """The same number makes the same case."""
    dice = random.Random(seed)
    name = f"n{seed}"
    receivers = tuple((f"{name}-r{i}", dice.random() < 0.7) for i in range(4))
    route = _route(dice, receivers, 0)
    route["matchers"] = [f'case="{name}"']
    route.setdefault("receiver", receivers[0][0])
    route.pop("continue", None)
    inhibit = tuple(
        {"source_matchers": [f'case="{name}"', _matcher(dice)], "target_matchers": [f'case="{name}"', _matcher(dice)],
         "equal": dice.sample(["a", "b", "sev"], dice.choice((0, 1, 1)))}
        for _ in range(dice.choice((0, 0, 1, 2))))
    return Case(name, route, receivers, inhibit, _events(dice, name))


def _route(dice: random.Random, receivers: tuple[tuple[str, bool], ...], depth: int) -> dict[str, Any]:
    route: dict[str, Any] = {"receiver": dice.choice(receivers)[0]}
    if depth and dice.random() < 0.3:
        del route["receiver"]
    if dice.random() < 0.7 or depth == 0:
        route["group_by"] = dice.choice((["a"], ["b"], ["a", "b"], ["sev"], ["..."], ["case"]))
    if dice.random() < 0.8 or depth == 0:
        route["group_wait"] = f"{dice.choice((1, 2))}s"
        route["group_interval"] = f"{dice.choice((1, 2, 3))}s"
        route["repeat_interval"] = dice.choice(("1s500ms", "2s500ms", "4s500ms", "1h"))
    if dice.random() < 0.15:
        route["mute_time_intervals"] = [dice.choice(("now", "never"))]
    if dice.random() < 0.15:
        route["active_time_intervals"] = [dice.choice(("now", "never"))]
    if depth < 2:
        taken: set[tuple[str, ...]] = set()
        children = []
        for _ in range(dice.choice((0, 1, 2, 3))):
            child = _route(dice, receivers, depth + 1)
            child["matchers"] = sorted({_matcher(dice) for _ in range(dice.choice((1, 1, 2)))})
            child["continue"] = dice.random() < 0.5
            if tuple(child["matchers"]) not in taken:
                taken.add(tuple(child["matchers"]))
                children.append(child)
        if children:
            route["routes"] = children
    return route


def _matcher(dice: random.Random) -> str:
    label = dice.choice(("a", "b", "sev"))
    value = dice.choice(VALUES[label])
    operator = dice.choice(("=", "=", "!=", "=~", "!~"))
    if "~" in operator:
        value = dice.choice((f"{value}|none", f"{value}.*", ".+", f"({value}|{dice.choice(VALUES[label])})", "[p-y]"))
    return f'{label}{operator}"{value}"'


def _events(dice: random.Random, name: str) -> tuple[Event, ...]:
    phases = list(range(PHASES))
    dice.shuffle(phases)
    standing: list[dict[str, str]] = []
    events = []
    seconds = sorted(dice.randrange(STREAM_S) for _ in phases)
    free = list(zip(seconds, phases, strict=True))
    while free:
        second, phase = free.pop(0)
        slot = second * 8 + phase
        what = dice.random()
        if what < 0.12 and free and slot < (STREAM_S - 3) * 8:
            end = free.pop()[1]  # a silence uses up the phase of its end as well
            events.append(Event(slot, "silence", until=(second + dice.choice((2, 3, 4))) * 8 + end,
                                matchers=(f'case="{name}"', _matcher(dice))))
        elif what < 0.4 and standing:
            events.append(Event(slot, "resolve", standing.pop(dice.randrange(len(standing)))))
        else:
            labels = {"case": name} | {k: v for k, v in ((k, dice.choice(vs)) for k, vs in VALUES.items()) if v}
            if labels not in standing:
                standing.append(labels)
            events.append(Event(slot, "raise", labels, dice.choice((0, 0, 0, 10))))
    # Slots grow with the second, but phases within one second are shuffled.
    ordered = sorted(events, key=lambda e: e.slot)
    return tuple(_consistent(ordered))


def _consistent(events: list[Event]) -> list[Event]:
    """Only what stands is resolved, and a label set is resolved once."""
    standing: set[str] = set()
    kept = []
    for event in events:
        mark = json.dumps(event.labels, sort_keys=True)
        if event.kind == "resolve" and mark not in standing:
            continue
        if event.kind == "raise":
            standing.add(mark)
        elif event.kind == "resolve":
            standing.discard(mark)
        kept.append(event)
    return kept


INTERVALS = [{"name": "now", "time_intervals": [{"years": ["1970:9999"]}]},
             {"name": "never", "time_intervals": [{"years": ["1971"]}]}]


def plan_of(case: Case) -> RoutingPlan:
    """Our routing file of the case, through our parser."""
    return parse_routing(yaml.safe_dump({
        "receivers": [{"name": n, "send_resolved": r} for n, r in case.receivers] + [{"name": "none"}]
        + [{"name": p, "party": p} for p in PARTIES],
        "life_safety": list(PARTIES), "time_intervals": INTERVALS, "inhibit_rules": list(case.inhibit),
        "route": {"receiver": "none", "routes": [case.route]},
    }), f"{case.name}.yaml")


class Told(msgspec.Struct, frozen=True, order=True):
    """One notification as both sides are compared: receiver, group, state, alarms in their order."""

    receiver: str
    group: str
    state: str
    alarms: tuple[tuple[str, str], ...]


def told_by_us(case: Case, times: dict[int, int], silence_times: dict[int, int], end_us: int, kind: type[Router]
               ) -> tuple[list[tuple[int, Told]], Router]:
    """Run the stream at the times at which the Alertmanager had it."""
    plan = plan_of(case)
    router = kind(plan, case.name)
    keys = dict(_peer_keys(plan.root, "{}"))
    said: list[Notification] = []
    for i, event in enumerate(case.events):
        at_us = silence_times[i] if event.kind == "silence" else times[event.slot]
        said += _pass(router, at_us)
        if event.kind == "silence":
            router.silence(Silence(f"s{i}", tuple(parse_matcher(m) for m in event.matchers), at_us,
                                   times[-1] + event.until * 125_000, "test", "test"), at_us)
        else:
            ended = at_us if event.kind == "resolve" else 0
            said += router.put(event.labels, started_us=at_us - event.early_s * 1_000_000, ended_us=ended,
                               now_us=at_us)
    said += _pass(router, end_us)
    return [(n.at_us, Told(
        n.receiver, f"{keys[n.route]}:{json.dumps(n.group, sort_keys=True)}", n.state,
        tuple((fingerprint(a.labels), "resolved" if a.ended_us else "firing") for a in n.alarms),
    )) for n in said], router


def _pass(router: Router, until_us: int) -> list[Notification]:
    """Tick whenever something is due, as a worker does: turns that are missed together would be said once."""
    said: list[Notification] = []
    while (due_us := router.due_us()) is not None and due_us <= until_us:
        said += router.tick(due_us)
    return said


def _peer_keys(route: Route, key: str) -> list[tuple[str, str]]:
    """Our keys of routes, and Alertmanager's."""
    found = [(route.key, key)]
    for child in route.routes:
        ordered = sorted(child.matchers, key=lambda m: (m.label, m.value, ("=", "!=", "=~", "!~").index(m.operator)))
        found += _peer_keys(child, f"{key}/{{{','.join(map(_peer_text, ordered))}}}")
    return found


def _peer_text(matcher: Matcher) -> str:
    return f'{matcher.label}{matcher.operator}"{matcher.value}"'


class Peer:
    """One Alertmanager with a real webhook receiver on loopback; runs all its cases together."""

    def __init__(self, cases: list[Case], folder: Path) -> None:
        self.cases, self._folder = cases, folder
        self.received: list[tuple[int, Told]] = []
        self.times: dict[int, int] = {}
        self.silence_times: dict[str, dict[int, int]] = {case.name: {} for case in cases}
        self._hooks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def run(self) -> None:
        """Start, play the stream, stop."""
        hooks = threading.Thread(target=self._hooks.serve_forever, daemon=True)
        hooks.start()
        (port,) = free_ports(1)
        (self._folder / "peer.yml").write_text(yaml.safe_dump(self._config()), encoding="utf-8")
        with subprocess.Popen(
            ["prometheus-alertmanager", f"--config.file={self._folder / 'peer.yml'}", "--cluster.listen-address=",
             f"--storage.path={self._folder / 'store'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=(self._folder / "peer.log").open("w"),
        ) as process:
            try:
                self._url = f"http://127.0.0.1:{port}/api/v2"
                self._await_ready(process)
                self._play()
            finally:
                process.terminate()
                process.wait(60)
                self._hooks.shutdown()
                self._hooks.server_close()

    @property
    def end_us(self) -> int:
        """Up to when both are compared."""
        return self.times[-1] + RUN_S * 1_000_000 + 875_000

    def told(self, case: Case) -> list[tuple[int, Told]]:
        """What the Alertmanager sent of one case, in order of arrival."""
        mine = case.name + "-"
        return [(at, told) for at, told in self.received if told.receiver.startswith(mine) and at < self.end_us]

    def _config(self) -> dict[str, Any]:
        hook = f"http://127.0.0.1:{self._hooks.server_address[1]}/"
        return {
            "global": {"resolve_timeout": "1h"},
            "route": {"receiver": "none", "routes": [case.route for case in self.cases]},
            "receivers": [{"name": "none"}] + [
                {"name": name, "webhook_configs": [{"url": hook, "send_resolved": sends}]}
                for case in self.cases for name, sends in case.receivers],
            "inhibit_rules": [rule for case in self.cases for rule in case.inhibit],
            "time_intervals": INTERVALS,
        }

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        peer = self

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at_us = time.time_ns() // 1000
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = body["groupKey"].partition(":{")[0]
                group = json.dumps(body["groupLabels"], sort_keys=True)
                peer.received.append((at_us, Told(
                    body["receiver"], f"{key}:{group}", body["status"],
                    tuple((fingerprint(a["labels"]), a["status"]) for a in body["alerts"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        return Hook

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(1200):
            try:
                urllib.request.urlopen(self._url + "/status", timeout=5).read()
                return
            except OSError:
                assert process.poll() is None, (self._folder / "peer.log").read_text()
                time.sleep(0.05)
        raise AssertionError("the Alertmanager did not come up")

    def _play(self) -> None:
        start_us = (time.time_ns() // 1_000_000 + 500) * 1000
        self.times[-1] = start_us
        for slot in range(STREAM_S * 8):
            now = [(case, i, e) for case in self.cases for i, e in enumerate(case.events) if e.slot == slot]
            if not now:
                continue
            _sleep_until(start_us + slot * 125_000)
            alerts = []
            before_us = time.time_ns() // 1000
            for _, _, event in now:
                if event.kind == "raise":
                    alerts.append({"labels": event.labels, "startsAt": _iso(before_us - event.early_s * 1_000_000)})
                elif event.kind == "resolve":
                    alerts.append({"labels": event.labels, "startsAt": _iso(before_us - 20_000),
                                   "endsAt": _iso(before_us)})
            if alerts:
                self._post("/alerts", alerts)
            self.times[slot] = before_us
            for case, i, event in now:
                if event.kind == "silence":
                    self.silence_times[case.name][i] = time.time_ns() // 1000
                    self._post("/silences", {
                        "matchers": [_api(parse_matcher(m)) for m in event.matchers], "createdBy": "test",
                        "comment": "test", "startsAt": _iso(time.time_ns() // 1000),
                        "endsAt": _iso(start_us + event.until * 125_000)})
        _sleep_until(self.end_us + 250_000)

    def _post(self, path: str, body: object) -> None:
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
            answer.read()


def _api(matcher: Matcher) -> dict[str, object]:
    return {"name": matcher.label, "value": matcher.value, "isRegex": "~" in matcher.operator,
            "isEqual": matcher.operator in ("=", "=~")}


def _iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat().replace("+00:00", "Z")


def _sleep_until(at_us: int) -> None:
    time.sleep(max(0.0, at_us / 1e6 - time.time()))
