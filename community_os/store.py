"""The incident store (I/O): SQLite embedded, PostgreSQL when it grows; SQLAlchemy Core, one transaction a batch.

    SiteCommits ──apply──► rows + audit chain + change rows + progress     all or nothing
    boards ◄── snapshot, incident, changes_after, outcome

A commit whose sequence a site's rows already contain is skipped: a worker that died before its checkpoint replays,
and nothing is shown twice. Calls block; programs run them by `store_calls` (one thread), the simulation inline.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from community_os import schema
from community_os.incident_card import card_of
from community_os.store_changes import (
    AuditRow,
    DeadLetter,
    DutyRow,
    GapGone,
    GapRow,
    GatewayRow,
    ImpairmentRow,
    IncidentRow,
    InspectionRow,
    NoticeRow,
    NowRow,
    OutcomeRow,
    PermitRow,
    ProofRow,
    ShelfRow,
    SilenceRow,
    SiteCommit,
    StoreChange,
)
from community_os.store_turn import Turn, take_turn
from device_model.errors import LocalFault, RowRefused
from device_model.inspection import InspectionView
from device_model.permit_views import PermitView
from device_model.place_now import PlaceNow
from device_model.read_models import (
    ActionOutcome,
    BoardSnapshot,
    DutyView,
    GapView,
    GatewayView,
    ImpairmentView,
    IncidentView,
    ProofView,
)
from device_model.register_views import ShelfView, SilenceView
from device_model.site import Tenancy
from device_model.sqlite_file import to_wal
from rules_engine.incident_life import ENDED

T = TypeVar("T")
# A board that was away longer than so many changes takes a new snapshot instead.
CHANGES_KEPT = 20_000
# Poison is rare; the first ones tell the story, and the count is in the log.
DEAD_LETTERS_KEPT = 10_000
BUSY_TIMEOUT_S = 5.0
PROOFS_SHOWN = 200

_Row = dict[str, Any]
_LISTS: dict[str, tuple[sa.Table, Any]] = {
    "impairments": (schema.impairment, ImpairmentView), "gateways": (schema.gateway, GatewayView),
    "gaps": (schema.gap, GapView), "proofs": (schema.proof, ProofView),
    "duties": (schema.duty, DutyView), "inspections": (schema.inspection, InspectionView),
    "silences": (schema.silence, SilenceView), "shelf": (schema.shelf, ShelfView),
    "permits": (schema.permit, PermitView), "now": (schema.place_now, PlaceNow),
}


class ChangeRow(msgspec.Struct, frozen=True):
    """One change: which row of which kind, of which site."""

    revision: int
    kind: str
    id: str
    tenancy: Tenancy


class AuditReport(msgspec.Struct, frozen=True):
    """What the check of the audit chain found. broken: one line per site whose chain does not hold."""

    entries: int
    broken: tuple[str, ...]


class IncidentStore:
    """All tables. Thread-safe; transactions in memory, where all share one connection, take turns."""

    def __init__(self, url: str) -> None:
        """url: SQLAlchemy's, e.g. "sqlite:///var/incidents.sqlite", "sqlite://" (memory), "postgresql+…"."""
        patient = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
        options: _Row = {"connect_args": patient} if url.startswith("sqlite") else {}
        self._turn: AbstractContextManager[Any] = nullcontext()
        if url in ("sqlite://", "sqlite:///:memory:"):
            options["poolclass"], self._turn = StaticPool, threading.RLock()
        self._url = url
        self._engine = sa.create_engine(url, **options)
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        self._writer = self._engine.execution_options(writes=True)

    def open(self) -> None:
        """Connect and bring the schema up to date. LocalFault says what to do."""
        if self._sqlite and self._engine.url.database not in (None, "", ":memory:"):
            Path(str(self._engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.transaction() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "heads")

    def close(self) -> None:
        """Let the connections go; idempotent."""
        self._engine.dispose()

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[sa.Connection]:
        """All or nothing. LocalFault, RowRefused."""
        try:
            with self._turn, (self._writer if writes else self._engine).begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            if _is_content(error):
                raise RowRefused(f"incident store: {str(error)[:500]}") from error
            raise LocalFault(f"incident store {self._engine.url!r}: {error}; check disk space, rights and "
                             "whether the database answers") from error

    # --- writing ------------------------------------------------------------------------------------------

    def apply(self, commits: Sequence[SiteCommit]) -> int:
        """Store them in one transaction; returns how many were not already there.

        LocalFault: none is stored. RowRefused: none is, and one of them never will be.
        """
        with self.transaction() as connection:
            paths = {commit.path for commit in commits}
            stored = self._progress(connection, paths)
            fresh = [c for c in commits if c.tick or c.sequence > stored.get(c.path, 0)]
            self._write(connection, [change for commit in fresh for change in commit.changes])
            reached: dict[str, int] = {}
            for commit in fresh:
                reached[commit.path] = max(commit.sequence, stored.get(commit.path, 0), reached.get(commit.path, 0))
            self._upsert(connection, schema.progress, [
                {"path": path, "sequence": sequence, **_place(Tenancy.of(path))}
                for path, sequence in reached.items()
            ], key="path")
        return len(fresh)

    def _progress(self, connection: sa.Connection, paths: Iterable[str]) -> dict[str, int]:
        table = schema.progress
        rows = connection.execute(sa.select(table.c.path, table.c.sequence).where(table.c.path.in_(list(paths))))
        return {row.path: row.sequence for row in rows}

    def _write(self, connection: sa.Connection, changes: Sequence[StoreChange]) -> None:
        # Of several states of one row within the batch only the last is written; the audit keeps every deed.
        last: dict[tuple[str, str], StoreChange] = {}
        for change in changes:
            if not isinstance(change, AuditRow | NoticeRow):
                key = (_kind(change), change.id)
                last.pop(key, None)
                last[key] = change
        gone = [c.id for c in last.values()
                if isinstance(c, GapGone) or (isinstance(c, ImpairmentRow) and c.view is None)]
        for table in (schema.gap, schema.impairment):
            if gone:
                connection.execute(sa.delete(table).where(table.c.id.in_(gone)))
        by_table: dict[sa.Table, list[_Row]] = {}
        for row in last.values():
            if (made := _row(row)) is not None:
                by_table.setdefault(made[0], []).append(made[1])
        for table, rows in by_table.items():
            self._upsert(connection, table, rows, key="request" if table is schema.act_outcome else "id")
        self._append_audit(connection, [change for change in changes if isinstance(change, AuditRow)])
        self._insert_new(connection, schema.notice, [_notice(c) for c in changes if isinstance(c, NoticeRow)])
        # What sites measure now is read, never followed: it would push everything else out of the list of changes.
        told = [change for change in last.values() if not isinstance(change, NowRow)]
        if told:
            connection.execute(sa.insert(schema.change), [
                {"kind": _kind(change), "id": change.id, **_place(_tenancy(change))} for change in told
            ])
            newest = self._revision(connection)
            if newest % 1000 < len(told):
                connection.execute(sa.delete(schema.change).where(schema.change.c.revision <= newest - CHANGES_KEPT))

    def _upsert(self, connection: sa.Connection, table: sa.Table, rows: list[_Row], *, key: str) -> None:
        if not rows:
            return
        insert = sqlite.insert(table) if self._sqlite else postgresql.insert(table)
        updated = {c.name: insert.excluded[c.name] for c in table.columns if c.name != key}
        connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=updated), rows)

    def _insert_new(self, connection: sa.Connection, table: sa.Table, rows: list[_Row]) -> None:
        """Only what is not there yet: what became of the others stays."""
        if rows:
            insert = sqlite.insert(table) if self._sqlite else postgresql.insert(table)
            connection.execute(insert.on_conflict_do_nothing(index_elements=["id"]), rows)

    def _append_audit(self, connection: sa.Connection, entries: Sequence[AuditRow]) -> None:
        """Link each new entry to the last one of its site."""
        table = schema.audit
        if not entries:
            return
        take_turn(connection, Turn.AUDIT)
        wanted = {entry.id: entry for entry in entries}
        known = set(connection.scalars(sa.select(table.c.id).where(table.c.id.in_(list(wanted)))))
        heads, rows = dict[str, tuple[int, str]](), list[_Row]()
        for entry in wanted.values():
            if entry.id in known:
                continue
            if entry.path not in heads:
                head = connection.execute(
                    sa.select(table.c.number, table.c.hash).where(table.c.path == entry.path)
                    .order_by(table.c.number.desc()).limit(1)).first()
                heads[entry.path] = (head.number, head.hash) if head else (0, "")
            number, previous = heads[entry.path]
            row: _Row = {"id": entry.id, "path": entry.path, "number": number + 1, "at_us": entry.at_us,
                         "who": entry.who, "what": entry.what, "incident": entry.incident, "detail": entry.detail}
            digest = _chained(previous, row)
            heads[entry.path] = (number + 1, digest)
            rows.append({**row, "hash": digest, **_place(Tenancy.of(entry.path))})
        if rows:
            connection.execute(sa.insert(table), rows)

    def bury(self, letter: DeadLetter) -> None:
        """Keep a message that could not be applied."""
        row = {"sequence": letter.sequence, "subject": letter.subject, "at_us": letter.at_us,
               "error": letter.error[:2000], "payload": letter.payload[:65536], **_place_of_path(letter.path)}
        with self.transaction() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(schema.dead_letter)) or 0
            if count < DEAD_LETTERS_KEPT:
                self._upsert(connection, schema.dead_letter, [row], key="sequence")

    # --- reading ------------------------------------------------------------------------------------------

    def snapshot(self, scope: str, at_us: int, *, whole: bool = True) -> BoardSnapshot:
        """All that a board of that scope shows; whole: incidents whole, not as cards. The revision is read first:
        what changes meanwhile comes again."""
        with self.transaction(writes=False) as connection:
            return BoardSnapshot(
                revision=self._revision(connection), at_us=at_us,
                incidents=tuple(self._views(connection, schema.incident, IncidentView, scope, cards=not whole)),
                impairments=tuple(self._views(connection, schema.impairment, ImpairmentView, scope)),
                gateways=tuple(self._views(connection, schema.gateway, GatewayView, scope)),
                gaps=tuple(self._views(connection, schema.gap, GapView, scope)),
                proofs=_latest(self._views(connection, schema.proof, ProofView, scope)),
                duties=tuple(self._views(connection, schema.duty, DutyView, scope)),
            )

    def incident(self, incident: str, scope: str = "") -> IncidentView | None:
        """One incident, also an ended one."""
        encoded = self.encoded_incident(incident, scope)
        return msgspec.json.decode(encoded, type=IncidentView) if encoded is not None else None

    def encoded_incident(self, incident: str, scope: str = "") -> bytes | None:
        """The same as JSON, as it is stored."""
        table = schema.incident
        with self.transaction(writes=False) as connection:
            return connection.scalar(sa.select(table.c.view).where(table.c.id == incident, *_within(table, scope)))

    def encoded_card(self, incident: str) -> bytes | None:
        """What lists show of it, as JSON; None for one that is not known."""
        table = schema.incident
        with self.transaction(writes=False) as connection:
            card: bytes | None = connection.scalar(
                sa.select(sa.func.coalesce(table.c.card, table.c.view)).where(table.c.id == incident))
        return card

    def revision(self) -> int:
        """The number of the latest change."""
        with self.transaction(writes=False) as connection:
            return self._revision(connection)

    def listed(self, kind: str, scope: str) -> bytes:
        """One of the board's side lists as a JSON array: impairments, gateways, gaps or proofs."""
        table, view = _LISTS[kind]
        with self.transaction(writes=False) as connection:
            views = self._views(connection, table, view, scope)
            return msgspec.json.encode(_latest(views) if kind == "proofs" else tuple(views))

    def changes_after(self, revision: int, limit: int = 1000) -> list[ChangeRow] | None:
        """Changes in order; None when some of them are no longer known (take a snapshot instead)."""
        table = schema.change
        with self.transaction(writes=False) as connection:
            newest = self._revision(connection)
            oldest = connection.scalar(sa.select(sa.func.min(table.c.revision)))
            if revision > newest or (oldest is not None and revision < oldest - 1) or (
                    oldest is None and revision != newest):
                return None
            rows = connection.execute(
                sa.select(table).where(table.c.revision > revision).order_by(table.c.revision).limit(limit))
            return [ChangeRow(r.revision, r.kind, r.id, Tenancy(r.city, r.district, r.street, r.site)) for r in rows]

    def outcome(self, request: str) -> ActionOutcome | None:
        """What became of a click; None while it is not known."""
        table = schema.act_outcome
        with self.transaction(writes=False) as connection:
            encoded = connection.scalar(sa.select(table.c.outcome).where(table.c.request == request))
        return msgspec.json.decode(encoded, type=ActionOutcome) if encoded is not None else None

    def progress(self, path: str) -> int:
        """Up to which stream sequence this site's rows are complete."""
        with self.transaction(writes=False) as connection:
            return self._progress(connection, [path]).get(path, 0)

    def dead_letters(self) -> int:
        """How many messages could not be applied."""
        with self.transaction(writes=False) as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(schema.dead_letter)) or 0

    def verify_audit(self, scope: str = "") -> AuditReport:
        """Recompute the chains. Finds changed, removed and inserted entries (a cut tail only beside a known head)."""
        table, count, broken = schema.audit, 0, []
        heads: dict[str, tuple[int, str]] = {}
        with self.transaction(writes=False) as connection:
            query = sa.select(table).where(*_within(table, scope)).order_by(table.c.path, table.c.number)
            for found in connection.execute(query).mappings():
                count += 1
                row = dict(found)
                number, previous = heads.get(row["path"], (0, ""))
                if previous == "broken":
                    continue
                if row["number"] != number + 1 or row["hash"] != _chained(previous, row):
                    broken.append(f"{row['path']}: entry {number + 1} is missing or was changed")
                    heads[row["path"]] = (row["number"], "broken")
                else:
                    heads[row["path"]] = (row["number"], row["hash"])
        return AuditReport(count, tuple(broken))

    def _revision(self, connection: sa.Connection) -> int:
        return connection.scalar(sa.select(sa.func.max(schema.change.c.revision))) or 0

    def _views(self, connection: sa.Connection, table: sa.Table, kind: type[T], scope: str, *, cards: bool = False
               ) -> Iterator[T]:
        decoder = msgspec.json.Decoder(kind)
        view = sa.func.coalesce(table.c.card, table.c.view) if cards else table.c.view
        query = sa.select(view).where(table.c.shown.is_(True), *_within(table, scope))
        latest = table in (schema.proof, schema.duty)
        query = query.order_by(table.c.at_us.desc()).limit(PROOFS_SHOWN) if latest else (
            query.order_by(table.c.at_us, table.c.id))
        return (decoder.decode(encoded) for encoded in connection.scalars(query))


