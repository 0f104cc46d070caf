"""The incident store: one transaction a batch, replays change nothing, the audit chain shows tampering."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from community_os import schema
from community_os.officer_store import OfficerStore
from community_os.store import IncidentStore
from community_os.store_changes import (
    AuditRow,
    DeadLetter,
    GapGone,
    GapRow,
    GatewayRow,
    ImpairmentRow,
    IncidentRow,
    OutcomeRow,
    ProofRow,
    SiteCommit,
)
from device_model.alarm import Hazard, Severity
from device_model.child_process import free_ports
from device_model.errors import LocalFault, RowRefused
from device_model.impairment import Impairment, ImpairmentKind
from device_model.read_models import (
    ActionOutcome,
    GapView,
    GatewayView,
    ImpairmentView,
    IncidentState,
    IncidentView,
    ProofView,
    Verification,
)
from device_model.site import Tenancy, Text

T = Tenancy("hangzhou", "yuhang", "cangqian", "riverside")
OTHER = Tenancy("hangzhou", "yuhang", "cangqian", "mill")
NAME = Text("n", "名")
POSTGRES = Path("/usr/lib/postgresql/15/bin")
DRIVER = "pg8000"
PLACES = ["memory", "file", pytest.param("postgresql", marks=pytest.mark.real)]


def view(incident: str = "i1", tenancy: Tenancy = T, state: IncidentState = IncidentState.NEW) -> IncidentView:
    return IncidentView(id=incident, tenancy=tenancy, site_name=NAME, state=state, hazard=Hazard.FIRE,
                        severity=Severity.CRITICAL, verification=Verification.NONE, building=NAME, floor=NAME,
                        zone="z", zone_name=NAME, opened_us=5, updated_us=5)


def commit(sequence: int, *changes: object, tenancy: Tenancy = T, tick: bool = False) -> SiteCommit:
    return SiteCommit(tenancy.path, sequence, changes, tick)  # type: ignore[arg-type]


def audit(what: str, at_us: int = 1, tenancy: Tenancy = T) -> AuditRow:
    return AuditRow(tenancy.path, at_us, what, "Li", "i1", "d")


@pytest.fixture(params=PLACES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IncidentStore]:
    url = {"memory": "sqlite://", "file": f"sqlite:///{tmp_path}/deep/incidents.sqlite"}.get(request.param)
    made = IncidentStore(url or request.getfixturevalue("postgres_url"))
    made.open()
    yield made
    made.close()


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL of our own on a loopback port, as another user where we are root."""
    # Not below pytest's own folder: the next session of pytest takes that from every other user again.
    folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    prefix = ["runuser", "-u", user, "--"] if os.getuid() == 0 else []
    if prefix:
        shutil.chown(folder, user)
    (port,) = free_ports(1)
    subprocess.run([*prefix, POSTGRES / "initdb", "-D", folder, "-A", "trust", "-U", "tocsin"], check=True,
                   capture_output=True)
    subprocess.run([*prefix, POSTGRES / "pg_ctl", "-D", folder, "-w", "-l", folder / "log", "-o",
                    f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}", "start"],
                   check=True, capture_output=True)
    yield f"postgresql+{DRIVER}://tocsin@127.0.0.1:{port}/postgres"
    subprocess.run([*prefix, POSTGRES / "pg_ctl", "-D", folder, "-m", "immediate", "stop"], check=True,
                   capture_output=True)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """PostgreSQL lives as long as the module: empty it after each test."""
    yield
    if "postgresql" in request.node.name and "postgres_url" in request.fixturenames:
        engine = sa.create_engine(request.getfixturevalue("postgres_url"))
        with engine.begin() as connection:
            for table in schema.metadata.sorted_tables:
                connection.execute(sa.delete(table))
        engine.dispose()


