"""Which points of a site can be believed now: what law 3 asks before an incident may be ended.

    quality of the last reading ──┐
    impairments (silent, fault, …)├──► reason_of(point) → "" or why not          isolated(device) → who took it out
    the gateway itself is silent ─┘
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from device_model.impairment import Impairment, ImpairmentKind
from device_model.inventory import Inventory

E = TypeVar("E")
# Which impairments say that values of their subject cannot be believed. A fault found by a rule (low battery,
# self-test overdue) is not one: where a fault spoils values, their quality is bad at the source.
DISTRUST: frozenset[ImpairmentKind] = frozenset(
    {ImpairmentKind.SILENT, ImpairmentKind.UNPOWERED, ImpairmentKind.LINE_DOWN, ImpairmentKind.GATEWAY_SILENT}
)


class TrustState(msgspec.Struct):
    """The checkpoint: bad points → reason; (kind, subject) of impairments that distrust; isolated devices."""

    bad: dict[str, str] = {}
    lacks: list[tuple[str, str]] = []
    isolated: list[str] = []


class PointTrust:
    """Trust in all points of one site. Bounded by the inventory: unknown points are not kept."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._state = TrustState({}, [], [])

    def reading(self, point: str, reason: str) -> bool:
        """The last reading of a point: reason "" when it is good. Returns whether that changed."""
        if point not in self._inventory.points or self._state.bad.get(point, "") == reason:
            return False
        if reason:
            self._state.bad[point] = reason
        else:
            del self._state.bad[point]
        return True

    def impairment(self, impairment: Impairment, *, ended: bool) -> bool:
        """Something began or ceased not to protect. Returns whether trust may have changed."""
        if impairment.kind is ImpairmentKind.ISOLATED:
            if not ended and not (impairment.who.strip() and impairment.why.strip() and impairment.expires_us):
                return False  # law 3: without a name, a reason and an end it excuses nothing
            return _toggle(self._state.isolated, impairment.subject, on=not ended)
        if impairment.kind not in DISTRUST:
            return False
        return _toggle(self._state.lacks, (impairment.kind.value, impairment.subject), on=not ended)

    def reason_of(self, point: str) -> str:
        """Why this point cannot be believed now; "" if it can."""
        reason = self._state.bad.get(point, "")
        if reason or not self._state.lacks:
            return reason
        device = point.partition(".")[0]
        known = self._inventory.devices.get(device)
        names = {point, device, known.line if known else device}
        for kind, subject in self._state.lacks:
            if kind == ImpairmentKind.GATEWAY_SILENT.value or subject in names:
                return kind
        return ""

    def has_bad_reading(self, point: str) -> bool:
        """Whether its last reading was bad."""
        return point in self._state.bad

    def isolated(self, device: str) -> bool:
        """Whether a named person has taken the device out (with reason and expiry)."""
        return device in self._state.isolated

    def state(self) -> TrustState:
        """For the checkpoint."""
        return self._state

    def resume(self, state: TrustState) -> None:
        """From a checkpoint."""
        self._state = state


def _toggle(entries: list[E], entry: E, *, on: bool) -> bool:
    """Put in or take out; whether something changed."""
    if on == (entry in entries):
        return False
    if on:
        entries.append(entry)
    else:
        entries.remove(entry)
    return True
