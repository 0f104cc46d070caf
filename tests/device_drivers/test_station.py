"""The host's side of HJ 212: factors to readings, flags to quality, times to the right present or past."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.driver import DeviceFailed, DeviceNotice, DeviceRead, DriverEvent
from device_drivers.station import Stations, StationTurn, check_profile
from device_model.library import shipped_profiles
from device_model.reading import Quality, Reading, Reason
from tests.device_drivers.rig import GOLDEN as TRANSCRIPTS
from tests.device_drivers.rig import START, entry, read_transcript
from wire_codecs.hj212 import Packet, PacketReader, decode_packet, instant_text

PROFILES = shipped_profiles()
GOLDEN = Path(__file__).parents[1] / "golden" / "frames" / "hj212.txt"
PACKETS = [line.partition(" ")[2].encode() for line in GOLDEN.read_text(encoding="utf-8").splitlines()
           if line.startswith(("ok ", "bad "))]
MN = "010000A8900016F000169DC0"
MINUTE = 60_000_000


class Rig:
    def __init__(self, kind: str = "dust", mn: str = MN, *, password: str = "") -> None:
        entries = [entry("d", PROFILES[f"hj212-{kind}"], address=mn)]
        self.stations = Stations("line", entries, START, password=password)
        self.now = START
        self.events: list[DriverEvent] = []
        self.answers: list[Packet] = []

    def after(self, seconds: float) -> None:
        self.now = self.now.later(round(seconds * 1e6))
        self._keep(self.stations.look(self.now))

    def take(self, packet: Packet) -> list[DriverEvent]:
        self.answers = []
        return self._keep(self.stations.take(1, packet, self.now))

    def send(self, *area: tuple[tuple[str, str], ...], cn: str = "2011", data_us: int | None = None,
             sent_us: int | None = None, **more: object) -> list[DriverEvent]:
        """data_us, sent_us: DataTime and QN by the station's clock."""
        sent = self.now.wall_us if sent_us is None else sent_us
        data = ("DataTime", instant_text(sent if data_us is None else data_us))
        packet = Packet(instant_text(sent, milliseconds=True), "39", cn, "123456", MN, 5, area=((data,), *area))
        return self.take(msgspec.structs.replace(packet, **more))

    def _keep(self, turn: StationTurn) -> list[DriverEvent]:
        self.events += turn.events
        self.answers += [packet for _, packet in turn.packets]
        return turn.events

    def value(self, point: str) -> Reading | None:
        found = None
        for event in self.events:
            if isinstance(event, DeviceRead):
                found = next((r for r in event.readings if r.point == point), found)
        return found

    def notices(self, kind: str) -> list[DeviceNotice]:
        return [event for event in self.events if isinstance(event, DeviceNotice) and event.kind == kind]


def factor(value: str, flag: str = "N") -> tuple[tuple[str, str], ...]:
    return (("a34004-Rtd", value), ("a34004-Flag", flag))


@pytest.mark.parametrize("name", sorted(n for n, p in PROFILES.items() if p.protocol == "hj212"))
def test_a_stations_transcript_means_what_it_says(name: str) -> None:
    for look in read_transcript(TRANSCRIPTS / f"{name}.txt"):
        packets = [decode_packet(octets) for _, octets in look.messages]
        rig = Rig(name.removeprefix("hj212-"), packets[0].mn)
        for packet in packets:
            rig.take(packet)
        assert look.expected
        for wanted in look.expected:
            reading = rig.value(f"d.{wanted.point}")
            assert reading is not None and reading.value == pytest.approx(float(wanted.text)), wanted.point
            assert reading.unit == wanted.unit


