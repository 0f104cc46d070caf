"""Sessions (I/O): who is signed in where; each ends by itself, and whoever owns one can end it.

    cookie = random token ──► kept: its SHA-256 only        idle limit: not seen for so long
    seen again ──► written at most every 30 s               absolute limit: one shift, however busy

An open event stream counts as seen: a board on the wall must not sign out while it is watched.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from device_model.errors import LocalFault
from provisioning.authority import write_private

IDLE_S = 2 * 3600.0
ABSOLUTE_S = 12 * 3600.0  # one shift
SEEN_EVERY_S = 30.0
SESSIONS_MAX = 10_000
PER_PERSON_MAX = 20  # the oldest ends where somebody signs in once more


class Session(msgspec.Struct):
    """One signed-in browser. id: what lists and buttons name; token itself is nowhere."""

    id: str
    name: str
    since_s: float
    seen_s: float
    address: str = ""
    agent: str = ""


class SessionBook:
    """All sessions, in one file (0600). Thread-safe."""

    def __init__(self, file: Path, now_s: Callable[[], float], *, idle_s: float = IDLE_S,
                 absolute_s: float = ABSOLUTE_S) -> None:
        self._file, self._now_s, self._idle_s, self._absolute_s = file, now_s, idle_s, absolute_s
        self._lock = threading.RLock()
        self._written_s = 0.0
        self._mark: tuple[int, int] | None = None
        self._sessions: dict[str, Session] = {}
        self._read()

    def begin(self, name: str, address: str = "", agent: str = "") -> str:
        """A new session's cookie. LocalFault when it cannot be kept."""
        now, token = self._now_s(), secrets.token_urlsafe(32)
        with self._lock:
            self._read()
            self._sessions = {key: one for key, one in self._sessions.items() if self._holds(one, now)}
            own = sorted((key for key, one in self._sessions.items() if one.name == name),
                         key=lambda key: self._sessions[key].since_s)
            for key in own[:max(0, len(own) + 1 - PER_PERSON_MAX)]:
                del self._sessions[key]
            while len(self._sessions) >= SESSIONS_MAX:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[_kept(token)] = Session(secrets.token_hex(6), name, now, now, address[:80], agent[:200])
            self._write()
        return token

    def of(self, cookie: str) -> Session | None:
        """The session of a cookie, seen now; None when unknown or over."""
        now = self._now_s()
        with self._lock:
            self._read()
            session = self._sessions.get(_kept(cookie))
            if session is None or not self._holds(session, now):
                return None
            session.seen_s = now
            if now - self._written_s > SEEN_EVERY_S:
                self._write()
            return session

    def owned(self, name: str) -> tuple[Session, ...]:
        """Somebody's sessions, newest first."""
        now = self._now_s()
        with self._lock:
            self._read()
            own = [one for one in self._sessions.values() if one.name == name and self._holds(one, now)]
            return tuple(sorted(own, key=lambda one: -one.since_s))

    def end(self, gone: Callable[[Session], bool]) -> int:
        """End those sessions; how many there were."""
        with self._lock:
            self._read()
            left = {key: one for key, one in self._sessions.items() if not gone(one)}
            count, self._sessions = len(self._sessions) - len(left), left
            if count:
                self._write()
            return count

    def _holds(self, session: Session, now: float) -> bool:
        return now - session.seen_s < self._idle_s and 0 <= now - session.since_s < self._absolute_s

    def _read(self) -> None:
        """What another process ended (`tocsin people disable`) has ended here as well."""
        try:
            found = self._file.stat()
        except OSError:
            return
        mark = (found.st_ino, found.st_mtime_ns)
        if mark == self._mark:
            return
        try:
            self._sessions = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Session])
        except (OSError, msgspec.DecodeError):
            self._sessions = {}  # all sign in again: the safe side of a damaged file
        self._mark = mark

    def _write(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._file, msgspec.json.encode(self._sessions))
            found = self._file.stat()
        except OSError as error:
            raise LocalFault(f"the sessions in {self._file} cannot be written: {error}") from error
        self._mark, self._written_s = (found.st_ino, found.st_mtime_ns), self._now_s()


def _kept(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
