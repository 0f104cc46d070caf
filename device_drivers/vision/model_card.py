"""What travels beside the model's bytes: hash, classes, calibration, thresholds, who signed it.

```
 watcher.tflite ── SHA-256 ──► watcher.json ── Ed25519 ──► one of TRUSTED_KEYS
```
A model whose hash or signature does not fit is not run: a detector that somebody swapped is worse than none. The hash
stands in every evidence record, so that a verdict can be made again years later.
"""

from __future__ import annotations

import hashlib

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from device_model.errors import LocalFault

CLASSES = ("hot_work", "flame", "smoke")
# Public halves of the keys that released models are signed with, raw, hex; newest last. A site that trains its own
# adds its key in the vision file (`trusted_keys`).
TRUSTED_KEYS: tuple[str, ...] = ("c3e9e2bd2c710eac4a17e7cc254e0482d6ee236fa32801cb13db6936887990d8",)


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine-readable card. size: input pixels a side; grid: cells a side.

    slope, offset: Platt's line a class; thresholds: probability from which a still picture alarms; trained: seed,
    versions, counts, as text for people.
    """

    name: str
    version: str
    sha256: str
    classes: tuple[str, ...]
    size: int
    grid: int
    slope: tuple[float, ...]
    offset: tuple[float, ...]
    thresholds: tuple[float, ...]
    trained: dict[str, str] = {}
    key: str = ""
    signature: str = ""

    def signed_bytes(self) -> bytes:
        """What the signature is over: everything but itself, fields in order."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="deterministic")

    def threshold(self, name: str) -> float:
        """The shipped threshold of a class."""
        return self.thresholds[self.classes.index(name)]


class Verdict(msgspec.Struct, frozen=True):
    """What the model says of one picture: a probability a class, in the order of CLASSES."""

    scores: tuple[float, ...]

    def alarms(self, thresholds: tuple[float, ...]) -> tuple[str, ...]:
        """The classes at or above their thresholds."""
        return tuple(n for n, s, t in zip(CLASSES, self.scores, thresholds, strict=True) if s >= t)


def parse_card(text: bytes, name: str) -> ModelCard:
    """Raises LocalFault where the card does not parse or does not hang together."""
    try:
        card = msgspec.json.decode(text, type=ModelCard)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LocalFault(f"{name}: not a model card: {error}; install the release's own file") from error
    count = len(CLASSES)
    if card.classes != CLASSES or not len(card.slope) == len(card.offset) == len(card.thresholds) == count:
        raise LocalFault(
            f"{name}: classes are {card.classes}, this version needs {CLASSES}; install the release's own file"
        )
    if not (32 <= card.size <= 1024 and 1 <= card.grid <= 64 and all(0 < t < 1 for t in card.thresholds)):
        raise LocalFault(f"{name}: size, grid or thresholds out of range; install the release's own file")
    return card


def check_card(card: ModelCard, model: bytes, name: str, trusted: tuple[str, ...] = TRUSTED_KEYS) -> None:
    """Raises LocalFault where the bytes are not those of the card, or nobody trusted signed it."""
    if hashlib.sha256(model).hexdigest() != card.sha256:
        raise LocalFault(f"{name}: the model's bytes do not fit its card (SHA-256); install the release's own file")
    if card.key not in trusted:
        raise LocalFault(
            f"{name}: signed by a key that is not trusted ({card.key[:16] or 'none'}…); "
            "install the release's own file or add the key to trusted_keys"
        )
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(card.key)).verify(
            bytes.fromhex(card.signature), card.signed_bytes()
        )
    except (InvalidSignature, ValueError) as error:
        raise LocalFault(f"{name}: the signature does not fit; install the release's own file") from error
