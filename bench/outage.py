"""`tocsin bench outage --hours 72 --kills N`: what a gateway loses when its cloud is away and it is killed again and
again, in virtual time; the same against a broker that acknowledges and drops (`--broker lying`).

    alarms_lost          stimuli that a life was told of for long enough, and no alarm at the far end
    telemetry_lost_s     the oldest value that a kill cost: seconds from its reading to the kill
    duplicates           records, readings or alarms that stand twice at the far end, numbers with two contents
    unexplained_gaps     numbers missing at the end that nobody declared lost
"""

from __future__ import annotations

import argparse
import sys
from random import Random

import msgspec

from bench.outage_plan import Stimulus, plan_of
from bench.outage_run import Outage
from bench.outage_site import LEAK_FOR_S, subject_of
from bench.report import Report, figure, own_cpu_s, report
from device_model.errors import LocalFault

SETTLED_S = 0.5  # an alarm that was read so long before a kill is on a healthy disk


class Outcome(msgspec.Struct, frozen=True):
    """What one run showed. problems: a line for each broken promise, with what is needed to find it."""

    kills: int
    stimuli_owed: int
    alarms_lost: int
    telemetry_lost_s: float
    telemetry_readings: int
    duplicates: int
    unexplained_gaps: int
    declared_lost: int
    mistakes: int
    records: int
    drained_s: float
    problems: tuple[str, ...]


def add_options(parser: argparse.ArgumentParser) -> None:
    """How long, how often, and how honest the broker is."""
    parser.add_argument("--hours", type=float, default=72.0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=("honest", "lying"), default="honest")


def run(options: argparse.Namespace) -> Report:
    """Play and judge. Each broken promise is named on standard error, for a figure alone does not help to find it."""
    if options.hours <= 0.2 or options.kills < 0:
        raise LocalFault("give more than 0.2 hours and no negative kills")
    cpu_s = own_cpu_s()
    outcome = outage(options.hours, options.kills, options.seed, lying=options.broker == "lying")
    for problem in outcome.problems[:20]:
        print(problem, file=sys.stderr)
    return report(
        "outage",
        {
            "alarms_lost": figure(outcome.alarms_lost, "alarms", at_most=0),
            "telemetry_lost_s": figure(outcome.telemetry_lost_s, "s", at_most=1.0),
            "duplicates": figure(outcome.duplicates, "records", at_most=0),
            "unexplained_gaps": figure(outcome.unexplained_gaps, "gaps", at_most=0),
            "declared_lost": figure(outcome.declared_lost, "records", at_most=0),
            "kills": figure(outcome.kills, "kills", at_least=options.kills),
            "stimuli_owed": figure(outcome.stimuli_owed, "alarms"),
            "telemetry_readings": figure(outcome.telemetry_readings, "readings"),
            "records": figure(outcome.records, "records"),
            "drained_s": figure(outcome.drained_s, "s"),
            "cpu_s": figure(own_cpu_s() - cpu_s, "s"),
        },
        {"virtual_hours": options.hours, "seed": options.seed},
    )


def outage(hours: float, kills: int, seed: int, *, lying: bool = False) -> Outcome:
    """One run and its judgement."""
    dice = Random(seed)  # noqa: S311  simulated chance, not a secret
    return judge(Outage(plan_of(dice, hours, kills), seed, lying=lying).run())


def judge(done: Outage) -> Outcome:
    """Hold what arrived against what the gateway was told."""
    far, problems = done.far, [*done.mistakes, *done.far.refused, *done.far.doubled]
    owed = [stimulus for stimulus in done.plan.stimuli if _owed(done, stimulus)]
    lost = [subject_of(s.detector) for s in owed if subject_of(s.detector) not in far.raised]
    subjects = {subject_of(stimulus.detector) for stimulus in done.plan.stimuli}  # not the daily proof alarm
    twice = [subject for subject, alarms in far.raised.items() if len(alarms) > 1 and subject in subjects]
    gaps = far.ledger.gaps()
    age_s, missing = _telemetry_lost(done)
    problems += [f"{subject} was in alarm and never arrived" for subject in lost]
    problems += [f"{subject} rose under {len(far.raised[subject])} ids" for subject in twice]
    problems += [f"gap {gap}" for gap in gaps]
    if age_s > 1.0:
        problems.append(f"a value was read {age_s:.3f} s before the kill and never arrived ({missing} such)")
    doubles = len(far.doubled) + len(twice)
    return Outcome(
        done.kills, len(owed), len(lost), round(age_s, 4), len(done.emitted), doubles, len(gaps),
        sum(last - first + 1 for loss in far.losses for first, last in loss.ranges), len(done.mistakes), far.records,
        done.drained_s, tuple(problems))


def _owed(done: Outage, stimulus: Stimulus) -> bool:
    """Whether one life saw it for its `for` and long enough to write it down."""
    hold_us = round((SETTLED_S + (LEAK_FOR_S if stimulus.detector % 2 else 0.0)) * 1e6)
    began, ended = round(stimulus.at_s * 1e6), round((stimulus.at_s + stimulus.for_s) * 1e6)
    return any(min(ended, life.ended_us or ended) - max(began, life.began_us) > hold_us for life in done.lives)


def _telemetry_lost(done: Outage) -> tuple[float, int]:
    """(the age at the kill of the oldest value that never arrived, s; how many values were older than 1 s)."""
    oldest, late = 0, 0
    for one in done.emitted:
        ended_us = done.lives[one.life - 1].ended_us or done.loop.now_us
        if not done.far.values[one.value]:
            age_us = ended_us - one.at_us
            oldest, late = max(oldest, age_us), late + (age_us > 1_000_000)
    return oldest / 1e6, late
