"""The real web application over a real store with incidents of several tenants, for attacks on rights.

Every text of a seeded row says whose it is (`leak-<site>`); the stream writes down for which site a deed was let
through. So a foreign row in any answer, and a foreign deed in the stream, is seen whatever route it took.
"""

from __future__ import annotations

import asyncio
import enum
import types
import typing
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from community_os import schema
from community_os.accounts import Accounts
from community_os.audit_book import AuditBook
from community_os.audit_desk import BookDesk
from community_os.passwords import Passwords
from community_os.people_parts import People
from community_os.settings import CloudSettings
from community_os.store import IncidentStore
from community_os.store_changes import (
    AuditRow,
    DutyRow,
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
    row_id,
)
from community_os.web_app import web_app
from dashboards.rights import ROLES
from dashboards.server import PeopleParts
from device_model.clock import Now
from device_model.ports import StreamMessage
from device_model.read_models import ActionOutcome
from device_model.site import Tenancy, Text

HERE = Path(__file__).parent
DEMO = HERE.parent.parent / "demo" / "sites"
RIVERSIDE = Tenancy("hangzhou", "yuhang", "cangqian", "riverside")
LAKESIDE = Tenancy("hangzhou", "yuhang", "cangqian", "lakeside")
TENANTS = (RIVERSIDE, LAKESIDE, Tenancy("hangzhou", "yu", "cangqian", "quarry"),
           Tenancy("beijing", "chaoyang", "jianwai", "tower"))
SCOPES = ("hangzhou/yuhang/cangqian/riverside", "hangzhou/yuhang/cangqian/lakeside", "hangzhou/yu", "hangzhou/yuhang",
          "beijing", "shanghai")
T0 = 1_790_000_000_000_000
INCIDENTS = 3


class QuickClock:
    """Waits for nothing: an attack does not wait for the worker's answer."""

    speed = 1.0

    def now(self) -> Now:
        """Always the same moment."""
        return Now(T0, 0, "b", 0)

    async def sleep(self, seconds: float) -> None:
        """One turn of the loop."""
        await asyncio.sleep(0)


class WatchedStream:
    """Takes deeds, answers each at once, and keeps for which site it was."""

    def __init__(self, store: IncidentStore) -> None:
        self.store, self.let_through = store, list[tuple[str, str]]()
        self.count = 1000

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """A deed on its way to the worker."""
        self.count += 1
        body = msgspec.json.decode(payload)
        path = subject.split(".", 2)[2].removesuffix(".up").removesuffix(".act").replace(".", "/")
        self.let_through.append((path, str(body.get("who", body.get("name", "")))))
        request = message_id.removeprefix("act-")
        self.store.apply([SiteCommit(Tenancy.of("/".join(path.split("/")[:4])).path, self.count, (
            OutcomeRow(path, request, "", ActionOutcome(True)),), tick=True)])
        return self.count

    async def read(self, after: int, subject_filter: str) -> AsyncIterator[StreamMessage]:
        """Nothing."""
        for message in ():
            yield message

    async def last_sequence(self) -> int:
        """None yet."""
        return 0

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """No key."""
        return None

    async def put(self, key: str, value: bytes, *, expected_revision: int) -> int:
        """Taken."""
        return 1


