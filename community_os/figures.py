"""Figures out of the incident store (I/O): quality of rules, false alarms, load on people, what does not protect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from community_os import schema
from community_os.store import IncidentStore
from device_model.clock import HOUR_US
from device_model.inspection import InspectionView
from device_model.inventory import Inventory
from device_model.read_models import ImpairmentView, IncidentView
from rules_engine.alarm_figures import QualityReport, quality
from rules_engine.people_load import LoadReport, Raise, load

# A year of a district; more is a question for the database itself.
INCIDENTS_MAX = 200_000
RAISES_MAX = 1_000_000
DAY_US = 24 * HOUR_US
# Impairments that end within so long are shown as such.
SOON_US = 8 * HOUR_US


class RegisterLine(msgspec.Struct, frozen=True):
    """One thing that does not protect. state: open, ends_soon or overdue (its time is over and it still stands)."""

    site: str
    kind: str
    subject: str
    zone: dict[str, str]
    since_us: int
    expires_us: int
    who: str
    why: str
    compensation: str
    state: str


class Register(msgspec.Struct, frozen=True):
    """All of it, what is overdue or has nobody watching first."""

    at_us: int
    lines: tuple[RegisterLine, ...]
    by_kind: dict[str, int]
    without_watch: int

    def text(self) -> str:
        """For people."""
        lines = [f"{line.state:<9} {line.kind:<15} {line.site} {line.subject} {line.why} "
                 f"{line.who} {line.compensation or '(no compensating watch)'}" for line in self.lines]
        counts = ", ".join(f"{kind} {count}" for kind, count in self.by_kind.items()) or "nothing"
        return "\n".join([*lines, f"{counts}; {self.without_watch} without a compensating watch"])


def impairment_register(store: IncidentStore, scope: str, now_us: int) -> Register:
    """Everything that is disabled, in test, silent, isolated or unpowered, with who, why, watch and expiry."""
    lines = [_line(view, now_us) for view in store.snapshot(scope, now_us).impairments]
    order = {"overdue": 0, "ends_soon": 1, "open": 2}
    lines.sort(key=lambda line: (order[line.state], bool(line.compensation), line.since_us, line.subject))
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.kind] = counts.get(line.kind, 0) + 1
    return Register(now_us, tuple(lines), dict(sorted(counts.items())), sum(not line.compensation for line in lines))


def _line(view: ImpairmentView, now_us: int) -> RegisterLine:
    i = view.impairment
    state = "open"
    if i.expires_us:
        state = "overdue" if i.expires_us <= now_us else "ends_soon" if i.expires_us - now_us <= SOON_US else "open"
    return RegisterLine(view.tenancy.path, i.kind.value, i.subject, msgspec.to_builtins(view.zone_name), i.since_us,
                        i.expires_us, i.who, i.why, i.compensation, state)


def rule_quality(
    store: IncidentStore, sites: Mapping[str, Inventory], scope: str, from_us: int, to_us: int
) -> QualityReport:
    """Verdicts of the incidents that were opened in that time."""
    table = schema.incident
    query = (sa.select(table.c.view).where(table.c.opened_us >= from_us, table.c.opened_us < to_us,
                                           *_scope(table, scope)).order_by(table.c.opened_us).limit(INCIDENTS_MAX))
    decoder = msgspec.json.Decoder(IncidentView)
    with store.transaction(writes=False) as connection:
        views = [decoder.decode(encoded) for encoded in connection.scalars(query)]
    models = {(path, device.id): device.profile for path, inventory in sites.items()
              for device in inventory.devices.values() if not scope or path.startswith(scope)}
    return quality(views, models, (to_us - from_us) / DAY_US)


def people_load(store: IncidentStore, scope: str, from_us: int, to_us: int, operators: int) -> LoadReport:
    """What people had to bear, by the audit log. Raises ValueError for a time that is none."""
    table = schema.audit
    words = ("raised", "cleared")
    query = (sa.select(table.c.at_us, table.c.what, table.c.path, table.c.incident, table.c.detail)
             .where(table.c.what.in_(words), table.c.at_us < to_us, table.c.at_us >= from_us - 30 * DAY_US,
                    *_scope(table, scope)).order_by(table.c.at_us).limit(RAISES_MAX))
    raises: list[Raise] = []
    standing: dict[str, int] = {}
    with store.transaction(writes=False) as connection:
        for row in connection.execute(query):
            _enter(raises, standing, dict(row._mapping))
    return load(raises, from_us=from_us, to_us=to_us, operators=operators)


def _enter(raises: list[Raise], standing: dict[str, int], row: Mapping[str, Any]) -> None:
    """One line of the log: a raise, or the end of the latest one of that alarm."""
    alarm = f"{row['path']} {str(row['detail']).partition(' ')[0]}"
    if row["what"] == "raised":
        standing[alarm] = len(raises)
        raises.append(Raise(alarm, row["at_us"]))
    elif (number := standing.pop(alarm, None)) is not None:
        raises[number] = msgspec.structs.replace(raises[number], over_us=row["at_us"])


def _scope(table: sa.Table, scope: str) -> list[sa.ColumnElement[bool]]:
    parts = [part for part in scope.split("/") if part]
    names = ("city", "district", "street", "site")
    return [table.c[name] == part for name, part in zip(names, parts[:4], strict=False)]


class InspectionList(msgspec.Struct, frozen=True):
    """Inspections that are not accepted yet, the most urgent first."""

    inspections: tuple[InspectionView, ...]

    def text(self) -> str:
        """For people."""
        lines = [f"{v.inspection.state.value:<8} {v.tenancy.path} {v.inspection.subject}: {v.inspection.title.en}, "
                 f"{v.inspection.person} for {v.inspection.raised_by}"
                 + (f", found: {sum(not r.passed for r in v.inspection.results)}" if v.inspection.results else "")
                 for v in self.inspections]
        return "\n".join([*lines, f"{len(self.inspections)} open"])


def open_inspections(store: IncidentStore, scope: str) -> InspectionList:
    """What is to be walked, and what was walked and is not accepted."""
    found = msgspec.json.decode(store.listed("inspections", scope), type=tuple[InspectionView, ...])
    return InspectionList(tuple(sorted(found, key=lambda view: view.inspection.due_us)))
