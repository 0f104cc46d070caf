"""`tocsin site …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson, Files, print_findings

group = typer.Typer(no_args_is_help=True, help="Site files.")


@group.command("check")
def site_check(files: Files, as_json: AsJson = False) -> None:
    """Check site files whole and offline, before anything connects.

    Example: tocsin site check examples/site/riverside.yaml
    """
    from device_model.commands import check_sites

    print_findings(check_sites, files, as_json)


@group.command("matrix")
def site_matrix(
    file: Annotated[Path, typer.Argument(help="A site file.", show_default=False)],
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")] = False,
    as_html: Annotated[bool, typer.Option("--html", help="Print a page to hang beside the panel.")] = False,
    language: Annotated[str, typer.Option("--language", help="zh or en.")] = "zh",
) -> None:
    """The cause and effect matrix: which rule moves which output, in which zones, how it is proved and reset.

    Example: tocsin site matrix examples/site/riverside.yaml --language en
    """
    from device_model.errors import ConfigError, LocalFault
    from edge_agent.matrix_commands import site_matrix_text

    chosen = [name for name, wanted in (("json", as_json), ("csv", as_csv), ("html", as_html)) if wanted]
    try:
        print(site_matrix_text(file, chosen[0] if chosen else "text", language), end="")
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        raise typer.Exit(1) from error
    except LocalFault as fault:
        print(f"tocsin site matrix: {fault}", file=sys.stderr)
        raise typer.Exit(1) from fault
