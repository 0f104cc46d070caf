"""Keeper of the ledgers: ledger = f(stream), cut short by checkpoints, so that dedupe is exact after any kill.

    key ingest.mark            {writer, sequence}     every site's checkpoint covers the stream up to there
    key ledger.<city.….site>   {sequence, ledger}     one site's ledger, covering its messages up to there

At start: read the mark, claim it (the expected revision fences an older ingest out), replay the stream after it.
A mark is the highest sequence of which it is certain that everything before has been entered: publishes of
different sites overlap, and one whose outcome is unknown holds the mark back until the stream itself told.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
import structlog

from community_os.envelopes import UpEnvelope, decode_envelope
from community_os.ledger import Applied, Ledger
from device_model.errors import PeerRefused
from device_model.messages import Batch
from device_model.ports import StaleRevision, Stream, StreamMessage

MARK_KEY = "ingest.mark"
# Sites in memory. One costs some kilobytes; those beyond, when idle and saved, are fetched again on demand.
SITES_MAX = 8192

_log = structlog.get_logger("tocsin.ingest")
Replay = Callable[[int, int], AsyncGenerator[StreamMessage, None]]


class Mark(msgspec.Struct, frozen=True):
    """Who writes, and how far everything is covered."""

    writer: str
    sequence: int


class SiteCheckpoint(msgspec.Struct, frozen=True):
    """A site's ledger as of a sequence of the stream."""

    sequence: int
    ledger: msgspec.Raw


class SiteLedger:
    """One site's ledger in memory."""

    def __init__(self, path: str, ledger: Ledger, sequence: int, revision: int) -> None:
        self.path = path
        self.ledger = ledger
        self.sequence = sequence
        self.revision = revision
        self.dirty = False
        # A write whose outcome is not known is repeated to the letter until it is.
        self.unsettled: tuple[bytes, int] | None = None


