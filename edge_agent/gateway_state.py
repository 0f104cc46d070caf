"""GatewayState: what the gateway shows to the people on site, over the local control socket. Pure."""

from __future__ import annotations

import msgspec

from device_model.impairment import Impairment
from device_model.permit import Permit
from edge_agent.events import Live, OpenAlarm


class OutputView(msgspec.Struct, frozen=True):
    """One output as people see it."""

    output: str
    on: bool
    cause: str
    proof: str
    confirmed: bool = False  # its device took the last order; no proof that anything moved


class GatewayState(msgspec.Struct, frozen=True):
    """What the gateway knows right now."""

    alarms: tuple[OpenAlarm, ...]
    impairments: tuple[Impairment, ...]
    outputs: tuple[OutputView, ...]
    live: tuple[Live, ...]
    devices_expected: int
    devices_alive: int
    journal_ok: bool
    permits: tuple[Permit, ...] = ()
