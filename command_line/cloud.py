"""`tocsin cloud …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(no_args_is_help=True, help="The community OS.")


@group.command("run")
def cloud_run(
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml; none: safe defaults.")] = None,
    role: Annotated[str, typer.Option(help="all | broker | ingest | worker | web")] = "all",
) -> None:
    """Run the community OS: broker, ingest, worker and pages.

    Example: tocsin cloud run --config cloud.yaml
    """
    from community_os.commands import run_cloud

    run_cloud(config, role)


@group.command("enrol")
def cloud_enrol(
    path: Annotated[str, typer.Argument(help="city/district/street/site")],
    gateway: Annotated[str, typer.Argument(help="gateway id")],
    out: Annotated[Path, typer.Option(help="folder for key, certificate and CA")],
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
) -> None:
    """Enrol a gateway by hand: make its key and certificate (the phone page comes with provisioning).

    Example: tocsin cloud enrol hangzhou/yuhang/cangqian/riverside gw-1 --out keys/
    """
    from community_os.commands import enrol_gateway

    enrol_gateway(config, path, gateway, out)
