"""Duty desk (pure): the duty checks (查岗) of one site, as its gateway tells them and as people answer them.

    DutyCheckRecord ──► row "duties" (who must answer, by when)    AnswerDutyEnvelope ──► outcome, command down, again
                                                                  CommandResult ──► done, or why it was refused

The desk never answers by itself. A check that stands past its time is shown as unanswered also when its gateway is
not heard: people must not believe that somebody will still see it.
"""

from __future__ import annotations

import msgspec

from community_os.envelopes import AnswerDutyEnvelope, CentreAskedEnvelope
from community_os.store_changes import AuditRow, DutyRow, OutcomeRow, StoreChange, row_id
from device_model.clock import HOUR_US, MINUTE_US, SECOND_US
from device_model.command import Command, CommandKind, CommandOutcome, CommandResult
from device_model.duty import DutyCheck, DutyState
from device_model.inventory import Inventory
from device_model.read_models import ActionOutcome, DutyView
from device_model.site import Text

TELL_EVERY_US = 2 * SECOND_US  # minutes run: an answer is repeated faster than an acknowledgement
KEPT_US = 24 * HOUR_US  # an ended check stays in sight for a day
KEPT_MAX = 200  # of a site; the oldest goes, the audit log has it all
CENTRE_DEVICE = "centre:"  # the device of a check that a monitoring centre asked of the cloud itself
MUST_ANSWER = ("duty", "monitoring_centre")  # roles of a site file's contacts, in this order
ORDER = (DutyState.ASKED, DutyState.ANSWERED, DutyState.FAILED, DutyState.UNANSWERED, DutyState.DELIVERED)


class DutyTold(msgspec.Struct):
    """A check, and the answer that its gateway has not taken yet."""

    check: DutyCheck
    command: Command | None = None
    next_us: int = 0
    refused: str = ""