class RealApp:
    """The application, who may ask it, and what an attacker knows of it: all ids of all tenants."""

    def __init__(self, folder: Path, clock: Any = None, **settings: Any) -> None:
        self.settings = CloudSettings(
            state=str(folder), database=f"sqlite:///{folder}/incidents.sqlite",
            sites=tuple(str(DEMO / f"{name}.yaml") for name in ("riverside", "lakeside")), **settings)
        self.book = AuditBook(folder / "audit")
        self.accounts = Accounts(folder / "accounts.json", trail=self.book,
                                 passwords=Passwords(time_cost=1, memory_kib=8))
        self.store = IncidentStore(self.settings.database_url)
        self.store.open()
        for number, tenancy in enumerate(TENANTS):
            seed(self.store, tenancy, number)
        self.stream = WatchedStream(self.store)
        people = People(self.accounts, self.book, PeopleParts(self.accounts, audit=BookDesk(self.book)))
        web = web_app(self.settings, people, self.store, self._call, self.stream, None,
                      clock or QuickClock())
        self.app, self.board, self.beside = web.app, web.board, web.beside
        self.cookies = self._people()
        self.ids = self._ids()

    async def _call(self, call: Any) -> Any:
        return call()

    def _people(self) -> dict[tuple[str, str], str]:
        cookies = {}
        roles = [role for role in ROLES if role != "demo"]
        for role in roles:
            for scope in ("", *SCOPES):
                name = f"{role}-{scope.replace('/', '.') or 'all'}"
                cookies[role, scope] = name
        with self.accounts._changing():
            for (role, scope), name in cookies.items():
                self.accounts._book.accounts[name] = _account(role, scope)
        book = self.accounts.sessions
        book._write = lambda: None  # type: ignore[method-assign]  # sixty synced files a start would be slow
        begun = {who: book.begin(name, "10.0.0.1", "test") for who, name in cookies.items()}
        del book._write  # type: ignore[method-assign]
        book._write()
        return begun

    def _ids(self) -> list[str]:
        """Every id of every row: an attacker is taken to know them all."""
        import sqlalchemy as sa

        found: set[str] = set()
        with self.store.transaction(writes=False) as connection:
            for table in schema.metadata.sorted_tables:
                for name in ("id", "sha256", "incident", "request"):
                    if name in table.c and name in {c.name for c in table.primary_key} | {"incident"}:
                        found |= {str(value) for value in connection.scalars(sa.select(table.c[name]))}
        return sorted(one for one in found if one)

    def close(self) -> None:
        """Let the store go."""
        self.store.close()


def _account(role: str, scope: str) -> Any:
    from community_os.accounts import Account

    return Account(role, scope)


def foreign_marks(scope: str) -> tuple[bytes, ...]:
    """What nobody of this scope may ever read."""
    return tuple(f"leak-{tenancy.site}".encode() for tenancy in TENANTS
                 if not (scope == "" or tenancy.path == scope or tenancy.path.startswith(scope + "/")))


def seed(store: IncidentStore, tenancy: Tenancy, number: int) -> None:
    """Rows of every kind for one tenant."""
    rows: list[Any] = []
    for kind in (IncidentRow, GatewayRow, GapRow, ProofRow, DutyRow, InspectionRow, SilenceRow, ShelfRow, PermitRow,
                 NowRow):
        view_type = typing.get_type_hints(kind)["view"]
        for count in range(INCIDENTS if kind is IncidentRow else 1):
            rows.append(kind(made(view_type, tenancy, f"{tenancy.site}-{kind.__name__.lower()}-{count}")))
    lack = made(typing.get_args(typing.get_type_hints(ImpairmentRow)["view"])[0], tenancy, f"{tenancy.site}-lack")
    rows.append(ImpairmentRow(tenancy.path, lack.impairment.kind, f"leak-{tenancy.site}", lack))
    incident = f"{tenancy.site}-incidentrow-0"
    rows += [AuditRow(tenancy.path, T0, "note", f"leak-{tenancy.site}", incident, f"leak-{tenancy.site}"),
             NoticeRow(row_id(tenancy.path, "n"), tenancy.path, "dispatch", incident, "raised", T0, False,
                       f'{{"text": "leak-{tenancy.site}"}}'.encode())]
    store.apply([SiteCommit(tenancy.path, number + 1, tuple(rows))])


def made(kind: Any, tenancy: Tenancy, name: str, field: str = "") -> Any:
    """Any value of that type; its texts say whose it is."""
    mark = f"leak-{tenancy.site}"
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Tenancy:
        return tenancy
    if kind is Text:
        return Text(mark, mark)
    if kind is str:
        return name if field == "id" else "2026-09-21" if field == "day" else mark
    if kind is bool:
        return False
    if kind in (int, float):
        return kind(T0) if field.endswith("_us") else kind(1)
    if kind is bytes:
        return mark.encode()
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    if origin is tuple:
        return (made(arguments[0], tenancy, name, field),) if arguments[-1] is Ellipsis else tuple(
            made(one, tenancy, name, field) for one in arguments)
    if origin in (dict, list, frozenset, set):
        return origin()
    if origin in (typing.Union, types.UnionType):
        return made(next(one for one in arguments if one is not type(None)), tenancy, name, field)
    if origin is typing.Literal:
        return arguments[0]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(**{one.name: made(hints[one.name], tenancy, name, one.name)
                       for one in msgspec.structs.fields(kind)})
    return None
