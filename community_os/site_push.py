"""Site push (I/O): hands a signed site file to its gateway through the running broker. What comes of it is the
gateway's to decide: it checks the signature with the key that it pinned, and its heartbeats go on or do not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from community_os.broker import read_access
from community_os.nats_link import NatsLink
from device_model.errors import LocalFault, PeerSilent
from device_model.messages import GatewayAddress

CONNECT_WITHIN_S = 10.0


def push_site(broker_folder: Path, address: GatewayAddress, message: bytes) -> None:
    """Send it once; a gateway that is not connected does not get it. Raises LocalFault."""
    asyncio.run(_push(broker_folder, address, message))


async def _push(broker_folder: Path, address: GatewayAddress, message: bytes) -> None:
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            link = await NatsLink.open(read_access(broker_folder), ())
            try:
                await link.publish(address.down("site"), message)
            finally:
                await link.close()
    except (TimeoutError, PeerSilent) as error:
        raise LocalFault(f"the broker does not answer: {error or 'no answer in time'}") from error
