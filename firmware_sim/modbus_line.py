"""What a Modbus line really answers: its devices' replies, bent by line faults and firmware bugs. Pure."""

from __future__ import annotations

from firmware_sim.faults import Outgoing
from firmware_sim.modbus_bugs import ModbusBug, bent_answers
from firmware_sim.modbus_device import Framing, Request
from firmware_sim.scenario_lines import SimLine
from firmware_sim.world import SimWorld


def line_answers(world: SimWorld, line: SimLine, request: Request, framing: Framing, at_s: float) -> list[Outgoing]:
    """(delay, bytes) to send for a request; [] for silence."""
    answers = world.exchange(line.id, request, framing, at_s)
    if not line.bugs:
        return answers
    bugs = frozenset(ModbusBug(name) for name in line.bugs)
    tcp = framing is Framing.TCP
    found = []
    either: list[Outgoing | None] = [*answers] or [None]
    for answer in either:
        octets = bent_answers(bugs, request.unit, request.pdu, answer.octets if answer else None, tcp=tcp,
                              transaction=request.transaction)
        if octets is not None:
            found.append(Outgoing(answer.delay_s if answer else 0.0, octets))
    return found
