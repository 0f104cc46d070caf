"""The brigade's monitoring centre on real TCP: nothing is lost over cuts and kills, and only people answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from community_os.centre_link import CentreLink, fires_first
from community_os.centre_words import CentreSettings, CentreWords, StateBody, endpoint_of, operator_of, state_of
from community_os.envelopes import (
    AnswerDutyEnvelope,
    CentreAskedEnvelope,
    DeliveredEnvelope,
    Envelope,
    decode_envelope,
)
from community_os.notice_desk import DutyFiles
from community_os.notice_store import Notice, NoticeStatus, NoticeStore
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore, inline
from community_os.store_changes import AuditRow, DutyRow, NoticeRow, OutcomeRow, SiteCommit, StoreChange
from device_model.alarm import AlarmState, Hazard
from device_model.clock import SECOND_US
from device_model.duty import DutyState
from device_model.messages import AlarmRecord
from device_model.system_clock import SystemClock, new_time_scale
from firmware_sim.conform import Outcome
from firmware_sim.conform_gbt26875 import TransmitterTrial
from tests.community_os.site_messages import PATH, up
from tests.rules_engine.incident_house import INVENTORY, T0, step
from wire_codecs.gbt26875 import Command, Frame, FrameReader, Stamp, encode_frame
from wire_codecs.gbt26875_objects import (
    AskUitd,
    ComponentState,
    Content,
    DutyCheck,
    ReadComponent,
    ReadSystem,
    SetClock,
    System,
    SystemState,
    UitdOperation,
    UitdState,
    decode_unit,
    encode_unit,
)

pytestmark = pytest.mark.real
FIRE = 2


class Heard:
    """The stream: what was published, and a gate that holds it up."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        await self.open.wait()
        self.envelopes.append(decode_envelope(payload))
        return len(self.envelopes)


class Centre:
    """A monitoring centre: confirms what `takes` says, and can ask."""

    def __init__(self) -> None:
        self.heard: list[Frame] = []
        self.answers: list[Frame] = []
        self.takes: Callable[[Frame], bool] = lambda _: True
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        self.writers.append(writer)
        with contextlib.suppress(OSError):
            while octets := await reader.read(4096):
                for frame in frames.feed(octets):
                    assert isinstance(frame, Frame), frame
                    if frame.command != Command.SEND:
                        self.answers.append(frame)
                        continue
                    self.heard.append(frame)
                    if self.takes(frame):
                        writer.write(encode_frame(frame.answer(Command.CONFIRM, frame.sent)))

    def ask(self, command: Command, item: Content, serial: int = 0x4001) -> None:
        frame = Frame(serial, Stamp.at(T0), 1, 889, command, encode_unit([item]))
        self.writers[-1].write(encode_frame(frame))

    def told(self, kind: type) -> list:
        return [item for frame in self.heard if frame.unit for item in decode_unit(frame.unit)
                if isinstance(item, kind)]


