"""Accounts (I/O): who may open the pages. Implements `dashboards.account_desk.AccountDesk`.

    first start ──► admin with a one-time secret, said once on standard error; must be replaced before all else
    begin ── name, secret ──► lock-out? ──► argon2id ──┬─► session cookie
                                                       └─► second factor on: finish ── code ──► session cookie
    person(cookie) ──► session (sessions.py) ──► account as it is now: a right that was taken away is away at once

One file (0600), written whole; `tocsin people` and the web server share it under a lock and see each other's changes.
Times are real seconds: a session does not age faster in a demo. Every change is noted in the audit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog

from community_os import second_factor
from community_os.lockout_book import kept_lockout
from community_os.passwords import Passwords, old_hash, one_time, weak
from community_os.sessions import Session, SessionBook
from dashboards.account_desk import AccountRow, Entry, NotDone, OwnAccount, SessionRow
from dashboards.people import NoTrail, Person, Trail
from dashboards.rights import ROLES, covers
from device_model.errors import LocalFault
from provisioning.authority import write_private

PENDING_S = 300.0  # between the two steps
PENDING_TRIES = 5
PENDING_MAX = 1000
CHECKS_AT_ONCE = 2  # each takes 64 MiB: a flood of sign-ins must not take the memory of the alarms
_NAME = re.compile(r"[^\x00-\x1f\x7f<>/\\]{1,80}")
_SCOPE = re.compile(r"(?:[A-Za-z0-9_-]{1,40}(?:/[A-Za-z0-9_-]{1,40}){0,3})?")

_log = structlog.get_logger("tocsin.accounts")


class Account(msgspec.Struct, omit_defaults=True):
    """One person. hash: of the password, "" where another service keeps it. salt: of accounts of earlier versions.
    last_step: of the last code that counted. recovery: hashes. subject: who the other service says it is."""

    role: str
    scope: str
    hash: str = ""
    salt: str = ""
    one_time: bool = False
    disabled: bool = False
    outside: bool = False
    subject: str = ""
    factor: str = ""
    last_step: int = 0
    recovery: tuple[str, ...] = ()
    last_s: float = 0.0


class _Book(msgspec.Struct):
    """The file."""

    accounts: dict[str, Account] = {}


class _Pending(msgspec.Struct):
    """Between the two steps of one who is signing in."""

    name: str
    until_s: float
    tries: int = 0


class Accounts:
    """Local accounts in one file (0600). Thread-safe."""

    def __init__(self, file: Path, *, now_s: Callable[[], float] = time.time, passwords: Passwords | None = None,
                 trail: Trail | None = None) -> None:
        self._file, self._now_s, self._trail = file, now_s, trail or NoTrail()
        self._passwords = passwords or Passwords()
        self._lock = threading.RLock()
        self._checks = threading.BoundedSemaphore(CHECKS_AT_ONCE)
        self._lockout = kept_lockout(file.with_name("tries.sqlite"))
        self._pending: dict[str, _Pending] = {}
        self._new_factor: dict[str, str] = {}
        self._mark: tuple[int, int] | None = None
        self._book = _Book()
        self._read()
        self.sessions = SessionBook(file.with_name("sessions.json"), now_s)

    # --- signing in -----------------------------------------------------------------------------------------

    def ensure_admin(self) -> str:
        """Make the first admin if there is nobody; returns the one-time secret (said once, on standard error)."""
        with self._changing():
            if self._book.accounts:
                return ""
            secret = one_time()
            self._book.accounts["admin"] = Account("admin", "", self._passwords.made(secret), one_time=True)
        self._trail.note("", "account added", subject="admin", why="first start")
        print(f"tocsin: first start. Sign in as `admin` with the secret {secret} (it is not kept anywhere).",
              file=sys.stderr, flush=True)
        return secret

    def put(self, name: str, secret: str, *, role: str, scope: str = "") -> None:
        """Make or replace an account with a password of its own. LocalFault when the file cannot be written."""
        made = self._passwords.made(secret)
        with self._changing():
            self._book.accounts[name] = Account(role, scope, made)

    def enter(self, name: str, secret: str) -> str | None:
        """A session cookie for programs that know no second step."""
        return self.begin(name, secret, "", "").cookie or None

    def begin(self, name: str, secret: str, address: str, agent: str, old_cookie: str = "") -> Entry:
        """First step of signing in. Unknown names take as long as known ones."""
        name, now = name[:80], self._now_s()
        with self._lock:
            wait_s = self._lockout.wait_s(name, address, now)
            self._read()
            account = self._book.accounts.get(name)
        if wait_s > 0:
            self._refused(name, address, f"too many wrong tries; {wait_s:.0f} s to wait")
            return Entry(wait_s=wait_s)
        kept = "" if account is None or account.disabled or account.outside else account.hash
        with self._checks:
            # Asked again: of many tries sent at once only the first few may be looked at.
            with self._lock:
                wait_s = self._lockout.wait_s(name, address, now)
            right = wait_s == 0 and self._passwords.right(kept, secret)
            if account is None or not right:
                # Counted before the next is let in, so that no more can slip past than are looked at together.
                with self._lock:
                    self._lockout.wrong(name, address, now)
        if account is None or not right:
            self._refused(name, address, "wrong name or secret")
            return Entry(wait_s=wait_s)
        if self._passwords.outdated(kept):
            made = self._passwords.made(secret)
            with self._changing():
                if self._book.accounts[name].hash == kept:
                    self._book.accounts[name].hash = made
        if old_cookie:
            self.leave(old_cookie)
        if account.factor:
            return Entry(pending=self._ask_code(name, now))
        return self._entered(name, address, agent, "password")

    def finish(self, pending: str, code: str, address: str, agent: str) -> Entry:
        """Second step: a code of the app, or a recovery code, each once."""
        now = self._now_s()
        with self._lock:
            waiting = self._pending.get(pending)
            if waiting is None or now >= waiting.until_s or waiting.tries >= PENDING_TRIES:
                self._pending.pop(pending, None)
                return Entry()
            waiting.tries += 1
            wait_s = self._lockout.wait_s(waiting.name, address, now)
        if wait_s > 0:
            return Entry(wait_s=wait_s)
        how = self._spend_code(waiting.name, code, now)
        if not how:
            with self._lock:
                self._lockout.wrong(waiting.name, address, now)
            self._refused(waiting.name, address, "wrong or used code")
            return Entry(pending=pending)
        with self._lock:
            self._pending.pop(pending, None)
        return self._entered(waiting.name, address, agent, how)

    def enter_outside(self, name: str, role: str, scope: str, address: str, agent: str, *, subject: str = ""
                      ) -> Entry:
        """Somebody whom another service vouches for (oidc.py). A local account is never taken over by a name.
        Raises NotDone."""
        if role not in ROLES or role == "demo" or not _SCOPE.fullmatch(scope) or not _NAME.fullmatch(name):
            raise NotDone(f"no role and scope for {name[:80]!r}")
        with self._changing():
            known = self._book.accounts.get(name)
            if known is not None and (not known.outside or known.disabled):
                raise NotDone("this name is disabled" if known.disabled else "a local account has this name")
            if known is not None and known.subject != subject:
                raise NotDone("this name belongs to somebody else there")
            self._book.accounts[name] = Account(role, scope, outside=True, subject=subject)
        return self._entered(name, address, agent, "another service")

    def _ask_code(self, name: str, now: float) -> str:
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._pending = {key: one for key, one in self._pending.items() if now < one.until_s}
            while len(self._pending) >= PENDING_MAX:
                del self._pending[next(iter(self._pending))]
            self._pending[token] = _Pending(name, now + PENDING_S)
        return token

    def _spend_code(self, name: str, code: str, now: float) -> str:
        with self._changing():
            account = self._book.accounts.get(name)
            if account is None or account.disabled or not account.factor:
                return ""
            step = second_factor.step_of(account.factor, code, now, account.last_step)
            if step is not None:
                account.last_step = step
                return "password and code"
            hashed = second_factor.recovery_hash(code)
            if hashed in account.recovery:
                account.recovery = tuple(one for one in account.recovery if one != hashed)
                return "password and recovery code"
            return ""

    def _entered(self, name: str, address: str, agent: str, how: str) -> Entry:
        now = self._now_s()
        with self._lock:
            self._lockout.right(name, address, now)
        with self._changing():
            account = self._book.accounts[name]
            account.last_s = now
        cookie = self.sessions.begin(name, address, agent)
        self._trail.note(name, "signed in", path=account.scope, why=how, where=address)
        return Entry(cookie)

    def _refused(self, name: str, address: str, why: str) -> None:
        _log.warning("sign-in refused", name=name, address=address, why=why)
        self._trail.note(name, "sign-in refused", why=why, where=address)

    # --- sessions -------------------------------------------------------------------------------------------

    def person(self, cookie: str) -> Person | None:
        """Who the session belongs to, as the account is now; None when it is unknown, over or ended."""
        session = self.sessions.of(cookie) if cookie else None
        if session is None:
            return None
        account = self._account(session.name)
        if account is None or account.disabled:
            return None
        return Person(session.name, account.role, account.scope, account.one_time)

    def leave(self, cookie: str) -> None:
        """End the session, also over a restart."""
        session = self.sessions.of(cookie)
        if session is not None:
            self.sessions.end(lambda one: one.id == session.id)
            self._trail.note(session.name, "signed out", where=session.address)

    def own(self, cookie: str) -> OwnAccount | None:
        """The account behind a session."""
        session = self.sessions.of(cookie)
        account = self._account(session.name) if session is not None else None
        if session is None or account is None:
            return None
        rows = tuple(SessionRow(one.id, one.since_s, one.seen_s, one.address, one.agent, one.id == session.id)
                     for one in self.sessions.owned(session.name))
        return OwnAccount(session.name, account.role, account.scope, account.one_time, account.outside,
                          bool(account.factor), len(account.recovery), rows)

    def end_sessions(self, cookie: str, session: str, address: str) -> None:
        """End one of the own sessions; "" ends all but this one."""
        own = self.sessions.of(cookie)
        if own is not None:
            self.sessions.end(lambda one: one.name == own.name and (
                one.id == session if session else one.id != own.id))
            self._trail.note(own.name, "sessions ended", subject=session or "all others", where=address)

    # --- one's own password and second factor -----------------------------------------------------------------

    def change_password(self, cookie: str, old: str, new: str, address: str) -> str:
        """"" when done; else what is wrong. All other sessions end."""
        session, wrong = self._proven(cookie, old, address)
        if session is None:
            return wrong
        if weak(new, session.name) or old == new:
            return "weak"
        made = self._passwords.made(new)
        with self._changing():
            account = self._book.accounts[session.name]
            account.hash, account.salt, account.one_time = made, "", False
        self.sessions.end(lambda one: one.name == session.name and one.id != session.id)
        self._trail.note(session.name, "password changed", where=address)
        return ""

    def begin_factor(self, cookie: str) -> tuple[str, str]:
        """A fresh key, and what its QR code says. NotDone without a session, and where one is on already: only the
        password takes that away, so that a stolen session cannot put its own in its place."""
        session = self.sessions.of(cookie)
        account = self._account(session.name) if session is not None else None
        if session is None or account is None or account.factor or account.outside:
            raise NotDone("the second factor is on already, or kept elsewhere")
        with self._lock:
            secret = self._new_factor.setdefault(session.id, second_factor.new_secret())
            while len(self._new_factor) > PENDING_MAX:
                del self._new_factor[next(iter(self._new_factor))]
        return secret, second_factor.address_of(secret, session.name)

    def confirm_factor(self, cookie: str, code: str, address: str) -> tuple[str, ...]:
        """Switch the second factor on once a code of it was shown; the recovery codes, else ()."""
        session = self.sessions.of(cookie)
        secret = self._new_factor.get(session.id, "") if session is not None else ""
        now = self._now_s()
        step = second_factor.step_of(secret, code, now, 0) if secret else None
        with self._lock:
            if session is None or step is None or self._lockout.wait_s(session.name, address, now) > 0:
                if session is not None:
                    self._lockout.wrong(session.name, address, now)
                return ()
        codes = second_factor.recovery_codes()
        with self._changing():
            account = self._book.accounts[session.name]
            if account.factor:
                return ()
            account.factor, account.last_step = secret, step
            account.recovery = tuple(second_factor.recovery_hash(one) for one in codes)
            self._new_factor.pop(session.id, None)
        self._trail.note(session.name, "second factor on", where=address)
        return codes

    def end_factor(self, cookie: str, secret: str, address: str) -> bool:
        """Switch the second factor off, against the password."""
        session, _ = self._proven(cookie, secret, address)
        if session is None:
            return False
        with self._changing():
            account = self._book.accounts[session.name]
            account.factor, account.recovery = "", ()
        self._trail.note(session.name, "second factor off", where=address)
        return True

    def _proven(self, cookie: str, secret: str, address: str) -> tuple[Session | None, str]:
        """The session, when its owner's password was given; a stolen session cannot guess it either."""
        session, now = self.sessions.of(cookie), self._now_s()
        account = self._account(session.name) if session is not None else None
        if session is None or account is None or account.outside:
            return None, "old"
        with self._lock:
            if self._lockout.wait_s(session.name, address, now) > 0:
                return None, "wait"
        with self._checks:
            right = self._passwords.right(account.hash, secret)
        if not right:
            with self._lock:
                self._lockout.wrong(session.name, address, now)
            self._trail.note(session.name, "refused", why="wrong present password", where=address)
            return None, "old"
        return session, ""

    # --- everybody's accounts ---------------------------------------------------------------------------------

    def people(self, scope: str) -> tuple[AccountRow, ...]:
        """Accounts within a scope, by name."""
        with self._lock:
            self._read()
            return tuple(AccountRow(name, one.role, one.scope, one.disabled, one.one_time, one.outside,
                                    bool(one.factor), one.last_s)
                         for name, one in sorted(self._book.accounts.items()) if covers(scope, one.scope))

    def add(self, name: str, role: str, scope: str, *, by: str, where: str = "", within: str = "") -> str:
        """A new account and its one-time secret."""
        name, scope = name.strip(), scope.strip().strip("/")
        _fits(name, role, scope, within)
        secret = one_time()
        made = self._passwords.made(secret)
        with self._changing():
            if name in self._book.accounts:
                raise NotDone("this name is taken")
            self._book.accounts[name] = Account(role, scope, made, one_time=True)
        self._trail.note(by, "account added", subject=name, path=scope, why=role, where=where)
        return secret

    def change(self, name: str, role: str, scope: str, *, by: str, where: str = "", within: str = "") -> None:
        """Another role or scope."""
        scope = scope.strip().strip("/")
        _fits(name, role, scope, within)
        with self._changing():
            account = self._within(name, within)
            if account.role == "admin" and role != "admin":
                self._not_the_last(name)
            before = f"{account.role} of {account.scope or 'all'}"
            account.role, account.scope = role, scope
        self._trail.note(by, "rights changed", subject=name, path=scope, where=where,
                         why=f"{before}, now {role} of {scope or 'all'}")

    def disable(self, name: str, off: bool, *, by: str, where: str = "", within: str = "") -> None:
        """Let nobody in under this name, or again."""
        with self._changing():
            account = self._within(name, within)
            if off and account.role == "admin":
                self._not_the_last(name)
            account.disabled = off
        if off:
            self.sessions.end(lambda one: one.name == name)
        self._trail.note(by, "account disabled" if off else "account enabled", subject=name, path=account.scope,
                         where=where)

    def reset(self, name: str, *, by: str, where: str = "", within: str = "") -> str:
        """A new one-time secret; second factor and sessions are gone."""
        secret = one_time()
        made = self._passwords.made(secret)
        with self._changing():
            account = self._within(name, within)
            if account.outside:
                raise NotDone("this person's password is kept by another service")
            account.hash, account.salt, account.one_time, account.factor, account.recovery = made, "", True, "", ()
        self.sessions.end(lambda one: one.name == name)
        self._lockout.free(name)
        self._trail.note(by, "account reset", subject=name, path=account.scope, where=where)
        return secret

    def _within(self, name: str, within: str) -> Account:
        account = self._book.accounts.get(name)
        if account is None or not covers(within, account.scope):
            raise NotDone("there is no such account")
        return account

    def _not_the_last(self, name: str) -> None:
        """NotDone where nobody could change accounts afterwards."""
        if not any(other != name and one.role == "admin" and one.scope == "" and not one.disabled and not one.outside
                   for other, one in self._book.accounts.items()):
            raise NotDone("the last administrator stays")

    # --- the file ---------------------------------------------------------------------------------------------

    def _account(self, name: str) -> Account | None:
        with self._lock:
            self._read()
            return self._book.accounts.get(name)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Read, change, write, alone among threads and processes. Nothing is kept of a change that raised."""
        with self._lock:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                lock = os.open(self._file.with_name("accounts.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise LocalFault(f"the accounts in {self._file} cannot be written: {error}") from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._read()
                yield
                self._write()
            except BaseException:
                self._mark = None  # what was changed in memory only is read anew
                raise
            finally:
                os.close(lock)

    def _read(self) -> None:
        try:
            found = self._file.stat()
            mark = (found.st_ino, found.st_mtime_ns)
            if mark == self._mark:
                return
            book = msgspec.json.decode(self._file.read_bytes(), type=_Book)
        except FileNotFoundError:
            self._book = _Book({})
            return
        except (OSError, msgspec.DecodeError) as error:
            raise LocalFault(f"the accounts in {self._file} cannot be read: {error}; restore the file, or remove it "
                             "to start with a new admin") from error
        for account in book.accounts.values():
            if account.salt:  # kept by an earlier version
                account.hash, account.salt = old_hash(account.salt, account.hash), ""
        self._book, self._mark = book, mark

    def _write(self) -> None:
        try:
            write_private(self._file, msgspec.json.encode(self._book))
            found = self._file.stat()
        except OSError as error:
            raise LocalFault(f"the accounts in {self._file} cannot be written: {error}") from error
        self._mark = (found.st_ino, found.st_mtime_ns)


def _fits(name: str, role: str, scope: str, within: str) -> None:
    """NotDone where an account cannot be so, or reaches beyond who makes it."""
    if not _NAME.fullmatch(name):
        raise NotDone("a name has 1 to 80 characters, none of < > / \\")
    if role not in ROLES or role == "demo":
        raise NotDone(f"there is no role {role!r}: one of {', '.join(one for one in ROLES if one != 'demo')}")
    if not _SCOPE.fullmatch(scope):
        raise NotDone("a scope is city/district/street/site or its beginning")
    if not covers(within, scope):
        raise NotDone("nobody gives rights beyond their own scope")
