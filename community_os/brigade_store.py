"""Photos from the scene and hand-overs of a shift in the incident store (I/O)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from community_os import schema
from community_os.notice_store import NoticeStatus
from community_os.store import IncidentStore
from dashboards.brigade import Handover, NoticeFacts, PhotoFacts
from device_model.site import Tenancy

# One incident's pictures; and of all together, after which the oldest go: the reports and their hashes stay.
PHOTOS_OF_INCIDENT = 40
PHOTOS_BYTES_MAX = 2 * 1024**3
HANDOVERS_SHOWN = 30
FAILED_SHOWN = 200
NOTICES_OF_INCIDENT = 60
_PLACES = ("city", "district", "street", "site")


class BrigadeStore:
    """The brigade's own rows."""

    def __init__(self, store: IncidentStore) -> None:
        self._store = store

    # --- photos -------------------------------------------------------------------------------------------

    def put_photo(self, facts: PhotoFacts, body: bytes, tenancy: Tenancy) -> None:
        """Keep it once. Raises ValueError when an incident has its share."""
        table = schema.photo
        with self._store.transaction() as connection:
            if connection.scalar(sa.select(table.c.sha256).where(table.c.sha256 == facts.sha256)):
                return
            count = connection.scalar(sa.select(sa.func.count()).where(table.c.incident == facts.incident)) or 0
            if count >= PHOTOS_OF_INCIDENT:
                raise ValueError(f"an incident keeps {PHOTOS_OF_INCIDENT} pictures")
            connection.execute(sa.insert(table), [{
                **msgspec.structs.asdict(facts), "body": body, **_place(tenancy.path)}])
            over = (connection.scalar(sa.select(sa.func.sum(table.c.size))) or 0) - PHOTOS_BYTES_MAX
            if over > 0:
                self._drop_oldest(connection, over)

    def _drop_oldest(self, connection: sa.Connection, over: int) -> None:
        table, gone = schema.photo, []
        for row in connection.execute(sa.select(table.c.sha256, table.c.size).order_by(table.c.stored_us).limit(200)):
            if over <= 0:
                break
            gone.append(row.sha256)
            over -= row.size
        connection.execute(sa.delete(table).where(table.c.sha256.in_(gone)))

    def photo(self, sha256: str, scope: str) -> bytes | None:
        """The picture, where it lies within the scope."""
        table = schema.photo
        with self._store.transaction(writes=False) as connection:
            body = connection.scalar(
                sa.select(table.c.body).where(table.c.sha256 == sha256, *_within(table, scope)))
        return bytes(body) if body is not None else None

    def photos(self, incident: str) -> tuple[PhotoFacts, ...]:
        """Those of one incident, oldest first."""
        table = schema.photo
        names = [field.name for field in msgspec.structs.fields(PhotoFacts)]
        query = (sa.select(*(table.c[name] for name in names)).where(table.c.incident == incident)
                 .order_by(table.c.stored_us))
        with self._store.transaction(writes=False) as connection:
            return tuple(PhotoFacts(**dict(row)) for row in connection.execute(query).mappings())

    # --- notices ------------------------------------------------------------------------------------------

    def notices(self, incident: str) -> tuple[NoticeFacts, ...]:
        """Who was to be told of it, and how that ended."""
        table = schema.notice
        query = sa.select(table).where(table.c.incident == incident).order_by(table.c.at_us.desc())
        return self._notices(query.limit(NOTICES_OF_INCIDENT))

    def failed(self, scope: str) -> tuple[NoticeFacts, ...]:
        """Those that were given up, newest first."""
        table = schema.notice
        query = sa.select(table).where(table.c.status == NoticeStatus.DEAD.value, *_within(table, scope))
        return self._notices(query.order_by(table.c.at_us.desc()).limit(FAILED_SHOWN))

    def _notices(self, query: sa.Select[tuple[object, ...]]) -> tuple[NoticeFacts, ...]:
        with self._store.transaction(writes=False) as connection:
            rows = [row._mapping for row in connection.execute(query)]
        return tuple(NoticeFacts(row["id"], row["endpoint"], row["kind"], row["at_us"], row["status"],
                                 row["attempts"], row["reason"], row["incident"], Tenancy.of(row["path"]))
                     for row in rows)

    # --- hand-overs ---------------------------------------------------------------------------------------

    def handovers(self, scope: str) -> tuple[Handover, ...]:
        """The latest within a scope, newest first."""
        table = schema.handover
        query = (sa.select(table.c.view).where(*_within(table, scope)).order_by(table.c.at_us.desc())
                 .limit(HANDOVERS_SHOWN))
        with self._store.transaction(writes=False) as connection:
            return tuple(msgspec.json.decode(view, type=Handover) for view in connection.scalars(query))

    def put_handover(self, handover: Handover) -> Handover:
        """Store it, or give the one that stands under its id already."""
        table = schema.handover
        with self._store.transaction() as connection:
            known = connection.scalar(sa.select(table.c.view).where(table.c.id == handover.id))
            if known is not None:
                return msgspec.json.decode(known, type=Handover)
            connection.execute(sa.insert(table), [{
                "id": handover.id, "shown": True, "at_us": handover.at_us,
                "view": msgspec.json.encode(handover), **_place(handover.scope)}])
        return handover

    def take_handover(self, name: str, scope: str, who: str, remark: str, at_us: int) -> str:
        """Somebody takes it over: "" or why not."""
        table = schema.handover
        with self._store.transaction() as connection:
            known = connection.scalar(sa.select(table.c.view).where(table.c.id == name, *_within(table, scope)))
            if known is None:
                return "there is no such hand-over"
            handover = msgspec.json.decode(known, type=Handover)
            if handover.taken_by:
                return f"{handover.taken_by} has taken it over already"
            if handover.by == who:
                return "whoever hands over cannot take over as well"
            taken = msgspec.structs.replace(handover, taken_by=who, taken_us=at_us, remark=remark)
            connection.execute(sa.update(table).where(table.c.id == name).values(view=msgspec.json.encode(taken)))
        return ""


def _place(path: str) -> dict[str, str]:
    """A tenancy prefix as columns; deeper parts are empty."""
    parts = [part for part in path.split("/") if part]
    return dict(zip(_PLACES, (*parts, "", "", "", "")[:4], strict=True))


def _within(table: sa.Table, scope: str) -> Sequence[sa.ColumnElement[bool]]:
    parts = [part for part in scope.split("/") if part]
    if len(parts) > len(_PLACES):
        return [sa.false()]
    return [table.c[name] == part for name, part in zip(_PLACES, parts, strict=False)]
