"""SeriesFeed: samples from journaled records into the local series, and from there to every remote, whatever happens.

    records ─► take: a bounded queue ─► each group_s: local series (SQLite) ─► cursor of each remote ─► InfluxDB …
                                                                                  │ gone, busy, refusing: waits, with
                                                                                  └ jitter, and goes on where it was

The local series is the buffer: an outage of a remote is filled up afterwards from its cursor, also across restarts.
A server that answers before its disk has what came (VictoriaMetrics) is believed only when it has stood for a while
after; if its line was lost in between, it gets the unsettled part once more.
Nothing here is on the way of an alarm: a full queue drops telemetry of the plots, counts it and says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cloud_bridge.influx import BATCH_MAX, Busy
from device_model.clock import Clock
from device_model.errors import LocalFault, PeerError
from device_model.inventory import Inventory
from device_model.messages import AlarmRecord, GatewayAddress, Lane, ReadingsRecord, Record
from device_model.reading import Reading
from device_model.series import Refused, Sample

# Samples that wait for the card: half a minute of a gateway at its full 1,000 changed values a second.
QUEUE_MAX = 30_000
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 120.0
TRIM_EVERY_S = 300.0
Say = Callable[..., None]


class LocalSeries(Protocol):
    """What the feed needs of the local series (sqlite_series.py)."""

    async def write(self, samples: Sequence[Sample], marks: Mapping[str, int] | None = None
                    ) -> tuple[Refused, ...]: ...
    async def mark(self, name: str) -> int: ...
    async def after(self, remote: str, limit: int, beyond: int = 0) -> tuple[tuple[int, Sample], ...]: ...
    async def had(self, remote: str, arrival: int, refused: Sequence[Refused], at_us: int) -> None: ...
    async def trim(self, now_us: int, remotes: Sequence[str] = ()) -> int: ...
    async def close(self) -> None: ...


class RemoteSeries(Protocol):
    """A server that takes samples (influx.py). settles_s, breaks, alive: see there."""

    @property
    def settles_s(self) -> float: ...
    @property
    def breaks(self) -> int: ...
    async def write(self, samples: Sequence[Sample]) -> tuple[Refused, ...]: ...
    async def alive(self) -> None: ...
    async def close(self) -> None: ...


def samples_of(records: Sequence[tuple[Lane, Record]], epoch: str, inventory: Inventory, address: GatewayAddress
               ) -> list[Sample]:
    """The samples in journaled records. Readings of points that the site file no longer names are left out."""
    found = []
    for lane, record in records:
        readings: tuple[Reading, ...] = record.body.readings if isinstance(
            record.body, ReadingsRecord | AlarmRecord) else ()
        for reading in readings:
            point = inventory.points.get(reading.point)
            if point is not None:
                found.append(Sample(
                    address.tenancy.path, address.gateway, point.zone, reading.point, point.quantity,
                    reading.unit or "1", reading.source_time_us, reading.value, reading.quality, reading.reason,
                    reading.receive_time_us, lane.value, epoch, record.sequence))
    return found


class _Unsettled:
    """What a server has answered for, but may still lose: (when, arrival, refused), oldest first."""

    def __init__(self) -> None:
        self.sent, self.breaks = 0, 0
        # One entry a batch; no more than a server takes in the few seconds that it needs to settle.
        self.batches: deque[tuple[int, int, tuple[Refused, ...]]] = deque()

    def again(self) -> None:
        """Back to where the server is known to stand."""
        self.sent = 0
        self.batches.clear()


class SeriesFeed:
    """One gateway's. `run` until cancelled; `take` at any time."""

    def __init__(self, local: LocalSeries, remotes: dict[str, RemoteSeries], clock: Clock, *, group_s: float,
                 jitter: Callable[[], float], say: Say) -> None:
        """jitter: numbers in [0, 1). say: level, what, details."""
        self._local, self._remotes, self._clock, self._group_s = local, remotes, clock, group_s
        self._jitter, self._say = jitter, say
        self._waiting: deque[Sample] = deque()
        self._more = {remote: asyncio.Event() for remote in remotes}
        self.dropped = 0
        self.behind: dict[str, str] = {}  # remote → why it does not take samples now

    def take(self, samples: Sequence[Sample]) -> None:
        """Samples to keep; never waits, never raises. Beyond the bound the newest are dropped, counted and said."""
        room = QUEUE_MAX - len(self._waiting)
        self._waiting.extend(samples[:max(0, room)])
        if len(samples) > room:
            if not self.dropped:
                self._say("error", "time series do not keep up, samples dropped", waiting=len(self._waiting))
            self.dropped += len(samples) - max(0, room)

    async def keep(self, samples: Sequence[Sample], marks: Mapping[str, int] | None = None) -> None:
        """Keep these now, for a caller that can wait for the disk. Raises as the local series' `write`."""
        await self._local.write(samples, marks)
        for event in self._more.values():
            event.set()

    async def run(self) -> None:
        """Keep and send until cancelled; what waits then is kept first."""
        tasks = [asyncio.create_task(self._send(name, remote)) for name, remote in self._remotes.items()]
        try:
            await self._keep()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Keep what waits, then let go of files and connections."""
        try:
            await self._keep_once()
        except LocalFault as fault:
            self._say("error", "last samples of the time series not kept", reason=str(fault))
        for remote in self._remotes.values():
            await remote.close()
        await self._local.close()

    async def _keep(self) -> None:
        trimmed_us = 0
        failing = False
        while True:
            await self._clock.sleep(self._group_s)
            try:
                await self._keep_once()
                now = self._clock.now()
                if now.mono_us - trimmed_us >= TRIM_EVERY_S * 1e6:
                    trimmed_us = now.mono_us
                    await self._local.trim(now.wall_us, tuple(self._remotes))
                failing = False
            except LocalFault as fault:
                if not failing:
                    self._say("error", "time series are not kept, alarms do not depend on them", reason=str(fault))
                failing = True

    async def _keep_once(self) -> None:
        group = tuple(self._waiting)
        if group:
            await self._local.write(group)
            for _ in group:
                self._waiting.popleft()
            for event in self._more.values():
                event.set()

    async def _send(self, name: str, remote: RemoteSeries) -> None:
        pause_s, place = 0.0, _Unsettled()
        while True:
            if pause_s:
                await self._clock.sleep(pause_s * (0.5 + self._jitter()))
            try:
                sent = await self._send_once(name, remote, place)
            except Busy as busy:
                place.again()
                longer_s = min(RETRY_MAX_S, 2 * pause_s or RETRY_FIRST_S)
                pause_s = self._wait(name, str(busy), max(busy.after_s, longer_s))
                continue
            except (PeerError, LocalFault) as fault:
                place.again()
                pause_s = self._wait(name, str(fault), min(RETRY_MAX_S, 2 * pause_s or RETRY_FIRST_S))
                continue
            pause_s = 0.0
            if self.behind.pop(name, None) is not None:
                self._say("info", "time series are taken again, the gap is being filled", remote=name)
            if sent:
                continue
            if place.batches:
                await self._clock.sleep(remote.settles_s / 4)
            else:
                self._more[name].clear()
                await self._more[name].wait()

    async def _send_once(self, name: str, remote: RemoteSeries, place: _Unsettled) -> int:
        rows = await self._local.after(name, BATCH_MAX, place.sent)
        if rows:
            refused = await remote.write([sample for _, sample in rows])
            place.sent = rows[-1][0]
            place.batches.append((self._clock.now().mono_us, place.sent, refused))
        await self._settle(name, remote, place)
        return len(rows)

    async def _settle(self, name: str, remote: RemoteSeries, place: _Unsettled) -> None:
        """Move the cursor over what the server has for good."""
        due_us = self._clock.now().mono_us - round(remote.settles_s * 1e6)
        if not place.batches or place.batches[0][0] > due_us:
            if remote.breaks == place.breaks:
                return
        elif remote.settles_s:
            await remote.alive()
        if remote.breaks != place.breaks:
            place.breaks = remote.breaks
            if remote.settles_s:
                place.again()  # it may have lost what it answered for: what is written twice is stored once
                return
        while place.batches and place.batches[0][0] <= due_us:
            _, arrival, refused = place.batches.popleft()
            await self._local.had(name, arrival, refused, self._clock.now().wall_us)
            for one in refused[:3]:
                self._say("error", "sample refused for ever, kept with its reason", remote=name,
                          point=one.sample.point, reason=one.why)

    def _wait(self, name: str, why: str, pause_s: float) -> float:
        if name not in self.behind:
            self._say("warning", "time series are not taken, they wait here", remote=name, reason=why)
        self.behind[name] = why
        return pause_s
