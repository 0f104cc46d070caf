"""The feed in virtual time: servers that end, lose what they had answered for, refuse or want less; gateways that
restart. In the end each server has each sample, whatever came in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_bridge.influx import Busy, InfluxSeries
from cloud_bridge.series_feed import RETRY_MAX_S, SeriesFeed
from device_model.errors import LocalFault, PeerSilent
from device_model.ports import SeriesStore
from device_model.series import Refused, Sample, SeriesQuery
from device_model.site import SeriesKind, SeriesRemote, SeriesSettings
from edge_agent.series import SqliteSeries
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

T0 = 1_790_000_000_000_000
KEEPS_S = 6.0  # what a server holds in memory before its disk has it


def sample(n: int) -> Sample:
    return Sample("h/y/c/r", "gw-1", "z1", "a.t", "temperature", "Cel", T0 + n * 1_000_000, float(n), sequence=n + 1)


class File:
    """The local series as a model: what was written and the cursors outlive a gateway's life."""

    def __init__(self) -> None:
        self.rows: list[Sample] = []
        self.cursor: dict[str, int] = {}
        self.refusals: list[Refused] = []

    async def write(self, samples: Sequence[Sample]) -> tuple[Refused, ...]:
        self.rows.extend(samples)
        return ()

    async def after(self, remote: str, limit: int, beyond: int = 0) -> tuple[tuple[int, Sample], ...]:
        start = max(self.cursor.get(remote, 0), beyond)
        return tuple(enumerate(self.rows[start:start + min(limit, 50)], start + 1))

    async def had(self, remote: str, arrival: int, refused: Sequence[Refused], at_us: int) -> None:
        assert arrival >= self.cursor.get(remote, 0), "a cursor never goes back"
        self.cursor[remote] = arrival
        self.refusals.extend(refused)

    async def trim(self, now_us: int, remotes: Sequence[str] = ()) -> int:
        return 0

    async def close(self) -> None:
        pass


class Peer:
    """A server: up or not; `settles_s` 0: on its disk when it answers; else the last KEEPS_S go with its end."""

    def __init__(self, clock: VirtualClock, settles_s: float) -> None:
        self.clock, self.settles_s, self.breaks = clock, settles_s, 0
        self.up, self.busy_s, self.life, self._line = True, 0.0, 0, 0
        self.disk: dict[int, Sample] = {}
        self.memory: list[tuple[int, Sample]] = []

    def end(self) -> None:
        self._flush()
        self.up, self.life = False, self.life + 1
        self.memory.clear()

    def _flush(self) -> None:
        line = self.clock.now().mono_us - (KEEPS_S * 1e6 if self.settles_s else 0)
        self.disk.update({one.time_us: one for at, one in self.memory if at <= line})
        self.memory = [(at, one) for at, one in self.memory if at > line]

    async def alive(self) -> None:
        await self.clock.sleep(0.01)
        if not self.up:
            self.breaks += 1
            raise PeerSilent("nobody there")
        if self.life != self._line:
            self.breaks, self._line = self.breaks + 1, self.life

    async def write(self, samples: Sequence[Sample]) -> tuple[Refused, ...]:
        await self.alive()
        if self.busy_s:
            after_s, self.busy_s = self.busy_s, 0.0
            raise Busy("too much", 429, after_s)
        self.memory.extend((self.clock.now().mono_us, one) for one in samples if one.value != 13.0)
        self._flush()
        return tuple(Refused(one, "thirteen") for one in samples if one.value == 13.0)

    async def close(self) -> None:
        pass


def clock_here() -> VirtualClock:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return VirtualClock(loop, "boot", wall_us=T0)


def feed_of(file: File, peers: dict[str, Peer], clock: VirtualClock, said: list[str]) -> SeriesFeed:
    random = Random(1)
    return SeriesFeed(file, dict(peers), clock, group_s=5.0, jitter=random.random,
                      say=lambda _level, what, **_: said.append(what))


async def stop(task: asyncio.Task[None], feed: SeriesFeed) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await feed.close()


