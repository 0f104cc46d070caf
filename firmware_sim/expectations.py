"""Expectations: what must come of a scenario. Said by its author, judged by whoever runs it beside a gateway."""

from __future__ import annotations

import msgspec


class ExpectedFire(msgspec.Struct, frozen=True):
    """A fire that must become one incident. onset_s: when it begins; within_s: by when the alarm must be known."""

    id: str
    devices: tuple[str, ...]
    onset_s: float
    within_s: float = 300.0


class Expectations(msgspec.Struct, frozen=True):
    """What must come of the scenario; judged by verdict and demo, not by the devices."""

    fires: tuple[ExpectedFire, ...] = ()
    silent_devices: tuple[str, ...] = ()
