"""The words of a notice for people (pure): a CloudEvent as a short message in Chinese or English, by whom it is for.

    event (notification, incident, call, rota, digest, test) ──► stage ──► title, lines
        alarm · update · escalation · all_clear · drill (marked on all of them) · duty · summary · test

A title says what and where; the body says what to do for this audience, and how sure it is: unverified until
verified (law 1). A drill says so first. Nothing of other people stands in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from dashboards.kit.texts import text as kit_text
from device_model.clock import SECOND_US
from device_model.site import Text

# A message on a phone; what is beyond is counted, and stands on the incident's page.
LINES_MAX = 12
PLACES_MAX = 40
LIFE_SAFETY = frozenset({"fire", "call_point", "gas_high", "co"})


class Audience(StrEnum):
    """Whom a channel speaks to."""

    PROPERTY = "property"
    BRIGADE = "brigade"
    OFFICER = "officer"
    RESIDENT = "resident"


class Stage(StrEnum):
    """What a message is about."""

    ALARM = "alarm"
    UPDATE = "update"
    ESCALATION = "escalation"
    ALL_CLEAR = "all_clear"
    DUTY = "duty"
    SUMMARY = "summary"
    TEST = "test"


class Words(msgspec.Struct, frozen=True):
    """One message. urgent: it stands for the class of law 1."""

    title: str
    body: str
    stage: Stage
    urgent: bool = False
    drill: bool = False


_STAGE: dict[Stage, Text] = {
    Stage.ALARM: Text("ALARM", "报警"),
    Stage.UPDATE: Text("Update", "进展"),
    Stage.ESCALATION: Text("NOBODY HAS ANSWERED", "无人应答"),
    Stage.ALL_CLEAR: Text("All clear", "已恢复"),
    Stage.DUTY: Text("Duty change", "值班变动"),
    Stage.SUMMARY: Text("Further messages", "更多消息"),
    Stage.TEST: Text("Test message", "测试消息"),
}
_DRILL = Text("DRILL — no emergency", "演练——并非真实警情")
_UNVERIFIED = Text("Not verified yet: treat it as real.", "尚未核实：请按真实警情处置。")
_VERIFIED = Text("Verified.", "已核实。")
_ALL_CLEAR = Text("The detectors are back to normal. Follow the people on site before you go back in.",
                  "探测器已恢复正常。返回前请听从现场人员安排。")
_DO: dict[tuple[Audience, bool], Text] = {
    (Audience.PROPERTY, True): Text("Go and look now, bring an extinguisher, keep the escape routes open, meet the "
                                    "brigade at the gate. Acknowledge on the page.",
                                    "请立即到场查看，携带灭火器，保持疏散通道畅通，到门口接应消防队，并在页面上确认。"),
    (Audience.PROPERTY, False): Text("Check it on site, then say on the page what you found.",
                                     "请到现场核查，并在页面上填写结果。"),
    (Audience.BRIGADE, True): Text("Plan, water, contacts and access are on the incident's page.",
                                   "平面图、水源、联系人与进场路线见警情页面。"),
    (Audience.BRIGADE, False): Text("For information.", "供知悉。"),
    (Audience.OFFICER, True): Text("The brigade is told. For information.", "消防队已收到。供知悉。"),
    (Audience.OFFICER, False): Text("Follow whether the firm deals with it in time.", "请跟进责任单位是否按时处置。"),
    (Audience.RESIDENT, True): Text("Leave by the stairs, do not use lifts, close doors behind you, keep low in "
                                    "smoke. If you cannot leave, close the door, go to a window and call 119.",
                                    "请走楼梯撤离，勿乘电梯，随手关门，遇烟俯身。无法撤离时关好房门，到窗边并拨打119。"),
    (Audience.RESIDENT, False): Text("The property staff are looking at it.", "物业人员正在处理。"),
}
_WHAT: dict[str, Text] = {
    "queued": Text("in the dispatch queue", "已进入派警队列"),
    "verified": Text("verified", "已核实"),
    "permit_over": Text("the hot-work permit is over: told to all", "动火许可已结束：通知各方"),
    "raised_again": Text("raised again", "再次报警"),
    "reopened": Text("reopened", "重新打开"),
    "dispatched": Text("the brigade is on its way", "消防队已出动"),
    "merged": Text("joined with another incident", "已并入其他警情"),
    "stage": Text("passed on to you", "已转交给您"),
    "task": Text("a task for you", "有您的任务"),
    "new_zone": Text("in a further zone", "蔓延到新的区域"),
    "swap": Text("a shift was swapped", "换班"),
    "take_over": Text("a shift was taken over", "已接班"),
}


def words_of(event: Mapping[str, Any], audience: Audience, language: str, *, pages: str = "") -> Words:
    """The message of a CloudEvent of ours. language: "zh" or "en". pages: address of the pages, for a link."""
    data = _mapping(event.get("data"))
    kind = str(event.get("type", "")).removeprefix("tocsin.").partition(".")[0]
    say = _Say(language)
    if kind == "notification":
        found = _notification(data, audience, say)
    elif kind in ("incident", "call"):
        found = _incident(kind, data, audience, say)
    elif kind == "rota":
        found = _rota(data, say)
    elif kind == "digest":
        found = _digest(data, audience, say)
    else:
        found = _test(data, say)
    return _with_link(found, str(data.get("incident", "")), pages, say)


def both(event: Mapping[str, Any], audience: Audience, *, pages: str = "") -> Words:
    """Chinese, and English below it: for channels that both read."""
    zh, en = (words_of(event, audience, language, pages=pages) for language in ("zh", "en"))
    return msgspec.structs.replace(zh, title=f"{zh.title} / {en.title}", body=f"{zh.body}\n\n{en.body}")


class _Say:
    """Texts in one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, text: Text) -> str:
        return text.zh if self.language == "zh" else text.en

    def of(self, value: Any) -> str:
        """A text that an event carries as {en, zh}."""
        if not isinstance(value, Mapping):
            return ""
        return str(value.get(self.language) or value.get("en") or value.get("zh") or "")

    def hazard(self, name: str) -> str:
        """The name of a hazard."""
        return self._named("hazard", name)

    def severity(self, name: str) -> str:
        """The name of a severity."""
        return self._named("severity", name)

    def _named(self, group: str, name: str) -> str:
        try:
            return kit_text(f"{group}.{name}", self.language)
        except KeyError:
            return name

    @property
    def comma(self) -> str:
        return "，" if self.language == "zh" else ", "


