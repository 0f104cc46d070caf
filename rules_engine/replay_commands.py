"""What `tocsin rules replay|diff` calls (I/O: reads recorded sets and rule files, tells its progress)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.library import shipped_profiles
from rules_engine.binding import bind_rules
from rules_engine.evaluate import House
from rules_engine.packs import pack_names, read_pack, shipped_packs
from rules_engine.recorded.experiment import Experiment, Recording
from rules_engine.recorded.field_faults import FIELD_FAULTS, ROW_FAULTS
from rules_engine.recorded.folder import Folder
from rules_engine.recorded.long_form import long_form
from rules_engine.recorded.quality import Answer, Judged, Summary, judge, summarize
from rules_engine.recorded.replay import Episode, episodes_of, recorded_inventory
from rules_engine.recorded.sets import SETS
from rules_engine.rule import RuleSet

# A report that nobody could read or send helps nobody; what is beyond is counted.
EPISODES_MAX = 10_000


class ReplayAsked(msgspec.Struct, frozen=True):
    """What to replay. rules: files, () for all shipped packs. set_name with path, or readings: a folder in long form.

    from_s, to_s: a part of each experiment, in its own seconds. fault: a field fault laid over it, by `seed`.
    """

    rules: tuple[Path, ...] = ()
    set_name: str = ""
    path: Path | None = None
    readings: Path | None = None
    from_s: float = float("-inf")
    to_s: float = float("inf")
    fault: str = ""
    seed: int = 1
    analogue: bool = True


class ReplayReport(msgspec.Struct, frozen=True):
    """The outcome. by_kind: the figures of each kind of experiment. faults_told: alarms of hazard `fault`."""

    set: str
    summary: Summary
    by_kind: dict[str, Summary]
    events: tuple[Answer, ...]
    episodes: tuple[dict[str, Any], ...]
    episodes_left_out: int = 0
    faults_told: int = 0

    def text(self) -> str:
        """For people."""
        lines = [_line(self.set, self.summary)]
        lines += [_line(f"  {kind}", summary) for kind, summary in self.by_kind.items()]
        return "\n".join(lines)


def _line(name: str, s: Summary) -> str:
    found = (f"median {s.delay_median_s:g} s, p90 {s.delay_p90_s:g} s, worst {s.delay_worst_s:g} s"
             if s.delay_median_s is not None else "none found")
    rate = "" if s.false_per_sensor_year is None or s.interval_95 is None else (
        f" in {s.sensor_hours:.1f} sensor hours = {s.false_per_sensor_year:g} a sensor-year"
        f" (95 %: {s.interval_95[0]:g} to {s.interval_95[1]:g})")
    return f"{name}: {s.events - s.missed} of {s.events} found, {found}; {s.false_alarms} false alarms{rate}"


def replay(asked: ReplayAsked, progress: Callable[[str], None] = lambda _: None) -> ReplayReport:
    """Replay a recorded set through the rules. Raises ConfigError."""
    return _Replay(asked, rules_of(asked.rules)).run(progress)


class DiffReport(msgspec.Struct, frozen=True):
    """Two rule sets on one record.

    lost, found: events that only the active rules find, only the changed ones.
    only_active, only_changed: the same for episodes.
    later: seconds by which the changed rules find an event later (negative: sooner).
    """

    set: str
    active: Summary
    changed: Summary
    lost: tuple[str, ...]
    found: tuple[str, ...]
    later: dict[str, float]
    only_active: tuple[dict[str, Any], ...]
    only_changed: tuple[dict[str, Any], ...]

    def text(self) -> str:
        """For people."""
        lines = [_line("active ", self.active), _line("changed", self.changed)]
        lines += [f"lost: {name}" for name in self.lost] + [f"found: {name}" for name in self.found]
        lines += [f"{'later' if by > 0 else 'sooner'}: {name} by {abs(by):g} s" for name, by in self.later.items()]
        for word, episodes in (("no longer", self.only_active), ("new", self.only_changed)):
            lines += [f"{word}: {e['experiment']} {e['rule']} {e['subject']} at {e['start_s']:g} s"
                      f"{' (false)' if e['false'] else ''}" for e in episodes]
        return "\n".join(lines)


def diff(asked: ReplayAsked, active: Sequence[Path] = (),
         progress: Callable[[str], None] = lambda _: None) -> DiffReport:
    """What the rules of `asked` would do otherwise than the active ones (none given: the shipped packs).

    Raises ConfigError.
    """
    old = _Replay(asked, rules_of(active)).run(progress)
    new = _Replay(asked, rules_of(asked.rules)).run(progress)
    before = {f"{a.experiment} {a.event}": a.delay_s for a in old.events}
    after = {f"{a.experiment} {a.event}": a.delay_s for a in new.events}
    both = ((name, before.get(name), delay_s) for name, delay_s in after.items())
    later = {name: round(delay_s - before_s, 3) for name, before_s, delay_s in both
             if delay_s is not None and before_s is not None and delay_s != before_s}
    return DiffReport(
        old.set, old.summary, new.summary,
        tuple(name for name, delay_s in after.items() if delay_s is None and before.get(name) is not None),
        tuple(name for name, delay_s in after.items() if delay_s is not None and before.get(name) is None),
        later, _without(old.episodes, new.episodes), _without(new.episodes, old.episodes))


def _without(these: Sequence[dict[str, Any]], those: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Episodes whose experiment and subject the others do not alarm at all."""
    known = {(e["experiment"], e["subject"]) for e in those}
    return tuple(e for e in these if (e["experiment"], e["subject"]) not in known)


