"""The centre's side of GB/T 26875.3: field frames are fires, strangers are never dropped, confirms come last."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.driver import DeviceFailed, DeviceNotice, DeviceRead, DriverEvent, LineDevice
from device_drivers.fire_panel import FirePanels, Turn, check_profile
from device_model.clock import Now
from device_model.library import shipped_profiles
from device_model.reading import Quality, Reading, Reason
from tests.device_drivers.rig import GOLDEN as TRANSCRIPTS
from tests.device_drivers.rig import START, entry, read_transcript
from wire_codecs.gbt26875 import Command, Frame, FrameReader, RefusedFrame, Stamp, decode_frame
from wire_codecs.gbt26875_objects import (
    Analog,
    AskUitd,
    ComponentState,
    Content,
    DutyCheck,
    Part,
    ReadComponent,
    ReadSystem,
    SetClock,
    ShortSign,
    System,
    SystemState,
    UitdOperation,
    UitdState,
    UitdTime,
    Unread,
    decode_unit,
    encode_unit,
)

PROFILES = shipped_profiles()
GOLDEN = Path(__file__).parents[1] / "golden" / "frames" / "gbt26875.txt"
FRAMES = {row[0]: bytes.fromhex(row[2]) for line in GOLDEN.read_text(encoding="utf-8").splitlines()
          if line and not line.startswith("#") for row in (line.split(" ", 2),)}
S, X = 0, 0x322C312C  # the source addresses of frames S and X
PANEL = System(1, 1)
SMOKE = Part(PANEL, 0x0002000A)
AT = Stamp.at(START.wall_us)


def device(name: str, kind: str, address: str) -> LineDevice:
    return entry(name, PROFILES[f"gbt26875-{kind}"], address=address)


UITD = device("uitd", "uitd", "889")
FACILITY = device("panel", "facility", "889/1.1")
DETECTOR = device("smoke", "component", "889/1.1/0A000200")
PUMP = device("pump", "pressure", "889/11.1/01000000")
SITE = (UITD, FACILITY, DETECTOR, PUMP)


class Rig:
    """One line; frames are fed, events collected; `answers` are what the centre sent last."""

    def __init__(self, *devices: LineDevice) -> None:
        self.panels = FirePanels("line", devices or SITE, START)
        self.now = START
        self.events: list[DriverEvent] = []
        self.answers: list[Frame] = []
        self.serial = 0

    def after(self, seconds: float) -> None:
        self.now = self.now.later(round(seconds * 1e6))
        self._keep(self.panels.look(self.now))

    def take(self, frame: Frame | RefusedFrame, peer: int = 1) -> list[DriverEvent]:
        self.answers = []
        return self._keep(self.panels.take(peer, frame, self.now))

    def send(self, *objects: Content, source: int = 889, peer: int = 1) -> list[DriverEvent]:
        self.serial += 1
        unit = encode_unit(objects)
        return self.take(Frame(self.serial, AT, source, 88888, Command.SEND, unit), peer)

    def _keep(self, turn: Turn) -> list[DriverEvent]:
        self.events += turn.events
        self.answers += [frame for _, frame in turn.frames]
        return turn.events

    def value(self, point: str) -> Reading | None:
        found = None
        for event in self.events:
            if isinstance(event, DeviceRead):
                found = next((r for r in event.readings if r.point == point), found)
        return found

    def says(self, point: str, value: object) -> bool:
        reading = self.value(point)
        return reading is not None and reading.quality is Quality.GOOD and reading.value == value

    def notices(self, kind: str) -> list[DeviceNotice]:
        return [event for event in self.events if isinstance(event, DeviceNotice) and event.kind == kind]

    def finish_asking(self) -> None:
        """Confirm and deny what is asked at the greeting, until nothing is."""
        for _ in range(40):
            asked = [f for f in self.answers if f.command in (Command.REQUEST, Command.CONTROL)]
            if not asked:
                return
            command = Command.CONFIRM if asked[-1].command == Command.CONTROL else Command.REPLY
            unit = b"" if command == Command.CONFIRM else encode_unit([UitdState(1, AT)])
            self.take(asked[-1].answer(command, AT, unit))
        raise AssertionError("it asks for ever")


# -- field frames ------------------------------------------------------------------------------------------------


def test_field_frame_a_is_a_fire_at_its_detector() -> None:
    rig = Rig()
    rig.take(decode_frame(FRAMES["A"]))
    assert rig.says("smoke.fire", True) and rig.value("uitd.fire") is None
    assert rig.answers[0].command == Command.CONFIRM and rig.answers[0].serial == 1


@pytest.mark.parametrize(("name", "source"), [("A", 889), ("S", S), ("X", X)])
def test_field_frames_of_components_that_nobody_listed_are_fires_of_the_panel(name: str, source: int) -> None:
    """Bit 0 reads "test" in all three, the clock of X is years off, and no component is in the site file."""
    rig = Rig(device("uitd", "uitd", str(source)))
    rig.take(decode_frame(FRAMES[name]))
    reading = rig.value("uitd.fire")
    assert reading is not None and reading.value is True and reading.quality is Quality.GOOD
    assert reading.source_time_us == reading.receive_time_us == START.wall_us  # never taken for the past
    assert len(rig.notices("unlisted_component")) == 1 and rig.answers[0].command == Command.CONFIRM


def test_a_panel_that_sends_no_address_is_whoever_speaks() -> None:
    rig = Rig(device("uitd", "uitd", "*"), device("smoke", "component", "*/1.3/D9000600"))
    rig.take(decode_frame(FRAMES["S"]))
    assert rig.says("smoke.fire", True) and not rig.notices("unlisted_component")


def test_a_fire_of_a_device_that_nobody_listed_raises_the_lines_first_and_is_denied() -> None:
    rig = Rig()
    rig.take(decode_frame(FRAMES["X"]))
    assert rig.says("uitd.fire", True)
    assert rig.notices("unlisted_device") and [f.command for f in rig.answers] == [Command.DENY]
    rig.send(ComponentState(Part(PANEL, 0x00010001), 42, 1, "", AT), source=X)
    assert rig.says("uitd.fire", False)


def test_the_bad_frame_of_the_reference_is_denied_with_the_reason() -> None:
    rig = Rig()
    (refused,) = FrameReader().feed(FRAMES["V"])
    rig.take(refused)
    assert rig.panels.refused == 1 and [f.command for f in rig.answers] == [Command.DENY]
    assert "checksum 30, should be 32" in rig.notices("frame_refused")[0].text.en


def test_uitd_frames_of_the_reference() -> None:
    rig = Rig()
    rig.take(decode_frame(FRAMES["D"]))
    assert rig.says("uitd.mains_ok", False) and rig.says("uitd.fire", False)
    rig.take(decode_frame(FRAMES["E"]))
    assert "operator 1" in rig.notices("duty_answered")[0].text.en
    assert rig.answers[0].command == Command.CONFIRM


# -- strangers ---------------------------------------------------------------------------------------------------


def test_an_unlisted_fire_stays_until_that_very_component_says_otherwise() -> None:
    rig = Rig(UITD)
    other = Part(PANEL, 99)
    rig.send(ComponentState(SMOKE, 40, 2, "走廊", AT))
    rig.send(ComponentState(other, 40, 3, "", AT))
    rig.send(UitdState(1, AT))  # the transmission device's own bit does not clear it
    rig.send(ComponentState(other, 40, 1, "", AT))
    assert rig.says("uitd.fire", True)
    assert "(走廊)" in rig.notices("unlisted_component")[0].text.en
    rig.send(ComponentState(SMOKE, 40, 1, "", AT))
    assert rig.says("uitd.fire", False)


def test_an_unlisted_fire_raises_its_facility_where_that_is_listed_and_clears_with_it() -> None:
    rig = Rig(UITD, FACILITY)
    rig.send(ComponentState(SMOKE, 40, 2, "", AT))
    assert rig.says("panel.fire", True) and rig.value("uitd.fire") is None
    rig.send(SystemState(PANEL, 1, AT))
    assert rig.says("panel.fire", False)


def test_a_listed_component_without_a_fire_point_raises_its_panel() -> None:
    rig = Rig(UITD, PUMP)
    rig.send(ComponentState(Part(System(11, 1), 1), 24, 2, "", AT))
    assert rig.says("uitd.fire", True)


def test_a_stranger_is_told_once_and_the_memory_of_it_is_bounded() -> None:
    rig = Rig(UITD)
    for number in range(1200):
        rig.send(ComponentState(Part(PANEL, number), 40, 4, "", AT))
    rig.send(ComponentState(Part(PANEL, 0), 40, 4, "", AT))
    assert len(rig.notices("unlisted_component")) == 1000 and rig.panels._notices.untold == 200
    assert rig.says("uitd.fault", True)
    rig.send(ComponentState(Part(PANEL, 5000), 40, 2, "", AT))  # a fire is told however many there were
    assert len(rig.notices("unlisted_component")) == 1001 and rig.says("uitd.fire", True)


def test_what_cannot_be_read_is_told() -> None:
    rig = Rig()
    rig.send(Unread(200, b"\x01\x02", ""))
    assert "type 200" in rig.notices("not_understood")[0].text.en and rig.answers[0].command == Command.CONFIRM
    rig.take(Frame(9, AT, 889, 88888, Command.SEND, b"\x09\x01"))
    assert rig.answers[0].command == Command.DENY and "reserved" in rig.notices("frame_refused")[0].text.en
    rig.take(Frame(9, AT, 889, 88888, 77))
    assert rig.answers[0].command == Command.DENY


# -- values ------------------------------------------------------------------------------------------------------


def test_states_and_values_reach_their_points() -> None:
    rig = Rig()
    rig.send(SystemState(PANEL, 0x0901, AT))
    assert rig.says("panel.mains_ok", False) and rig.says("panel.manual", True) and rig.says("panel.fire", False)
    rig.send(Analog(Part(System(11, 1), 1), 99, 5, 3500, AT))
    reading = rig.value("pump.pressure")
    assert reading is not None and reading.value == pytest.approx(350_000) and reading.unit == "Pa"
    rig.send(ComponentState(SMOKE, 40, 0x0105, "", AT))
    assert rig.says("smoke.fault", True) and rig.says("smoke.supply_fault", True)


def test_an_unchanged_state_is_fresh_and_not_said_again() -> None:
    rig = Rig()
    rig.send(ComponentState(SMOKE, 40, 1, "", AT))
    events = [e for e in rig.send(ComponentState(SMOKE, 40, 1, "", AT)) if isinstance(e, DeviceRead)]
    assert [(e.device, e.readings) for e in events] == [("smoke", ())] and "smoke.fire" in events[0].fresh


# -- session -----------------------------------------------------------------------------------------------------


def test_the_first_frame_starts_clock_and_queries_one_at_a_time() -> None:
    rig = Rig()
    rig.send(ShortSign())
    assert [f.command for f in rig.answers] == [Command.CONFIRM, Command.CONTROL]
    asked: list[Content] = []
    for _ in range(5):
        request = rig.answers[-1]
        assert request.source == 88888 and request.destination == 889
        asked += decode_unit(request.unit)
        control = request.command == Command.CONTROL
        unit = b"" if control else encode_unit([UitdState(1, AT)])
        rig.take(request.answer(Command.CONFIRM if control else Command.REPLY, AT, unit))
        if not rig.answers:
            break
    assert asked == [SetClock(AT), AskUitd(81), ReadSystem(61, PANEL), ReadComponent(62, SMOKE),
                     ReadComponent(62, Part(System(11, 1), 1))]


def test_a_reply_is_a_reading_and_a_late_reply_too() -> None:
    rig = Rig()
    rig.take(decode_frame(FRAMES["I"]))
    assert rig.says("uitd.mains_ok", False)


def test_no_answer_is_asked_again_three_times_and_then_told() -> None:
    rig = Rig(UITD)
    rig.send(ShortSign())
    rig.answers = []
    for _ in range(45):
        rig.after(1)
    assert [f.serial for f in rig.answers if f.command == Command.CONTROL] == [0, 0, 0]
    assert "type 90" in rig.notices("exchange_failed")[0].text.en
    assert rig.answers[-1].serial == 1 and rig.answers[-1].command == Command.REQUEST


def test_a_clock_that_we_do_not_know_is_not_given() -> None:
    rig = Rig(UITD)
    rig.now = Now(START.wall_us, START.mono_us, START.boot, -1)
    rig.send(ShortSign())
    assert [decode_unit(f.unit) for f in rig.answers[1:]] == [(AskUitd(81),)]


def test_a_clock_that_is_off_is_told_and_set() -> None:
    rig = Rig(UITD)
    rig.send(ShortSign())
    rig.finish_asking()
    rig.send(UitdTime(Stamp(0, 0, 0, 1, 1, 12)))
    assert rig.notices("clock_wrong") and decode_unit(rig.answers[-1].unit) == (SetClock(AT),)


def test_a_duty_check_is_asked_by_a_person_only() -> None:
    rig = Rig(UITD)
    assert not rig.panels.ask_duty("uitd", 10, rig.now)  # not connected
    rig.send(ShortSign())
    rig.finish_asking()
    rig.after(7000)
    assert not any(DutyCheck(10) in decode_unit(f.unit) for f in rig.answers)
    rig.send(ShortSign(), peer=2)
    rig.finish_asking()
    assert rig.panels.ask_duty("uitd", 10, rig.now)
    rig.after(1)
    assert decode_unit(rig.answers[-1].unit) == (DutyCheck(10),)
    rig.send(UitdOperation(0x20, 7, AT), peer=2)
    assert "operator 7" in rig.notices("duty_answered")[0].text.en


def test_a_vendors_hand_shake_is_answered_as_the_vendor_does() -> None:
    rig = Rig(UITD)
    rig.send(ShortSign(b"\x16"))
    assert (rig.answers[0].command, rig.answers[0].unit) == (Command.CONFIRM, b"\x17")


# -- silence -----------------------------------------------------------------------------------------------------


def test_a_silent_uitd_is_lost_once_with_all_behind_it_and_comes_back() -> None:
    rig = Rig()
    rig.send(ComponentState(SMOKE, 40, 1, "", AT))
    rig.panels.closed(1, rig.now)
    for _ in range(130):
        rig.after(1)
    failed = [e.device for e in rig.events if isinstance(e, DeviceFailed)]
    assert sorted(failed) == ["panel", "pump", "smoke", "uitd"]
    events = rig.send(ComponentState(SMOKE, 40, 2, "", AT), peer=2)
    assert rig.says("smoke.fire", True) and any(isinstance(e, DeviceRead) for e in events)


def test_heartbeats_keep_what_was_said_fresh() -> None:
    rig = Rig(UITD, DETECTOR)
    rig.send(ComponentState(SMOKE, 40, 1, "", AT))
    rig.events = []
    for _ in range(30):
        rig.after(20)
        rig.send(ShortSign())
    assert not [e for e in rig.events if isinstance(e, DeviceFailed)]
    fresh = [e for e in rig.events if isinstance(e, DeviceRead) and e.device == "smoke"]
    assert len(fresh) == 30 and all(not e.readings and "smoke.fire" in e.fresh for e in fresh)


def test_a_broken_line_to_the_panel_loses_what_is_behind_it() -> None:
    rig = Rig(UITD, DETECTOR)
    rig.send(ComponentState(SMOKE, 40, 1, "", AT))
    rig.send(UitdState(0x41, AT))
    assert [(e.device, e.reason) for e in rig.events if isinstance(e, DeviceFailed)] == [
        ("smoke", Reason.DEVICE_FAULT)]
    rig.after(10)
    rig.events = []
    rig.send(ShortSign())
    assert not [e for e in rig.events if isinstance(e, DeviceRead) and e.device == "smoke"]


def test_a_uitd_that_cannot_be_asked_gives_its_memory_as_uncertain() -> None:
    rig = Rig(UITD, DETECTOR)
    rig.send(ComponentState(SMOKE, 40, 1, "", AT))
    rig.panels.closed(1, rig.now)
    rig.after(200)
    rig.panels._uitds["889"].mute = True
    rig.send(ShortSign(), peer=2)
    reading = rig.value("smoke.fire")
    assert reading is not None and reading.value is False and reading.quality is Quality.UNCERTAIN


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 889, X]), st.integers(0, 255), st.binary(max_size=120)), max_size=20))
def test_no_frame_of_any_peer_is_an_error(frames: list[tuple[int, int, bytes]]) -> None:
    rig = Rig()
    for source, command, unit in frames:
        rig.take(Frame(1, AT, source, 1, command, unit))
        rig.after(3)
    assert all(isinstance(e, DeviceRead | DeviceFailed | DeviceNotice) for e in rig.events)


def test_shipped_profiles_are_within_what_the_driver_can_do() -> None:
    ours = [profile for profile in PROFILES.values() if profile.protocol == "gbt26875"]
    assert len(ours) >= 4 and not [check_profile(profile) for profile in ours if check_profile(profile)]
    wrong = PROFILES["zigbee2mqtt-smoke"]
    assert any("no state" in problem for problem in check_profile(wrong))


@pytest.mark.parametrize("name", sorted(n for n, p in PROFILES.items() if p.protocol == "gbt26875"))
def test_a_panels_transcript_means_what_it_says(name: str) -> None:
    path = TRANSCRIPTS / f"{name}.txt"
    address = path.read_text(encoding="utf-8").partition("# address: ")[2].split()[0]
    uitd = [UITD] if "/" in address else []
    for look in read_transcript(path):
        rig = Rig(*uitd, entry("d", PROFILES[name], address=address))
        for _, octets in look.messages:
            rig.take(decode_frame(octets))
        assert look.expected
        for wanted in look.expected:
            reading, where = rig.value(f"d.{wanted.point}"), f"{look.name}: {wanted.point}"
            assert reading is not None, where
            if not wanted.good:
                assert reading.reason == wanted.text, where
            elif wanted.text in ("true", "false"):
                assert reading.value is (wanted.text == "true"), where
            else:
                assert reading.value == pytest.approx(float(wanted.text)) and reading.unit == wanted.unit, where
