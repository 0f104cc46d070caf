"""The ingest in virtual time on the stream's model: exact under duplicates, reordering, faults and kills."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from community_os.envelopes import UpEnvelope, decode_envelope
from community_os.ingest import SITE_QUEUE_MAX, Ingest
from community_os.intake import acknowledged_ranges, read_message
from community_os.ledger import Ledger
from device_model.errors import PeerSilent
from device_model.messages import (
    WIRE_VERSION,
    Batch,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    OutputRecord,
    Record,
    decode_ack,
    encode,
)
from device_model.ports import Message, StaleRevision
from device_model.ranges import RangeSet
from tests.simulation.models.stream_model import StreamFault, StreamModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

WALL_US = 1_700_000_000_000_000
ONE = GatewayAddress.of_common_name("hz.yh.cq.riverside.gw-1")
TWO = GatewayAddress.of_common_name("hz.yh.cq.hillside.gw-1")


class Wire:
    """A message link with nothing behind it: what the test feeds comes in, what is published is kept."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self.sent: list[tuple[str, bytes]] = []
        self.connected = True
        self.heard: Callable[[str, bytes], None] | None = None

    async def publish(self, topic: str, payload: bytes) -> None:
        if not self.connected:
            raise PeerSilent("the wire is cut")
        self.sent.append((topic, payload))
        if self.heard:
            self.heard(topic, payload)

    async def messages(self) -> AsyncIterator[Message]:
        while (message := await self.queue.get()) is not None:
            yield message

    async def close(self) -> None:
        self.queue.put_nowait(None)

    def feed(self, topic: str, payload: bytes) -> None:
        self.queue.put_nowait(Message(topic, payload))


def record(number: int, body: Any = None) -> Record:
    return Record(number, WALL_US, 1, "b1", body or OutputRecord(f"o{number}", True, "restart", number))


def batch(*numbers: int, lane: Lane = Lane.ALARM, epoch: str = "e1") -> Batch:
    return Batch(WIRE_VERSION, "gw-1", epoch, lane, tuple(record(n) for n in numbers))


def heartbeat() -> Batch:
    return Batch(WIRE_VERSION, "gw-1", "e1", Lane.TELEMETRY, (record(0, HeartbeatRecord(1, {"alarm": ("e1", 3)})),))


def run(main: Callable[[VirtualClock, StreamModel, Wire], Awaitable[None]]) -> None:
    loop = VirtualLoop()

    async def whole() -> None:
        clock = VirtualClock(loop, "cloud", wall_us=WALL_US)
        await main(clock, StreamModel(clock), Wire())

    run_virtual(whole(), loop)


def stored(stream: StreamModel) -> list[tuple[str, Batch]]:
    envelopes = [decode_envelope(m.payload) for m in stream.server.messages]
    return [(e.path, e.batch) for e in envelopes if isinstance(e, UpEnvelope)]


def stored_numbers(stream: StreamModel, lane: Lane = Lane.ALARM) -> list[int]:
    return [r.sequence for _, b in stored(stream) if b.lane is lane for r in b.records if r.sequence]


def acks(wire: Wire) -> list[list[tuple[int, int]]]:
    return [list(decode_ack(payload).ranges) for _, payload in wire.sent]


def test_a_batch_is_stored_then_acknowledged_and_a_repeat_only_acknowledged() -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        ingest = Ingest(wire, stream, clock, writer="w1")
        task = asyncio.create_task(ingest.run())
        for each in (batch(1, 2), batch(1, 2), batch(2, 3, 4), heartbeat(), heartbeat()):
            wire.feed(ONE.up(each.lane), encode(each))
            await clock.sleep(1)
        await wire.close()
        await task
        assert stored_numbers(stream) == [1, 2, 3, 4]
        assert [len(b.records) for _, b in stored(stream)] == [2, 2, 1]
        assert acks(wire) == [[(1, 2)], [(1, 2)], [(1, 4)]]
        assert {topic for topic, _ in wire.sent} == {ONE.down("ack")}
        assert ingest.figures.duplicates == 3 and ingest.figures.records_stored == 6

    run(main)


