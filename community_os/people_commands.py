"""Plain functions behind `tocsin people …` and `tocsin audit …` (I/O). They work beside a running web server and
without one: the files are shared under a lock."""

from __future__ import annotations

import csv
import getpass
import io
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from community_os.accounts import Accounts
from community_os.audit import Anchor, Record, parse_anchor
from community_os.audit_book import AuditBook, open_audit
from community_os.audit_desk import fits
from community_os.people_parts import open_accounts
from community_os.settings_source import read_settings
from dashboards.account_desk import AccountRow, NotDone
from dashboards.audit_pages import Wanted
from device_model.errors import LocalFault


class PeopleReport(msgspec.Struct, frozen=True):
    """Accounts."""

    people: tuple[AccountRow, ...]

    def text(self) -> str:
        """For people."""
        return "\n".join([f"{row.name:<24} {row.role:<12} {row.scope or 'all':<40} "
                          f"{'disabled' if row.disabled else 'one-time secret' if row.one_time else ''}".rstrip()
                          for row in self.people] + [f"{len(self.people)} account(s)"])


class SecretReport(msgspec.Struct, frozen=True):
    """A one-time secret, said this once."""

    name: str
    secret: str

    def text(self) -> str:
        """For people."""
        return f"{self.name}: one-time secret {self.secret} (kept nowhere; must be replaced at the first sign-in)"


class AuditReport(msgspec.Struct, frozen=True):
    """What the check of all chains found. anchor: to be written down elsewhere."""

    ok: bool
    records: int
    anchor: str
    faults: tuple[str, ...]
    incident_records: int = 0

    def text(self) -> str:
        """For people."""
        return "\n".join([*self.faults, f"{self.records} records of people, {self.incident_records} of incidents: "
                          + ("all chains hold" if self.ok else "BROKEN"), f"anchor {self.anchor}"])


class RecordReport(msgspec.Struct, frozen=True):
    """Records, newest first."""

    records: tuple[Record, ...]

    def text(self) -> str:
        """For people."""
        return "\n".join(f"{one.number:>8} {_stamp(one.at_us)} {one.who:<16} {one.what} {one.subject} {one.path} "
                         f"{one.why} {one.where} {one.outcome}".rstrip() for one in self.records)


def _opened(config: Path | None) -> tuple[Accounts, AuditBook]:
    """Accounts and audit. Their log goes to the error stream: the output is for the answer alone."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    settings = read_settings(config)
    book = open_audit(settings)
    return open_accounts(settings, book), book


def people(config: Path | None, scope: str) -> PeopleReport:
    """Who there is. LocalFault where the accounts cannot be read."""
    return PeopleReport(_opened(config)[0].people(scope))


def add(config: Path | None, name: str, role: str, scope: str) -> SecretReport:
    """A new account. LocalFault says why not."""
    accounts, _ = _opened(config)
    return SecretReport(name, _done(lambda: accounts.add(name, role, scope, by=_who(), where=_where())))


def reset(config: Path | None, name: str) -> SecretReport:
    """A new one-time secret. LocalFault says why not."""
    accounts, _ = _opened(config)
    return SecretReport(name, _done(lambda: accounts.reset(name, by=_who(), where=_where())))


def change(config: Path | None, name: str, role: str, scope: str) -> PeopleReport:
    """Another role or scope."""
    accounts, _ = _opened(config)
    _done(lambda: accounts.change(name, role, scope, by=_who(), where=_where()))
    return PeopleReport(tuple(row for row in accounts.people("") if row.name == name))


def disable(config: Path | None, name: str, off: bool) -> PeopleReport:
    """Let nobody in under this name, or again."""
    accounts, _ = _opened(config)
    _done(lambda: accounts.disable(name, off, by=_who(), where=_where()))
    return PeopleReport(tuple(row for row in accounts.people("") if row.name == name))


def audit_verify(config: Path | None, folder: Path | None, anchors: list[str]) -> AuditReport:
    """Recompute the chain of people, and those of incidents in the store. folder: a copy, then only that one."""
    wanted = [_anchor(text) for text in anchors]
    settings = read_settings(config)
    book = AuditBook(folder) if folder is not None else open_audit(settings)
    verdict = book.verify(wanted)
    faults, count = list(verdict.faults), 0
    database = settings.database_url.removeprefix("sqlite:///")
    if folder is None and (settings.database or Path(database).exists()):
        from community_os.store_opening import open_store

        store = open_store(settings)
        try:
            found = store.verify_audit()
        finally:
            store.close()
        count, faults = found.entries, [*faults, *found.broken]
    return AuditReport(not faults, verdict.records, str(verdict.head), tuple(faults), count)


def audit_show(config: Path | None, folder: Path | None, wanted: Wanted, count: int) -> RecordReport:
    """The newest records that fit."""
    book = AuditBook(folder) if folder is not None else open_audit(read_settings(config))
    return RecordReport(tuple(book.newest(lambda record: fits(record, wanted), count)))


def audit_export(config: Path | None, out: Path, kind: str) -> int:
    """All records into a file: jsonl, which `verify --folder` reads, or csv. How many; the export is noted."""
    _, book = _opened(config)
    lines = list(book.lines())
    try:
        if kind == "jsonl":
            out.mkdir(parents=True, exist_ok=True)
            (out / "000000000001.jsonl").write_bytes(b"".join(lines))
        elif kind == "csv":
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(Record.__struct_fields__)
            for raw in lines:
                record = msgspec.json.decode(raw, type=Record)
                writer.writerow([f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value
                                 for value in msgspec.structs.astuple(record)])
            out.write_text("\ufeff" + text.getvalue(), encoding="utf-8")
        else:
            raise LocalFault(f"{kind!r} is no form of an export: jsonl or csv")
    except (OSError, msgspec.DecodeError) as error:
        raise LocalFault(f"the audit cannot be exported to {out}: {error}") from error
    book.note(_who(), "audit exported", subject=str(out)[:200], where=_where())
    return len(lines)


def _done(change_: Callable[[], str | None]) -> str:
    try:
        return change_() or ""
    except NotDone as error:
        raise LocalFault(str(error)) from error


def _anchor(text: str) -> Anchor:
    try:
        return parse_anchor(text)
    except ValueError as error:
        raise LocalFault(str(error)) from error


def _who() -> str:
    """Who sits at the shell: the operating system's word."""
    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):
        return "shell"


def _where() -> str:
    return f"shell on {socket.gethostname()}"


def _stamp(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
