"""Scans: what they ask, what they refuse to ask, what they make of answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.commands import _known_line, _line_of, _units, scan_devices, scan_text
from device_drivers.discover import LineFound, alone, paced, scan_broker, scan_serial, scan_units
from device_drivers.driver import LineUnreachable
from device_drivers.fingerprint import Identity, Question, identity_request, matches, parse_identity, questions
from device_model.clock import Now
from device_model.errors import LawRefusal, LocalFault, PeerGarbled, PeerRefused, PeerSilent
from device_model.library import shipped_profiles
from device_model.ports import LineReply, LineRequest, Message
from device_model.profile import Table
from device_model.site import Line, LineKind
from tests.device_drivers.rig import point, profile

READ_FUNCTIONS = {1, 2, 3, 4, 43}
SHIPPED = shipped_profiles()
IDENTITY = bytes((14, 1, 1, 0, 0, 2, 0, 3)) + b"ACM" + bytes((1, 2)) + b"M1"


class FakeClock:
    """Time moves when somebody sleeps or asks."""

    def __init__(self) -> None:
        self.at_us = 0

    def now(self) -> Now:
        return Now(self.at_us, self.at_us, "b")

    async def sleep(self, delay_s: float) -> None:
        self.at_us += round(delay_s * 1e6)


class FakeBus:
    """Units with holding registers; everything that was asked."""

    def __init__(self, clock: FakeClock, units: dict[int, dict[int, int]], identity: bytes = b"") -> None:
        self.clock, self.units, self.identity = clock, units, identity
        self.asked: list[LineRequest] = []
        self.closed = False

    async def ask(self, request: LineRequest, timeout_s: float) -> LineReply:
        self.asked.append(request)
        if request.unit == 9:
            raise PeerRefused("nobody", 11)
        if request.unit == 8 and len(self.asked) % 2:
            raise PeerGarbled("noise")
        if request.unit not in self.units:
            self.clock.at_us += round(timeout_s * 1e6)
            raise PeerSilent("nobody")
        self.clock.at_us += 10_000
        if request.function == 43:
            if not self.identity:
                raise PeerRefused("no", 1)
            return LineReply(request.unit, 43, self.identity)
        registers = self.units[request.unit]
        wanted = range(request.address, request.address + request.count)
        if request.function != 3 or any(address not in registers for address in wanted):
            raise PeerRefused("no", 2)
        return LineReply(request.unit, 3, b"".join(registers[a].to_bytes(2, "big") for a in wanted))

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        return await self.ask(request, timeout_s)

    async def drain(self, hold_s: float) -> None:
        await self.clock.sleep(hold_s)

    async def close(self) -> None:
        self.closed = True


TWO = profile(point("a"), point("b", address=1))


async def test_a_scan_finds_units_and_reads_only() -> None:
    clock = FakeClock()
    bus = FakeBus(clock, {3: {0: 21, 1: 5}, 8: {0: 1}, 200: {}}, IDENTITY)
    found = await scan_units(bus.ask, range(1, 248), {"p": TWO}, clock, timeout_s=0.1)
    assert [unit.unit for unit in found] == [3, 8, 200]
    assert [unit.said for unit in found] == ["value", "value", "exception 2"]
    assert found[0].identity == Identity("ACM", "M1")
    assert {request.function for request in bus.asked} <= READ_FUNCTIONS
    assert {request.unit for request in bus.asked} == set(range(1, 248))


@pytest.mark.parametrize("unit", [0, 248, 255])
async def test_a_scan_never_broadcasts(unit: int) -> None:
    clock = FakeClock()
    bus = FakeBus(clock, {})
    with pytest.raises(ValueError, match="broadcast"):
        await scan_units(bus.ask, [unit], {}, clock, timeout_s=0.1)
    assert bus.asked == []


async def test_a_paced_scan_takes_its_share_of_the_line() -> None:
    clock = FakeClock()
    bus = FakeBus(clock, {})
    await scan_units(paced(bus.ask, clock, 0.05), range(1, 9), {}, clock, timeout_s=0.1)
    assert clock.at_us >= 0.1e6 * 7 / 0.05


async def test_a_line_that_is_not_there_ends_the_scan() -> None:
    async def ask(request: LineRequest, timeout_s: float) -> LineReply:
        raise LineUnreachable("no port")

    with pytest.raises(LineUnreachable):
        await scan_units(ask, [1, 2], {}, FakeClock(), timeout_s=0.1)


async def test_alone_refuses_a_reply_that_does_not_fit() -> None:
    class Short(FakeBus):
        async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
            return LineReply(request.unit, request.function, b"\0")

    clock = FakeClock()
    with pytest.raises(PeerGarbled, match="asked for 4 bytes"):
        await alone(Short(clock, {}))(LineRequest(1, 3, 0, 2), 1.0)
    assert clock.at_us > 0  # and waits for what may still come


async def test_a_serial_scan_tries_speeds_until_something_answers_and_closes_each_port() -> None:
    clock = FakeClock()
    opened: list[tuple[Line, FakeBus]] = []

    def open_line(line: Line) -> FakeBus:
        right = line.baud == 19200 and line.parity == "even"
        opened.append((line, FakeBus(clock, {2: {0: 1}} if right else {})))
        return opened[-1][1]

    found = await scan_serial(open_line, Line("scan", LineKind.MODBUS_RTU, port_path="/dev/x"), [1, 2], {}, clock,
                              timeout_s=0.1)
    assert [(one.baud, one.parity, [unit.unit for unit in one.units]) for one in found] == [(19200, "even", [2])]
    assert [line.baud for line, _ in opened] == [9600, 9600, 9600, 19200, 19200]
    assert all(bus.closed for _, bus in opened)


# --- fingerprints ---


def test_identity_is_read() -> None:
    assert parse_identity(IDENTITY) == Identity("ACM", "M1")


@pytest.mark.parametrize("payload", [b"", IDENTITY[:-1], b"\x0d" + IDENTITY[1:], IDENTITY[:6], IDENTITY[:7]])
def test_what_is_no_identity_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="identification"):
        parse_identity(payload)


@given(st.binary(max_size=60))
def test_identity_parser_survives_anything(payload: bytes) -> None:
    for candidate in (payload, b"\x0e\x01\x01\x00\x00" + payload):
        try:
            found = parse_identity(candidate)
        except ValueError:
            continue
        assert all(text.isprintable() for text in (found.maker, found.product, found.revision))


def test_the_identity_request_is_a_read() -> None:
    assert identity_request(5) == LineRequest(5, 43, 0, 0, (14, 1, 0))


def answers_of(payload: bytes | int | None) -> dict[Question, bytes | int | None]:
    return {question: bytes(2 * question[2]) if payload == b"zeros" and question[0] in (Table.HOLDING, Table.INPUT)
            else bytes((question[2] + 7) // 8) if payload == b"zeros" else payload
            for question in questions(SHIPPED.values())}


@pytest.mark.parametrize("answer", [None, 1, 2, b"", b"zeros"])
def test_silence_refusals_and_zeros_match_no_profile(answer: bytes | int | None) -> None:
    assert matches(SHIPPED.values(), answers_of(answer), Identity()) == ()


def test_values_that_cannot_be_count_against_a_profile() -> None:
    bounded = profile(point("a", minimum=0, maximum=50), point("b", address=1, minimum=0, maximum=50))
    (question,) = questions([bounded])
    fits = matches([bounded], {question: bytes((0, 21, 0, 22))}, Identity())
    assert [match.profile for match in fits] == ["p"] and fits[0].score == 0.75
    assert matches([bounded], {question: bytes((0, 21, 255, 0))}, Identity()) == ()


def test_a_model_that_names_itself_comes_first() -> None:
    question = questions([TWO])
    answers = {question[0]: bytes((0, 21, 0, 22))}
    named = matches([TWO], answers, Identity("maker", "model"))[0]
    other = matches([TWO], answers, Identity("else", "other"))
    assert named.score > matches([TWO], answers, Identity())[0].score
    assert "names itself" in named.why.en and "自报" in named.why.zh
    assert other == () or other[0].score < named.score


# --- MQTT ---


class FakeLink:
    """A broker with retained messages, on which publishing would be a mistake."""

    connected = True

    def __init__(self, *messages: Message) -> None:
        self._messages = messages

    async def publish(self, topic: str, payload: bytes) -> None:
        raise AssertionError("a scan publishes nothing")

    async def messages(self) -> AsyncIterator[Message]:
        for message in self._messages:
            yield message

    async def close(self) -> None:
        """Nothing to close."""


async def test_a_broker_is_sorted_by_profile() -> None:
    import asyncio

    class Patient(FakeClock):
        async def sleep(self, delay_s: float) -> None:
            await super().sleep(delay_s)
            for _ in range(10):
                await asyncio.sleep(0)

    leak = b'{"water_leak": true, "battery": 90, "battery_low": false, "tamper": false, "linkquality": 80}'
    found = await scan_broker(FakeLink(Message("zigbee2mqtt/kitchen", leak, True), Message("other/x", b"1"),
                                       Message("zigbee2mqtt/odd", b"not json")),
                              SHIPPED, Patient(), listen_s=1.0)
    assert [topic.address for topic in found] == ["kitchen"]
    assert found[0].matches[0].profile == "zigbee2mqtt-leak"


# --- the command ---

SITE = """
site: {path: a/b/c/d, name: x, time_zone: Asia/Shanghai}
gateway: {id: gw-1}
lines:
  - {id: bus, kind: modbus_tcp, host: 127.0.0.1, port: 15999}
  - {id: calm, kind: modbus_tcp, host: 127.0.0.1, port: 15998}
