"""What officers read and set in the incident store (I/O): permits, facts of incidents, settings with who and why."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from community_os import schema
from community_os.officer_figures import IncidentFact, fact_of
from community_os.store import IncidentStore
from community_os.store_changes import AuditRow, SiteCommit, row_id
from device_model.permit_views import PermitView
from device_model.read_models import IncidentView

PERMITS_LISTED = 300
# A month of a district; a longer question is one for the database itself.
INCIDENTS_MAX = 50_000
_PLACES = ("city", "district", "street", "site")


class Setting(msgspec.Struct, frozen=True):
    """One change that somebody made: kind "parameter", "publish", "notice"; name: of what; body: JSON of its kind."""

    id: str
    kind: str
    path: str
    name: str
    at_us: int
    who: str
    why: str
    body: bytes


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

    # --- settings -----------------------------------------------------------------------------------------

    def put(self, kind: str, path: str, name: str, body: bytes, *, who: str, why: str, at_us: int) -> Setting:
        """Add one, and its line in the audit chain of the site. Nothing is overwritten."""
        number = row_id("setting", kind, path, name, who, str(at_us))
        setting = Setting(number, kind, path, name, at_us, who, why, body)
        place = dict(zip(_PLACES, (*(part for part in path.split("/") if part), "", "", "", "")[:4], strict=True))
        with self._store.transaction() as connection:
            connection.execute(sa.insert(schema.officer_setting), [
                {"id": setting.id, "kind": kind, "name": name[:170], "at_us": at_us, "who": who, "why": why,
                 "body": body, **place}])
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


def _within(table: sa.Table, scope: str) -> Sequence[sa.ColumnElement[bool]]:
    parts = [part for part in scope.split("/") if part]
    if len(parts) > len(_PLACES):
        return [sa.false()]
    return [table.c[name] == part for name, part in zip(_PLACES, parts, strict=False)]
