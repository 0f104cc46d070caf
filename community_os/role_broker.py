"""The broker's role (I/O): nats-server, its users, and what it refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from community_os.audit_book import open_audit
from community_os.broker import Broker
from community_os.broker_refusals import RefusalTail
from community_os.settings import CloudSettings
from provisioning.authority import Authority

_log = structlog.get_logger("tocsin.cloud")


async def run_broker(settings: CloudSettings) -> None:
    """nats-server with our CA and the enrolled gateways."""
    authority = Authority.open(Path(settings.authority_folder), names=settings.broker.names)
    broker = Broker(Path(settings.broker_folder), authority, settings.broker)
    await broker.start()
    _log.info("broker ready", mqtt=broker.mqtt_port, services=broker.services_port)
    refusals = asyncio.create_task(RefusalTail(broker.log_file, open_audit(settings)).run())
    try:
        await broker.run()
    finally:
        refusals.cancel()
        await asyncio.gather(refusals, return_exceptions=True)
        await broker.stop()
