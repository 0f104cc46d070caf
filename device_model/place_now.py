"""What a site measures now, as far as people who watch over many sites look at it: hot work, gas, people."""

from __future__ import annotations

import msgspec

from device_model.read_models import LiveValue
from device_model.site import Tenancy, Text

# What is shown at a glance of every site. Few enough that a district's rows stay small.
WATCHED: frozenset[str] = frozenset({
    "hot_work_score", "combustible_gas", "gas_volume_fraction", "methane", "co", "co_gas", "people"})


class ZoneName(msgspec.Struct, frozen=True):
    """A zone in words. people_limit: 0 none; crowded: the public is there."""

    id: str
    name: Text
    kind: str = ""
    people_limit: int = 0


class PlaceNow(msgspec.Struct, frozen=True):
    """The newest value of each watched point of a site. at_us: when the row was made; each value has its own time."""

    tenancy: Tenancy
    site_name: Text
    at_us: int
    values: tuple[LiveValue, ...]
    zones: tuple[ZoneName, ...]
