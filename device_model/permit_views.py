"""What pages read of permits: a permit as the gateway told it last, and what people asked of it since."""

from __future__ import annotations

import msgspec

from device_model.permit import Permit
from device_model.site import Tenancy, Text


class PermitAsk(msgspec.Struct, frozen=True):
    """One act that somebody asked for from afar. state: waiting (the gateway has not answered), applied, refused,
    expired. detail: why it was refused, in the gateway's words (English · Chinese)."""

    act: str
    who: str
    at_us: int
    state: str = "waiting"
    detail: str = ""


class PermitView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A permit with its place. heard_us: when its gateway last told its state, 0: it has never confirmed it.
    refused: the gateway did not take it at all. limit_lel, limit_vol: for the least limit of its gases.
    lel: lower explosive limit of the gas that sets it, % by volume; 0 where nobody knows the gas."""

    id: str
    tenancy: Tenancy
    site_name: Text
    zone_name: Text
    permit: Permit
    heard_us: int = 0
    asks: tuple[PermitAsk, ...] = ()
    refused: str = ""
    limit_lel: float = 0.0
    limit_vol: float = 0.0
    lel: float = 0.0
