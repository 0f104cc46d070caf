"""Report (I/O): writes a verdict as an acceptance file: JSON for machines, one HTML page for people."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trial.report_page import report_page
from trial.setup import TrialSetup
from trial.verdict import Verdict
from trial.witness import Witness


def write_report(
    folder: Path, verdict: Verdict, witness: Witness, setup: TrialSetup, *, language: str = "zh", tester: str = "",
) -> tuple[Path, ...]:
    """Write NAME.json and NAME.html into the folder; returns their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = verdict.scenario + "".join(f"-without-{name}" for name in verdict.without)
    machine = folder / f"{stem}.json"
    machine.write_bytes(msgspec.json.format(msgspec.json.encode(verdict), indent=1))
    people = folder / f"{stem}.html"
    people.write_text(report_page(verdict, witness, setup, language=language, tester=tester), encoding="utf-8")
    return machine, people
