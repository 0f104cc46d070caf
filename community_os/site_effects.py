"""What one step of a site asks its shell to do: values."""

from __future__ import annotations

import msgspec

from community_os.store_changes import StoreChange
from device_model.command import Command
from device_model.messages import GatewayAddress


class SendCommand(msgspec.Struct, frozen=True):
    """A command on its way to a gateway; repeated until answered."""

    address: GatewayAddress
    command: Command


class Notify(msgspec.Struct, frozen=True):
    """People are to be told: a line for the log; what is sent stands in NoticeRow."""

    path: str
    incident: str
    what: str
    at_us: int


class Effects(msgspec.Struct):
    """What one step asks the shell to do."""

    changes: list[StoreChange] = []
    commands: list[SendCommand] = []
    notices: list[Notify] = []


class PendingCommand(msgspec.Struct):
    """A command that the gateway has not answered. next_us: when it is sent again."""

    command: Command
    incident: str
    next_us: int
