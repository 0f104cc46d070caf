"""What this side asks of a station: one request at a time, time-outs, repeats, refusals, back-fill after a gap."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest

from device_drivers.driver import DeviceNotice, DeviceRead
from device_drivers.listeners import StationListener, listener_for, station_secrets
from device_drivers.station import Stations
from device_drivers.station_host import BACK_FILL_MAX_US, EXECUTE_US, TIMEOUT_US, WAITING_MAX, StationHost, Wish
from device_model.clock import HOUR_US, MINUTE_US, SECOND_US
from device_model.errors import LocalFault
from device_model.library import shipped_profiles
from device_model.site import Line, LineKind
from tests.device_drivers.rig import START, entry
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual
from wire_codecs.hj212 import Packet, PacketReader, RefusedPacket, encode_packet, instant_text
from wire_codecs.hj212_cipher import decrypt_with, encrypt_with

MN = "010000A8900016F000169DC0"
LIKE = Packet("20240520210700000", "22", "2011", "123456", MN, 9)
WALL = START.wall_us
DUST = shipped_profiles()["hj212-dust"]


def reply(to: Packet, cn: str, **field: str) -> Packet:
    return to.answer(cn, *(((name, text),) for name, text in field.items()))


def sent(host: StationHost, mono_us: int) -> Packet:
    packet, over = host.due(LIKE, WALL + mono_us, mono_us)
    assert packet is not None and over is None
    return packet


def test_the_clock_is_set_and_its_result_told() -> None:
    host = StationHost(MN, 8.0)
    assert host.set_clock(WALL - SECOND_US) and host.set_clock(WALL)
    packet = sent(host, 0)
    assert (packet.cn, packet.st, packet.pw, packet.mn, packet.flag) == ("1012", "22", "123456", MN, 9)
    assert packet.field("SystemTime") == instant_text(WALL) and len(packet.qn) == 17  # the older time went unsent
    assert host.due(LIKE, WALL, SECOND_US) == (None, None)
    assert host.answered(reply(packet, "9011", QnRtn="1"), SECOND_US) is None
    done = host.answered(reply(packet, "9012", ExeRtn="1"), 2 * SECOND_US)
    assert done is not None and (done.wish.why, done.problem) == ("clock", "") and len(host) == 0


@pytest.mark.parametrize(("cn", "field", "problem"), [
    ("9011", {"QnRtn": "2"}, "refused"), ("9011", {"QnRtn": "3"}, "wrong password"), ("9011", {"QnRtn": "77"}, "Qn"),
    ("9011", {}, "QnRtn"), ("9012", {"ExeRtn": "100"}, "no data"), ("9012", {"ExeRtn": "5"}, "busy"),
])
def test_what_a_station_refuses_is_told_and_not_asked_again(cn: str, field: dict[str, str], problem: str) -> None:
    host = StationHost(MN, 8.0)
    host.set_interval(60)
    packet = sent(host, 0)
    assert packet.field("RtdInterval") == "60"
    done = host.answered(reply(packet, cn, **field), 1)
    assert done is not None and problem in done.problem
    assert host.due(LIKE, WALL, TIMEOUT_US) == (None, None)


def test_silence_is_asked_again_three_times_and_then_told() -> None:
    host = StationHost(MN, 8.0)
    host.ask(Wish("1061"))
    first = sent(host, 0)
    again = [sent(host, number * TIMEOUT_US) for number in (1, 2, 3)]
    assert again == [first] * 3
    packet, over = host.due(LIKE, WALL, 4 * TIMEOUT_US)
    assert packet is None and over is not None and over.problem == "no answer, asked 4 times"


def test_history_that_keeps_coming_is_waited_for_and_foreign_answers_end_nothing() -> None:
    host = StationHost(MN, 8.0)
    assert host.back_fill("2051", WALL - HOUR_US, WALL) == HOUR_US
    packet = sent(host, 0)
    assert packet.field("BeginTime") == instant_text(WALL - HOUR_US) and packet.field("EndTime") == instant_text(WALL)
    foreign = msgspec.structs.replace(packet, qn="20000101000000000")
    assert host.answered(reply(foreign, "9012", ExeRtn="1"), 1) is None
    host.answered(reply(packet, "9011", QnRtn="1"), 1)
    for number in range(1, 5):
        at_us = number * (EXECUTE_US - SECOND_US)
        assert host.answered(msgspec.structs.replace(LIKE, cn="2051", qn="20240520210700001"), at_us) is None
        assert host.due(LIKE, WALL, at_us) == (None, None)
    assert host.answered(reply(packet, "9012", ExeRtn="1"), at_us) is not None


def test_a_long_gap_is_asked_in_pieces_newest_first_and_what_is_too_much_is_said() -> None:
    host = StationHost(MN, 8.0)
    asked_us = host.back_fill("2051", WALL - 20 * 24 * HOUR_US, WALL)
    assert len(host) == WAITING_MAX and asked_us == WAITING_MAX * 6 * HOUR_US
    assert sent(host, 0).field("EndTime") == instant_text(WALL)
    assert StationHost(MN, 8.0).back_fill("2031", WALL - 2 * BACK_FILL_MAX_US, WALL) == BACK_FILL_MAX_US


def test_two_requests_in_one_millisecond_have_two_numbers() -> None:
    host = StationHost(MN, 8.0)
    host.ask(Wish("1061"))
    host.ask(Wish("1011"))
    first, _ = host.due(LIKE, WALL, 0)
    host.answered(reply(first, "9012", ExeRtn="1"), 0)
    second, _ = host.due(LIKE, WALL, 0)
    assert first.qn < second.qn


@pytest.mark.parametrize("seconds", [0, 29, 3601])
def test_an_interval_outside_the_standard_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="30 to 3600"):
        StationHost(MN, 8.0).set_interval(seconds)


def minute(at_us: int, data_us: int, value: str = "40") -> Packet:
    area = ((("DataTime", instant_text(data_us)),), (("a34004-Avg", value), ("a34004-Flag", "N")))
    return Packet(instant_text(at_us, milliseconds=True), "22", "2051", "123456", MN, 5, area=area)


def station() -> Stations:
    """A dust station whose minute values are points too."""
    spec = next(point for point in DUST.points if point.payload.path == "a34004.Rtd")
    payload = msgspec.structs.replace(spec.payload, topic="2051", path="a34004.Avg")
    points = (*DUST.points, msgspec.structs.replace(spec, id="pm25_minute", payload=payload))
    profile = msgspec.structs.replace(DUST, points=points)
    return Stations("line", [entry("d", profile, address=MN)], START)


def test_after_a_gap_the_missing_minutes_are_asked_for_and_come_with_their_own_time() -> None:
    stations = station()
    stations.take(1, minute(WALL, WALL - MINUTE_US), START)
    stations.closed(1)
    back = START.later(HOUR_US)
    turn = stations.take(2, minute(back.wall_us, back.wall_us - MINUTE_US), back)
    assert any(isinstance(e, DeviceNotice) and e.kind == "gap_asked" for e in turn.events)
    (request,) = [packet for _, packet in turn.packets if packet.cn == "2051"]
    assert request.field("BeginTime") == instant_text(WALL)
    stations.take(2, reply(request, "9011", QnRtn="1"), back)
    past_us = back.wall_us - 30 * MINUTE_US
    old = stations.take(2, minute(back.wall_us + SECOND_US, past_us, "77"), back.later(SECOND_US))
    (reading,) = [r for e in old.events if isinstance(e, DeviceRead) for r in e.readings if r.value == 77]
    assert abs(reading.source_time_us - past_us) < 2 * SECOND_US
    assert all(r.point not in e.fresh for e in old.events if isinstance(e, DeviceRead) for r in e.readings)
    done = stations.take(2, reply(request, "9012", ExeRtn="1"), back.later(2 * SECOND_US))
    assert [e.kind for e in done.events if isinstance(e, DeviceNotice)] == ["station_asked"]


def test_no_gap_no_request_and_a_cut_connection_asks_again() -> None:
    stations = station()
    stations.take(1, minute(WALL, WALL - MINUTE_US), START)
    soon = START.later(MINUTE_US)
    assert not [p for _, p in stations.take(1, minute(soon.wall_us, soon.wall_us), soon).packets if p.cn == "2051"]
    back = soon.later(HOUR_US)
    first = [p for _, p in stations.take(2, minute(back.wall_us, back.wall_us), back).packets if p.cn == "2051"]
    stations.closed(2)
    assert stations.look(back.later(TIMEOUT_US)).packets == []
    again = back.later(2 * SECOND_US)
    second = [(to, p) for to, p in stations.take(3, minute(again.wall_us, again.wall_us), again).packets
              if p.cn == "2051"]
    assert [to for to, _ in second] == [3] and second[0][1].area == first[0].area


class _Clock:
    def now(self):
        return START


def test_a_line_with_an_sm4_key_reads_and_writes_cipher_text_and_never_says_the_key() -> None:
    key = b"sixteen-byte-key"
    line = Line("stations", LineKind.HJ212_TCP_SERVER, "127.0.0.1", 0)
    listener = StationListener(line, [entry("d", DUST, address=MN)], _Clock(), lambda event: None, key=key)
    octets = encode_packet(minute(WALL, WALL), partial(encrypt_with, key))
    assert b"DataTime" not in octets
    (packet,) = listener._feed(listener._new_reader(), octets)
    assert isinstance(packet, Packet) and packet.cn == "2051"
    assert isinstance(PacketReader().feed(octets)[0], RefusedPacket)  # without the key it is refused, not guessed
    ((_, answer),) = listener._encoded([(1, reply(packet, "9012", ExeRtn="1" * 12))])
    assert b"ExeRtn" not in answer and PacketReader(partial(decrypt_with, key)).feed(answer)[0].cn == "9012"
    with pytest.raises(LocalFault) as refused:
        StationListener(line, [], _Clock(), lambda event: None, key=b"short-secret")
    assert "short-secret" not in str(refused.value) and "stations" in str(refused.value)


@pytest.mark.parametrize(("text", "word", "key"), [
    ("", "", b""), ("123456", "123456", b""), ("123456\n", "123456", b""),
    ("123456\nsm4 " + "3a" * 16 + "\n", "123456", b":" * 16), ("\nsm4 " + "3a" * 16, "", b":" * 16),
    ("sm4 " + "3a" * 16, "", b":" * 16),
])
def test_the_secret_file_of_a_station_line(text: str, word: str, key: bytes) -> None:
    assert station_secrets("stations", text) == (word, key)


@pytest.mark.parametrize("text", ["pw\nsm4 hunter2hunter2", "pw\n" + "3a" * 16, "pw\nsm4 " + "3a" * 15])
def test_a_damaged_secret_file_is_refused_without_saying_the_secret(text: str) -> None:
    with pytest.raises(LocalFault) as refused:
        station_secrets("stations", text)
    assert "hunter2" not in str(refused.value) and "3a3a" not in str(refused.value)


def test_a_line_whose_secrets_cannot_be_read_is_down_and_not_open_to_everybody() -> None:
    async def script() -> None:
        said = []
        line = Line("stations", LineKind.HJ212_TCP_SERVER, "127.0.0.1", 0)
        listener = listener_for(line, [entry("d", DUST, address=MN)], VirtualClock(loop, "b", wall_us=WALL),
                                said.append, password="pw\nsm4 hunter2")
        task = asyncio.ensure_future(listener.run())
        await asyncio.sleep(100)
        task.cancel()
        assert listener.port == 0 and [type(event).__name__ for event in said] == ["LineState", "DeviceFailed"]
        assert "password_file" in said[0].detail and "hunter2" not in said[0].detail

    loop = VirtualLoop()
    run_virtual(script(), loop)
