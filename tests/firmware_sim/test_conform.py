"""Conformance: a right device has no deviation, and every named bug is found, by the check that names its clause."""

from __future__ import annotations

import pytest

from device_drivers.driver import LineDevice
from device_drivers.fire_panel import FirePanels
from device_drivers.station import Stations
from device_model.clock import Now
from device_model.library import shipped_profiles
from device_model.profile import DeviceProfile
from device_model.site import Device, Text
from firmware_sim.conform import Check, Outcome, Verdict
from firmware_sim.conform_gbt26875 import receiver_checks
from firmware_sim.conform_hj212 import host_checks
from firmware_sim.conform_modbus import modbus_checks
from firmware_sim.conform_mqtt import Heard, mqtt_verdicts
from firmware_sim.conform_profile import conform_profile, readable_of, transmitter_verdicts
from firmware_sim.device import VirtualDevice
from firmware_sim.modbus_bugs import ModbusBug
from firmware_sim.modbus_device import Framing, NotModbus, RtuFrames, TcpFrames
from firmware_sim.modbus_line import line_answers
from firmware_sim.mqtt_device import MqttDevice
from firmware_sim.panel_bugs import PanelBug
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.world import SimWorld
from wire_codecs.gbt26875 import FrameReader, Stamp, encode_frame
from wire_codecs.hj212 import PacketReader, encode_packet

PROFILES = shipped_profiles()
WALL_US = 1_767_225_600_000_000
S = 1_000_000


def modbus_deviations(profile: str, framing: Framing, *bugs: str) -> dict[str, Verdict]:
    kind = "modbus_tcp, port: 0" if framing is Framing.TCP else "pty, path: ./x"
    world = SimWorld(parse_scenario(
        f"scenario: c\nlines: [{{id: bus, kind: {kind}, bugs: [{', '.join(bugs)}]}}]\n"
        f"devices: [{{id: it, profile: {profile}, line: bus, unit: 9}}]\n", "c.yaml", PROFILES), PROFILES, {})
    line = world.scenario.lines[0]
    rtu = RtuFrames()

    def ask(check: Check) -> bytes:
        rtu.pause()
        try:
            requests = TcpFrames().feed(check.send) if framing is Framing.TCP else rtu.feed(check.send)
        except NotModbus:
            return b""
        return b"".join(out.octets for request in requests
                        for out in line_answers(world, line, request, framing, 0.0))

    checks = modbus_checks(framing, 9, readable_of(PROFILES[profile]))
    verdicts = [check.verdict(ask(check)) for check in checks]
    return {v.check: v for v in verdicts if v.outcome is Outcome.DEVIATES}


@pytest.mark.parametrize("framing", list(Framing))
@pytest.mark.parametrize("profile", ["sdm120", "calectro-ug3", "gas-module-co", "pzem-016"])
def test_our_devices_conform(profile: str, framing: Framing) -> None:
    found = modbus_deviations(profile, framing)
    assert not found, found


@pytest.mark.parametrize(("bug", "check", "framing"), [
    (ModbusBug.ZERO_TRANSACTION, "transaction", Framing.TCP), (ModbusBug.WRONG_UNIT_ECHO, "unit", Framing.TCP),
    (ModbusBug.LONG_LENGTH, "length", Framing.TCP), (ModbusBug.SILENT_EXCEPTIONS, "unknown_function", Framing.TCP),
    (ModbusBug.WRONG_EXCEPTION, "count_zero", Framing.TCP),
    (ModbusBug.EXCEPTION_WITHOUT_BIT, "unknown_function", Framing.TCP),
    (ModbusBug.ANSWERS_BROADCAST, "broadcast", Framing.RTU),
    (ModbusBug.UNKNOWN_ADDRESS_ZERO, "address_over", Framing.RTU),
    (ModbusBug.COUNT_UNCHECKED, "count_over", Framing.TCP),
])
def test_every_modbus_bug_is_found(bug: ModbusBug, check: str, framing: Framing) -> None:
    found = modbus_deviations("sdm120", framing, bug.value)
    assert check in found and found[check].clause


def transmitter(*bugs: PanelBug) -> dict[str, Verdict]:
    """A simulated transmission device against the trial, in virtual time."""
    verdicts = transmitter_verdicts(PROFILES["gbt26875-uitd"], WALL_US, frozenset(bugs))
    return {v.check: v for v in verdicts if v.outcome is Outcome.DEVIATES}


