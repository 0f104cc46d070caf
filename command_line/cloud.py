"""`tocsin cloud …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson, print_report

group = typer.Typer(no_args_is_help=True, help="The community OS.")


@group.command("run")
def cloud_run(
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml; none: safe defaults.")] = None,
    role: Annotated[str, typer.Option(help="all | broker | ingest | worker | web | notify")] = "all",
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


@group.command("notices")
def cloud_notices(
    status: Annotated[str, typer.Option(help="waiting | sent | dead")] = "dead",
    again: Annotated[str, typer.Option(help="try this dead notice again")] = "",
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
    as_json: AsJson = False,
) -> None:
    """What was sent to people and systems, what waits, and what was given up with its reason.

    Example: tocsin cloud notices --status dead --config cloud.yaml
    """
    from community_os.commands import notices_of

    print_report(lambda: notices_of(config, status, again), as_json)


@group.command("key")
def cloud_key(
    out: Annotated[Path, typer.Argument(help="file of the new key")],
    kind: Annotated[str, typer.Option(help="hmac | ed25519")] = "hmac",
) -> None:
    """Make the key that signs what goes to an endpoint, and print what its receiver needs.

    Example: tocsin cloud key dispatch.key --kind ed25519
    """
    from community_os.commands import make_key

    print(make_key(out, kind))
