"""Rolling figures against plain arithmetic over all samples, their bounds, and what a checkpoint keeps."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_engine.window_table import make_window
from rules_engine.windows import STEPS, Dose

S = 1_000_000
# Steps of half a second or more in windows of ten: no two samples share a step, so the figures are exact.
samples = st.lists(st.tuples(st.integers(1, 20), st.integers(-50, 50)), min_size=1, max_size=40)


def times(steps: list[tuple[int, int]]) -> list[tuple[int, float]]:
    at, out = 1_000 * S, []
    for gap, value in steps:
        at += gap * S // 2
        out.append((at, float(value)))
    return out


@given(samples)
def test_extremes_are_those_of_the_window(steps: list[tuple[int, int]]) -> None:
    least, most = make_window("min", (10.0,)), make_window("max", (10.0,))
    seen = times(steps)
    for index, (at, value) in enumerate(seen):
        least.push(at, value)
        most.push(at, value)
        inside = [v for t, v in seen[: index + 1] if t >= at - 10 * S]
        assert (least.read(at), most.read(at)) == (min(inside), max(inside))
    assert least.read(seen[-1][0] + 11 * S) is None


@given(samples)
def test_mean_weighs_by_time(steps: list[tuple[int, int]]) -> None:
    window = make_window("mean", (10.0,))
    seen = times(steps)
    for index, (at, value) in enumerate(seen):
        window.push(at, value)
        start, total, known = at - 10 * S, 0.0, 0
        for (t, v), (later, _) in itertools.pairwise(seen[: index + 1]):
            part = max(0, later - max(t, start))
            total, known = total + v * part, known + part
        found = window.read(at)
        if known * 2 >= 10 * S:
            assert found == pytest.approx(total / known, abs=1e-6)
        else:
            assert found is None


def test_delta_needs_its_whole_length_and_rate_half() -> None:
    delta, rate = make_window("delta", (10.0,)), make_window("rate", (10.0,))
    for second in range(21):
        delta.push(second * S + 1, 2.0 * second)
        rate.push(second * S + 1, 2.0 * second)
        assert delta.read(second * S + 1) == (None if second < 10 else 20.0)
        assert rate.read(second * S + 1) == (None if second < 5 else pytest.approx(2.0))
    delta.gap(21 * S)
    assert delta.read(21 * S) is None


@pytest.mark.parametrize(("level", "earliest_min", "latest_min"), [(50, 60, 90), (100, 10, 40), (300, 0, 3)])
def test_the_dose_meets_en_50291(level: float, earliest_min: float, latest_min: float) -> None:
    dose = Dose(30.0, 50.0, 1.35)
    dose.push(S, level)
    minute = next(m for m in range(0, 1000) if dose.read(S + m * 6 * S) >= 80 * 60) / 10  # type: ignore[operator]
    assert earliest_min <= minute <= latest_min


def test_the_dose_at_30_ppm_stays_nothing_and_fades_in_clean_air() -> None:
    dose = Dose(30.0, 50.0, 1.35)
    dose.push(S, 30.0)
    assert dose.read(10_000 * S) == 0.0
    dose.push(10_000 * S, 100.0)
    dose.push(10_600 * S, 0.0)
    before = dose.read(10_600 * S)
    after = dose.read(10_600 * S + 3_600 * S)
    assert before is not None and after == pytest.approx(before / math.e)
    dose.gap(20_000 * S)
    assert dose.read(30_000 * S) == dose.read(20_000 * S)  # unknown stretches neither add nor fade


@pytest.mark.parametrize(
    "function", ["min", "max", "mean", "delta", "rate", "baseline", "dose", "jitter", "surprise"])
@given(steps=samples, cut=st.integers(0, 40))
def test_a_checkpoint_keeps_everything(function: str, steps: list[tuple[int, int]], cut: int) -> None:
    numbers = (0.0, 10.0, 1.35) if function == "dose" else (10.0,)
    window, twin = make_window(function, numbers), make_window(function, numbers)
    for index, (at, value) in enumerate(times(steps)):
        if index == cut:
            twin.load(window.dump())
        if index % 7 == 3:
            window.gap(at)
        window.push(at, value)
        if index >= cut:
            if index % 7 == 3:
                twin.gap(at)
            twin.push(at, value)
            assert twin.read(at) == window.read(at) and twin.dump() == window.dump()


@pytest.mark.parametrize("function", ["min", "max", "mean", "delta"])
def test_fast_sampling_does_not_grow_the_state(function: str) -> None:
    window = make_window(function, (10.0,))
    for index in range(5_000):  # 500 Hz, steadily rising: nothing expires by value
        window.push(index * 2_000 + 1, float(index))
    assert len(window.dump()) <= STEPS + 3
    figure = window.read(5_000 * 2_000 + 1)
    assert figure is not None and not math.isnan(figure)


def test_a_step_of_the_clock_moves_the_past_along() -> None:
    for function in ("min", "mean", "delta", "rate", "baseline", "jitter", "surprise"):
        window, still = make_window(function, (10.0,)), make_window(function, (10.0,))
        for second in range(1, 16):
            window.push(second * S, float(second % 4))
            still.push(second * S, float(second % 4))
        window.shift(3_600 * S)
        window.push(3_616 * S, 2.0)
        still.push(16 * S, 2.0)
        assert window.read(3_616 * S) == pytest.approx(still.read(16 * S))


def test_a_climb_hardly_trembles_and_a_broken_wire_does_at_once() -> None:
    climb, broken = make_window("jitter", (60.0,)), make_window("jitter", (60.0,))
    assert climb.read(0) is None
    for second in range(1, 60):
        climb.push(second * 1_000_000, 20 + 0.5 * second)
        broken.push(second * 1_000_000, 20 + (15 if second % 2 else -15))
        if second == 3:
            assert broken.read(3_000_000) == pytest.approx(30 / 2**0.5)
    assert climb.read(60_000_000) == pytest.approx(0.5 / 2**0.5)


def test_a_step_surprises_and_a_drift_is_learnt() -> None:
    window = make_window("surprise", (300.0,))
    random = Random(7)
    for second in range(1, 900):
        window.push(second * 1_000_000, 5 + 0.0001 * second + random.gauss(0, 0.1))
        figure = window.read(second * 1_000_000)
        assert (figure is None) == (second <= 300), second
        assert figure is None or figure < 4, second
    most = 0.0
    for second in range(900, 960):
        window.push(second * 1_000_000, 6.5 + random.gauss(0, 0.1))
        most = max(most, window.read(second * 1_000_000) or 0.0)
    assert most > 6