class House:
    """Store, site worker, link: what the cloud has of one site."""

    def __init__(self, folder: Path, centre: Centre, speed: float = 20.0) -> None:
        self.store = IncidentStore(f"sqlite:///{folder}/incidents.sqlite")
        self.store.open()
        self.notices, self.stream = NoticeStore(self.store), Heard()
        self.worker = SiteWorker(INVENTORY, {}, None, T0, DutyFiles(centre="city"))
        self.clock = SystemClock(new_time_scale(speed))
        self.settings = CentreSettings("city", "127.0.0.1", centre.port, {PATH: 889})
        self.sequence = 0
        self.task: asyncio.Task[None] | None = None

    def link(self) -> None:
        made = CentreLink(self.settings, INVENTORY, self.store, inline, self.stream, self.clock)  # type: ignore[arg-type]  # only publish is used
        self.task = asyncio.create_task(made.run())

    async def kill(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def take(self, envelope: Envelope) -> list[StoreChange]:
        effects = self.worker.step(envelope)
        self.sequence += 1
        self.store.apply([SiteCommit(PATH, self.sequence, tuple(effects.changes))])
        return effects.changes


async def until(what: Callable[[], object], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.01)


@pytest.fixture
async def centre() -> AsyncIterator[Centre]:
    made = Centre()
    server = await made.start()
    yield made
    server.close()
    for writer in made.writers:
        writer.close()


async def test_fires_reach_the_centre_over_silence_cuts_and_kills(centre: Centre, tmp_path: Path) -> None:
    house = House(tmp_path, centre)
    tries: dict[bytes, int] = {}

    def stubborn(frame: Frame) -> bool:
        tries[frame.unit] = tries.get(frame.unit, 0) + 1
        return not frame.unit or tries[frame.unit] > 2

    centre.takes = stubborn
    house.take(up(AlarmRecord(step("b1-0"))))
    house.link()
    await until(lambda: any(count > 1 for count in tries.values()))
    await house.kill()
    house.take(up(AlarmRecord(step("b1-1", at_s=5)), first=2, at_s=5))
    house.take(up(AlarmRecord(step("b1-0", Hazard.FIRE, AlarmState.CLEARED, 9)), first=3, at_s=9))
    house.link()
    await until(lambda: len(centre.told(ComponentState)) > 1)
    centre.writers[-1].close()  # the line is cut
    await until(lambda: len(house.notices.listed(NoticeStatus.SENT)) == 3)
    await house.kill()
    last: dict[int, int] = {}
    for told in centre.told(ComponentState):
        last[told.part.address] = told.state
    words = CentreWords(INVENTORY)
    wanted = {}
    for zone, state in (("b1-0", 1), ("b1-1", 1 | FIRE)):
        (item,) = words.objects(state_of(step(zone)))  # type: ignore[arg-type]  # a fire has a state
        assert isinstance(item, ComponentState)
        wanted[item.part.address] = state
    assert last == wanted
    assert house.notices.listed(NoticeStatus.WAITING) == []


async def test_a_duty_check_is_confirmed_after_it_is_stored_and_answered_by_a_person_alone(
    centre: Centre, tmp_path: Path
) -> None:
    house = House(tmp_path, centre, speed=1.0)
    house.link()
    await until(lambda: centre.told(UitdState))
    house.stream.open.clear()
    centre.ask(Command.CONTROL, DutyCheck(5))
    await asyncio.sleep(0.2)
    assert centre.answers == [], "not stored, not confirmed"
    house.stream.open.set()
    await until(lambda: centre.answers)
    assert centre.answers[0].command == Command.CONFIRM
    (asked,) = house.stream.envelopes
    assert isinstance(asked, CentreAskedEnvelope) and asked.minutes == 5
    (row,) = [change for change in house.take(asked) if isinstance(change, DutyRow)]
    await asyncio.sleep(0.2)
    assert centre.told(UitdOperation) == [], "nobody but a person answers"
    answer = AnswerDutyEnvelope(PATH, row.view.check.id, "Li", "r1", asked.at_us + SECOND_US)
    changes = house.take(answer)
    assert [c.outcome.done for c in changes if isinstance(c, OutcomeRow)] == [True]
    await until(lambda: centre.told(UitdOperation))
    (told,) = centre.told(UitdOperation)
    assert told.flags == 0x20 and told.operator == operator_of("Li")
    (sent,) = [c for c in changes if isinstance(c, NoticeRow)]
    changes = house.take(DeliveredEnvelope(PATH, "", sent.id, endpoint_of("city"), asked.at_us + 2 * SECOND_US))
    assert [c.view.check.state for c in changes if isinstance(c, DutyRow)] == [DutyState.DELIVERED]
    await house.kill()


async def test_what_the_centre_orders_clears_nothing_and_sets_no_clock(centre: Centre, tmp_path: Path) -> None:
    house = House(tmp_path, centre, speed=1.0)
    house.take(up(AlarmRecord(step("b1-0"))))
    before = house.clock.now().wall_us
    house.link()
    await until(lambda: centre.told(ComponentState))
    centre.ask(Command.CONTROL, SetClock(Stamp(0, 0, 0, 1, 1, 99)), 0x4001)
    await until(lambda: len(centre.answers) == 1)
    centre.ask(Command.CONTROL, AskUitd(89), 0x4002)
    await until(lambda: len(centre.answers) == 2)
    assert [frame.command for frame in centre.answers] == [Command.CONFIRM, Command.CONFIRM]
    changes = [change for envelope in house.stream.envelopes for change in house.take(envelope)]
    assert [c.what for c in changes if isinstance(c, AuditRow)] == ["centre_clock", "centre_initialise"]
    assert 0 <= house.clock.now().wall_us - before < 60 * SECOND_US
    (part,) = {told.part for told in centre.told(ComponentState)}
    for serial, question in enumerate((AskUitd(81), ReadSystem(61, System(1, 1)), ReadComponent(62, part)), 0x4010):
        centre.ask(Command.REQUEST, question, serial)
        await until(lambda n=serial: any(frame.serial == n for frame in centre.answers))
    replies = [item for frame in centre.answers if frame.command == Command.REPLY for item in decode_unit(frame.unit)]
    assert [item.state & FIRE for item in replies if isinstance(item, UitdState | SystemState | ComponentState)] == [
        FIRE, FIRE, FIRE], "the fire still stands"
    centre.ask(Command.REQUEST, ReadSystem(66, System(1, 1)), 0x4020)
    await until(lambda: centre.answers[-1].serial == 0x4020)
    assert centre.answers[-1].command == Command.DENY, "what is not known here is denied, not invented"
    await house.kill()


async def test_the_simulators_centre_finds_no_deviation(tmp_path: Path) -> None:
    trial, over, clock = TransmitterTrial(1), asyncio.Event(), SystemClock(new_time_scale(25.0))

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = clock.now()
        trial.opened(began.mono_us, began.wall_us)

        async def turn() -> None:
            while clock.now().mono_us - began.mono_us < trial.DURATION_S * SECOND_US:
                await clock.sleep(0.25)
                for piece in trial.due(clock.now().mono_us, clock.now().wall_us):
                    writer.write(piece)
            over.set()

        turning = asyncio.create_task(turn())
        with contextlib.suppress(OSError):
            while octets := await reader.read(4096):
                for piece in trial.take(octets, clock.now().mono_us, clock.now().wall_us):
                    writer.write(piece)
        turning.cancel()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    centre = Centre()
    centre.port = server.sockets[0].getsockname()[1]
    house = House(tmp_path, centre)
    house.clock = clock
    house.link()
    async with asyncio.timeout(60):
        await over.wait()
    await house.kill()
    server.close()
    wrong = [verdict for verdict in trial.finish() if verdict.outcome is not Outcome.OK]
    assert not wrong, wrong


def test_words_hold_what_the_standard_allows() -> None:
    words = CentreWords(INVENTORY)
    item = words.objects(state_of(step("b1-0", Hazard.CALL_POINT)))[0]  # type: ignore[arg-type]  # as above
    assert isinstance(item, ComponentState) and item.kind == 23 and item.state == 1 | FIRE
    assert len(encode_unit([item])) == 2 + 46
    assert state_of(step("b1-0", Hazard.WATER)) is None
    parts = [words._parts[name][0] for name in INVENTORY.devices]
    assert len(set(parts)) == len(parts)
    assert {operator_of(name) for name in ("Li", "Wang")} <= set(range(1, 256))


def test_a_fire_goes_first_but_never_before_what_its_own_detector_said(tmp_path: Path) -> None:
    def notice(device: str, at_us: int, *, fire: bool) -> Notice:
        body = msgspec.json.encode(StateBody(device, fire, at_us))
        return Notice(f"{device}{at_us}", PATH, "gbt26875:city", "", "centre", at_us, fire, body, 0)

    due = [notice("a", 1, fire=False), notice("b", 2, fire=False), notice("a", 3, fire=True),
           notice("c", 4, fire=True)]
    assert [one.id for one in fires_first(due)] == ["c4", "a1", "b2", "a3"]
    store = IncidentStore("sqlite://")
    store.open()
    rows_ = [NoticeRow(one.id, PATH, one.endpoint, "", "centre", one.at_us, one.urgent, one.body) for one in due]
    store.apply([SiteCommit(PATH, 1, tuple(rows_))])
    notices = NoticeStore(store)
    notices.settle(msgspec.structs.replace(due[0], attempts=1, reason="no answer"), 10, next_us=10)
    found = notices.due(11, 9, endpoint="gbt26875:city", path=PATH)
    assert [one.id for one in found] == ["a1", "b2", "a3", "c4"], "a second try keeps its place"
    assert notices.due(11, 9) == []
