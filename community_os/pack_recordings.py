"""Published recordings for back-tests (I/O): the three shipped fires, and the sets of a folder that cloud.yaml names.

    demo/recordings/*.csv.gz ─┐            ┌─ rule in force ─► first alarm of each event, false alarms ─┐
    recordings/<set>/… ───────┴► Experiment┴─ rule changed ──► first alarm of each event, false alarms ─┴─► compared

An alarm answers an event when it stands at any moment of it: one that stood before the onset came early, not falsely.
Only sets whose labels are of the rule's hazard, and experiments that the rule looks at. Bounded by number and time: a
page waits for it.
"""

from __future__ import annotations

import csv
import gzip
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from dashboards.packs import RecordedRun, RecordedTest, TestLine
from device_model.errors import ConfigError
from rules_engine.binding import bind_rules
from rules_engine.evaluate import House
from rules_engine.recorded.experiment import Experiment, LabelledEvent, Recording
from rules_engine.recorded.fire_sets import FIRE, nist_experiment
from rules_engine.recorded.folder import Folder
from rules_engine.recorded.replay import Episode, episodes_of, recorded_inventory
from rules_engine.recorded.sets import SETS
from rules_engine.recorded.table import Table
from rules_engine.rule import Rule, RulePack, RuleSet, Runs

SHIPPED = Path(__file__).resolve().parents[1] / "demo" / "recordings"
EXPERIMENTS_MAX, RUNS_SHOWN = 60, 60
WITHIN_S = 45.0
# Of each set: more is the work of `tocsin rules diff`, which has no page that waits.
EXPERIMENTS_OF_SET = 20
ROWS_OF_EXPERIMENT = 40_000
PLOTTED = 4
LINE_SAMPLES = 300


class Recordings:
    """Where they are. Reading is done at each test: sets are large and tests are rare."""

    def __init__(self, folder: Path | None = None, shipped: Path = SHIPPED) -> None:
        """folder: one folder a set, named as in `tocsin rules replay --set`; None where there are none."""
        self._folder, self._shipped = folder, shipped

    def run(self, active: Rule, changed: Rule) -> RecordedTest:
        """Both over every experiment that they look at."""
        end, runs, faults, cut = time.monotonic() + WITHIN_S, list[RecordedRun](), list[str](), False
        false_before = false_after = experiments = 0
        for name, recording in self._sets(active, faults):
            try:
                for experiment in _looked_at(recording, active):
                    if experiments >= EXPERIMENTS_MAX or time.monotonic() > end:
                        cut = True
                        break
                    experiments += 1
                    found, false = _compare(recording, experiment, active, changed, plot=experiments <= PLOTTED)
                    runs += found
                    false_before, false_after = false_before + false[0], false_after + false[1]
            except (ConfigError, ValueError) as error:
                faults.append(f"{name}: {error}")
        moved = sorted(run.after_s - run.before_s for run in runs
                       if run.after_s is not None and run.before_s is not None)
        # What differs first, the largest difference first; plots with it.
        shown = sorted(runs, key=lambda run: (not run.lines, -_weight(run)))[:RUNS_SHOWN]
        return RecordedTest(
            tuple(shown), experiments, len(runs), sum(run.before_s is not None for run in runs),
            sum(run.after_s is not None for run in runs),
            sum(run.before_s is not None and run.after_s is None for run in runs),
            round(statistics.median(moved), 1) if moved else 0.0, false_before, false_after, cut,
            "; ".join(faults)[:500])

    def _sets(self, rule: Rule, faults: list[str]) -> Iterator[tuple[str, Recording]]:
        folder = self._folder
        whole = folder is not None and (folder / "nist_smoke_alarms").is_dir()
        if rule.hazard in FIRE and self._shipped.is_dir() and not whole:
            yield "shipped", Recording("nist_smoke_alarms", _shipped(self._shipped), FIRE)
        if folder is None:
            return
        if not folder.is_dir():
            faults.append(f"{folder}: there is no such folder (recordings: in cloud.yaml)")
            return
        for name, adapter in SETS.items():
            if not (folder / name).is_dir() or (name == "nist_smoke_alarms" and rule.hazard not in FIRE):
                continue
            try:
                recording = adapter(Folder(folder / name))
            except ConfigError as error:
                faults.append(f"{name}: {error}")
                continue
            if rule.hazard in recording.hazards:
                yield name, recording


