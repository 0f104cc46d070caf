"""A batch at work (I/O): unit after unit, each result written down before the next begins.

    Batch ─► conform(target) | run_scenario(name) ─► UnitResult ─► results.jsonl ─► NAME.csv, NAME.html

A batch that was cut off goes on where it stood: units with a result in the file are not tested again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from device_model.clock import Clock
from device_model.errors import TocsinError
from device_model.library import shipped_profiles
from firmware_sim.conform import Outcome
from firmware_sim.conform_run import conform
from firmware_sim.modbus_identity import firmware_of
from trial.batch import Batch, Unit, UnitResult, as_csv, batch_page
from trial.runs import run_scenario

LISTEN_S = 30.0
_DETAIL_MAX = 600


class BatchRun:
    """One batch in a folder. results: so far, those of an earlier run among them."""

    def __init__(self, batch: Batch, folder: Path, clock: Clock, *, language: str = "zh",
                 listen_s: float = LISTEN_S) -> None:
        self.batch, self.folder = batch, folder
        self.results: list[UnitResult] = []
        self.now_at = ""
        self.done = False
        self._clock, self._language, self._listen_s = clock, language, listen_s
        self._file = folder / f"{_stem(batch.batch)}.jsonl"

    @property
    def csv_file(self) -> Path:
        """For a spreadsheet."""
        return self.folder / f"{_stem(self.batch.batch)}.csv"

    @property
    def page_file(self) -> Path:
        """For the acceptance file."""
        return self.folder / f"{_stem(self.batch.batch)}.html"

    async def run(self, told: Callable[[UnitResult], None] = lambda _result: None) -> list[UnitResult]:
        """Test what has no result yet. Raises OSError for a folder that cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        tested = {(result.serial, result.test, result.seed) for result in self.results}
        for unit in self.batch.units:
            if (unit.serial, unit.test, unit.seed) in tested:
                continue
            self.now_at = unit.serial
            result = await self._test(unit)
            self.results.append(result)
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode(result) + b"\n")
            self._write_reports()
            told(result)
        self.now_at, self.done = "", True
        self._write_reports()
        return self.results

    def _resume(self) -> None:
        known = {(unit.serial, unit.test, unit.seed) for unit in self.batch.units}
        written = self._file.read_bytes() if self._file.exists() else b""
        if written and not written.endswith(b"\n"):
            with self._file.open("ab") as file:
                file.write(b"\n")  # a torn line must not swallow the next result
        for line in written.splitlines():
            try:
                result = msgspec.json.decode(line, type=UnitResult)
            except msgspec.DecodeError:
                continue  # torn by a cut: that unit is tested again
            if (result.serial, result.test, result.seed) in known:
                self.results.append(result)

    def _write_reports(self) -> None:
        self.csv_file.write_text(as_csv(self.results), encoding="utf-8", newline="")
        self.page_file.write_text(batch_page(self.batch, self.results, self._language), encoding="utf-8")

    async def _test(self, unit: Unit) -> UnitResult:
        began, from_s = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        firmware = unit.firmware
        try:
            if "://" in unit.test or unit.test in shipped_profiles():
                verdict, deviations, detail = await self._conform(unit.test)
                firmware = firmware or await firmware_of(unit.test)
            else:
                verdict, deviations, detail = await self._play(unit)
        except (TocsinError, OSError, ValueError) as error:
            verdict, deviations, detail = "error", 0, str(error)
        return UnitResult(unit.serial, firmware, unit.test, verdict, unit.seed, deviations, began,
                          round(time.monotonic() - from_s, 2), detail[:_DETAIL_MAX])

    async def _conform(self, target: str) -> tuple[str, int, str]:
        report = await conform(target, self._clock, listen_s=self._listen_s)
        if all(verdict.outcome is Outcome.NOT_TESTED for verdict in report.verdicts):
            return "error", 0, "nothing could be tested"
        wrong = report.deviations
        return ("fail" if wrong else "pass"), len(wrong), "; ".join(f"{v.clause} {v.en}" for v in wrong)

    async def _play(self, unit: Unit) -> tuple[str, int, str]:
        told = await run_scenario(unit.test, seed=unit.seed, report=self.folder / _stem(unit.serial),
                                  language=self._language)
        if "error" in told:
            return "error", 0, str(told["error"])
        verdict = told["verdict"]
        wrong = [f"{check['kind']}: {check['seen']}" for check in verdict["expected"] if not check["ok"]]
        wrong += [f"unexpected {alarm['rule']} {alarm['subject']}" for alarm in verdict["unexpected"]]
        return verdict["verdict"], len(wrong), "; ".join(wrong)


def _stem(name: str) -> str:
    """A file name out of any text."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    return plain.strip(".")[:80] or "batch"


async def run_batch(batch: Batch, folder: Path, clock: Clock, *, language: str = "zh", listen_s: float = LISTEN_S,
                    told: Callable[[UnitResult], None] = lambda _result: None) -> BatchRun:
    """A whole batch, from wherever it stands."""
    work = BatchRun(batch, folder, clock, language=language, listen_s=listen_s)
    await work.run(told)
    return work
