"""Runs of scenarios beside a live simulator (I/O): child processes, their progress and verdicts.

    start(name) ─► run_child.py ─► progress … ─► verdict, report page          cancel(number)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

RUNS_MAX = 200  # kept for the page; each is some kB
LINE_BYTES_MAX = 64 * 2**20  # a verdict with its timeline
_DETAIL_MAX = 40


class RunState(msgspec.Struct):
    """One run. state: "running", "pass", "fail", "error", "cancelled"."""

    number: int
    scenario: str
    state: str = "running"
    share: float = 0.0
    seed: int | None = None
    without: tuple[str, ...] = ()
    took_s: float = 0.0
    detail: tuple[str, ...] = ()
    page: str = ""


async def run_scenario(
    name: str, *, seed: int | None = None, disabled: tuple[str, ...] = (), report: Path | None = None,
    language: str = "zh", state: RunState | None = None,
) -> dict[str, Any]:
    """Run one in a child of its own; {"verdict": …, "page": …} or {"error": …}. state: told of its progress."""
    arguments = [sys.executable, "-m", "trial.run_child", name, "--lang", language]
    arguments += ["--seed", str(seed)] if seed is not None else []
    arguments += ["--report", str(report)] if report is not None else []
    for each in disabled:
        arguments += ["--without", each]
    child = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=LINE_BYTES_MAX,
        env=_environment())
    assert child.stdout is not None and child.stderr is not None
    last: dict[str, Any] = {}
    complaints = asyncio.ensure_future(child.stderr.read())
    try:
        async for line in child.stdout:
            last = msgspec.json.decode(line)
            if state is not None and "at_s" in last:
                state.share = min(1.0, last["at_s"] / max(1.0, last["end_s"]))
        await child.wait()
        words = (await complaints).decode(errors="replace").strip().splitlines()
        return last if {"verdict", "error"} & last.keys() else {"error": words[-1] if words else "the run ended"}
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        complaints.cancel()


def _environment() -> dict[str, str]:
    """The child finds our packages wherever the person stands, and relative paths stay those of the person."""
    paths = [str(Path(__file__).resolve().parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class RunKeeper:
    """The runs of one page, one at a time (they use a whole core); others wait their turn."""

    def __init__(self, reports: Path) -> None:
        self.runs: list[RunState] = []
        self._reports = reports
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(1)

    def start(self, name: str, *, seed: int | None = None, disabled: tuple[str, ...] = (),
              language: str = "zh") -> RunState:
        """Begin a run, or queue it."""
        state = RunState(len(self.runs), name, seed=seed, without=disabled)
        self.runs.append(state)
        self._tasks[state.number] = asyncio.get_running_loop().create_task(self._run(state, language))
        return state

    async def _run(self, state: RunState, language: str) -> None:
        try:
            async with self._turn:
                told = await run_scenario(
                    state.scenario, seed=state.seed, disabled=state.without, language=language, state=state,
                    report=self._reports / str(state.number))
        except asyncio.CancelledError:
            state.state = "cancelled"
            raise
        except (OSError, ValueError) as error:
            told = {"error": str(error)}
        state.share = 1.0
        if "error" in told:
            state.state, state.detail = "error", (str(told["error"]),)
            return
        verdict = told["verdict"]
        state.state, state.took_s, state.seed = verdict["verdict"], verdict["wall_s"], verdict["seed"]
        lines = [("+ " if check["ok"] else "- ") + _wanted(check) + f" → {check['seen']}"
                 for check in verdict["expected"]]
        lines += [f"- unexpected: {alarm['rule']} {alarm['subject']}" for alarm in verdict["unexpected"]]
        state.detail = tuple(lines[:_DETAIL_MAX])
        state.page = Path(told["page"]).name

    def page_of(self, number: int) -> Path | None:
        """The report of a finished run."""
        if not 0 <= number < len(self.runs) or not self.runs[number].page:
            return None
        return self._reports / str(number) / self.runs[number].page

    def cancel(self, number: int) -> bool:
        """End a run; False where none runs."""
        task = self._tasks.get(number)
        return task is not None and not task.done() and task.cancel()

    async def close(self) -> None:
        """End all."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _wanted(check: dict[str, Any]) -> str:
    wish = ", ".join(f"{key} {value}" for key, value in check["want"].items())
    return f"{check['kind']}: {wish}" if wish else str(check["kind"])