@pytest.mark.parametrize(("topic", "each", "why"), [
    (TWO.up(Lane.ALARM).replace("gw-1", "gw-2"), batch(1), "under the topic"),
    (ONE.up(Lane.TELEMETRY), batch(1), "lane"),
    (ONE.down("ack"), batch(1), "does not go up"),
    (ONE.up(Lane.ALARM).replace("/v1/", "/v2/"), batch(1), "version"),
    (ONE.up(Lane.ALARM), batch(1, epoch="e\r\nNats-Rollup: all"), "epoch"),
    (ONE.up(Lane.ALARM), batch(), "no records"),
    (ONE.up(Lane.ALARM), batch(2**60), "sequence"),
    (ONE.up(Lane.ALARM), batch(3, 2), "ascending"),
])
def test_what_does_not_fit_is_refused_kept_and_never_acknowledged(topic: str, each: Batch, why: str) -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        ingest = Ingest(wire, stream, clock, writer="w1")
        task = asyncio.create_task(ingest.run())
        wire.feed(topic, encode(each))
        wire.feed(ONE.up(Lane.ALARM), encode(batch(1)))
        await clock.sleep(1)
        assert stored_numbers(stream) == [1] and len(wire.sent) == 1
        assert ingest.figures.refused == 1
        assert why in ingest.dead_letters.letters()[0].reason
        await wire.close()
        await task

    run(main)


@settings(max_examples=60)
@given(messages=st.lists(st.tuples(
    st.one_of(st.text(max_size=40), st.just(ONE.up(Lane.ALARM)), st.from_regex(r"tocsin/v1(/[a-z-]{0,4}){1,8}")),
    st.one_of(st.binary(max_size=60), st.just(b"null"), st.just(b"\xff" * 300_000), st.builds(
        lambda n, cut: encode(batch(n))[:cut], st.integers(-3, 2**70), st.integers(0, 300))),
), max_size=20))
def test_garbage_never_stops_it(messages: list[tuple[str, bytes]]) -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        ingest = Ingest(wire, stream, clock, writer="w1")
        task = asyncio.create_task(ingest.run())
        for topic, payload in messages:
            wire.feed(topic, payload)
        await clock.sleep(1)
        wire.feed(TWO.up(Lane.ALARM), encode(batch(1)))
        await wire.close()
        await task
        assert [path for path, _ in stored(stream)][-1] == TWO.tenancy.path
        assert ingest.figures.received == len(messages) + 1
        assert len(ingest.dead_letters.letters()) == ingest.figures.refused == ingest.dead_letters.total

    run(main)


def test_a_restart_after_a_kill_still_knows_what_it_had_stored() -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        for life, numbers in enumerate(((1, 2), (2, 3), (3, 4), (1, 4))):
            ingest = Ingest(wire, stream.another(), clock, writer=f"w{life}")
            task = asyncio.create_task(ingest.run())
            wire.feed(ONE.up(Lane.ALARM), encode(batch(*numbers)))
            await clock.sleep(7 if life == 1 else 0.5)  # one life is long enough for a checkpoint
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await clock.sleep(1000)  # far beyond the duplicate window
        assert stored_numbers(stream) == [1, 2, 3, 4]
        assert acks(wire)[-1] == [(1, 4)]

    run(main)


def test_an_older_ingest_stops_when_a_newer_one_takes_over() -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        older = asyncio.create_task(Ingest(wire, stream, clock, writer="old").run())
        await clock.sleep(1)
        newer = asyncio.create_task(Ingest(Wire(), stream.another(), clock, writer="new").run())
        with pytest.raises(StaleRevision):
            await older
        assert clock.now().mono_us < 12_000_000 and not newer.done()

    run(main)


def test_a_site_whose_publish_hangs_does_not_hold_up_another() -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        slow = itertools.chain([StreamFault(delay_s=60)], itertools.repeat(StreamFault()))
        ingest = Ingest(wire, stream, clock, writer="w1")
        task = asyncio.create_task(ingest.run())
        await ingest.ready.wait()
        stream.server.decide = lambda operation: next(slow) if operation == "publish" else StreamFault()
        for number in (1, 2):
            wire.feed(ONE.up(Lane.ALARM), encode(batch(number)))
        wire.feed(TWO.up(Lane.ALARM), encode(batch(1)))
        await clock.sleep(1)
        assert [path for path, _ in stored(stream)] == [TWO.tenancy.path]
        await clock.sleep(70)
        assert [(path, b.records[0].sequence) for path, b in stored(stream)][1:] == [
            (ONE.tenancy.path, 1), (ONE.tenancy.path, 2)]
        task.cancel()

    run(main)


def test_a_stream_that_is_away_fills_bounded_queues_and_drops_are_counted() -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        ingest = Ingest(wire, stream, clock, writer="w1")
        task = asyncio.create_task(ingest.run())
        await ingest.ready.wait()
        stream.server.down = True
        for number in range(1, SITE_QUEUE_MAX + 51):
            wire.feed(ONE.up(Lane.ALARM), encode(batch(number)))
        await clock.sleep(300)
        assert 45 <= ingest.figures.overflowed <= 50 and wire.sent == []
        stream.server.down = False
        await clock.sleep(30)
        known = stored_numbers(stream)
        assert known == sorted(set(known)) and len(known) == SITE_QUEUE_MAX + 50 - ingest.figures.overflowed
        task.cancel()

    run(main)


