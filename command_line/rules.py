"""`tocsin rules …`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import msgspec
import typer

from command_line.shared import AsJson, Files, print_findings, print_report, progress_line
from device_model.errors import LocalFault

group = typer.Typer(no_args_is_help=True, help="Rule packs.")


@group.command("check")
def rules_check(files: Files, as_json: AsJson = False) -> None:
    """Check rule packs: grammar, units, references, sources.

    Example: tocsin rules check rules_engine/packs/fire.yaml
    """
    from rules_engine.commands import check_rules

    print_findings(check_rules, files, as_json)


@group.command("explain")
def rules_explain(
    rule: Annotated[str, typer.Argument(help="id of the rule, such as fire.heat")],
    config: Annotated[Path | None, typer.Option("--config", help="site file: its numbers, its points")] = None,
    rules: Annotated[list[Path] | None, typer.Option("--rules", help="rule files; none: those of the site")] = None,
    language: Annotated[str, typer.Option(envvar="LANG", help="zh or en")] = "en",
    as_json: AsJson = False,
) -> None:
    """A rule in words: what it waits for, with the numbers in force, what ends it, what it watches on a site.

    Example: tocsin rules explain fire.heat --config site.yaml
    """
    from rules_engine.commands import explain_rule

    explanation = explain_rule(rule, config, tuple(rules or ()))
    print(msgspec.json.encode(explanation).decode() if as_json else explanation.text(language))


SetName = Annotated[str, typer.Option("--set", help="Layout of a known set, with --path; see --help of replay.")]
SetPath = Annotated[Path | None, typer.Option("--path", help="Folder of the set.")]
Readings = Annotated[Path | None, typer.Option(
    "--readings", help="Folder with readings.*, points.csv, events.csv; with --config: local, or a server's id.")]
RuleFiles = Annotated[list[Path] | None, typer.Option("--rules", help="Rule files; none: all shipped packs.")]
From = Annotated[str, typer.Option("--from", help="From this second of each experiment; local time with --config.")]
To = Annotated[str, typer.Option("--to", help="To this second of each experiment; local time with --config.")]
Config = Annotated[Path | None, typer.Option("--config", help="Site file whose time series is replayed.")]


@contextmanager
def _recorded(readings: Path | None, config: Path | None, from_: str, to: str, as_json: bool
              ) -> Iterator[tuple[Path | None, float, float]]:
    """(folder, from, to) to replay: as given, or written from the time series of a site for as long as it takes."""
    if config is None:
        try:
            yield readings, float(from_ or "-inf"), float(to or "inf")
        except ValueError as error:
            raise LocalFault(f"--from {from_} --to {to}: give seconds, or --config for times of a site") from error
        return
    from edge_agent.series_commands import Asked, write_long_form

    with TemporaryDirectory(prefix="tocsin-replay-") as folder:
        asked = Asked(config, str(readings or "local"), from_local=from_, to_local=to)
        write_long_form(asked, Path(folder), progress_line(as_json))
        yield Path(folder), float("-inf"), float("inf")


@group.command("replay")
def rules_replay(
    rules: RuleFiles = None, set_name: SetName = "", path: SetPath = None, readings: Readings = None,
    from_: From = "", to: To = "", config: Config = None,
    fault: Annotated[str, typer.Option(
        help="Field fault: lost_polls, outage, error_value, stuck, duplicates, clock_step.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the fault.")] = 1,
    analogue: Annotated[bool, typer.Option(help="With raw detector channels (nist_smoke_alarms).")] = True,
    as_json: AsJson = False,
) -> None:
    """Run rules over recorded time: alarms, delay to what was labelled, false alarms per sensor-year.

    Example: tocsin rules replay --set nist_smoke_alarms --path recordings/nist_smoke_alarms --json
    Example: tocsin rules replay --rules my.yaml --readings recordings/our-estate
    Example: tocsin rules replay --rules my.yaml --readings influx --config site.yaml --from 2026-11-01
    """
    from rules_engine.replay_commands import ReplayAsked, replay

    with _recorded(readings, config, from_, to, as_json) as (folder, from_s, to_s):
        asked = ReplayAsked(tuple(rules or ()), set_name, path, folder, from_s, to_s, fault, seed, analogue)
        print_report(lambda: replay(asked, progress_line(as_json)), as_json)


@group.command("diff")
def rules_diff(
    rules: RuleFiles = None, set_name: SetName = "", path: SetPath = None, readings: Readings = None,
    active: Annotated[list[Path] | None, typer.Option(help="Rule files now active; none: all shipped packs.")] = None,
    from_: From = "", to: To = "", config: Config = None, as_json: AsJson = False,
) -> None:
    """Before switching on: what changed rules would do otherwise than the active ones on recorded time.

    Example: tocsin rules diff --rules fire-new.yaml --active fire.yaml --readings recordings/our-estate
    """
    from rules_engine.replay_commands import ReplayAsked, diff

    with _recorded(readings, config, from_, to, as_json) as (folder, from_s, to_s):
        asked = ReplayAsked(tuple(rules or ()), set_name, path, folder, from_s, to_s)
        print_report(lambda: diff(asked, tuple(active or ()), progress_line(as_json)), as_json)


@group.command("test")
def rules_test(
    files: Annotated[list[Path] | None, typer.Argument(help="*.test.yaml files; none: the shipped ones.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the tests that stand beside rules.

    Example: tocsin rules test rules_engine/packs/fire.test.yaml
    """
    from rules_engine.commands import run_rule_tests

    report = run_rule_tests(files or None)
    print(msgspec.json.encode(report).decode() if as_json else report.text())
    if report.failed:
        raise typer.Exit(1)


