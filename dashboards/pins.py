"""PINs (I/O): who may operate the gateway from its local page. Hashes in a file of mode 0600; attempts are limited.

    tocsin gateway pin "Li Wei" ─► scrypt hash, role ─► file   enter(name, PIN) ─► session, 15 min after the last use
    5 wrong in 10 min ─► locked 5 min, then 10, 20 … 60: for all strangers, because whoever tries guesses names, too

A phone that got in lately counts by itself: who guesses from elsewhere keeps nobody of the site out.
Sessions live in memory: a restart of the page signs everybody out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from dashboards.pin_rights import LOCAL_ROLES, PROPERTY
from device_model.errors import LocalFault

SESSION_S = 15 * 60.0
SESSIONS_MAX = 50
FAILURES_MAX, FAILURE_WINDOW_S = 5, 600.0
LOCK_FIRST_S, LOCK_MAX_S = 300.0, 3600.0
ADDRESSES_MAX = 50
PIN_LEAST, PIN_MOST = 6, 64  # characters; six digits and five tries in ten minutes take months to guess
NAME_MOST = 40
# 16 MiB and about 50 ms on a PC, 0.3 s on a Pi: only in this process, never in the gateway's.
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P, _SCRYPT_MEMORY = 2**14, 8, 1, 64 * 1024 * 1024


class Pin(msgspec.Struct, frozen=True):
    """One person. Salt and hash in hex; role: of `pin_rights.LOCAL_ROLES` (files of before roles: the property)."""

    salt: str
    hash: str
    role: str = PROPERTY


class Session(msgspec.Struct):
    """One signed-in person. csrf: what each action must carry. salt: of the PIN that let them in."""

    who: str
    csrf: str
    until_s: float
    role: str = ""
    salt: str = ""


class _Tries(msgspec.Struct):
    """What strangers, or one known address, did wrong. Seconds of the door's clock."""

    failures: list[float] = []
    locked_until_s: float = 0.0
    lock_s: float = LOCK_FIRST_S


class Locked(Exception):
    """Too many wrong PINs; nothing is looked at for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"locked for {seconds:.0f} s")
        self.seconds = seconds


def set_pin(file: Path, name: str, pin: str, role: str = PROPERTY) -> None:
    """Make or replace a person's PIN and role; an empty one removes the person. LocalFault with what is wrong."""
    name = name.strip()
    if role not in LOCAL_ROLES:
        raise LocalFault(f"there is no role {role!r}: {', '.join(LOCAL_ROLES)}")
    if not name or len(name) > NAME_MOST:
        raise LocalFault(f"the name must have 1 to {NAME_MOST} characters")
    people = _read(file)
    if pin:
        if not PIN_LEAST <= len(pin) <= PIN_MOST or len(set(pin)) < 3:
            raise LocalFault(f"the PIN must have {PIN_LEAST} to {PIN_MOST} characters, three of them different")
        salt = secrets.token_bytes(16)
        people[name] = Pin(salt.hex(), _hashed(pin, salt), role)
    elif people.pop(name, None) is None:
        raise LocalFault(f"{name!r} has no PIN here")
    if not any(one.role == PROPERTY for one in people.values()) and people:
        raise LocalFault("somebody of the property must keep a PIN: give it to another person first")
    _write(file, people)


def people_of(file: Path) -> dict[str, str]:
    """Who has a PIN, and in which role. Raises LocalFault."""
    return {name: one.role for name, one in _read(file).items()}


def _read(file: Path) -> dict[str, Pin]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Pin])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LocalFault(f"the PINs in {file} cannot be read: {error}") from error


def _write(file: Path, people: dict[str, Pin]) -> None:
    beside = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as out:
            out.write(msgspec.json.encode(people))
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
    except OSError as error:
        raise LocalFault(f"the PINs in {file} cannot be written: {error}") from error