@pytest.mark.parametrize(("flag", "quality", "reason"), [
    ("N", Quality.GOOD, Reason.NONE), ("S", Quality.UNCERTAIN, Reason.NONE), ("C", Quality.UNCERTAIN, Reason.NONE),
    ("M", Quality.UNCERTAIN, Reason.NONE), ("T", Quality.BAD, Reason.OVER_RANGE),
    ("D", Quality.BAD, Reason.DEVICE_FAULT),
    ("F", Quality.BAD, Reason.DEVICE_FAULT), ("B", Quality.BAD, Reason.SILENT), ("Q", Quality.UNCERTAIN, Reason.NONE),
])
def test_flags_become_quality(flag: str, quality: Quality, reason: Reason) -> None:
    rig = Rig()
    rig.send(factor("39.6", flag))
    reading = rig.value("d.pm25")
    assert reading is not None and (reading.quality, reading.reason) == (quality, reason)
    assert reading.value == (None if quality is Quality.BAD else 39.6)


@pytest.mark.parametrize("text", ["", "abc", "nan", "1e999", "--", "12,5", "９", "1_0"])
def test_what_is_no_number_is_never_a_number(text: str) -> None:
    rig = Rig()
    rig.send(factor(text))
    reading = rig.value("d.pm25")
    assert reading is not None and reading.value is None and reading.quality is Quality.BAD


def test_uploads_are_acknowledged_where_the_station_wants_it() -> None:
    rig = Rig()
    rig.send(factor("1"))
    assert [(p.cn, p.st, p.flag, p.area) for p in rig.answers] == [("9014", "91", 4, ())]
    rig.send(factor("1"), flag=8)
    assert rig.answers == []
    rig.send(cn="1013", flag=5)
    assert [p.cn for p in rig.answers] == ["9013", "1012"] and rig.notices("station_notice")


def test_live_data_count_now_whatever_the_stations_clock_says() -> None:
    for wrong_us in (0, -3 * 365 * 86_400_000_000, 7 * MINUTE):
        rig = Rig()
        for _ in range(3):
            rig.after(30)
            rig.send(factor("5"), sent_us=rig.now.wall_us + wrong_us)
        reading = rig.value("d.pm25")
        assert reading is not None and reading.source_time_us == reading.receive_time_us
        (last,) = [e for e in rig.events if isinstance(e, DeviceRead)][-1:]
        assert last.fresh == ("d.pm25",)


def test_back_filled_data_have_their_own_time_and_prove_nothing() -> None:
    rig = Rig()
    rig.send(factor("5"))
    rig.after(30)
    (event,) = rig.send(factor("900"), data_us=rig.now.wall_us - 45 * MINUTE)
    assert isinstance(event, DeviceRead) and event.fresh == ()
    (reading,) = event.readings
    assert abs(reading.source_time_us - (rig.now.wall_us - 45 * MINUTE)) < 1_000_000
    assert reading.receive_time_us == rig.now.wall_us and reading.value == 900


def test_stored_packets_sent_in_a_row_are_of_the_past_even_with_their_old_qn() -> None:
    rig = Rig()
    for _ in range(3):
        rig.after(30)
        rig.send(factor("5"))
    for age in (50, 40, 30, 20):
        rig.after(1)
        (event,) = rig.send(factor("7"), sent_us=rig.now.wall_us - age * MINUTE)
        assert isinstance(event, DeviceRead) and event.fresh == ()
        assert abs(event.readings[0].source_time_us - (rig.now.wall_us - age * MINUTE)) < 2_000_000


def test_a_clock_that_was_set_costs_at_most_three_packets() -> None:
    rig = Rig()
    for _ in range(5):
        rig.after(30)
        rig.send(factor("5"), sent_us=rig.now.wall_us + 10 * MINUTE)
    for number in range(4):
        rig.after(30)
        rig.send(factor(str(number)))
    (last,) = [e for e in rig.events if isinstance(e, DeviceRead)][-1:]
    assert last.fresh == ("d.pm25",)


