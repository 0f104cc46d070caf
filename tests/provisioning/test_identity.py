"""Which certificate requests may be signed, and which broker user a certificate is."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.errors import PeerRefused
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from provisioning.identity import broker_user, check_address, check_request, subject_of

ADDRESS = GatewayAddress.of_common_name("hz.yh.cq.riverside.gw-1")


def request(*names: str, curve: ec.EllipticCurve | None = None, key: object = None) -> bytes:
    signer = key or ec.generate_private_key(curve or ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(signer, hashes.SHA256())  # type: ignore
    return made.public_bytes(serialization.Encoding.PEM)


def test_a_fitting_request_passes() -> None:
    assert check_request(request(ADDRESS.common_name), ADDRESS).is_signature_valid


@pytest.mark.parametrize(("pem", "why"), [
    (request("hz.yh.cq.hillside.gw-1"), "names"),
    (request(), "names"),
    (request(ADDRESS.common_name, "hz.yh.cq.hillside.gw-1"), "names"),
    (request(ADDRESS.common_name, curve=ec.SECP384R1()), "P-256"),
    (request(ADDRESS.common_name, key=rsa.generate_private_key(65537, 2048)), "P-256"),
    (b"", "not a certificate request"),
    (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "not a certificate request"),
    (b"x" * 10_000, "exceeds"),
])
def test_what_does_not_fit_is_refused(pem: bytes, why: str) -> None:
    with pytest.raises(PeerRefused, match=why):
        check_request(pem, ADDRESS)


def test_a_request_signed_by_another_key_is_refused() -> None:
    good = bytearray(x509.load_pem_x509_csr(request(ADDRESS.common_name)).public_bytes(serialization.Encoding.DER))
    good[-3] ^= 1
    body = x509.load_der_x509_csr(bytes(good)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(PeerRefused, match="its own key"):
        check_request(body, ADDRESS)


@settings(max_examples=150)
@given(st.binary(max_size=600))
def test_garbage_is_only_ever_refused(garbage: bytes) -> None:
    with pytest.raises(PeerRefused):
        check_request(garbage, ADDRESS)


@pytest.mark.parametrize("gateway", ["", "gw 1", "gw.1", "GW", "a/b", "*", ">", "x" * 41, "gw\n"])
def test_addresses_that_are_not_one_token_a_part_are_refused(gateway: str) -> None:
    with pytest.raises(PeerRefused):
        check_address(GatewayAddress(Tenancy("hz", "yh", "cq", "riverside"), gateway))


def test_a_name_too_long_for_a_certificate_is_refused_with_the_remedy() -> None:
    with pytest.raises(PeerRefused, match="shorter"):
        check_address(GatewayAddress(Tenancy("a" * 20, "b" * 20, "c" * 20, "d"), "gw"))


def test_the_users_name_is_the_subject_in_rfc_2253_order() -> None:
    assert subject_of(ADDRESS, 3).rfc4514_string() == broker_user(ADDRESS, 3)
