"""Turn: what one step of the core gathers before it becomes effects."""

from __future__ import annotations

from collections.abc import Iterable

from device_model.impairment import ImpairmentChange
from device_model.messages import AlarmRecord, CommandResultRecord, DutyCheckRecord, ImpairmentRecord, OutputRecord
from edge_agent.events import AnswerDuty, Log, NotifyLocal
from edge_agent.outputs import Drive, OutputStep


class Turn:
    """What one step gathers before it becomes effects."""

    __slots__ = ("alarms", "drives", "facts", "notes", "timers")

    def __init__(self) -> None:
        self.drives: list[Drive] = []
        self.alarms: list[AlarmRecord] = []
        self.facts: list[ImpairmentRecord | OutputRecord | CommandResultRecord | DutyCheckRecord] = []
        self.notes: list[NotifyLocal | Log | AnswerDuty] = []
        self.timers = False  # a timer began or ended without an alarm being told

    def log(self, level: str, what: str, **fields: str | int | float | bool) -> None:
        """A line of the log."""
        self.notes.append(Log(level, what, fields))

    def outputs(self, step: OutputStep) -> None:
        """What outputs ask for."""
        self.drives += step.drives
        self.facts += step.records
        self.impairments(step.changes)

    def impairments(self, changes: Iterable[ImpairmentChange | None]) -> None:
        """Lacks that began or ended."""
        self.facts += [ImpairmentRecord(change) for change in changes if change is not None]