class LedgerKeeper:
    """All ledgers of one ingest. `replay(after, until)` yields the stream's messages in between."""

    def __init__(self, stream: Stream, replay: Replay, writer: str) -> None:
        self._stream = stream
        self._replay = replay
        self._writer = writer
        self._sites: dict[str, SiteLedger] = {}
        self._floors: dict[str, int] = {}
        self._highest = 0
        self._mark = Mark(writer, 0)
        self._mark_revision = 0
        self._unsettled_mark: Mark | None = None

    async def open(self) -> int:
        """Claim the mark and replay what came after it; returns how many messages were replayed.

        Raises PeerSilent (call again), StaleRevision (another ingest is starting at this instant).
        """
        found = await self._stream.get(MARK_KEY)
        sequence, revision = 0, 0
        if found is not None:
            mark = msgspec.json.decode(found[0], type=Mark)
            sequence, revision = mark.sequence, found[1]
        self._mark = Mark(self._writer, sequence)
        self._mark_revision = await self._stream.put(
            MARK_KEY, msgspec.json.encode(self._mark), expected_revision=revision,
        )
        self._highest = sequence
        self._sites.clear()
        self._floors.clear()
        return await self.catch_up()

    async def catch_up(self) -> int:
        """Enter what stands in the stream and is not entered yet; returns how many messages were read.

        Called at start, and whenever the outcome of a publish is unknown. Raises PeerSilent.
        """
        after, until = self._covered(), await self._stream.last_sequence()
        count = 0
        if until > after:
            async with aclosing(self._replay(after, until)) as messages:
                async for message in messages:
                    await self._enter(message)
                    count += 1
            self._highest = max(self._highest, until)
        return count

    async def site(self, path: str) -> SiteLedger:
        """The ledger of a site, fetched if it is not in memory. Raises PeerSilent."""
        present = self._sites.get(path)
        if present is not None:
            return present
        found = await self._stream.get(_key(path))
        # Another task may have fetched it meanwhile: there is one ledger per site.
        if path in self._sites:
            return self._sites[path]
        site = SiteLedger(path, Ledger(), 0, 0)
        if found is not None:
            try:
                checkpoint = msgspec.json.decode(found[0], type=SiteCheckpoint)
                site = SiteLedger(path, Ledger.resume(bytes(checkpoint.ledger)), checkpoint.sequence, found[1])
            except ValueError as error:
                # Without it old records may be stored twice; the worker's own ledger still tells them apart.
                _log.error("a site's ledger cannot be read; it starts anew", site=path, reason=str(error))
                site = SiteLedger(path, Ledger(), 0, found[1])
        self._make_room()
        self._sites[path] = site
        return site

    def begin(self, site: SiteLedger) -> None:
        """A publish for that site is about to start: the mark may not pass this point until it ends."""
        self._floors.setdefault(site.path, self._highest)

    def end(self, site: SiteLedger) -> None:
        """The publish was refused, so that nothing of it is in the stream."""
        self._floors.pop(site.path, None)

    def stored(self, site: SiteLedger, batch: Batch, sequence: int, arrived_us: int) -> Applied:
        """The publish ended well: enter its batch. arrived_us: as in the envelope."""
        applied = site.ledger.apply(batch, arrived_us)
        site.sequence = max(site.sequence, sequence)
        site.dirty = True
        self._highest = max(self._highest, sequence)
        self._floors.pop(site.path, None)
        return applied

    async def save(self) -> None:
        """Write the ledgers that changed, then the mark. Raises PeerSilent (call again), StaleRevision (stop:
        another ingest has taken over)."""
        covered = self._covered()
        for site in [site for site in self._sites.values() if site.dirty or site.unsettled]:
            if not await self._save_site(site):
                covered = self._mark.sequence  # what is not saved must be replayed
        if self._unsettled_mark is not None:
            await self._save_mark(self._unsettled_mark)
        if covered > self._mark.sequence:
            await self._save_mark(Mark(self._writer, covered))
            return
        found = await self._stream.get(MARK_KEY)
        if found is None or found[1] != self._mark_revision:
            raise StaleRevision("another ingest has taken over")

    async def _save_site(self, site: SiteLedger) -> bool:
        repeated = site.unsettled is not None
        if site.unsettled is None:
            value = msgspec.json.encode(SiteCheckpoint(site.sequence, msgspec.Raw(site.ledger.checkpoint())))
            site.unsettled = (value, site.revision)
            site.dirty = False
        value, expected = site.unsettled
        try:
            site.revision = await self._stream.put(_key(site.path), value, expected_revision=expected)
        except PeerRefused as error:
            site.unsettled, site.dirty = None, True
            _log.error("a site's ledger cannot be saved", site=site.path, reason=str(error), bytes=len(value))
            return False
        site.unsettled = None
        # A repeated write is older than this save: what came after it waits for the next one.
        return not (repeated and site.dirty)

    async def _save_mark(self, mark: Mark) -> None:
        self._unsettled_mark = mark
        self._mark_revision = await self._stream.put(
            MARK_KEY, msgspec.json.encode(mark), expected_revision=self._mark_revision,
        )
        self._mark, self._unsettled_mark = mark, None

    async def _enter(self, message: StreamMessage) -> None:
        try:
            envelope = decode_envelope(message.payload)
        except ValueError as error:
            _log.error("a message in the stream cannot be read", sequence=message.sequence, reason=str(error))
            return
        if not isinstance(envelope, UpEnvelope):
            return
        site = await self.site(envelope.path)
        if message.sequence > site.sequence:
            site.ledger.apply(envelope.batch, envelope.arrived_us)
            site.sequence = message.sequence
            site.dirty = True

    def _covered(self) -> int:
        """Up to here everything has been entered."""
        return min(self._floors.values(), default=self._highest)

    def _make_room(self) -> None:
        if len(self._sites) < SITES_MAX:
            return
        for path, site in self._sites.items():
            if not site.dirty and site.unsettled is None and path not in self._floors:
                del self._sites[path]
                return


def _key(path: str) -> str:
    return f"ledger.{path.replace('/', '.')}"
