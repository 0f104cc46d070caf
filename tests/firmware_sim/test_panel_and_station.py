"""Panels and stations as sessions, decoded by decoders written here from the standards, bit by bit."""

from __future__ import annotations

import re

import pytest

from device_model.library import shipped_profiles
from firmware_sim.device import VirtualDevice
from firmware_sim.modbus_device import Framing, Request
from firmware_sim.modbus_line import line_answers
from firmware_sim.panel_bugs import PanelBug
from firmware_sim.panel_device import Panel
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.sessions import line_sessions, through_faults
from firmware_sim.station_bugs import StationBug
from firmware_sim.station_device import Station, StationSettings
from firmware_sim.world import SimWorld
from wire_codecs.hj212 import Edition, Packet, encode_packet

PROFILES = shipped_profiles()
WALL_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC, 08:00 in China
S = 1_000_000


# -- decoders of our own, from GB/T 26875.3-2011 6.6 and HJ 212-2017 6.3, sharing nothing with the product ----


def unframed(octets: bytes) -> dict[str, object]:
    assert octets[:2] == b"@@" and octets[-2:] == b"##"
    length = octets[24] | octets[25] << 8
    assert len(octets) == 30 + length
    assert octets[-3] == sum(octets[2:-3]) % 256
    return {"serial": octets[2] | octets[3] << 8, "time": tuple(octets[6:12]),
            "source": int.from_bytes(octets[12:18], "little"), "to": int.from_bytes(octets[18:24], "little"),
            "command": octets[26], "unit": octets[27:27 + length]}


def confirm(octets: bytes, command: int = 3) -> bytes:
    body = octets[2:12] + octets[18:24] + octets[12:18] + b"\0\0" + bytes((command,))
    return b"@@" + body + bytes((sum(body) % 256,)) + b"##"


def ask(serial: int, command: int, unit: bytes, to: int = 889) -> bytes:
    body = (serial.to_bytes(2, "little") + b"\1\0" + bytes((2, 58, 9, 26, 9, 12)) + (1).to_bytes(6, "little")
            + to.to_bytes(6, "little") + len(unit).to_bytes(2, "little") + bytes((command,)) + unit)
    return b"@@" + body + bytes((sum(body) % 256,)) + b"##"


def hj_crc(octets: bytes) -> int:
    register = 0xFFFF
    for byte in octets:
        register = (register >> 8) ^ byte
        for _ in range(8):
            low = register & 1
            register >>= 1
            if low:
                register ^= 0xA001
    return register


def unpacked(octets: bytes) -> dict[str, str]:
    match = re.fullmatch(rb"##(\d{4})(.*)([0-9A-F]{4})\r\n", octets, re.DOTALL)
    assert match is not None, octets
    assert len(match[2]) == int(match[1]) and hj_crc(match[2]) == int(match[3], 16)
    head, _, area = match[2].decode().partition("CP=&&")
    fields = dict(pair.split("=") for pair in head.strip(";").split(";"))
    for pair in area.removesuffix("&&").replace(";", ",").split(","):
        if pair:
            name, _, text = pair.partition("=")
            fields[name] = text
    return fields


# -- the decoders themselves read the verified samples of the references --


SAMPLE_H = bytes.fromhex("404001000101203A091A090C385B01000000790300000000030004510100FE2323")
SAMPLE_I = bytes.fromhex("404001000101203A091A090C790300000000385B01000000090005150108023A091A090C452323")
SAMPLE_R = bytes.fromhex("404001000101203A091A090C385B010000007903000000000300015B010A0F2323")
SAMPLE_P = bytes.fromhex("404001000101233A091A090C790300000000385B01000000000003AB2323")
SAMPLE_DUST = (b"##0239QN=20180821142509000;ST=39;CN=2011;PW=123456;MN=690000D5800028F889221AC0;Flag=4;CP=&&DataTime="
               b"20180821142509;a34004-Rtd=0.0;a34002-Rtd=0.0;a34001-Rtd=0.0;LA-Rtd=0.0;a01001-Rtd=0.0;a01002-Rtd=0.0;"
               b"a01006-Rtd=0.0;a01007-Rtd=0.0;a01008-Rtd=0&&E541\r\n")


def test_the_decoders_of_this_test_read_the_verified_samples() -> None:
    assert unframed(SAMPLE_I)["unit"] == b"\x15\x01\x08\x02\x3a\x09\x1a\x09\x0c"
    assert unpacked(SAMPLE_DUST)["a01008-Rtd"] == "0" and unpacked(SAMPLE_DUST)["ST"] == "39"