def test_rows_are_seen_within_their_scope_only(store: IncidentStore) -> None:
    store.apply([commit(1, IncidentRow(view())), commit(2, IncidentRow(view("i2", OTHER)), tenancy=OTHER)])
    assert [i.id for i in store.snapshot("", 9).incidents] == ["i1", "i2"]
    assert [i.id for i in store.snapshot(T.path, 9).incidents] == ["i1"]
    assert [i.id for i in store.snapshot("hangzhou/yuhang", 9).incidents] == ["i1", "i2"]
    assert store.snapshot("shanghai", 9).incidents == ()
    assert store.snapshot(f"{T.path}/deeper", 9).incidents == ()
    assert store.incident("i2", T.path) is None
    assert store.incident("i2", OTHER.path) == view("i2", OTHER)


def test_threads_read_and_write_at_the_same_time(store: IncidentStore) -> None:
    def work(first: int) -> int:
        for number in range(first, 100, 4):
            store.snapshot("", number)
            store.apply([commit(number + 1, IncidentRow(view(f"i{number}")), tenancy=T if first % 2 else OTHER)])
        return first

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0, 1, 2, 3]
    assert len(store.snapshot("", 9).incidents) > 0


def test_a_replayed_commit_changes_nothing(store: IncidentStore) -> None:
    first = commit(7, IncidentRow(view()), audit("opened"))
    assert store.apply([first]) == 1
    store.apply([commit(8, IncidentRow(view(state=IncidentState.CONFIRMED)), audit("confirmed", 2))])
    revision = store.snapshot("", 0).revision
    assert store.apply([first]) == 0
    assert store.incident("i1") == view(state=IncidentState.CONFIRMED)
    assert store.snapshot("", 0).revision == revision
    assert store.verify_audit().entries == 2
    assert store.progress(T.path) == 8


def test_ticks_are_applied_and_never_lower_the_progress(store: IncidentStore) -> None:
    store.apply([commit(7, IncidentRow(view()))])
    assert store.apply([commit(3, audit("queued"), tick=True)]) == 1
    assert store.apply([commit(3, audit("queued"), tick=True)]) == 1
    assert store.progress(T.path) == 7
    assert store.verify_audit() .entries == 1  # the same deed is logged once


def test_ended_incidents_leave_the_board_but_stay_known(store: IncidentStore) -> None:
    store.apply([commit(1, IncidentRow(view()), IncidentRow(view(state=IncidentState.CLOSED)))])
    assert store.snapshot("", 0).incidents == ()
    known = store.incident("i1")
    assert known is not None and known.state is IncidentState.CLOSED


def test_every_kind_of_row_comes_back(store: IncidentStore) -> None:
    lack = ImpairmentView(T, NAME, NAME, NAME, Impairment(ImpairmentKind.SILENT, "smoke-1", 4))
    gateway = GatewayView(T, "gw-1", NAME, 5, False)
    gap = GapView(T, "gw-1", "e", "alarm", 3, 9, 6)
    proofs = [ProofView(T, "gw-1", 10, 11), ProofView(T, "gw-1", 20, 22)]
    store.apply([commit(1, ImpairmentRow(T.path, ImpairmentKind.SILENT, "smoke-1", lack), GatewayRow(gateway),
                        GapRow(gap), *(ProofRow(p) for p in proofs),
                        OutcomeRow(T.path, "click-1", "i1", ActionOutcome(False, "no", 3)))])
    shown = store.snapshot("", 77)
    assert (shown.at_us, shown.impairments, shown.gateways, shown.gaps) == (77, (lack,), (gateway,), (gap,))
    assert shown.proofs == (proofs[1],)
    assert store.outcome("click-1") == ActionOutcome(False, "no", 3)
    assert store.outcome("click-2") is None
    closed = msgspec.structs.replace(gap, closed_us=9, outcome="delivered")
    store.apply([commit(2, ImpairmentRow(T.path, ImpairmentKind.SILENT, "smoke-1", None), GapRow(closed))])
    shown = store.snapshot("", 0)
    assert shown.impairments == () and shown.gaps == ()
    store.apply([commit(3, GapRow(gap), GapGone(gap))])
    assert store.snapshot("", 0).gaps == ()