@pytest.mark.parametrize("profile", [p for p in PROFILES.values() if p.modbus or p.gbt26875], ids=lambda p: p.id)
def test_every_shipped_profile_is_a_conforming_device(profile: DeviceProfile) -> None:
    report = conform_profile(profile, WALL_US)
    # A device that gives one register at a time answers 03 where two are asked beyond the end: its makers say so.
    one_by_one = profile.modbus is not None and profile.modbus.max_registers < 2
    assert report is not None and len(report.verdicts) > 8
    wrong = [v for v in report.deviations if not (one_by_one and v.check == "address_over")]
    assert not wrong, wrong


def test_our_panel_conforms() -> None:
    found = transmitter()
    assert not found, found


@pytest.mark.parametrize(("bug", "check"), [
    (PanelBug.SUM_WITH_START, "frame"), (PanelBug.BIG_ENDIAN_LENGTH, "frame"), (PanelBug.BCD_TIME, "time_tag"),
    (PanelBug.OWN_SERIAL, "echo"), (PanelBug.NO_RETRY, "repeats"), (PanelBug.ANSWERS_DUTY_ITSELF, "duty"),
    (PanelBug.SAME_SERIAL, "next_serial"),
])
def test_every_panel_bug_is_found(bug: PanelBug, check: str) -> None:
    assert check in transmitter(bug)


def device_on(profile: str, address: str) -> LineDevice:
    return LineDevice(Device(profile, profile, "line", "z", Text(profile, profile), address=address),
                      PROFILES[profile])


def test_our_gateways_receiver_conforms_to_gbt26875() -> None:
    now = Now(WALL_US, 0, "boot")
    panels = FirePanels("line", [device_on("gbt26875-uitd", "889")], now, own_address=1)

    def ask(check: Check) -> bytes:
        return b"".join(encode_frame(frame) for octets in FrameReader().feed(check.send)
                        for _, frame in panels.take(1, octets, now).frames)

    verdicts = [check.verdict(ask(check)) for check in receiver_checks(889, 1, Stamp.at(WALL_US))]
    wrong = [v for v in verdicts if v.outcome is Outcome.DEVIATES]
    assert len(verdicts) == 10 and not wrong, wrong


def test_our_gateways_host_conforms_to_hj212() -> None:
    now = Now(WALL_US, 0, "boot")
    stations = Stations("line", [device_on("hj212-dust", "010000A8900016F000169DC0")], now)

    def ask(check: Check) -> bytes:
        return b"".join(encode_packet(answer) for packet in PacketReader().feed(check.send)
                        for _, answer in stations.take(1, packet, now).packets)

    checks = host_checks("010000A8900016F000169DC0", "123456", "39", WALL_US)
    verdicts = [check.verdict(ask(check)) for check in checks]
    wrong = [v for v in verdicts if v.outcome is Outcome.DEVIATES]
    assert len(verdicts) == 14 and not wrong, wrong


def test_a_host_that_is_silent_or_echoes_is_told_its_deviations() -> None:
    for answer in (lambda _o: b"", lambda o: o):
        verdicts = [c.verdict(answer(c.send)) for c in host_checks("X", "123456", "39", WALL_US)]
        assert sum(v.outcome is Outcome.DEVIATES for v in verdicts) >= 10


def test_mqtt_devices_are_compared_with_their_profile() -> None:
    profile = PROFILES["zigbee2mqtt-smoke"]
    device = MqttDevice(VirtualDevice("hall", profile), "hall")
    heard = [Heard(1.0, m.topic, m.payload, m.retained) for m in device.due(0.0, WALL_US)]
    topic, online, _ = device.availability or ("", b"", b"")
    heard.append(Heard(0.0, topic, online, True))
    right = mqtt_verdicts(profile, device.base, heard, 5.0)
    assert not [v for v in right if v.outcome is Outcome.DEVIATES]
    wrong = {v.check for v in mqtt_verdicts(profile, device.base, [Heard(2.0, device.base, b"{", True)], 5.0)
             if v.outcome is Outcome.DEVIATES}
    assert {"payload", "live"} <= wrong
    assert mqtt_verdicts(profile, device.base, [], 5.0)[0].outcome is Outcome.DEVIATES
