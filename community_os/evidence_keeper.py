"""EvidenceKeeper (I/O): evidence and the life of its incident.

    parts of batches ─► EvidenceFiles          open incidents ─► what the quota may not take
    an incident is closed ─► "incident_closed" to the gateway, again until it must have heard: its own copy may age
    it is open again ─► "incident_reopened": what the gateway still has is held again
    a part was refused (full disk), or the rest stays away ─► "evidence_again": the gateway sends the file once more
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
ASKED_MAX = 1_000  # files under way of being asked for again; the others wait for their turn


class EvidenceKeeper:
    """Owned by the worker's process."""

    def __init__(self, files: EvidenceFiles, store: IncidentStore, calls: StoreCalls, link: MessageLink, clock: Clock
                 ) -> None:
        self._files, self._store, self._calls, self._link, self._clock = files, store, calls, link, clock
        self._told: dict[tuple[str, str, str], tuple[int, int]] = {}  # evidence → times, next µs; bounded by files
        self._asked: dict[tuple[str, str, str], tuple[int, int]] = {}  # file → times, next µs

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
        reopened: list[SentEvidence] = []
        for path in paths:
            items = await asyncio.to_thread(self._files.of_site, path)
            mine = open_of((await self._calls(partial(self._store.snapshot, path, now_us))).incidents)
            open_alarms |= mine
            waiting += [item for item in items if item.alarm not in mine and now_us - item.first_us > SETTLE_US]
            reopened += [item for item in items if item.alarm in mine and (item.telling or item.turn)]
        self._files.open_alarms = frozenset(open_alarms)
        for item in waiting:
            if not item.closed_us:
                await self._tell_closed(item, now_us)
        for item in reopened:
            await self._tell_reopened(item, now_us)
        await self._ask_again(now_us)

    async def _tell_closed(self, item: SentEvidence, now_us: int) -> None:
        """Often enough that the gateway must have heard; once it did, a repeat costs nothing."""
        key = (item.path, item.gateway, f"{item.id} closed {item.turn}")
        times = await self._due(self._told, key, CommandKind.INCIDENT_CLOSED, item.alarm, "the incident is closed",
                                now_us, turn=str(item.turn))
        if times:
            over = times >= TELL_TIMES
            await asyncio.to_thread(partial(self._files.mark, item, closed_us=now_us if over else 0, telling=True,
                                            turn=item.turn))
        if times >= TELL_TIMES:
            self._told.pop(key)

    async def _tell_reopened(self, item: SentEvidence, now_us: int) -> None:
        if item.telling:  # a closing that the gateway may have heard: from here on the opposite holds
            item.turn += 1
            await asyncio.to_thread(partial(self._files.mark, item, closed_us=0, telling=False, turn=item.turn))
            self._told.pop((item.path, item.gateway, f"{item.id} closed {item.turn - 1}"), None)
        key = (item.path, item.gateway, f"{item.id} reopened {item.turn}")
        if self._told.get(key, (0, 0))[0] < TELL_TIMES:
            await self._due(self._told, key, CommandKind.INCIDENT_REOPENED, item.alarm, "the incident is open again",
                            now_us, turn=str(item.turn))

    async def _ask_again(self, now_us: int) -> None:
        """Files that a gateway sent and this side does not have; one that never comes is asked for some 11 hours."""
        wanting = await asyncio.to_thread(self._files.wanting)
        for gone in self._asked.keys() - set(wanting):
            del self._asked[gone]
        for key in wanting:
            if (key in self._asked or len(self._asked) < ASKED_MAX) and self._asked.get(key, (0, 0))[0] < TELL_TIMES:
                times = await self._due(self._asked, key, CommandKind.EVIDENCE_AGAIN, key[2],
                                        "it could not be kept here", now_us, turn=str(now_us))
                if times:
                    _log.warning("evidence asked for again", site=key[0], gateway=key[1], file=key[2], times=times)

    async def _due(self, told: dict[tuple[str, str, str], tuple[int, int]], key: tuple[str, str, str],
                   kind: CommandKind, target: str, why: str, now_us: int, *, turn: str) -> int:
        """Send a command when its time has come, each time later; how often it was sent, 0 where it was not now."""
        times, next_us = told.get(key, (0, 0))
        if now_us < next_us:
            return 0
        command = Command(row_id(key[0], kind.value, target, key[2], turn), kind, target, "community-os", why,
                          now_us, now_us + TELL_FOR_US)
        address = GatewayAddress(Tenancy.of(key[0]), key[1])
        try:
            await self._link.publish(address.down("command"), encode(Down(WIRE_VERSION, command)))
        except PeerError:
            return 0
        told[key] = (times + 1, now_us + round(LOOK_EVERY_S * SECOND_US) * 2**times)
        return times + 1


def open_of(incidents: tuple[IncidentView, ...]) -> set[str]:
    """The alarms of incidents that are not ended."""
    return {alarm.alarm for incident in incidents if incident.state not in ENDED for alarm in incident.alarms}
