"""Load on people: how many alarms each operator gets, and which only tire them (ISA-18.2, EEMUA 191). Pure.

    raises ──► per operator and 10 minutes: mean, peak, share of overloaded slots
           ──► chattering (raised often in a short time), stale and standing (long in alarm), the ten most frequent
           ──► advice
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from device_model.clock import HOUR_US, MINUTE_US
from device_model.site import Text

SLOT_US = 10 * MINUTE_US
# ISA-18.2-2016, table "annunciated alarms per operating position": about 1 in 10 minutes is very likely acceptable,
# about 2 is the most that can be managed; more than 10 is a flood. Certainty B: from secondary sources.
ACCEPTABLE, MOST, FLOOD = 1.0, 2.0, 10
# An alarm that is raised three times within a minute chatters.
CHATTER_TIMES, CHATTER_US = 3, MINUTE_US
# One that stands longer than a day is stale: it says nothing new to anybody.
STALE_US = 24 * HOUR_US
LISTED = 10


class Raise(msgspec.Struct, frozen=True):
    """One raise of one alarm. over_us: when it was over, 0 while it stands."""

    alarm: str
    at_us: int
    over_us: int = 0


class FrequentAlarm(msgspec.Struct, frozen=True):
    """One alarm and how often it was raised."""

    alarm: str
    times: int
    share: float


class LoadReport(msgspec.Struct, frozen=True):
    """What people had to bear."""

    operators: int
    hours: float
    raises: int
    per_operator_and_10_min: float
    peak_10_min: int
    flooded_share: float
    frequent: tuple[FrequentAlarm, ...]
    chattering: tuple[FrequentAlarm, ...]
    stale: tuple[str, ...]
    standing: tuple[str, ...]
    advice: tuple[Text, ...]

    def text(self) -> str:
        """For people."""
        lines = [f"{self.raises} alarms in {self.hours:.1f} h for {self.operators} operator(s): "
                 f"{self.per_operator_and_10_min:.2f} each in 10 minutes, {self.peak_10_min} at most, "
                 f"{self.flooded_share:.1%} of the time flooded"]
        for name, found in (("most frequent", self.frequent), ("chattering", self.chattering)):
            lines += [f"{name}:", *(f"  {one.times:>5}  {one.share:>6.1%}  {one.alarm}" for one in found)]
        lines += [f"stale: {', '.join(self.stale) or 'none'}", f"standing: {', '.join(self.standing) or 'none'}",
                  *(f"- {advice.en}" for advice in self.advice)]
        return "\n".join(lines)


def load(raises: Iterable[Raise], *, from_us: int, to_us: int, operators: int = 1) -> LoadReport:
    """Over a time, for so many operating positions. ValueError for a time or a number that is none."""
    if to_us <= from_us or operators < 1:
        raise ValueError("a load needs a time from before to, and one operator at least")
    ordered = sorted((one for one in raises if from_us <= one.at_us < to_us or _stands(one, to_us)),
                     key=lambda one: (one.at_us, one.alarm))
    within = [one for one in ordered if one.at_us >= from_us]
    slots = Counter((one.at_us - from_us) // SLOT_US for one in within)
    count = max(1, -(-(to_us - from_us) // SLOT_US))
    times = Counter(one.alarm for one in within)
    frequent = tuple(FrequentAlarm(name, n, n / len(within)) for name, n in _most(times))
    chatter = Counter({name: times[name] for name in _chattering(within)})
    chattering = tuple(FrequentAlarm(name, n, n / len(within)) for name, n in _most(chatter))
    standing = sorted({one.alarm for one in ordered if _stands(one, to_us)})
    stale = sorted({one.alarm for one in ordered if (one.over_us or to_us) - one.at_us > STALE_US})
    mean = len(within) / operators / count
    flooded = sum(n / operators > FLOOD for n in slots.values()) / count
    report = LoadReport(operators, (to_us - from_us) / HOUR_US, len(within), mean, max(slots.values(), default=0),
                        flooded, frequent, chattering, tuple(stale), tuple(standing), ())
    return msgspec.structs.replace(report, advice=_advice(report))


def _stands(one: Raise, at_us: int) -> bool:
    return one.at_us < at_us and not one.over_us


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LISTED]


def _chattering(raises: list[Raise]) -> set[str]:
    """Alarms that were raised so often within so short a time, once at least."""
    latest: dict[str, list[int]] = defaultdict(list)
    found = set()
    for one in raises:
        times = latest[one.alarm]
        times.append(one.at_us)
        del times[:-CHATTER_TIMES]
        if len(times) == CHATTER_TIMES and times[-1] - times[0] <= CHATTER_US:
            found.add(one.alarm)
    return found


def _advice(report: LoadReport) -> tuple[Text, ...]:
    found = []
    if report.per_operator_and_10_min > MOST:
        found.append(Text(
            f"{report.per_operator_and_10_min:.1f} alarms in 10 minutes are more than one person can manage "
            f"({MOST:.0f}): silence the causes below first",
            f"人均每 10 分钟 {report.per_operator_and_10_min:.1f} 次报警，超过可承受值 {MOST:.0f}：先处理下列来源"))
    elif report.per_operator_and_10_min > ACCEPTABLE:
        found.append(Text(f"More than {ACCEPTABLE:.0f} alarm in 10 minutes each: look at the most frequent ones",
                          f"人均每 10 分钟超过 {ACCEPTABLE:.0f} 次：检查最频繁的报警"))
    if report.chattering:
        found.append(Text("Chattering alarms: lengthen `for` or `keep`, widen the hysteresis, or mend the sensor",
                          "抖动报警：加长 for/keep、加大回差，或检修传感器"))
    if report.stale:
        found.append(Text("Stale alarms stand for more than a day: mend the cause, or isolate by name with an end",
                          "陈旧报警超过一天：排除原因，或署名限期隔离"))
    if report.frequent and len(report.frequent) > 1 and report.frequent[0].share > 0.2:
        found.append(Text(f"One alarm in five or more is {report.frequent[0].alarm}: it is worth a visit",
                          f"超过五分之一的报警来自 {report.frequent[0].alarm}：值得到场检查"))
    if report.flooded_share > 0.01:
        found.append(Text("Floods: group by building in the routing file; what law 1 names passes through anyway",
                          "报警洪泛：在路由文件中按楼栋分组；法则 1 类别始终直达"))
    return tuple(found)