def _notification(data: Mapping[str, Any], audience: Audience, say: _Say) -> Words:
    labels = [_mapping(alarm.get("labels")) for alarm in _mappings(data.get("alarms"))]
    first = labels[0] if labels else {}
    over = data.get("state") == "resolved"
    stage = Stage.ALL_CLEAR if over else Stage.ALARM
    urgent = bool(data.get("life_safety")) or str(first.get("hazard")) in LIFE_SAFETY
    drill = any(one.get("drill") == "yes" for one in labels)
    places = _mapping(data.get("places"))
    lines = []
    for one in labels[:LINES_MAX]:
        zone = str(one.get("zone", ""))
        lines.append(say.comma.join(part for part in (
            say.of(places.get(zone)) or zone, say.hazard(str(one.get("hazard", ""))),
            say.severity(str(one.get("severity", "")))) if part))
    standing = sum(_number(data.get(name)) for name in ("firing", "resolved", "more"))
    if standing > len(lines):
        lines.append(say(Text(f"and {standing - len(lines)} more", f"另有 {standing - len(lines)} 条")))
    where = say.of(data.get("site_name")) or str(first.get("site", ""))
    zone = str(first.get("zone", ""))
    place = " ".join(part for part in (where, say.of(places.get(zone)) or zone) if part)
    advice = say(_ALL_CLEAR) if over else say(_DO[audience, urgent])
    if urgent and not over and not drill:
        advice = f"{say(_UNVERIFIED)} {advice}"
    title = _title(stage, say.hazard(str(first.get("hazard", ""))), place, say, drill)
    address = say.of(data.get("address"))
    return Words(title, _lines(say(_DRILL) if drill else "", address, *lines, advice), stage, urgent, drill)


