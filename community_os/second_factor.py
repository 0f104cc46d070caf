"""The second factor: codes from an app (TOTP, RFC 6238) and recovery codes (pure: the time is passed in).

    step = seconds // 30      the code of the step before, this and the next is right: clocks differ
    a code counts once        a step at or before the last one used is refused (replay)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

import pyotp

STEP_S = 30
RECOVERY_CODES = 10
_SIX = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """A fresh key in base32 (160 bits)."""
    return pyotp.random_base32()


def address_of(secret: str, name: str, issuer: str = "Tocsin") -> str:
    """What the QR code says."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def step_of(secret: str, code: str, now_s: float, last_step: int) -> int | None:
    """The step whose code this is; None where it is wrong or was used already."""
    code = code.replace(" ", "")
    if not _SIX.fullmatch(code):
        return None
    totp, now_step = pyotp.TOTP(secret), int(now_s // STEP_S)
    found = None
    for step in (now_step - 1, now_step, now_step + 1):  # all three are compared: time tells nothing
        if hmac.compare_digest(totp.at(step * STEP_S), code) and step > last_step:
            found = step
    return found


def recovery_codes() -> tuple[str, ...]:
    """Codes for a lost phone, 80 bits each: shown once, kept as hashes."""
    texts = (base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES))
    return tuple("-".join(text[at:at + 4] for at in range(0, 16, 4)) for text in texts)


def recovery_hash(code: str) -> str:
    """What is kept of a recovery code. 80 random bits need no slow hash."""
    return hashlib.sha256(re.sub(r"[^a-z2-7]", "", code.lower()).encode()).hexdigest()
