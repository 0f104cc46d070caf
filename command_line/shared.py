"""What all command groups share: arguments, findings as text or JSON, progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from device_model.errors import ConfigError, Finding

Files = Annotated[list[Path], typer.Argument(help="One or more files.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


def print_findings(check: Callable[[Sequence[Path]], list[Finding]], files: list[Path], as_json: bool) -> None:
    """Run a checker over files, print every finding, and exit 1 on any."""
    findings = check(files)
    if as_json:
        print(msgspec.json.encode({"ok": not findings, "findings": findings}).decode())
    else:
        for finding in findings:
            print(finding, file=sys.stderr)
        if not findings:
            print(f"ok: {len(files)} file(s), no findings")
    if findings:
        raise typer.Exit(1)


def print_report(make: Callable[[], Any], as_json: bool) -> None:
    """Print a report; exit 1 with every finding on bad input."""
    try:
        report = make()
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        raise typer.Exit(1) from error
    print(msgspec.json.encode(report).decode() if as_json else report.text())


def progress_line(as_json: bool) -> Callable[[str], None]:
    """Long work says where it is, on the error stream."""
    if as_json:
        return lambda _: None
    return lambda text: print(f"\r\x1b[K{text}", end="\r", file=sys.stderr, flush=True)
