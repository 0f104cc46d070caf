"""Commands (I/O): what `tocsin series …` does: questions to the local series or to a server, exports, set-up."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from cloud_bridge.influx import InfluxSeries
from device_model.errors import LocalFault
from device_model.library import read_inventory, read_site
from device_model.ports import SeriesStore
from device_model.quantities import QUANTITIES
from device_model.series import Level, Place, Refused, Rollup, Sample, SeriesQuery
from device_model.site import SeriesKind, SeriesRemote, SeriesSettings, Site
from edge_agent.series import SqliteSeries
from edge_agent.series_part import read_secret

T = TypeVar("T")
Row = Sample | Rollup
SLICE = timedelta(hours=6)  # of an export at a time: bounded memory, and progress to show
_ROLLED_DAYS = {Level.MINUTE: "minute_days", Level.QUARTER: "quarter_days", Level.HOUR: "hour_days"}


class Asked(msgspec.Struct, frozen=True):
    """What a question names. source: "local" or the id of a remote of the site file. Times are local to the site."""

    config: Path
    source: str = "local"
    points: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    from_local: str = ""
    to_local: str = ""
    level: Level = Level.RAW
    limit: int = 1000


def query_series(asked: Asked) -> list[Row]:
    """Rows of a question, oldest first. LocalFault for what cannot be asked or answered."""
    site, settings, query = _resolve(asked, asked.limit)
    return asyncio.run(_read(site, settings, asked, query))


def export_series(asked: Asked, out: Path, progress: Callable[[str], None]) -> int:
    """All rows of a question into a CSV or Parquet file, by its name; how many. It appears whole or not at all.
    LocalFault as `query_series`, or for another kind of file."""
    if out.suffix not in (".csv", ".parquet"):
        raise LocalFault(f"{out}: write NAME.csv or NAME.parquet")
    site, settings, whole = _resolve(asked, 1 << 40)
    zone = ZoneInfo(site.time_zone)
    part = out.with_name(out.name + ".part")
    count = 0

    def rows() -> Iterator[list[dict[str, Any]]]:
        nonlocal count
        for found, at in _slices(site, settings, asked, whole):
            count += len(found)
            share = (at - whole.from_us) / (whole.to_us - whole.from_us)
            progress(f"{_local(at, zone)}  {count} rows  {share:.0%}")
            yield [_flat(row, zone) for row in found]

    try:
        (_to_csv if out.suffix == ".csv" else _to_parquet)(part, rows())
        part.replace(out)
    except OSError as error:
        raise LocalFault(f"{out}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def write_long_form(asked: Asked, folder: Path, progress: Callable[[str], None]) -> int:
    """What was really measured as `tocsin rules replay` reads it: points.csv and readings.csv in `folder`; how many
    rows. Texts are left out: rules about them have nothing to compare. LocalFault as `query_series`."""
    site, settings, whole = _resolve(msgspec.structs.replace(asked, level=Level.RAW), 1 << 40)
    inventory = read_inventory(asked.config)
    with (folder / "points.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("point", "quantity", "unit", "zone", "zone_kind", "profile", "device_class", "tags"))
        for point in inventory.points.values():
            zone = site.zone(point.zone)
            canonical = QUANTITIES[point.quantity].canonical
            table.writerow((point.name, point.quantity, canonical, point.zone, zone.kind if zone else "room",
                            point.profile.id, point.profile.device_class.value, ";".join(point.device.tags)))
    count = 0
    local = ZoneInfo(site.time_zone)
    with (folder / "readings.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("time", "point", "value", "quality"))
        for rows, at_us in _slices(site, settings, asked, whole):
            for row in rows:
                if isinstance(row, Sample) and row.point in inventory.points and not isinstance(row.value, str):
                    count += 1
                    stamp = datetime.fromtimestamp(row.time_us / 1e6, local).isoformat()
                    value = "" if row.value is None else float(row.value)
                    table.writerow((stamp, row.point, value, row.quality.value))
            progress(f"{_local(at_us, local)}  {count} readings")
    if not count:
        raise LocalFault("nothing was measured in that time; `tocsin series query` shows what is there")
    return count


def places(config: Path) -> list[Place]:
    """How far each server of the site file has come. LocalFault when there is no local series yet."""
    settings = _settings(read_site(config), config)
    _there(settings)

    async def look() -> list[Place]:
        local = SqliteSeries(settings)
        try:
            return [await local.place(remote.id) for remote in settings.remotes]
        finally:
            await local.close()

    return asyncio.run(look())


def place_text(place: Place, zone: ZoneInfo) -> str:
    """One server for people."""
    waits = "has all"
    if place.waiting:
        waits = f"{place.waiting} samples wait, the first of {_local(place.since_us, zone)}"
    return f"{place.remote}: {waits}; {place.lost} lost by age or quota, {place.refused} refused"


def refused_samples(config: Path, remote: str = "", limit: int = 100) -> list[tuple[str, int, Refused]]:
    """What remotes will never take, newest first, with their reasons."""
    settings = _settings(read_site(config), config)
    _there(settings)
    local = SqliteSeries(settings)
    return list(asyncio.run(_closing(local.refused(remote, limit), local.close)))


def set_up_remote(config: Path, remote_id: str) -> list[str]:
    """Make database or bucket, retention and sums on a server of the site file; what was done, in words."""
    site = read_site(config)
    settings = _settings(site, config)
    remote = _remote(settings, remote_id)
    if remote.kind is SeriesKind.VICTORIA:
        return ["VictoriaMetrics needs no set-up: -retentionPeriod is its command's option; it sums up when asked"]
    if remote.kind is SeriesKind.INFLUX_2:
        return _set_up_2(remote, settings)
    return asyncio.run(_set_up_1(remote, settings))


def row_text(row: Row, zone: ZoneInfo) -> str:
    """One row for people."""
    if isinstance(row, Rollup):
        mean = "-" if row.mean is None else f"{row.mean:g} ({row.least:g}…{row.most:g})"
        return f"{_local(row.time_us, zone)}  {row.point}  {mean} {row.unit}  {row.good} good, {row.bad} bad"
    value = "-" if row.value is None else row.value
    how = f"{row.quality.value} {row.reason.value}".rstrip()
    return f"{_local(row.time_us, zone)}  {row.point}  {value} {row.unit}  {how}"


def zone_of(config: Path) -> ZoneInfo:
    """The time zone of a site file."""
    return ZoneInfo(read_site(config).time_zone)


# --- resolving ---------------------------------------------------------------------------------------------------


def _resolve(asked: Asked, limit: int) -> tuple[Site, SeriesSettings, SeriesQuery]:
    site = read_site(asked.config)
    settings = _settings(site, asked.config)
    zone = ZoneInfo(site.time_zone)
    now = datetime.now(zone)
    to = _moment(asked.to_local, zone) if asked.to_local else now
    start = _moment(asked.from_local, zone) if asked.from_local else to - timedelta(days=1)
    if start >= to:
        raise LocalFault(f"nothing lies between {start:%F %T} and {to:%F %T}: --from must be before --to")
    if asked.source != "local" and asked.level is not Level.RAW:
        raise LocalFault("a server is asked for raw samples; sums are in the local series (--source local)")
    if asked.source != "local":
        _remote(settings, asked.source)
    else:
        _there(settings)
    return site, settings, SeriesQuery(
        round(start.timestamp() * 1e6), round(to.timestamp() * 1e6), asked.points, asked.zones, limit)


def _there(settings: SeriesSettings) -> None:
    if not Path(settings.path).exists():
        raise LocalFault(f"{settings.path} is not there: has the gateway run with this site file?")


def _settings(site: Site, config: Path) -> SeriesSettings:
    if site.gateway.series is None:
        raise LocalFault(f"{config} keeps no time series: add `series: {{}}` to its gateway")
    return site.gateway.series


def _remote(settings: SeriesSettings, remote_id: str) -> SeriesRemote:
    known = {remote.id: remote for remote in settings.remotes}
    if remote_id not in known:
        raise LocalFault(f"no server {remote_id!r} in the site file; known: {', '.join(known) or 'none'}")
    return known[remote_id]


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise LocalFault(f"{text!r} is no time: write 2026-11-22 or 2026-11-22T14:30 (local to the site)") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)


def _slices(site: Site, settings: SeriesSettings, asked: Asked, whole: SeriesQuery
            ) -> Iterator[tuple[list[Row], int]]:
    """A long stretch in pieces of SLICE, each with where it begins."""
    step_us = round(SLICE.total_seconds() * 1e6)
    for at in range(whole.from_us, whole.to_us, step_us):
        query = msgspec.structs.replace(whole, from_us=at, to_us=min(at + step_us, whole.to_us))
        yield asyncio.run(_read(site, settings, asked, query)), at


async def _read(site: Site, settings: SeriesSettings, asked: Asked, query: SeriesQuery) -> list[Row]:
    if asked.level is not Level.RAW:
        local = SqliteSeries(settings)
        return list(await _closing(local.rollups(query, asked.level), local.close))
    store: SeriesStore = SqliteSeries(settings)
    if asked.source != "local":
        remote = _remote(settings, asked.source)
        store = InfluxSeries(remote, secret=read_secret(remote), site=site.tenancy.path)
    return list(await _closing(store.read(query), store.close))


async def _closing(answer: Awaitable[T], close: Callable[[], Awaitable[None]]) -> T:
    try:
        return await answer
    finally:
        await close()


# --- files -------------------------------------------------------------------------------------------------------


def _local(at_us: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_us / 1e6, zone).isoformat(sep=" ", timespec="milliseconds")


def _flat(row: Row, zone: ZoneInfo) -> dict[str, Any]:
    """One row of a table: the same columns for every value, so that a program finds its own."""
    flat = msgspec.to_builtins(row)
    if isinstance(row, Sample):
        value = row.value
        flat = {name: flat.get(name) for name in Sample.__struct_fields__ if name != "value"}
        flat["number"] = None if isinstance(value, str | bool) or value is None else float(value)
        flat["state"] = value if isinstance(value, bool) else None
        flat["text"] = value if isinstance(value, str) else None
        flat["quality"], flat["reason"] = row.quality.value, row.reason.value
    return {"time": _local(row.time_us, zone), **flat}


def _to_csv(path: Path, slices: Iterator[list[dict[str, Any]]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for rows in slices:
            if rows and writer is None:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
            if writer is not None:
                writer.writerows(rows)


def _to_parquet(path: Path, slices: Iterator[list[dict[str, Any]]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise LocalFault("Parquet needs the extra `series`: pip install tocsin[series]; or write NAME.csv") from error
    whole = ("time_us", "received_us", "sequence", "good", "bad")
    numbers = ("number", "least", "most", "mean", "last")

    def field(name: str) -> Any:
        kind = pa.int64() if name in whole else pa.float64() if name in numbers else (
            pa.bool_() if name == "state" else pa.string())
        return pa.field(name, kind)

    writer = None
    try:
        for rows in slices:
            if rows:
                schema = pa.schema([field(name) for name in rows[0]])
                writer = writer or pq.ParquetWriter(path, schema)
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        if writer is None:
            pq.write_table(pa.table({"time": pa.array([], pa.string())}), path)
    finally:
        if writer is not None:
            writer.close()


# --- set-up of servers -------------------------------------------------------------------------------------------


async def _set_up_1(remote: SeriesRemote, settings: SeriesSettings) -> list[str]:
    """InfluxDB 1.x. The policy that holds the raw samples is changed, not replaced: what is there stays in sight. May
    be done again, with other days."""
    server = InfluxSeries(remote, secret=read_secret(remote))
    name = remote.database.replace('"', "")
    done = [f"database {name}"]
    try:
        await _change(server, f'CREATE DATABASE "{name}"')
        policies = await _policies(server, name)
        raw = (remote.retention_policy or next((one for one, usual in policies.items() if usual), "autogen")
               ).replace('"', "")
        usual = "" if remote.retention_policy else " DEFAULT"
        await _change(server, _policy(name, raw, settings.raw_days, raw in policies) + usual)
        done.append(f"retention policy {raw}: {settings.raw_days:g} days, raw samples")
        for level, key in _ROLLED_DAYS.items():
            days, policy = getattr(settings, key), f"sums_{level.value}"
            every, resample = _CONTINUOUS[level]
            await _change(server, _policy(name, policy, days, policy in policies))
            await _change(server, f'DROP CONTINUOUS QUERY "{policy}" ON "{name}"', absent_is_fine=True)
            await _change(server, (
                f'CREATE CONTINUOUS QUERY "{policy}" ON "{name}" RESAMPLE {resample} BEGIN '  # noqa: S608 - our names
                'SELECT mean("value") AS "mean", min("value") AS "least", max("value") AS "most", '
                f'count("value") AS "good", last("value") AS "last" INTO "{name}"."{policy}".:MEASUREMENT '
                f'FROM "{name}"."{raw}"./.*/ GROUP BY time({every}), * END'))
            done.append(f"retention policy {policy}: {days:g} days, filled by a continuous query each {every}")
    finally:
        await server.close()
    return done


# Length of a sum, and how often and how far back it is made anew: a gap that is filled late is summed up as well.
_CONTINUOUS = {Level.MINUTE: ("1m", "EVERY 5m FOR 2h"), Level.QUARTER: ("15m", "EVERY 15m FOR 1d"),
               Level.HOUR: ("1h", "EVERY 1h FOR 3d")}


async def _policies(server: InfluxSeries, database: str) -> dict[str, bool]:
    """Retention policies of a database, and whether each is the default."""
    answer = await server.ask(f'SHOW RETENTION POLICIES ON "{database}"')
    rows = [dict(zip(series["columns"], row, strict=True)) for result in answer.get("results", [])
            for series in result.get("series", []) for row in series["values"]]
    return {str(row["name"]): bool(row["default"]) for row in rows}


def _policy(database: str, name: str, days: float, known: bool) -> str:
    hours = max(1, round(days * 24))
    return (f'{"ALTER" if known else "CREATE"} RETENTION POLICY "{name}" ON "{database}" DURATION {hours}h '
            f"REPLICATION 1 SHARD DURATION {min(hours, 168)}h")


async def _change(server: InfluxSeries, influxql: str, *, absent_is_fine: bool = False) -> None:
    """One statement. InfluxDB says 200 also to what it did not do: its words are in the result."""
    answer = await server.ask(influxql, change=True)
    for result in answer.get("results", []):
        if "error" in result and not (absent_is_fine and "not found" in result["error"]):
            raise LocalFault(f"{result['error']}; asked: {influxql}")


def _set_up_2(remote: SeriesRemote, settings: SeriesSettings) -> list[str]:
    """InfluxDB 2: buckets and downsampling tasks, by its own client library (never in the gateway's process)."""
    try:
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
    except ImportError as error:
        raise LocalFault("the set-up of InfluxDB 2 needs the extra `series`: pip install tocsin[series]") from error
    done = []
    with InfluxDBClient(remote.url, token=read_secret(remote), org=remote.org,
                        ssl_ca_cert=remote.ca_file or None) as client:
        organisation = client.organizations_api().find_organizations(org=remote.org)[0]
        for bucket, days in ((remote.database, settings.raw_days), *(
                (f"{remote.database}_{level.value}", getattr(settings, key)) for level, key in _ROLLED_DAYS.items())):
            if client.buckets_api().find_bucket_by_name(bucket) is None:
                rule: Any = BucketRetentionRules(  # type: ignore[no-untyped-call]  # the library has no types here
                    type="expire", every_seconds=round(days * 86400))
                client.buckets_api().create_bucket(bucket_name=bucket, retention_rules=[rule], org=remote.org)
                done.append(f"bucket {bucket}: {days:g} days")
        known = {task.name for task in client.tasks_api().find_tasks()}
        for level in _ROLLED_DAYS:
            every = {Level.MINUTE: "1m", Level.QUARTER: "15m", Level.HOUR: "1h"}[level]
            task = f"{remote.database} {level.value}"
            if task not in known:
                client.tasks_api().create_task_every(task, (
                    f'from(bucket: "{remote.database}") |> range(start: -{every}) '
                    '|> filter(fn: (r) => r._field == "value") '
                    f'|> aggregateWindow(every: {every}, fn: mean) |> to(bucket: "{remote.database}_{level.value}")'),
                    every, organisation)
                done.append(f"task {task}: each {every}")
    return done or ["everything is there already"]


def warn(text: str) -> None:
    """To people, beside the output that machines read."""
    print(text, file=sys.stderr)


def as_json(rows: Sequence[Row]) -> str:
    """Rows for machines."""
    return msgspec.json.encode(rows).decode()