def test_the_samples_questions_get_the_samples_answers() -> None:
    """State (H, I) and duty check (R, P), byte for byte but for the times, the state's bit 0 and the sum."""
    device = VirtualDevice("uitd", PROFILES["gbt26875-uitd"], start={"mains_ok": False})
    it = Panel(0x379, {"": device}, centre=0x15B38)
    confirmed(it, it.opened(0, WALL_US), 0)
    for asked, wanted in ((SAMPLE_H, SAMPLE_I), (SAMPLE_R, SAMPLE_P)):
        got = it.take(asked, S, WALL_US)[0]
        assert got[:6] + got[12:27] == wanted[:6] + wanted[12:27] and got[-2:] == wanted[-2:]
        assert len(got) == len(wanted)
        if wanted is SAMPLE_I:
            assert got[27:29] == wanted[27:29] and got[29] == wanted[29] | 1


# -- panels ---------------------------------------------------------------------------------------------------


def panel(*bugs: PanelBug) -> tuple[Panel, dict[str, VirtualDevice]]:
    devices = {
        "": VirtualDevice("uitd", PROFILES["gbt26875-uitd"]),
        "1.1": VirtualDevice("facility", PROFILES["gbt26875-facility"]),
        "1.1/0A000200": VirtualDevice("smoke", PROFILES["gbt26875-component"]),
        "1.1/0B000200": VirtualDevice("button", PROFILES["gbt26875-call-point"]),
        "11.1/01000000": VirtualDevice("pressure", PROFILES["gbt26875-pressure"], start={"pressure": 350.0}),
    }
    return Panel(889, devices, bugs=frozenset(bugs)), devices


def settle(it: Panel, at_s: float) -> list[dict[str, object]]:
    """Confirm all that the panel says at a time; what it said."""
    return confirmed(it, it.due(round(at_s * S), WALL_US + round(at_s * S)), at_s)


def confirmed(it: Panel, out: list[bytes], at_s: float) -> list[dict[str, object]]:
    said: list[dict[str, object]] = []
    while out:
        heard, out = out, []
        for octets in heard:
            frame = unframed(octets)
            said.append(frame)
            if frame["command"] == 2:
                out += it.take(confirm(octets), round(at_s * S), WALL_US + round(at_s * S))
    return said


def opened(*bugs: PanelBug) -> tuple[Panel, dict[str, VirtualDevice]]:
    it, devices = panel(*bugs)
    first = it.opened(0, WALL_US)
    assert unframed(first[0])["unit"][:2] == b"\x15\x01"  # type: ignore[index]  # bytes: the device's own state first
    confirmed(it, first, 0)
    return it, devices


def test_a_fire_goes_first_and_is_decoded_as_the_standard_says() -> None:
    it, devices = opened()
    devices["1.1/0A000200"].set("fire", True)
    said = settle(it, 10)
    fire = said[0]
    assert (fire["source"], fire["to"], fire["command"]) == (889, 1, 2)
    assert fire["time"] == (10, 0, 8, 1, 1, 26)  # s, min, h, day, month, year: local time, binary
    unit = bytes(fire["unit"])  # type: ignore[call-overload]  # bytes
    # type 2, one object: system 1.1, component kind 40, address as on the wire, state running + fire, note, time
    assert unit[:11] == bytes((2, 1, 1, 1, 40, 0x0A, 0, 2, 0, 0x03, 0))
    assert len(unit) == 2 + 46 and unit[11:16] == b"smoke"
    kinds = [bytes(frame["unit"])[0] for frame in said]  # type: ignore[call-overload]  # bytes
    assert kinds == [2, 1, 21]  # component, then its facility, then the device: each shows the fire


