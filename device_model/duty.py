"""Duty check (查岗): a monitoring centre asks whether a person is on duty; only a person's click answers it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DutyState(StrEnum):
    """Life of a duty check. Nothing but a person leads from ASKED to ANSWERED."""

    ASKED = "asked"
    ANSWERED = "answered"  # a person clicked; the answer is on its way to the asker
    DELIVERED = "delivered"  # the asker confirmed it
    FAILED = "failed"  # a person clicked, but the answer did not reach the asker
    UNANSWERED = "unanswered"  # nobody clicked in time


class DutyCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """One duty check. asker: the centre's address on the line of `device`; times in µs since 1970 UTC."""

    id: str
    device: str
    zone: str
    asker: str
    asked_us: int
    due_us: int
    state: DutyState = DutyState.ASKED
    who: str = ""
    answered_us: int = 0
    detail: str = ""
