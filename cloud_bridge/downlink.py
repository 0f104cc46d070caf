"""What the cloud sends down: acknowledgements and commands. Pure; every byte of it is distrusted.

Whether a command is expired, repeated, or refused by a law of safety is decided by the gateway's core, which
journals its answer. Here only what is not a well-formed message for us is kept away from it.
"""

from __future__ import annotations

import msgspec

from device_model.command import Command
from device_model.messages import WIRE_VERSION, BatchAck, GatewayAddress, decode_ack, decode_down, parse_topic
from device_model.ports import Message

# An acknowledgement names few ranges, a command one target; more is not from our ingest.
PAYLOAD_MAX = 64 * 1024


def read_down(message: Message, address: GatewayAddress) -> BatchAck | Command:
    """The acknowledgement or command in a message; ValueError says why it is neither.

    A command's `on_site` is never believed: who sends from afar is not on site (law 3).
    """
    to, direction, kind = parse_topic(message.topic)
    if to != address or direction != "down":
        raise ValueError(f"topic {message.topic!r} is not for {address.common_name}")
    if len(message.payload) > PAYLOAD_MAX:
        raise ValueError(f"{kind} of {len(message.payload)} bytes exceeds {PAYLOAD_MAX}")
    if message.retained:
        raise ValueError(f"{kind} was retained by a broker: nobody of ours does that")
    if kind == "ack":
        ack = decode_ack(message.payload)
        if ack.v != WIRE_VERSION:
            raise ValueError(f"acknowledgement speaks version {ack.v}; this program speaks {WIRE_VERSION}")
        return ack
    if kind == "command":
        down = decode_down(message.payload)
        if down.v != WIRE_VERSION:
            raise ValueError(f"command speaks version {down.v}; this program speaks {WIRE_VERSION}")
        return msgspec.structs.replace(down.command, on_site=False)
    raise ValueError(f"nothing is known about {kind!r} messages")