def rules_of(files: Sequence[Path]) -> RuleSet:
    """These rule files; none: all shipped packs. Raises ConfigError."""
    return RuleSet([read_pack(path) for path in files]) if files else shipped_packs(pack_names())


def _recording(asked: ReplayAsked) -> Recording:
    if asked.readings is not None:
        return long_form(Folder(asked.readings), shipped_profiles(), asked.readings.name)
    if asked.set_name not in SETS:
        raise ConfigError([Finding("--set", 0, 0, f"no set {asked.set_name!r}", f"one of {', '.join(SETS)}")])
    if asked.path is None:
        raise ConfigError([Finding("--path", 0, 0, "the folder of the set is not given", "add --path DIR")])
    adapter = SETS[asked.set_name]
    options = {"analogue": asked.analogue} if "analogue" in inspect.signature(adapter).parameters else {}
    return adapter(Folder(asked.path), **options)


class _Replay:
    """One run over one set."""

    def __init__(self, asked: ReplayAsked, rules: RuleSet) -> None:
        self._asked, self._rules = asked, rules
        self._recording = _recording(asked)
        self._answers: list[tuple[str, Answer]] = []
        self._judged: list[tuple[str, Judged]] = []
        self._hours: dict[str, float] = {}
        self._faults = 0
        if asked.fault and asked.fault not in FIELD_FAULTS and asked.fault not in ROW_FAULTS:
            raise ConfigError([Finding("--fault", 0, 0, f"no field fault {asked.fault!r}",
                                       f"one of {', '.join([*FIELD_FAULTS, *ROW_FAULTS])}")])

    def run(self, progress: Callable[[str], None]) -> ReplayReport:
        number = 0
        for number, experiment in enumerate(self._experiments(), start=1):
            progress(f"{number}: {experiment.name}")
            self._one(experiment)
        if not number:
            raise ConfigError([Finding(str(self._where()), 0, 0, "no experiment of this set here",
                                       "is this the folder of that set?")])
        kinds = sorted({answer.kind for _, answer in self._answers if answer.kind})
        judged = [one for _, one in self._judged]
        episodes = tuple(_row(one) for one in judged[:EPISODES_MAX])
        return ReplayReport(
            self._recording.name,
            summarize([answer for _, answer in self._answers], judged, sum(self._hours.values())),
            {kind: self._of_kind(kind) for kind in kinds} if len(kinds) > 1 else {},
            tuple(answer for _, answer in self._answers), episodes, len(judged) - len(episodes), self._faults)

    def _where(self) -> Path:
        return self._asked.readings or self._asked.path or Path()

    def _experiments(self) -> Iterator[Experiment]:
        """One after another; a file without rows, or with odd ones, is named and not a crash."""
        experiments = iter(self._recording.experiments)
        while True:
            try:
                experiment = next(experiments, None)
            except (LookupError, TypeError, ValueError) as error:
                what = f"not the layout of {self._recording.name}, or no rows: {type(error).__name__}: {error}"
                raise ConfigError([Finding(str(self._where()), 0, 0, what, "compare it with the set's own notes")]
                                  ) from error
            if experiment is None:
                return
            yield experiment

    def _of_kind(self, kind: str) -> Summary:
        return summarize([answer for name, answer in self._answers if name == kind],
                         [one for name, one in self._judged if name == kind], self._hours.get(kind, 0.0))

    def _one(self, experiment: Experiment) -> None:
        asked = self._asked
        disturb = upset = None
        random = Random(f"{asked.seed} {experiment.name}")  # noqa: S311  # a seed replays the run
        if asked.fault in ROW_FAULTS:
            upset = ROW_FAULTS[asked.fault](random, experiment.span_s(asked.from_s, asked.to_s))
        elif asked.fault:
            disturb = FIELD_FAULTS[asked.fault](random, len(experiment.points))
        episodes = episodes_of(experiment, self._rules, from_s=asked.from_s, to_s=asked.to_s, disturb=disturb,
                               upset=upset)
        self._faults += sum(episode.hazard.value == "fault" for episode in episodes)
        judged, answers = judge(experiment, episodes, hazards=self._recording.hazards,
                                least=self._recording.least_severity, recovery_s=self._recording.recovery_s)
        kind = experiment.kind
        self._answers += [(kind or answer.kind, answer) for answer in answers]
        self._judged += [(kind, one) for one in judged]
        hours = experiment.span_s(asked.from_s, asked.to_s) / 3600 * self._sensors(experiment)
        self._hours[kind] = self._hours.get(kind, 0.0) + hours

    def _sensors(self, experiment: Experiment) -> int:
        """How many points at least one rule of the class that is judged looks at."""
        inventory = recorded_inventory(experiment.points)
        bound = bind_rules(self._rules, inventory, House(inventory.site.tenancy.path, "edge"), 0)
        looked = {cell.name for watch in bound.watches if watch.rule.hazard in self._recording.hazards
                  for cell in watch.cells}
        return len(looked)


def _row(one: Judged) -> dict[str, Any]:
    episode: Episode = one.episode
    return {"experiment": episode.experiment, "rule": episode.rule, "subject": episode.subject, "zone": episode.zone,
            "hazard": episode.hazard, "severity": episode.severity, "start_s": round(episode.start_s, 3),
            "end_s": round(episode.end_s, 3), "event": one.event, "delay_s": one.delay_s, "false": one.false_alarm,
            "detail": episode.detail}
