"""The checked tree to closures over cells. None is unknown, in every type (Kleene's three values).

    closure(at_us) → True | False | None          and   say(at_us) → "temperature 61 °C > 57 °C"

A closure reads its cells directly, so a plain comparison is one attribute, one test and one comparison. What
changes by time alone (held, seen, age, silent, time of day) asks the watch's `Wakes` to be looked at again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from device_model.quantities import QUANTITIES, unit_display
from rules_engine.air_index import index_cn, index_us
from rules_engine.cell import Cell
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
    looks_at_state_only,
)
from rules_engine.local_time import LocalTime
from rules_engine.shown_values import shown_figure, shown_list

Closure = Callable[[int], Any]
Say = Callable[[int], str]
Code = tuple[Closure, Say]
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
# Why a point may be unheard: itself, its line, its gateway.
_UNHEARD = frozenset({"silent", "line_down", "gateway_silent"})
# A dose grows while a value merely stays: looked at again on this grid, for devices that speak only on change.
_DOSE_GRID_US = 60_000_000
# How soon a value that moves again is noticed: a fault's end may wait, and a look costs little.
_STUCK_LOOK_US = 10_000_000
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass
class Wakes:
    """When a watch must be looked at again although no reading comes; `dry` looks without a trace."""

    at: int | None = None
    dry: bool = False

    def ask(self, at: int) -> None:
        """Look again at that time at the latest."""
        if not self.dry and (self.at is None or at < self.at):
            self.at = at


@dataclass
class LastingState:
    """held: since when the operand is true. seen: until when it was true, negative while it still is. 0 never."""

    since: int = 0

    def shift(self, by: int) -> None:
        """The wall clock stepped by that many µs."""
        if self.since:
            self.since += by if self.since > 0 else -by


class Binder(Protocol):
    """Where names become cells: one per rule and subject."""

    wakes: Wakes
    lasting: list[LastingState]
    clock: LocalTime

    def cell(self, ref: PointRef) -> Cell:
        """The cell of a reference outside aggregates; KeyError where the subject has none."""

    def members(self, scope: str, quantity: str) -> Sequence[Cell]:
        """The cells that an aggregate looks at."""


@dataclass
class _Compiler:
    binder: Binder
    member: Cell | None = None
    stateful: bool = field(default=False)

    def code(self, term: Term) -> Code:
        name = f"_{type(term).__name__.lower()}"
        made: Code = getattr(self, name)(term)
        return made

    def _cell(self, ref: PointRef) -> Cell:
        if ref.scope == "member":
            if self.member is None:
                raise KeyError(ref.name)
            return self.member
        return self.binder.cell(ref)

    def _constant(self, term: Constant) -> Code:
        value = term.value
        text = shown_figure(value, unit_display(term.type.unit))
        return (lambda at: value), (lambda at: text)

    def _pointref(self, term: PointRef) -> Code:
        cell = self._cell(term)
        return (lambda at: cell.value), (lambda at: f"{cell.label} {shown_figure(cell.value, cell.unit)}")

    def _over(self, term: Over) -> Code:
        cell = self._cell(term.point)
        window = cell.window(term.function, term.numbers)
        function, unit = term.function, unit_display(term.type.unit)
        read = window.read
        shown = function if function == "dose" else f"{function} over {term.numbers[0]:g} s"

        if function == "rise":
            def figure(at: int) -> float | None:
                least = None if cell.value is None else read(at)
                return None if least is None else cell.value - least  # type: ignore[operator]  # numbers only here
        elif function == "fall":
            def figure(at: int) -> float | None:
                most = None if cell.value is None else read(at)
                return None if most is None else most - cell.value  # type: ignore[operator]  # numbers only here
        else:
            wakes, grid = self.binder.wakes, _DOSE_GRID_US if function == "dose" else 0

            def figure(at: int) -> float | None:
                if grid and cell.value is not None:
                    wakes.ask((at // grid + 1) * grid)
                return None if cell.value is None else read(at)
        return figure, (lambda at: f"{cell.label} {shown} {shown_figure(figure(at), unit)}")

    def _about(self, term: About) -> Code:
        cell, wakes = self._cell(term.point), self.binder.wakes
        if term.function == "reason":
            return (lambda at: cell.reason), (lambda at: f"{cell.name} {cell.reason or 'good'}")
        if term.function == "quality":
            return (lambda at: cell.quality), (lambda at: f"{cell.name} {cell.quality}")
        if term.function == "age":
            def age(at: int) -> float:
                return (at - cell.fresh_us) / 1e6
            return age, (lambda at: f"{cell.name} age {age(at):g} s")
        if not term.limit_s:
            return (lambda at: cell.reason in _UNHEARD), (lambda at: f"{cell.name} silent")
        limit = round(term.limit_s * 1e6)
        if term.function == "stuck":
            return self._stuck(cell, limit)

        def silent(at: int) -> bool:
            due = cell.fresh_us + limit + 1
            if at >= due:
                return True
            wakes.ask(due)
            return False
        return silent, (lambda at: f"{cell.name} silent for more than {term.limit_s:g} s")

    def _stuck(self, cell: Cell, length: int) -> Code:
        """Known and fresh, and not moved for so long, where its profile says that a healthy one trembles. What may be
        quiet without being silent is never called stuck."""
        wakes = self.binder.wakes

        def stuck(at: int) -> bool:
            if not cell.trembles or not cell.limit_us or cell.value is None or not cell.changed_us:
                return False
            due = cell.changed_us + length
            wakes.ask(due if at < due else at + _STUCK_LOOK_US)
            return at >= due
        return stuck, (lambda at: f"{cell.name} {shown_figure(cell.value, cell.unit)} "
                                  f"for {(at - cell.changed_us) / 1e6:g} s")

    def _lasting(self, term: Lasting) -> Code:
        inner, say = self.code(term.operand)
        state, wakes, length = LastingState(), self.binder.wakes, round(term.seconds * 1e6)
        self.binder.lasting.append(state)
        self.stateful = True

        def held(at: int) -> bool | None:
            truth: bool | None = inner(at)
            since = state.since
            if truth is False:
                since = 0
            elif truth and not since:
                since = at
            if not wakes.dry:
                state.since = since
            if not truth:
                return truth
            if at >= since + length:
                return True
            wakes.ask(since + length)
            return False

        def seen(at: int) -> bool | None:
            truth: bool | None = inner(at)
            last = at if truth or state.since < 0 else state.since
            if not wakes.dry:
                state.since = -at if truth else last
            if last and at <= last + length:
                wakes.ask(last + length + 1)
                return True
            return truth

        words = f"({term.function} {term.seconds:g} s)"
        return (held if term.function == "held" else seen), (lambda at: f"{say(at)} {words}")

    def _clockread(self, term: ClockRead) -> Code:
        read, wakes = self.binder.clock.reader(term.function, term.numbers, term.dates), self.binder.wakes

        def figure(at: int) -> bool | float:
            value, until = read(at)
            wakes.ask(until)
            return value
        return figure, (lambda at: f"{term.function} {shown_figure(read(at)[0], '')}")

    def _airindex(self, term: AirIndex) -> Code:
        inner, say = self.code(term.operand)
        look, pollutant, factor = index_cn if term.standard == "cn" else index_us, term.pollutant, term.factor

        def index(at: int) -> float | None:
            value = inner(at)
            return None if value is None else look(pollutant, value * factor)
        return index, (lambda at: f"AQI {shown_figure(index(at), '')} ({say(at)})")

    def _grade(self, term: Grade) -> Code:
        inner, say = self.code(term.operand)
        limits, rising = term.limits, term.limits[0] < term.limits[-1]

        def grade(at: int) -> float | None:
            value = inner(at)
            return None if value is None else 1.0 + sum((value > one) if rising else (value < one) for one in limits)
        return grade, (lambda at: f"grade {shown_figure(grade(at), '')} ({say(at)})")

    def _known(self, term: Known) -> Code:
        inner, say = self.code(term.operand)
        return (lambda at: inner(at) is not None), (lambda at: f"{say(at)} known")

    def _not(self, term: Not) -> Code:
        inner, say = self.code(term.operand)

        def negate(at: int) -> bool | None:
            truth: bool | None = inner(at)
            return None if truth is None else not truth
        return negate, (lambda at: f"not {say(at)}")

    def _both(self, term: Both) -> Code:
        decisive = term.operator == "||"  # true decides an or, false decides an and
        left, say_left = self.code(term.left)
        before, self.stateful = self.stateful, False
        right, say_right = self.code(term.right)
        must_run, self.stateful = self.stateful, self.stateful or before

        def join(at: int) -> bool | None:
            a: bool | None = left(at)
            if a is decisive:
                if must_run:  # the memory of held(…) and seen(…) lives on, whatever the left side says
                    right(at)
                return decisive
            b: bool | None = right(at)
            if b is decisive:
                return decisive
            return None if a is None or b is None else not decisive

        def say(at: int) -> str:
            if not decisive:
                return f"{say_left(at)}, {say_right(at)}"
            parts = [words(at) for run, words in ((left, say_left), (right, say_right)) if run(at)]
            return ", ".join(parts) or f"{say_left(at)} or {say_right(at)}"
        return join, say

    def _arithmetic(self, term: Arithmetic) -> Code:
        left, say_left = self.code(term.left)
        unit = unit_display(term.type.unit)
        if term.operator == "abs":
            def absolute(at: int) -> float | None:
                value = left(at)
                return None if value is None else abs(value)
            return absolute, (lambda at: f"|{say_left(at)}|")
        right, say_right = self.code(term.right)
        sign = term.operator

        def reckon(at: int) -> float | None:
            a = left(at)
            b = right(at)
            if a is None or b is None:
                return None
            value: float
            if sign == "+":
                value = a + b
            elif sign == "-":
                value = a - b
            elif sign == "*":
                value = a * b
            else:
                if b == 0:
                    return None  # 1/0 is no number: unknown
                value = a / b
            # An overflow is no number either, and neither is NaN, which fails both comparisons.
            return value if -1.7e308 < value < 1.7e308 else None
        return reckon, (lambda at: f"({say_left(at)} {sign} {say_right(at)} = {shown_figure(reckon(at), unit)})")

    def _compare(self, term: Compare) -> Code:
        for side, other, sign in ((term.left, term.right, term.operator),
                                  (term.right, term.left, _MIRROR[term.operator])):
            if isinstance(side, About) and side.function == "age":
                return self._compare_age(side, other, sign)
            if isinstance(side, Several) and side.function in ("count", "zones", "max", "min"):
                return self._compare_bounds(side, other, sign)
        test = _OPERATORS[term.operator]
        left, say_left = self.code(term.left)
        right, say_right = self.code(term.right)

        def say(at: int) -> str:
            return f"{say_left(at)} {term.operator} {say_right(at)}"
        if isinstance(term.left, PointRef) and isinstance(term.right, Constant):
            cell, limit = self._cell(term.left), term.right.value

            def against(at: int) -> bool | None:
                value = cell.value
                return None if value is None else test(value, limit)
            return against, say

        def compare(at: int) -> bool | None:
            a = left(at)
            b = right(at)
            return None if a is None or b is None else test(a, b)
        return compare, say

    def _compare_age(self, side: About, other: Term, sign: str) -> Code:
        """Age grows without readings, so the moment at which it crosses the limit is asked for."""
        cell, wakes, test = self._cell(side.point), self.binder.wakes, _OPERATORS[sign]
        limit, say_limit = self.code(other)

        def compare(at: int) -> bool | None:
            bound = limit(at)
            if bound is None:
                return None
            due = cell.fresh_us + round(bound * 1e6)
            for moment in (due, due + 1):
                if moment > at:
                    wakes.ask(moment)
            return test(at - cell.fresh_us, round(bound * 1e6))
        return compare, (lambda at: f"{cell.name} age {(at - cell.fresh_us) / 1e6:g} s {sign} {say_limit(at)}")

    def _compare_bounds(self, side: Several, other: Term, sign: str) -> Code:
        """A count with unknown members lies between two bounds; it decides when both bounds agree."""
        bounds, say = self._bounds(side)
        test = _OPERATORS[sign]
        limit, say_limit = self.code(other)

        def compare(at: int) -> bool | None:
            least, most = bounds(at)
            bound = limit(at)
            if bound is None or least is None or most is None:
                return None
            if sign in ("==", "!="):
                if least == most:
                    return test(least, bound)
                return None if least <= bound <= most else sign == "!="
            low, high = test(least, bound), test(most, bound)
            return low if low == high else None
        return compare, (lambda at: f"{say(at)} {sign} {say_limit(at)}")

    # --- aggregates ---

    def _bodies(self, term: Several) -> list[tuple[Cell, Closure, Say]]:
        # An isolated device does not count in a zone; what is asked of the device itself is still answered.
        bodies = []
        for cell in self.binder.members(term.scope, term.quantity):
            self.member = cell
            bodies.append((cell, *self.code(term.body)))
        self.member = None
        return bodies

    def _several(self, term: Several) -> Code:
        if term.function in ("any", "all"):
            return self._any_all(term)
        bounds, say = self._bounds(term)
        if term.function == "mean":
            return (lambda at: bounds(at)[0]), say

        def figure(at: int) -> float | None:
            least, most = bounds(at)
            return least if least == most else None
        return figure, say

    def _any_all_by_state(self, term: Several) -> Code:
        """A body that looks at reason and quality only is compiled once and judged once for each pair that occurs:
        a device may have a thousand points, and closures for each would be most of a gateway's memory."""
        cells, decisive, here = list(self.binder.members(term.scope, term.quantity)), term.function == "any", (
            term.scope == "device")
        probe = self.member = Cell("", next(iter(QUANTITIES)), device="", zone="", limit_us=0, index=-1)
        run, words = self.code(term.body)
        self.member = None
        verdicts: dict[tuple[str, str], bool | None] = {}

        def verdict(pair: tuple[str, str]) -> bool | None:
            if pair not in verdicts:
                probe.reason, probe.quality = pair
                verdicts[pair] = run(0)
            return verdicts[pair]

        def judge(at: int) -> bool | None:
            found = {verdict(pair) for pair in
                     {(cell.reason, cell.quality) for cell in cells if here or not cell.isolated}}
            if decisive in found:
                return decisive
            return None if None in found or not found else not decisive

        def told(cell: Cell, at: int) -> str:
            probe.name, probe.reason, probe.quality = cell.name, cell.reason, cell.quality
            return f"{cell.name} {words(at)}"

        def say(at: int) -> str:
            true = [cell for cell in cells
                    if (here or not cell.isolated) and verdict((cell.reason, cell.quality))]
            return f"{term.scope}.{term.function}: {shown_list([told(cell, at) for cell in true])}"
        return judge, say

    def _any_all(self, term: Several) -> Code:
        if looks_at_state_only(term.body):
            return self._any_all_by_state(term)
        bodies, decisive, here = self._bodies(term), term.function == "any", term.scope == "device"
        if not bodies and decisive:  # nothing of the kind stands there, which is known: like a count of 0
            return (lambda at: False), (lambda at: f"no {term.quantity} in the {term.scope}")
        runs = [(cell, run) for cell, run, _ in bodies]

        def judge(at: int) -> bool | None:
            # All members are asked, because held(…) and seen(…) inside keep their memory by being asked.
            unknown = decided = heard = False
            for cell, run in runs:
                if here or not cell.isolated:
                    heard = True
                    truth = run(at)
                    decided = decided or truth is decisive
                    unknown = unknown or truth is None
            if decided:
                return decisive
            return None if unknown or not heard else not decisive

        def say(at: int) -> str:
            true = [f"{cell.name} {words(at)}" for cell, run, words in bodies
                    if (here or not cell.isolated) and run(at)]
            return f"{term.scope}.{term.function}: {shown_list(true)}"
        return judge, say

    def _bounds(self, term: Several) -> tuple[Callable[[int], tuple[float | None, float | None]], Say]:
        bodies, function, here = self._bodies(term), term.function, term.scope == "device"

        def bounds(at: int) -> tuple[float | None, float | None]:
            found = [(cell, run(at)) for cell, run, _ in bodies if here or not cell.isolated]
            values = [value for _, value in found if value is not None]
            unknown = len(found) - len(values)
            if function == "count":
                true = sum(values)
                return float(true), float(true + unknown)
            if function == "zones":
                zones = {cell.zone for cell, value in found if value}
                maybe = zones | {cell.zone for cell, value in found if value is None}
                return float(len(zones)), float(len(maybe))
            if not values:
                return None, None
            if function == "sum":  # of all or of none: a lift that is not heard may carry anybody
                return (float("-inf"), float("inf")) if unknown else (sum(values), sum(values))
            if function == "mean":  # of those known, where at least half are
                mean = sum(values) / len(values) if len(values) * 2 >= len(found) else None
                return mean, mean
            if function == "max":
                return max(values), float("inf") if unknown else max(values)
            return float("-inf") if unknown else min(values), min(values)

        unit = unit_display(term.type.unit)

        def say(at: int) -> str:
            least, most = bounds(at)
            true = shown_list([cell.name for cell, run, _ in bodies if (here or not cell.isolated) and run(at)])
            low, high = shown_figure(least, unit), shown_figure(most, unit)
            shown = low if least == most else f"{low} to {high}"
            named = f" ({true})" if function in ("count", "zones") and true else ""
            return f"{term.scope}.{function} {shown}{named}"
        return bounds, say


def compile_condition(term: Term, binder: Binder) -> Code:
    """(closure, say). Raises KeyError where the subject lacks a point that the condition names."""
    return _Compiler(binder).code(term)
