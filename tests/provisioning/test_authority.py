"""The cloud's CA: made once, keys kept private, enrolment, renewal, revocation, damage."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from structlog.testing import capture_logs

from device_model.errors import LocalFault, PeerRefused
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from provisioning.authority import Authority, make_request
from provisioning.commands import enrol_gateway, enrol_into, revoke_gateway
from provisioning.identity import GatewayStatus

ADDRESS = GatewayAddress.of_common_name("hz.yh.cq.riverside.gw-1")


def test_the_authority_is_made_once_and_its_keys_are_private(tmp_path: Path) -> None:
    first = Authority.open(tmp_path / "ca")
    again = Authority.open(tmp_path / "ca")
    assert first.ca_pem == again.ca_pem == first.ca_file.read_bytes()
    for name in ("ca.key", "broker.key"):
        assert stat.S_IMODE((tmp_path / "ca" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700


def test_the_brokers_certificate_is_for_loopback_and_the_given_names(tmp_path: Path) -> None:
    def names(authority: Authority) -> set[str]:
        certificate = x509.load_pem_x509_certificate(authority.broker_certificate_file.read_bytes())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.ca_pem))
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {str(name.value) for name in found}

    assert names(Authority.open(tmp_path)) == {"127.0.0.1", "localhost"}
    before = (tmp_path / "broker.pem").read_bytes()
    Authority.open(tmp_path)
    assert (tmp_path / "broker.pem").read_bytes() == before
    wider = Authority.open(tmp_path, names=("cloud.example", "10.0.0.7"))
    assert names(wider) == {"127.0.0.1", "localhost", "cloud.example", "10.0.0.7"}


def test_the_brokers_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    Authority.open(tmp_path)
    before = (tmp_path / "broker.pem").read_bytes()
    Authority.open(tmp_path, now=lambda: datetime.now(UTC) + timedelta(days=380))
    assert (tmp_path / "broker.pem").read_bytes() != before


def test_a_gateways_certificate_says_who_it_is_and_no_more(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "ca")
    pem = authority.enrol(ADDRESS, make_request(ADDRESS, tmp_path / "gw" / "key.pem"))
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.ca_pem))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == ADDRESS.common_name
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=29) < left < timedelta(days=31)
    known = authority.gateways()[ADDRESS.common_name]
    assert known.status is GatewayStatus.ENROLLED and known.address == ADDRESS
    assert stat.S_IMODE((tmp_path / "gw" / "key.pem").stat().st_mode) == 0o600


def test_renewal_keeps_the_enrolment_and_a_new_enrolment_ends_the_old(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "ca")
    request = make_request(ADDRESS, tmp_path / "key.pem")
    with pytest.raises(PeerRefused, match="not enrolled"):
        authority.renew(ADDRESS, request)
    authority.enrol(ADDRESS, request)
    first = authority.gateways()[ADDRESS.common_name]
    authority.renew(ADDRESS, request)
    renewed = authority.gateways()[ADDRESS.common_name]
    assert renewed.user == first.user and renewed.serial != first.serial
    authority.revoke(ADDRESS, "stolen")
    revoked = authority.gateways()[ADDRESS.common_name]
    assert (revoked.status, revoked.why) == (GatewayStatus.REVOKED, "stolen") and revoked.revoked_us > 0
    with pytest.raises(PeerRefused, match="not enrolled"):
        authority.renew(ADDRESS, request)
    authority.enrol(ADDRESS, request)
    anew = authority.gateways()[ADDRESS.common_name]
    assert anew.status is GatewayStatus.ENROLLED and anew.user != first.user


def test_revoking_a_stranger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerRefused, match="never enrolled"):
        Authority.open(tmp_path).revoke(ADDRESS, "?")


def test_the_key_is_kept_when_a_request_is_made_again(tmp_path: Path) -> None:
    first = x509.load_pem_x509_csr(make_request(ADDRESS, tmp_path / "key.pem"))
    second = x509.load_pem_x509_csr(make_request(ADDRESS, tmp_path / "key.pem"))
    assert first.public_key() == second.public_key()


def test_commands_enrol_and_revoke_by_path(tmp_path: Path) -> None:
    keys = enrol_gateway(tmp_path / "ca", ADDRESS.tenancy.path, "gw-1", tmp_path / "out")
    assert keys.ca_file.read_bytes() == (tmp_path / "ca" / "ca.pem").read_bytes()
    assert keys.certificate_file.exists() and keys.key_file.exists()
    revoke_gateway(tmp_path / "ca", ADDRESS.tenancy.path, "gw-1", "lost")
    known = Authority.open(tmp_path / "ca").gateways()[ADDRESS.common_name]
    assert known.status is GatewayStatus.REVOKED
    with pytest.raises(PeerRefused):
        enrol_gateway(tmp_path / "ca", "hz/yh/cq/River Side", "gw-1", tmp_path / "out2")


def test_two_writers_lose_nobody(tmp_path: Path) -> None:
    one, two = Authority.open(tmp_path), Authority.open(tmp_path)
    for number in range(6):
        address = GatewayAddress(Tenancy("a", "b", "c", "d"), f"gw-{number}")
        enrol_into((one, two)[number % 2], address, tmp_path / f"keys-{number}")
    assert len(one.gateways()) == 6 and one.gateways() == two.gateways()


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "gateways.json"])
def test_damage_is_a_clear_fault_and_nothing_is_made_over_it(tmp_path: Path, name: str) -> None:
    enrol_into(Authority.open(tmp_path), ADDRESS, tmp_path / "keys")
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(LocalFault, match=r"authority|register"):
        Authority.open(tmp_path).gateways()
    assert (tmp_path / name).read_bytes() == b"garbage"


def test_a_folder_that_cannot_be_made_is_a_clear_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalFault, match="cannot be used"):
        Authority.open(tmp_path / "file" / "ca")
    with pytest.raises(LocalFault, match="key"):
        make_request(ADDRESS, tmp_path / "file" / "key.pem")


def test_no_key_material_is_logged(tmp_path: Path) -> None:
    with capture_logs() as logs:
        authority = Authority.open(tmp_path / "ca")
        enrol_into(authority, ADDRESS, tmp_path / "keys")
        authority.revoke(ADDRESS, "test")
    text = repr(logs)
    assert len(logs) >= 3 and "PRIVATE" not in text and "BEGIN" not in text
