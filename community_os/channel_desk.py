"""Channels as the administrator's page reads and tries them (I/O). Implements `dashboards.channels.ChannelDesk`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from community_os.channel_commands import send_test
from community_os.notifier import read_endpoints
from community_os.settings import CloudSettings, EndpointKind
from dashboards.channels import ChannelRow, Tried
from device_model.errors import ConfigError, LocalFault

AGAIN_AFTER_S = 10.0  # between two test messages of a channel: a page that is pressed in anger is no flood


class SettingsChannels:
    """The endpoints of cloud.yaml. Keys and addresses are read when one is tried, and kept nowhere."""

    def __init__(self, settings: CloudSettings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._now_s = settings, now_s
        self._tried_s: dict[str, float] = {}  # bounded by the names of the file

    def rows(self) -> tuple[ChannelRow, ...]:
        """All, without their addresses."""
        return tuple(
            ChannelRow(one.name, one.kind.value, one.language, one.audience.value, one.per_minute)
            if one.kind is EndpointKind.APPRISE else ChannelRow(one.name, one.kind.value)
            for one in self._settings.endpoints)

    async def test(self, name: str) -> Tried | None:
        """Send one test message."""
        chosen = tuple(one for one in self._settings.endpoints if one.name == name)
        if not chosen:
            return None
        began = self._now_s()
        wait_s = self._tried_s.get(name, began - AGAIN_AFTER_S) + AGAIN_AFTER_S - began
        if wait_s > 0:
            return Tried(wait_s=wait_s)
        self._tried_s[name] = began
        try:
            endpoints = await asyncio.to_thread(read_endpoints, chosen, "cloud.yaml", self._settings.pages)
            reason = await send_test(endpoints[name])
        except (ConfigError, LocalFault) as error:
            reason = str(error).splitlines()[0][:300]
        return Tried(reason, round(self._now_s() - began, 2))
