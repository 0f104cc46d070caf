"""LineKeys (I/O): the certificate that a simulated TLS line shows, of an authority of its own: good or expired.

    LineKeys(folder, names) ──► ca.pem       for the gateway's `ca_file:`
                            └─► server side: good certificate  ◄─ show(expired=…) ─►  one that ended yesterday

The private keys are made anew at each start and stay in the folder; nobody else is meant to trust them.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from device_model.errors import LocalFault

_LIFE = timedelta(days=30)
_DAY = timedelta(days=1)


class LineKeys:
    """Certificates of one line. `ca_file` is written for those who connect; the rest stands beside it, private.
    Raises LocalFault when the folder cannot be written."""

    def __init__(self, ca_file: Path, host: str) -> None:
        self.ca_file = ca_file
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        ca_key = ec.generate_private_key(ec.SECP256R1())
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        ca = _signed("simulated line authority", ca_key, ca_key, now - 400 * _DAY, now + _LIFE, host, authority=True)
        try:
            ca_file.parent.mkdir(parents=True, exist_ok=True)
            ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
            self._write("good", _signed(host, self._key, ca_key, now - _DAY, now + _LIFE, host))
            self._write("expired", _signed(host, self._key, ca_key, now - 399 * _DAY, now - _DAY, host))
        except OSError as error:
            raise LocalFault(f"cannot write the certificates of a simulated TLS line beside {ca_file} "
                             f"({error.strerror}): choose another ca_file") from error

    def show(self, *, expired: bool) -> ssl.SSLContext:
        """The server's side from now on: every new handshake shows this certificate."""
        self._context.load_cert_chain(self._path("expired" if expired else "good"))
        return self._context

    def forget(self) -> None:
        """Remove the private keys."""
        for name in ("good", "expired"):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.ca_file.with_name(f"{self.ca_file.stem}.{name}.private.pem")

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        handle = os.open(self._path(name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(self._key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
            file.write(certificate.public_bytes(serialization.Encoding.PEM))


def _signed(
    name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey,
    since: datetime, until: datetime, host: str, *, authority: bool = False,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated line authority")])
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if authority:
        builder = builder.add_extension(x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False), critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(host)]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
