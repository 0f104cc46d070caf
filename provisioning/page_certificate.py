"""The TLS of a gateway's own page (I/O): a key and a certificate that it makes itself, for phones on its network.

    tocsin provision ─► page-key.pem (0600), page.pem ─► `page:` of the first site file ─► https://ADDRESS:8443/

No authority of the world knows the gateway, so a phone asks once whether it may be trusted: the wizard shows the
fingerprint that the phone must show, too. The key never leaves the box; the PIN is asked behind it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device_model.errors import LocalFault
from provisioning.authority import write_private, write_public

CERTIFICATE, KEY = "page.pem", "page-key.pem"
# Phones refuse a server's certificate that holds longer than 825 days (Apple's and Google's root programmes).
DAYS = 825
# A box without a battery clock makes it in 1970: begun so far back that a right clock finds it begun.
_BEGAN = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK_SET = datetime(2025, 1, 1, tzinfo=UTC)


def make_page_certificate(folder: Path, names: Sequence[str], now: datetime) -> str:
    """Write both files into a folder; what stands there is replaced. names: addresses and host names by which phones
    reach the page. Gives the SHA-256 fingerprint as phones show it. Raises LocalFault."""
    key = ec.generate_private_key(ec.SECP256R1())
    # With the clock not set the end is unknown: a date that a right clock has not passed.
    begins, ends = (now - timedelta(days=1), now + timedelta(days=DAYS - 1)) if now >= _CLOCK_SET else (
        _BEGAN, _CLOCK_SET + timedelta(days=10 * 365))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tocsin gateway page")])
    alternatives = [_general_name(one) for one in dict.fromkeys(names)]
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_private(folder / KEY, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        write_public(folder / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
    except OSError as error:
        raise LocalFault(f"the page's certificate cannot be written to {folder}: {error.strerror}") from error
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def own_address(towards: str = "192.0.2.1") -> str:
    """The address by which this machine reaches others: where phones on its network find it. "" without a network.
    Nothing is sent: the kernel only chooses a way (192.0.2.1 is of RFC 5737, for examples)."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((towards, 9))
        return str(probe.getsockname()[0])
    return ""


def own_names(address: str) -> tuple[str, ...]:
    """What the page may be called: the address, this machine's name, and the machine itself."""
    host = socket.gethostname().split(".")[0]
    return (address, host, f"{host}.local", "localhost", "127.0.0.1")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
