"""What the simulator promises, line kind by line kind and fault by fault: same seed same bytes, every fault acts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from device_model.library import shipped_profiles
from firmware_sim.faults import Fault, FaultKind
from firmware_sim.line_recording import FORMAT, LineFile, LineHead, Piece
from firmware_sim.line_session import LineSession
from firmware_sim.modbus_device import Framing, Request
from firmware_sim.modbus_line import line_answers
from firmware_sim.pace import LinePace
from firmware_sim.replay_session import ReplaySession
from firmware_sim.scenario import Event, Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, Role, SimLine
from firmware_sim.sessions import line_sessions, through_faults
from firmware_sim.world import SimWorld
from firmware_sim.world_plan import ActuatorPlan, RoomPlan, WorldPlan
from wire_codecs.lls import read_request

PROFILES = shipped_profiles()
WALL_US, S = 1_767_225_600_000_000, 1_000_000
LINES = (
    SimLine("tcp", LineKind.MODBUS_TCP), SimLine("pty", LineKind.PTY, path="./a"),
    SimLine("rtu", LineKind.SERIAL, path="/dev/ttyUSB0"), SimLine("air", LineKind.MQTT),
    SimLine("panel", LineKind.GBT26875, port=5200), SimLine("host", LineKind.HJ212, port=5201, minutes=1),
    SimLine("probe", LineKind.LLS_TCP, role=Role.SERVER),
    SimLine("old", LineKind.REPLAY, role=Role.SERVER, file="x.jsonl"))
DEVICES = (
    SimDevice("co", "gas-module-co", "tcp", 1), SimDevice("meter", "sdm120", "pty", 1),
    SimDevice("duct", "calectro-ug3", "rtu", 1), SimDevice("hall", "zigbee2mqtt-smoke", "air"),
    SimDevice("uitd", "gbt26875-uitd", "panel", address="889"),
    SimDevice("smoke", "gbt26875-component", "panel", address="889/1.1/0A000200"),
    SimDevice("dust", "hj212-dust", "host", address="010000A8900016F000169DC0"),
    SimDevice("level", "aooog-ag-rs485", "probe", 1))
RECORDED = LineFile(LineHead(FORMAT, "tcp"), (
    Piece(0, 0, event="open"), Piece(10, 0, "client", "0102"), *(
        Piece(20 + n * S, 0, "server", bytes([n, 255 - n]).hex()) for n in range(20))))
REQUESTS = {"tcp": "0300000002", "pty": "0400000002", "rtu": "0200000004"}


def said(seed: int) -> list[tuple[str, float, int, bytes]]:
    """(line, second, µs of the piece on a paced line, bytes) of every line of a minute with faults on all of them."""
    faults = tuple(Fault(kind, line.id, 5.0, 40.0, chance=0.4, amount=20.0)
                   for line in LINES for kind in (FaultKind.GARBLE, FaultKind.DROP))
    babble = tuple(Fault(FaultKind.BABBLE, name, 5.0, 40.0, amount=20.0) for name in ("tcp", "pty"))
    events = tuple(Event(2.0 * n, {"hall.tamper": n % 2 == 0}) for n in range(1, 25))
    world = SimWorld(Scenario("all", LINES, DEVICES, seed=seed, events=events, faults=faults + babble), PROFILES, {})
    sessions: dict[str, list[LineSession]] = {
        line.id: line_sessions(line, world.scenario, world.devices) for line in LINES}
    sessions["old"] = [ReplaySession("old", RECORDED, 0, Role.SERVER, 1.0)]
    pace = LinePace(9600, 10, 0.005)
    out = []
    for step in range(240):
        at_s = step * 0.25
        world.advance(at_s)
        now_us = round(at_s * S)
        for line in LINES:
            babbled = world.faults[line.id].babble(at_s, 0.25)
            out += [(line.id, at_s, 0, babbled)] if babbled else []
            for session in sessions[line.id]:
                if step == 0:
                    pieces = [*session.opened(0, WALL_US), *session.take(bytes.fromhex("0102"), 10, WALL_US)]
                else:
                    pieces = session.due(now_us, WALL_US + now_us)
                    if line.kind is LineKind.LLS_TCP:
                        pieces = pieces + session.take(read_request(1), now_us, WALL_US + now_us)
                out += [(line.id, at_s, round(sent.delay_s * S), sent.octets)
                        for sent in through_faults(world.faults[line.id], session, pieces, at_s)]
            if line.id in REQUESTS:
                framing = Framing.TCP if line.kind is LineKind.MODBUS_TCP else Framing.RTU
                request = Request(1, bytes.fromhex(REQUESTS[line.id]), step)
                for sent in line_answers(world, line, request, framing, at_s):
                    pieces_us = pace.reply(sent.octets, now_us, 0) if line.id == "pty" else [(now_us, sent.octets)]
                    out += [(line.id, at_s, at_us - now_us, octets) for at_us, octets in pieces_us]
        out += [("air", at_s, 0, m.topic.encode() + b" " + m.payload)
                for _, m, _ in world.publishes("air", at_s, WALL_US + now_us)]
    return out


def test_the_same_seed_gives_the_same_bytes_on_every_kind_of_line() -> None:
    first, again, other = said(7), said(7), said(8)
    # A TLS line says the bytes of a TCP one; what encrypts them is made anew at each start and cannot be the same.
    assert {line.kind for line in LINES} == set(LineKind) - {LineKind.MODBUS_TLS}
    for line in LINES:
        of = [[entry for entry in run if entry[0] == line.id] for run in (first, again, other)]
        assert of[0] and of[0] == of[1], line.kind
        assert of[0] != of[2], f"{line.kind}: the seed decides nothing"
    assert first == again


# -- every fault acts -------------------------------------------------------------------------------------------

Effect = Callable[[SimWorld], object]
ASK = Request(1, bytes.fromhex("0400000002"), 7)


def reply(world: SimWorld) -> object:
    return world.exchange("pty", ASK, Framing.TCP, 20.0)


def messages(world: SimWorld) -> object:
    return [sent for at in range(400) for sent in world.publishes("air", 20.0 + at / 4, WALL_US)]


def shows(world: SimWorld) -> object:
    return world.devices["meter"].shown["voltage"]


def moved(world: SimWorld) -> object:
    world.turn("valve.open", 0.0)
    world.advance(60.0)
    return world.surroundings.read("valve.position")


EFFECTS: dict[FaultKind, tuple[str, Effect, object]] = {
    FaultKind.DROP: ("meter", reply, []), FaultKind.SILENT: ("meter", reply, []),
    FaultKind.LINE_SHORT: ("pty", reply, []), FaultKind.BROKER_LOSS: ("air", messages, []),
    FaultKind.CERTIFICATE_EXPIRED: ("air", messages, []),
    FaultKind.DELAY: ("meter", lambda w: reply(w)[0].delay_s, 0.5),
    FaultKind.DUPLICATE: ("meter", lambda w: len(reply(w)), 2),
    FaultKind.GARBLE: ("meter", lambda w: reply(w)[0].octets == good(), False),
    FaultKind.WRONG_UNIT: ("meter", lambda w: reply(w)[0].octets[6], 2),
    FaultKind.SHORT: ("meter", lambda w: len(reply(w)[0].octets), 11),
    FaultKind.EXCEPTION: ("meter", lambda w: reply(w)[0].octets[7:], b"\x84\x04"),
    FaultKind.BABBLE: ("pty", lambda w: len(w.faults["pty"].babble(20.0, 10.0)), 30),
    FaultKind.HALF_OPEN: ("pty", lambda w: w.faults["pty"].lasts(FaultKind.HALF_OPEN, 20.0), True),
    FaultKind.STUCK: ("meter.voltage", lambda w: (w.set_point("meter.voltage", 99.0), shows(w))[1], 230.0),
    FaultKind.JUMP: ("meter.voltage", shows, 233.0),
    FaultKind.DRIFT: ("meter.voltage", lambda w: (w.advance(3610.0), round(shows(w), 1))[1], 233.0),
    FaultKind.BAD: ("meter.voltage", lambda w: (shows(w), reply(w)[0].octets[7:]), (None, b"\x84\x04")),
    FaultKind.REBOOT: ("meter", lambda w: (w.devices["meter"].answers, w.advance(30.0),
                                             w.devices["meter"].boots)[::2], (False, 1)),
    FaultKind.OFF: ("meter", lambda w: (w.devices["meter"].on, reply(w)), (False, [])),
    FaultKind.BROWN_OUT: ("meter", lambda w: (w.advance(60.0), w.devices["meter"].boots > 3)[1], True),
    FaultKind.CLOCK_WRONG: ("meter", lambda w: w.wall_us("meter", 20.0, WALL_US) - WALL_US, 3_000_000),
    FaultKind.CAMERA_FROZEN: ("cam-1", lambda w: w.camera_state("cam-1", 20.0), "frozen"),
    FaultKind.CAMERA_BLIND: ("cam-1", lambda w: w.camera_state("cam-1", 20.0), "blind"),
    FaultKind.CAMERA_MOVED: ("cam-1", lambda w: w.camera_state("cam-1", 20.0), "moved"),
    FaultKind.CAMERA_DARK: ("cam-1", lambda w: w.camera_state("cam-1", 20.0), "dark"),
    FaultKind.JAMMED: ("valve", moved, 1.0),
}


def world_with(*faults: Fault) -> SimWorld:
    world = SimWorld(Scenario(
        "fault", LINES[1:4:2], (DEVICES[1], DEVICES[3]), faults=faults,
        world=WorldPlan(rooms=(RoomPlan("hall-room", 10.0),), actuators=(ActuatorPlan("valve"),))), PROFILES, {})
    world.advance(20.0)
    return world


def good() -> bytes:
    return world_with().exchange("pty", ASK, Framing.TCP, 20.0)[0].octets


def test_the_table_names_every_fault() -> None:
    assert set(EFFECTS) == set(FaultKind)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_does_what_its_name_says_and_nothing_without_it(kind: FaultKind) -> None:
    target, effect, wanted = EFFECTS[kind]
    fault = Fault(kind, target, 10.0 if kind is not FaultKind.REBOOT else 19.0, 0.0, delay_s=5.0
                  if kind is FaultKind.BROWN_OUT else 0.5, amount=3.0)
    assert effect(world_with(fault)) == wanted
    assert effect(world_with()) != wanted


def test_the_readme_names_every_fault() -> None:
    text = (Path(__file__).parents[2] / "firmware_sim" / "README.md").read_text(encoding="utf-8")
    assert [kind for kind in FaultKind if f"`{kind}`" not in text] == []
