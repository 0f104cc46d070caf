"""The gateway: a pure core that judges and decides, and the few files of I/O that are its hands."""

from edge_agent.agent_checkpoint import AgentCheckpoint, decode_checkpoint, encode_checkpoint
from edge_agent.core import AgentCore
from edge_agent.health import DeviceHealth
from edge_agent.image import ProcessImage
from edge_agent.orders import AlarmEngine, OrderDesk
from edge_agent.outputs import OutputBook
from edge_agent.proof_alarm import ProofAlarm
from edge_agent.telemetry import TelemetryFilter

__all__ = [
    "AgentCheckpoint", "AgentCore", "AlarmEngine", "DeviceHealth", "OrderDesk", "OutputBook", "ProcessImage",
    "ProofAlarm", "TelemetryFilter", "decode_checkpoint", "encode_checkpoint",
]
