"""The sessions of a scenario's lines: panels, stations, recorded lines. Pure.

    line, its devices ──line_sessions──► one Panel per transmission device | one Station per MN
                                              │ bytes       serve.py and virtual time both run them
                                              └─► `through_faults` ─► (delay, bytes) to send
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from firmware_sim.device import VirtualDevice
from firmware_sim.faults import LineFaults, Outgoing
from firmware_sim.level_probe import LevelProbes
from firmware_sim.line_session import LineSession
from firmware_sim.panel_bugs import PanelBug
from firmware_sim.panel_device import Panel
from firmware_sim.scenario import Scenario
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.station_bugs import StationBug
from firmware_sim.station_device import Station, StationSettings
from wire_codecs.hj212 import Edition
from wire_codecs.hj212_cipher import decrypt_with, encrypt_with

_EDITIONS = {2005: Edition.HJ_2005, 2017: Edition.HJ_2017, 2025: Edition.HJ_2025}


def line_sessions(line: SimLine, scenario: Scenario, devices: Mapping[str, VirtualDevice]) -> list[LineSession]:
    """The sessions that a line of panels or stations has; [] for other kinds (a replay's comes from its file)."""
    members = [(entry.address or entry.id, devices[entry.id]) for entry in scenario.devices if entry.line == line.id]
    if line.kind is LineKind.GBT26875:
        return list(_panels(line, members))
    if line.kind is LineKind.HJ212:
        return [_station(line, mn, device) for mn, device in members]
    if line.kind is LineKind.LLS_TCP:
        return [LevelProbes(line.id, {entry.unit: devices[entry.id] for entry in scenario.devices
                                      if entry.line == line.id})]
    return []


def _panels(line: SimLine, members: list[tuple[str, VirtualDevice]]) -> Iterable[Panel]:
    behind: dict[int, dict[str, VirtualDevice]] = {}
    for address, device in members:
        own, _, rest = address.partition("/")
        behind.setdefault(int(own), {})[rest] = device
    bugs = frozenset(PanelBug(name) for name in line.bugs)
    for own_address, found in behind.items():
        yield Panel(own_address, found, centre=line.centre, heartbeat_s=line.heartbeat_s, bugs=bugs)


def _station(line: SimLine, mn: str, device: VirtualDevice) -> Station:
    key = bytes.fromhex(line.key)
    settings = StationSettings(line.password, _EDITIONS[line.edition], line.real_time_s, line.minutes)
    return Station(mn, device, settings, encrypt=partial(encrypt_with, key) if key else None,
                   decrypt=partial(decrypt_with, key) if key else None,
                   bugs=frozenset(StationBug(name) for name in line.bugs))


def through_faults(faults: LineFaults, session: LineSession, pieces: list[bytes], at_s: float) -> list[Outgoing]:
    """What really goes onto the line instead of the pieces."""
    return [out for piece in pieces for out in faults.publish(session.id, piece, at_s)]
