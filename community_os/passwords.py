"""Passwords: argon2id, the older scrypt hashes of earlier versions, and what is too easy to guess.

A hash made by an earlier version is checked once by the old way and then made anew by the new one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

import argon2

LENGTH_MIN, LENGTH_MAX = 12, 200
_SCRYPT = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024, "dklen": 32}
_OLD = "scrypt$"  # what an earlier version kept as salt and hash in hex stands as scrypt$salt$hash
# The beginnings that people use most where twelve characters are asked for.
_COMMON = ("password", "passw0rd", "123456", "qwerty", "abcdef", "administrator", "letmein", "welcome", "iloveyou",
           "tocsin", "woaini", "5201314", "admin123", "111111", "000000", "888888")


class Passwords:
    """Makes and checks hashes. Slow on purpose (about 0.1 s, 64 MiB): tests pass a lighter cost."""

    def __init__(self, *, time_cost: int = 3, memory_kib: int = 65536) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def made(self, secret: str) -> str:
        """The hash to keep."""
        return self._hasher.hash(secret)

    def right(self, kept: str, secret: str) -> bool:
        """Whether the secret is the one that was hashed. An empty hash takes as long as a real one and is never
        right: who is unknown must not be told by the time it takes."""
        if kept.startswith(_OLD):
            salt, _, digest = kept.removeprefix(_OLD).partition("$")
            return hmac.compare_digest(scrypt_hex(secret, salt), digest)
        try:
            return self._hasher.verify(kept or self._nobody, secret) and kept != ""
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def outdated(self, kept: str) -> bool:
        """Whether a hash should be made anew now that the secret is known."""
        return kept.startswith(_OLD) or self._hasher.check_needs_rehash(kept)


def scrypt_hex(secret: str, salt: str) -> str:
    """The hash of earlier versions. salt in hex; ValueError where it is none."""
    return hashlib.scrypt(secret.encode(), salt=bytes.fromhex(salt), n=_SCRYPT["n"], r=_SCRYPT["r"], p=_SCRYPT["p"],
                          maxmem=_SCRYPT["maxmem"], dklen=_SCRYPT["dklen"]).hex()


def old_hash(salt: str, digest: str) -> str:
    """Salt and hash of earlier versions, as kept from now on."""
    return f"{_OLD}{salt}${digest}" if digest else ""


def weak(secret: str, name: str) -> bool:
    """Too easy to guess: short, the own name, one of the common ones, few different characters."""
    small = secret.casefold()
    return (not LENGTH_MIN <= len(secret) <= LENGTH_MAX or len(set(small)) < 5
            or (len(name) > 2 and name.casefold() in small)
            or any(small.startswith(word) and len(small) - len(word) < 8 for word in _COMMON))


def one_time() -> str:
    """A secret to be read out once and replaced at the first sign-in: 100 bits, no letters that look alike."""
    text = base64.b32encode(secrets.token_bytes(13)).decode().rstrip("=").lower()[:20]
    return "-".join(text[at:at + 5] for at in range(0, 20, 5))
