"""The worker in virtual time on the stream's model: exactly once over kills, fenced, poison apart, disk away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from community_os.envelopes import encode_envelope, partition_of, subject_of
from community_os.site_setup import SiteSetup
from community_os.store import IncidentStore, inline
from community_os.store_changes import SiteCommit
from community_os.worker import NUDGE_TOPIC, PartitionWorker, Worker
from device_model.clock import SECOND_US
from device_model.errors import LocalFault, PeerRefused, RowRefused
from device_model.inventory import Inventory
from device_model.messages import AlarmRecord, OutputRecord, ReadingsRecord, decode_down
from device_model.ports import Message
from device_model.read_models import IncidentAction, IncidentState
from device_model.site import Tenancy
from tests.community_os.site_messages import PATH, act, heartbeat, reading, setup, up
from tests.rules_engine.incident_house import INVENTORY, T0, T, step
from tests.simulation.models.stream_model import StreamFault, StreamModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

PART = partition_of(T)
OTHER = next(t for n in range(99) if partition_of(t := Tenancy("hz", "yh", "cq", f"mill-{n}")) == PART)


class Link:
    """Keeps what is published."""

    connected = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, payload))

    async def messages(self) -> AsyncIterator[Message]:
        for message in ():
            yield message

    async def close(self) -> None:
        """Nothing to let go."""

    def commands(self) -> list[str]:
        return [decode_down(payload).command.target for topic, payload in self.sent
                if topic.endswith("/down/command")]


class Bench:
    """A clock, a stream, a store; workers come and go."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.stream = clock, StreamModel(clock)
        self.store = IncidentStore("sqlite://")
        self.store.open()
        self.link = Link()
        self.sites: dict[str, SiteSetup] = {PATH: setup()}
        self.count = 0

    def worker(self, stream: StreamModel | None = None) -> PartitionWorker:
        return PartitionWorker(stream or self.stream.another(), self.store, calls=inline, link=self.link,
                               sites=self.sites, clock=self.clock, partition=PART)

    async def put(self, envelope: Any, tenancy: Tenancy = T) -> None:
        self.count += 1
        await self.stream.publish(subject_of(tenancy, "up"), encode_envelope(envelope), message_id=f"m{self.count}")

    async def until(self, sequence: int) -> None:
        while self.store.progress(PATH) < sequence:
            await self.clock.sleep(0.05)


def virtual(main: Any) -> Any:
    loop = VirtualLoop()
    clock = VirtualClock(loop, "b", wall_us=T0)
    return run_virtual(main(Bench(clock)), loop)


