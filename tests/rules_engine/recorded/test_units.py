"""Records of others: their words and units become ours, or are refused with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules_engine.recorded.units import as_number, into_canonical, near_quantity, quantity_called
from rules_engine.replay_commands import ReplayAsked, replay

# By hand: 10·log10(1/(1 − x)); per foot ÷ 0.3048. EN 54-7 writes the same as dB/m.
LOST = [("%/m", 0.0, 0.0), ("%/m", 10.0, 0.4576), ("%/m", 50.0, 3.0103), ("%/ft", 3.1, 0.44869),
        ("%/ft", 50.0, 9.8763), ("OD/m", 0.14, 1.4), ("dB/m", 0.7, 0.7), ("", 0.7, 0.7)]


@pytest.mark.parametrize(("unit", "value", "meant"), LOST)
def test_smoke(unit: str, value: float, meant: float) -> None:
    made = into_canonical("obscuration", unit)
    assert made is not None and made(value) == pytest.approx(meant, rel=1e-4)


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_thicker_smoke_is_never_less(one: float, other: float) -> None:
    made = into_canonical("obscuration", "%/m")
    assert made is not None and (made(min(one, other)) <= made(max(one, other)) < 50)


@pytest.mark.parametrize(("quantity", "unit", "value", "meant"), [
    ("temperature", "°F", 212.0, 100.0), ("temperature", "℃", 54.0, 54.0), ("temperature", "K", 273.15, 0.0),
    ("co", "ppm", 30.0, 30.0), ("combustible_gas", "%LEL", 25.0, 25.0), ("level", "mm", 1500.0, 1.5),
])
def test_spellings(quantity: str, unit: str, value: float, meant: float) -> None:
    made = into_canonical(quantity, unit)
    assert made is not None and made(value) == pytest.approx(meant, abs=1e-9)


def test_what_cannot_be_is_refused() -> None:
    assert into_canonical("temperature", "%/m") is None and into_canonical("obscuration", "ppm") is None


@pytest.mark.parametrize(("called", "meant"), [
    ("co", "co"), ("Carbon Monoxide", "co"), ("PM2.5", "pm25"), ("smoke_obscuration", "obscuration"),
    ("relative-humidity", "humidity"), ("warmth", None), ("", None),
])
def test_words(called: str, meant: str | None) -> None:
    assert quantity_called(called) == meant
    assert meant or "names stand in" in near_quantity(called)


def test_a_slip_is_recognised() -> None:
    assert near_quantity("temperatur").startswith("did you mean temperature?")


@pytest.mark.parametrize(("text", "value"), [
    ("true", 1.0), ("OFF", 0.0), (" 3.5 ", 3.5), ("", None), (None, None), (True, 1.0), (2, 2.0)])
def test_cells(text: object, value: float | None) -> None:
    assert as_number(text) == value


def test_rows_may_have_units_of_their_own_and_switches_say_true(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(
        "point,quantity,unit,zone\nhall.t,temperature,°F,hall\nhall.button,call_point,,hall\n", encoding="utf-8")
    rows = [f"{second},hall.t,{value},{unit}" for second, value, unit in
            [(0, 68, ""), (10, 20, "°C"), (20, 70, "°F"), (30, 21, "Cel"), (40, 70, "")]]
    rows += ["0,hall.button,false,", "35,hall.button,true,", "40,hall.button,true,"]
    (tmp_path / "readings.csv").write_text("t_s,point,value,unit\n" + "\n".join(rows), encoding="utf-8")
    (tmp_path / "events.csv").write_text("start_s,class\n30,fire\n", encoding="utf-8")
    report = replay(ReplayAsked(readings=tmp_path))
    assert report.summary.missed == 0 and report.summary.delay_median_s == 5.0
    assert [episode["subject"] for episode in report.episodes] == ["hall.button"], "20 °C and 68 °F are no fire"
