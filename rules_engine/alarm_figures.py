"""What people's verdicts say of rules and detectors: labels flow back from closed incidents. Pure.

    ended incidents (cause) ──► per rule: true, false, share of true ones with its interval
                            ──► per cause and model: false alarms, rate per 100 detectors and year
                            ──► advice: which detector to move, clean or replace, which rule to look at
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from device_model.handling import NO_VERDICT, TRUE_CAUSES, Cause
from device_model.read_models import IncidentState, IncidentView
from device_model.site import Text
from rules_engine.intervals import poisson, wilson

YEAR_DAYS = 365.25
# One detector that erred so often is a task, whatever the rate of its model.
ERRED_OFTEN = 3
# What to do about a detector that errs for that cause.
REMEDY: dict[Cause, Text] = {
    Cause.COOKING: Text("Move it away from the kitchen, or use heat or a multi-criteria detector",
                        "移离厨房，或改用感温/复合探测器"),
    Cause.STEAM: Text("Move it away from the bathroom door, or use heat", "移离浴室门口，或改用感温探测器"),
    Cause.DUST: Text("Clean it, and cover it during works", "清洁探测器，施工期间加防尘罩"),
    Cause.INSECT: Text("Clean it and fit an insect screen", "清洁并加装防虫网"),
    Cause.SMOKING: Text("Talk to those who smoke there; not a fault of the detector", "劝导吸烟行为，非设备问题"),
    Cause.WORKS: Text("Take permits for works; isolate by name for their time", "施工须办理作业票并登记隔离"),
    Cause.WEATHER: Text("Check the place for draught, sun and moisture", "检查安装位置的气流、日照与潮湿"),
    Cause.DEVICE_FAULT: Text("Replace it", "更换探测器"),
    Cause.WRONG_PLACE: Text("Relocate it", "重新选址安装"),
}


class RuleQuality(msgspec.Struct, frozen=True):
    """One rule. share_true with its 95 % interval (Wilson), None where no verdict was given."""

    rule: str
    true: int
    false: int
    unstated: int
    share_true: float | None
    interval_95: tuple[float, float]


class FalseRate(msgspec.Struct, frozen=True):
    """False alarms of one model for one cause, per 100 detectors and year (Poisson 95 %)."""

    model: str
    cause: Cause
    false: int
    detectors: int
    per_100_and_year: float
    interval_95: tuple[float, float]


class DetectorTask(msgspec.Struct, frozen=True):
    """A detector that errs: what to do."""

    site: str
    device: str
    model: str
    cause: Cause
    times: int
    remedy: Text


class QualityReport(msgspec.Struct, frozen=True):
    """All of it."""

    incidents: int
    days: float
    rules: tuple[RuleQuality, ...]
    rates: tuple[FalseRate, ...]
    tasks: tuple[DetectorTask, ...]

    def text(self) -> str:
        """For people."""
        lines = [f"{self.incidents} ended incidents in {self.days:.1f} days", "",
                 "rule                                true  false  no verdict  share true (95 %)"]
        for r in self.rules:
            share = "-" if r.share_true is None else (
                f"{r.share_true:.0%} ({r.interval_95[0]:.0%} to {r.interval_95[1]:.0%})")
            lines.append(f"{r.rule:<34} {r.true:>6} {r.false:>6} {r.unstated:>11}  {share}")
        lines += ["", "model                     cause          false  detectors  per 100 and year (95 %)"]
        lines += [f"{r.model:<25} {r.cause.value:<14} {r.false:>5} {r.detectors:>10}  {r.per_100_and_year:.2f} "
                  f"({r.interval_95[0]:.2f} to {r.interval_95[1]:.2f})" for r in self.rates]
        lines += ["", *(f"{t.site} {t.device} ({t.model}): {t.times} × {t.cause.value}: {t.remedy.en}"
                        for t in self.tasks)]
        return "\n".join(lines)


def cause_of(view: IncidentView) -> Cause:
    """What a person said it was; a false alarm without a cause is OTHER, an end without any word unstated."""
    stated = view.handling.cause if view.handling else Cause.UNSTATED
    if stated is Cause.UNSTATED and view.state is IncidentState.FALSE:
        return Cause.OTHER
    return stated


def quality(
    views: Iterable[IncidentView], models: Mapping[tuple[str, str], str], days: float
) -> QualityReport:
    """models: (site path, device) → model, of every detector that is installed. days: the time that was looked at."""
    ended = [v for v in views if v.state in (IncidentState.CLOSED, IncidentState.FALSE) and not v.drill]
    verdicts: dict[str, Counter[str]] = {}
    erred: Counter[tuple[str, str, Cause]] = Counter()
    for view in ended:
        cause = cause_of(view)
        word = "true" if cause in TRUE_CAUSES else "unstated" if cause in NO_VERDICT else "false"
        for rule in {alarm.rule for alarm in view.alarms if not alarm.test}:
            verdicts.setdefault(rule, Counter())[word] += 1
        if word == "false":
            for device in {alarm.device for alarm in view.alarms if alarm.device and not alarm.test}:
                erred[view.tenancy.path, device, cause] += 1
    rules = tuple(_rule(rule, counts) for rule, counts in sorted(verdicts.items()))
    return QualityReport(len(ended), days, rules, _rates(erred, models, days), _tasks(erred, models))


def _rule(rule: str, counts: Counter[str]) -> RuleQuality:
    said = counts["true"] + counts["false"]
    return RuleQuality(rule, counts["true"], counts["false"], counts["unstated"],
                       counts["true"] / said if said else None, wilson(counts["true"], said))


def _rates(
    erred: Counter[tuple[str, str, Cause]], models: Mapping[tuple[str, str], str], days: float
) -> tuple[FalseRate, ...]:
    installed = Counter(models.values())
    counts: Counter[tuple[str, Cause]] = Counter()
    for (site, device, cause), times in erred.items():
        counts[models.get((site, device), "unknown"), cause] += times
    found = []
    for (model, cause), times in sorted(counts.items()):
        hundreds = installed[model] / 100 * days / YEAR_DAYS
        interval = poisson(times, hundreds)
        found.append(FalseRate(model, cause, times, installed[model], times / hundreds if hundreds > 0 else 0.0,
                               interval if hundreds > 0 else (0.0, 0.0)))
    return tuple(sorted(found, key=lambda rate: (-rate.false, rate.model, rate.cause)))


def _tasks(
    erred: Counter[tuple[str, str, Cause]], models: Mapping[tuple[str, str], str]
) -> tuple[DetectorTask, ...]:
    found = []
    for (site, device, cause), times in erred.items():
        remedy = REMEDY.get(cause)
        at_once = cause in (Cause.DEVICE_FAULT, Cause.WRONG_PLACE)
        if remedy is not None and (at_once or times >= ERRED_OFTEN):
            found.append(DetectorTask(site, device, models.get((site, device), "unknown"), cause, times, remedy))
    return tuple(sorted(found, key=lambda task: (-task.times, task.site, task.device)))
