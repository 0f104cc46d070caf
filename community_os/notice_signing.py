"""How an outgoing webhook is signed, and when it is tried again. Pure.

Headers after the Standard Webhooks specification: `webhook-id` (equal at every try: a receiver takes it once),
`webhook-timestamp` (seconds), `webhook-signature`: `v1,` base64 of HMAC-SHA256, or `v1a,` base64 of Ed25519, over
"id.timestamp.body". The body is a CloudEvent 1.0 in structured JSON.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from device_model.clock import HOUR_US, SECOND_US

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
# Pauses between tries, the last one again and again. What law 1 names is tried faster.
PAUSES_S = (5, 15, 60, 300, 900)
URGENT_PAUSES_S = (1, 2, 5, 10, 30)
# Given up after a day: then nobody acts on it any more, and the dead letter says why.
GIVE_UP_US = 24 * HOUR_US
# A receiver refuses what is older than this (and what is from the future), so that nobody can send it again later.
TOLERANCE_S = 300


class HmacKey:
    """A shared secret."""

    def __init__(self, secret: bytes) -> None:
        """Raises ValueError for a secret that can be guessed."""
        if len(secret) < 24:
            raise ValueError("a webhook's secret has 24 bytes at least")
        self._secret = secret

    def sign(self, message: bytes) -> str:
        """The header's value."""
        return "v1," + base64.b64encode(hmac.new(self._secret, message, hashlib.sha256).digest()).decode()


class Ed25519Key:
    """A private key; the receiver needs only the public one."""

    def __init__(self, private: bytes) -> None:
        """private: 32 bytes. Raises ValueError."""
        self._key = Ed25519PrivateKey.from_private_bytes(private)

    def sign(self, message: bytes) -> str:
        """The header's value."""
        return "v1a," + base64.b64encode(self._key.sign(message)).decode()


Key = HmacKey | Ed25519Key


def parse_key(text: str) -> Key:
    """A key file: `whsec_…` (base64) for HMAC, `whsk_…` (base64 of 32 bytes) for Ed25519. Raises ValueError."""
    plain = text.strip()
    for prefix, kind in (("whsec_", HmacKey), ("whsk_", Ed25519Key)):
        if plain.startswith(prefix):
            try:
                return kind(base64.b64decode(plain.removeprefix(prefix), validate=True))
            except ValueError as error:
                raise ValueError(f"not a key: {error}") from error
    raise ValueError("a key begins with whsec_ (HMAC) or whsk_ (Ed25519)")


def headers_of(name: str, body: bytes, at_us: int, key: Key | None) -> dict[str, str]:
    """The headers of one try."""
    stamp = str(at_us // SECOND_US)
    headers = {"Content-Type": CONTENT_TYPE, "webhook-id": name, "webhook-timestamp": stamp}
    if key is not None:
        headers["webhook-signature"] = key.sign(b".".join((name.encode(), stamp.encode(), body)))
    return headers


def is_genuine(
    headers: dict[str, str], body: bytes, now_us: int, *, secret: bytes = b"", public: bytes = b""
) -> bool:
    """What a receiver does: for its own programs, for examples and tests. Keys of `headers` in lower case."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(now_us // SECOND_US - int(stamp)) > TOLERANCE_S:
        return False
    message = b".".join((headers.get("webhook-id", "").encode(), stamp.encode(), body))
    for signature in headers.get("webhook-signature", "").split():
        if secret and hmac.compare_digest(signature, HmacKey(secret).sign(message)):
            return True
        if public and signature.startswith("v1a,"):
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature[4:]), message)
            except (InvalidSignature, ValueError):
                continue
            return True
    return False


def pause_us(attempts: int, *, urgent: bool) -> int:
    """How long to wait after so many tries."""
    pauses = URGENT_PAUSES_S if urgent else PAUSES_S
    return pauses[min(attempts, len(pauses)) - 1] * SECOND_US
