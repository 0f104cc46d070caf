"""Text of a condition to the tree as written. A recursive descent over a fixed grammar, bounded on all sides.

    condition  = and ("||" and)*
    and        = compare ("&&" compare)*
    compare    = sum (("==" | "!=" | "<" | "<=" | ">" | ">=") sum)?
    sum        = product (("+" | "-") product)*
    product    = unary (("*" | "/") unary)*
    unary      = ("!" | "-") unary | primary
    primary    = number unit? | text | "true" | "false" | name | name "(" condition ("," condition)* ")"
               | "(" condition ")"
    name       = word ("." word)?

Every operator means what it means in CEL. What CEL has and this grammar lacks (lists, maps, macros, `?:`, `%`)
is left out so that a condition can be read aloud and judged in three values.
"""

from __future__ import annotations

import difflib
import re

from rules_engine.condition_types import (
    DEPTH_MAX,
    SOURCE_BYTES_MAX,
    SPELLINGS,
    TERMS_MAX,
    Binary,
    Call,
    Literal,
    Name,
    Unary,
    Written,
    read_unit,
)


class ConditionError(Exception):
    """Something wrong at an offset of a condition, with a remedy. Loaders turn it into a Finding."""

    def __init__(self, offset: int, what: str, remedy: str) -> None:
        super().__init__(f"at {offset}: {what} — {remedy}")
        self.offset = offset
        self.what = what
        self.remedy = remedy


_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEXT = re.compile(r'"([^"\\\n]*)"|\'([^\'\\\n]*)\'')
_OPERATOR = re.compile(r"&&|\|\||==|!=|<=|>=|[<>!+\-*/(),.]")
_COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
_SLIPS = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!", "=": "==", "&": "&&", "|": "||"}


class _Token:
    __slots__ = ("kind", "offset", "text", "unit", "value")

    def __init__(self, kind: str, offset: int, text: str, value: float | str = "", unit: str = "1") -> None:
        self.kind = kind  # number, text, word, operator, end
        self.offset = offset
        self.text = text
        self.value = value
        self.unit = unit


def parse_condition(source: str) -> Written:
    """The tree as written. Raises ConditionError at the first thing that does not fit the grammar."""
    if len(source.encode()) > SOURCE_BYTES_MAX:
        raise ConditionError(0, f"a condition of more than {SOURCE_BYTES_MAX} bytes", "split it into several rules")
    return _Parser(_tokens(source)).whole()


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        space = _SPACE.match(source, at)
        at = space.end() if space else at
        if at >= len(source):
            tokens.append(_Token("end", at, "the end"))
            return tokens
        token, at = _token(source, at)
        tokens.append(token)


def _token(source: str, at: int) -> tuple[_Token, int]:
    if match := _NUMBER.match(source, at):
        return _number(source, at, match)
    if match := _WORD.match(source, at):
        return _Token("word", at, match.group()), match.end()
    if match := _TEXT.match(source, at):
        value = match.group(1) if match.group(1) is not None else match.group(2)
        return _Token("text", at, match.group(), value), match.end()
    if match := _OPERATOR.match(source, at):
        return _Token("operator", at, match.group()), match.end()
    letter = source[at]
    if letter in "\"'":
        raise ConditionError(at, "a text that does not end", f"close it with {letter} on the same line, no backslash")
    remedy = f"write {_SLIPS[letter]}" if letter in _SLIPS else "see rules_engine/README.md for the language"
    raise ConditionError(at, f"{letter!r} means nothing here", remedy)


def _number(source: str, at: int, match: re.Match[str]) -> tuple[_Token, int]:
    value = float(match.group())
    if value in (float("inf"), float("-inf")):
        raise ConditionError(at, f"{match.group()} is too large", "write a number that a sensor can reach")
    space = _SPACE.match(source, match.end())
    start = space.end() if space else match.end()
    found = read_unit(source, start)
    if found:
        return _Token("number", at, match.group(), value, found[0]), found[1]
    if word := re.compile(r"[^\s()&|!=<>+*,\-]+").match(source, start):
        text = word.group()
        if text[0] in "/.":
            return _Token("number", at, match.group(), value), match.end()
        near = difflib.get_close_matches(text, SPELLINGS, n=3, cutoff=0.4)
        remedy = f"did you mean {', '.join(near)}?" if near else "see device_model/quantities.py for the units"
        raise ConditionError(start, f"{text!r} is not a unit", remedy)
    return _Token("number", at, match.group(), value), match.end()


