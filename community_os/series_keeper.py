"""SeriesKeeper (I/O): the readings of all sites, out of the stream, into the community OS's own time series and from
there to any number of servers.

    stream site.> ──by sequence──► groups ──► samples ──► state/series.sqlite   (and the sequence, in one transaction)
                     ▲                                        │ a cursor per server
                     └── the next group only when this        ├─► InfluxDB 1.x, 2, 3
                         one is stored: the stream waits      └─► VictoriaMetrics

A role of its own: plots never hold up an incident, and a kill loses nothing, for what was not stored is read again
and what is stored twice is stored once. Batches that come late carry their own times and stand where they belong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from cloud_bridge.series_feed import LocalSeries, RemoteSeries, SeriesFeed, samples_of
from community_os.envelopes import UpEnvelope, decode_envelope
from device_model.alarm import AlarmState
from device_model.clock import Clock
from device_model.errors import LocalFault
from device_model.inventory import Inventory
from device_model.messages import AlarmRecord, GatewayAddress
from device_model.ports import Stream, StreamMessage
from device_model.series import Sample
from device_model.site import SeriesRemote, Tenancy

MARK = "stream"
# Messages of one transaction, and how far the reader runs ahead: the stream holds the rest.
GROUP_MAX = 500
SAMPLES_MAX = 20_000
QUEUE_MAX = 2 * GROUP_MAX
RETRY_S = (0.5, 2.0, 5.0, 15.0)
Say = Callable[..., None]


class Counts(msgspec.Struct):
    """What this process has seen. unreadable, foreign: messages left out, no envelope or of a site that is not
    configured."""

    messages: int = 0
    samples: int = 0
    unreadable: int = 0
    foreign: int = 0


class SeriesKeeper:
    """One process. `run` until cancelled."""

    def __init__(
        self, stream: Stream, local: LocalSeries, remotes: dict[str, RemoteSeries], clock: Clock, *,
        inventories: Mapping[str, Inventory], group_s: float, jitter: Callable[[], float], say: Say,
    ) -> None:
        """inventories: by tenancy path. group_s: what arrives within it is stored together. jitter: in [0, 1)."""
        self._stream, self._local, self._clock, self._say = stream, local, clock, say
        self._inventories, self._group_s = inventories, group_s
        self.feed = SeriesFeed(local, remotes, clock, group_s=group_s, jitter=jitter, say=say)
        self._queue: asyncio.Queue[StreamMessage] = asyncio.Queue(QUEUE_MAX)
        self.counts = Counts()

    async def run(self) -> None:
        """Read, keep and send until cancelled."""
        after = await self._insist_on_mark()
        tasks = [asyncio.create_task(job, name=name) for name, job in (
            ("read", self._read(after)), ("keep", self._keep()), ("send", self.feed.run()))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.feed.close()

    async def _read(self, after: int) -> None:
        async for message in self._stream.read(after, "site.>"):
            await self._queue.put(message)

    async def _keep(self) -> None:
        while True:
            group = [await self._queue.get()]
            await self._clock.sleep(self._group_s)
            samples = self._samples(group[0])
            while not self._queue.empty() and len(group) < GROUP_MAX and len(samples) < SAMPLES_MAX:
                group.append(self._queue.get_nowait())
                samples += self._samples(group[-1])
            await self._store(samples, group[-1].sequence)

    async def _store(self, samples: list[Sample], sequence: int) -> None:
        """Until the disk takes it: the stream holds what comes meanwhile."""
        tries = 0
        while True:
            try:
                await self.feed.keep(samples, {MARK: sequence})
            except LocalFault as fault:
                if not tries:
                    self._say("error", "time series are not kept now; the stream holds them", reason=str(fault))
                await self._clock.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
                continue
            if tries:
                self._say("info", "time series are kept again", tries=tries)
            self.counts.samples += len(samples)
            return

    async def _insist_on_mark(self) -> int:
        tries = 0
        while True:
            try:
                return await self._local.mark(MARK)
            except LocalFault as fault:
                self._say("error", "the file of the time series cannot be opened; trying again", reason=str(fault))
                await self._clock.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1

    def _samples(self, message: StreamMessage) -> list[Sample]:
        self.counts.messages += 1
        try:
            envelope = decode_envelope(message.payload)
        except ValueError:
            self.counts.unreadable += 1  # the worker keeps it as a dead letter, with its reason
            return []
        if not isinstance(envelope, UpEnvelope):
            return []
        inventory = self._inventories.get(envelope.path)
        if inventory is None:
            if not self.counts.foreign:
                self._say("warning", "readings of a site that is not configured are not kept", site=envelope.path)
            self.counts.foreign += 1
            return []
        batch = envelope.batch
        address = GatewayAddress(Tenancy.of(envelope.path), batch.gateway)
        records = [(batch.lane, record) for record in batch.records]
        return _decided(envelope) + samples_of(records, batch.epoch, inventory, address)


def _decided(envelope: UpEnvelope) -> list[Sample]:
    """What a gateway's rules decided, as the measurement `rule_alarm`: device, or the site where it is none of one;
    the point is the rule; true while it stands."""
    found = []
    batch = envelope.batch
    for record in batch.records:
        if isinstance(record.body, AlarmRecord):
            step = record.body.transition
            stands = step.state in (AlarmState.RAISED, AlarmState.HELD)
            found.append(Sample(
                envelope.path, batch.gateway, step.zone or "site", f"{step.device or 'site'}.{step.key.rule}",
                "rule_alarm", "1", step.at_us, stands, lane=batch.lane.value, epoch=batch.epoch,
                sequence=record.sequence))
    return found


def read_secret(remote: SeriesRemote) -> str:
    """The one line of its secret file: a token (2, 3), or user:password. LocalFault when it cannot be read."""
    if not remote.secret_file:
        return ""
    try:
        secret = Path(remote.secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"{remote.secret_file}: cannot be read ({error})") from error
    if not secret:
        raise LocalFault(f"{remote.secret_file} is empty; it is one line, a token or user:password")
    return secret