def test_period_data_carry_the_start_of_their_period() -> None:
    rig = Rig("noise")
    start = rig.now.wall_us - 10 * MINUTE
    (event,) = rig.send((("Leq-Data", "50.0"),), cn="2051", data_us=start)
    assert isinstance(event, DeviceRead) and event.fresh == ("d.leq",)
    assert abs(event.readings[0].source_time_us - start) < 1_000_000
    (event,) = rig.send((("Leq-Data", "51.0"),), cn="2051", data_us=start - 300 * MINUTE)
    assert isinstance(event, DeviceRead) and event.fresh == ()
    assert rig.value("d.noise") is None  # 2051 does not speak of real time


def test_split_packets_are_handed_on_as_they_come_and_a_missing_one_is_told() -> None:
    rig = Rig()
    at = rig.now.wall_us
    rig.send(factor("5"), flag=7, pnum=2, pno=1, data_us=at)
    assert rig.value("d.pm25") is not None and [p.cn for p in rig.answers] == ["9014"]
    rig.send((("a34002-Rtd", "6"),), flag=7, pnum=2, pno=2, data_us=at)
    assert rig.value("d.pm10") is not None and not rig.notices("packets_missing")
    rig.send(factor("5"), flag=7, pnum=3, pno=3, data_us=at - MINUTE)
    assert "only packets [3] of 3" in rig.notices("packets_missing")[0].text.en


def test_silence_is_a_loss_once_and_a_heartbeat_is_life() -> None:
    rig = Rig()
    rig.send(factor("5"))
    for _ in range(10):
        rig.after(100)
        rig.send(cn="9015", flag=9)
        assert [p.cn for p in rig.answers] == ["9014"]
    assert not [e for e in rig.events if isinstance(e, DeviceFailed)]
    for _ in range(400):
        rig.after(1)
    assert [e.device for e in rig.events if isinstance(e, DeviceFailed)] == ["d"]
    rig.send(factor("5"))
    assert isinstance(rig.events[-1], DeviceRead) and rig.events[-1].readings


def test_strangers_and_wrong_passwords_are_told_once_and_get_no_answer() -> None:
    rig = Rig(password="secret")
    rig.send(factor("5"))
    rig.send(factor("5"))
    assert len(rig.notices("wrong_password")) == 1 and rig.answers == [] and rig.value("d.pm25") is None
    rig.send(factor("5"), pw="secret")
    assert rig.value("d.pm25") is not None
    rig.send(factor("5"), mn="OTHER")
    assert len(rig.notices("unlisted_station")) == 1 and rig.answers == []
    rig.send(cn="7777", pw="secret")
    assert rig.notices("not_understood")


def test_every_packet_of_the_reference_is_taken_or_refused_with_the_reason() -> None:
    rig = Rig()
    reader = PacketReader()
    for octets in PACKETS:
        for packet in reader.feed(octets + b"\r\n"):
            rig._keep(rig.stations.take(1, packet, rig.now))
    assert rig.stations.refused == 2
    assert {n.text.en for n in rig.notices("packet_refused")} == {
        "packet refused: CRC 4980, should be 3C00", "packet refused: CRC 48C0, should be BC81"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=10))
def test_no_packet_of_any_peer_is_an_error(areas: list[bytes]) -> None:
    rig = Rig()
    for area in areas:
        text = area.decode("latin-1")
        groups = (((text or "x", text),), (("a34004-Rtd", text),))
        rig.take(Packet(text[:17], "39", "2011", text, MN, 5, 2, 1, groups))
        rig.after(1)
    assert all(isinstance(e, DeviceRead | DeviceFailed | DeviceNotice) for e in rig.events)


def test_shipped_profiles_are_within_what_the_driver_can_do() -> None:
    ours = [profile for profile in PROFILES.values() if profile.protocol == "hj212"]
    assert len(ours) >= 2 and not [check_profile(profile) for profile in ours if check_profile(profile)]
    assert check_profile(PROFILES["zigbee2mqtt-smoke"])
