"""The ingest's role (I/O): what gateways send, into the stream."""

from __future__ import annotations

import os

from community_os.ingest import Ingest
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from community_os.role_parts import broker_access, close
from community_os.settings import CloudSettings
from device_model.errors import LocalFault
from device_model.ports import StaleRevision
from device_model.system_clock import clock_from_environment


async def run_ingest(settings: CloudSettings) -> None:
    """From gateways into the stream."""
    access = await broker_access(settings)
    link, stream = await NatsLink.open(access, name="ingest"), await JetStreamStream.open(access, name="ingest")
    ingest = Ingest(link, stream, clock_from_environment(), writer=f"ingest-{os.getpid()}-{os.urandom(4).hex()}",
                    partitions=settings.partitions)
    try:
        await ingest.run()
    except StaleRevision as error:
        raise LocalFault("another ingest has taken over; stop one of the two") from error
    finally:
        await close(link, stream)
