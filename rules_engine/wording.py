"""Wording (pure): a checked condition as words, zh and en. Numbers are canonical, units as people write them."""

from __future__ import annotations

from collections.abc import Callable

from device_model.quantities import QUANTITIES, unit_display
from rules_engine.condition_types import (
    About,
    AirIndex,
    Arithmetic,
    Both,
    ClockRead,
    Compare,
    Constant,
    Grade,
    Known,
    Lasting,
    Not,
    Over,
    PointRef,
    Several,
    Term,
)

_COMPARE = {
    "==": ("is", "为"), "!=": ("is not", "不为"), "<": ("is below", "低于"), "<=": ("is at most", "不高于"),
    ">": ("is above", "高于"), ">=": ("is at least", "达到或高于"),
}
_OVER = {
    "rise": ("the rise of {0} within {1}", "{0}在{1}内的升幅"),
    "fall": ("the fall of {0} within {1}", "{0}在{1}内的降幅"),
    "delta": ("the change of {0} over {1}", "{0}在{1}间的变化"),
    "rate": ("the slope of {0} over {1}", "{0}在{1}内的变化率"),
    "mean": ("the mean of {0} over {1}", "{0}在{1}内的均值"),
    "min": ("the least of {0} within {1}", "{0}在{1}内的最小值"),
    "max": ("the most of {0} within {1}", "{0}在{1}内的最大值"),
    "baseline": ("what is usual for {0} (over {1})", "{0}的常态（{1}）"),
    "jitter": ("how much {0} trembles within {1}", "{0}在{1}内的抖动"),
    "surprise": ("how far {0} lies from what it learnt ({1})", "{0}偏离所学常态的程度（{1}）"),
    "leq": ("the equivalent level of {0} over {1}", "{0}在{1}内的等效声级"),
    "dose": ("the dose of {0}", "{0}的累积剂量"),
}
_ABOUT = {"reason": ("why {0} is bad", "{0}失效原因"), "quality": ("the quality of {0}", "{0}的质量"),
          "age": ("the age of {0}", "{0}的时长")}
_SCOPES = {"device": ("the device", "本设备"), "zone": ("the zone", "本区域"), "floor": ("the floor", "本层"),
           "building": ("the building", "本楼"), "site": ("the site", "本站点")}
_SEVERAL = {
    "any": ("in {scope} any {what} for which {body}", "{scope}任一{what}满足{body}"),
    "all": ("in {scope} all {what} so that {body}", "{scope}全部{what}满足{body}"),
    "count": ("the number of {what} in {scope} for which {body}", "{scope}满足{body}的{what}数"),
    "zones": ("the number of zones in {scope} with {what} for which {body}", "{scope}内满足{body}的{what}所在区域数"),
    "max": ("the greatest {what} in {scope}", "{scope}{what}最大值"),
    "min": ("the least {what} in {scope}", "{scope}{what}最小值"),
    "mean": ("the mean {what} in {scope}", "{scope}{what}均值"),
    "sum": ("the sum of {what} in {scope}", "{scope}{what}之和"),
}
_DAYS = 86400.0
_SIGNS = {"*": "×", "/": "÷", "-": "−"}


def _folded(operator: str, left: float | str | bool, right: float | str | bool) -> float | None:
    """58 °C - 5 °C is 53 °C to people; None where it is no plain sum."""
    if isinstance(left, str | bool) or isinstance(right, str | bool) or operator not in ("+", "-"):
        return None
    return left + right if operator == "+" else left - right


def duration(seconds: float, language: str) -> str:
    """A length of time as people say it."""
    for length, en, zh in ((_DAYS, "d", "天"), (3600.0, "h", "小时"), (60.0, "min", "分钟")):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {zh if language == 'zh' else en}"
    return f"{seconds:g} {'秒' if language == 'zh' else 's'}"


def worded(term: Term, language: str) -> str:
    """A term in "zh" or "en"."""
    return _Wording(language).of(term)


