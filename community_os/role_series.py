"""The time series' role (I/O): the stream into the own series and other servers."""

from __future__ import annotations

import random

import structlog

from cloud_bridge.influx import InfluxSeries
from cloud_bridge.series_feed import RemoteSeries
from cloud_bridge.sqlite_series import SqliteSeries
from community_os.nats_stream import JetStreamStream
from community_os.role_parts import broker_access, close
from community_os.series_keeper import SeriesKeeper, read_secret
from community_os.settings import CloudSettings
from community_os.site_files import read_sites
from device_model.errors import LocalFault
from device_model.system_clock import clock_from_environment

_log = structlog.get_logger("tocsin.cloud")


async def run_series(settings: CloudSettings) -> None:
    """From the stream into the time series."""
    clock = clock_from_environment()
    sites = read_sites(settings)
    remotes: dict[str, RemoteSeries] = {}
    for remote in settings.series.remotes:
        try:
            remotes[remote.id] = InfluxSeries(remote, secret=read_secret(remote), tenancy=True)
        except LocalFault as fault:
            _log.error("no time series to this server", remote=remote.id, reason=str(fault))
    stream = await JetStreamStream.open(await broker_access(settings), name="series")
    keeper = SeriesKeeper(
        stream, SqliteSeries(settings.own_series), remotes, clock,
        inventories={path: setup.inventory for path, setup in sites.items()}, group_s=settings.series.group_s,
        jitter=random.random,  # spreads retries
        say=lambda level, what, **more: getattr(_log, level)(what, **more))
    _log.info("time series ready", servers=len(remotes))
    try:
        await keeper.run()
    finally:
        await close(stream)