buildings:
  - {id: b1, name: b, floors: [{id: f1, name: "1", zones: [{id: z1, name: z}]}]}
devices:
  - {id: duct, profile: calectro-ug3, line: bus, zone: z1, unit: 3}
  - {id: meter, profile: sdm120, line: calm, zone: z1, unit: 3}
"""


def test_fire_lines_are_scanned_in_maintenance_only(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE, encoding="utf-8")
    with pytest.raises(LawRefusal, match="duct"):
        scan_devices("tcp", "127.0.0.1:15999", config=site)
    with pytest.raises(LawRefusal, match="--config"):
        scan_devices("tcp", "127.0.0.1:15999")
    with pytest.raises(LocalFault, match="cannot be reached"):
        scan_devices("tcp", "127.0.0.1:1", config=site, units="1")


@pytest.mark.parametrize(("text", "expected"), [("1", [1]), ("1-3,7", [1, 2, 3, 7]), ("247", [247])])
def test_units_are_read(text: str, expected: list[int]) -> None:
    assert _units(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0-5", "248", "a", "5-1", "1-999"])
def test_wrong_units_are_refused(text: str) -> None:
    with pytest.raises(LocalFault):
        _units(text)


@pytest.mark.parametrize(("kind", "target", "host", "port", "path"), [
    ("tcp", "h", "h", 502, ""), ("tcp", "h:5", "h", 5, ""), ("rtu", "/dev/x", "", 0, "/dev/x"),
    ("mqtt", "h", "h", 1883, "")])
def test_targets_become_lines(kind: str, target: str, host: str, port: int, path: str) -> None:
    line = _line_of(kind, target)
    assert (line.host, line.port, line.port_path) == (host, port, path)
    assert _known_line(None, line) is None


def test_a_scan_reads_well_in_both_languages() -> None:
    from device_drivers.commands import ScanReport
    from device_drivers.discover import UnitFound

    empty = ScanReport("tcp", "h")
    assert scan_text(empty, "zh_CN.UTF-8") == "未发现设备" and scan_text(empty, "en") == "no device answered"
    full = ScanReport("rtu", "/dev/x", (LineFound(9600, "none", (UnitFound(3, 5.0, "value", Identity("A"), ()),)),))
    assert scan_text(full, "en") == "9600 none\nunit 3  5 ms  value  A\n    no profile fits"
    assert "地址 3" in scan_text(full, "zh")