routes = typer.Typer(no_args_is_help=True, help="Routing files: who is told of what, and when.")
group.add_typer(routes, name="routes")


@routes.command("check")
def routes_check(files: Files, as_json: AsJson = False) -> None:
    """Check routing files: matchers, receivers, times, and that fire reaches all whom the law names.

    Example: tocsin rules routes check examples/routing/estate.yaml
    """
    from rules_engine.routing_commands import check_routes

    print_findings(check_routes, files, as_json)


@routes.command("test")
def routes_test(files: Files, as_json: AsJson = False) -> None:
    """Run the tests that stand in routing files: whom these labels reach at that time.

    Example: tocsin rules routes test examples/routing/estate.yaml
    """
    from rules_engine.routing_commands import run_route_tests

    report = run_route_tests(files)
    print(msgspec.json.encode(report).decode() if as_json else report.text())
    if report.failed:
        raise typer.Exit(1)


duty = typer.Typer(no_args_is_help=True, help="Duty files: people, rotas, holidays, escalation.")
group.add_typer(duty, name="duty")


@duty.command("check")
def duty_check(files: Files, as_json: AsJson = False) -> None:
    """Check duty files: people, shifts, calendar, escalation steps.

    Example: tocsin rules duty check examples/routing/duty.yaml
    """
    from rules_engine.routing_commands import check_duty

    print_findings(check_duty, files, as_json)


@duty.command("show")
def duty_show(
    file: Annotated[Path, typer.Argument(help="A duty file.")],
    at: Annotated[str, typer.Option(help="The moment, such as 2026-11-23T21:00+08:00.")],
    rota: Annotated[str, typer.Option(help="Which rota; none: the first.")] = "",
    days: Annotated[int, typer.Option(help="How many days of shifts to list.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Who is on duty at a moment, and the shifts that follow.

    Example: tocsin rules duty show examples/routing/duty.yaml --at 2026-11-23T21:00+08:00
    """
    from rules_engine.routing_commands import show_duty

    print_report(lambda: show_duty(file, rota, at, days), as_json)


response = typer.Typer(no_args_is_help=True, help="Response files: clocks of graded handling, response plans.")
group.add_typer(response, name="response")


@response.command("check")
def response_check(files: Files, as_json: AsJson = False) -> None:
    """Check response files: clocks, plans, tasks.

    Example: tocsin rules response check examples/routing/response.yaml
    """
    from rules_engine.routing_commands import check_response

    print_findings(check_response, files, as_json)