def _incident(kind: str, data: Mapping[str, Any], audience: Audience, say: _Say) -> Words:
    what = str(data.get("what", ""))
    stage = Stage.ESCALATION if kind == "call" else Stage.UPDATE
    urgent = str(data.get("hazard")) in LIFE_SAFETY
    place = " ".join(part for part in (say.of(data.get("site_name")), say.of(data.get("place"))) if part)
    title = _title(stage, say.hazard(str(data.get("hazard", ""))), place, say, drill=False)
    change = say(_WHAT[key]) if (key := what.partition("_done")[0]) in _WHAT else (
        say(_WHAT["task"]) if what.startswith("task") else "")
    lines = [say.of(data.get("address")), change, say(_VERIFIED) if data.get("verified") else (
        say(_UNVERIFIED) if urgent else "")]
    if kind == "call":
        people = say.comma.join(str(one) for one in _list(data.get("people")))
        lines.append(say(Text(f"Called: {people}. Step {_number(data.get('step')) + 1}, acknowledge to end it.",
                              f"已呼叫：{people}。第 {_number(data.get('step')) + 1} 级，确认后停止。")))
    lines.append(say(_DO[audience, urgent]))
    return Words(title, _lines(*lines), stage, urgent)


def _rota(data: Mapping[str, Any], say: _Say) -> Words:
    what = say(_WHAT.get(str(data.get("what", "")), Text("duty", "值班")))
    title = _title(Stage.DUTY, what, say.of(data.get("rota_title")) or str(data.get("rota", "")), say, drill=False)
    shift = f"{data.get('day', '')} {data.get('shift', '')}".strip()
    leaving, coming = str(data.get("leaving", "")), str(data.get("coming", ""))
    change = f"{leaving} → {coming}" if leaving and coming else coming or leaving
    return Words(title, _lines(shift, change, str(data.get("why", "")), str(data.get("note", ""))), Stage.DUTY)


def _digest(data: Mapping[str, Any], audience: Audience, say: _Say) -> Words:
    inner = [words_of(one, audience, say.language) for one in _mappings(data.get("events"))]
    count = max(len(inner), _number(data.get("count")))
    urgent = any(one.urgent for one in inner)
    # In the order in which they came, each line once; what law 1 names first.
    lines = Counter(one.title for one in sorted(inner, key=lambda one: not one.urgent))
    shown = [f"{title} ×{number}" if number > 1 else title for title, number in lines.items()][:PLACES_MAX]
    more = count - sum(list(lines.values())[:PLACES_MAX])
    if more > 0:
        shown.append(say(Text(f"and {more} more", f"另有 {more} 条")))
    stage = say(_STAGE[Stage.SUMMARY])
    drill = bool(inner) and all(one.drill for one in inner)
    title = f"{say(_DRILL) + ' ' if drill else ''}{stage}: {count}"
    return Words(title, "\n".join(shown), Stage.SUMMARY, urgent, drill)


def _test(data: Mapping[str, Any], say: _Say) -> Words:
    name = str(data.get("channel", ""))
    body = say(Text(f"The channel {name} works. No alarm, nothing to do.",
                    f"通知通道 {name} 工作正常。这不是警情，无需处置。"))
    return Words(f"{say(_STAGE[Stage.TEST])} · Tocsin", body, Stage.TEST)


def _title(stage: Stage, what: str, place: str, say: _Say, drill: bool) -> str:
    head = f"{say(_DRILL)} · " if drill else ""
    return f"{head}{say(_STAGE[stage])} · {what} · {place}".replace("\n", " ").rstrip(" ·")[:240]


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _with_link(words: Words, incident: str, pages: str, say: _Say) -> Words:
    if not (pages and incident):
        return words
    link = f"{pages.rstrip('/')}/incidents/{incident}"
    return msgspec.structs.replace(words, body=_lines(words.body, say(Text(f"More: {link}", f"详情：{link}"))))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in _list(value) if isinstance(one, Mapping)]


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def digest_event(events: list[Any], count: int, at_us: int) -> dict[str, Any]:
    """Several events as one, for `words_of`."""
    return {"type": "tocsin.digest.v1", "time_s": at_us // SECOND_US, "data": {"events": events, "count": count}}
