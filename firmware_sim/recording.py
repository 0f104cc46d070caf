"""Recording: a measured experiment as columns over time, to be played into devices.

    name row, UCUM unit row, rows of numbers (CSV, may be gzipped)  ──parse_recording──►  Recording.at(column, t)
"""

from __future__ import annotations

import csv
import gzip
import io
from bisect import bisect_right
from itertools import pairwise
from math import isfinite

import msgspec

from device_model.errors import ConfigError, Finding

# 400 s at 2 s are 200 rows; a day at 1 s is 86,400. More is a mistake.
ROWS_MAX = 200_000
UNPACKED_BYTES_MAX = 64 * 1024 * 1024


class Recording(msgspec.Struct, frozen=True):
    """times_s ascending; each column as long as times_s; unit codes by column."""

    name: str
    times_s: tuple[float, ...]
    columns: dict[str, tuple[float, ...]]
    units: dict[str, str]

    @property
    def end_s(self) -> float:
        """The last time recorded."""
        return self.times_s[-1]

    def at(self, column: str, t_s: float) -> float:
        """The value at a time, linear between samples; before the first and after the last sample it stays.

        Raises KeyError for an unknown column.
        """
        values = self.columns[column]
        after = bisect_right(self.times_s, t_s)
        if after == 0:
            return values[0]
        if after == len(values):
            return values[-1]
        t0, t1 = self.times_s[after - 1], self.times_s[after]
        share = (t_s - t0) / (t1 - t0)
        return values[after - 1] + (values[after] - values[after - 1]) * share


def parse_recording(content: bytes, name: str) -> Recording:
    """Read one recording; the first column is the time in seconds. Raises ConfigError naming the row."""
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(UNPACKED_BYTES_MAX + 1)
        except (OSError, EOFError) as error:
            raise _fault(name, 0, f"not a whole gzip file: {error}") from error
    if len(content) > UNPACKED_BYTES_MAX:
        raise _fault(name, 0, f"larger than {UNPACKED_BYTES_MAX} bytes unpacked")
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _fault(name, 0, f"not CSV: {error}") from error
    if len(rows) < 3 or len(rows) > ROWS_MAX:
        raise _fault(name, 0, f"{len(rows)} rows: needs names, units and 1..{ROWS_MAX} rows of numbers")
    names, units = rows[0], rows[1]
    if len(names) < 2 or len(units) != len(names) or len(set(names)) != len(names):
        raise _fault(name, 1, "names and units must be equally many, and each name once")
    numbers = [_numbers(row, len(names), name, line) for line, row in enumerate(rows[2:], 3)]
    times = tuple(row[0] for row in numbers)
    for line, (earlier, later) in enumerate(pairwise(times), 4):
        if later <= earlier:
            raise _fault(name, line, "time does not rise")
    columns = {names[i]: tuple(row[i] for row in numbers) for i in range(1, len(names))}
    return Recording(name, times, columns, dict(zip(names[1:], units[1:], strict=True)))


def _numbers(row: list[str], width: int, name: str, line: int) -> list[float]:
    if len(row) != width:
        raise _fault(name, line, f"{len(row)} fields instead of {width}")
    try:
        numbers = [float(field) for field in row]
    except ValueError as error:
        raise _fault(name, line, f"not a number: {error}") from error
    if not all(isfinite(number) for number in numbers):
        raise _fault(name, line, "a number is infinite or not a number")
    return numbers


def _fault(name: str, line: int, what: str) -> ConfigError:
    return ConfigError([Finding(name, line, 1 if line else 0, what, "see demo/recordings/README.md for the form")])
