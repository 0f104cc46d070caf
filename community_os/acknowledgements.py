"""Acknowledgements on their way down (pure): told to the gateway until it answers, given up after a day."""

from __future__ import annotations

from community_os.site_effects import PendingCommand
from community_os.store_changes import row_id
from device_model.clock import HOUR_US, SECOND_US
from device_model.command import Command, CommandKind
from rules_engine.incident import IncidentChange
from rules_engine.incident_desk import IncidentDesk

TELL_EVERY_US = 5 * SECOND_US
TELL_FOR_US = 24 * HOUR_US


class Acknowledgements:
    """One site's. Owned by its worker."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.pending: dict[str, PendingCommand] = {}

    def due(self, book: IncidentDesk, now_us: int) -> tuple[list[IncidentChange], list[Command]]:
        """Commands for what is not answered: new ones now, others when they are due."""
        wanted: dict[str, PendingCommand] = {}
        for incident_id, alarm, who in book.to_tell():
            incident = book.incident(incident_id)
            since_us = incident.acknowledged_us if incident else 0
            name = row_id(self._path, "acknowledged", incident_id, alarm, str(since_us))
            wanted[name] = self.pending.get(name) or PendingCommand(
                Command(name, CommandKind.ALARM_ACKNOWLEDGED, alarm, who, "", now_us, now_us + TELL_FOR_US),
                incident_id, now_us)
        self.pending = wanted
        changes: list[IncidentChange] = []
        commands: list[Command] = []
        for pending in wanted.values():
            if now_us > pending.command.expires_us:
                changes += book.gateway_told(pending.command.target, now_us, refused="no answer for a day")
            elif now_us >= pending.next_us:
                pending.next_us = now_us + TELL_EVERY_US
                commands.append(pending.command)
        return changes, commands
