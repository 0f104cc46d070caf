"""The manifest of labelled pictures: `file,hot_work,flame,smoke,kind` and whatever columns come beside them.

A label is 1, 0, or -1 for "nobody looked": masked wherever that class is judged. A missing column or an empty cell is
-1. Written by whatever program: 1.0 as spreadsheets put it, columns in any order and case, parted by comma,
semicolon or tab.
"""

from __future__ import annotations

import csv
import io

import msgspec

from device_drivers.vision.model_card import CLASSES
from device_model.errors import ConfigError, Finding

ROWS_MAX = 1_000_000  # more is not a manifest of pictures but a mistake
LABELS = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1, "": -1}
SHORT = "\0"  # stands where a row ends before its columns do


class LabelRow(msgspec.Struct, frozen=True):
    """One labelled picture. labels: in the order of CLASSES, 1, 0 or -1. line: one-based, in the manifest."""

    file: str
    labels: tuple[int, ...]
    kind: str
    line: int

    @property
    def positive(self) -> bool:
        """Whether it shows anything that should alarm."""
        return 1 in self.labels

    @property
    def negative(self) -> bool:
        """Whether it is known to show nothing, in at least one class and against it in none."""
        return 0 in self.labels and not self.positive


def parse_labels(text: str, name: str) -> tuple[list[LabelRow], list[Finding], list[str]]:
    """Rows that can be used, a finding for every one that cannot, and a note for every one that says nothing new.

    Raises ConfigError where the file as a whole is no manifest (no `file` column, no class column, no row).
    """
    text = text.lstrip("\ufeff")
    head = text.partition("\n")[0]
    parted = "," if "," in head else next((sign for sign in ";\t" if sign in head), ",")
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="more", restval=SHORT, delimiter=parted)
    try:
        columns = [column.strip().lower() for column in reader.fieldnames or ()]
    except csv.Error as error:
        raise ConfigError(
            [Finding(name, 1, 0, f"the first line is no CSV: {error}", "write file,hot_work,flame,smoke,kind")]
        ) from error
    reader.fieldnames = columns
    if "file" not in columns or not set(columns) & set(CLASSES):
        raise ConfigError(
            [
                Finding(
                    name,
                    1,
                    0,
                    f"columns are {', '.join(columns) or 'missing'}",
                    f"the first line names the columns: file, at least one of {', '.join(CLASSES)}, and kind",
                )
            ]
        )
    rows: list[LabelRow] = []
    findings: list[Finding] = []
    notes: list[str] = []
    seen: dict[str, LabelRow] = {}
    try:
        for cells in reader:
            if len(rows) >= ROWS_MAX:
                raise ConfigError(
                    [Finding(name, reader.line_num, 0, f"more than {ROWS_MAX} rows", "split the manifest")]
                )
            row, problem = _row(cells, columns, reader.line_num)
            before = None if row is None else seen.get(row.file)
            if row is not None and before is not None:
                if before.labels == row.labels:
                    notes.append(f"{name}:{row.line}: {row.file} was named on line {before.line}: counted once")
                    continue
                problem = (f"{row.file} has other labels on line {before.line}", "name each picture once")
            if problem is not None:
                findings.append(Finding(name, reader.line_num, 0, *problem))
            elif row is not None:
                seen[row.file] = row
                rows.append(row)
    except csv.Error as error:
        findings.append(
            Finding(name, reader.line_num, 0, f"not CSV: {error}", "quote fields that hold commas or quotes")
        )
    if not rows and not findings:
        raise ConfigError([Finding(name, 1, 0, "no rows below the first line", "add one line a picture")])
    return rows, findings, notes


def _row(cells: dict[str, str], columns: list[str], line: int) -> tuple[LabelRow | None, tuple[str, str] | None]:
    if cells.get("more"):
        return None, ("more fields than columns", "quote fields that hold commas")
    file = (cells.get("file") or "").strip()
    if not file or "\0" in file:
        return None, ("no file name", "give the picture's path below --images")
    labels = []
    for name in CLASSES:
        text = (cells.get(name) or "").strip() if name in columns else "-1"
        if text not in LABELS:
            found = "missing: the row is too short" if text == SHORT else repr(text)
            return None, (f"{name} is {found}", "write 1 (shown), 0 (not shown) or -1 (not looked at)")
        labels.append(LABELS[text])
    return LabelRow(file, tuple(labels), (cells.get("kind") or "").strip().strip(SHORT) or "unnamed", line), None
