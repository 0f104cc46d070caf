"""The notifier's role (I/O): the store to endpoints, people's channels and monitoring centres."""

from __future__ import annotations

import asyncio

import structlog

from community_os.centre_link import CentreLink
from community_os.nats_stream import JetStreamStream
from community_os.notice_store import NoticeStore
from community_os.notifier import Notifier, post_http, read_endpoints
from community_os.role_parts import broker_access, close
from community_os.settings import CloudSettings
from community_os.site_files import read_sites
from community_os.store import IncidentStore, StoreCalls, store_calls
from community_os.store_opening import open_store
from device_model.system_clock import SystemClock, clock_from_environment

_log = structlog.get_logger("tocsin.cloud")


async def run_notify(settings: CloudSettings) -> None:
    """From the incident store to the endpoints."""
    endpoints = read_endpoints(settings.endpoints, "cloud.yaml", settings.pages)
    clock = clock_from_environment()
    access = await broker_access(settings)
    stream = await JetStreamStream.open(access, name="notify")
    store = open_store(settings)
    calls = store_calls()
    notifier = Notifier(NoticeStore(store), calls, stream, clock, endpoints=endpoints, post=post_http,
                        partitions=settings.partitions, speed=clock.speed)
    _log.info("notifier ready", endpoints=len(endpoints))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(notifier.run())
            for link in centre_links(settings, store, calls, stream, clock):
                group.create_task(link.run())
    finally:
        await close(stream)
        store.close()


def centre_links(
    settings: CloudSettings, store: IncidentStore, calls: StoreCalls, stream: JetStreamStream, clock: SystemClock
) -> list[CentreLink]:
    """One connection a site to the monitoring centre that it reports to."""
    sites = read_sites(settings) if settings.centres else {}
    return [CentreLink(centre, sites[path].inventory, store, calls, stream, clock, partitions=settings.partitions)
            for centre in settings.centres for path in centre.sites if path in sites]
