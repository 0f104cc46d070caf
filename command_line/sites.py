"""`tocsin site …`."""

from __future__ import annotations

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
