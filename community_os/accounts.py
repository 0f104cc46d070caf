"""Accounts (I/O): who may open the pages. Minimal on purpose; roles and second factors grow here (issue 8).

    first start ──► admin with a random secret, said once on standard error, kept as scrypt hash only
    enter ──► cookie: name, expiry, nonce, HMAC      person ──► checks HMAC, expiry, not left, account still there

Implements `dashboards.people.SignIn`. Times are real seconds: a session does not age faster in a demo.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from dashboards.people import Person
from device_model.errors import LocalFault
from provisioning.authority import write_private

SESSION_S = 12 * 3600.0  # one shift
# After so many wrong secrets for a name within the window, further ones are not even looked at.
FAILURES_MAX = 5
FAILURE_WINDOW_S = 60.0
NAMES_WATCHED_MAX = 1000
LEFT_MAX = 10_000  # sessions ended before their time; each is forgotten when it would have expired
_SCRYPT = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024, "dklen": 32}

_log = structlog.get_logger("tocsin.accounts")


class Account(msgspec.Struct, frozen=True):
    """One person. salt and hash in hex; the secret itself is nowhere."""

    role: str
    scope: str
    salt: str
    hash: str


class _Book(msgspec.Struct):
    """The file."""

    key: str
    accounts: dict[str, Account]
    left: dict[str, float] = {}


class Accounts:
    """Local accounts in one file (0600). Thread-safe."""

    def __init__(self, file: Path, *, now_s: Callable[[], float] = time.time) -> None:
        self._file, self._now_s = file, now_s
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}
        self._book = self._read()

    def _read(self) -> _Book:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Book)
        except FileNotFoundError:
            return _Book(secrets.token_hex(32), {})
        except (OSError, msgspec.DecodeError) as error:
            raise LocalFault(f"the accounts in {self._file} cannot be read: {error}; restore the file, or remove it "
                             "to start with a new admin") from error

    def ensure_admin(self) -> str:
        """Make the first admin if there is nobody; returns the secret (said once, also on standard error)."""
        if self._book.accounts:
            return ""
        secret = secrets.token_urlsafe(15)
        self.put("admin", secret, role="admin")
        print(f"tocsin: first start. Sign in as `admin` with the secret {secret} (it is not kept anywhere).",
              file=sys.stderr, flush=True)
        return secret

    def put(self, name: str, secret: str, *, role: str, scope: str = "") -> None:
        """Make or replace an account. LocalFault when the file cannot be written."""
        salt = secrets.token_bytes(16)
        with self._lock:
            self._book.accounts[name] = Account(role, scope, salt.hex(), _hashed(secret, salt))
            self._write()

    def enter(self, name: str, secret: str) -> str | None:
        """A session cookie when name and secret are right. Takes about 0.1 s; unknown names take as long."""
        now = self._now_s()
        with self._lock:
            recent = [at for at in self._failures.get(name, []) if now - at < FAILURE_WINDOW_S]
            account = self._book.accounts.get(name)
        if len(recent) >= FAILURES_MAX:
            _log.warning("sign-in refused: too many wrong secrets", name=name[:80])
            return None
        known = account or Account("", "", "00" * 16, "")
        right = hmac.compare_digest(_hashed(secret, bytes.fromhex(known.salt)), known.hash)
        if not right or account is None:
            with self._lock:
                self._failures[name] = [*recent, now]
                while len(self._failures) > NAMES_WATCHED_MAX:
                    del self._failures[next(iter(self._failures))]
            _log.warning("sign-in refused: wrong name or secret", name=name[:80])
            return None
        with self._lock:
            self._failures.pop(name, None)
        return self._signed(f"{name.encode().hex()}.{round(now + SESSION_S)}.{secrets.token_hex(8)}")

    def person(self, cookie: str) -> Person | None:
        """Who the session belongs to; None when it is unknown, over or ended."""
        parts = self._parts(cookie)
        if parts is None:
            return None
        name, expires_s = parts
        with self._lock:
            account = self._book.accounts.get(name)
            ended = cookie in self._book.left
        if account is None or ended or self._now_s() >= expires_s:
            return None
        return Person(name, account.role, account.scope)

    def leave(self, cookie: str) -> None:
        """End the session, also over a restart."""
        parts = self._parts(cookie)
        if parts is None:
            return
        with self._lock:
            now = self._now_s()
            left = {known: until for known, until in self._book.left.items() if until > now}
            left[cookie] = parts[1]
            self._book.left = dict(list(left.items())[-LEFT_MAX:])
            self._write()

    def _parts(self, cookie: str) -> tuple[str, float] | None:
        """(name, expiry) of a cookie that we signed."""
        text, _, _ = cookie.rpartition(".")
        if not text or not hmac.compare_digest(self._signed(text).encode(), cookie.encode()):
            return None
        name, expires_s, _ = text.split(".")
        return bytes.fromhex(name).decode(), float(expires_s)

    def _signed(self, text: str) -> str:
        digest = hmac.new(bytes.fromhex(self._book.key), text.encode(), hashlib.sha256).hexdigest()
        return f"{text}.{digest}"

    def _write(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._file, msgspec.json.encode(self._book))
        except OSError as error:
            raise LocalFault(f"the accounts in {self._file} cannot be written: {error}") from error


def _hashed(secret: str, salt: bytes) -> str:
    return hashlib.scrypt(secret.encode(), salt=salt, n=_SCRYPT["n"], r=_SCRYPT["r"], p=_SCRYPT["p"],
                          maxmem=_SCRYPT["maxmem"], dklen=_SCRYPT["dklen"]).hex()
