"""Inspections of one site: raised, walked with a check-list, returned to whoever raised them. Pure.

Nobody accepts their own walk but the one who raised it; a list is filled whole or not at all; what is overdue is said
again. All of it stands in the checkpoint.
"""

from __future__ import annotations

import hashlib

import msgspec

from device_model.clock import HOUR_US
from device_model.inspection import (
    FillInspection,
    Inspection,
    InspectionDeed,
    InspectionState,
    JudgeInspection,
    RaiseInspection,
)
from device_model.inventory import Inventory

OPEN_MAX = 500
ITEMS_MAX = 60
WITHIN_US_MAX = 366 * 24 * HOUR_US
AGAIN_US = 24 * HOUR_US
REMINDERS_MAX = 7
# Accepted ones are kept so many here; the store keeps them all.
ACCEPTED_KEPT = 50


class InspectionStep(msgspec.Struct, frozen=True):
    """What changed: the inspection as it is now, and the audit's word. told: who is to hear of it."""

    inspection: Inspection
    what: str
    at_us: int
    who: str = ""
    detail: str = ""
    told: str = ""


class InspectionBook:
    """One site's. Owned by its worker. `open` is the checkpoint."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._path = inventory.site.tenancy.path
        self.open: dict[str, Inspection] = {}

    def do(self, deed: InspectionDeed, *, who: str, request: str, at_us: int) -> InspectionStep:
        """Carry out a deed. Raises ValueError, which says why not."""
        if not who.strip():
            raise ValueError("say who you are")
        if isinstance(deed, RaiseInspection):
            return self._raise(deed, who, request, at_us)
        known = self.open.get(deed.inspection)
        if known is None:
            raise ValueError(f"there is no inspection {deed.inspection!r} that can still be changed")
        if isinstance(deed, FillInspection):
            return self._fill(known, deed, who, at_us)
        return self._judge(known, deed, who, at_us)

    def _raise(self, deed: RaiseInspection, who: str, request: str, at_us: int) -> InspectionStep:
        if not 1 <= len(deed.items) <= ITEMS_MAX or not 0 < deed.within_us <= WITHIN_US_MAX:
            raise ValueError(f"an inspection has 1 to {ITEMS_MAX} items, and a year at most")
        if not deed.person.strip():
            raise ValueError("name who walks it")
        if deed.subject not in self._inventory.devices and self._inventory.site.zone(deed.subject) is None:
            raise ValueError(f"{deed.subject!r} is neither a zone nor a device of this site")
        if sum(one.state is not InspectionState.ACCEPTED for one in self.open.values()) >= OPEN_MAX:
            raise ValueError(f"{OPEN_MAX} inspections stand open: finish some first")
        name = hashlib.sha256(f"{self._path}|inspection|{request}".encode()).hexdigest()[:12]
        made = Inspection(name, deed.title, deed.subject, deed.items, who, deed.person, at_us, at_us + deed.within_us)
        return self._enter(made, "inspection_raised", at_us, who, deed.person)

    def _fill(self, known: Inspection, deed: FillInspection, who: str, at_us: int) -> InspectionStep:
        if known.state is not InspectionState.GIVEN:
            raise ValueError(f"it is {known.state.value} already")
        if len(deed.results) != len(known.items):
            raise ValueError(f"the list has {len(known.items)} items, and {len(deed.results)} were filled")
        if any(not result.passed and not result.note.strip() for result in deed.results):
            raise ValueError("say what was found where an item did not pass")
        done = msgspec.structs.replace(known, state=InspectionState.DONE, results=deed.results, done_by=who,
                                       done_us=max(1, at_us), back="")
        found = "passed" if done.passed else "; ".join(r.note for r in deed.results if not r.passed)[:300]
        return self._enter(done, "inspection_done", at_us, who, known.raised_by, found)

    def _judge(self, known: Inspection, deed: JudgeInspection, who: str, at_us: int) -> InspectionStep:
        if known.state is not InspectionState.DONE:
            raise ValueError(f"it is {known.state.value}, there is nothing to judge")
        if who != known.raised_by:
            raise ValueError(f"{known.raised_by} raised it and judges it")
        if deed.accept:
            accepted = msgspec.structs.replace(known, state=InspectionState.ACCEPTED, accepted_us=max(1, at_us))
            return self._enter(accepted, "inspection_accepted", at_us, who, known.person, deed.why)
        if not deed.why.strip():
            raise ValueError("say why it goes back")
        again = msgspec.structs.replace(known, state=InspectionState.GIVEN, results=(), done_by="", done_us=0,
                                        back=deed.why[:500], reminders=0)
        return self._enter(again, "inspection_sent_back", at_us, who, known.person, deed.why[:300])

    def tick(self, now_us: int) -> list[InspectionStep]:
        """What is overdue; missed reminders are one."""
        steps = []
        for known in list(self.open.values()):
            due_us = _due_again(known)
            if due_us is not None and due_us <= now_us:
                count = min(REMINDERS_MAX, 1 + (now_us - known.due_us) // AGAIN_US)
                said = msgspec.structs.replace(known, reminders=max(known.reminders + 1, count))
                steps.append(self._enter(said, "inspection_overdue", due_us, "", known.person))
        return steps

    def due_us(self) -> int | None:
        """When `tick` will next have something."""
        return min((due for one in self.open.values() if (due := _due_again(one)) is not None), default=None)

    def _enter(
        self, inspection: Inspection, what: str, at_us: int, who: str, told: str, detail: str = ""
    ) -> InspectionStep:
        self.open[inspection.id] = inspection
        over = [name for name, one in self.open.items() if one.state is InspectionState.ACCEPTED]
        for name in over[:max(0, len(over) - ACCEPTED_KEPT)]:
            del self.open[name]
        text = f"{inspection.id} {inspection.subject} {inspection.title.en} {detail}".strip()
        return InspectionStep(inspection, what, at_us, who, text[:500], told)


def _due_again(inspection: Inspection) -> int | None:
    if inspection.state is not InspectionState.GIVEN or inspection.reminders >= REMINDERS_MAX:
        return None
    return inspection.due_us + inspection.reminders * AGAIN_US
