"""Claim code: eleven characters that a person reads off a gateway and types into a phone. Pure.

    50 random bits ──► ten characters of Crockford's alphabet + one check character ──► "7K3F-Q9XM-2TD"
    code ──scrypt──► offer id (public: under which name the gateway waits) and key (secret: both sides prove it)

The check character is a polynomial over GF(32): each single wrong character and each swap of two is found before
anything is sent. The code itself never travels from the gateway: who hears the offer cannot make its key from it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import msgspec

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DATA_CHARACTERS = 10
CODE_BYTES = 7  # of randomness; 50 of the 56 bits are used
CODE_LASTS_S = 3600.0
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_SALT = b"tocsin claim v1"
# 16 MiB and some 40 ms for each guess: 2^50 guesses within the hour that a code lasts are out of reach.
_N, _R, _P, _MEMORY = 2**14, 8, 1, 64 * 2**20


class ClaimSecret(msgspec.Struct, frozen=True):
    """What a code stands for. key is a secret: never logged, never sent."""

    offer: str
    key: bytes

    def __repr__(self) -> str:
        return f"ClaimSecret(offer={self.offer!r})"


def make_code(randomness: bytes) -> str:
    """A code from CODE_BYTES of randomness, grouped for people. ValueError: too few."""
    if len(randomness) < CODE_BYTES:
        raise ValueError(f"{CODE_BYTES} random bytes are needed")
    number = int.from_bytes(randomness[:CODE_BYTES], "big")
    data = [number >> 5 * place & 31 for place in range(DATA_CHARACTERS)]
    return grouped("".join(ALPHABET[value] for value in [*data, _check(data)]))


def grouped(code: str) -> str:
    """ "7K3FQ9XM2TD" as "7K3F-Q9XM-2TD"."""
    return "-".join((code[:4], code[4:8], code[8:]))


def read_code(text: str) -> str:
    """What somebody typed, as the code; ValueError says what is wrong with it, in words for people.

    Spaces, dashes and small letters do not matter; O is read as 0, I and L as 1. An address that ends in #CODE, as a
    QR label holds it, is read as well.
    """
    plain = "".join(text.rpartition("#")[2].upper().translate(_READ_AS).split()).replace("-", "")
    strange = sorted({letter for letter in plain if letter not in ALPHABET})
    if strange:
        raise ValueError(f"{''.join(strange[:3])!r} does not stand in a claim code")
    if len(plain) != DATA_CHARACTERS + 1:
        raise ValueError(f"a claim code has {DATA_CHARACTERS + 1} characters, this has {len(plain)}")
    values = [ALPHABET.index(letter) for letter in plain]
    if _check(values[:-1]) != values[-1]:
        raise ValueError("a character is wrong, or two are swapped: compare with the gateway's page")
    return grouped(plain)


@lru_cache(maxsize=128)  # a gateway asks each second with the same code
def secret_of(code: str) -> ClaimSecret:
    """Offer id and key of a code. Slow on purpose (some 40 ms). ValueError where it is no code."""
    derived = hashlib.scrypt(read_code(code).encode(), salt=_SALT, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=48)
    return ClaimSecret(derived[:16].hex(), derived[16:])


def _check(values: list[int]) -> int:
    total = 0
    for value in values:
        total = _twice(total ^ value)
    return total


def _twice(value: int) -> int:
    """Times x in GF(32), modulo x^5 + x^2 + 1, of which x is a generator."""
    doubled = value << 1
    return doubled ^ 0b100101 if doubled & 32 else doubled
