"""GatewayState: what the gateway shows to the people on site, over the local control socket. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from device_model.impairment import Impairment
from device_model.permit import Permit
from device_model.site import Output
from edge_agent.events import Live, OpenAlarm
from edge_agent.outputs import AUDIBLE, OutputBook


class OutputView(msgspec.Struct, frozen=True):
    """One output as people see it."""

    output: str
    on: bool
    cause: str
    proof: str
    confirmed: bool = False  # its device took the last order; no proof that anything moved
    manual: bool = False  # switched on by hand
    manual_until_us: int = 0  # when that ends by itself, on the wall; 0: it does not (a trip)
    inhibited: bool = False
    demanded: bool = False  # an open alarm asks for it, or it has tripped


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


def output_views(book: OutputBook, outputs: Iterable[Output]) -> tuple[OutputView, ...]:
    """All outputs, as people see them. A sounder switched on by hand ends by itself; a trip stays (law 5)."""
    views = []
    for output in outputs:
        one = book.state(output.id)
        ends = one.manual and output.purpose in AUDIBLE
        views.append(OutputView(
            output.id, one.on, one.cause, one.proof, one.confirmed, one.manual, one.manual_until_us if ends else 0,
            one.inhibited, bool(one.demands) or (one.tripped and not one.manual)))
    return tuple(views)