class DutyDesk:
    """One site's. Owned by its worker."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._path = inventory.site.tenancy.path
        self.told: dict[str, DutyTold] = {}

    def record(self, check: DutyCheck) -> list[StoreChange]:
        """What the gateway tells. A state never goes back: records may come late and twice."""
        known = self.told.get(check.id)
        if known is not None and ORDER.index(check.state) <= ORDER.index(known.check.state):
            return []
        if known is None and self._open_count() >= KEPT_MAX:
            return [AuditRow(self._path, check.asked_us, "duty check not listed", "", "",
                             f"{check.id}: more than {KEPT_MAX} stand open")]
        if known is None:
            known = self.told[check.id] = DutyTold(check)
        known.check = check
        if check.state is not DutyState.ASKED:
            known.command = None
        at_us = check.answered_us or check.asked_us
        return [self._row(known), AuditRow(self._path, at_us, f"duty check {check.state.value}", check.who, "",
                                           f"{check.id} of {check.asker} {check.detail}".strip()), *self._trim()]

    def act(self, act: AnswerDutyEnvelope, now_us: int) -> list[StoreChange]:
        """A signed-in person answers."""
        known = self.told.get(act.check)
        refusal = "there is no such duty check" if known is None else ""
        if known is not None:
            if known.check.state is not DutyState.ASKED:
                refusal = f"this duty check is {known.check.state.value} already"
            elif known.command is not None:
                refusal = f"{known.command.who} has answered it already"
            elif act.at_us > known.check.due_us:
                refusal = "the time for this duty check is over"
        changes: list[StoreChange] = [
            OutcomeRow(self._path, act.request, act.check, ActionOutcome(not refusal, refusal))]
        if known is None or refusal:
            return changes
        name = row_id(self._path, "duty", act.check, act.request)
        known.command = Command(name, CommandKind.ANSWER_DUTY, act.check, act.who, "", act.at_us, known.check.due_us)
        known.next_us, known.refused = now_us, ""
        return [*changes, self._row(known), AuditRow(self._path, act.at_us, "duty check clicked", act.who, "",
                                                     act.check)]

    def asked_by_centre(self, asked: CentreAskedEnvelope) -> list[StoreChange]:
        """A monitoring centre wants to know that somebody is there; anything else that it orders is written down."""
        if asked.what != "duty":
            return [AuditRow(self._path, asked.at_us, f"centre_{asked.what}", asked.centre, "", asked.detail)]
        due_us = asked.at_us + max(1, asked.minutes) * MINUTE_US
        return self.record(DutyCheck(asked.name, CENTRE_DEVICE + asked.centre, "", asked.centre, asked.at_us, due_us))

    def answered_to_centre(self, check: str, at_us: int) -> tuple[list[StoreChange], DutyCheck | None]:
        """A click on a check that a centre asked of the cloud: no gateway has to carry it."""
        known = self.told.get(check)
        if known is None or known.command is None or not known.check.device.startswith(CENTRE_DEVICE):
            return [], None
        answered = msgspec.structs.replace(known.check, state=DutyState.ANSWERED, who=known.command.who,
                                           answered_us=at_us)
        return self.record(answered), answered

    def centre_confirmed(self, notice: str, given_up: str) -> list[StoreChange]:
        """What became of the answer: its notice's id is made from the check."""
        for known in self.told.values():
            if known.check.state is DutyState.ANSWERED and row_id(self._path, "duty", known.check.id) == notice:
                state = DutyState.FAILED if given_up else DutyState.DELIVERED
                return self.record(msgspec.structs.replace(known.check, state=state, detail=given_up))
        return []

    def answered(self, result: CommandResult) -> list[StoreChange]:
        """What the gateway says to the answer."""
        known = self.told.get(result.target)
        if known is None or known.command is None or known.command.id != result.command:
            return []
        known.command = None
        if result.outcome in (CommandOutcome.APPLIED, CommandOutcome.ALREADY_APPLIED):
            return []  # its own record says so, with the time
        known.refused = result.detail or result.outcome.value
        return [self._row(known)]

    def due(self, now_us: int) -> tuple[list[StoreChange], list[Command]]:
        """Time passes: answers to send (again), checks whose time is over."""
        changes: list[StoreChange] = []
        commands: list[Command] = []
        for known in self.told.values():
            if known.check.state is DutyState.ASKED and now_us > known.check.due_us:
                known.check = msgspec.structs.replace(known.check, state=DutyState.UNANSWERED,
                                                      detail=known.refused or known.check.detail)
                known.command = None
                changes += [self._row(known), AuditRow(self._path, known.check.due_us, "duty check unanswered",
                                                       detail=f"{known.check.id} of {known.check.asker}")]
            elif known.command is not None and now_us >= known.next_us:
                known.next_us = now_us + TELL_EVERY_US
                commands.append(known.command)
        return changes, commands

    def due_us(self) -> int | None:
        """When `due` will next have something to do."""
        dues = [known.next_us if known.command is not None else known.check.due_us + 1
                for known in self.told.values() if known.check.state is DutyState.ASKED]
        return min(dues, default=None)

    def _open_count(self) -> int:
        return sum(known.check.state is DutyState.ASKED for known in self.told.values())

    def _trim(self) -> list[StoreChange]:
        """Ended ones go, the oldest first, past the bound; none that waits ever does."""
        ended = [name for name, known in self.told.items() if known.check.state is not DutyState.ASKED]
        gone = ended[:max(0, len(self.told) - KEPT_MAX)]
        return [self._row(self.told.pop(name), shown=False) for name in gone]

    def _row(self, known: DutyTold, *, shown: bool = True) -> DutyRow:
        site, check = self._inventory.site, known.check
        device = self._inventory.devices.get(check.device)
        zone = site.zone(check.zone)
        people = sorted((c for c in site.contacts if c.role in MUST_ANSWER), key=lambda c: MUST_ANSWER.index(c.role))
        return DutyRow(DutyView(
            site.tenancy, site.name, zone.name if zone else Text("", ""),
            device.place if device else Text(check.device, check.device), check,
            tuple(people), known.command.who if known.command is not None else "", known.refused), shown)
