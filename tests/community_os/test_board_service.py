"""The board's service in virtual time: what pages see, what a click does, and when heartbeats must stop."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from community_os.board_service import NUDGE_TOPIC, QUEUE_MAX, BoardService, Nudge
from community_os.store import inline
from community_os.store_changes import GatewayRow, IncidentRow, SiteCommit
from community_os.worker import PartitionWorker
from device_model.errors import LocalFault
from device_model.ports import Message
from device_model.read_models import BoardEvent, GatewayView, IncidentAction, IncidentState, LogEntry
from device_model.site import Tenancy
from tests.community_os.site_messages import PATH, setup
from tests.community_os.test_store import OTHER, view
from tests.community_os.test_worker import PART, Bench, stop, story, virtual
from tests.rules_engine.incident_house import T


class Nudges:
    """Carries what workers publish to the board, as core NATS would."""

    connected = True

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[tuple[str, bytes]] = []
        self.cut = False

    async def publish(self, topic: str, payload: bytes) -> None:
        self.sent.append((topic, payload))
        if topic == NUDGE_TOPIC and not self.cut:
            self.queue.put_nowait(Message(topic, payload))

    async def messages(self):
        while True:
            yield await self.queue.get()

    async def close(self) -> None:
        """Nothing to let go."""

    def commands(self) -> list[str]:
        return []


class Page:
    """What one open page has received."""

    def __init__(self, board: BoardService, scope: str = "", after: int = 0) -> None:
        self.events: list[BoardEvent] = []
        self.task = asyncio.ensure_future(self._read(board, scope, after))

    async def _read(self, board: BoardService, scope: str, after: int) -> None:
        async for event in board.events(scope, after):
            self.events.append(event)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def incidents(self) -> list[Any]:
        return [msgspec.json.decode(event.payload) for event in self.events if event.kind == "incident"]


def board_of(bench: Bench, nudges: Nudges | None = None, **more: Any) -> BoardService:
    return BoardService(bench.store, inline, bench.stream.another(), bench.clock, nudges=nudges, **more)


def commit(bench: Bench, *rows: Any, tenancy: Tenancy = T) -> None:
    bench.count += 1
    bench.store.apply([SiteCommit(tenancy.path, bench.count, rows)])


def test_a_page_sees_the_snapshot_and_then_each_change_once() -> None:
    async def main(bench: Bench) -> None:
        board = board_of(bench)
        commit(bench, IncidentRow(view("i1")))
        following = asyncio.ensure_future(board.run())
        await bench.clock.sleep(1)
        shown = await board.snapshot("")
        page = Page(board, after=shown.revision)
        await bench.clock.sleep(0.1)
        assert page.kinds() == ["impairments", "gateways", "gaps", "proofs", "duties"]
        commit(bench, IncidentRow(view("i1", state=IncidentState.CONFIRMED)))
        commit(bench, IncidentRow(view("i2")))
        await bench.clock.sleep(1)
        assert [(i["id"], i["state"]) for i in page.incidents()] == [("i1", "confirmed"), ("i2", "new")]
        revisions = [e.revision for e in page.events]
        assert revisions == sorted(revisions)
        again = Page(board, after=shown.revision)  # a page that was away gets what it missed
        await bench.clock.sleep(0.1)
        assert [i["id"] for i in again.incidents()] == ["i1", "i2"]
        await stop(following)

    virtual(main)


def test_a_change_that_no_card_shows_is_a_short_word_and_a_page_that_was_away_gets_the_card() -> None:
    async def main(bench: Bench) -> None:
        board = board_of(bench)
        following = asyncio.ensure_future(board.run())
        await bench.clock.sleep(1)
        page = Page(board)
        await bench.clock.sleep(0.1)
        for number in range(3):
            commit(bench, IncidentRow(msgspec.structs.replace(view("i1"), log=(LogEntry(number, "note"),))))
            await bench.clock.sleep(1)
        kinds = [event.kind for event in page.events if event.kind in ("incident", "fresh")]
        assert kinds == ["incident", "fresh", "fresh"]
        assert [e.payload for e in page.events if e.kind == "fresh"] == [b'{"id":"i1"}'] * 2
        away = Page(board, after=page.events[-1].revision - 1)
        await bench.clock.sleep(0.1)
        assert [i["id"] for i in away.incidents()] == ["i1"]
        await stop(following)

    virtual(main)


def test_a_thousand_pages_at_once_read_the_store_once_while_nothing_changes() -> None:
    async def main(bench: Bench) -> None:
        board = board_of(bench)
        commit(bench, IncidentRow(view("i1")))
        following = asyncio.ensure_future(board.run())
        await bench.clock.sleep(1)
        reads, read = [], bench.store.snapshot
        bench.store.snapshot = lambda *a, **k: reads.append(a) or read(*a, **k)
        shown = await asyncio.gather(*(board.snapshot("") for _ in range(50)))
        assert len(reads) == 1 and all(one.incidents[0].id == "i1" for one in shown)
        commit(bench, IncidentRow(view("i2")))
        await bench.clock.sleep(1)
        assert {i.id for i in (await board.snapshot("")).incidents} == {"i1", "i2"} and len(reads) == 2
        await stop(following)

    virtual(main)


def test_heartbeats_come_every_second_and_side_lists_within_one() -> None:
    async def main(bench: Bench) -> None:
        board = board_of(bench)
        following = asyncio.ensure_future(board.run())
        await bench.clock.sleep(0.5)
        page = Page(board, after=0)
        await bench.clock.sleep(10)
        assert 9 <= page.kinds().count("heartbeat") <= 11
        commit(bench, GatewayRow(GatewayView(T, "gw-1", view().site_name, 5, False)))
        before = len(page.events)
        await bench.clock.sleep(1.01)
        (gateways,) = [e for e in page.events[before:] if e.kind == "gateways"]
        assert msgspec.json.decode(gateways.payload)[0]["gateway"] == "gw-1"
        await stop(following)

    virtual(main)


def test_scopes_see_their_own_only() -> None:
    async def main(bench: Bench) -> None:
        board = board_of(bench)
        following = asyncio.ensure_future(board.run())
        await bench.clock.sleep(0.5)
        mine, all_of_street = Page(board, OTHER.path), Page(board, "hangzhou/yuhang/cangqian")
        await bench.clock.sleep(0.1)
        commit(bench, IncidentRow(view("i1")))
        commit(bench, IncidentRow(view("i2", OTHER)), tenancy=OTHER)
        await bench.clock.sleep(1)
        assert [i["id"] for i in mine.incidents()] == ["i2"]
        assert [i["id"] for i in all_of_street.incidents()] == ["i1", "i2"]
        assert (await board.act("i1", IncidentAction.NOTE, who="x", why="y", request="r", scope=OTHER.path)
                ).refusal == "there is no such incident"
        assert await board.incident("i1", OTHER.path) is None
        await stop(following)

    virtual(main)


def test_a_slow_page_is_told_to_resync_and_a_stale_one_too() -> None:
    async def main(bench: Bench) -> None:
        board = board_of(bench)
        following = asyncio.ensure_future(board.run())
        await bench.clock.sleep(0.5)
        events = board.events("", 0)
        assert (await anext(events)).kind == "impairments"  # and then it reads no more
        for n in range(QUEUE_MAX + 9):
            commit(bench, IncidentRow(view(f"n{n}")))
        await bench.clock.sleep(2)
        rest = [event.kind async for event in events]
        assert rest[-1] == "resync" and len(rest) < QUEUE_MAX
        future = Page(board, after=99_999)
        await bench.clock.sleep(0.1)
        assert future.kinds() == ["resync"] and future.task.done()
        assert board._pages == set()
        await stop(following)

    virtual(main)


def test_heartbeats_stop_when_the_store_or_a_worker_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(bench: Bench) -> None:
        nudges = Nudges()
        board = board_of(bench, nudges, partitions=1)
        following = asyncio.ensure_future(board.run())
        await bench.clock.sleep(0.5)
        page = Page(board)

        async def heard(seconds: float) -> int:
            before = page.kinds().count("heartbeat")
            await bench.clock.sleep(seconds)
            return page.kinds().count("heartbeat") - before

        async def alive() -> None:
            while True:
                await nudges.publish(NUDGE_TOPIC, msgspec.json.encode(Nudge(0)))
                await bench.clock.sleep(1)

        working = asyncio.ensure_future(alive())
        assert await heard(10) >= 9
        nudges.cut = True
        await bench.clock.sleep(6)
        assert await heard(10) == 0 and not board.live
        nudges.cut = False
        assert await heard(10) >= 8

        honest = bench.store.changes_after

        def away(*_: Any) -> Any:
            raise LocalFault("disk gone")

        monkeypatch.setattr(bench.store, "changes_after", away)
        await bench.clock.sleep(2)
        assert await heard(5) == 0
        monkeypatch.setattr(bench.store, "changes_after", honest)
        await bench.clock.sleep(2)
        assert await heard(5) >= 4
        await stop(working)
        await stop(following)

    virtual(main)


def whole(bench: Bench) -> tuple[BoardService, Nudges, list[asyncio.Task[Any]]]:
    nudges = Nudges()
    board = board_of(bench, nudges, partitions=4)
    worker = PartitionWorker(bench.stream.another(), bench.store, calls=inline, link=nudges, clock=bench.clock,
                             sites={PATH: setup()}, partition=PART)
    return board, nudges, [asyncio.ensure_future(board.run()), asyncio.ensure_future(worker.run())]


def test_a_click_is_durable_before_the_answer_and_once_however_often_it_is_made() -> None:
    async def main(bench: Bench) -> None:
        board, nudges, tasks = whole(bench)
        await bench.put(story(1)[0])
        await bench.until(1)
        (incident,) = (await board.snapshot("")).incidents
        page = Page(board)

        async def click(action: IncidentAction, request: str, why: str = "") -> Any:
            return await board.act(incident.id, action, who="Li", why=why, request=request, scope="")

        assert (await click(IncidentAction.ACKNOWLEDGE, "c1")).done
        shown = await board.incident(incident.id, "")
        assert shown is not None and shown.acknowledged_by == "Li"
        stored = await bench.stream.last_sequence()
        assert (await click(IncidentAction.ACKNOWLEDGE, "c1")).done
        assert await bench.stream.last_sequence() == stored
        refused = await click(IncidentAction.CLOSE, "c2", "seen")
        assert (refused.done, refused.law) == (False, 3)
        assert (await click(IncidentAction.CLOSE, "c3")).refusal == "say why: a reason is required"
        await bench.clock.sleep(1)
        assert page.incidents()[-1]["acknowledged_by"] == "Li"
        assert any("command" in topic for topic, _ in nudges.sent)
        for task in tasks:
            await stop(task)

    virtual(main)


def test_an_outcome_that_is_not_known_is_said_and_the_repeated_click_finds_it() -> None:
    async def main(bench: Bench) -> None:
        board, _, tasks = whole(bench)
        await bench.put(story(1)[0])
        await bench.until(1)
        (incident,) = (await board.snapshot("")).incidents

        async def click() -> Any:
            return await board.act(incident.id, IncidentAction.CONFIRM, who="Li", why="", request="c1", scope="")

        bench.stream.server.down = True
        assert "not known" in (await click()).refusal
        bench.stream.server.down = False
        await stop(tasks[1])
        assert "not yet carried out" in (await click()).refusal
        tasks[1] = asyncio.ensure_future(bench.worker().run())
        await bench.clock.sleep(3)
        assert (await click()).done
        shown = await board.incident(incident.id, "")
        assert shown is not None and shown.state is IncidentState.CONFIRMED
        assert [entry.what for entry in shown.log].count("confirmed") == 1
        for task in tasks:
            await stop(task)

    virtual(main)
