"""What the core is told, and what it asks for: the whole traffic over the border between pure and I/O.

    driver, clock, journal, link, people ──event──► AgentCore.step ──effects──► runtime~
                                                                     1 outputs (never wait for anything)
                                                                     2 alarm records  3 telemetry  4 notes

Effects are done in the order of the tuple.
"""

from __future__ import annotations

from datetime import tzinfo

import msgspec

from device_drivers.driver import DriverEvent
from device_model.clock import Now
from device_model.command import Command
from device_model.inventory import Inventory
from device_model.messages import Lane, Record
from device_model.ports import JournalState
from device_model.reading import Value
from edge_agent.outputs import Drive
from edge_agent.site_diff import SiteChange
from rules_engine import RuleSet

# -- events ------------------------------------------------------------------------------------------------------


class PowerOn(msgspec.Struct, frozen=True):
    """The process starts. journal: what the disk knows; None when the journal could not be opened (yet)."""

    journal: JournalState | None
    detail: str = ""


class JournalOpened(msgspec.Struct, frozen=True):
    """A journal that could not be opened at the start takes records now."""

    journal: JournalState


class Tick(msgspec.Struct, frozen=True):
    """Time passed."""


class CommandReceived(msgspec.Struct, frozen=True):
    """The cloud asks. `on_site` in the command is not believed."""

    command: Command


class OnSiteAction(msgspec.Struct, frozen=True):
    """A named person at the gateway asks."""

    command: Command


class OutputWritten(msgspec.Struct, frozen=True):
    """The device took a write."""

    output: str
    on: bool


class OutputWriteFailed(msgspec.Struct, frozen=True):
    """The device did not take a write."""

    output: str
    on: bool
    detail: str


class Committed(msgspec.Struct, frozen=True):
    """The disk took a group of records (the outbox knows which)."""


class CommitFailed(msgspec.Struct, frozen=True):
    """The disk did not take a group of records: full, read-only, broken, or hanging past what an alarm may wait."""

    reason: str


class LinkState(msgspec.Struct, frozen=True):
    """The uplink came or went."""

    up: bool


class PartFailed(msgspec.Struct, frozen=True):
    """A part of the gateway died or hung and is started again."""

    part: str
    detail: str


class SiteChanged(msgspec.Struct, frozen=True):
    """A new site file was checked and may be taken: from this step on it holds."""

    inventory: Inventory
    rules: RuleSet
    zone: tzinfo
    change: SiteChange


Event = (
    SiteChanged | DriverEvent | PowerOn | JournalOpened | Tick | CommandReceived | OnSiteAction | OutputWritten
    | OutputWriteFailed | Committed | CommitFailed | LinkState | PartFailed
)

# -- effects -----------------------------------------------------------------------------------------------------


class DriveOutput(msgspec.Struct, frozen=True):
    """Write a point now, beside everything else."""

    drive: Drive


class Commit(msgspec.Struct, frozen=True):
    """Store what waits in the outbox (`records` is what this step added). checkpoint: the core's state belongs
    into the same transaction (`AgentCore.checkpoint`, made when the transaction starts, so that a storm of alarms
    makes one, not one each). urgent: at once; else within 50 ms."""

    records: tuple[tuple[Lane, Record], ...]
    checkpoint: bool
    urgent: bool


class AnswerDuty(msgspec.Struct, frozen=True):
    """A person answered a duty check: tell its asker over that line."""

    line: str
    device: str
    check: str


class NotifyLocal(msgspec.Struct, frozen=True):
    """Tell the people at the gateway (local page, indicator)."""

    kind: str
    subject: str
    who: str = ""
    detail: str = ""


class Log(msgspec.Struct, frozen=True):
    """A line of the log. level: info, warning or error."""

    level: str
    what: str
    fields: dict[str, str | int | float | bool] = {}


Effect = DriveOutput | Commit | AnswerDuty | NotifyLocal | Log


class OpenAlarm(msgspec.Struct, frozen=True):
    """One open alarm, as the local page and the command line show it."""

    alarm: str
    rule: str
    subject: str
    state: str
    zone: str
    raised_us: int
    acknowledged_by: str = ""


class Live(msgspec.Struct, frozen=True):
    """One live value, as the local page shows it."""

    point: str
    value: Value | None
    quality: str
    at: Now | None
