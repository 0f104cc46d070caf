"""Duty book (pure): the duty checks (查岗) that stand open at this gateway, and what became of each.

    DutyAsked ──► ASKED ──(a named person's command)──► ANSWERED ──► DELIVERED | FAILED     (says the line)
                    └──(its time is over)──► UNANSWERED

Every step is a record in the alarm lane. The book never answers by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from device_drivers.driver import DutyAsked, DutySettled
from device_model.clock import Now
from device_model.duty import DutyCheck, DutyState
from device_model.inventory import Inventory

OPEN_MAX = 64  # more than the lines of a site let through together (16 a line)
ENDED = frozenset({DutyState.DELIVERED, DutyState.FAILED, DutyState.UNANSWERED})


class OpenDuty(msgspec.Struct, frozen=True):
    """A check and the line that it came over."""

    line: str
    check: DutyCheck


class DutyBook:
    """Owned by one core."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._open: dict[str, OpenDuty] = {}

    def rebind(self, inventory: Inventory) -> None:
        """The site file changed; open checks stay open."""
        self._inventory = inventory

    def asked(self, event: DutyAsked, now: Now) -> DutyCheck | None:
        """A check came; None where it is known already. Raises ValueError where too many stand open: the step fails,
        nothing is confirmed, and its asker sees it."""
        if event.check in self._open:
            return None
        if len(self._open) >= OPEN_MAX:
            raise ValueError(f"more than {OPEN_MAX} duty checks stand open")
        device = self._inventory.devices.get(event.device)
        check = DutyCheck(event.check, event.device, device.zone if device else "", event.asker, now.wall_us,
                          event.due_us)
        self._open[check.id] = OpenDuty(event.line, check)
        return check

    def answer(self, check: str, who: str, now: Now) -> OpenDuty:
        """A named person answers. LookupError: no such check waits; ValueError: its time is over."""
        known = self._open.get(check)
        if known is None or known.check.state is not DutyState.ASKED:
            raise LookupError("no such duty check waits for an answer")
        if now.wall_us > known.check.due_us:
            raise ValueError("the time for this duty check is over")
        return self._put(known, DutyState.ANSWERED, who=who, answered_us=now.wall_us)

    def settled(self, event: DutySettled) -> DutyCheck | None:
        """What became of an answer; None where none was given."""
        known = self._open.get(event.check)
        if known is None or known.check.state is not DutyState.ANSWERED:
            return None
        state = DutyState.DELIVERED if event.delivered else DutyState.FAILED
        return self._put(known, state, detail=event.detail).check

    def check(self, now: Now) -> tuple[DutyCheck, ...]:
        """Checks whose time is over, unanswered."""
        over = [known for known in self._open.values()
                if known.check.state is DutyState.ASKED and now.wall_us > known.check.due_us]
        return tuple(self._put(known, DutyState.UNANSWERED).check for known in over)

    def _put(self, known: OpenDuty, state: DutyState, **more: str | int) -> OpenDuty:
        changed = OpenDuty(known.line, msgspec.structs.replace(known.check, state=state, **more))
        if state in ENDED:
            del self._open[known.check.id]
        else:
            self._open[known.check.id] = changed
        return changed

    def present(self) -> tuple[DutyCheck, ...]:
        """The open ones, oldest first."""
        return tuple(known.check for known in self._open.values())

    def memory(self) -> tuple[OpenDuty, ...]:
        """What the checkpoint keeps."""
        return tuple(self._open.values())

    def resume(self, memory: Sequence[OpenDuty], now: Now) -> tuple[DutyCheck, ...]:
        """After a restart the connections are gone: an answer that was on its way failed, what waits still waits (its
        asker will ask again; until then an answer fails, and says so)."""
        self._open = {known.check.id: known for known in memory}
        lost = [known for known in memory if known.check.state is DutyState.ANSWERED]
        return tuple(self._put(known, DutyState.FAILED, detail="the gateway started anew before it was sent").check
                     for known in lost)
