"""Batch: many units tested one after the other, overnight; a serial, a firmware and a verdict each. Pure.

    batch file ─► Batch(Unit…) ─► batch_run.py ─► UnitResult… ─► CSV, HTML

A unit's test is a conformance target (`modbus://192.168.1.20:502/1`, a profile's id) or a scenario, by name or file.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.yaml_source import parse_yaml
from trial.report_style import STYLE

UNITS_MAX = 5000
COLUMNS = ("serial", "firmware", "test", "seed", "verdict", "deviations", "began", "took_s", "detail")


class Unit(msgspec.Struct, frozen=True):
    """One thing under test. seed: of a scenario, None: its own. firmware "": asked from a device that can say."""

    serial: str
    test: str
    firmware: str = ""
    seed: int | None = None


class Batch(msgspec.Struct, frozen=True):
    """A night's work."""

    batch: str
    units: tuple[Unit, ...]
    tester: str = ""


class UnitResult(msgspec.Struct, frozen=True):
    """What came of a unit. verdict: "pass", "fail", or "error" (it could not be tested; detail says why)."""

    serial: str
    firmware: str
    test: str
    verdict: str
    seed: int | None = None
    deviations: int = 0
    began: str = ""
    took_s: float = 0.0
    detail: str = ""


def parse_batch(text: str, file: str) -> Batch:
    """A batch file. Raises ConfigError with every finding."""
    source = parse_yaml(text, file)
    try:
        batch = msgspec.convert(source.content, Batch)
    except msgspec.ValidationError as error:
        raise ConfigError([Finding(file, 1, 1, str(error),
                                   "write batch: NAME and units: [{serial: …, test: …, firmware: …}]")]) from error
    findings = []
    if not 0 < len(batch.units) <= UNITS_MAX:
        findings.append(source.finding(("units",), f"{len(batch.units)} units", f"name 1 to {UNITS_MAX}"))
    seen: set[tuple[str, str, int | None]] = set()
    for number, unit in enumerate(batch.units):
        if not unit.serial.strip() or not unit.test.strip():
            findings.append(source.finding(("units", number), "serial and test must be said", "add them"))
        if (unit.serial, unit.test, unit.seed) in seen:
            findings.append(source.finding(("units", number), f"{unit.serial} with {unit.test} stands twice",
                                           "leave one out, or give another seed"))
        seen.add((unit.serial, unit.test, unit.seed))
    if findings:
        raise ConfigError(findings)
    return batch


def parse_lines(text: str, name: str) -> Batch:
    """Units as typed into the page: `serial, firmware, test[, seed]` a line. Raises ConfigError."""
    units, findings = [], []
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.replace("，", ",").split(",")]
        if not any(cells):
            continue
        seed = cells[3] if len(cells) > 3 else ""
        if len(cells) < 3 or not cells[0] or not cells[2] or (seed and not seed.isdecimal()):
            findings.append(Finding(name, number, 1, f"{', '.join(cells)!r} is no unit",
                                    "write: serial, firmware, test[, seed]"))
            continue
        units.append(Unit(cells[0], cells[2], cells[1], int(seed) if seed else None))
    if not units and not findings:
        findings.append(Finding(name, 1, 1, "no unit", "write: serial, firmware, test"))
    if len(units) > UNITS_MAX:
        findings.append(Finding(name, UNITS_MAX, 1, "too many units", f"at most {UNITS_MAX}"))
    if findings:
        raise ConfigError(findings)
    return Batch(name, tuple(units))


def as_csv(results: Sequence[UnitResult]) -> str:
    """For a spreadsheet (UTF-8 with its mark, so that spreadsheets read Chinese)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for result in results:
        row = msgspec.structs.asdict(result)
        writer.writerow(["" if row[name] is None else _safe(row[name]) for name in COLUMNS])
    return "\ufeff" + out.getvalue()


def _safe(cell: object) -> object:
    """A text that a spreadsheet would run as a formula is made a text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


_TEXTS: dict[str, tuple[str, str]] = {
    "title": ("批量测试报告", "Batch test report"), "serial": ("序列号", "Serial"), "firmware": ("固件", "Firmware"),
    "test": ("测试项", "Test"), "seed": ("随机种子", "Seed"), "verdict": ("结论", "Verdict"),
    "deviations": ("不符项", "Deviations"), "began": ("开始", "Began"), "took_s": ("用时 (s)", "Took (s)"),
    "detail": ("说明", "Detail"), "pass": ("通过", "PASS"), "fail": ("不通过", "FAIL"),
    "error": ("未能测试", "NOT TESTED"),
    "tester": ("测试人", "Tester"),
    "sum": ("共 {n} 台：通过 {p}，不通过 {f}，未能测试 {e}", "{n} units: {p} pass, {f} fail, {e} not tested"),
}


def batch_page(batch: Batch, results: Sequence[UnitResult], language: str = "zh") -> str:
    """The report for people: one HTML file without scripts or outside hosts."""
    at = 0 if language == "zh" else 1
    say = {key: both[at] for key, both in _TEXTS.items()}
    counts = {verdict: sum(r.verdict == verdict for r in results) for verdict in ("pass", "fail", "error")}
    total = say["sum"].format(n=len(results), p=counts["pass"], f=counts["fail"], e=counts["error"])
    head = "".join(f"<th scope='col'>{say[name]}</th>" for name in COLUMNS)
    rows = []
    for result in results:
        row = msgspec.structs.asdict(result)
        cells = []
        for name in COLUMNS:
            shown = "" if row[name] is None else str(row[name])
            if name == "verdict":
                colour = "ok" if shown == "pass" else "no"
                cells.append(f"<td class='state {colour}'>{say[shown]}</td>")
            else:
                cells.append(f"<td>{html.escape(shown)}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    tester = f"<p>{say['tester']}: {html.escape(batch.tester)}</p>" if batch.tester else ""
    return (f"<!doctype html><html lang='{'zh-CN' if at == 0 else 'en'}'><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width, initial-scale=1'>"
            f"<title>{say['title']} · {html.escape(batch.batch)}</title><style>{STYLE}</style><main>"
            f"<p class='kicker'>{say['title']}</p><h1>{html.escape(batch.batch)}</h1><p>{total}</p>{tester}"
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></main></html>")