class PinDoor:
    """Lets people in. Thread-safe; `enter` is slow on purpose."""

    def __init__(self, file: Path | None, now_s: Callable[[], float]) -> None:
        """now_s: monotonic real seconds. file None: nobody can sign in."""
        self._file, self._now_s = file, now_s
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._strangers = _Tries()
        self._of_address: dict[str, _Tries] = {}  # of addresses from which a PIN was right, the latest last
        self._known: tuple[tuple[int, int], dict[str, Pin]] = ((0, 0), {})

    @property
    def anybody(self) -> bool:
        """Whether anybody has a PIN. Raises LocalFault when the file cannot be read."""
        return self._file is not None and bool(_read(self._file))

    def enter(self, name: str, pin: str, address: str = "") -> tuple[str, Session] | None:
        """(cookie, session) when name and PIN are right. address: from where. Raises Locked; LocalFault when the
        file cannot be read. The try is counted before it is looked at: many at once are no way around the limit."""
        with self._lock:
            now, tries = self._now_s(), self._of_address.get(address, self._strangers)
            if now < tries.locked_until_s:
                raise Locked(tries.locked_until_s - now)
            tries.failures = [at for at in tries.failures if now - at < FAILURE_WINDOW_S]
            if len(tries.failures) >= FAILURES_MAX:
                tries.locked_until_s, tries.failures = now + tries.lock_s, []
                locked_s, tries.lock_s = tries.lock_s, min(2 * tries.lock_s, LOCK_MAX_S)
                raise Locked(locked_s)
            tries.failures.append(now)
        people = _read(self._file) if self._file is not None else {}
        known = people.get(name.strip())
        salt = bytes.fromhex(known.salt) if known is not None else bytes(16)
        right = hmac.compare_digest(_hashed(pin[:PIN_MOST + 1], salt), known.hash if known is not None else "")
        if not right:
            return None
        with self._lock:
            if now in tries.failures:  # a lock of meanwhile has forgotten it
                tries.failures.remove(now)
            tries.lock_s = LOCK_FIRST_S
            if address:
                self._of_address[address] = self._of_address.pop(address, _Tries())
                while len(self._of_address) > ADDRESSES_MAX:
                    del self._of_address[next(iter(self._of_address))]
            while len(self._sessions) >= SESSIONS_MAX:
                del self._sessions[next(iter(self._sessions))]
            cookie = secrets.token_urlsafe(32)
            session = self._sessions[cookie] = Session(name.strip(), secrets.token_urlsafe(24), now + SESSION_S,
                                                     known.role if known is not None else "", salt.hex())
        return cookie, session

    def session(self, cookie: str) -> Session | None:
        """Who the cookie belongs to; each use prolongs it. None: unknown, over, or the PIN was changed, removed or
        given another role since, also by another process (`tocsin gateway pin`)."""
        with self._lock:
            session = self._sessions.get(cookie)
            if session is None or self._now_s() >= session.until_s or not self._still(session):
                self._sessions.pop(cookie, None)
                return None
            session.until_s = self._now_s() + SESSION_S
            return session

    def _still(self, session: Session) -> bool:
        """Whether the PIN that let them in is still theirs. A file that cannot be read lets nobody act."""
        if self._file is None:
            return False
        try:
            found = self._file.stat()
            mark = (found.st_ino, found.st_mtime_ns)
            if mark != self._known[0]:
                self._known = (mark, _read(self._file))
        except (OSError, LocalFault):
            return False
        pin = self._known[1].get(session.who)
        return pin is not None and (pin.salt, pin.role) == (session.salt, session.role)

    def forget(self, name: str) -> None:
        """End all sessions of a person whose PIN or role changed."""
        with self._lock:
            for cookie in [cookie for cookie, one in self._sessions.items() if one.who == name.strip()]:
                del self._sessions[cookie]

    @property
    def file(self) -> Path | None:
        """Where the PINs are."""
        return self._file

    def leave(self, cookie: str) -> None:
        """End the session."""
        with self._lock:
            self._sessions.pop(cookie, None)


def _hashed(pin: str, salt: bytes) -> str:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, maxmem=_SCRYPT_MEMORY,
                          dklen=32).hex()