async def stop(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def story(count: int) -> list[Any]:
    """Alarms, readings, output records and clicks of one site, in stream order."""
    made: list[Any] = []
    for n in range(count):
        if n % 3 == 0:
            body: Any = AlarmRecord(step(f"b{n % 2 + 1}-{n % 4}", at_s=n), (reading("multi-b1-0.smoke", n, n),))
        elif n % 3 == 1:
            body = ReadingsRecord((reading(f"multi-b1-{n % 4}.heat", n, n),))
        else:
            body = OutputRecord("o", n % 2 == 0, "restart", T0 + n)
        made.append(up(body, heartbeat(n), first=n + 1, at_s=n))
    return made


def board_of(store: IncidentStore) -> Any:
    shown = store.snapshot("", 0)
    return msgspec.structs.replace(shown, revision=0)


def expected(envelopes: list[Any]) -> Any:
    async def once(bench: Bench) -> Any:
        for envelope in envelopes:
            await bench.put(envelope)
        task = asyncio.ensure_future(bench.worker().run())
        await bench.until(len(envelopes))
        await stop(task)
        return board_of(bench.store), bench.store.verify_audit()

    return virtual(once)


def test_what_is_in_the_stream_is_on_the_board() -> None:
    board, audit = expected(story(30))
    assert len(board.incidents) == 2 and board.gateways[0].heard_us > 0
    assert audit.entries > 20 and audit.broken == ()


@pytest.mark.parametrize("seed", range(6))
def test_kills_at_any_moment_change_nothing(seed: int) -> None:
    """Killed between transaction and checkpoint, or anywhere else: the same board, the same audit, no duplicate."""
    envelopes = story(60)
    whole = expected(envelopes)

    async def killed(bench: Bench) -> Any:
        chance = random.Random(seed)
        bench.stream.server.decide = lambda operation: StreamFault(
            answer_lost=chance.random() < 0.2) if operation == "put" else StreamFault()
        running = asyncio.ensure_future(bench.worker().run())
        for n, envelope in enumerate(envelopes):
            await bench.put(envelope)
            if chance.random() < 0.3:
                await bench.clock.sleep(chance.random() * 2)
            if chance.random() < 0.2:
                await stop(running)
                running = asyncio.ensure_future(bench.worker().run())
            assert n >= 0
        await bench.until(len(envelopes))
        await stop(running)
        return board_of(bench.store), bench.store.verify_audit()

    board, audit = virtual(killed)
    assert audit == whole[1]
    shown = {i.id: (i.state, i.opened_us, len(i.alarms)) for i in board.incidents}
    assert shown == {i.id: (i.state, i.opened_us, len(i.alarms)) for i in whole[0].incidents}


def test_a_second_worker_fences_the_first() -> None:
    async def fenced(bench: Bench) -> None:
        old = asyncio.ensure_future(bench.worker().run())
        await bench.put(story(1)[0])
        await bench.until(1)
        await bench.clock.sleep(3)
        new = asyncio.ensure_future(bench.worker().run())
        await bench.clock.sleep(3)
        for envelope in story(4)[1:]:
            await bench.put(envelope)
        await bench.clock.sleep(10)
        assert not new.done()
        with pytest.raises(Exception, match=r"site\.|position\.") as caught:
            await old
        assert type(caught.value).__name__ == "Fenced"
        assert bench.store.verify_audit().broken == ()
        assert len(board_of(bench.store).incidents) == 2
        await stop(new)

    virtual(fenced)


def test_all_partitions_fenced_ends_the_program_with_a_reason() -> None:
    async def main(bench: Bench) -> None:
        def whole() -> Worker:
            return Worker(bench.stream.another(), bench.store, calls=inline, link=bench.link, sites=bench.sites,
                          clock=bench.clock)

        old = asyncio.ensure_future(whole().run())
        await bench.clock.sleep(2)
        new = asyncio.ensure_future(whole().run())
        await bench.clock.sleep(2)
        for envelope in story(3):
            await bench.put(envelope)
            # Every partition has something to write, so that each notices.
            for n in range(4):
                await bench.stream.publish(f"site.{n}.a.b.c.d.up", b"?", message_id=f"{bench.count}-{n}")
        await bench.clock.sleep(20)
        with pytest.raises(LocalFault, match="taken over"):
            await old
        await stop(new)

    virtual(main)


def test_poison_is_buried_and_the_site_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from community_os.site_worker import SiteWorker

    honest = SiteWorker.step

    def brittle(self: SiteWorker, envelope: Any) -> Any:
        if getattr(envelope, "incident", "") == "poison":
            self._book.apply(step("b1-3", at_s=77), T0)  # half done when it breaks
            raise RuntimeError("this was not foreseen")
        return honest(self, envelope)

    monkeypatch.setattr(SiteWorker, "step", brittle)

    async def main(bench: Bench) -> None:
        task = asyncio.ensure_future(bench.worker().run())
        await bench.put(story(1)[0])
        await bench.put(act("poison", IncidentAction.NOTE))
        await bench.stream.publish(f"site.{PART}.x.up", b"{not json", message_id="garbage")
        await bench.put(msgspec.structs.replace(story(1)[0], path=OTHER.path), OTHER)
        await bench.put(story(4)[3])
        await bench.until(5)
        await bench.clock.sleep(3)
        assert bench.store.dead_letters() == 3
        shown = board_of(bench.store)
        assert [i.impairment.subject for i in shown.impairments] == ["cloud-worker"]
        assert "this was not foreseen" in shown.impairments[0].impairment.why
        assert len(shown.incidents) == 2 and all(i.zone != "b1-3" for i in shown.incidents)
        await stop(task)

    virtual(main)


def test_one_broken_site_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from community_os.site_worker import SiteWorker

    honest = SiteWorker.step

    def broken(self: SiteWorker, envelope: Any) -> Any:
        if envelope.path == PATH and bench_broken:
            raise RuntimeError("always")
        return honest(self, envelope)

    bench_broken: list[int] = []
    monkeypatch.setattr(SiteWorker, "step", broken)

    async def main(bench: Bench) -> None:
        site = msgspec.structs.replace(INVENTORY.site, tenancy=OTHER)
        bench.sites[OTHER.path] = SiteSetup(Inventory(site, INVENTORY.profiles), None)
        task = asyncio.ensure_future(bench.worker().run())
        await bench.put(story(1)[0])
        await bench.until(1)
        bench_broken.append(1)
        await bench.put(story(2)[1])
        await bench.put(msgspec.structs.replace(story(1)[0], path=OTHER.path), OTHER)
        await bench.clock.sleep(10)
        assert bench.store.progress(OTHER.path) == 3
        assert {i.tenancy for i in board_of(bench.store).incidents} == {T, OTHER}
        assert [i.impairment.subject for i in board_of(bench.store).impairments] == ["cloud-worker"]
        await stop(task)

    virtual(main)


def test_a_store_that_refuses_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(bench: Bench) -> None:
        honest, away = bench.store.apply, [5]

        def apply(commits: Any) -> int:
            if away[0]:
                away[0] -= 1
                raise LocalFault("disk full")
            return honest(commits)

        monkeypatch.setattr(bench.store, "apply", apply)
        task = asyncio.ensure_future(bench.worker().run())
        for envelope in story(10):
            await bench.put(envelope)
        await bench.until(10)
        assert away == [0] and len(board_of(bench.store).incidents) == 2
        await stop(task)

    virtual(main)


def test_commands_and_nudges_go_out_and_time_passes() -> None:
    async def main(bench: Bench) -> None:
        task = asyncio.ensure_future(bench.worker().run())
        await bench.put(story(1)[0])
        await bench.until(1)
        (incident,) = board_of(bench.store).incidents
        await bench.put(act(incident.id, IncidentAction.ACKNOWLEDGE, 2))
        await bench.clock.sleep(12)
        assert bench.link.commands() == [step("b1-0").alarm] * 3  # at once, after 5 s, after 10 s
        assert any(topic == NUDGE_TOPIC for topic, _ in bench.link.sent)
        await bench.clock.sleep(200)
        lacks = [i.impairment.kind.value for i in board_of(bench.store).impairments]
        assert lacks == ["gateway_silent"]
        await stop(task)

    virtual(main)


def test_time_passes_for_a_site_while_messages_never_stop() -> None:
    async def main(bench: Bench) -> None:
        task = asyncio.ensure_future(bench.worker().run())
        await bench.put(story(1)[0])
        await bench.until(1)
        for n in range(1500):  # 150 s without a pause of a whole second
            await bench.put(up(OutputRecord("o", True, "restart", T0 + n), first=n + 2, at_s=1))
            await bench.clock.sleep(0.1)
        (incident,) = board_of(bench.store).incidents
        assert incident.in_dispatch_queue  # nobody answered for 120 s
        await stop(task)

    virtual(main)


def test_a_refused_checkpoint_does_not_stop_the_partition() -> None:
    async def main(bench: Bench) -> None:
        stream = bench.stream.another()
        honest = stream.put

        async def put(key: str, value: bytes, *, expected_revision: int) -> int:
            if key.startswith("site."):
                raise PeerRefused("too large")
            return await honest(key, value, expected_revision=expected_revision)

        stream.put = put  # type: ignore[method-assign]
        task = asyncio.ensure_future(bench.worker(stream).run())
        for envelope in story(20):
            await bench.put(envelope)
        await bench.until(20)
        await bench.clock.sleep(10)
        assert not task.done() and len(board_of(bench.store).incidents) == 2
        position = await bench.stream.get(f"position.{PART}")
        assert position is not None and msgspec.json.decode(position[0]) == {"sequence": 0}  # nothing is let go
        await stop(task)

    virtual(main)


def test_an_unreadable_checkpoint_is_rebuilt_from_the_stream() -> None:
    async def main(bench: Bench) -> None:
        for envelope in story(12):
            await bench.put(envelope)
        task = asyncio.ensure_future(bench.worker().run())
        await bench.until(12)
        await bench.clock.sleep(8)
        await stop(task)
        before, audit = board_of(bench.store), bench.store.verify_audit()
        key = f"site.{PATH.replace('/', '.')}"
        value = await bench.stream.get(key)
        assert value is not None
        await bench.stream.put(key, b'{"sequence": 5, "state": {"now_us": "?"}}', expected_revision=value[1])
        task = asyncio.ensure_future(bench.worker().run())
        await bench.put(story(13)[12])
        await bench.until(13)
        await stop(task)
        after = board_of(bench.store)
        assert {i.id for i in after.incidents} == {i.id for i in before.incidents}
        assert bench.store.verify_audit().entries >= audit.entries
        assert all(i.state is IncidentState.NEW for i in after.incidents)

    virtual(main)


def test_a_new_worker_reads_only_what_is_not_checkpointed() -> None:
    async def main(bench: Bench) -> None:
        for envelope in story(30):
            await bench.put(envelope)
        task = asyncio.ensure_future(bench.worker().run())
        await bench.until(30)
        await bench.clock.sleep(8)
        await stop(task)
        kept = await bench.stream.get(f"position.{PART}")
        assert kept is not None and msgspec.json.decode(kept[0]) == {"sequence": 30}
        assert await bench.worker()._take_over() == 30

    virtual(main)


def test_virtual_seconds_are_what_the_tests_mean() -> None:
    async def main(bench: Bench) -> int:
        await bench.clock.sleep(2)
        return bench.clock.now().wall_us

    assert virtual(main) == T0 + 2 * SECOND_US


class Choosy(IncidentStore):
    """Refuses the content of one commit for ever, as PostgreSQL does with a text that is too long."""

    def apply(self, commits: Sequence[SiteCommit]) -> int:
        if any(commit.sequence == 2 and commit.changes for commit in commits):
            raise RowRefused("value too long")
        return super().apply(commits)


def test_rows_that_the_store_never_takes_are_buried_and_the_partition_goes_on() -> None:
    async def main(bench: Bench) -> None:
        bench.store.close()
        bench.store = Choosy("sqlite://")
        bench.store.open()
        for envelope in story(6):
            await bench.put(envelope)
        worker = bench.worker()
        task = asyncio.ensure_future(worker.run())
        await bench.until(6)
        await stop(task)
        assert worker.buried == 1 and bench.store.snapshot("", 0).incidents

    virtual(main)
