"""Identity rules (pure): which certificate subject stands for which gateway, and which requests may be signed.

    GatewayAddress  ──►  subject  OU=enrolment-2, CN=city.district.street.site.gateway
                    ──►  broker user "CN=city.district.street.site.gateway,OU=enrolment-2"
                    ──►  topic prefix tocsin/v1/city/district/street/site/gateway/…

The CN is the topic prefix with dots. The OU counts enrolments of that address: a gateway that was revoked and
is enrolled anew (a broken box replaced, its site kept) gets the next number, so that the old box's certificate,
still within its dates, names a user that no longer exists. No revocation list has to reach anybody in time.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from device_model.errors import PeerRefused
from device_model.messages import TOKEN, GatewayAddress

# X.520 bounds a common name to 64 characters; five tokens of a city's register fit when they are chosen short.
COMMON_NAME_MAX = 64
REQUEST_BYTES_MAX = 8 * 1024  # a P-256 request is some 400 bytes; more is not a request


class GatewayStatus(StrEnum):
    """Whether the broker lets it in."""

    ENROLLED = "enrolled"
    REVOKED = "revoked"


class EnrolledGateway(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the authority's register. Times are real µs since 1970 UTC, never the demo's scaled time.

    generation: how many times this address has been enrolled; part of the certificate's subject.
    not_after_us: end of the newest certificate. why: the reason given for a revocation. key: the gateway's public key
    (DER, hex), by which it asks for its next certificate; "" for enrolments older than that.
    """

    common_name: str
    generation: int
    status: GatewayStatus
    serial: str
    enrolled_us: int
    not_after_us: int
    revoked_us: int = 0
    why: str = ""
    key: str = ""

    @property
    def address(self) -> GatewayAddress:
        """Which gateway of which site it is."""
        return GatewayAddress.of_common_name(self.common_name)

    @property
    def user(self) -> str:
        """Its name at the broker."""
        return broker_user(self.address, self.generation)


def check_address(address: GatewayAddress) -> None:
    """Raises PeerRefused where a token of the address could not stand in a topic, subject or certificate."""
    tenancy = address.tenancy
    for token in (tenancy.city, tenancy.district, tenancy.street, tenancy.site, address.gateway):
        if not TOKEN.fullmatch(token):
            raise PeerRefused(f"{token!r} in {address.common_name!r} is not [a-z0-9-], 1 to 40 characters")
    if len(address.common_name) > COMMON_NAME_MAX:
        raise PeerRefused(
            f"{address.common_name!r} has {len(address.common_name)} characters; a certificate's common name holds "
            f"{COMMON_NAME_MAX}: choose shorter names"
        )


def subject_of(address: GatewayAddress, generation: int) -> x509.Name:
    """The subject of a gateway's certificate."""
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"enrolment-{generation}"),
        x509.NameAttribute(NameOID.COMMON_NAME, address.common_name),
    ])


def broker_user(address: GatewayAddress, generation: int) -> str:
    """What nats-server's verify_and_map calls the bearer: the subject after RFC 2253, last attribute first."""
    return f"CN={address.common_name},OU=enrolment-{generation}"


def check_request(
    request_pem: bytes, address: GatewayAddress, *, named: str = "",
) -> x509.CertificateSigningRequest:
    """A certificate request that may be signed for that gateway; PeerRefused says why not.

    Signed by its own key, a P-256 key, and the CN is the address, or `named` where a box asks that does not know its
    address yet. Everything else that it asks for is ignored: the authority alone decides subject, extensions and
    dates.
    """
    check_address(address)
    if len(request_pem) > REQUEST_BYTES_MAX:
        raise PeerRefused(f"certificate request of {len(request_pem)} bytes exceeds {REQUEST_BYTES_MAX}")
    try:
        request = x509.load_pem_x509_csr(request_pem)
        signed = request.is_signature_valid
        key = request.public_key()
        names = [str(name.value) for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, TypeError, InvalidSignature) as error:
        raise PeerRefused(f"not a certificate request: {error}") from error
    if not signed:
        raise PeerRefused("the certificate request is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PeerRefused("the certificate request's key is not P-256")
    if names != [named or address.common_name]:
        raise PeerRefused(f"the certificate request names {names}, not {named or address.common_name!r}")
    return request
