"""Schedule: everything that is done to the world, made from the seed before the first microsecond.

    0 ── calm ── 25 s ──────── storm ──────── 135 s ──────── quiet ──────── end
       some fires          faults, fires, people      recovery, then one more fire per site
"""

from __future__ import annotations

from random import Random

import msgspec

from tests.simulation.estate import DETECTORS

CALM_S, STORM_S, QUIET_S = 25.0, 110.0, 110.0
END_S = CALM_S + STORM_S + QUIET_S
LAST_FIRE_S = END_S - 25.0

# kind → (weight, shortest and longest duration in seconds). 0 to 0: a moment.
FAULTS: dict[str, tuple[int, float, float]] = {
    "uplink_cut": (5, 1, 60), "radio_cut": (2, 1, 20), "messages_bad": (5, 10, 60), "nats_down": (2, 1, 15),
    "stream_bad": (3, 5, 40), "line_bad": (5, 5, 40), "line_down": (2, 2, 20), "mute": (3, 3, 40),
    "disk_full": (2, 2, 60), "disk_read_only": (2, 2, 60), "disk_hang": (3, 1, 60),
    "kill_gateway": (4, 0.3, 15), "power_cut": (4, 1, 20), "kill_at_journal": (6, 0.3, 10),
    "kill_ingest": (3, 0.3, 10), "kill_worker": (3, 0.3, 10), "kill_worker_behind_commit": (4, 0.3, 5),
    "clock_step": (3, 0, 0), "reset": (3, 0, 0), "acknowledge": (4, 0, 0),
}
CLOUD_KINDS = frozenset({"messages_bad", "nats_down", "stream_bad", "kill_ingest", "kill_worker",
                         "kill_worker_behind_commit"})
# What people do is no fault.
DEEDS = frozenset({"reset", "acknowledge"})
JOURNAL_POINTS = ("commit", "syncing", "synced", "acknowledge", "acknowledged")


class Event(msgspec.Struct, frozen=True):
    """Do `kind` to site (-1: the cloud) at at_s, for for_s seconds. pick: 0..1, chooses what the kind leaves open."""

    at_s: float
    kind: str
    site: int
    for_s: float = 0.0
    pick: float = 0.0


class Fire(msgspec.Struct, frozen=True):
    """A detector sees what it is made for, from at_s for for_s seconds."""

    at_s: float
    site: int
    detector: int
    for_s: float


class Plan(msgspec.Struct, frozen=True):
    """A whole run."""

    sites: tuple[int, ...]
    events: tuple[Event, ...]
    fires: tuple[Fire, ...]
    end_s: float = END_S


def plan_of(random: Random, *, storm: bool = True) -> Plan:
    """Two or three sites; twenty to forty things that go wrong; each detector fires at most twice."""
    sites = tuple(range(1, 1 + random.choice((2, 2, 3))))
    events: list[Event] = []
    kinds, weights = list(FAULTS), [weight for weight, _, _ in FAULTS.values()]
    for _ in range(random.randint(12, 36) if storm else 0):
        kind = random.choices(kinds, weights)[0]
        _, least, most = FAULTS[kind]
        at_s = CALM_S + random.random() * STORM_S
        for_s = min(random.uniform(least, most), CALM_S + STORM_S - at_s) if most else 0.0
        site = -1 if kind in CLOUD_KINDS else random.choice(sites)
        events.append(Event(round(at_s, 3), kind, site, round(for_s, 3), random.random()))
    fires: list[Fire] = []
    for site in sites:
        order = list(range(len(DETECTORS)))
        random.shuffle(order)
        last = order.pop()
        for detector in order:
            draw = random.random()
            if draw < 0.25:
                at_s = 12 + random.random() * (CALM_S - 14)
            elif draw < 0.8:
                at_s = CALM_S + random.random() * STORM_S
            else:
                continue
            for_s = random.choice((4.0, 10.0, 40.0, END_S))
            fires.append(Fire(round(at_s, 3), site, detector, round(for_s + random.random(), 3)))
            again_s = at_s + for_s + 5 + 30 * random.random()
            if random.random() < 0.3 and again_s < LAST_FIRE_S:
                fires.append(Fire(round(again_s, 3), site, detector, END_S))
        fires.append(Fire(round(LAST_FIRE_S + random.random(), 3), site, last, END_S))
    return Plan(sites, tuple(sorted(events, key=lambda e: (e.at_s, e.kind))),
                tuple(sorted(fires, key=lambda f: f.at_s)))
