"""The worker's role (I/O): the stream into the incident store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from community_os.evidence_files import evidence_files
from community_os.evidence_keeper import EvidenceKeeper
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from community_os.role_parts import broker_access, close
from community_os.settings import CloudSettings
from community_os.site_files import read_sites
from community_os.site_stamps import until_sites_change
from community_os.store import store_calls
from community_os.store_opening import open_store
from community_os.walk_shelf import WalkShelf
from community_os.worker import Worker
from device_model.errors import ConfigError, LocalFault
from device_model.system_clock import clock_from_environment

_log = structlog.get_logger("tocsin.cloud")


async def run_worker(settings: CloudSettings) -> None:
    """From the stream into the incident store; anew, from its checkpoints, when a site file came or was changed."""
    while True:
        changed = asyncio.create_task(until_sites_fit(settings), name="sites")
        working = asyncio.create_task(_work(settings), name="work")
        try:
            await asyncio.wait({changed, working}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            _log.info("site files changed; the worker begins anew")
        finally:
            for task in (changed, working):
                task.cancel()
            await asyncio.gather(changed, working, return_exceptions=True)


async def until_sites_fit(settings: CloudSettings) -> None:
    """Return when site files changed and all fit. A slip of the pen is said, and what runs goes on."""
    stamps = None
    while True:
        stamps = await until_sites_change(settings, stamps)
        try:
            await asyncio.to_thread(read_sites, settings)
        except (ConfigError, LocalFault) as error:
            _log.error("a changed site file does not fit; the earlier one stays in force", reason=str(error))
            continue
        return


async def _work(settings: CloudSettings) -> None:
    sites = read_sites(settings)
    clock = clock_from_environment()
    access = await broker_access(settings)
    link, stream = await NatsLink.open(access, (), "worker"), await JetStreamStream.open(access, name="worker")
    store = open_store(settings)
    calls = store_calls()
    keeper = EvidenceKeeper(evidence_files(settings, clock), store, calls, link, clock)
    worker = Worker(stream, store, calls=calls, link=link, sites=sites, clock=clock,
                    partitions=settings.partitions, speed=clock.speed,
                    evidence=WalkShelf(Path(settings.state)).before(keeper.take))
    keeping = asyncio.create_task(keeper.run(), name="evidence")
    _log.info("worker ready", sites=len(sites))
    try:
        await worker.run()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await close(link, stream)
        store.close()
