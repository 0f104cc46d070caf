"""Devices with faults, built from the same profiles that the gateway reads, on real ports. See README.md."""

from firmware_sim.device import Change, VirtualDevice
from firmware_sim.faults import Fault, FaultKind, LineFaults, Outgoing
from firmware_sim.modbus_device import Framing, ModbusUnits, Request, RtuFrames, TcpFrames
from firmware_sim.mqtt_device import MqttDevice, Publish
from firmware_sim.noise import Noise
from firmware_sim.physics import SensorTraits
from firmware_sim.recording import Recording, parse_recording
from firmware_sim.scenario import Scenario
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.world import STEP_S, SimWorld, Truth

__all__ = [
    "STEP_S", "Change", "Fault", "FaultKind", "Framing", "LineFaults", "ModbusUnits", "MqttDevice", "Noise",
    "Outgoing", "Publish", "Recording", "Request", "RtuFrames", "Scenario", "SensorTraits", "SimWorld", "TcpFrames",
    "Truth", "VirtualDevice", "parse_recording", "parse_scenario",
]
