"""Devices as a table (pure): CSV and XLSX rows ↔ the devices of a site file, with a list of every error.

    row ─► form of each cell ─► known profile, line, zone ─► NewDevice; all errors at once: row, column, what, remedy
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from device_model.site import Site
from provisioning.site_draft import NewDevice

COLUMNS = ("id", "profile", "line", "unit", "address", "zone", "place_zh", "place_en", "serial", "plan_x", "plan_y",
           "tags")
ROWS_MAX = 20_000
_TOKEN = re.compile(r"[a-z0-9-]{1,40}\Z")
_ESCAPED = ("=", "+", "-", "@")  # a spreadsheet would run such a cell as a formula


class RowError(msgspec.Struct, frozen=True):
    """One error of a table. row: as a spreadsheet counts, the heading is 1."""

    row: int
    column: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.what} ({self.remedy})"


class Known(msgspec.Struct, frozen=True):
    """What a device may name."""

    profiles: frozenset[str]
    lines: frozenset[str]
    zones: frozenset[str]


def rows_of(site: Site) -> list[dict[str, str]]:
    """The devices of a site as rows."""
    return [{
        "id": d.id, "profile": d.profile, "line": d.line, "unit": str(d.unit or ""), "address": d.address,
        "zone": d.zone, "place_zh": d.place.zh, "place_en": d.place.en, "serial": d.serial,
        "plan_x": "" if d.plan_x is None else f"{d.plan_x:g}", "plan_y": "" if d.plan_y is None else f"{d.plan_y:g}",
        "tags": " ".join(d.tags),
    } for d in site.devices]


def as_csv(rows: Iterable[Mapping[str, str]]) -> str:
    """With a byte order mark, so that spreadsheets read the Chinese; cells that look like formulas are quoted."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"'{cell}" if (cell := row.get(name, "")).startswith(_ESCAPED) else cell
                         for name in COLUMNS})
    return "\ufeff" + out.getvalue()


def csv_rows(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """(heading, rows) of a CSV with commas, semicolons or tabs."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    rows = []
    try:
        heading = [str(name).strip() for name in reader.fieldnames or ()]
        listed = list(itertools.islice(reader, ROWS_MAX + 1))
    except csv.Error:  # a cell longer than any that people write, or a quote that never ends
        return [], []
    for row in listed:
        rows.append({str(key).strip(): (value or "").strip().removeprefix("'") if isinstance(value, str) else ""
                     for key, value in row.items() if key is not None})
    return heading, rows


def read_rows(heading: Sequence[str], rows: Sequence[Mapping[str, str]], known: Known
              ) -> tuple[list[NewDevice], list[RowError]]:
    """Devices and every error. Nothing of a row with an error is a device."""
    errors = [RowError(1, name, f"there is no column {name!r}", f"known: {', '.join(COLUMNS)}")
              for name in heading if name and name not in COLUMNS]
    errors += [RowError(1, name, "the column is missing", "add it") for name in ("id", "profile", "line", "zone")
               if name not in heading]
    if len(rows) > ROWS_MAX:
        errors.append(RowError(ROWS_MAX + 1, "id", "too many rows", f"at most {ROWS_MAX}"))
    if errors:
        return [], errors
    devices: list[NewDevice] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 2):
        if not any(row.values()):
            continue
        found = list(_errors_of(number, row, known))
        name = row["id"]
        if name in seen:
            found.append(RowError(number, "id", f"{name} stands in row {seen[name]} already", "rename one"))
        seen.setdefault(name, number)
        errors += found
        if not found:
            devices.append(NewDevice(
                name, row["profile"], row["line"], row["zone"], int(row.get("unit") or 0), row.get("address", ""),
                row.get("place_zh", ""), row.get("place_en", ""), row.get("serial", ""), _number(row.get("plan_x")),
                _number(row.get("plan_y")), tuple(row.get("tags", "").split())))
    return devices, errors


def _errors_of(number: int, row: Mapping[str, str], known: Known) -> Iterable[RowError]:
    if not _TOKEN.match(row["id"]):
        yield RowError(number, "id", f"{row['id']!r} is no id", "1 to 40 of a-z, 0-9 and -")
    for column, names in (("profile", known.profiles), ("line", known.lines), ("zone", known.zones)):
        if row[column] not in names:
            yield RowError(number, column, f"there is no {column} {row[column]!r}", _nearest(row[column], names))
    unit = row.get("unit", "")
    if unit and not (unit.isascii() and unit.isdigit() and 1 <= int(unit) <= 247):
        yield RowError(number, "unit", f"{unit!r} is no Modbus unit", "1 to 247, or empty")
    for column in ("plan_x", "plan_y"):
        if row.get(column) and _number(row.get(column)) is None:
            yield RowError(number, column, f"{row[column]!r} is no number", "pixels of the plan, as 120.5")
    for column in ("place_zh", "place_en", "serial", "address"):
        if len(row.get(column, "")) > 120:
            yield RowError(number, column, "longer than 120 characters", "shorten it")


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is None or abs(value) < 1e6 else None


def _nearest(name: str, names: Collection[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, 3)
    return f"perhaps {', '.join(near)}" if near else f"known: {', '.join(sorted(names)[:8])}"
