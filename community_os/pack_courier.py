"""Courier of approved numbers (I/O): signs and sends them until the gateway has said what became of them.

    rows (approved) ─► oldest of each site ─► signed by the authority ─► …/down/numbers, every 30 s
    gateway's report ─► confirmed ─► the cloud's copy of the site file, next version
                    └─► takes none ─► the copy at once, for a person to push (`tocsin site push`)

Several web processes may run one each: messages are equal, the gateway takes a version once, a row is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from community_os.officer_store import OfficerStore
from community_os.pack_numbers import (
    ASKED,
    JUDGED,
    SENT,
    WITHDRAWN,
    WRITTEN,
    Change,
    Written,
    changes_of,
    next_to_send,
)
from community_os.store import IncidentStore, StoreCalls
from device_model.clock import SECOND_US, Clock
from device_model.errors import ConfigError, LocalFault, PeerError, RowRefused
from device_model.inventory import Inventory
from device_model.library import read_inventory
from device_model.messages import GatewayAddress
from device_model.read_models import GatewayView
from provisioning.site_numbers import merged, sign_numbers, with_numbers
from provisioning.site_versions import SiteVersions

LOOK_EVERY_S = 3.0
SEND_AGAIN_US = 30 * SECOND_US

Sign = Callable[[bytes], str]
Publish = Callable[[str, bytes], Awaitable[None]]
_log = structlog.get_logger("tocsin.numbers")


class NumbersBook:
    """The rows of changes, and what gateways say."""

    def __init__(self, store: IncidentStore) -> None:
        self.own = OfficerStore(store)

    def changes(self, scope: str = "") -> tuple[Change, ...]:
        """Newest first."""
        kinds = (ASKED, JUDGED, WITHDRAWN, SENT, WRITTEN)
        return changes_of(*(self.own.settings(kind, scope) for kind in kinds))

    def gateways(self, scope: str = "") -> dict[tuple[str, str], GatewayView]:
        """By site and gateway."""
        return {(one.tenancy.path, one.gateway): one for one in self.own.gateways(scope)}


class NumbersCourier:
    """`run` until cancelled."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, clock: Clock, *, sites: dict[str, Inventory], sign: Sign,
        publish: Publish,
    ) -> None:
        """sites: replaced in place when a number is written. sign: the authority's `sign_word`."""
        self._book, self._calls, self._clock = NumbersBook(store), calls, clock
        self._sites, self._sign, self._publish = sites, sign, publish
        self._sent_us: dict[str, int] = {}

    async def run(self) -> None:
        """Look, send, settle."""
        while True:
            try:
                await self.look()
            except (LocalFault, PeerError) as fault:
                _log.warning("numbers not sent, trying again", reason=str(fault))
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Once over all sites with something on its way."""
        changes = await self._calls(self._book.changes)
        if all(one.version == 0 or one.written is not None for one in changes):
            return
        gateways = await self._calls(self._book.gateways)
        for path in sorted({one.path for one in changes if one.version and one.written is None}):
            inventory = self._sites.get(path)
            gateway = gateways.get((path, inventory.site.gateway.id)) if inventory is not None else None
            if inventory is not None and gateway is not None and gateway.numbers is not None:
                await self._site(inventory, [one for one in changes if one.path == path], gateway)

    async def _site(self, inventory: Inventory, changes: list[Change], gateway: GatewayView) -> None:
        report = gateway.numbers
        for one in changes:
            if one.version and one.written is None and one.state(report) == "running":
                await self._write(inventory, one, by_hand=False)
                return
        change = next_to_send(changes, report)
        if change is None or report is None or report.on_probation:
            return
        if not report.takes:
            await self._write(inventory, change, by_hand=True)
            return
        now_us = self._clock.now().wall_us
        if now_us - self._sent_us.get(change.id, -SEND_AGAIN_US) < SEND_AGAIN_US:
            return
        address = GatewayAddress(inventory.site.tenancy, gateway.gateway)
        try:
            message = sign_numbers(change.numbers, change.version, address, self._sign)
        except ValueError as error:
            _log.error("number cannot be sent", site=change.path, rule=change.rule, reason=str(error))
            return
        await self._publish(address.down("numbers"), message)
        self._sent_us[change.id] = now_us
        if not change.sent_us:
            await self._once(SENT, change, b"{}", who="tocsin", why=f"to {address.common_name}")

    async def _write(self, inventory: Inventory, change: Change, *, by_hand: bool) -> None:
        """The cloud's own copy of the site file follows what runs; by hand: it is what a person sends."""
        file = Path(inventory.site.file)
        try:
            version = await asyncio.to_thread(_write, file, change)
            self._sites[change.path] = await asyncio.to_thread(read_inventory, file)
        except (ConfigError, LocalFault, ValueError, OSError) as error:
            _log.error("number runs, the site file here does not follow", site=change.path, file=str(file),
                       reason=str(error))
            return
        body = Written(change.asked.name, change.asked.value, change.asked.before, version, change.id, by_hand)
        await self._once(WRITTEN, change, msgspec.json.encode(body), who=change.row.who, why=change.row.why)

    async def _once(self, kind: str, change: Change, body: bytes, *, who: str, why: str) -> None:
        at_us, name = self._clock.now().wall_us, change.id if kind == SENT else change.rule
        try:
            await self._calls(lambda: self._book.own.put(
                kind, change.path, name, body, who=who, why=why, at_us=at_us, once=change.id))
        except RowRefused:
            return  # another process has written it


def _write(file: Path, change: Change) -> int:
    """The version of the file that carries it; the newest one where it stands there (one machine, one file)."""
    versions, asked = SiteVersions(file), change.asked
    standing = read_inventory(file).site.rules.parameters
    if merged(standing, change.numbers) == standing:
        history = versions.history()
        return history[-1].number if history else 1
    approved = change.approved.who if change.approved else ""
    why = f"{change.rule} {asked.name}: {asked.before} -> {asked.value}; {change.row.why}; approved by {approved}"
    return versions.save(with_numbers(versions.text(), change.numbers), change.row.who, why).number
