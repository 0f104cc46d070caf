"""`tocsin permit …`: permits for hot work at the running gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson

group = typer.Typer(no_args_is_help=True, help="Permits for hot work (docs/hot-work.md).")
Config = Annotated[Path, typer.Option("--config", help="The site file of the running gateway.")]
Number = Annotated[str, typer.Argument(help="the permit's number")]
Who = Annotated[str, typer.Option(help="your name: it is recorded")]


@group.command("create")
def permit_create(
    number: Number, config: Config, who: Who,
    zone: Annotated[str, typer.Option(help="zone of the site file")],
    level: Annotated[str, typer.Option(help="special, one, two")],
    worker: Annotated[list[str], typer.Option(help="who works; several times")],
    watcher: Annotated[str, typer.Option(help="the fire watcher")],
    hours: Annotated[float, typer.Option(help="how long")] = 4.0,
    starts: Annotated[str, typer.Option("--from", help="2026-03-03T09:00, local; now where it is not given")] = "",
    gas: Annotated[list[str] | None, typer.Option(help="what may be in the air; several times")] = None,
    measure: Annotated[list[str] | None, typer.Option(help="a measure that is confirmed; several times")] = None,
    all_measures: Annotated[bool, typer.Option("--all-measures", help="all measures are confirmed")] = False,
    work: Annotated[str, typer.Option(help="what is done")] = "",
    outdoors: Annotated[bool, typer.Option("--outdoors", help="in the open air")] = False,
) -> None:
    """Apply for a permit.

    Example: tocsin permit create HW-1 --zone works --level one --worker "Wang Qiang" --watcher "Zhao Min"
             --gas methane --all-measures --who "Chen Jing" --config site.yaml
    """
    from edge_agent.permit_commands import create_permit

    print(create_permit(config, number, who=who, zone=zone, level=level, starts=starts, hours=hours, workers=worker,
                        watcher=watcher, gases=gas or (), work=work, outdoors=outdoors, measures=measure or (),
                        confirm_all=all_measures))


@group.command("sample")
def permit_sample(
    number: Number, config: Config, who: Who,
    percent: Annotated[float, typer.Option(help="the highest result, in --unit")],
    gas: Annotated[str, typer.Option(help="methane, propane, …")] = "",
    minutes_ago: Annotated[float, typer.Option(help="when it was taken")] = 0.0,
    where: Annotated[str, typer.Option(help="sampling points")] = "",
    unit: Annotated[str, typer.Option(help="vol: % by volume; lel: %LEL of that gas")] = "vol",
) -> None:
    """Enter a gas analysis.

    Example: tocsin permit sample HW-1 --percent 0.05 --gas methane --who "Qian Yu" --config site.yaml
    """
    from edge_agent.permit_commands import sample_permit

    print(sample_permit(config, number, who=who, percent=percent, gas=gas, minutes_ago=minutes_ago, where=where,
                        unit=unit))


@group.command("act")
def permit_act(
    number: Number,
    act: Annotated[str, typer.Argument(help="approve, countersign, watcher_on, watcher_off, start, suspend, resume, "
                                            "finish, close, cancel")],
    config: Config, who: Who,
    why: Annotated[str, typer.Option(help="the reason: it is recorded")] = "",
) -> None:
    """Act on a permit, as a named person.

    Example: tocsin permit act HW-1 start --who "Wang Qiang" --config site.yaml
    """
    from edge_agent.permit_commands import act_on_permit

    print(act_on_permit(config, number, act, who=who, why=why))


@group.command("list")
def permit_list(config: Config, as_json: AsJson = False) -> None:
    """Show the permits that the gateway knows.

    Example: tocsin permit list --config site.yaml
    """
    from edge_agent.permit_commands import list_permits, permit_lines, permits_json

    permits = list_permits(config)
    print(permits_json(permits) if as_json else permit_lines(config, permits))
