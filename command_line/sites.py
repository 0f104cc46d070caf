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


@group.command("places")
def site_places(files: Files, as_json: AsJson = False) -> None:
    """Check the place books beside site files: plans, positions, map, ways in, hydrants, key-holders, responses.

    Example: tocsin site places demo/sites/riverside.yaml
    """
    from community_os.place_commands import check_places

    print_findings(check_places, files, as_json)


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


@group.command("key")
def site_key(
    folder: Annotated[Path, typer.Argument(help="folder for site-key.pem and site-key.pub.pem")],
) -> None:
    """Make the key that signs site files; gateways pin its public half under `remote_configuration:`.

    Example: tocsin site key /etc/tocsin-cloud
    """
    from provisioning.site_commands import make_key

    private, public = make_key(folder)
    print(f"ok: {private} (keep it off the network)\n    {public} (onto each gateway)")


@group.command("sign")
def site_sign(
    file: Annotated[Path, typer.Argument(help="A site file.", show_default=False)],
    version: Annotated[int, typer.Option(help="higher than every one before")],
    key: Annotated[Path, typer.Option(help="site-key.pem")],
    out: Annotated[Path, typer.Option(help="where the signed file goes")],
) -> None:
    """Check a site file and sign it for the gateway that it names.

    Example: tocsin site sign riverside.yaml --version 7 --key site-key.pem --out riverside.signed
    """
    from provisioning.site_commands import sign_file

    address, message = sign_file(file, version, key)
    out.write_bytes(message)
    print(f"ok: {out}, {len(message)} bytes, version {version} for {address.common_name}")


@group.command("push")
def site_push(
    file: Annotated[Path, typer.Argument(help="A site file.", show_default=False)],
    version: Annotated[int, typer.Option(help="higher than every one before")],
    key: Annotated[Path, typer.Option(help="site-key.pem")],
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
) -> None:
    """Sign a site file and send it to its gateway, which checks, applies, and takes it back if it loses its cloud.

    Example: tocsin site push riverside.yaml --version 7 --key site-key.pem --config cloud.yaml
    """
    from community_os.settings_source import read_settings
    from community_os.site_push import push_site
    from provisioning.site_commands import sign_file

    address, message = sign_file(file, version, key)
    push_site(Path(read_settings(config).broker_folder), address, message)
    print(f"sent: version {version} to {address.common_name}; its log and `tocsin doctor` say what came of it")
