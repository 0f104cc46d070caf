"""Key renewal (I/O): the gateway's certificate is renewed before it ends, and when this machine's clock is wrong.

    each hour: less than a third left, over, or not begun yet by our clock ─► ask the cloud (claim_box.renew)
        renewed ─► loaded for the next connection
        the cloud's time, signed by its authority for this question, is a day or more from our clock
                ─► TLS to the broker checks name and issuer and leaves the dates to the authority until clocks agree

A claimed gateway has identity.json beside its key; one that was enrolled by hand renews by hand.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog
from cryptography import x509

from device_model.clock import DAY_US, SECOND_US, Clock
from provisioning.claim_box import ClaimBox, Renewed

EVERY_S, AGAIN_S = 3600.0, 60.0
LEFT_OF_LIFE = 1 / 3
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: everything is checked but the dates
log = structlog.get_logger("keys")


def why_renew(certificate_pem: bytes, wall_us: int) -> str:
    """Why the certificate should be renewed now; "" where it need not. ValueError: no certificate."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    begin_us = round(certificate.not_valid_before_utc.timestamp() * SECOND_US)
    end_us = round(certificate.not_valid_after_utc.timestamp() * SECOND_US)
    if wall_us < begin_us:
        return "by this machine's clock it has not begun: the clock may be wrong"
    if wall_us > end_us:
        return "by this machine's clock it is over"
    return "less than a third of its time is left" if end_us - wall_us < LEFT_OF_LIFE * (end_us - begin_us) else ""


def trust_time(context: ssl.SSLContext, renewed: Renewed) -> bool:
    """Judge dates by our own clock, or leave them to the authority where that clock is a day or more off. Returns
    whether the dates are left to it."""
    off = abs(renewed.ahead_us) >= DAY_US
    flags = int(context.verify_flags)
    context.verify_flags = ssl.VerifyFlags(flags | NO_CHECK_TIME if off else flags & ~NO_CHECK_TIME)
    return off


async def keep_keys(folder: Path, context: ssl.SSLContext | None, clock: Clock) -> None:
    """Until cancelled. context: of the way to the broker; None where its files did not load."""
    box, off = ClaimBox(folder), False
    while True:
        wait_s = EVERY_S
        try:
            why = why_renew(box.certificate_file.read_bytes(), clock.now().wall_us)
            if why or off:
                renewed = await asyncio.to_thread(box.renew)
                if context is not None:
                    context.load_cert_chain(box.certificate_file, box.key_file)
                    off = trust_time(context, renewed)
                log.warning("certificate renewed", why=why or "the clock was wrong", how=renewed.words(),
                            dates="left to the authority" if off else "by this machine's clock")
        except Exception as fault:  # noqa: BLE001  nothing about keys may end the gateway
            log.warning("certificate not renewed, trying again", reason=f"{type(fault).__name__}: {fault}")
            wait_s = AGAIN_S
        await clock.sleep(wait_s)
