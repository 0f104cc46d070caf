"""The tree as written to the tree as checked: every name resolved, every unit agreed, every number canonical.

A number without a partner takes its plain meaning; beside a partner it is read in the partner's unit
(`value > 330 K` works for a temperature), and °C beside %LEL is an error that names both.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from device_model.quantities import QUANTITIES, unit_display
from rules_engine.air_index import TABLE_CN, TABLE_US, factor_of
from rules_engine.condition_parse import ConditionError
from rules_engine.condition_types import (
    ANY_POINT,
    BOOL,
    PLAIN,
    SECONDS,
    TEXT,
    WINDOW_SECONDS_MAX,
    About,
    AirIndex,
    Arithmetic,
    Binary,
    Both,
    Call,
    ClockRead,
    Compare,
    Constant,
    Grade,
    Known,
    Lasting,
    Literal,
    Name,
    Not,
    Over,
    PointRef,
    Several,
    Term,
    Type,
    Unary,
    Written,
    canonical_number,
    type_of_quantity,
)

SCOPES = ("device", "zone", "floor", "building", "site")
_WINDOWS = ("rise", "fall", "delta", "rate", "mean", "min", "max", "baseline", "jitter", "surprise", "leq")
_SEVERAL = ("any", "all", "count", "zones", "max", "min", "mean", "sum")
_FUNCTIONS = (*_WINDOWS, "dose", "age", "silent", "stuck", "reason", "quality", "known", "held", "seen", "abs",
              "grade", "aqi_cn", "aqi_us", "time_between", "on_dates")
_CLOCK_NAMES = ("local_hour", "weekday")
_CLOCK_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Vocabulary:
    """What a condition may speak of.

    value: type of the bound point, None where the rule is bound to a zone or the site.
    parameters: name → its literal, already overridden by the site.
    names: further names the caller supplies values for (reference points, permits), each with its type.
    """

    value: Type | None
    parameters: Mapping[str, Literal] = field(default_factory=dict)
    names: Mapping[str, Type] = field(default_factory=dict)


def check_condition(tree: Written, vocabulary: Vocabulary, wanted: Type = BOOL) -> Term:
    """The checked tree. Raises ConditionError at the first thing that does not agree."""
    term = _Checker(vocabulary).check(tree, wanted if wanted.kind == "number" else None)
    if term.type.kind != wanted.kind or (wanted.kind == "number" and term.type.unit != wanted.unit):
        raise ConditionError(tree.offset, f"this is {term.type}, not {wanted}", f"write something that is {wanted}")
    return term


class _Checker:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self._known = vocabulary
        self._member: tuple[str, str] | None = None  # (scope, quantity found) inside an aggregate

    def check(self, tree: Written, wanted: Type | None = None) -> Term:
        if isinstance(tree, Literal):
            return self._literal(tree, wanted)
        if isinstance(tree, Name):
            return self._name(tree, wanted)
        if isinstance(tree, Call):
            return self._call(tree)
        if isinstance(tree, Unary):
            return self._unary(tree, wanted)
        if isinstance(tree, Binary):
            return self._binary(tree, wanted)
        raise TypeError(f"unknown node {tree!r}")

    # --- leaves ---

    def _literal(self, tree: Literal, wanted: Type | None) -> Term:
        if isinstance(tree.value, bool):
            return Constant(BOOL, tree.value)
        if isinstance(tree.value, str):
            return Constant(TEXT, tree.value)
        found = canonical_number(tree.value, tree.unit, wanted if wanted and wanted.kind == "number" else None)
        if found is None:
            written = f"{tree.value:g} {unit_display(tree.unit)}".strip()
            raise ConditionError(tree.offset, f"{written} cannot be {wanted}",
                                 f"write it in {_unit_words(wanted)}" if wanted else "give it a unit")
        return Constant(found[1], found[0])

    def _name(self, tree: Name, wanted: Type | None) -> Term:
        name = tree.text
        if name.startswith("param."):
            literal = self._known.parameters.get(name[6:])
            if literal is None:
                raise ConditionError(tree.offset, f"the rule has no parameter {name[6:]!r}",
                                     self._near(name[6:], list(self._known.parameters)) or "add it to `parameters`")
            return self._literal(Literal(tree.offset, literal.value, literal.unit), wanted)
        if name in _CLOCK_NAMES:
            return ClockRead(PLAIN, name)
        ref = self._point(tree)
        if ref.type.kind == "point":
            raise ConditionError(tree.offset, f"{name!r} is any kind of point and has no common value",
                                 "ask reason(point), quality(point), age(point) or silent(point)")
        return ref

    def _point(self, tree: Written) -> PointRef:
        if not isinstance(tree, Name):
            raise ConditionError(tree.offset, "a point is expected here", "write value, device.<quantity> or, "
                                 "inside zone.any(…), a quantity")
        name = tree.text
        if name == "value":
            if self._known.value is None:
                raise ConditionError(tree.offset, "this rule is bound to no single point, so it has no `value`",
                                     "use zone.any(…), zone.count(…) and the like")
            return PointRef(self._known.value, "value")
        if name in self._known.names:
            return PointRef(self._known.names[name], "name", name)
        if self._member is not None and (name in QUANTITIES or name == "point"):
            return self._member_point(tree, name)
        scope, _, rest = name.partition(".")
        if scope in ("device", "reference") and rest in QUANTITIES:
            return PointRef(type_of_quantity(rest), scope, rest)
        if name in QUANTITIES:
            raise ConditionError(tree.offset, f"{name!r} of which point?",
                                 f"write value, device.{name}, or zone.any({name})")
        choices = ["value", "param", *_CLOCK_NAMES, *QUANTITIES, *self._known.names]
        near = self._near(rest if scope == "device" else name, choices)
        raise ConditionError(tree.offset, f"{name!r} is not known", near or "see rules_engine/README.md")

    def _member_point(self, tree: Name, name: str) -> PointRef:
        scope, found = self._member if self._member is not None else ("", "")
        if found not in ("", name):
            raise ConditionError(tree.offset, f"{name!r} beside {found!r}: one aggregate looks at one quantity",
                                 f"write two: {scope}.any({found} …) && {scope}.any({name} …)")
        self._member = (scope, name)
        return PointRef(ANY_POINT if name == "point" else type_of_quantity(name), "member", name)

    @staticmethod
    def _near(word: str, choices: list[str]) -> str:
        near = difflib.get_close_matches(word, choices, n=1)
        return f"did you mean {near[0]!r}?" if near else ""

    # --- operators ---

    def _unary(self, tree: Unary, wanted: Type | None) -> Term:
        if tree.operator == "!":
            return Not(BOOL, self._bool(tree.operand))
        operand = self._number(tree.operand, wanted)
        return Arithmetic(operand.type, "-", Constant(operand.type, 0.0), operand)

    def _binary(self, tree: Binary, wanted: Type | None) -> Term:
        if tree.operator in ("&&", "||"):
            return Both(BOOL, tree.operator, self._bool(tree.left), self._bool(tree.right))
        if tree.operator in ("*", "/"):
            return self._scaled(tree)
        if tree.operator in ("+", "-"):
            return self._summed(tree, wanted)
        left, right = self._pair(tree, None)
        if left.type.kind != right.type.kind or (left.type.kind == "number" and left.type.unit != right.type.unit):
            raise ConditionError(tree.offset, f"{left.type} is compared with {right.type}",
                                 "compare like with like: both sides need the same unit")
        if left.type.kind != "number" and tree.operator not in ("==", "!="):
            raise ConditionError(tree.offset, f"{left.type} has no order", "compare it with == or !=")
        return Compare(BOOL, tree.operator, left, right)

    def _pair(self, tree: Binary, wanted: Type | None, *, right_is_difference: bool = False) -> tuple[Term, Term]:
        """Both sides; a bare number is read in the unit of the other side."""
        if self._is_bare(tree.left) and not self._is_bare(tree.right):
            right = self.check(tree.right, wanted)
            return self.check(tree.left, right.type), right
        left = self.check(tree.left, wanted)
        hint = left.type
        if right_is_difference and hint.kind == "number":
            hint = Type("number", hint.unit, True)
        return left, self.check(tree.right, hint if self._is_bare(tree.right) else None)

    def _is_bare(self, tree: Written) -> bool:
        if isinstance(tree, Literal):
            return isinstance(tree.value, float)
        if isinstance(tree, Name):
            return tree.text.startswith("param.")
        if isinstance(tree, Unary):
            return self._is_bare(tree.operand)
        return isinstance(tree, Binary) and self._is_bare(tree.left) and self._is_bare(tree.right)

    def _summed(self, tree: Binary, wanted: Type | None) -> Term:
        left, right = self._pair(tree, wanted, right_is_difference=True)
        for side, term in ((tree.left, left), (tree.right, right)):
            if term.type.kind != "number":
                raise ConditionError(side.offset, f"{term.type} cannot be added", "add and subtract numbers")
        if left.type.unit != right.type.unit:
            raise ConditionError(tree.offset, f"{left.type} {tree.operator} {right.type}",
                                 "both sides need the same unit")
        difference = left.type.difference and right.type.difference if tree.operator == "+" \
            else left.type.difference == right.type.difference
        return Arithmetic(Type("number", left.type.unit, difference), tree.operator, left, right)

    def _scaled(self, tree: Binary) -> Term:
        left, right = self._number(tree.left), self._number(tree.right)
        a, b = left.type.unit, right.type.unit
        if b == "1":
            return Arithmetic(left.type, tree.operator, left, right)
        if tree.operator == "*":
            if a == "1":
                return Arithmetic(right.type, "*", left, right)
            rate, time = (a, b) if a.endswith("/s") else (b, a)
            if rate.endswith("/s") and time == "s":
                return Arithmetic(Type("number", rate[:-2], True), "*", left, right)
        elif a == b:
            return Arithmetic(PLAIN, "/", left, right)
        elif b == "s":
            return Arithmetic(Type("number", f"{a}/s", True), "/", left, right)
        raise ConditionError(tree.offset, f"{left.type} {tree.operator} {right.type} has no unit here",
                             "multiply or divide by a plain number, a like unit, or a time")

    def _bool(self, tree: Written) -> Term:
        term = self.check(tree)
        if term.type.kind != "bool":
            raise ConditionError(tree.offset, f"this is {term.type}, not true/false", "compare it with something")
        return term

    def _number(self, tree: Written, wanted: Type | None = None) -> Term:
        term = self.check(tree, wanted)
        if term.type.kind != "number":
            raise ConditionError(tree.offset, f"this is {term.type}, not a number", "write a number or a measurement")
        return term

    # --- functions ---

    def _call(self, tree: Call) -> Term:
        scope, _, function = tree.name.partition(".")
        if function:
            return self._several(tree, scope, function)
        if scope in _WINDOWS:
            return self._over(tree)
        handler = {
            "dose": self._dose, "age": self._about, "silent": self._about, "reason": self._about,
            "stuck": self._about,
            "quality": self._about, "known": self._known_call, "held": self._lasting, "seen": self._lasting,
            "abs": self._abs, "grade": self._grade, "aqi_cn": self._air_index, "aqi_us": self._air_index,
            "time_between": self._time_between, "on_dates": self._on_dates,
        }.get(tree.name)
        if handler is None:
            raise ConditionError(tree.offset, f"there is no function {tree.name!r}",
                                 self._near(tree.name, list(_FUNCTIONS)) or f"known: {', '.join(_FUNCTIONS)}")
        return handler(tree)

    def _arity(self, tree: Call, count: int, shape: str) -> None:
        if len(tree.arguments) != count:
            raise ConditionError(tree.offset, f"{tree.name} takes {count} argument(s), not {len(tree.arguments)}",
                                 f"write {shape}")

    def _seconds(self, tree: Written) -> float:
        term = self.check(tree, SECONDS)
        if not isinstance(term, Constant) or term.type.unit != "s" or isinstance(term.value, str):
            raise ConditionError(tree.offset, "a fixed length of time is expected here", "write 60 s, 10 min, 2 h")
        if not 0 < term.value <= WINDOW_SECONDS_MAX:
            raise ConditionError(tree.offset, f"{term.value:g} s is not a length of time for a rule",
                                 f"between 0 and {WINDOW_SECONDS_MAX / 86400:g} d")
        return term.value

    def _measured(self, tree: Written) -> PointRef:
        ref = self._point(tree)
        if ref.type.kind != "number":
            raise ConditionError(tree.offset, f"this point holds {ref.type}, not a number", "use held(…) or seen(…)")
        return ref

    def _over(self, tree: Call) -> Term:
        self._arity(tree, 2, f"{tree.name}(value, 60 s)")
        ref = self._measured(tree.arguments[0])
        seconds = self._seconds(tree.arguments[1])
        unit = ref.type.unit
        if tree.name == "leq" and unit != "dB":
            raise ConditionError(tree.arguments[0].offset, f"leq is of sound levels, and this is {ref.type}",
                                 "use mean(…)")
        if tree.name == "rate":
            unit = f"{unit}/s"
        if tree.name == "surprise":
            return Over(PLAIN, tree.name, ref, (seconds,))
        difference = tree.name in ("rise", "fall", "delta", "rate", "jitter")
        return Over(Type("number", unit, difference), tree.name, ref, (seconds,))

    def _dose(self, tree: Call) -> Term:
        self._arity(tree, 4, "dose(value, 30 ppm, 50 ppm, 1.35)")
        ref = self._measured(tree.arguments[0])
        numbers = []
        for argument, wanted in zip(tree.arguments[1:], (ref.type, ref.type, PLAIN), strict=True):
            term = self.check(argument, wanted)
            if not isinstance(term, Constant) or isinstance(term.value, str) or term.type.unit != wanted.unit:
                raise ConditionError(argument.offset, f"a fixed number is expected: {wanted}", "write the number")
            numbers.append(float(term.value))
        if numbers[1] <= numbers[0] or not 0 < numbers[2] <= 4:
            raise ConditionError(tree.arguments[1].offset, "the reference must lie above the floor, exponent in 0..4",
                                 "write dose(value, floor, reference, exponent)")
        return Over(SECONDS, "dose", ref, tuple(numbers))

    def _about(self, tree: Call) -> Term:
        if tree.name == "stuck":
            self._arity(tree, 2, "stuck(value, 1 h)")
        if tree.name in ("silent", "stuck") and len(tree.arguments) == 2:
            return About(BOOL, tree.name, self._point(tree.arguments[0]), self._seconds(tree.arguments[1]))
        self._arity(tree, 1, f"{tree.name}(value)")
        ref = self._point(tree.arguments[0])
        kind = {"age": SECONDS, "silent": BOOL}.get(tree.name, TEXT)
        return About(kind, tree.name, ref)

    def _known_call(self, tree: Call) -> Term:
        self._arity(tree, 1, "known(value)")
        return Known(BOOL, self.check(tree.arguments[0]))

    def _abs(self, tree: Call) -> Term:
        self._arity(tree, 1, "abs(delta(value, 60 s))")
        operand = self._number(tree.arguments[0])
        return Arithmetic(operand.type, "abs", operand, operand)

    def _grade(self, tree: Call) -> Term:
        if len(tree.arguments) < 2:
            raise ConditionError(tree.offset, "grade takes a value and its limits", "as in grade(value, 1 mg/L)")
        operand = self._number(tree.arguments[0])
        limits = []
        for argument in tree.arguments[1:]:
            term = self.check(argument, operand.type)
            if not isinstance(term, Constant) or isinstance(term.value, str) or term.type.unit != operand.type.unit:
                raise ConditionError(argument.offset, f"a fixed limit is expected: {operand.type}", "write a number")
            limits.append(float(term.value))
        rising = sorted(limits)
        if limits not in (rising, rising[::-1]) or (limits[1:] and limits[0] == limits[-1]):
            raise ConditionError(tree.arguments[1].offset, "the limits neither rise nor fall", "write them in order")
        return Grade(PLAIN, operand, tuple(limits))

    def _air_index(self, tree: Call) -> Term:
        self._arity(tree, 2, f'{tree.name}("pm25", mean(value, 1 h))')
        standard = tree.name.removeprefix("aqi_")
        pollutant, operand = self._text(tree.arguments[0]), self._number(tree.arguments[1])
        known = TABLE_CN if standard == "cn" else TABLE_US
        if pollutant not in known:
            raise ConditionError(tree.arguments[0].offset, f"{tree.name} has no table {pollutant!r}",
                                 f"one of {', '.join(known)}")
        factor = factor_of(standard, pollutant, operand.type)
        if factor is None:
            raise ConditionError(tree.arguments[1].offset, f"{pollutant} cannot be {operand.type}",
                                 "particles in µg/m³, gases in ppm or mg/m³")
        return AirIndex(PLAIN, standard, pollutant, operand, factor)

    def _lasting(self, tree: Call) -> Term:
        self._arity(tree, 2, f"{tree.name}(value > 1, 30 s)")
        return Lasting(BOOL, tree.name, self._bool(tree.arguments[0]), self._seconds(tree.arguments[1]))

    def _several(self, tree: Call, scope: str, function: str) -> Term:
        if scope not in SCOPES:
            raise ConditionError(tree.offset, f"there is no scope {scope!r}",
                                 self._near(scope, list(SCOPES)) or f"known: {', '.join(SCOPES)}")
        if function not in _SEVERAL:
            raise ConditionError(tree.offset, f"there is no {scope}.{function}",
                                 self._near(function, list(_SEVERAL)) or f"known: {', '.join(_SEVERAL)}")
        if self._member is not None:
            raise ConditionError(tree.offset, "an aggregate inside an aggregate", "write them side by side")
        self._arity(tree, 1, f"{scope}.{function}(smoke_alarm)")
        body_tree = tree.arguments[0]
        self._member = (scope, "")
        body = self._number(body_tree) if function in ("max", "min", "mean", "sum") else self._bool(body_tree)
        quantity = self._member[1]
        self._member = None
        if not quantity:
            raise ConditionError(body_tree.offset, "no quantity is named here", f"as in {scope}.any(smoke_alarm)")
        kind = BOOL if function in ("any", "all") else PLAIN if function in ("count", "zones") else body.type
        return Several(kind, scope, function, "" if quantity == "point" else quantity, body)

    def _time_between(self, tree: Call) -> Term:
        self._arity(tree, 2, 'time_between("22:00", "06:00")')
        minutes = []
        for argument in tree.arguments:
            match = _CLOCK_TIME.fullmatch(self._text(argument))
            if match is None:
                raise ConditionError(argument.offset, "not a time of day", 'write it as "22:00"')
            minutes.append(int(match.group(1)) * 60 + int(match.group(2)))
        return ClockRead(BOOL, "time_between", tuple(minutes))

    def _on_dates(self, tree: Call) -> Term:
        dates = []
        for argument in tree.arguments:
            date = self._text(argument)
            if not _DATE.fullmatch(date):
                raise ConditionError(argument.offset, "not a date", 'write it as "2026-10-01"')
            dates.append(date)
        if not dates:
            raise ConditionError(tree.offset, "no date is given", 'write on_dates("2026-10-01", …)')
        return ClockRead(BOOL, "on_dates", (), tuple(dates))

    def _text(self, tree: Written) -> str:
        term = self.check(tree)
        if not isinstance(term, Constant) or not isinstance(term.value, str):
            raise ConditionError(tree.offset, "a text is expected here", 'write it in "quotes"')
        return term.value


def _unit_words(wanted: Type | None) -> str:
    if wanted is None or wanted.kind != "number":
        return "another way"
    if wanted.unit == "1":
        return "a plain number"
    return "a time: s, min or h" if wanted.unit == "s" else unit_display(wanted.unit)