class _Wording:
    """One language's words for every kind of term."""

    def __init__(self, language: str) -> None:
        self._zh = language == "zh"
        self._language = language
        self._words: dict[type[Term], Callable[..., str]] = {
            Constant: self._constant, PointRef: self._point, Over: self._over, About: self._about,
            Lasting: self._lasting, Several: self._several, ClockRead: self._clock, AirIndex: self._air_index,
            Grade: self._grade, Known: self._known, Not: self._not, Both: self._both, Arithmetic: self._arithmetic,
            Compare: self._compare,
        }

    def of(self, term: Term) -> str:
        """Any term."""
        return self._words[type(term)](term)

    def _pick(self, pair: tuple[str, str]) -> str:
        return pair[1] if self._zh else pair[0]

    def _constant(self, term: Constant) -> str:
        if isinstance(term.value, bool):
            return self._pick(("yes", "是") if term.value else ("no", "否"))
        if isinstance(term.value, str):
            return term.value
        if term.type.unit == "s":
            return duration(term.value, self._language)
        return f"{term.value:g} {unit_display(term.type.unit) if term.type.unit != '1' else ''}".rstrip()

    def _point(self, term: PointRef) -> str:
        quantity = QUANTITIES.get(term.name)
        name = self._pick((quantity.en, quantity.zh)) if quantity else term.name
        if term.scope == "value":
            return self._pick(("the value", "该值"))
        if term.scope == "member":
            return self._pick(("it", "其值"))
        if term.scope == "reference":
            return self._pick((f"the site's reference {name}", f"站点参考{name}"))
        return self._pick((f"its {name}", f"其{name}")) if term.scope == "device" else name

    def _over(self, term: Over) -> str:
        words = self._pick(_OVER[term.function])
        length = duration(term.numbers[0], self._language) if term.numbers else ""
        return words.format(self.of(term.point), length)

    def _about(self, term: About) -> str:
        if term.function == "stuck":
            who, limit = self.of(term.point), duration(term.limit_s, self._language)
            return self._pick((f"{who} trembles by nature and has not moved for {limit}", f"{who}已{limit}毫无波动"))
        if term.function == "silent":
            limit = duration(term.limit_s, self._language) if term.limit_s else self._pick(
                ("the time that its profile allows", "其配置允许的时间"))
            who = self.of(term.point)
            return self._pick((f"{who} is silent for {limit}", f"{who}静默超过{limit}"))
        return self._pick(_ABOUT[term.function]).format(self.of(term.point))

    def _lasting(self, term: Lasting) -> str:
        body, length = self.of(term.operand), duration(term.seconds, self._language)
        if term.function == "held":
            return self._pick((f"({body}) without a break for {length}", f"（{body}）连续{length}"))
        return self._pick((f"({body}) at some time within {length}", f"（{body}）在{length}内出现过"))

    def _several(self, term: Several) -> str:
        quantity = QUANTITIES.get(term.quantity)
        what = self._pick((quantity.en, quantity.zh)) if quantity else self._pick(("point", "测点"))
        scope = self._pick(_SCOPES.get(term.scope, (term.scope, term.scope)))
        body = self.of(term.body)
        if isinstance(term.body, PointRef) and term.function in ("any", "all", "count", "zones"):
            body = self._pick(("it says yes", "为“是”"))
        return self._pick(_SEVERAL[term.function]).format(scope=scope, what=what, body=f"({body})")

    def _clock(self, term: ClockRead) -> str:
        if term.function == "time_between":
            start, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in term.numbers)
            return self._pick((f"the time is between {start} and {end}", f"时间在 {start} 至 {end}"))
        if term.function == "on_dates":
            return self._pick((f"the date is one of {', '.join(term.dates)}", f"日期为 {'、'.join(term.dates)}"))
        return self._pick({"local_hour": ("the hour of the day", "当前小时"),
                           "weekday": ("the day of the week (Monday is 1)", "星期几（周一为 1）")}[term.function])

    def _air_index(self, term: AirIndex) -> str:
        table = {"cn": "HJ 633", "us": "US EPA"}.get(term.standard, term.standard)
        return self._pick((f"the air quality index ({table}) of {self.of(term.operand)}",
                           f"{self.of(term.operand)}的空气质量指数（{table}）"))

    def _grade(self, term: Grade) -> str:
        limits = ", ".join(f"{limit:g}" for limit in term.limits)
        return self._pick((f"the grade of {self.of(term.operand)} (limits {limits})",
                           f"{self.of(term.operand)}的等级（界限 {limits}）"))

    def _known(self, term: Known) -> str:
        return self._pick((f"{self.of(term.operand)} is known", f"{self.of(term.operand)}已知"))

    def _not(self, term: Not) -> str:
        return self._pick((f"not ({self.of(term.operand)})", f"非（{self.of(term.operand)}）"))

    def _both(self, term: Both) -> str:
        word = self._pick({"&&": (" and ", "，且"), "||": (" or ", "，或")}[term.operator])
        inner = self._pick(("({})", "（{}）"))
        sides = [inner.format(self.of(side)) if isinstance(side, Both) and side.operator != term.operator
                 else self.of(side) for side in (term.left, term.right)]
        return word.join(sides)

    def _arithmetic(self, term: Arithmetic) -> str:
        if term.operator == "abs":
            return self._pick((f"the size of {self.of(term.left)}", f"{self.of(term.left)}的绝对值"))
        if isinstance(term.left, Constant) and isinstance(term.right, Constant):
            folded = _folded(term.operator, term.left.value, term.right.value)
            if folded is not None:
                return self._constant(Constant(term.type, folded))
        return f"{self.of(term.left)} {_SIGNS.get(term.operator, term.operator)} {self.of(term.right)}"

    def _compare(self, term: Compare) -> str:
        if term.operator in ("==", "!=") and isinstance(term.right, Constant) and isinstance(term.right.value, bool):
            wanted = term.right.value is (term.operator == "==")
            return self.of(term.left) if wanted else self._not(Not(term.type, term.left))
        return f"{self.of(term.left)} {self._pick(_COMPARE[term.operator])} {self.of(term.right)}"
