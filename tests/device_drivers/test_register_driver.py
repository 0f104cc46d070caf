"""The pure core of a line, and the poller around it: said once, never a wrong number, no task dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent, LineState
from device_drivers.line_memory import DeviceMemory
from device_drivers.line_schedule import Failed, Outcome, Transaction
from device_drivers.poller import LinePoller
from device_drivers.register_driver import RegisterLine, write_request
from device_drivers.registry import DRIVERS, driver_for
from device_model.clock import Now
from device_model.errors import LocalFault, PeerRefused, PeerSilent
from device_model.ports import LineReply, LineRequest
from device_model.profile import DeviceProfile, RegisterType, Table
from device_model.reading import Quality, Reason
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import RTU, START, TCP, answer_from, entry, mqtt_profile, point, profile, until

SILENT = Failed(Reason.SILENT, "no answer")
Answer = Callable[[LineRequest], Outcome]


class Line:
    """A RegisterLine in virtual time."""

    def __init__(self, of: DeviceProfile, devices: int = 1, memory: dict[str, DeviceMemory] | None = None) -> None:
        self.now = START
        self.core = RegisterLine(TCP, [entry(f"d{i}", of, i + 1) for i in range(devices)], START, lambda: 0.5, memory)
        self.events: list[DriverEvent] = []
        self.asked: list[LineRequest] = []

    def run(self, seconds: float, answer: Answer) -> list[DriverEvent]:
        before, end = len(self.events), self.now.mono_us + round(seconds * 1e6)
        while self.now.mono_us < end:
            self.events += self.core.look_for_silence(self.now)
            step = self.core.next(self.now)
            if not isinstance(step, Transaction):
                self.now = self.now.later(step.until_us - self.now.mono_us)
                continue
            self.asked.append(step.request)
            self.now = self.now.later(5000)
            self.events += self.core.done(step, answer(step.request), self.now).events
        return self.events[before:]


def image(words: dict[int, int]) -> Answer:
    def answer(request: LineRequest) -> Outcome:
        pdu = bytes((request.function,)) + request.address.to_bytes(2, "big") + request.count.to_bytes(2, "big")
        reply = answer_from({(3, a): w for a, w in words.items()}, pdu)
        if reply[0] & 0x80:
            return Failed(Reason.REFUSED, "exception", reply[1])
        return LineReply(request.unit, request.function, reply[2:])

    return answer


TWO = profile(point("a", 0, stale_after_s=5.0), point("b", 5, stale_after_s=5.0))


def test_lost_once_back_once_and_everything_said_again() -> None:
    line, good = Line(TWO), image(dict.fromkeys(range(6), 7))
    first = line.run(3, good)
    assert [type(e) for e in first] == [LineState, DeviceRead, DeviceRead, DeviceRead]
    lost = line.run(30, lambda r: SILENT)
    assert [type(e) for e in lost] == [DeviceFailed]
    back = line.run(10, good)
    assert isinstance(back[0], DeviceRead) and {r.point for r in back[0].readings} == {"d0.a", "d0.b"}
    assert all(isinstance(e, DeviceRead) and not e.readings for e in back[1:])


def test_only_the_refused_point_turns_bad_and_its_neighbours_are_read_together() -> None:
    of = profile(*(point(f"p{a}", a) for a in range(8)))
    line = Line(of)
    events = line.run(5, image({a: a for a in range(8) if a != 3}))
    last = {r.point: r for e in events if isinstance(e, DeviceRead) for r in e.readings}
    assert {name: r.reason for name, r in last.items() if r.quality is not Quality.GOOD} == {"d0.p3": Reason.REFUSED}
    assert len(last) == 8 and [(b.address, b.count) for b in line.core.blocks("d0")] == [(0, 3), (3, 1), (4, 4)]
    again = Line(of, memory=line.core.memory())
    again.run(0.5, image({a: a for a in range(8) if a != 3}))
    assert len(again.asked) == 3, "what was learnt is not learnt twice"


def test_a_device_that_bears_short_blocks_only_teaches_it() -> None:
    good = image(dict.fromkeys(range(40), 1))
    line = Line(profile(*(point(f"p{a}", a) for a in range(40))))
    line.run(5, lambda r: good(r) if r.count <= 10 else Failed(Reason.REFUSED, "illegal value", 3))
    assert len(line.core.blocks("d0")) == 4
    read = {name for e in line.events if isinstance(e, DeviceRead) for name in e.fresh}
    assert len(read) == 40


def test_a_point_that_is_not_read_in_time_is_silent_and_the_rest_goes_on() -> None:
    of = profile(point("a", 0), point("b", 50, stale_after_s=2.0), read_holes=False)
    good = image(dict.fromkeys(range(60), 1))
    line = Line(of)
    line.run(3, good)
    events = line.run(20, lambda r: SILENT if r.address == 50 else good(r))
    bad = [r for e in events if isinstance(e, DeviceRead) for r in e.readings]
    assert [(r.point, r.reason) for r in bad] == [("d0.b", Reason.SILENT)]
    assert not any(isinstance(e, DeviceFailed) for e in events)
    healed = line.run(70, good)
    assert [r.value for e in healed if isinstance(e, DeviceRead) for r in e.readings] == [1]


def test_hot_change_touches_no_other_device() -> None:
    line, good = Line(TWO, devices=3), image(dict.fromkeys(range(6), 7))
    line.run(2, good)
    line.core.put_device(entry("d1", profile(point("z", 0)), 2), line.now)
    line.core.drop_device("d2")
    events = line.run(3, good)
    said = {r.point for e in events if isinstance(e, DeviceRead) for r in e.readings}
    assert said == {"d1.z"} and {e.device for e in events if isinstance(e, DeviceRead)} == {"d0", "d1"}


def test_every_kind_of_write() -> None:
    of = profile(
        point("coil", 3, table=Table.COIL, type=RegisterType.BIT, quantity="relay", writable=True),
        point("word", 4, scale=0.1, writable=True), point("wide", 6, type=RegisterType.F32, writable=True),
        point("bit", 8, type=RegisterType.BIT, bit=2, quantity="relay", writable=True),
        point("input", 1, table=Table.INPUT, writable=True), point("fixed", 9),
        point("masked", 9, mask=3, writable=True))
    device = entry("d", of, 7)
    assert write_request(device, "coil", True) == LineRequest(7, 5, 3, 1, (1,))
    assert write_request(device, "word", 2.5) == LineRequest(7, 6, 4, 1, (25,))
    assert write_request(device, "wide", 1.0) == LineRequest(7, 16, 6, 2, (0x3F80, 0))
    assert write_request(device, "bit", True) == LineRequest(7, 22, 8, 1, (0xFFFB, 4))
    assert write_request(device, "bit", False) == LineRequest(7, 22, 8, 1, (0xFFFB, 0))
    for name in ("input", "fixed", "masked", "none"):
        with pytest.raises(LocalFault):
            write_request(device, name, 1)


def test_the_registry_knows_what_it_cannot_do() -> None:
    assert driver_for(TWO).check(TWO) == () and driver_for(mqtt_profile()).name == "mqtt"
    assert "register" in DRIVERS["modbus"].check(profile(mqtt_profile().points[0] if mqtt_profile().points else
                                                         point("x", 0, table=Table.INPUT, writable=True)))[0]


class Exchange:
    """A line port whose behaviour the test scripts."""

    def __init__(self, answer: Callable[[LineRequest], LineReply]) -> None:
        self.answer, self.drained, self.closed = answer, 0.0, False

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        await asyncio.sleep(0)
        return self.answer(request)

    async def drain(self, hold_s: float) -> None:
        self.drained += hold_s

    async def close(self) -> None:
        self.closed = True


async def test_no_fault_of_ours_or_theirs_ends_the_poller() -> None:
    turn = 0
    fast = profile(point("a", 0, poll_interval_s=0.01), late_reply_max_s=0.25)

    def answer(request: LineRequest) -> LineReply:
        nonlocal turn
        turn += 1
        if turn == 2:
            raise PeerSilent("no")
        if turn == 3:
            raise LocalFault("the adapter was pulled out")
        return LineReply(request.unit, request.function, bytes(2 * request.count))

    events: list[DriverEvent] = []

    def emit(event: DriverEvent) -> None:
        events.append(event)
        if len(events) == 2:
            raise RuntimeError("a fault of ours")

    port = Exchange(answer)
    poller = LinePoller(RTU, [entry("d", fast)], port, SystemClock(), emit)
    task = asyncio.create_task(poller.run())
    await until(lambda: turn > 6)
    assert not task.done() and port.drained == 0.25, "after silence a serial line is held"
    task.cancel()
    await asyncio.wait([task])
    assert port.closed


async def test_a_refused_write_is_raised_where_it_was_asked() -> None:
    def answer(request: LineRequest) -> LineReply:
        if request.function == 6:
            raise PeerRefused("no", 3)
        return LineReply(request.unit, request.function, bytes(2 * request.count))

    poller = LinePoller(TCP, [entry("d", profile(point("a", 0, writable=True)))], Exchange(answer), SystemClock(),
                        lambda event: None)
    task = asyncio.create_task(poller.run())
    with pytest.raises(PeerRefused):
        await poller.write("d", "a", 1)
    waiting = asyncio.create_task(poller.write("d", "a", 1))
    task.cancel()
    await asyncio.wait([task, waiting], timeout=60)
    assert waiting.done() and (waiting.cancelled() or isinstance(waiting.exception(), PeerSilent | PeerRefused))


def test_wall_clock_steps_do_not_matter() -> None:
    line, good = Line(TWO), image(dict.fromkeys(range(6), 7))
    line.run(2, good)
    line.now = Now(5, line.now.mono_us, line.now.boot)
    assert not any(isinstance(e, DeviceFailed) for e in line.run(5, good))
