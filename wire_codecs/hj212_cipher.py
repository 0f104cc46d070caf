"""The cipher of HJ 212-2025: SM4, 128-bit key, ECB, no padding (clause 6.4.2). ECB is the standard's choice.

Keys come from the ministry's host and change about every 90 days (6.4.3); none is shipped here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import ECB

KEY_BYTES = 16


def _cipher(key: bytes) -> Cipher[ECB]:
    # Loaded where a station has a key: 6 MiB of a gateway that has 48.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.SM4(key), modes.ECB())  # noqa: S305  the standard's mode


def encrypt_with(key: bytes, blocks: bytes) -> bytes:
    """Whole 16-byte blocks under the key. ValueError for another key length or half blocks."""
    encryptor = _cipher(key).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()


def decrypt_with(key: bytes, blocks: bytes) -> bytes:
    """The other way."""
    decryptor = _cipher(key).decryptor()
    return decryptor.update(blocks) + decryptor.finalize()
