"""Notices in the incident store (I/O): stored with what caused them, sent afterwards, kept with how it ended.

    waiting ──sent──► sent            all in the table `notice`; the row is written in the transaction of its cause
       └──given up──► dead (reason)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import sqlalchemy as sa

from community_os import schema
from community_os.centre_words import ENDPOINT
from community_os.store import IncidentStore

# So many may wait for one endpoint: a day of a flood. Beyond it the oldest that law 1 does not name are given up.
WAITING_MAX = 5_000
# Sent ones are kept so many, for looking back; dead ones as many again.
KEPT = 20_000


class NoticeStatus(StrEnum):
    """Where a notice is."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"


class Notice(msgspec.Struct, frozen=True):
    """One thing to send to one endpoint. at_us: what it is about; stored in order of `next_us`."""

    id: str
    path: str
    endpoint: str
    incident: str
    kind: str
    at_us: int
    urgent: bool
    body: bytes
    attempts: int
    reason: str = ""
    status: NoticeStatus = NoticeStatus.WAITING


class NoticeStore:
    """The sender's view of the incident store."""

    def __init__(self, store: IncidentStore) -> None:
        self._store = store

    def due(
        self, now_us: int, limit: int, *, endpoint: str = "", path: str = "", busy: Sequence[str] = ()
    ) -> list[Notice]:
        """Those to be sent now, what law 1 names first. endpoint "": to all but those that are busy, so that one that
        hangs hides no other, and but monitoring centres, which have connections of their own: theirs in the order in
        which things happened."""
        table = schema.notice
        query = sa.select(table).where(table.c.status == NoticeStatus.WAITING.value, table.c.next_us <= now_us)
        if endpoint:
            query = query.where(table.c.endpoint == endpoint, table.c.path == path)
            query = query.order_by(table.c.at_us, table.c.id).limit(limit)
        else:
            query = query.where(table.c.endpoint.not_like(f"{ENDPOINT}%"), table.c.endpoint.not_in(list(busy)))
            query = query.order_by(table.c.urgent.desc(), table.c.next_us, table.c.at_us, table.c.id).limit(limit)
        with self._store.transaction(writes=False) as connection:
            return [_notice(row) for row in connection.execute(query)]

    def settle(self, notice: Notice, now_us: int, *, next_us: int = 0) -> None:
        """How a try ended: `notice` with its new attempts, reason and status; next_us where it is tried again."""
        table = schema.notice
        with self._store.transaction() as connection:
            connection.execute(sa.update(table).where(table.c.id == notice.id).values(
                attempts=notice.attempts, reason=notice.reason[:500], status=notice.status.value, next_us=next_us,
                settled_us=now_us if notice.status is not NoticeStatus.WAITING else 0))

    def waiting(self, endpoint: str, now_us: int, limit: int, *, urgent: bool) -> list[Notice]:
        """What is due for one endpoint, oldest first."""
        table = schema.notice
        query = sa.select(table).where(
            table.c.status == NoticeStatus.WAITING.value, table.c.endpoint == endpoint, table.c.next_us <= now_us,
            table.c.urgent.is_(urgent)).order_by(table.c.at_us, table.c.id).limit(limit)
        with self._store.transaction(writes=False) as connection:
            return [_notice(row) for row in connection.execute(query)]

    def settle_all(self, notices: Sequence[Notice], now_us: int, *, status: NoticeStatus, reason: str = "",
                   next_us: int = 0, tried: bool = True) -> None:
        """How one message for all of these ended. tried False: nothing was sent, they wait until next_us."""
        table = schema.notice
        with self._store.transaction() as connection:
            connection.execute(sa.update(table).where(table.c.id.in_([notice.id for notice in notices])).values(
                attempts=table.c.attempts + int(tried), reason=reason[:500], status=status.value, next_us=next_us,
                settled_us=now_us if status is not NoticeStatus.WAITING else 0))

    def shed(self, endpoint: str, now_us: int) -> int:
        """Give up the oldest beyond what may wait for one endpoint; how many."""
        table = schema.notice
        with self._store.transaction() as connection:
            of_endpoint = sa.and_(table.c.status == NoticeStatus.WAITING.value, table.c.endpoint == endpoint,
                                  table.c.urgent.is_(False))
            over = (connection.scalar(sa.select(sa.func.count()).where(of_endpoint)) or 0) - WAITING_MAX
            if over <= 0:
                return 0
            oldest = sa.select(table.c.id).where(of_endpoint).order_by(table.c.at_us, table.c.id).limit(over)
            connection.execute(sa.update(table).where(table.c.id.in_(list(connection.scalars(oldest)))).values(
                status=NoticeStatus.DEAD.value, reason=f"more than {WAITING_MAX} waited for this endpoint",
                settled_us=now_us))
        return over

    def of_incident(self, incident: str, limit: int = 200) -> list[tuple[Notice, int]]:
        """Who was told of one incident, newest first, each with when that ended (0: it waits)."""
        table = schema.notice
        query = sa.select(table).where(table.c.incident == incident).order_by(table.c.at_us.desc()).limit(limit)
        with self._store.transaction(writes=False) as connection:
            return [(_notice(row), int(row._mapping["settled_us"])) for row in connection.execute(query)]

    def unreported(self, limit: int) -> list[Notice]:
        """Those that ended and whose incident was not told yet."""
        table = schema.notice
        query = (sa.select(table).where(table.c.status != NoticeStatus.WAITING.value, table.c.reported.is_(False))
                 .order_by(table.c.settled_us).limit(limit))
        with self._store.transaction(writes=False) as connection:
            return [_notice(row) for row in connection.execute(query)]

    def reported(self, names: list[str]) -> None:
        """Their incidents know; the oldest ones beyond the bound go."""
        table = schema.notice
        with self._store.transaction() as connection:
            connection.execute(sa.update(table).where(table.c.id.in_(names)).values(reported=True))
            for status in (NoticeStatus.SENT, NoticeStatus.DEAD):
                ended = sa.select(table.c.id).where(table.c.status == status.value, table.c.reported.is_(True))
                old = ended.order_by(table.c.settled_us.desc()).offset(KEPT).limit(1000)
                gone = list(connection.scalars(old))
                if gone:
                    connection.execute(sa.delete(table).where(table.c.id.in_(gone)))

    def again(self, name: str, now_us: int) -> bool:
        """A person wants a dead one tried again."""
        table = schema.notice
        with self._store.transaction() as connection:
            done = connection.execute(sa.update(table).where(
                table.c.id == name, table.c.status == NoticeStatus.DEAD.value).values(
                status=NoticeStatus.WAITING.value, next_us=now_us, stored_us=now_us, attempts=0, reported=False))
            return bool(done.rowcount)

    def listed(self, status: NoticeStatus, limit: int = 200) -> list[Notice]:
        """The newest of one state."""
        table = schema.notice
        query = sa.select(table).where(table.c.status == status.value).order_by(table.c.at_us.desc()).limit(limit)
        with self._store.transaction(writes=False) as connection:
            return [_notice(row) for row in connection.execute(query)]


def _notice(row: sa.Row[tuple[object, ...]]) -> Notice:
    kept = row._mapping
    return Notice(kept["id"], kept["path"], kept["endpoint"], kept["incident"], kept["kind"], kept["at_us"],
                  kept["urgent"], bytes(kept["body"]), kept["attempts"], kept["reason"], NoticeStatus(kept["status"]))
