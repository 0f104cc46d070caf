"""The cloud's own certificate authority and its register of gateways (I/O), from the first start.

    <folder>/ca.key      0600   P-256, made at first start, never leaves
             ca.pem             given to every gateway
             broker.key  0600   the broker's TLS key
             broker.pem         SANs: loopback and the configured names; renewed at start
             gateways.json      who is enrolled, who is revoked; the broker's users are made from it

Certificates of gateways are short-lived and renewed by the gateway with the same enrolment. Validity is real
time, never the demo's scaled time: other programs' TLS judges it. Nothing here logs key material.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device_model.errors import LocalFault, PeerRefused
from device_model.messages import GatewayAddress
from provisioning.identity import EnrolledGateway, GatewayStatus, check_request, subject_of

CA_DAYS = 3650
BROKER_DAYS = 397
BROKER_RENEW_DAYS = 60  # renewed at start when less is left: a cloud restarts more often than every eleven months
GATEWAY_DAYS = 30
BACKDATE = timedelta(days=1)  # machines' clocks differ; a certificate must not be "from the future"
LOOPBACK_NAMES = ("127.0.0.1", "localhost")

_log = structlog.get_logger("tocsin.authority")
_register = msgspec.json.Decoder(dict[str, EnrolledGateway])


def _real_now() -> datetime:
    return datetime.now(UTC)


class Authority:
    """Makes and revokes the certificates by which gateways are known. Use `Authority.open`."""

    def __init__(
        self, folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate,
        now: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._key = key
        self._certificate = certificate
        self._now = now

    @classmethod
    def open(
        cls, folder: Path, *, names: Sequence[str] = (), now: Callable[[], datetime] = _real_now,
    ) -> Authority:
        """Open the authority of that folder, or make it: key, certificate, and the broker's certificate.

        names: further host names or addresses under which gateways reach the broker. now: real UTC time.
        Raises LocalFault where the folder cannot be used or its contents are damaged.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(folder):
                if (folder / "ca.pem").exists():
                    key = _read_key(folder / "ca.key")
                    certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
                else:
                    key = ec.generate_private_key(ec.SECP256R1())
                    certificate = _make_root(key, now())
                    _write(folder / "ca.key", _key_pem(key), 0o600)
                    _write(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
                    _log.info("authority made", folder=str(folder))
                authority = cls(folder, key, certificate, now)
                authority._renew_broker((*LOOPBACK_NAMES, *names))
        except (OSError, ValueError) as error:
            raise LocalFault(f"the certificate authority in {folder} cannot be used: {error}") from error
        return authority

    @property
    def ca_file(self) -> Path:
        """What gateways trust."""
        return self._folder / "ca.pem"

    @property
    def broker_certificate_file(self) -> Path:
        """The broker's certificate."""
        return self._folder / "broker.pem"

    @property
    def broker_key_file(self) -> Path:
        """The broker's key, mode 0600."""
        return self._folder / "broker.key"

    @property
    def register_file(self) -> Path:
        """Changes whenever somebody is enrolled or revoked; the broker's keeper watches it."""
        return self._folder / "gateways.json"

    @property
    def ca_pem(self) -> bytes:
        """The root certificate as PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def gateways(self) -> dict[str, EnrolledGateway]:
        """Everybody ever enrolled, by common name, the revoked included. Raises LocalFault when unreadable."""
        try:
            return _register.decode(self.register_file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise LocalFault(f"the register of gateways {self.register_file} cannot be read: {error}") from error

    def enrol(
        self, address: GatewayAddress, request_pem: bytes, *, days: float = GATEWAY_DAYS, named: str = "",
    ) -> bytes:
        """A new enrolment of that gateway: every certificate given for the address before stops working.

        named: what the request calls itself, where the box does not know its address yet.
        Returns the certificate as PEM. Raises PeerRefused for a request that may not be signed.
        """
        request = check_request(request_pem, address, named=named)
        with _locked(self._folder):
            register = self.gateways()
            known = register.get(address.common_name)
            return self._sign(request, address, known.generation + 1 if known else 1, register, days)

    def renew(self, address: GatewayAddress, request_pem: bytes, *, days: float = GATEWAY_DAYS) -> bytes:
        """The next certificate under the present enrolment, before the old one ends. PeerRefused when there is
        no enrolment or it is revoked. The caller has checked that the asker holds the present certificate."""
        request = check_request(request_pem, address)
        with _locked(self._folder):
            register = self.gateways()
            known = register.get(address.common_name)
            if known is None or known.status is not GatewayStatus.ENROLLED:
                raise PeerRefused(f"{address.common_name} is not enrolled: it must be enrolled by a person first")
            return self._sign(request, address, known.generation, register, days)

    def now_us(self) -> int:
        """Real time, µs since 1970 UTC."""
        return _to_us(self._now())

    def sign_word(self, payload: bytes) -> str:
        """The CA's signature, hex, over a word of ours (claim.py); never over anything that could be a certificate,
        for each word begins with a context of its own."""
        return self._key.sign(payload, ec.ECDSA(hashes.SHA256())).hex()

    def revoke(self, address: GatewayAddress, why: str) -> None:
        """Shut that gateway out; its live session ends when the broker reloads. PeerRefused when unknown."""
        with _locked(self._folder):
            register = self.gateways()
            known = register.get(address.common_name)
            if known is None:
                raise PeerRefused(f"{address.common_name} was never enrolled")
            register[known.common_name] = msgspec.structs.replace(
                known, status=GatewayStatus.REVOKED, revoked_us=_to_us(self._now()), why=why,
            )
            self._save(register)
        _log.info("gateway revoked", gateway=address.common_name, why=why)

    def _sign(
        self, request: x509.CertificateSigningRequest, address: GatewayAddress, generation: int,
        register: dict[str, EnrolledGateway], days: float,
    ) -> bytes:
        now = self._now()
        until = now + timedelta(days=days)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject_of(address, generation)).issuer_name(self._certificate.subject)
            .public_key(request.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(min(now, until) - BACKDATE).not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        register[address.common_name] = EnrolledGateway(
            common_name=address.common_name, generation=generation, status=GatewayStatus.ENROLLED,
            serial=f"{certificate.serial_number:x}", enrolled_us=_to_us(now), not_after_us=_to_us(until),
            key=request.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo).hex(),
        )
        self._save(register)
        _log.info("certificate given", gateway=address.common_name, enrolment=generation, until=until.isoformat())
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _save(self, register: dict[str, EnrolledGateway]) -> None:
        try:
            _write(self.register_file, msgspec.json.format(msgspec.json.encode(register)), 0o600)
        except OSError as error:
            raise LocalFault(f"the register of gateways cannot be written: {error}") from error

    def _renew_broker(self, names: Sequence[str]) -> None:
        """Make the broker's certificate where there is none, it ends soon, or it lacks a name."""
        wanted = {_general_name(name) for name in names}
        if self.broker_certificate_file.exists() and self.broker_key_file.exists():
            present = x509.load_pem_x509_certificate(self.broker_certificate_file.read_bytes())
            has = set(present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
            left = present.not_valid_after_utc - self._now()
            if wanted <= has and left > timedelta(days=BROKER_RENEW_DAYS):
                return
            wanted |= has
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tocsin broker")]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE).not_valid_after(now + timedelta(days=BROKER_DAYS))
            .add_extension(x509.SubjectAlternativeName(sorted(wanted, key=str)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(self.broker_key_file, _key_pem(key), 0o600)
        _write(self.broker_certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def make_request(address: GatewayAddress | None, key_file: Path, *, named: str = "") -> bytes:
    """The gateway's side: make a key in `key_file` (0600; kept if it exists) and a request for its certificate.

    named: what it calls itself while it has no address. The key never leaves the gateway. Raises LocalFault where the
    file cannot be written or read.
    """
    try:
        if key_file.exists():
            key = _read_key(key_file)
        else:
            key = ec.generate_private_key(ec.SECP256R1())
            key_file.parent.mkdir(parents=True, exist_ok=True)
            _write(key_file, _key_pem(key), 0o600)
    except (OSError, ValueError) as error:
        raise LocalFault(f"the gateway's key {key_file} cannot be used: {error}") from error
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address.common_name if address else named)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only. Raises OSError."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by all. Raises OSError."""
    _write(path, content, 0o644)


def _make_root(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tocsin community OS")])
    return (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE).not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption(),
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} does not hold a P-256 key")
    return key


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never wider than `mode`, not even for an instant."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    beside.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, over processes: `tocsin cloud enrol` runs beside the cloud."""
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _to_us(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000)
