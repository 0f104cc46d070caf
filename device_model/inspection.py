"""Inspection: a check-list for one place or device, who walks it, what was found, and back to whoever raised it.

    given ──fill (every item)──► done ──accept by the one who raised it──► accepted
      ▲                            └──send back, with a reason──┐
      └────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.handling import TaskProof
from device_model.site import Tenancy, Text


class InspectionState(StrEnum):
    """Where an inspection is."""

    GIVEN = "given"
    DONE = "done"
    ACCEPTED = "accepted"


class ItemResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found at one item of the list."""

    passed: bool
    note: str = ""
    proof: TaskProof | None = None


class Inspection(msgspec.Struct, frozen=True, omit_defaults=True):
    """One inspection. subject: a zone or device of the site. Times µs since 1970 UTC, 0 not yet. back: why it was
    sent back last. reminders: how often its person was reminded."""

    id: str
    title: Text
    subject: str
    items: tuple[Text, ...]
    raised_by: str
    person: str
    given_us: int
    due_us: int
    state: InspectionState = InspectionState.GIVEN
    results: tuple[ItemResult, ...] = ()
    done_by: str = ""
    done_us: int = 0
    accepted_us: int = 0
    back: str = ""
    reminders: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return bool(self.results) and all(result.passed for result in self.results)


class InspectionView(msgspec.Struct, frozen=True):
    """An inspection with its site."""

    tenancy: Tenancy
    inspection: Inspection


class RaiseInspection(msgspec.Struct, frozen=True, tag="raise_inspection"):
    """Somebody wants a place looked at."""

    title: Text
    subject: str
    items: tuple[Text, ...]
    person: str
    within_us: int


class FillInspection(msgspec.Struct, frozen=True, tag="fill_inspection"):
    """It was walked: one result an item."""

    inspection: str
    results: tuple[ItemResult, ...]


class JudgeInspection(msgspec.Struct, frozen=True, tag="judge_inspection", omit_defaults=True):
    """Whoever raised it accepts the result, or sends it back with a reason."""

    inspection: str
    accept: bool
    why: str = ""


InspectionDeed = RaiseInspection | FillInspection | JudgeInspection