def _shipped(folder: Path) -> Iterator[Experiment]:
    """Excerpts: names, units, rows."""
    for file in sorted(folder.glob("nist_*.csv.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as text:
            names, _, *rows = list(csv.reader(text))
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        yield nist_experiment(Table(str(file), columns), file.name.removesuffix(".csv.gz"))


def _looked_at(recording: Recording, rule: Rule) -> Iterator[Experiment]:
    """Those with a place that the rule watches. Where the first two have none, the set has none."""
    none = 0
    for experiment in islice(recording.experiments, EXPERIMENTS_OF_SET):
        inventory = recorded_inventory(experiment.points)
        bound = bind_rules(_alone(rule), inventory, House(inventory.site.tenancy.path, _decides(rule)), 0)
        if any(watch.rule.id == rule.id for watch in bound.watches):
            yield experiment
            continue
        none += 1
        if none == 2:
            return


def _compare(
    recording: Recording, experiment: Experiment, active: Rule, changed: Rule, *, plot: bool,
) -> tuple[list[RecordedRun], tuple[int, int]]:
    rows = list(islice(experiment.rows(), ROWS_OF_EXPERIMENT))
    short = Experiment(experiment.name, experiment.points, rows, experiment.events, zero_us=experiment.zero_us,
                       learning_until_s=experiment.learning_until_s, kind=experiment.kind)
    old, new = ([one for one in episodes_of(short, _alone(rule), decides=_decides(rule)) if one.rule == rule.id]
                for rule in (active, changed))
    lines = tuple(_lines(short, rows, [one.subject for one in (*old, *new)])) if plot and rows else ()
    last_s = rows[-1][0] if rows else float("-inf")
    seen = [event for event in experiment.events if event.start_s <= last_s]
    found = [RecordedRun(recording.name, experiment.name, event.id, event.kind or experiment.kind,
                         round(event.start_s, 1), _delay_s(event, old, recording), _delay_s(event, new, recording),
                         lines if number == 0 else ()) for number, event in enumerate(seen)]
    return found, (_false(experiment, old, recording), _false(experiment, new, recording))


def _answers(event: LabelledEvent, one: Episode, recording: Recording) -> bool:
    return (one.start_s <= event.end_s + recording.recovery_s and one.end_s >= event.start_s
            and (not event.zones or one.zone in event.zones))


def _delay_s(event: LabelledEvent, episodes: Sequence[Episode], recording: Recording) -> float | None:
    """Of the first alarm after the onset, negative for one that stood before; None for a miss."""
    starts = [one.start_s for one in episodes if _answers(event, one, recording) and one.start_s <= event.end_s]
    return round(min(starts) - event.start_s, 1) if starts else None


def _false(experiment: Experiment, episodes: Sequence[Episode], recording: Recording) -> int:
    """Alarms that answer nothing that was labelled."""
    return sum(not any(_answers(event, one, recording) for event in experiment.events) for one in episodes)


def _weight(run: RecordedRun) -> float:
    if (run.before_s is None) != (run.after_s is None):
        return float("inf")
    return 0.0 if run.before_s is None or run.after_s is None else abs(run.after_s - run.before_s)


def _lines(
    experiment: Experiment, rows: Sequence[tuple[float, Sequence[float | None]]], subjects: Sequence[str],
) -> Iterator[TestLine]:
    """What the points did that were alarmed (else the first): the highest of each stretch. Times: µs of the run."""
    wanted = list(dict.fromkeys(name for name in subjects if any(name == one.id for one in experiment.points)))
    for name in (wanted or [experiment.points[0].id])[:2]:
        place = next(n for n, one in enumerate(experiment.points) if one.id == name)
        step, kept = max(1, len(rows) // LINE_SAMPLES), list[tuple[int, float | None]]()
        for start in range(0, len(rows), step):
            stretch = [(t_s, value) for t_s, values in rows[start:start + step]
                       if (value := values[place]) is not None and value == value]  # noqa: PLR0124  # NaN
            t_s, highest = max(stretch, key=lambda pair: pair[1]) if stretch else (rows[start][0], None)
            kept.append((round(t_s * 1e6), highest))
        yield TestLine(name, experiment.points[place].unit, tuple(kept))


def _alone(rule: Rule) -> RuleSet:
    return RuleSet([RulePack("backtest", 1, rule.title, (rule,), "")])


def _decides(rule: Rule) -> str:
    return "cloud" if rule.runs is Runs.CLOUD else "edge"
