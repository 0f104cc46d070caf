"""Diagnosis: the advice for what was seen."""

from __future__ import annotations

import pytest

from device_drivers.diagnose import Attempt, PointValue, advise, figures_of
from device_model.site import Text

GOOD = Attempt("FC03", "aa", "bb", 10.0)
SILENT = Attempt("FC03", "aa", "", 1000.0, "silent", "no answer")
GARBLED = Attempt("FC03", "aa", "cc", 20.0, "garbled", "short")
DOWN = Attempt("FC03", "", "", 1.0, "line_down", "refused")
BAD = PointValue("d.a", Text("a", "甲"), None, "Cel", "bad", "error_value")


def refused(code: int) -> Attempt:
    return Attempt("FC03", "aa", "bb", 5.0, "refused", "exception", code)


@pytest.mark.parametrize(("attempts", "serial", "expected"), [
    ([GOOD, GOOD], False, ["all requests answered"]),
    ([SILENT, SILENT], False, ["the unit does not"]),
    ([SILENT, SILENT], True, ["A/B not swapped"]),
    ([GARBLED, SILENT], True, ["wrong speed or parity"]),
    ([GOOD, SILENT], True, ["1 of 2: no answer"]),
    ([GOOD, GARBLED], True, ["1 of 2: garbled"]),
    ([GOOD, SILENT, GARBLED], True, ["no answer", "garbled"]),
    ([DOWN, DOWN], False, ["cannot be reached"]),
    ([DOWN], True, ["serial port cannot be opened"]),
    ([refused(2)], False, ["exception 2"]),
    ([refused(1), refused(11), refused(11)], False, ["exception 1", "exception 11"]),
    ([refused(99)], False, ["see its manual"]),
    ([Attempt("FC03", "aa", "bb", 900.0)], False, ["raise reply_timeout_s"]),
])
def test_advice(attempts: list[Attempt], serial: bool, expected: list[str]) -> None:
    advice = advise(attempts, [], serial=serial, timeout_ms=1000)
    assert len(advice) == len(expected)
    for text, part in zip(advice, expected, strict=True):
        assert part in text.en
        assert text.zh and any("\u4e00" <= c <= "\u9fff" for c in text.zh)


def test_points_without_a_value_are_named() -> None:
    (text,) = advise([GOOD], [BAD], serial=False, timeout_ms=1000)
    assert "d.a (error_value)" in text.en and "d.a (error_value)" in text.zh


def test_figures() -> None:
    figures = figures_of([GOOD, Attempt("x", "", "", 30.0), SILENT, GARBLED, refused(2), DOWN])
    assert (figures.asked, figures.answered, figures.silent, figures.garbled, figures.refused, figures.line_down) == (
        6, 2, 1, 1, 1, 1)
    assert (figures.least_ms, figures.median_ms, figures.most_ms) == (10.0, 20.0, 30.0)


def test_figures_of_nothing() -> None:
    assert figures_of([]).most_ms == 0.0
