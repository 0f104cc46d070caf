"""`tocsin grafana …`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson, print_report

group = typer.Typer(no_args_is_help=True, help="Dashboards for Grafana over the time series.")
Language = Annotated[str, typer.Option(help="zh | en | both")]


def _languages(language: str) -> tuple[str, ...]:
    chosen = {"both": ("zh", "en"), "zh": ("zh",), "en": ("en",)}.get(language)
    if chosen is None:
        raise typer.BadParameter("zh, en or both")
    return chosen


@group.command("build")
def grafana_build(
    out: Annotated[Path, typer.Option(help="folder for the JSON files")],
    language: Language = "both", as_json: AsJson = False,
) -> None:
    """Write the dashboards as files, for Grafana's own provisioning or its import dialogue.

    Example: tocsin grafana build --out grafana/
    """
    from dashboards.grafana.push import build

    print_report(lambda: build(out, _languages(language)), as_json)


@group.command("push")
def grafana_push(
    url: Annotated[str, typer.Argument(help="address of Grafana")],
    influx: Annotated[str, typer.Option(help="address of InfluxDB, as Grafana reaches it")] = "http://127.0.0.1:8086",
    database: Annotated[str, typer.Option(help="its database")] = "tocsin",
    influx_user: Annotated[str, typer.Option(help="its user; the password stands in TOCSIN_INFLUX_PASSWORD")] = "",
    language: Language = "both", as_json: AsJson = False,
) -> None:
    """Bring a Grafana server up to date: data source, folder, dashboards. May be done again.

    The token of a service account (role Admin: data sources) stands in GRAFANA_TOKEN, or user and password in
    GRAFANA_USER and GRAFANA_PASSWORD.

    Example: GRAFANA_TOKEN=… tocsin grafana push https://grafana.example.org --influx https://influx.example.org:8086
    """
    from dashboards.grafana.push import data_source, push
    from device_model.errors import LocalFault

    token, user = os.environ.get("GRAFANA_TOKEN", ""), os.environ.get("GRAFANA_USER", "")
    if not (token or user):
        raise LocalFault("set GRAFANA_TOKEN, or GRAFANA_USER and GRAFANA_PASSWORD")
    credential = token or (user, os.environ.get("GRAFANA_PASSWORD", ""))
    source = data_source(influx, database, influx_user, os.environ.get("TOCSIN_INFLUX_PASSWORD", ""))
    print_report(lambda: push(url, credential, source, _languages(language)), as_json)
