"""Devices in and out of a site file in bulk (I/O): CSV or XLSX, dry-run, every error, undo (site_versions.py)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from device_model.errors import ConfigError, LocalFault
from device_model.library import profiles_for, read_site, read_text
from provisioning.device_table import COLUMNS, ROWS_MAX, Known, RowError, as_csv, csv_rows, read_rows, rows_of
from provisioning.site_draft import as_text, content_of, difference, with_device
from provisioning.site_versions import SiteVersions

FILE_MAX = 8 * 1024 * 1024
# A workbook is a packed archive: a few hundred kilobytes may unpack to gigabytes, or to millions of empty rows.
UNPACKED_MAX = 64 * 1024 * 1024
COLUMNS_MAX = 200


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did or would do."""

    devices: int
    errors: tuple[RowError, ...]
    diff: str
    written: bool
    version: int = 0

    def text(self) -> str:
        """For people."""
        if self.errors:
            return "\n".join([*map(str, self.errors), f"{len(self.errors)} errors; nothing was written"])
        done = f"written as version {self.version}" if self.written else "not written"
        return f"{self.diff}{self.devices} devices read; {done}"


def import_devices(config: Path, table: Path, who: str, *, dry_run: bool = False,
                   check: Callable[[Path], object] | None = None) -> ImportReport:
    """Put the devices of a table into a site file; those of known ids are replaced. LocalFault, ConfigError."""
    heading, rows = read_table(table)
    site = read_site(config)
    known = Known(frozenset(profiles_for(config)), frozenset(line.id for line in site.lines),
                  frozenset(zone.id for zone in site.zones))
    devices, errors = read_rows(heading, rows, known)
    if errors:
        return ImportReport(len(devices), tuple(errors), "", False)
    versions = SiteVersions(config, check)
    before = versions.text()
    content = content_of(before, str(config))
    for device in devices:
        content = with_device(content, device)
    after = as_text(content)
    diff = difference(as_text(content_of(before)), after)
    try:
        versions.check(after)
    except ConfigError as error:
        numbers = {row.get("id", ""): number for number, row in enumerate(rows, 2)}
        ids = [one["id"] for one in content["devices"]]
        told = tuple(RowError(_row(after, finding.line, ids, numbers), "device", finding.what, finding.remedy)
                     for finding in error.findings)
        return ImportReport(len(devices), told, "", False)
    if dry_run:
        return ImportReport(len(devices), (), diff, False)
    version = versions.save(after, who, f"{len(devices)} devices from {table.name}")
    return ImportReport(len(devices), (), diff, True, version.number)


def _row(text: str, line: int, ids: list[str], numbers: dict[str, int]) -> int:
    """The row of the table that a finding of the file is about: the device that stands at or above that line."""
    lines = text.splitlines()
    for at in range(min(line, len(lines)) - 1, -1, -1):
        if lines[at].startswith("- id: "):
            return numbers.get(lines[at].removeprefix("- id: ").strip("'\""), 0)
    return 0


def export_devices(config: Path, out: Path) -> int:
    """Write the devices of a site as CSV or XLSX, by the file's ending; how many. LocalFault."""
    rows = rows_of(read_site(config))
    try:
        if out.suffix.lower() == ".xlsx":
            out.write_bytes(as_xlsx(rows))
        else:
            out.write_text(as_csv(rows), encoding="utf-8")
    except OSError as error:
        raise LocalFault(f"{out} cannot be written: {error}") from error
    return len(rows)


def as_xlsx(rows: list[dict[str, str]]) -> bytes:
    """A workbook with one sheet; every cell is text, so that nothing is run as a formula."""
    from openpyxl import Workbook

    book = Workbook()
    sheet: Any = book.active
    sheet.title = "devices"
    sheet.append(list(COLUMNS))
    for row in rows:
        sheet.append([row.get(name, "") for name in COLUMNS])
        for cell in sheet[sheet.max_row]:
            cell.data_type = "s"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def read_table(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    """(heading, rows) of a CSV or XLSX. LocalFault."""
    if table.suffix.lower() != ".xlsx":
        return csv_rows(read_text(table))
    from openpyxl import load_workbook

    try:
        if table.stat().st_size > FILE_MAX:
            raise LocalFault(f"{table} is larger than {FILE_MAX} bytes")
        with zipfile.ZipFile(table) as archive:
            if sum(one.file_size for one in archive.infolist()) > UNPACKED_MAX:
                raise LocalFault(f"{table} unpacks to more than {UNPACKED_MAX} bytes; save it anew, with one sheet")
        sheet: Any = load_workbook(table, read_only=True, data_only=True).active
        cells = [["" if cell is None else str(cell).removesuffix(".0").strip() for cell in row]
                 for row in sheet.iter_rows(values_only=True, max_row=ROWS_MAX + 2, max_col=COLUMNS_MAX)]
        if len(cells) > ROWS_MAX + 1:
            raise LocalFault(f"{table} has more than {ROWS_MAX} rows; split it")
    except LocalFault:
        raise
    except Exception as error:  # openpyxl raises whatever a broken archive makes it raise
        raise LocalFault(f"{table} is no XLSX workbook: {type(error).__name__}: {error}") from error
    heading = cells[0] if cells else []
    while heading and not heading[-1]:  # rows come as wide as was asked for
        heading.pop()
    return heading, [dict(zip(heading, row, strict=False)) for row in cells[1:]]
