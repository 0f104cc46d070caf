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
    role: Annotated[str, typer.Option(help="all | broker | ingest | worker | web | notify | series")] = "all",
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


notices = typer.Typer(help="What was sent to people and systems.", invoke_without_command=True)
group.add_typer(notices, name="notices")


@notices.callback()
def cloud_notices(
    context: typer.Context,
    status: Annotated[str, typer.Option(help="waiting | sent | dead")] = "dead",
    again: Annotated[str, typer.Option(help="try this dead notice again")] = "",
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
    as_json: AsJson = False,
) -> None:
    """What was sent to people and systems, what waits, and what was given up with its reason.

    Example: tocsin cloud notices --status dead --config cloud.yaml
    """
    if context.invoked_subcommand is not None:
        return
    from community_os.commands import notices_of

    print_report(lambda: notices_of(config, status, again), as_json)


@notices.command("test")
def cloud_notices_test(
    channel: Annotated[str, typer.Argument(help="name of an endpoint of cloud.yaml")],
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a test message to one endpoint now, and say whether its service took it.

    Example: tocsin cloud notices test duty-phones --config cloud.yaml
    """
    from community_os.channel_commands import try_channel

    print_report(lambda: try_channel(config, channel), as_json)


@group.command("series")
def cloud_series(
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None, as_json: AsJson = False,
) -> None:
    """How far the time series of all sites are kept, what waits for each server, and what a server refused.

    Example: tocsin cloud series --config cloud.yaml
    """
    from community_os.commands import series_of

    print_report(lambda: series_of(config), as_json)


@group.command("report")
def cloud_report(
    period: Annotated[str, typer.Option(help="day | week | month: the last whole one")] = "week",
    scope: Annotated[str, typer.Option(help="tenancy prefix, as hangzhou/yuhang; none: all")] = "",
    pdf: Annotated[Path | None, typer.Option(help="write this PDF")] = None,
    csv: Annotated[Path | None, typer.Option(help="write this CSV, one row a site")] = None,
    language: Annotated[str, typer.Option(help="zh | en")] = "zh",
    dossier: Annotated[str, typer.Option(help="instead: everything about this incident, as PDF")] = "",
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the daily, weekly or monthly safety report of a district, street or firm, or an incident's dossier.

    Example: tocsin cloud report --period week --scope hangzhou/yuhang --pdf week.pdf --config cloud.yaml
    """
    from community_os.report_commands import report_of

    print_report(lambda: report_of(config, period, scope, pdf=pdf, csv=csv, language=language, dossier=dossier),
                 as_json)


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


Config = Annotated[Path | None, typer.Option("--config", help="cloud.yaml")]
Scope = Annotated[str, typer.Option(help="city/district/street/site, or its beginning; none: all")]
Days = Annotated[float, typer.Option(help="how many days back")]


@group.command("impairments")
def cloud_impairments(scope: Scope = "", config: Config = None, as_json: AsJson = False) -> None:
    """The impairment register: what does not protect now, who took it out, why, who watches, until when.

    Example: tocsin cloud impairments --scope hangzhou/yuhang --config cloud.yaml
    """
    from community_os.commands import figures_of

    print_report(lambda: figures_of(config, "impairments", scope, 0), as_json)


@group.command("quality")
def cloud_quality(scope: Scope = "", days: Days = 365, config: Config = None, as_json: AsJson = False) -> None:
    """What people's verdicts say: true and false alarms per rule, false alarms per 100 detectors by model and cause,
    detectors to move or replace.

    Example: tocsin cloud quality --days 90 --config cloud.yaml --json
    """
    from community_os.commands import figures_of

    print_report(lambda: figures_of(config, "quality", scope, days), as_json)


@group.command("load")
def cloud_load(
    scope: Scope = "", days: Days = 1, operators: Annotated[int, typer.Option(help="operating positions")] = 1,
    config: Config = None, as_json: AsJson = False,
) -> None:
    """The load on people: alarms per operator and 10 minutes, chattering, stale and standing alarms, with advice.

    Example: tocsin cloud load --days 7 --operators 2 --config cloud.yaml
    """
    from community_os.commands import figures_of

    print_report(lambda: figures_of(config, "load", scope, days, operators), as_json)


@group.command("inspections")
def cloud_inspections(scope: Scope = "", config: Config = None, as_json: AsJson = False) -> None:
    """Inspections with their check-lists: what is to be walked, what was found and waits for whoever raised it.

    Example: tocsin cloud inspections --config cloud.yaml --json
    """
    from community_os.commands import figures_of

    print_report(lambda: figures_of(config, "inspections", scope, 0), as_json)
