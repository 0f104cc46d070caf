"""What comes from above is distrusted."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from cloud_bridge.downlink import PAYLOAD_MAX, read_down
from device_model.command import Command, CommandKind
from device_model.messages import BatchAck, Down, GatewayAddress, Lane, encode
from device_model.ports import Message
from device_model.site import Tenancy

ADDRESS = GatewayAddress(Tenancy("c", "d", "s", "site"), "gw")
OTHER = GatewayAddress(Tenancy("c", "d", "s", "site"), "gw2")
ACK = BatchAck(1, "e", Lane.ALARM, ((1, 2),))
WISH = Command("c1", CommandKind.TEST_MODE, "smoke-1", "who", "why", 1, 2)


def test_good_ones() -> None:
    assert read_down(Message(ADDRESS.down("ack"), encode(ACK)), ADDRESS) == ACK
    assert read_down(Message(ADDRESS.down("command"), encode(Down(1, WISH))), ADDRESS) == WISH


@pytest.mark.parametrize("message", [
    Message(OTHER.down("ack"), encode(ACK)),
    Message(ADDRESS.up(Lane.ALARM), encode(ACK)),
    Message(ADDRESS.down("config"), encode(ACK)),
    Message(ADDRESS.down("ack"), encode(ACK), retained=True),
    Message(ADDRESS.down("ack"), encode(BatchAck(2, "e", Lane.ALARM, ()))),
    Message(ADDRESS.down("command"), encode(Down(9, WISH))),
    Message(ADDRESS.down("ack"), b" " * (PAYLOAD_MAX + 1)),
    Message("elsewhere", encode(ACK)),
], ids=lambda m: f"{m.topic[-12:]} {m.payload[:20]!r}")
def test_bad_ones_say_why(message: Message) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        read_down(message, ADDRESS)


@given(st.binary(max_size=200), st.sampled_from(["ack", "command"]))
def test_any_bytes_are_a_value_error_or_a_message(payload: bytes, kind: str) -> None:
    try:
        assert isinstance(read_down(Message(ADDRESS.down(kind), payload), ADDRESS), BatchAck | Command)
    except ValueError as error:
        assert str(error)
