"""What the pages about people need from the program: signing in by steps, one's own account, everybody's accounts."""

from __future__ import annotations

from typing import Protocol

import msgspec

from dashboards.people import SignIn


class Entry(msgspec.Struct, frozen=True):
    """How a step of signing in went. cookie: signed in. pending: the secret was right, a code is asked for.
    wait_s: too many tries; none is looked at before."""

    cookie: str = ""
    pending: str = ""
    wait_s: float = 0.0


class SessionRow(msgspec.Struct, frozen=True):
    """One signed-in browser. Seconds since 1970."""

    id: str
    since_s: float
    seen_s: float
    address: str
    agent: str
    here: bool


class OwnAccount(msgspec.Struct, frozen=True):
    """What somebody sees of the own account. outside: the password is kept by another service."""

    name: str
    role: str
    scope: str
    must_change: bool
    outside: bool
    factor: bool
    recovery_left: int
    sessions: tuple[SessionRow, ...]


class AccountRow(msgspec.Struct, frozen=True):
    """One account for the administrator. last_s: the last sign-in, 0 for never."""

    name: str
    role: str
    scope: str
    disabled: bool
    one_time: bool
    outside: bool
    factor: bool
    last_s: float


class NotDone(Exception):
    """A change of accounts that is refused, with the reason in words."""


class AccountDesk(SignIn, Protocol):
    """All that the pages do with accounts. Every change is noted in the audit by the desk itself."""

    def begin(self, name: str, secret: str, address: str, agent: str, old_cookie: str = "") -> Entry:
        """First step. Slow on purpose. old_cookie: the browser's session so far, which ends."""
        ...

    def finish(self, pending: str, code: str, address: str, agent: str) -> Entry:
        """Second step, where a code is asked for."""
        ...

    def own(self, cookie: str) -> OwnAccount | None:
        """The account behind a session."""
        ...

    def change_password(self, cookie: str, old: str, new: str, address: str) -> str:
        """"" when done; else "old", "weak" or "wait". All other sessions end; this one goes on."""
        ...

    def begin_factor(self, cookie: str) -> tuple[str, str]:
        """A fresh key and the address that the QR code says; it counts once a code of it was shown."""
        ...

    def confirm_factor(self, cookie: str, code: str, address: str) -> tuple[str, ...]:
        """The recovery codes, shown this once; () when the code is wrong."""
        ...

    def end_factor(self, cookie: str, secret: str, address: str) -> bool:
        """Switch the second factor off, against the password."""
        ...

    def end_sessions(self, cookie: str, session: str, address: str) -> None:
        """End one of the own sessions; "" ends all but this one."""
        ...

    def people(self, scope: str) -> tuple[AccountRow, ...]:
        """Accounts within a scope, by name."""
        ...

    def add(self, name: str, role: str, scope: str, *, by: str, where: str = "", within: str = "") -> str:
        """A new account; its one-time secret. within: the scope of who adds. Raises NotDone."""
        ...

    def change(self, name: str, role: str, scope: str, *, by: str, where: str = "", within: str = "") -> None:
        """Another role or scope, at once, also for open pages. Raises NotDone."""
        ...

    def disable(self, name: str, off: bool, *, by: str, where: str = "", within: str = "") -> None:
        """Let nobody in under this name, or again. Ends all its sessions. Raises NotDone."""
        ...

    def reset(self, name: str, *, by: str, where: str = "", within: str = "") -> str:
        """A new one-time secret; second factor and sessions are gone. Raises NotDone."""
        ...
