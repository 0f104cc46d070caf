"""Impairment: everything that does not protect right now, with who, why, watch and expiry. Shown first.

Pure: a register is a value, changed by events, keyed so that the same lack is one row however often it is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class ImpairmentKind(StrEnum):
    """Why something does not protect."""

    SILENT = "silent"  # not heard within its limit
    FAULT = "fault"  # the device or the rules say that it is faulty
    ISOLATED = "isolated"  # taken out by a named person, expiring
    IN_TEST = "in_test"  # at most 30 minutes (law 6)
    UNPOWERED = "unpowered"
    NOT_JOURNALED = "not_journaled"  # the gateway's disk does not take records (law 4)
    GATEWAY_SILENT = "gateway_silent"
    PROOF_MISSING = "proof_missing"  # the daily proof alarm did not arrive
    GAP = "gap"  # records missing and not declared
    OUTPUT_UNPROVED = "output_unproved"
    LINE_DOWN = "line_down"


class Impairment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One lack. (kind, subject) is its key; `since_us` and `expires_us` are µs since 1970 UTC, 0 open-ended."""

    kind: ImpairmentKind
    subject: str  # device, point, output, lane or gateway
    since_us: int
    zone: str = ""
    who: str = ""  # a person, or "" when the system found it
    why: str = ""
    compensation: str = ""  # what is done meanwhile: "guard walks hourly"
    expires_us: int = 0

    @property
    def key(self) -> tuple[ImpairmentKind, str]:
        """What makes two impairments the same."""
        return (self.kind, self.subject)


class ImpairmentChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lack that began (`ended_us` 0) or ended: a fact, carried in the alarm lane."""

    impairment: Impairment
    ended_us: int = 0


def real_changes(changes: Iterable[ImpairmentChange | None]) -> tuple[ImpairmentChange, ...]:
    """Those that changed something: the register answers None where a lack already stood, or did not."""
    return tuple(change for change in changes if change is not None)


class ImpairmentRegister:
    """All present impairments of one site. Not thread-safe; owned by one core."""

    def __init__(self, present: tuple[Impairment, ...] = ()) -> None:
        self._present = {impairment.key: impairment for impairment in present}

    def begin(self, impairment: Impairment) -> ImpairmentChange | None:
        """Enter it; None when the same lack already stands (its first `since_us` is kept)."""
        if impairment.key in self._present:
            return None
        self._present[impairment.key] = impairment
        return ImpairmentChange(impairment)

    def end(self, kind: ImpairmentKind, subject: str, at_us: int) -> ImpairmentChange | None:
        """Remove it; None when it does not stand."""
        impairment = self._present.pop((kind, subject), None)
        return None if impairment is None else ImpairmentChange(impairment, max(1, at_us))

    def expire(self, at_us: int) -> tuple[ImpairmentChange, ...]:
        """Remove all whose time is over."""
        over = [i for i in self._present.values() if 0 < i.expires_us <= at_us]
        return tuple(change for i in over if (change := self.end(i.kind, i.subject, i.expires_us)) is not None)

    def stands(self, kind: ImpairmentKind, subject: str) -> bool:
        """Whether that lack is present."""
        return (kind, subject) in self._present

    def present(self) -> tuple[Impairment, ...]:
        """All, oldest first."""
        return tuple(sorted(self._present.values(), key=lambda i: (i.since_us, i.kind, i.subject)))
