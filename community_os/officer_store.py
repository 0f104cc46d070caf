"""What officers read and set in the incident store (I/O): permits, facts of incidents, settings with who and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import sqlalchemy as sa

from community_os import schema
from community_os.officer_figures import IncidentFact, fact_of
from community_os.officer_setting import Setting
from community_os.store import IncidentStore
from community_os.store_changes import AuditRow, SiteCommit, row_id
from community_os.store_turn import Turn, take_turn
from device_model.errors import LocalFault, RowRefused
from device_model.permit_views import PermitView
from device_model.read_models import GatewayView, IncidentView

PERMITS_LISTED = 300
# A month of a district; a longer question is one for the database itself.
INCIDENTS_MAX = 50_000
_TRIES = 30  # processes that take a number at the same moment; each try waits for the one before
_PLACES = ("city", "district", "street", "site")


class OfficerStore:
    """The officer's own rows."""

    def __init__(self, store: IncidentStore) -> None:
        self._store = store

    def permits(self, scope: str) -> tuple[PermitView, ...]:
        """Open ones first, then the latest."""
        table = schema.permit
        query = (sa.select(table.c.view).where(*_within(table, scope))
                 .order_by(table.c.shown.desc(), table.c.at_us.desc()).limit(PERMITS_LISTED))
        decoder = msgspec.json.Decoder(PermitView)
        with self._store.transaction(writes=False) as connection:
            return tuple(decoder.decode(view) for view in connection.scalars(query))

    def incident_facts(self, scope: str, from_us: int, to_us: int) -> tuple[IncidentFact, ...]:
        """Of incidents that were opened in that time, oldest first."""
        return tuple(fact_of(view) for view in self.incidents(scope, from_us, to_us))

    def incidents(self, scope: str, from_us: int, to_us: int) -> list[IncidentView]:
        """Whole views of the same."""
        table = schema.incident
        query = sa.select(table.c.view).where(
            table.c.opened_us >= from_us, table.c.opened_us < to_us, *_within(table, scope))
        decoder = msgspec.json.Decoder(IncidentView)
        with self._store.transaction(writes=False) as connection:
            found = connection.scalars(query.order_by(table.c.opened_us).limit(INCIDENTS_MAX))
            return [decoder.decode(view) for view in found]

    def gateways(self, scope: str) -> tuple[GatewayView, ...]:
        """What is known of each gateway."""
        table = schema.gateway
        decoder = msgspec.json.Decoder(GatewayView)
        with self._store.transaction(writes=False) as connection:
            return tuple(decoder.decode(view) for view in connection.scalars(
                sa.select(table.c.view).where(*_within(table, scope))))

    # --- settings -----------------------------------------------------------------------------------------

    def put(self, kind: str, path: str, name: str, body: bytes, *, who: str, why: str, at_us: int,
            once: str = "") -> Setting:
        """Add one, and its line in the audit chain of the site. Nothing is overwritten. once: of what there may be
        only one; a second raises RowRefused."""
        number = row_id("once", kind, once) if once else row_id("setting", kind, path, name, who, str(at_us))
        setting = Setting(number, kind, path, name[:170], at_us, who, why, body)
        with self._store.transaction() as connection:
            _insert(connection, setting)
        return self._noted(setting)

    def put_numbered(
        self, kind: str, path: str, series: str, body_of: Callable[[int], bytes], *, within: str, who: str, why: str,
        at_us: int,
    ) -> Setting:
        """Add one under the next number of a series ("R2026-hangzhou" → "R2026-hangzhou-0001"): without a hole and
        without a double, also where several processes add at the same moment, for the number is found and taken in
        one transaction. within: the scope in which the series counts."""
        for _ in range(_TRIES):
            try:
                with self._store.transaction() as connection:
                    take_turn(connection, Turn.NUMBERED)
                    number = self._newest(connection, kind, within, series) + 1
                    name = f"{series}-{number:04d}"
                    setting = Setting(row_id("numbered", kind, within, name), kind, path, name, at_us, who, why,
                                      body_of(number))
                    _insert(connection, setting)
            except RowRefused:  # PostgreSQL: somebody else has taken it since we looked
                continue
            return self._noted(setting)
        raise LocalFault(f"no number of {series} could be taken in {_TRIES} tries: try again")

    @staticmethod
    def _newest(connection: sa.Connection, kind: str, within: str, series: str) -> int:
        table = schema.officer_setting
        names = connection.scalars(sa.select(table.c.name).where(
            table.c.kind == kind, table.c.name.startswith(f"{series}-", autoescape=True), *_within(table, within)))
        parts = [name.rpartition("-") for name in names]
        return max((int(end) for head, _, end in parts if head == series and end.isdecimal()), default=0)

    def _noted(self, setting: Setting) -> Setting:
        kind, path, name, at_us, who, why, body = (
            setting.kind, setting.path, setting.name, setting.at_us, setting.who, setting.why, setting.body)
        if path.count("/") == 3:
            detail = f"{name}: {body.decode(errors='replace')[:300]} {why}".strip()
            row = AuditRow(path, at_us, f"{kind}_set", who, "", detail)
            self._store.apply([SiteCommit(path, 0, (row,), tick=True)])
        return setting

    def settings(self, kind: str, scope: str = "", name: str = "", limit: int = 1000) -> tuple[Setting, ...]:
        """Of a kind, newest first."""
        table = schema.officer_setting
        query = sa.select(table).where(table.c.kind == kind, *_within(table, scope),
                                       *([table.c.name == name] if name else []))
        with self._store.transaction(writes=False) as connection:
            rows = connection.execute(query.order_by(table.c.at_us.desc(), table.c.id).limit(limit)).mappings()
            return tuple(Setting(row["id"], row["kind"], "/".join(row[part] for part in _PLACES if row[part]),
                                 row["name"], row["at_us"], row["who"], row["why"], bytes(row["body"]))
                         for row in rows)


def _insert(connection: sa.Connection, setting: Setting) -> None:
    parts = (*(part for part in setting.path.split("/") if part), "", "", "", "")[:4]
    connection.execute(sa.insert(schema.officer_setting), [
        {"id": setting.id, "kind": setting.kind, "name": setting.name, "at_us": setting.at_us, "who": setting.who,
         "why": setting.why, "body": setting.body, **dict(zip(_PLACES, parts, strict=True))}])


def _within(table: sa.Table, scope: str) -> Sequence[sa.ColumnElement[bool]]:
    parts = [part for part in scope.split("/") if part]
    if len(parts) > len(_PLACES):
        return [sa.false()]
    return [table.c[name] == part for name, part in zip(_PLACES, parts, strict=False)]