class _Parser:
    """One pass over the tokens; depth and number of terms are counted as they come."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._terms = 0

    def whole(self) -> Written:
        tree = self._or()
        token = self._peek
        if token.kind != "end":
            remedy = (f"write {_SLIPS[token.text]}" if token.text in _SLIPS
                      else "remove it, or join it with && or ||")
            raise ConditionError(token.offset, f"{token.text!r} is not expected here", remedy)
        return tree

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _next_is(self, *operators: str) -> bool:
        token = self._peek
        return token.kind == "operator" and token.text in operators

    def _expect(self, operator: str, why: str) -> None:
        token = self._take()
        if token.kind != "operator" or token.text != operator:
            raise ConditionError(token.offset, f"{operator!r} is missing before {token.text!r}", why)

    def _count(self, offset: int) -> None:
        self._terms += 1
        if self._terms > TERMS_MAX:
            raise ConditionError(offset, f"more than {TERMS_MAX} terms", "split it into several rules")

    def _deeper(self, offset: int) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ConditionError(offset, f"nested deeper than {DEPTH_MAX}", "split it into several rules")

    def _or(self) -> Written:
        self._deeper(self._peek.offset)
        left = self._and()
        while self._next_is("||"):
            token = self._take()
            left = Binary(token.offset, "||", left, self._and())
        self._depth -= 1
        return left

    def _and(self) -> Written:
        left = self._compare()
        while self._next_is("&&"):
            token = self._take()
            left = Binary(token.offset, "&&", left, self._compare())
        return left

    def _compare(self) -> Written:
        left = self._sum()
        if not self._next_is(*_COMPARISONS):
            return left
        token = self._take()
        tree = Binary(token.offset, token.text, left, self._sum())
        if self._next_is(*_COMPARISONS):
            raise ConditionError(self._peek.offset, "two comparisons in a row", "join them with &&")
        return tree

    def _sum(self) -> Written:
        left = self._product()
        while self._next_is("+", "-"):
            token = self._take()
            left = Binary(token.offset, token.text, left, self._product())
        return left

    def _product(self) -> Written:
        left = self._unary()
        while self._next_is("*", "/"):
            token = self._take()
            left = Binary(token.offset, token.text, left, self._unary())
        return left

    def _unary(self) -> Written:
        if not self._next_is("!", "-"):
            return self._primary()
        token = self._take()
        self._deeper(token.offset)
        operand = self._unary()
        self._depth -= 1
        if token.text == "-" and isinstance(operand, Literal) and isinstance(operand.value, float):
            return Literal(token.offset, -operand.value, operand.unit)
        return Unary(token.offset, token.text, operand)

    def _primary(self) -> Written:
        token = self._take()
        self._count(token.offset)
        if token.kind == "number":
            return Literal(token.offset, token.value, token.unit)
        if token.kind == "text":
            return Literal(token.offset, token.value)
        if token.kind == "word":
            return self._named(token)
        if token.kind == "operator" and token.text == "(":
            inner = self._or()
            self._expect(")", "close the parenthesis")
            return inner
        what = "the condition ends too early" if token.kind == "end" else f"{token.text!r} is not expected here"
        raise ConditionError(token.offset, what, "a number, a name, a text or ( is expected")

    def _named(self, token: _Token) -> Written:
        if token.text in ("true", "false"):
            return Literal(token.offset, token.text == "true")
        name = token.text
        if self._next_is("."):
            self._take()
            word = self._take()
            if word.kind != "word":
                raise ConditionError(word.offset, f"a name is missing after {name!r}.", "write it as in zone.any(…)")
            name = f"{name}.{word.text}"
        if not self._next_is("("):
            return Name(token.offset, name)
        self._take()
        arguments: list[Written] = []
        if not self._next_is(")"):
            arguments.append(self._or())
            while self._next_is(","):
                self._take()
                arguments.append(self._or())
        self._expect(")", f"close the parenthesis of {name}(…)")
        return Call(token.offset, name, tuple(arguments))
