"""What `tocsin sim run|list` does with complete scenarios (I/O): reads, plays, judges, prints, writes reports.

    run  ─► one verdict (exit 0 pass, 1 fail)          --without X: the same with a rule or output disabled
    prove ─► pass, and fail without each of protected_by
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from device_model.errors import ConfigError, Finding, TocsinError
from firmware_sim.world import SimWorld
from trial.report import write_report
from trial.scenario_files import find_scenario, is_complete, read_trial, shipped_scenarios, titles_of
from trial.setup import TrialSetup, protections, without
from trial.stage import play
from trial.verdict import Verdict, judge
from trial.witness import Witness


class Proof(msgspec.Struct, frozen=True):
    """A scenario and its protections: it passes, and fails without each of them."""

    scenario: str
    verdict: str
    without: dict[str, str]
    ok: bool
    wall_s: float


def run_trial(
    name: str | Path, *, seed: int | None = None, disabled: Sequence[str] = (), setup: TrialSetup | None = None,
    show: bool = False,
) -> tuple[Verdict, Witness, TrialSetup]:
    """Play and judge one scenario. Raises ConfigError, LocalFault. show: progress on standard error."""
    setup = setup if setup is not None else read_trial(find_scenario(name))
    setup = without(setup, disabled) if disabled else setup
    seed = setup.scenario.seed if seed is None else seed
    began = time.monotonic()
    with _progress(setup, show=show) as progress:
        task = progress.add_task(setup.scenario.scenario, total=1.0) if progress is not None else None

        def advance(at_s: float, end_s: float) -> None:
            if progress is not None and task is not None:
                progress.update(task, completed=at_s, total=end_s)

        witness = play(setup, seed=seed, progress=advance)
    verdict = msgspec.structs.replace(judge(setup, witness, seed=seed), versions=_versions(),
                                      wall_s=round(time.monotonic() - began, 3))
    return verdict, witness, setup


def prove(name: str | Path, *, seed: int | None = None, show: bool = False) -> Proof:
    """Whether the scenario passes, and fails without each of what protects. Raises ConfigError."""
    began = time.monotonic()
    whole, _, setup = run_trial(name, seed=seed, show=show)
    if not protections(setup.scenario):
        raise ConfigError([Finding(setup.file, 0, 0, "nothing is named that protects",
                                   "add `protected_by: [rule or output]` or `variants:` to `expect:`")])
    outcomes = {protection: run_trial(name, seed=seed, disabled=(protection,), setup=setup, show=show)[0].verdict
                for protection in protections(setup.scenario)}
    return Proof(whole.scenario, whole.verdict, outcomes,
                 whole.passed and all(outcome == "fail" for outcome in outcomes.values()),
                 round(time.monotonic() - began, 3))


def sim_run(
    name: str, *, seed: int | None = None, disabled: Sequence[str] = (), as_json: bool = False,
    report: Path | None = None, language: str = "zh", proving: bool = False, tester: str = "",
    ports: bool = False, truth: Path | None = None, for_s: float | None = None,
) -> int:
    """The command; returns the exit code."""
    show = not as_json and sys.stderr.isatty()
    try:
        path = find_scenario(name)
        if ports or not is_complete(path):
            from firmware_sim.commands import run_simulation

            world = _world_of(path) if is_complete(path) else None
            run_simulation(path, truth=truth, duration_s=for_s, as_json=as_json, world=world)
            return 0
        if proving:
            return _print_proof(prove(name, seed=seed, show=show), as_json=as_json)
        verdict, witness, setup = run_trial(name, seed=seed, disabled=disabled, show=show)
        if report is not None:
            files = write_report(report, verdict, witness, setup, language=language, tester=tester)
            if not as_json:
                Console(stderr=True).print(f"report: {files[-1]}", soft_wrap=True)
    except (TocsinError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if as_json:
        print(msgspec.json.encode(verdict).decode())
    else:
        _print_verdict(verdict)
    return 0 if verdict.passed else 1


def _world_of(path: Path) -> SimWorld:
    """The simulated devices of a complete scenario, for real ports."""
    setup = read_trial(path)
    return SimWorld(setup.scenario, setup.profiles, setup.recordings)


def sim_list(language: str = "en", *, as_json: bool = False) -> None:
    """The shipped scenarios with their titles, for people in one language."""
    found = {name: titles_of(path) for name, path in shipped_scenarios().items()}
    if as_json:
        rows = [{"scenario": name, "zh": zh, "en": en} for name, (zh, en) in found.items()]
        print(msgspec.json.encode(rows).decode())
        return
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # Chinese has no spaces to wrap at
    for name, (zh, en) in found.items():
        table.add_row(name, zh if language == "zh" else en)
    Console().print(table)


def _progress(setup: TrialSetup, *, show: bool) -> Progress | nullcontext[None]:
    if not show:
        return nullcontext()
    title = setup.scenario.scenario + (f" without {', '.join(setup.without)}" if setup.without else "")
    return Progress(TextColumn(title), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} s"),
                    TimeElapsedColumn(), console=Console(stderr=True), transient=True)


def _print_verdict(verdict: Verdict) -> None:
    console = Console()
    colour = "green" if verdict.passed else "red"
    console.print(f"[bold {colour}]{verdict.verdict.upper()}[/]  {verdict.scenario}  seed {verdict.seed}  "
                  f"{verdict.duration_s:g} s in {verdict.wall_s:g} s"
                  + (f"  without {', '.join(verdict.without)}" if verdict.without else ""), highlight=False)
    table = Table("", "expected", "", "seen", "after s", box=None)
    for check in verdict.expected:
        wanted = ", ".join(f"{key} {value}" for key, value in check.want.items())
        table.add_row("[green]ok[/]" if check.ok else "[red]NO[/]", check.kind, wanted, check.seen,
                      "" if check.delay_s is None else f"{check.delay_s:g}")
    for alarm in verdict.unexpected:
        table.add_row("[red]NO[/]", "unexpected", f"{alarm.rule} {alarm.subject}", f"at {alarm.raised_s:g} s", "")
    console.print(table)


def _print_proof(proof: Proof, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(proof).decode())
    else:
        print(f"{proof.scenario}: {proof.verdict}")
        for name, outcome in proof.without.items():
            print(f"  without {name}: {outcome}" + ("" if outcome == "fail" else "  (it protects nothing here)"))
    return 0 if proof.ok else 1


def _versions() -> dict[str, str]:
    try:
        own = version("tocsin")
    except PackageNotFoundError:
        own = "unknown"
    return {"tocsin": own, "python": python_version()}
