"""Probation: a site file that came from the cloud must not cost the gateway its cloud. Pure.

    accepted ─► applied ─► on probation ── cloud there when the time is over ──► confirmed
                                └── cloud gone for the stated time ──► rolled back; that version is never taken again

The state stands in a file beside the site file, so that a restart in between changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.clock import SECOND_US


class Verdict(StrEnum):
    """What is to be done now."""

    WAIT = "wait"
    CONFIRM = "confirm"
    ROLL_BACK = "roll_back"


class RemoteState(msgspec.Struct, frozen=True):
    """What survives. version: in force, 0 for the file that a person put there; on_probation: not confirmed yet.
    refused: the highest version that was rolled back. The same of numbers of rules, which have versions of their own:
    numbers, numbers_before, numbers_refused with its reason; of_numbers: they are what is on probation."""

    version: int = 0
    before: int = 0
    on_probation: bool = False
    refused: int = 0
    numbers: int = 0
    numbers_before: int = 0
    numbers_refused: int = 0
    numbers_why: str = ""
    of_numbers: bool = False

    def why_not(self, version: int) -> str:
        """Why a signed file of that version is not taken; "" when it may be."""
        if version <= self.version:
            return f"version {version} is not newer than {self.version}, which is in force"
        if version <= self.refused:
            return f"version {version} was rolled back up to {self.refused}: sign a new one"
        if self.on_probation:
            return f"version {self.version} is still on probation: wait until it is confirmed"
        return ""

    def applied(self, version: int) -> RemoteState:
        """That version runs now."""
        return msgspec.structs.replace(
            self, version=version, before=self.version, on_probation=True, of_numbers=False)

    def confirmed(self) -> RemoteState:
        """It may stay."""
        return msgspec.structs.replace(self, on_probation=False, of_numbers=False)

    def rolled_back(self, why: str = "") -> RemoteState:
        """The file before runs again."""
        if self.of_numbers:
            back = msgspec.structs.replace(self, numbers=self.numbers_before, on_probation=False, of_numbers=False)
            return back.numbers_refuse(self.numbers, why)
        return msgspec.structs.replace(self, version=self.before, on_probation=False,
                                       refused=max(self.refused, self.version))

    # --- numbers of rules ---------------------------------------------------------------------------------

    def numbers_applied(self, version: int) -> RemoteState:
        """They run now, on probation."""
        return msgspec.structs.replace(self, numbers=version, numbers_before=self.numbers, on_probation=True,
                                       of_numbers=True)

    def numbers_refuse(self, version: int, why: str) -> RemoteState:
        """That version, and every one before it, is not taken."""
        refused = max(self.numbers_refused, version)
        return msgspec.structs.replace(self, numbers_refused=refused, numbers_why=why[:300])


class Probation:
    """Watches one change. Times are monotonic µs."""

    def __init__(self, limit_s: float, now_us: int) -> None:
        self.limit_s = limit_s
        self._limit_us, self._began_us, self._heard_us = round(limit_s * SECOND_US), now_us, now_us

    def look(self, cloud: bool, now_us: int) -> Verdict:
        """cloud: whether the cloud is reached now."""
        if cloud:
            self._heard_us = now_us
            return Verdict.CONFIRM if now_us - self._began_us >= self._limit_us else Verdict.WAIT
        return Verdict.ROLL_BACK if now_us - self._heard_us >= self._limit_us else Verdict.WAIT