EVENTS = st.lists(st.tuples(st.integers(1, 40), st.sampled_from(
    ("end fast", "end slow", "start", "end and start", "busy", "restart gateway"))), max_size=25)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_whatever_comes_in_between_each_server_has_each_sample(events: list[tuple[int, str]]) -> None:
    async def scene() -> None:
        clock, file, said = clock_here(), File(), []
        peers = {"fast": Peer(clock, 0.0), "slow": Peer(clock, 12.0)}
        feed = feed_of(file, peers, clock, said)
        task, count = asyncio.create_task(feed.run()), 0
        for wait_s, event in [*events, (1, "start")]:
            for _ in range(wait_s):
                feed.take([sample(count)])
                count += 1
                await clock.sleep(1.0)
            match event:
                case "end fast" | "end slow":
                    peers[event[4:]].end()
                case "end and start":  # between two requests: nothing but a lost line tells
                    for peer in peers.values():
                        peer.end()
                        peer.up = True
                case "start":
                    for peer in peers.values():
                        peer.up = True
                case "busy":
                    peers["fast"].busy_s = 30.0
                case "restart gateway":
                    await stop(task, feed)
                    feed = feed_of(file, peers, clock, said)
                    task = asyncio.create_task(feed.run())
        await clock.sleep(3 * RETRY_MAX_S)
        for peer in peers.values():
            peer.end()  # what it has for good is what counts
        await stop(task, feed)
        expected = {sample(n).time_us for n in range(count) if n != 13}
        assert peers["fast"].disk.keys() == peers["slow"].disk.keys() == expected
        assert file.cursor in ({"fast": count, "slow": count}, {}) and feed.dropped == 0
        if count > 13:
            assert sorted(one.why for one in file.refusals) == ["thirteen"] * 2, "once for each server"

    run_virtual(scene())


def test_a_server_that_says_when_is_asked_then_and_a_day_away_costs_few_tries() -> None:
    async def scene() -> None:
        clock, file, said = clock_here(), File(), []
        peer = Peer(clock, 0.0)
        feed = feed_of(file, {"fast": peer}, clock, said)
        task = asyncio.create_task(feed.run())
        peer.busy_s = 60.0
        feed.take([sample(0)])
        await clock.sleep(5.0 + 29.0)
        assert not peer.disk and feed.behind["fast"] == "too much", "half of what it asked for, at least"
        await clock.sleep(65.0)
        assert len(peer.disk) == 1 and not feed.behind
        peer.end()
        feed.take([sample(1)])
        await clock.sleep(86_400.0)
        assert 86_400 / RETRY_MAX_S / 2 < peer.breaks < 86_400 / RETRY_MAX_S * 2 + 10
        peer.up = True
        await clock.sleep(2 * RETRY_MAX_S)
        assert len(peer.disk) == 2
        assert said.count("time series are not taken, they wait here") == 2, "said once an outage"
        await stop(task, feed)

    run_virtual(scene())


def test_a_full_disk_holds_samples_back_and_says_so_once() -> None:
    async def scene() -> None:
        clock, said = clock_here(), []

        class Full(File):
            full = True

            async def write(self, samples: Sequence[Sample]) -> tuple[Refused, ...]:
                if self.full:
                    raise LocalFault("no space left")
                return await super().write(samples)

        file = Full()
        feed = feed_of(file, {}, clock, said)
        task = asyncio.create_task(feed.run())
        for n in range(60):
            feed.take([sample(n)])
            await clock.sleep(1.0)
        assert not file.rows and len(said) == 1
        file.full = False
        await clock.sleep(6.0)
        assert len(file.rows) == 60
        await stop(task, feed)

    run_virtual(scene())


@pytest.mark.parametrize("kind", list(SeriesKind))
def test_local_and_remote_are_stores_of_one_kind(tmp_path, kind) -> None:
    async def look(store: SeriesStore) -> None:
        assert await store.write([]) == ()
        await store.close()

    async def scene() -> None:
        await look(InfluxSeries(SeriesRemote("x", kind, "http://127.0.0.1:9")))
        local = SqliteSeries(SeriesSettings(path=str(tmp_path / "s.sqlite")))
        assert await local.read(SeriesQuery(0, 1)) == ()
        await look(local)

    asyncio.run(scene())
