"""Matchers of routing: `hazard =~ "gas|water"`, as Alertmanager writes them. Pure.

A label that an alarm does not have is the empty text. Expressions are anchored at both ends and are held to what
cannot run away: no back references, no looking around, no repetition inside a repetition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from re import _parser as sre  # type: ignore[attr-defined]  # the grammar that `re` itself uses; no public name
from typing import Any

import msgspec

Labels = Mapping[str, str]
_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Longer expressions are lists of names, which belong into a label of their own.
EXPRESSION_MAX = 400
# What a label's value is cut to before it is matched; ids and codes are far shorter.
VALUE_MAX = 200
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
_REFUSED = {"GROUPREF": "refers back", "GROUPREF_EXISTS": "refers back", "ASSERT": "looks around",
            "ASSERT_NOT": "looks around", "ATOMIC_GROUP": "uses an atomic group",
            "POSSESSIVE_REPEAT": "uses a possessive repetition"}


class Matcher(msgspec.Struct, frozen=True, order=True):
    """One comparison of one label. operator: =, !=, =~ or !~."""

    label: str
    operator: str
    value: str

    def matches(self, labels: Labels) -> bool:
        """Whether the labels satisfy it."""
        have = labels.get(self.label, "")[:VALUE_MAX]
        if self.operator == "=":
            return have == self.value
        if self.operator == "!=":
            return have != self.value
        found = _compiled(self.value).fullmatch(have) is not None
        return found if self.operator == "=~" else not found

    def __str__(self) -> str:
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.operator}"{quoted}"'


def parse_matcher(text: str) -> Matcher:
    """One matcher. Raises ValueError, which says what is wrong."""
    found = _MATCHER.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a matcher")
    label, operator, value = found[1], found[2], found[3]
    if value.startswith('"'):
        value = _unquoted(value)
    elif '"' in value or value.startswith("'"):
        raise ValueError(f"the quotes of {value} do not fit")
    matcher = Matcher(label, operator, value)
    if operator in ("=~", "!~"):
        refuse_runaway(value)
    return matcher


def matches_all(matchers: Iterable[Matcher], labels: Labels) -> bool:
    """Whether all of them are satisfied; none at all are always satisfied."""
    return all(matcher.matches(labels) for matcher in matchers)


def _unquoted(value: str) -> str:
    if len(value) < 2 or not value.endswith('"') or re.fullmatch(r'"(?:[^"\\]|\\.)*"', value, re.DOTALL) is None:
        raise ValueError(f"the quotes of {value} do not fit")
    swap = {"n": "\n", '"': '"', "\\": "\\"}
    return re.sub(r"\\(.)", lambda m: swap.get(m[1], "\\" + m[1]), value[1:-1], flags=re.DOTALL)


def refuse_runaway(expression: str) -> None:
    """Raises ValueError for an expression that is none, or that could take time without end."""
    if len(expression) > EXPRESSION_MAX:
        raise ValueError(f"the expression is longer than {EXPRESSION_MAX} characters")
    try:
        tree = sre.parse(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not an expression: {error}") from error
    _walk(tree, inside=False)


def _walk(tree: Any, *, inside: bool) -> None:
    for operation, argument in tree:
        name = str(operation)
        if name in _REFUSED:
            raise ValueError(f"the expression {_REFUSED[name]}, which is not accepted")
        repeats = name in _REPEATS and argument[1] != 1 and argument[:2] != (0, 1)
        if repeats and inside:
            raise ValueError("the expression repeats a repetition, which could take time without end")
        for part in _parts(name, argument):
            _walk(part, inside=inside or repeats)


def _parts(name: str, argument: Any) -> list[Any]:
    """The expressions inside one operation."""
    if name in _REPEATS:
        return [argument[2]]
    if name == "SUBPATTERN":
        return [argument[3]]
    if name == "BRANCH":
        return list(argument[1])
    return []


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)