class StoreCalls(Protocol):
    """Runs a blocking store call; how is the program's choice."""

    def __call__(self, call: Callable[[], T]) -> Awaitable[T]:
        """The call's result, when it is done."""
        ...


def store_calls() -> StoreCalls:
    """One thread of its own, so that calls keep their order and the event loop never waits for a disk."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    def run(call: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(executor, call)

    return run


async def inline(call: Callable[[], T]) -> T:
    """Runs it here and now: for the simulation, where nothing may depend on threads."""
    return call()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN comes too late to be IMMEDIATE; `_begin_sqlite` sends it.
    connection.isolation_level = None
    cursor = connection.cursor()
    to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # the worker's checkpoint runs behind what a power cut leaves
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _chained(previous: str, row: _Row) -> str:
    fields = [row[name] for name in ("number", "id", "path", "at_us", "who", "what", "incident", "detail")]
    return hashlib.sha256(previous.encode() + msgspec.json.encode(fields)).hexdigest()


def _place(tenancy: Tenancy) -> _Row:
    return {"city": tenancy.city, "district": tenancy.district, "street": tenancy.street, "site": tenancy.site}


def _place_of_path(path: str) -> _Row:
    """Also for messages whose path is nonsense."""
    parts = [part[:40] for part in path.split("/")]
    return _place(Tenancy(*parts)) if len(parts) == 4 else _place(Tenancy("", "", "", ""))


def _within(table: sa.Table, scope: str) -> list[sa.ColumnElement[bool]]:
    """A tenancy prefix as conditions; deeper than a site matches nothing."""
    parts = [part for part in scope.split("/") if part]
    if len(parts) > 4:
        return [sa.false()]
    return [table.c[name] == part for name, part in zip(("city", "district", "street", "site"), parts, strict=False)]


def _kind(change: StoreChange) -> str:
    """What boards call a change of this row."""
    return {IncidentRow: "incident", ImpairmentRow: "impairments", GatewayRow: "gateways", GapRow: "gaps",
            GapGone: "gaps", ProofRow: "proofs", DutyRow: "duties", OutcomeRow: "act",
            AuditRow: "audit", NoticeRow: "notice", InspectionRow: "inspections",
            SilenceRow: "silences", ShelfRow: "shelf", PermitRow: "permits", NowRow: "now"}[type(change)]


def _tenancy(change: StoreChange) -> Tenancy:
    if isinstance(change, ImpairmentRow | AuditRow | OutcomeRow | NoticeRow):
        return Tenancy.of(change.path)
    return change.view.tenancy


def _row(change: StoreChange) -> tuple[sa.Table, _Row] | None:
    """The table and row of a change; None for what is deleted instead."""
    place = _place(_tenancy(change))
    if isinstance(change, IncidentRow):
        v = change.view
        return schema.incident, {
            "id": v.id, "shown": v.state not in ENDED, "at_us": v.opened_us, "view": msgspec.json.encode(v),
            "state": v.state.value, "hazard": v.hazard.value, "severity": v.severity.value,
            "opened_us": v.opened_us, "closed_us": v.closed_us, "drill": v.drill,
            "card": msgspec.json.encode(card_of(v)), **place}
    if isinstance(change, OutcomeRow):
        return schema.act_outcome, {"request": change.request, "incident": change.incident,
                                    "outcome": msgspec.json.encode(change.outcome), **place}
    if isinstance(change, GapGone | AuditRow | NoticeRow) or change.view is None:
        return None
    at_us, shown, table = 0, True, schema.gateway
    if isinstance(change, ImpairmentRow):
        at_us, table = change.view.impairment.since_us, schema.impairment
    elif isinstance(change, GapRow):
        at_us, shown, table = change.view.since_us, change.view.closed_us == 0, schema.gap
    elif isinstance(change, InspectionRow):
        inspection = change.view.inspection
        at_us, shown, table = inspection.due_us, not inspection.accepted_us, schema.inspection
    elif isinstance(change, SilenceRow):
        at_us, shown, table = change.view.since_us, not change.view.ended_by, schema.silence
    elif isinstance(change, PermitRow):
        at_us, shown, table = change.view.permit.plan.ends_us, change.shown, schema.permit
    elif isinstance(change, NowRow):
        at_us, table = change.view.at_us, schema.place_now
    elif isinstance(change, ShelfRow):
        at_us, shown, table = change.view.since_us, change.shown, schema.shelf
    elif isinstance(change, DutyRow):
        at_us, shown, table = change.view.check.asked_us, change.shown, schema.duty
    elif isinstance(change, ProofRow):
        at_us, table = change.view.raised_us, schema.proof
    return table, {"id": change.id, "shown": shown, "at_us": at_us, "view": msgspec.json.encode(change.view), **place}


def _notice(n: NoticeRow) -> _Row:
    return {"id": n.id, "path": n.path, "endpoint": n.endpoint[:80], "incident": n.incident, "kind": n.kind,
            "at_us": n.at_us, "urgent": n.urgent, "body": n.body, "status": "waiting", "attempts": 0, "next_us": 0,
            "stored_us": n.at_us, "settled_us": 0, "reason": "", "reported": False, **_place(Tenancy.of(n.path))}


def _latest(proofs: Iterable[ProofView]) -> tuple[ProofView, ...]:
    """The newest proof of each gateway."""
    newest: dict[tuple[Tenancy, str], ProofView] = {}
    for proof in proofs:
        known = newest.get((proof.tenancy, proof.gateway))
        if known is None or proof.raised_us > known.raised_us:
            newest[proof.tenancy, proof.gateway] = proof
    return tuple(newest.values())


def _is_content(error: SQLAlchemyError) -> bool:
    """Whether the database refused the content itself: SQLSTATE class 22, or a value out of its type."""
    if isinstance(error, sa.exc.DataError):
        return True
    cause = getattr(error, "orig", None)
    details = cause.args[0] if cause is not None and cause.args else None
    if isinstance(details, dict):  # as pg8000 gives them: C is the SQLSTATE
        return str(details.get("C", "")).startswith("22")
    return isinstance(cause, (OverflowError, ValueError, UnicodeError))
