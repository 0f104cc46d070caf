"""`tocsin series …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from command_line.shared import AsJson, progress_line

if TYPE_CHECKING:
    from edge_agent.series_commands import Asked

group = typer.Typer(no_args_is_help=True, help="Time series of a site: ask, export, set up servers.")

Config = Annotated[Path, typer.Option("--config", help="the site file")]
Names = Annotated[list[str] | None, typer.Option("--point", help="device.point, or a device; may be repeated")]
Zones = Annotated[list[str] | None, typer.Option("--zone", help="zone id; may be repeated")]
From = Annotated[str, typer.Option("--from", help="local time, 2026-11-22T14:30; none: a day before --to")]
To = Annotated[str, typer.Option("--to", help="local time of the site; none: now")]
LevelName = Annotated[str, typer.Option("--level", help="raw | 1min | 15min | 1h")]
Source = Annotated[str, typer.Option("--source", help="local, or the id of a server in the site file")]


@group.command("query")
def series_query(
    config: Config, point: Names = None, zone: Zones = None, from_local: From = "", to_local: To = "",
    level: LevelName = "raw", source: Source = "local",
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="at most so many rows")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Print samples or their sums, oldest first.

    Example: tocsin series query --config site.yaml --point climate-3 --from 2026-11-22 --level 15min
    """
    from edge_agent.series_commands import as_json as encoded
    from edge_agent.series_commands import query_series, row_text, warn, zone_of

    rows = query_series(_asked(config, point, zone, from_local, to_local, level, source, limit))
    if as_json:
        print(encoded(rows))
        return
    local = zone_of(config)
    for row in rows:
        print(row_text(row, local))
    if len(rows) == limit:
        warn(f"… the first {limit}; give --limit for more, or export them")


@group.command("export")
def series_export(
    config: Config, out: Annotated[Path, typer.Option("--out", help="NAME.csv or NAME.parquet")],
    point: Names = None, zone: Zones = None, from_local: From = "", to_local: To = "", level: LevelName = "raw",
    source: Source = "local", as_json: AsJson = False,
) -> None:
    """Write all samples or sums of a stretch of time into a CSV or Parquet file.

    Example: tocsin series export --config site.yaml --from 2026-11-01 --level 1h --out november.parquet
    """
    from edge_agent.series_commands import export_series

    count = export_series(_asked(config, point, zone, from_local, to_local, level, source, 0), out,
                          progress_line(as_json))
    print(f'{{"rows": {count}}}' if as_json else f"\n{count} rows in {out}")


@group.command("status")
def series_status(config: Config, as_json: AsJson = False) -> None:
    """How far each server has come: what waits here for it, what was lost to it, what it refused.

    Example: tocsin series status --config site.yaml
    """
    import msgspec

    from edge_agent.series_commands import place_text, places, zone_of

    found = places(config)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for place in found:
        print(place_text(place, zone_of(config)))
    if not found:
        print("no servers in the site file: the series are kept on this gateway alone")


@group.command("refused")
def series_refused(
    config: Config, remote: Annotated[str, typer.Option(help="id of a server; none: all")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100, as_json: AsJson = False,
) -> None:
    """Samples that a server will never take, with its reasons, newest first.

    Example: tocsin series refused --config site.yaml
    """
    import msgspec

    from edge_agent.series_commands import refused_samples

    found = refused_samples(config, remote, limit)
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for of, at_us, one in found:
        print(f"{of}  {at_us // 1_000_000}  {one.sample.point} = {one.sample.value}: {one.why}")
    if not found:
        print("nothing was refused")


@group.command("setup")
def series_setup(
    config: Config, remote: Annotated[str, typer.Argument(help="id of a server in the site file")],
) -> None:
    """Make database or bucket, retention and sums on a server.

    Example: tocsin series setup influx --config site.yaml
    """
    from edge_agent.series_commands import set_up_remote

    for line in set_up_remote(config, remote):
        print(line)


def _asked(config: Path, points: list[str] | None, zones: list[str] | None, from_local: str, to_local: str,
           level: str, source: str, limit: int) -> Asked:
    from device_model.errors import LocalFault
    from device_model.series import Level
    from edge_agent.series_commands import Asked

    if level not in [known.value for known in Level]:
        raise LocalFault(f"{level!r} is no level: {', '.join(known.value for known in Level)}")
    return Asked(config, source, tuple(points or ()), tuple(zones or ()), from_local, to_local, Level(level), limit)
