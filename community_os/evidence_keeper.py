"""EvidenceKeeper (I/O): evidence and the life of its incident.

    parts of batches ─► EvidenceFiles          open incidents ─► what the quota may not take
    an incident is closed ─► "incident_closed" to the gateway, again until it must have heard: its own copy may age
"""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import structlog

from community_os.evidence_files import EvidenceFiles, SentEvidence
from community_os.store import IncidentStore, StoreCalls
from community_os.store_changes import row_id
from device_model.clock import DAY_US, SECOND_US, Clock
from device_model.command import Command, CommandKind
from device_model.errors import LocalFault, PeerError
from device_model.messages import (
    WIRE_VERSION,
    Batch,
    Down,
    EvidenceChunkRecord,
    GatewayAddress,
    Lane,
    encode,
)
from device_model.ports import MessageLink
from device_model.read_models import IncidentView
from device_model.site import Tenancy
from rules_engine.incident_life import ENDED

_log = structlog.get_logger("tocsin.evidence")
LOOK_EVERY_S = 20.0
SETTLE_US = 60 * SECOND_US  # evidence may be here before its incident is stored
TELL_TIMES = 12  # doubling from 20 s: for some 11 hours; applied once, a repeat costs nothing
TELL_FOR_US = DAY_US


class EvidenceKeeper:
    """Owned by the worker's process."""

    def __init__(self, files: EvidenceFiles, store: IncidentStore, calls: StoreCalls, link: MessageLink, clock: Clock
                 ) -> None:
        self._files, self._store, self._calls, self._link, self._clock = files, store, calls, link, clock
        self._told: dict[tuple[str, str, str], tuple[int, int]] = {}  # evidence → times, next µs; bounded by files

    async def take(self, path: str, batch: Batch) -> Batch:
        """The parts of a batch are kept; what the site's own worker then sees carries no bytes."""
        if batch.lane is not Lane.EVIDENCE:
            return batch
        records = []
        for record in batch.records:
            if isinstance(record.body, EvidenceChunkRecord):
                chunk = record.body
                await asyncio.to_thread(self._files.take, path, batch.gateway, chunk)
                records.append(msgspec.structs.replace(record, body=msgspec.structs.replace(chunk, octets=b"")))
            else:
                records.append(record)
        return msgspec.structs.replace(batch, records=tuple(records))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except (LocalFault, OSError) as error:
                _log.warning("evidence could not be looked after", reason=str(error))
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """One turn."""
        now_us = self._clock.now().wall_us
        paths = await asyncio.to_thread(self._files.paths)
        open_alarms: set[str] = set()
        waiting: list[SentEvidence] = []
        for path in paths:
            items = await asyncio.to_thread(self._files.of_site, path)
            mine = open_of((await self._calls(partial(self._store.snapshot, path, now_us))).incidents)
            open_alarms |= mine
            waiting += [item for item in items if item.alarm not in mine and now_us - item.first_us > SETTLE_US]
        self._files.open_alarms = frozenset(open_alarms)
        for item in waiting:
            if not item.closed_us:
                await self._tell(item, now_us)

    async def _tell(self, item: SentEvidence, now_us: int) -> None:
        key = (item.path, item.gateway, item.id)
        times, next_us = self._told.get(key, (0, 0))
        if now_us < next_us:
            return
        command = Command(row_id(item.path, "incident_closed", item.alarm, item.id), CommandKind.INCIDENT_CLOSED,
                          item.alarm, "community-os", "the incident is closed", now_us, now_us + TELL_FOR_US)
        address = GatewayAddress(Tenancy.of(item.path), item.gateway)
        try:
            await self._link.publish(address.down("command"), encode(Down(WIRE_VERSION, command)))
        except PeerError:
            return
        self._told[key] = (times + 1, now_us + round(LOOK_EVERY_S * SECOND_US) * 2**times)
        if times + 1 >= TELL_TIMES:
            self._told.pop(key)
            await asyncio.to_thread(self._files.mark_closed, item, now_us)


def open_of(incidents: tuple[IncidentView, ...]) -> set[str]:
    """The alarms of incidents that are not ended."""
    return {alarm.alarm for incident in incidents if incident.state not in ENDED for alarm in incident.alarms}
