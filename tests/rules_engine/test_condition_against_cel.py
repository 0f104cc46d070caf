"""The same conditions in common-expression-language (a Rust CEL, by others): where both have an answer it is one.

CEL raises for a name without a value and absorbs such errors in && and || on both sides: our unknown.
"""

from __future__ import annotations

import operator
from random import Random

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.quantities import QUANTITIES
from rules_engine import Vocabulary, check_condition, parse_condition
from rules_engine.cell import Cell
from rules_engine.condition_compile import LastingState, Wakes, compile_condition
from rules_engine.condition_types import BOOL, PLAIN, PointRef
from rules_engine.local_time import LocalTime

NUMBERS, BITS = ("x", "y", "z"), ("p", "q", "r")
TYPES = {**dict.fromkeys(NUMBERS, PLAIN), **dict.fromkeys(BITS, BOOL)}

number = st.recursive(
    st.sampled_from(NUMBERS) | st.sampled_from(["0.0", "1.0", "2.5", "7.0", "100.0"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner) | inner.map("(-{})".format),
    max_leaves=4)
condition = st.recursive(
    st.sampled_from([*BITS, "true", "false"])
    | st.builds("{} {} {}".format, number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number),
    lambda inner: st.builds("({}) {} ({})".format, inner, st.sampled_from(["&&", "||", "==", "!="]), inner)
    | inner.map("!({})".format),
    max_leaves=8)
values = st.fixed_dictionaries({}, optional={
    **dict.fromkeys(NUMBERS, st.sampled_from([0.0, 1.0, -1.0, 2.5, 7.0, 1e6])), **dict.fromkeys(BITS, st.booleans())})


class Names:
    """Names are cells, with values or without."""

    def __init__(self, known: dict[str, float | bool]) -> None:
        self.wakes, self.lasting, self.clock = Wakes(), list[LastingState](), LocalTime("UTC")
        self.cells = {}
        for index, name in enumerate(TYPES):
            quantity = "count" if name in NUMBERS else "smoke_alarm"
            assert quantity in QUANTITIES
            self.cells[name] = Cell(name, quantity, device="d", zone="z", limit_us=0, index=index)
            self.cells[name].value = known.get(name)

    def cell(self, ref: PointRef) -> Cell:
        return self.cells[ref.name]

    def members(self, scope: str, quantity: str) -> list[Cell]:
        raise KeyError(scope)


def ours(text: str, known: dict[str, float | bool]) -> bool | None:
    term = check_condition(parse_condition(text), Vocabulary(None, names=TYPES), BOOL)
    answer: bool | None = compile_condition(term, Names(known))[0](0)
    return answer


def theirs(text: str, known: dict[str, float | bool]) -> bool | None:
    try:
        return bool(cel.evaluate(text, known))
    except (RuntimeError, TypeError):  # a missing name; NaN, which has no order
        return None


def compare(text: str, known: dict[str, float | bool]) -> None:
    mine, other = ours(text, known), theirs(text, known)
    # Two differences by design: x/0.0 is infinity in CEL and unknown here; and where an operand is unknown, CEL may
    # refuse what Kleene decides. In both cases one side has no answer.
    if mine is not None and other is not None:
        assert operator.eq(mine, other), (text, known)
    if len(known) == len(TYPES) and "/" not in text:
        assert mine is not None and other is not None, (text, known)


@settings(max_examples=500)
@given(condition, values)
def test_same_answer_as_cel(text: str, known: dict[str, float | bool]) -> None:
    compare(text, known)


def random_number(random: Random, depth: int) -> str:
    if depth == 0 or random.random() < 0.4:
        return random.choice([*NUMBERS, "0.0", "1.0", "2.5", "7.0", "100.0"])
    inner = random_number(random, depth - 1)
    if random.random() < 0.2:
        return f"(-{inner})"
    return f"({inner} {random.choice('+-*/')} {random_number(random, depth - 1)})"


def random_condition(random: Random, depth: int) -> str:
    draw = random.random()
    if depth == 0 or draw < 0.15:
        return random.choice([*BITS, "true", "false"])
    if draw < 0.4:
        sign = random.choice(["<", "<=", ">", ">=", "==", "!="])
        return f"{random_number(random, 2)} {sign} {random_number(random, 2)}"
    if draw < 0.5:
        return f"!({random_condition(random, depth - 1)})"
    sign = random.choice(["&&", "||", "==", "!="])
    return f"({random_condition(random, depth - 1)}) {sign} ({random_condition(random, depth - 1)})"


def random_values(random: Random) -> dict[str, float | bool]:
    some: dict[str, float | bool] = {
        name: random.choice([0.0, 1.0, -1.0, 2.5, 7.0, 1e6]) for name in NUMBERS if random.random() < 0.8}
    return {**some, **{name: random.random() < 0.5 for name in BITS if random.random() < 0.8}}


def storm(seed: int, count: int) -> int:
    """So many random conditions and values; how many had an answer on both sides."""
    random = Random(seed)
    answered = 0
    for _ in range(count):
        text, known = random_condition(random, 4), random_values(random)
        compare(text, known)
        answered += ours(text, known) is not None and theirs(text, known) is not None
    return answered


def test_two_thousand_random_conditions() -> None:
    assert storm(1, 2_000) > 1_000, "most have an answer, or nothing is compared"


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_random_conditions(seed: int) -> None:
    assert storm(100 + seed, 10_000) > 5_000


def test_a_missing_name_is_absorbed_alike() -> None:
    for text, wanted in (("p || true", True), ("true || p", True), ("p && false", False), ("p", None),
                         ("x > 1.0", None)):
        assert ours(text, {}) is wanted and theirs(text, {}) is wanted
