"""The plan of an outage: every kill, cut, stimulus and change of value, made from the seed before the first second.

    0 ── cloud there ── 60 s ──────────── cloud away, but for short returns ──────────── hours ── cloud there, drains
                          kills │ stimuli, half of them just before a kill │ values: each minute, ten a second
                                                                             in the seconds before each kill
"""

from __future__ import annotations

from random import Random

import msgspec

FIRST_S = 60.0  # the cloud is there, so that everything has been delivered once
BUSY_S = 2.5  # before each kill the value changes ten times a second, so that what a kill costs is seen
BUSY_EVERY_S = 0.1
QUIET_EVERY_S = 60.0
STIMULI_MAX = 24  # each has a detector of its own, so that an alarm names its stimulus
STIMULUS_S = (45.0, 240.0)
RETURNS_EACH_H = 1 / 3  # the cloud is back for a moment: a kill may fall into the draining
RETURN_S = (5.0, 90.0)
# Where in the life of a commit the process dies; "" at any moment.
POINTS = ("", "commit", "syncing", "synced", "acknowledge", "acknowledged")
ARMED_FOR_S = 5.0  # when the chosen point does not come, the process dies anyway


class Kill(msgspec.Struct, frozen=True):
    """The process dies at at_s, or within 5 s at that point of a commit; is away for away_s. power: a new boot."""

    at_s: float
    away_s: float
    power: bool
    point: str


class Stimulus(msgspec.Struct, frozen=True):
    """Detector number `detector` is in alarm from at_s for for_s seconds."""

    at_s: float
    for_s: float
    detector: int


class Plan(msgspec.Struct, frozen=True):
    """A whole run. returns: (from, to) seconds at which the cloud is there within the outage."""

    end_s: float
    kills: tuple[Kill, ...]
    stimuli: tuple[Stimulus, ...]
    returns: tuple[tuple[float, float], ...]


def plan_of(random: Random, hours: float, kills: int) -> Plan:
    """Everything by chance. Kills stand apart, so that each kills a living process."""
    end_s = FIRST_S + hours * 3600
    apart_s = (end_s - FIRST_S) / max(1, kills)
    chosen = []
    for number in range(kills):
        # Within its own share of the time, and at most a third of it is spent dead.
        away_s = random.uniform(0.3, min(20.0, apart_s / 3))
        at_s = FIRST_S + number * apart_s + random.uniform(0.1, max(0.2, apart_s - away_s - ARMED_FOR_S - 1))
        chosen.append(Kill(round(at_s, 3), round(away_s, 3), random.random() < 0.5, random.choice(POINTS)))
    stimuli = []
    for detector in range(min(STIMULI_MAX, max(4, kills))):
        near = random.choice(chosen).at_s if chosen and detector % 2 else None
        at_s = random.uniform(FIRST_S, end_s - 400) if near is None else near - random.uniform(0.0, 14.0)
        stimuli.append(Stimulus(round(max(1.0, at_s), 3), round(random.uniform(*STIMULUS_S), 3), detector))
    returns = []
    for _ in range(round(hours * RETURNS_EACH_H)):
        near_s = random.choice(chosen).at_s if chosen and random.random() < 0.5 else random.uniform(FIRST_S, end_s)
        begin_s = max(FIRST_S + 5, near_s - random.uniform(0.5, 10.0))
        returns.append((round(begin_s, 3), round(begin_s + random.uniform(*RETURN_S), 3)))
    return Plan(end_s, tuple(chosen), tuple(sorted(stimuli, key=lambda s: s.at_s)), _joined(returns))


def _joined(spans: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    joined: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(spans):
        if joined and begin_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        else:
            joined.append((begin_s, end_s))
    return tuple(joined)