def test_a_replay_whose_messages_are_gone_goes_on_without_them() -> None:
    async def main(clock: VirtualClock, stream: StreamModel, wire: Wire) -> None:
        class Aged(StreamModel):
            async def last_sequence(self) -> int:
                return 50

        ingest = Ingest(wire, Aged(clock, server=stream.server), clock, writer="w1")
        task = asyncio.create_task(ingest.run())
        wire.feed(ONE.up(Lane.ALARM), encode(batch(1)))
        await clock.sleep(40)
        assert stored_numbers(stream) == [1]
        task.cancel()

    run(main)


class Gateway:
    """Sends what is not acknowledged, cut anew each time, until everything is."""

    def __init__(self, address: GatewayAddress, count: int, rng: random.Random) -> None:
        self.address = address
        self.count = count
        self.rng = rng
        self.made = 0
        self.acked: dict[Lane, RangeSet] = {Lane.ALARM: RangeSet(), Lane.TELEMETRY: RangeSet()}

    def hear(self, topic: str, payload: bytes) -> None:
        if topic == self.address.down("ack"):
            ack = decode_ack(payload)
            for first, last in ack.ranges:
                self.acked[ack.lane].add(first, last)

    @property
    def done(self) -> bool:
        return all(self.made == self.count and not r.missing(1, self.count) for r in self.acked.values())

    def send(self, wire: Wire) -> None:
        self.made = min(self.count, self.made + self.rng.randint(0, 4))
        messages = []
        for lane, acked in self.acked.items():
            waiting = [n for first, last in acked.missing(1, self.made) for n in range(first, last + 1)]
            while waiting:
                cut = self.rng.randint(1, 6)
                messages.append((self.address.up(lane), encode(batch(*waiting[:cut], lane=lane))))
                waiting = waiting[cut:]
        self.rng.shuffle(messages)
        for message in messages:
            for _ in range(self.rng.choice((0, 1, 1, 1, 2))):  # lost, once, twice
                wire.feed(*message)


@pytest.mark.parametrize("seed", range(25))
def test_exact_under_duplicates_reordering_unknown_outcomes_and_kills(seed: int) -> None:
    rng = random.Random(seed)

    def trouble(operation: str) -> StreamFault:
        dice = rng.random()
        return StreamFault(
            delay_s=rng.choice((0, 0, 0.01, 0.5)), lost=dice < 0.05, answer_lost=0.05 <= dice < 0.15,
        )

    async def main(clock: VirtualClock, stream: StreamModel, _: Wire) -> None:
        gateways = [Gateway(address, 40, rng) for address in (ONE, TWO)]
        stream.server.decide = trouble
        life = 0
        while not all(gateway.done for gateway in gateways):
            life += 1
            assert life < 80
            wire = Wire()
            wire.heard = lambda topic, payload: [g.hear(topic, payload) for g in gateways] and None
            ingest = Ingest(wire, stream.another(), clock, writer=f"w{life}")
            task = asyncio.create_task(ingest.run())
            for _ in range(rng.randint(1, 12)):
                for gateway in gateways:
                    gateway.send(wire)
                stream.server.down = rng.random() < 0.1
                await clock.sleep(rng.choice((0.05, 1.0, 3.0, 200.0)))
                if task.done():
                    await task
            stream.server.down = False
            task.cancel()  # a kill: nothing is saved on the way out
            await asyncio.gather(task, return_exceptions=True)
        seen = Counter((path, b.lane, r.sequence) for path, b in stored(stream) for r in b.records)
        assert set(seen.values()) == {1}
        assert len(seen) == 2 * 2 * 40
        ledger = Ledger()
        for _path, each in stored(stream):
            ledger.apply(each, 1)
        assert ledger.gaps() == ()

    run(main)


def test_an_acknowledgement_heals_earlier_ones_and_stays_small() -> None:
    known = [(n, n) for n in range(1, 1001, 2)]
    ranges = acknowledged_ranges(batch(5, 6, 7), known)
    assert (5, 5) in ranges and (7, 7) in ranges and (999, 999) in ranges and len(ranges) <= 70


@settings(max_examples=200)
@given(topic=st.text(max_size=60), payload=st.binary(max_size=200))
def test_reading_a_message_only_ever_raises_value_error(topic: str, payload: bytes) -> None:
    with pytest.raises(ValueError):
        read_message(Message(topic, payload))
