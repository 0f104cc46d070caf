"""`tocsin cloud notices test CHANNEL` (I/O): one message that is no alarm, and what the service said."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from community_os.notice_signing import headers_of
from community_os.notifier import Endpoint, post_http, read_endpoints
from community_os.settings_source import read_settings
from device_model.errors import LocalFault, PeerRefused


class TryReport(msgspec.Struct, frozen=True):
    """How it went. seconds: until the service answered."""

    channel: str
    kind: str
    seconds: float

    def text(self) -> str:
        """For people."""
        return f"{self.channel} ({self.kind}): taken after {self.seconds:.1f} s"


def try_channel(config: Path | None, name: str) -> TryReport:
    """Send it. LocalFault for an endpoint that is not there, PeerRefused with the reason when it was not taken."""
    settings = read_settings(config)
    chosen = tuple(one for one in settings.endpoints if one.name == name)
    if not chosen:
        known = ", ".join(one.name for one in settings.endpoints) or "none"
        raise LocalFault(f"there is no endpoint {name!r} in cloud.yaml; known: {known}")
    (endpoint,) = read_endpoints(chosen, str(config or "cloud.yaml"), settings.pages).values()
    began = time.monotonic()
    reason = asyncio.run(send_test(endpoint))
    if reason:
        raise PeerRefused(f"{name}: not taken: {reason}")
    return TryReport(name, chosen[0].kind.value, round(time.monotonic() - began, 2))


async def send_test(endpoint: Endpoint) -> str:
    """One message that says it is a test: "" when it was taken, else why not. Closes the channel."""
    at_us = time.time_ns() // 1000
    name = f"test-{os.urandom(8).hex()}"
    event: dict[str, Any] = {
        "specversion": "1.0", "id": name, "source": "/tocsin", "type": "tocsin.test.v1",
        "datacontenttype": "application/json", "data": {"channel": endpoint.name, "test": True}}
    body = msgspec.json.encode(event)
    if endpoint.channel is None:
        return await post_http(endpoint, body, headers_of(name, body, at_us, endpoint.key))
    try:
        return await endpoint.channel.send(body)
    finally:
        endpoint.channel.close()
