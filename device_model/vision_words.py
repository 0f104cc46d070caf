"""What a gateway says to the vision process on the site's broker: what the sensors read, and what to look at closer.

    tocsin/vision-context/<camera>    values of the camera's zones, for its evidence records; each half minute
    tocsin/vision-verify/<camera>     a neighbour has raised an alarm: look closer for some seconds, tell it at once

The gateway imports nothing of the vision process (numpy and decoders), so that the words stand here.
"""

from __future__ import annotations

import msgspec

CONTEXT, VERIFY = "tocsin/vision-context", "tocsin/vision-verify"
VALUES_MAX = 40  # of one camera: what stands beside a clip is read by people
VERIFY_S = 20.0
TEXT_MAX = 120


class ZoneValues(msgspec.Struct, frozen=True):
    """Point to "value unit"; a point that is bad says why instead."""

    at_us: int
    values: dict[str, str]


class VerifyAsk(msgspec.Struct, frozen=True):
    """Look closer for for_s. alarm: whose; it may raise, never lower or delay (law of safety 1)."""

    alarm: str
    for_s: float = VERIFY_S


def decode_values(payload: bytes) -> ZoneValues | None:
    """None for what is no such message; bounded."""
    try:
        said = msgspec.json.decode(payload, type=ZoneValues)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kept = list(said.values.items())[:VALUES_MAX]
    return ZoneValues(said.at_us, {name[:TEXT_MAX]: value[:TEXT_MAX] for name, value in kept})


def decode_ask(payload: bytes) -> VerifyAsk | None:
    """None for what is no such message; bounded."""
    try:
        said = msgspec.json.decode(payload, type=VerifyAsk)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return VerifyAsk(said.alarm[:TEXT_MAX], min(60.0, max(1.0, said.for_s))) if said.for_s == said.for_s else None
