"""Workbooks that somebody made to hurt: packed gigabytes, millions of rows, entities, formulas."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook

from device_model.errors import LocalFault
from provisioning.device_exchange import COLUMNS_MAX, UNPACKED_MAX, read_table


def workbook() -> bytes:
    book = Workbook()
    book.active.append(["id", "profile"])
    book.active.append(["a", "=1+1"])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_sheet(xml: bytes, path: Path) -> Path:
    """The same workbook with another sheet in it."""
    with zipfile.ZipFile(io.BytesIO(workbook())) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in source.namelist():
            out.writestr(name, xml if name.endswith("sheet1.xml") else source.read(name))
    return path


def sheet(rows: bytes, head: bytes = b"") -> bytes:
    return (b'<?xml version="1.0"?>' + head + b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/'
            b'2006/main"><sheetData>' + rows + b"</sheetData></worksheet>")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = with_sheet(sheet(b" " * (UNPACKED_MAX + 1)), tmp_path / "bomb.xlsx")
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(LocalFault, match="unpacks to more"):
        read_table(bomb)


def test_rows_and_columns_without_end_are_bounded(tmp_path: Path) -> None:
    far = with_sheet(sheet(b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), tmp_path / "far.xlsx")
    with pytest.raises(LocalFault, match="rows"):
        read_table(far)
    wide = with_sheet(sheet(b'<row r="1"><c r="XFD1"><v>1</v></c></row>'), tmp_path / "wide.xlsx")
    assert len(read_table(wide)[0]) <= COLUMNS_MAX


def test_entities_are_not_spread(tmp_path: Path) -> None:
    head = b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 1000 + b'">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 100) for n in range(5)) + b"]>"
    row = b'<row r="1"><c r="A1" t="inlineStr"><is><t>&f;</t></is></c></row>'
    bomb = with_sheet(sheet(row, head), tmp_path / "laughs.xlsx")
    with pytest.raises(LocalFault, match="no XLSX"):
        read_table(bomb)


def test_a_formula_is_no_value_of_ours(tmp_path: Path) -> None:
    table = tmp_path / "formula.xlsx"
    table.write_bytes(workbook())
    assert read_table(table)[1] == [{"id": "a", "profile": ""}]
