"""A measurement that could not end is refused before it begins, with what is wrong."""

from __future__ import annotations

import pytest

from bench.commands import run_bench


@pytest.mark.parametrize(("name", "arguments", "code", "said"), [
    ("rtu", ["--baud", "-5"], 2, "--baud -5: write a number that is not negative"),
    ("modbus", ["--devices", "0"], 2, "--devices 0: nothing would be measured"),
    ("isolation", ["--units", "2", "--dead", "5"], 1, "fewer dead ones"),
    ("isolation", ["--units", "300"], 1, "at most 247 units"),
    ("soak", ["--days", "nan"], 2, "--days nan"),
    ("fleet", ["--seconds", "0"], 2, "--seconds 0"),
])
def test_numbers_that_measure_nothing_are_refused(
    name: str, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_bench(name, arguments) == code
    assert said in capsys.readouterr().err
