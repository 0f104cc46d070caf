"""What roles share (I/O): the way to the broker, and the end of connections."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from community_os.broker import read_access
from community_os.broker_config import BrokerAccess
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from community_os.settings import CloudSettings
from device_model.errors import LocalFault

BROKER_WITHIN_S = 60.0  # its first start makes keys


async def broker_access(settings: CloudSettings) -> BrokerAccess:
    """How to reach the broker; waits for its first start."""
    for _ in range(round(BROKER_WITHIN_S / 0.2)):
        try:
            return read_access(Path(settings.broker_folder))
        except LocalFault:
            await asyncio.sleep(0.2)
    return read_access(Path(settings.broker_folder))


async def close(*connections: NatsLink | JetStreamStream) -> None:
    """Disconnect. While it reconnects the client's close fails on its dead transport: it is gone either way."""
    for connection in connections:
        with contextlib.suppress(RuntimeError):
            await connection.close()
