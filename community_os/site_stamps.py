"""Which site files a cloud has, and whether one of them came or was changed (I/O)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from community_os.settings import CloudSettings

LOOK_EVERY_S = 1.0


def claimed_site_files(settings: CloudSettings) -> tuple[str, ...]:
    """Site files that claimed gateways handed in."""
    return tuple(str(file) for file in sorted((Path(settings.state) / "sites").glob("*.yaml")))


Stamps = tuple[tuple[str, int], ...]


def site_stamps(settings: CloudSettings) -> Stamps:
    """Changes whenever one of them does: those of claimed gateways, and those that the operator configured."""
    return tuple((file, Path(file).stat().st_mtime_ns) for file in (*claimed_site_files(settings), *settings.sites))


async def until_sites_change(settings: CloudSettings, before: Stamps | None = None) -> Stamps:
    """Return when a site file came or was changed, with what they are like then. A role that ends then begins anew
    with it, from its checkpoint. before: what they were like when they were read; None: now."""
    while True:
        try:
            now = site_stamps(settings)
            if now != (before := now if before is None else before):
                return now
        except OSError:  # replaced between the list and the look: the next look sees it whole
            pass
        await asyncio.sleep(LOOK_EVERY_S)
