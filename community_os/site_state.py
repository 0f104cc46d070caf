"""The checkpoint of one site's worker: all that must survive."""

from __future__ import annotations

import msgspec

from community_os.clock_book import BootClock
from community_os.duty_desk import DutyTold
from community_os.gateway_watch import WatchState
from community_os.live_values import Heard
from community_os.maintenance_desk import MaintainAsked
from community_os.permit_registry import PermitTold
from community_os.plot_buffers import Sample
from community_os.site_effects import PendingCommand
from community_os.site_lacks import LackState
from device_model.inspection import Inspection


class SiteState(msgspec.Struct):
    """The checkpoint; parts that have their own form are nested as raw JSON, the engine's as bytes."""

    now_us: int
    book: msgspec.Raw
    ledger: msgspec.Raw
    engine: bytes
    watches: dict[str, WatchState]
    lacks: LackState
    pending: dict[str, PendingCommand]
    samples: dict[str, list[Sample]]
    seen_us: dict[str, int]
    clocks: dict[str, BootClock] = {}
    duties: dict[str, DutyTold] = {}
    inspections: dict[str, Inspection] = {}
    permits: dict[str, PermitTold] = {}
    maintenance: dict[str, MaintainAsked] = {}
    desk: msgspec.Raw = msgspec.Raw(b"null")
    notices: msgspec.Raw = msgspec.Raw(b"null")
    live: dict[str, Heard] = {}


_decoder = msgspec.json.Decoder(SiteState)


def decode_state(checkpoint: bytes) -> SiteState:
    """From JSON; ValueError where it does not fit. Fields that an older checkpoint lacks have their defaults."""
    return _decoder.decode(checkpoint)
