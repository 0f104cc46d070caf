"""MaintenanceDesk (pure): devices taken out of service from afar, and put back, as the gateway answers.

    MaintainEnvelope ──► refused: no reason, no measure (law 3), no such device, too long
                    └──► ISOLATE / RESTORE, again every 5 s ──► gateway: impairment ISOLATED, expiring by itself
                                                            └──► refused, or no answer for ten minutes: said

Nothing is out of service until the gateway says so: its impairment is the truth, this only carries the wish.
"""

from __future__ import annotations

import msgspec

from community_os.envelopes import MaintainEnvelope
from community_os.store_changes import AuditRow, OutcomeRow, StoreChange, row_id
from device_model.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from device_model.command import Command, CommandKind, CommandOutcome, CommandResult
from device_model.inventory import Inventory
from device_model.read_models import ActionOutcome

TELL_EVERY_US = 5 * SECOND_US
# After it a wish is stale: whoever wanted it has gone home, or done without.
TELL_FOR_US = 10 * MINUTE_US
REFUSED_SHOWN_US = HOUR_US
LONGEST_US = 3 * DAY_US
DEVICES_MAX = 20


class MaintainAsked(msgspec.Struct):
    """One device on its way out or in. refused: why not, shown for an hour."""

    command: Command
    next_us: int
    until_us: int
    refused: str = ""
    refused_us: int = 0


class MaintenanceDesk:
    """One site's. Owned by its worker; `asked` by device is its checkpoint."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory, self._path = inventory, inventory.site.tenancy.path
        self.asked: dict[str, MaintainAsked] = {}

    def act(self, asked: MaintainEnvelope, now_us: int) -> list[StoreChange]:
        """A person's wish: taken, or refused with the law."""
        refusal, law = self._objection(asked)
        rows: list[StoreChange] = []
        if not refusal:
            ending = asked.until_us == 0
            for device in asked.devices:
                name = row_id(self._path, "maintain", device, asked.request)
                command = Command(
                    name, CommandKind.RESTORE if ending else CommandKind.ISOLATE, device, asked.who, asked.why,
                    now_us, now_us + TELL_FOR_US, None if ending else (asked.until_us - asked.at_us) / SECOND_US,
                    compensating_measure=asked.measure)
                self.asked[device] = MaintainAsked(command, now_us, asked.until_us)
            word = "maintenance_ended" if ending else "maintenance_asked"
            detail = f"{', '.join(asked.devices)}: {asked.why} — {asked.measure}".strip(" —")
            rows.append(AuditRow(self._path, asked.at_us, word, asked.who, "", detail[:500]))
        return [*rows, OutcomeRow(self._path, asked.request, "", ActionOutcome(not refusal, refusal, law))]

    def _objection(self, asked: MaintainEnvelope) -> tuple[str, int]:
        unknown = [device for device in asked.devices if device not in self._inventory.devices]
        if unknown or not asked.devices or len(asked.devices) > DEVICES_MAX:
            return (f"no such device: {unknown[0]}" if unknown else f"name 1 to {DEVICES_MAX} devices"), 0
        if not asked.why.strip():
            return "a reason is needed", 0
        if asked.until_us and not asked.measure.strip():
            return "law of safety 3: say what is done meanwhile, such as a guard who walks hourly", 3
        if asked.until_us and not MINUTE_US <= asked.until_us - asked.at_us <= LONGEST_US:
            return f"maintenance lasts 1 minute to {LONGEST_US // HOUR_US} hours; name it again for longer", 2
        return "", 0

    def answered(self, result: CommandResult) -> list[StoreChange]:
        """What the gateway says."""
        asked = self.asked.get(result.target)
        if asked is None or asked.command.id != result.command:
            return []
        if result.outcome in (CommandOutcome.APPLIED, CommandOutcome.ALREADY_APPLIED):
            del self.asked[result.target]
        else:
            asked.refused, asked.refused_us = result.detail or result.outcome.value, result.at_us
        return []

    def due(self, now_us: int) -> tuple[list[StoreChange], list[Command]]:
        """Commands to send now; what was never answered is given up and said."""
        commands: list[Command] = []
        for device, asked in list(self.asked.items()):
            if asked.refused:
                if now_us - asked.refused_us >= REFUSED_SHOWN_US:
                    del self.asked[device]
            elif now_us >= asked.command.expires_us:
                asked.refused, asked.refused_us = "the gateway did not answer", now_us
            elif now_us >= asked.next_us:
                asked.next_us = now_us + TELL_EVERY_US
                commands.append(asked.command)
        return [], commands

    def due_us(self) -> int | None:
        """When `due` has something to do next."""
        return min((asked.refused_us + REFUSED_SHOWN_US if asked.refused else asked.next_us
                    for asked in self.asked.values()), default=None)
