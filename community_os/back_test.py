"""Back-test (pure): one rule with its numbers in force and with a changed one, over what a site really measured.

    samples ─► readings by time ─┬─► Engine, rule in force ─► alarms ─┐
                                 └─► Engine, rule changed  ─► alarms ─┴─► kept, gone, new

Law 2: for fire, call point, high gas and CO a change that would have missed a recorded alarm is refused, and so is
one that was held against nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from dashboards.packs import RecordedTest, TestAlarm, TestLine
from device_model.alarm import LIFE_SAFETY, AlarmState
from device_model.clock import SECOND_US, Now
from device_model.inventory import Inventory
from device_model.reading import Reading
from device_model.series import Sample
from rules_engine.binding import bind_rules
from rules_engine.engine import Engine
from rules_engine.evaluate import House
from rules_engine.rule import Rule, RulePack, RuleSet, Runs

LINES_SHOWN = 6
LINE_SAMPLES = 600
ALARMS_SHOWN = 500
# Alarms of both runs that begin within so long of each other at one place are the same.
SAME_US = 600 * SECOND_US


class Outcome(msgspec.Struct, frozen=True):
    """What a back-test found."""

    kept: tuple[TestAlarm, ...]
    gone: tuple[TestAlarm, ...]
    new: tuple[TestAlarm, ...]
    lines: tuple[TestLine, ...]
    samples: int
    refusal: str


def points_of(rule: Rule, inventory: Inventory) -> list[str]:
    """The points of a site that the rule looks at."""
    bound = bind_rules(_alone(rule), inventory, House(inventory.site.tenancy.path, _decides(rule)), 0)
    names = {cell.name: None for watch in bound.watches for cell in watch.cells}
    return [name for name in names if name in inventory.points]


def back_test(
    active: Rule, changed: Rule, inventory: Inventory, samples: Sequence[Sample],
    recorded: RecordedTest = RecordedTest(),  # noqa: B008  a frozen value
) -> Outcome:
    """samples: of the rule's points, oldest first. recorded: both rules over published recordings."""
    before, after = (_alarms(rule, inventory, samples) for rule in (active, changed))
    gone = tuple(one for one in before if not _among(one, after))
    new = tuple(one for one in after if not _among(one, before))
    kept = tuple(_moved(one, before) for one in after if _among(one, before))
    missed, seen = recorded.missed, bool(samples) or recorded.found_before > 0
    refusal = ""
    if active.hazard in LIFE_SAFETY and not seen:
        refusal = ("law 2: nothing is recorded to hold this against; a life-safety rule is not changed unseen · "
                   "法则二：没有可供回测的记录，生命安全规则不得未经验证更改")
    elif active.hazard in LIFE_SAFETY and gone:
        refusal = (f"law 2: it would have missed {len(gone)} recorded alarms · "
                   f"法则二：按此设置将漏报 {len(gone)} 次已记录的报警")
    elif active.hazard in LIFE_SAFETY and missed:
        refusal = (f"law 2: it would have missed {missed} events of published recordings · "
                   f"法则二：按此设置将漏报 {missed} 次公开实录事件")
    return Outcome(kept[:ALARMS_SHOWN], gone[:ALARMS_SHOWN], new[:ALARMS_SHOWN], tuple(_lines(samples)), len(samples),
                   refusal)


def _moved(one: TestAlarm, before: Sequence[TestAlarm]) -> TestAlarm:
    """With how much later it comes than its like before."""
    like = [other for other in before if _among(one, (other,))]
    nearest = min(like, key=lambda other: abs(other.at_us - one.at_us))
    return msgspec.structs.replace(one, later_s=(one.at_us - nearest.at_us) / SECOND_US)


def _alone(rule: Rule) -> RuleSet:
    return RuleSet([RulePack("backtest", 1, rule.title, (rule,), "")])


def _decides(rule: Rule) -> str:
    return "cloud" if rule.runs is Runs.CLOUD else "edge"


def _alarms(rule: Rule, inventory: Inventory, samples: Sequence[Sample]) -> list[TestAlarm]:
    engine = Engine(_alone(rule), inventory, decides=_decides(rule), lateness_us=10 * SECOND_US)
    open_at: dict[str, int] = {}
    found: list[TestAlarm] = []
    for at_us, group in groupby(samples, key=lambda sample: sample.time_us):
        readings = tuple(_reading(sample) for sample in group)
        for step in engine.step(readings, Now(at_us, at_us, "test"), tuple(reading.point for reading in readings)):
            if step.key.rule != rule.id:
                continue
            if step.state is AlarmState.RAISED:
                open_at.setdefault(step.key.subject, step.at_us)
            elif step.state is AlarmState.CLEARED and step.key.subject in open_at:
                found.append(TestAlarm(step.key.subject, open_at.pop(step.key.subject), step.at_us))
    found += [TestAlarm(subject, began, 0) for subject, began in open_at.items()]
    return sorted(found, key=lambda one: (one.at_us, one.subject))


def _reading(sample: Sample) -> Reading:
    return Reading(sample.point, sample.value, sample.unit, sample.quality, sample.reason,
                   source_time_us=sample.time_us, receive_time_us=sample.time_us, mono_us=sample.time_us, boot="test")


def _among(one: TestAlarm, others: Sequence[TestAlarm]) -> bool:
    return any(one.subject == other.subject and (
        abs(one.at_us - other.at_us) <= SAME_US
        or (one.at_us < (other.ended_us or 2**62) and other.at_us < (one.ended_us or 2**62))) for other in others)


def _lines(samples: Sequence[Sample]) -> Iterator[TestLine]:
    by_point: dict[str, list[Sample]] = {}
    for sample in samples:
        by_point.setdefault(sample.point, []).append(sample)
    for point, of_point in list(by_point.items())[:LINES_SHOWN]:
        step = max(1, len(of_point) // (LINE_SAMPLES // 2))
        kept: list[tuple[int, float | None]] = []
        for start in range(0, len(of_point), step):
            # The highest of each stretch: a peak is what the rule sees.
            stretch = [(s.time_us, float(s.value)) for s in of_point[start:start + step]
                       if isinstance(s.value, int | float)]
            kept.append(max(stretch, key=lambda pair: pair[1]) if stretch else (of_point[start].time_us, None))
        yield TestLine(point, of_point[0].unit, tuple(kept))
