"""The cipher of HJ 212-2025: SM4, 128-bit key, ECB, no padding (clause 6.4.2). ECB is the standard's choice.

Keys come from the ministry's host and change about every 90 days (6.4.3); none is shipped here.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes

KEY_BYTES = 16


def encrypt_with(key: bytes, blocks: bytes) -> bytes:
    """Whole 16-byte blocks under the key. ValueError for another key length or half blocks."""
    encryptor = _Cipher(algorithms.SM4(key), modes.ECB()).encryptor()  # noqa: S305  the standard's mode
    return encryptor.update(blocks) + encryptor.finalize()


def decrypt_with(key: bytes, blocks: bytes) -> bytes:
    """The other way."""
    decryptor = _Cipher(algorithms.SM4(key), modes.ECB()).decryptor()  # noqa: S305  the standard's mode
    return decryptor.update(blocks) + decryptor.finalize()
