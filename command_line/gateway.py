"""`tocsin gateway …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson

group = typer.Typer(no_args_is_help=True, help="The gateway at a site.")


@group.command("run")
def gateway_run(
    config: Annotated[Path, typer.Option("--config", help="The site file.", show_default=False)],
) -> None:
    """Run the gateway of a site.

    Example: tocsin gateway run --config /var/lib/tocsin/site.yaml
    """
    import os

    # In the same process, but without this command line: a gateway does not carry 10 MiB of it for years.
    os.execv(sys.executable, [sys.executable, "-m", "edge_agent", str(config)])  # noqa: S606


@group.command("settle")
def gateway_settle(
    first: Annotated[Path, typer.Option("--first", help="what an administrator writes")] = Path("/etc/tocsin"),
    state: Annotated[Path, typer.Option("--state", help="what the gateway writes")] = Path("/var/lib/tocsin"),
    tidy: Annotated[bool, typer.Option("--tidy", help="remove second copies of keys and PINs in --first")] = False,
    as_json: AsJson = False,
) -> None:
    """Take site file, keys and PINs that an administrator wrote into the folder that the gateway may write; each
    once. The service does so before it starts. Exit code 1 when something was not taken.

    Example: tocsin gateway settle --first /etc/tocsin --state /var/lib/tocsin
    """
    import msgspec

    from edge_agent.install_settle import left_over, settle

    if tidy:
        for file in left_over(first, state):
            file.unlink()
            print(f"removed: {file}")
        return
    done = settle(first, state)
    print(msgspec.json.encode(done).decode() if as_json else done.text())
    if done.findings:
        raise typer.Exit(1)


@group.command("reload")
def gateway_reload(
    config: Annotated[Path, typer.Option("--config", help="The site file of the running gateway.")],
) -> None:
    """Have the running gateway take its changed site file; what did not change is not touched.

    Example: tocsin gateway reload --config /var/lib/tocsin/site.yaml
    """
    from edge_agent.commands import reload_gateway

    print(reload_gateway(config))


@group.command("page")
def gateway_page(
    config: Annotated[Path, typer.Option("--config", help="The site file of the gateway on this machine.")],
    port: Annotated[int | None, typer.Option(
        min=0, max=65535, help="another port than the site file's, 0 for any free one")] = None,
    host: Annotated[str, typer.Option(help="first day only: 0.0.0.0 opens the page to phones, behind TLS")] = "",
    cloud: Annotated[str, typer.Option(help="first day only: the community OS, filled in on the page")] = "",
) -> None:
    """Serve the local page of the gateway on this machine; works with the cloud gone. Where there is no site file yet
    it is the page of the first day: PIN, claim code, then the installation.

    Example: tocsin gateway page --config /var/lib/tocsin/site.yaml
    """
    if not config.exists():
        from edge_agent.install_first import serve_first

        serve_first(config, port=port, host=host, cloud=cloud)
        return
    from edge_agent.page import serve_page

    serve_page(config, port=port)


@group.command("pin")
def gateway_pin(
    config: Annotated[Path, typer.Option("--config", help="The site file of the gateway on this machine.")],
    name: Annotated[str, typer.Argument(help="whose: every action on the page is recorded with it")],
    role: Annotated[str, typer.Option("--role", help="property, contractor (scans, places, tests) or duty "
                                      "(acknowledges, silences, resets)")] = "property",
    remove: Annotated[bool, typer.Option("--remove", help="this person may no longer act")] = False,
) -> None:
    """Set the PIN with which a person may acknowledge, silence and reset on the local page.

    Example: tocsin gateway pin "Li Wei" --config /var/lib/tocsin/site.yaml
    """
    from edge_agent.install_settle import become_owner
    from edge_agent.page import set_page_pin

    become_owner(config.parent)
    pin = "" if remove else typer.prompt("PIN (6 or more)", hide_input=True, confirmation_prompt=True)
    print(f"ok: {set_page_pin(config, name, pin, role)}")


@group.command("act")
def gateway_act(
    config: Annotated[Path, typer.Option("--config", help="The site file of the running gateway.")],
    action: Annotated[str, typer.Argument(
        help="acknowledge | silence | reset | on | off | test | isolate | restore | proof")],
    target: Annotated[str, typer.Argument(help="alarm, device or output id")] = "",
    who: Annotated[str, typer.Option(help="your name: it is recorded")] = "",
    why: Annotated[str, typer.Option(help="the reason: it is recorded")] = "",
    for_s: Annotated[float, typer.Option("--for", help="seconds, for test, isolate and on")] = 0.0,
    meanwhile: Annotated[str, typer.Option(help="the compensating measure; isolate needs it")] = "",
) -> None:
    """Act on the gateway on site, as a named person.

    `on` and `off` switch an output by hand: a sounder for 30 minutes at most; a valve or cut-off stays until `reset`.

    Example: tocsin gateway act silence sounder-1 --who "Li Wei" --why "seen, extinguished" --config site.yaml
    """
    from edge_agent.commands import act_on_site

    print(act_on_site(config, action, target, who=who, why=why, for_s=for_s, compensating_measure=meanwhile))
