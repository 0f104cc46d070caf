"""WalkDesk (I/O): tests and acceptances beside what the site file expects and what gateways say is alive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from community_os.store import IncidentStore, StoreCalls
from community_os.walk_shelf import WalkShelf
from dashboards.rights import covers
from dashboards.walks import SiteWalks, lines_of
from device_model.clock import Clock
from device_model.inventory import Inventory
from device_model.site import Text

SITES_MAX = 200  # of one page; a district asks by its streets


class WalkDesk:
    """`dashboards.walks.Walks`. sites: as the program knows them now."""

    def __init__(self, shelf: WalkShelf, store: IncidentStore, calls: StoreCalls, clock: Clock,
                 sites: Mapping[str, Inventory]) -> None:
        self._shelf, self._store, self._calls, self._clock, self._sites = shelf, store, calls, clock, sites

    async def sites(self, scope: str) -> tuple[SiteWalks, ...]:
        """As the protocol."""
        now_us = self._clock.now().wall_us
        gateways = (await self._calls(partial(self._store.snapshot, scope, now_us))).gateways
        found = []
        for path in sorted(path for path in self._sites if covers(scope, path))[:SITES_MAX]:
            site = self._sites[path].site
            mine = [one for one in gateways if one.tenancy.path == path]
            tests = await asyncio.to_thread(self._shelf.of_site, path)
            expected = {device.id: device.place for device in site.devices if device.profile != "tocsin-gateway"}
            expected |= {output.id: Text("output", "输出") for output in site.outputs}
            accepted = [one for one in tests if one.record.kind == "accepted"]
            found.append(SiteWalks(
                path, site.name, len(expected), max([len(site.devices), *(one.devices_expected for one in mine)]),
                sum(one.devices_alive for one in mine), not mine or any(one.silent for one in mine),
                lines_of(expected, tests), accepted[-1] if accepted else None))
        return tuple(found)
