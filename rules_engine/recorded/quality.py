"""How well alarms met what was labelled: delays, misses, false alarms with their interval.

The measures are those of fire and gas practice: delay is the first alarm minus the onset; a miss is reported apart
and never averaged in; a false alarm is an episode that begins outside every event and its recovery; episodes of one
point closer than five minutes are one; none seen in T sensor-years bounds the rate only at 3/T, so the interval
stands beside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from device_model.alarm import Hazard, Severity
from rules_engine.recorded.experiment import Experiment, LabelledEvent
from rules_engine.recorded.replay import Episode

ONE_EPISODE_S = 300.0
HOURS_OF_YEAR = 8766.0


class Judged(msgspec.Struct, frozen=True):
    """An episode and what it was: the event that it answers, "" for a false alarm; delay_s for an event's first."""

    episode: Episode
    event: str
    delay_s: float | None = None

    @property
    def false_alarm(self) -> bool:
        """Whether it answers nothing that happened."""
        return not self.event


class Answer(msgspec.Struct, frozen=True):
    """One event and its first alarm; delay_s None for a miss."""

    experiment: str
    event: str
    kind: str
    delay_s: float | None
    rule: str = ""
    subject: str = ""


class Summary(msgspec.Struct, frozen=True):
    """The figures of a set. Delays in seconds, None where no event was found.

    interval_95: of the false alarms per sensor-year.
    """

    events: int
    missed: int
    delay_median_s: float | None
    delay_p90_s: float | None
    delay_worst_s: float | None
    false_alarms: int
    sensor_hours: float
    false_per_sensor_year: float | None
    interval_95: tuple[float, float] | None


def judge(experiment: Experiment, episodes: Iterable[Episode], *, hazards: frozenset[Hazard], least: Severity,
          recovery_s: float) -> tuple[tuple[Judged, ...], tuple[Answer, ...]]:
    """The episodes of the class asked for, each with its event; and each event with its first alarm."""
    wanted = merged(episode for episode in episodes
                    if episode.hazard in hazards and episode.severity.rank >= least.rank)
    first: dict[str, Episode] = {}
    judged: list[Judged] = []
    for episode in wanted:
        event = _event_of(experiment, episode, recovery_s)
        delay_s = None
        if event is not None and event.id not in first and episode.start_s <= event.end_s:
            first[event.id] = episode
            delay_s = episode.start_s - event.start_s
        judged.append(Judged(episode, event.id if event else "", delay_s))
    answers = tuple(_answer(experiment.name, event, first.get(event.id)) for event in experiment.events)
    return tuple(judged), answers


def _answer(experiment: str, event: LabelledEvent, first: Episode | None) -> Answer:
    if first is None:
        return Answer(experiment, event.id, event.kind, None)
    return Answer(experiment, event.id, event.kind, first.start_s - event.start_s, first.rule, first.subject)


def _event_of(experiment: Experiment, episode: Episode, recovery_s: float) -> LabelledEvent | None:
    if episode.start_s < experiment.learning_until_s:
        return None
    fitting = [event for event in experiment.events
               if event.start_s <= episode.start_s <= event.end_s + recovery_s
               and (not event.zones or episode.zone in event.zones)]
    # One that is going on goes before one that is over.
    return min(fitting, key=lambda event: (episode.start_s > event.end_s, -event.start_s), default=None)


def merged(episodes: Iterable[Episode]) -> list[Episode]:
    """Episodes of one subject that lie closer than five minutes are one; the first rule gives the name."""
    last: dict[str, Episode] = {}
    out: list[Episode] = []
    for episode in sorted(episodes, key=lambda e: e.start_s):
        before = last.get(episode.subject)
        if before is not None and episode.start_s - before.end_s < ONE_EPISODE_S:
            longer = msgspec.structs.replace(before, end_s=max(before.end_s, episode.end_s))
            out[out.index(before)] = last[episode.subject] = longer
        else:
            out.append(episode)
            last[episode.subject] = episode
    return out


def summarize(answers: Sequence[Answer], judged: Sequence[Judged], sensor_hours: float) -> Summary:
    """The figures of all experiments of a set."""
    delays = sorted(answer.delay_s for answer in answers if answer.delay_s is not None)
    false_alarms = sum(one.false_alarm for one in judged)
    years = sensor_hours / HOURS_OF_YEAR
    low, high = poisson_interval(false_alarms)
    return Summary(
        len(answers), len(answers) - len(delays),
        _quantile(delays, 0.5), _quantile(delays, 0.9), delays[-1] if delays else None,
        false_alarms, round(sensor_hours, 3),
        round(false_alarms / years, 3) if years else None,
        (round(low / years, 3), round(high / years, 3)) if years else None)


def _quantile(ordered: Sequence[float], q: float) -> float | None:
    """Linear between ranks, as in most statistics programs."""
    if not ordered:
        return None
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 3)


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """The exact (Garwood) interval of a Poisson mean after `count` events: 0 → (0, 3.69) at 95 %, two-sided."""
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else _solve(lambda mean: 1 - _cumulative(count - 1, mean), tail, rising=True, top=count)
    top = count + 10 * math.sqrt(count + 1) + 10
    return low, _solve(lambda mean: _cumulative(count, mean), tail, rising=False, top=top)


def _cumulative(count: int, mean: float) -> float:
    """P(X ≤ count) for a Poisson mean, by logarithms so that large counts do not overflow."""
    if mean <= 0:
        return 1.0
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)]
    top = max(logs)
    return min(1.0, math.exp(top) * math.fsum(math.exp(value - top) for value in logs))


def _solve(function: Callable[[float], float], wanted: float, *, rising: bool, top: float) -> float:
    low, high = 0.0, float(top)
    for _ in range(60):
        middle = (low + high) / 2
        below = function(middle) < wanted
        low, high = (middle, high) if below is rising else (low, middle)
    return (low + high) / 2
