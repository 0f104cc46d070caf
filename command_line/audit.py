"""`tocsin audit …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson, print_report

group = typer.Typer(no_args_is_help=True, help="The append-only audit of people and incidents.")

Config = Annotated[Path | None, typer.Option("--config", help="cloud.yaml")]
Folder = Annotated[Path | None, typer.Option(help="A copied or exported audit, instead of the one of cloud.yaml.")]


@group.command("verify")
def audit_verify(
    config: Config = None, folder: Folder = None,
    anchor: Annotated[list[str] | None, typer.Option(help="number:hash that was written down; may repeat")] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute every chain offline; exit code 1 when a record was changed, removed, inserted or reordered.

    Example: tocsin audit verify --config cloud.yaml --anchor 120:5f0c…
    """
    from community_os import people_commands

    report = people_commands.audit_verify(config, folder, anchor or [])
    print_report(lambda: report, as_json)
    if not report.ok:
        raise typer.Exit(1)


@group.command("show")
def audit_show(
    who: Annotated[str, typer.Option(help="occurs in the name")] = "",
    what: Annotated[str, typer.Option(help="occurs in the deed")] = "",
    path: Annotated[str, typer.Option(help="occurs in the tenancy path")] = "",
    count: Annotated[int, typer.Option(help="how many at most")] = 50,
    config: Config = None, folder: Folder = None, as_json: AsJson = False,
) -> None:
    """The newest records.

    Example: tocsin audit show --what refused --count 20 --config cloud.yaml
    """
    from community_os import people_commands
    from dashboards.audit_pages import Wanted

    print_report(lambda: people_commands.audit_show(config, folder, Wanted(who, what, path=path), count), as_json)


@group.command("export")
def audit_export(
    out: Annotated[Path, typer.Argument(help="folder (jsonl) or file (csv)")],
    kind: Annotated[str, typer.Option("--as", help="jsonl (verifiable) | csv")] = "jsonl",
    config: Config = None,
) -> None:
    """All records into a file; the export itself is noted.

    Example: tocsin audit export audit-2026/ --config cloud.yaml
    """
    from community_os import people_commands

    print(f"{people_commands.audit_export(config, out, kind)} records in {out}")
