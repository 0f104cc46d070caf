"""Every point of a map, served by the simulated device and read by the gateway's own driver: codecs only, no sockets.

    VirtualDevice ─► registers | messages | frames | packets ─► DeviceValues | PayloadMap | FirePanels | Stations
                              the simulator's side │ the gateway's side; they share the profile and the codec
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from device_drivers.driver import DeviceRead, DriverEvent, LineDevice
from device_drivers.fire_panel import FirePanels
from device_drivers.payload_map import PayloadMap
from device_drivers.register_plan import plan_blocks
from device_drivers.register_values import DeviceValues
from device_drivers.station import Stations
from device_model.clock import Now
from device_model.profile import DeviceProfile
from device_model.reading import Reading
from device_model.site import Device, Text
from firmware_sim.device import VirtualDevice
from firmware_sim.level_probe import LevelProbes
from firmware_sim.modbus_device import Framing, ModbusUnits, Request
from firmware_sim.mqtt_device import MqttDevice
from firmware_sim.panel_device import Panel
from firmware_sim.station_device import Station, StationSettings
from wire_codecs.gbt26875 import FrameReader, encode_frame
from wire_codecs.hj212 import PacketReader, encode_packet
from wire_codecs.lls import cut_reading, read_request

WALL_US = 1_767_225_600_000_000
S = 1_000_000
MN = "010000A8900016F000169DC0"
# Where each device of a panel stands behind its transmission device.
BEHIND = {"gbt26875-uitd": "", "gbt26875-facility": "1.1"}
Readings = dict[str, Reading]


def at(mono_us: int) -> Now:
    """A moment of the gateway, its wall clock known."""
    return Now(WALL_US + mono_us, mono_us, "b", wall_error_us=0)


def entry(profile: DeviceProfile, name: str = "d", address: str = "") -> LineDevice:
    """The device as a site file lists it."""
    return LineDevice(Device(name, profile.id, "l", "z", Text("p", "p"), unit=1, address=address), profile)


def taken(events: Iterable[DriverEvent], seen: Readings) -> None:
    """The newest reading of each point."""
    for event in events:
        if isinstance(event, DeviceRead):
            seen.update({reading.point.partition(".")[2]: reading for reading in event.readings
                         if event.device == "d"})


def over_modbus(device: VirtualDevice) -> Readings:
    """Every block that the driver plans, asked of the device as bytes."""
    units, values = ModbusUnits({1: device}), DeviceValues("d", device.profile)
    seen: Readings = {}
    for block in plan_blocks(device.profile):
        reply = units.answer(Request(1, struct.pack(">BHH", block.function, block.address, block.count)), Framing.TCP)
        assert reply is not None and reply[0] == block.function and reply[1] == block.byte_count, block
        seen.update({r.point.partition(".")[2]: r for r in values.take(block, reply[2:], at(0))[0]})
    return seen


def over_lls(device: VirtualDevice) -> Readings:
    """A level probe, asked in its own frames; the driver takes them as three input registers."""
    probes, values = LevelProbes("l", {1: device}), DeviceValues("d", device.profile)
    (frame,) = probes.take(read_request(1), 0, WALL_US)
    reading, _ = cut_reading(frame)
    assert reading is not None
    words = struct.pack(">hHH", reading.temperature, reading.level, reading.raw)
    seen: Readings = {}
    for block in plan_blocks(device.profile):
        part = words[2 * block.address:2 * (block.address + block.count)]
        seen.update({r.point.partition(".")[2]: r for r in values.take(block, part, at(0))[0]})
    return seen


def over_mqtt(device: VirtualDevice) -> Readings:
    """What it publishes, as the gateway's map of payloads takes it."""
    reader = PayloadMap((entry(device.profile, address="far-one"),), at(0))
    seen: Readings = {}
    for message in MqttDevice(device, "far-one").due(0.0, WALL_US):
        taken(reader.take(message.topic, message.payload, False, at(0)), seen)
    return seen


def over_panel(device: VirtualDevice, uitd: DeviceProfile) -> Readings:
    """A fire panel of one device behind its transmission device, and the centre that answers it: two minutes."""
    behind = BEHIND.get(device.profile.id, "1.1/0A000200")
    held = {behind: device} if not behind else {"": VirtualDevice("u", uitd), behind: device}
    panel, reader, seen = Panel(889, held), FrameReader(), Readings()
    listed = [entry(device.profile, address=f"889/{behind}" if behind else "889")]
    if behind:
        listed.append(entry(uitd, "u", "889"))
    centre = FirePanels("l", listed, at(0), own_address=1)
    to_centre = panel.opened(0, WALL_US)
    for now_us in range(0, 120 * S, S):
        to_panel = [encode_frame(frame) for _, frame in _turned(centre.look(at(now_us)), seen)]
        to_centre += panel.due(now_us, WALL_US + now_us)
        while to_centre or to_panel:
            for octets in to_centre:
                for frame in reader.feed(octets):
                    turn = centre.take(1, frame, at(now_us))
                    to_panel += [encode_frame(answer) for _, answer in _turned(turn, seen)]
            to_centre = [piece for octets in to_panel for piece in panel.take(octets, now_us, WALL_US + now_us)]
            to_panel = []
    return seen


def over_station(device: VirtualDevice, _: DeviceProfile) -> Readings:
    """A station with its real-time and minute values, to a host that confirms: three minutes."""
    station = Station(MN, device, StationSettings(minutes=1))
    host, reader, seen = Stations("l", [entry(device.profile, address=MN)], at(0)), PacketReader(None), Readings()
    to_host = station.opened(0, WALL_US)
    for now_us in range(0, 180 * S, S):
        to_station = [encode_packet(packet) for _, packet in _told(host.look(at(now_us)), seen)]
        to_host += station.due(now_us, WALL_US + now_us)
        while to_host or to_station:
            for octets in to_host:
                for packet in reader.feed(octets):
                    turn = host.take(1, packet, at(now_us))
                    to_station += [encode_packet(answer) for _, answer in _told(turn, seen)]
            to_host = [piece for octets in to_station for piece in station.take(octets, now_us, WALL_US + now_us)]
            to_station = []
    return seen


def _turned(turn, seen):
    taken(turn.events, seen)
    return turn.frames


def _told(turn, seen):
    taken(turn.events, seen)
    return turn.packets


def read_back(device: VirtualDevice, uitd: DeviceProfile) -> Readings:
    """Every reading that the gateway's driver makes of the device, by point."""
    ways: dict[str, Callable[[], Readings]] = {
        "modbus": lambda: over_modbus(device), "lls": lambda: over_lls(device), "mqtt": lambda: over_mqtt(device),
        "gbt26875": lambda: over_panel(device, uitd), "hj212": lambda: over_station(device, uitd)}
    return ways[device.profile.protocol]()