def test_what_is_not_confirmed_is_sent_three_times_more_and_lights_the_channel_fault() -> None:
    it, devices = opened()
    devices["1.1/0A000200"].set("fire", True)
    sent = {}
    for tenth in range(0, 900):
        for octets in it.due(S + tenth * S // 10, WALL_US):
            sent.setdefault(bytes(octets[2:4] + octets[27:30]), []).append(tenth)
    tries = next(iter(sent.values()))
    assert tries == [0, 100, 200, 300]
    assert it.failed == 2  # and the facility's state after it
    assert any(key[2:4] == b"\x15\x01" for key in sent)  # the device's own state follows: channel fault


def test_a_duty_check_is_answered_by_a_person_only() -> None:
    it, devices = opened()
    out = it.take(ask(7, 1, b"\x5b\x01\x0a"), 5 * S, WALL_US)
    assert unframed(out[0])["command"] == 3 and unframed(out[0])["serial"] == 7
    for second in range(6, 400, 5):
        assert not [f for f in settle(it, second) if bytes(f["unit"])[:1] == b"\x18"]  # type: ignore[call-overload]
    devices[""].press("answer")
    answer = [f for f in settle(it, 401) if bytes(f["unit"])[:1] == b"\x18"]  # type: ignore[call-overload]  # bytes
    assert len(answer) == 1 and bytes(answer[0]["unit"])[2] == 0x20  # type: ignore[call-overload]  # bit 5
    devices[""].press("answer")  # nobody asked any more
    assert not [f for f in settle(it, 402) if bytes(f["unit"])[:1] == b"\x18"]  # type: ignore[call-overload]


@pytest.mark.parametrize(("unit", "begins"), [
    (b"\x51\x01\x00", b"\x15\x01\x01"), (b"\x55\x01\x00", b"\x19\x01"), (b"\x58\x01\x00", b"\x1c\x01"),
    (b"\x3d\x01\x01\x01", b"\x01\x01\x01\x01\x01\x00"),
    (b"\x3e\x01\x01\x01\x0a\x00\x02\x00", b"\x02\x01\x01\x01\x28\x0a\x00\x02\x00\x01\x00"),
    (b"\x3f\x01\x0b\x01\x01\x00\x00\x00", b"\x03\x01\x0b\x01\x63\x01\x00\x00\x00\x05\xac\x0d"),  # 350.0 kPa: 3500
])
def test_queries_are_answered(unit: bytes, begins: bytes) -> None:
    it, _ = opened()
    reply = unframed(it.take(ask(9, 4, unit), S, WALL_US)[0])
    assert (reply["command"], reply["serial"]) == (5, 9)
    assert bytes(reply["unit"]).startswith(begins)  # type: ignore[call-overload]  # bytes


def test_a_query_for_what_is_not_there_is_denied() -> None:
    it, _ = opened()
    assert unframed(it.take(ask(3, 4, b"\x3d\x01\x09\x09"), S, WALL_US)[0])["command"] == 6


def test_the_centre_sets_the_clock() -> None:
    it, _ = opened()
    it.take(ask(3, 1, b"\x5a\x01" + bytes((0, 30, 12, 24, 12, 25))), S, WALL_US)
    reply = unframed(it.take(ask(4, 4, b"\x58\x01\x00"), S, WALL_US)[0])
    assert bytes(reply["unit"])[2:8] == bytes((0, 30, 12, 24, 12, 25))  # type: ignore[call-overload]  # bytes


def test_what_happens_while_the_line_is_down_is_sent_when_it_is_back() -> None:
    it, devices = opened()
    it.closed(2 * S)
    devices["1.1/0B000200"].set("pressed", True)
    assert it.due(3 * S, WALL_US) == []
    said = confirmed(it, it.opened(60 * S, WALL_US), 60)
    assert any(bytes(f["unit"])[:5] == bytes((2, 1, 1, 1, 23)) for f in said)  # type: ignore[call-overload]  # bytes


def test_buttons_of_the_panel_are_told_as_operations() -> None:
    it, devices = opened()
    devices["1.1"].press("silence")
    said = [bytes(f["unit"]) for f in settle(it, 4)]  # type: ignore[call-overload]  # bytes
    assert bytes((4, 1, 1, 1, 0x02, 1)) in [unit[:6] for unit in said]


@pytest.mark.parametrize("bug", [PanelBug.SUM_WITH_START, PanelBug.BIG_ENDIAN_LENGTH])
def test_bugs_break_the_frame(bug: PanelBug) -> None:
    it, _ = panel(bug)
    with pytest.raises(AssertionError):
        unframed(it.opened(0, WALL_US)[0])


# -- stations -------------------------------------------------------------------------------------------------


def station(settings: StationSettings | None = None, *bugs: StationBug) -> Station:
    device = VirtualDevice("dust", PROFILES["hj212-dust"], start={"pm10": 81.5, "noise": 63.0})
    return Station("010000A8900016F000169DC0", device, settings, bugs=frozenset(bugs))


def told(octets: bytes, cn: str = "9014") -> bytes:
    fields = unpacked(octets)
    segment = f"QN={fields['QN']};ST=91;CN={cn};PW={fields['PW']};MN={fields['MN']};Flag=4;CP=&&&&".encode()
    return b"##%04d" % len(segment) + segment + b"%04X\r\n" % hj_crc(segment)


def run_station(it: Station, from_s: int, to_s: int, *, answer: bool = True) -> list[dict[str, str]]:
    said = []
    for second in range(from_s, to_s):
        out = it.due(second * S, WALL_US + second * S)
        while out:
            octets = out.pop(0)
            said.append(unpacked(octets))
            if answer and said[-1]["CN"] not in ("9015",):
                out += it.take(told(octets), second * S, WALL_US + second * S)
    return said


def test_real_time_minutes_and_start_up_are_uploaded() -> None:
    it = station()
    first = unpacked(it.opened(0, WALL_US)[0])
    assert first["CN"] == "2081" and first["ST"] == "39" and first["RestartTime"] == "20260101080000"
    it.take(told(encode_packet(Packet(first["QN"], "39", "2081", "123456", it.mn, 5))), 0, WALL_US)
    said = run_station(it, 0, 1300)
    real = [fields for fields in said if fields["CN"] == "2011"]
    assert len(real) in (43, 44) and real[0]["a34002-Rtd"] == "81.5" and real[0]["a34002-Flag"] == "N"
    minutes = [fields for fields in said if fields["CN"] == "2051"]
    assert [fields["DataTime"] for fields in minutes] == ["20260101080000", "20260101081000"]  # start of the period
    assert minutes[0]["a34002-Min"] == minutes[0]["a34002-Avg"] == minutes[0]["a34002-Max"] == "81.5"
    assert minutes[0]["Leq-Data"] == "63"
    assert len({fields["QN"] for fields in said}) == len(said)
    assert all(len(fields["QN"]) == 17 and int(fields["Flag"]) & 1 for fields in said)


def test_no_answer_means_three_repeats_of_the_same_packet() -> None:
    it = station()
    sent = [unpacked(octets)["QN"] for octets in it.opened(0, WALL_US)]
    for second in range(1, 60):
        sent += [unpacked(octets)["QN"] for octets in it.due(second * S, WALL_US + second * S)]
    assert sent[:4] == [sent[0]] * 4 and it.unanswered == 1


def test_after_a_cut_live_values_come_first_and_every_record_arrives() -> None:
    it = station()
    it.opened(0, WALL_US)
    run_station(it, 0, 30)
    it.closed(30 * S)
    for second in range(30, 3700):
        assert it.due(second * S, WALL_US + second * S) == []
    first = it.opened(3700 * S, WALL_US + 3700 * S)
    said = [unpacked(first[0])]
    out = it.take(told(first[0]), 3700 * S, WALL_US + 3700 * S)
    while out:
        octets = out.pop(0)
        said.append(unpacked(octets))
        out += it.take(told(octets), 3700 * S, WALL_US + 3700 * S)
    minutes = [fields["DataTime"] for fields in said if fields["CN"] == "2051"]
    assert minutes == [f"202601010{8 if m < 60 else 9}{m % 60:02d}00" for m in range(0, 60, 10)]
    assert [fields["CN"] for fields in said].count("2061") == 1 and it.lost == 0


@pytest.mark.parametrize(("cn", "area", "answers"), [
    ("1011", "", [("9011", "QnRtn", "1"), ("1011", "SystemTime", "20260101080000"), ("9012", "ExeRtn", "1")]),
    ("1061", "", [("9011", "QnRtn", "1"), ("1061", "RtdInterval", "30"), ("9012", "ExeRtn", "1")]),
    ("1062", "RtdInterval=60", [("9011", "QnRtn", "1"), ("9012", "ExeRtn", "1")]),
    ("1062", "RtdInterval=5", [("9011", "QnRtn", "1"), ("9012", "ExeRtn", "3")]),
    ("1064", "MinInterval=7", [("9011", "QnRtn", "1"), ("9012", "ExeRtn", "3")]),
    ("2012", "", [("9013", "", "")]),
    ("7777", "", [("9011", "QnRtn", "8")]),
    ("2051", "BeginTime=20250101000000;EndTime=20250102000000", [("9011", "QnRtn", "1"), ("9012", "ExeRtn", "100")]),
])
def test_a_host_commands(cn: str, area: str, answers: list[tuple[str, str, str]]) -> None:
    it = station()
    it.opened(0, WALL_US)
    segment = f"QN=20260101080000123;ST=39;CN={cn};PW=123456;MN={it.mn};Flag=5;CP=&&{area}&&".encode()
    out = it.take(b"##%04d" % len(segment) + segment + b"%04X\r\n" % hj_crc(segment), 0, WALL_US)
    found = [fields for fields in map(unpacked, out) if fields["QN"] == "20260101080000123"]
    assert [(f["CN"], name, f.get(name, "")) for f, (_, name, _) in zip(found, answers, strict=True)] == answers


@pytest.mark.parametrize(("field", "code"), [("PW=000000", "3"), ("MN=X", "4"), ("ST=22", "5"), ("QN=1", "7")])
def test_a_wrong_command_is_refused_with_the_right_code(field: str, code: str) -> None:
    it = station()
    it.opened(0, WALL_US)
    text = f"QN=20260101080000123;ST=39;CN=1011;PW=123456;MN={it.mn};Flag=5;CP=&&&&"
    name = field.partition("=")[0]
    segment = re.sub(f"{name}=[^;]*", field, text).encode()
    out = it.take(b"##%04d" % len(segment) + segment + b"%04X\r\n" % hj_crc(segment), 0, WALL_US)
    assert unpacked(out[0])["QnRtn"] == code


def test_the_2025_edition_beats_and_says_its_version() -> None:
    it = station(StationSettings(edition=Edition.HJ_2025))
    it.opened(0, WALL_US)
    said = run_station(it, 0, 130)
    assert [f["Flag"] for f in said if f["CN"] == "9015"] == ["8", "8"]
    assert {f["Flag"] for f in said if f["CN"] == "2011"} == {"9"}


@pytest.mark.parametrize("bug", [StationBug.MODBUS_CRC, StationBug.LOWER_CRC, StationBug.LENGTH_WITH_TAIL,
                                 StationBug.NO_TAIL])
def test_bugs_break_the_packet(bug: StationBug) -> None:
    with pytest.raises(AssertionError):
        for octets in station(None, bug).opened(0, WALL_US):
            unpacked(octets)


# -- the same seed, the same bytes ----------------------------------------------------------------------------

SCENARIO = """
scenario: panels-and-stations
seed: 11
lines:
  - {id: centre, kind: gbt26875, port: 5200, centre: 7}
  - {id: host, kind: hj212, port: 5201, minutes: 1}
  - {id: bus, kind: modbus_tcp, port: 0}
  - {id: air, kind: mqtt}
devices:
  - {id: uitd, profile: gbt26875-uitd, line: centre, address: "889"}
  - {id: smoke, profile: gbt26875-component, line: centre, address: "889/1.1/0A000200"}
  - {id: dust, profile: hj212-dust, line: host, address: 010000A8900016F000169DC0}
  - {id: co, profile: gas-module-co, line: bus, unit: 2}
  - {id: hall, profile: zigbee2mqtt-smoke, line: air}
events:
  - {at_s: 5, set: {smoke.fire: true}}
  - {at_s: 30, set: {dust.pm10: 400}}
faults:
  - {kind: garble, target: host, from_s: 10, for_s: 100, chance: 0.5}
  - {kind: drop, target: uitd, from_s: 4, for_s: 10, chance: 0.5}
  - {kind: garble, target: bus, from_s: 3, for_s: 60, chance: 0.3}
  - {kind: drop, target: air, from_s: 3, for_s: 60, chance: 0.3}
"""


def bytes_of_a_run(text: str) -> list[tuple[str, float, bytes]]:
    world = SimWorld(parse_scenario(text, "s.yaml", PROFILES), PROFILES, {})
    lines = {line.id: line_sessions(line, world.scenario, world.devices) for line in world.scenario.lines}
    bus = next(line for line in world.scenario.lines if line.id == "bus")
    request = Request(2, bytes((3, 0, 0, 0, 2)), 7)
    out: list[tuple[str, float, bytes]] = []
    for step in range(600):
        at_s = step * 0.25
        world.advance(at_s)
        for line, sessions in lines.items():
            for session in sessions:
                pieces = session.opened(0, WALL_US) if step == 0 else session.due(
                    round(at_s * S), WALL_US + round(at_s * S))
                out += [(line, at_s, sent.octets) for sent in
                        through_faults(world.faults[line], session, pieces, at_s)]
        out += [("bus", at_s, sent.octets) for sent in line_answers(world, bus, request, Framing.TCP, at_s)]
        out += [("air", at_s, m.topic.encode() + m.payload)
                for _, m, _ in world.publishes("air", at_s, WALL_US + round(at_s * S))]
    return out


def test_the_same_seed_gives_the_same_bytes_on_every_link() -> None:
    first, again = bytes_of_a_run(SCENARIO), bytes_of_a_run(SCENARIO)
    assert first == again and {line for line, _, _ in first} == {"centre", "host", "bus", "air"}
    assert bytes_of_a_run(SCENARIO.replace("seed: 11", "seed: 12")) != first