def test_changes_are_numbered_and_old_ones_ask_for_a_new_snapshot(
    store: IncidentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.apply([commit(1, IncidentRow(view("i0")))])
    start = store.snapshot("", 0).revision
    assert store.changes_after(start) == []
    store.apply([commit(2, IncidentRow(view()))])
    changes = store.changes_after(start)
    assert changes and [(c.kind, c.id, c.tenancy) for c in changes][-1] == ("incident", "i1", T)
    newest = changes[-1].revision
    assert store.changes_after(newest) == []
    assert store.changes_after(newest + 1) is None  # a board from before a restored backup
    monkeypatch.setattr("community_os.store.CHANGES_KEPT", 5)
    for sequence in range(3, 1103, 100):
        store.apply([commit(sequence + n, IncidentRow(view(f"n{n}"))) for n in range(100)])
    assert store.changes_after(newest) is None


def test_the_audit_chain_shows_what_was_changed_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    store = IncidentStore(f"sqlite:///{path}")
    store.open()
    store.apply([commit(n, audit(f"w{n}", n), audit("x", n, OTHER)) for n in range(1, 6)])
    assert store.verify_audit().broken == ()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sa.update(schema.audit).where(schema.audit.c.number == 3, schema.audit.c.path == T.path)
                           .values(who="Wang"))
    report = store.verify_audit()
    assert report.entries == 10 and len(report.broken) == 1 and T.path in report.broken[0]
    assert store.verify_audit(OTHER.path).broken == ()
    with engine.begin() as connection:
        connection.execute(sa.delete(schema.audit).where(schema.audit.c.number == 2,
                                                         schema.audit.c.path == OTHER.path))
    assert len(store.verify_audit().broken) == 2
    engine.dispose()


def test_dead_letters_are_kept_once(store: IncidentStore) -> None:
    letter = DeadLetter(9, "site.0.x.up", "not a path", 5, "boom", b"\x00")
    store.bury(letter)
    store.bury(letter)
    assert store.dead_letters() == 1


def test_an_unusable_database_is_a_local_fault_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"this is no database, not at all" * 100)
    store = IncidentStore(f"sqlite:///{tmp_path}/x.sqlite")
    with pytest.raises(LocalFault, match="check disk space"):
        store.open()


def test_migrations_make_exactly_the_schema(store: IncidentStore) -> None:
    with store._engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    assert found == []


def test_opening_again_keeps_all(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/again.sqlite"
    first = IncidentStore(url)
    first.open()
    first.apply([commit(1, IncidentRow(view()))])
    first.close()
    second = IncidentStore(url)
    second.open()
    assert second.incident("i1") == view()


def test_what_the_database_will_never_take_is_told_apart_from_a_sick_disk(store: IncidentStore) -> None:
    """PostgreSQL has no NUL in its texts and holds texts to their lengths; SQLite takes both."""
    for content in ("w" * 41, "nul\x00here"):
        bad = commit(9, IncidentRow(view("i9")), audit(content))
        if str(store._url).startswith("postgresql"):
            with pytest.raises(RowRefused):
                store.apply([bad])
            assert store.incident("i9") is None and store.progress(T.path) == 0
    assert store.apply([commit(1, IncidentRow(view()))]) == 1


@pytest.mark.real
def test_numbers_of_notices_have_no_hole_and_no_double_with_several_writers_on_postgresql(postgres_url: str) -> None:
    first = IncidentStore(postgres_url)
    first.open()

    def writer(who: str) -> list[str]:
        own = IncidentStore(postgres_url)  # a web process has a store, an engine and a lock of its own
        officer = OfficerStore(own)
        names = [officer.put_numbered("notice", T.path, "R2026-hangzhou", lambda n: str(n).encode(),
                                      within="hangzhou", who=who, why="x", at_us=at_us).name for at_us in range(1, 6)]
        own.close()
        return names

    try:
        with ThreadPoolExecutor(4) as pool:
            taken = [name for names in pool.map(writer, "abcd") for name in names]
        assert sorted(taken) == [f"R2026-hangzhou-{number:04d}" for number in range(1, 21)]
        # Each stands once in the audit chain, which all of them wrote to at the same time and which is whole.
        report = first.verify_audit(T.path)
        assert (report.entries, report.broken) == (20, ())
    finally:
        first.close()
