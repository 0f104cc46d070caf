"""SeriesPart (I/O): the time series of one gateway, put together from its site file: local series, remotes, feed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import structlog

from cloud_bridge.influx import InfluxSeries
from cloud_bridge.series_feed import RemoteSeries, SeriesFeed, samples_of
from device_model.clock import Clock
from device_model.errors import LocalFault
from device_model.messages import GatewayAddress, Lane, Record
from device_model.site import SeriesRemote, SeriesSettings
from edge_agent.runtime import GatewayRuntime
from edge_agent.series import SqliteSeries

log = structlog.get_logger("gateway.series")


async def keep_series(settings: SeriesSettings, address: GatewayAddress, runtime: GatewayRuntime, clock: Clock
                      ) -> None:
    """One life of the part: until cancelled, or until a fault of ours ends it and it is begun anew."""
    await SeriesPart(settings, address, runtime, clock).run()


class SeriesPart:
    """Records in, samples kept and sent. `run` until cancelled; what waits then is kept first."""

    def __init__(self, settings: SeriesSettings, address: GatewayAddress, runtime: GatewayRuntime, clock: Clock
                 ) -> None:
        """A remote whose secret cannot be read is left out and said; the others and the local series go on."""
        self._runtime, self._address = runtime, address
        remotes: dict[str, RemoteSeries] = {}
        for remote in settings.remotes:
            try:
                remotes[remote.id] = InfluxSeries(remote, secret=read_secret(remote), site=address.tenancy.path)
            except LocalFault as fault:
                log.error("no time series to this server", remote=remote.id, reason=str(fault))
        self.feed = SeriesFeed(
            SqliteSeries(settings), remotes, clock, group_s=settings.group_s,
            jitter=random.Random().random,  # noqa: S311  spreads retries
            say=lambda level, what, **more: getattr(log, level)(what, **more))

    async def run(self) -> None:
        """Listen to the runtime's records and keep them."""
        self._runtime.recorded = self._take
        try:
            await self.feed.run()
        finally:
            self._runtime.recorded = None
            await self.feed.close()

    def _take(self, records: Sequence[tuple[Lane, Record]]) -> None:
        self.feed.take(samples_of(records, self._runtime.journal_epoch, self._runtime.inventory, self._address))


def read_secret(remote: SeriesRemote) -> str:
    """The one line of its secret file; LocalFault when it cannot be read, or is empty."""
    if not remote.secret_file:
        return ""
    try:
        secret = Path(remote.secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"{remote.secret_file}: cannot be read ({error}); it is one line, a token or user:password"
                         ) from error
    if not secret:
        raise LocalFault(f"{remote.secret_file} is empty; it is one line, a token or user:password")
    return secret
