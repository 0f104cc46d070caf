"""What people have put aside for a time, as the register's page shows it: silences and the shelf. Values only."""

from __future__ import annotations

import msgspec

from device_model.site import Tenancy


class SilenceView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nobody is told of what matches, until its end. ended_by: who ended it early, "" nobody."""

    tenancy: Tenancy
    name: str
    matchers: tuple[str, ...]
    since_us: int
    until_us: int
    who: str
    why: str
    ended_by: str = ""


class ShelfView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nobody is called for one alarm ("rule|subject"), until its time is over. kind: shelved, suppressed,
    out_of_service."""

    tenancy: Tenancy
    alarm: str
    kind: str
    since_us: int
    until_us: int
    who: str
    why: str
