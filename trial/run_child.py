"""One scenario judged in a process of its own (I/O), so that the page's live ports never wait for it.

    python -m trial.run_child NAME [--seed N] [--report FOLDER] [--lang en]
    stdout: {"at_s": 30.0, "end_s": 180.0} …   then one {"verdict": {…}, "page": "…html"} or {"error": "…"}
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from device_model.errors import TocsinError
from trial.report import write_report
from trial.scenario_files import find_scenario, read_trial
from trial.setup import without
from trial.stage import play
from trial.verdict import judge


def _say(what: Any) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


def run(name: str, seed: int | None, disabled: list[str], report: Path | None, language: str) -> int:
    """Play, judge, tell; 0 when there is a verdict."""
    began = time.monotonic()
    try:
        setup = read_trial(find_scenario(name))
        setup = without(setup, disabled) if disabled else setup
        seed = setup.scenario.seed if seed is None else seed
        witness = play(setup, seed=seed, progress=lambda at_s, end_s: _say({"at_s": at_s, "end_s": end_s}))
        verdict = msgspec.structs.replace(judge(setup, witness, seed=seed), wall_s=round(time.monotonic() - began, 3))
        page = write_report(report, verdict, witness, setup, language=language)[-1] if report is not None else ""
    except (TocsinError, OSError) as error:
        _say({"error": str(error)})
        return 1
    _say({"verdict": verdict, "page": str(page)})
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--report", type=Path, default=None)
    parser.add_argument("--lang", default="zh")
    options = parser.parse_args()
    raise SystemExit(run(options.name, options.seed, options.without, options.report, options.lang))
