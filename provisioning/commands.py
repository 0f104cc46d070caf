"""Plain functions behind `tocsin cloud enrol` and the demo's set-up (I/O)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from device_model.errors import LocalFault
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from provisioning.authority import GATEWAY_DAYS, Authority, make_request, write_public


class GatewayKeys(msgspec.Struct, frozen=True):
    """Where a gateway's keys lie; the names of `cloud:` in a site file."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


def enrol_into(
    authority: Authority, address: GatewayAddress, folder: Path, *, days: float = GATEWAY_DAYS,
) -> GatewayKeys:
    """Enrol a gateway whose keys lie in `folder`: key.pem (0600, kept if there), certificate.pem, ca.pem.

    Raises LocalFault (folder), PeerRefused (an address that cannot be enrolled).
    """
    keys = GatewayKeys(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
    certificate = authority.enrol(address, make_request(address, keys.key_file), days=days)
    try:
        write_public(keys.certificate_file, certificate)
        write_public(keys.ca_file, authority.ca_pem)
    except OSError as error:
        raise LocalFault(f"cannot write the gateway's certificate: {error}") from error
    return keys


def enrol_gateway(authority_folder: Path, path: str, gateway: str, out: Path) -> GatewayKeys:
    """Enrol by hand: path is city/district/street/site. A running broker notices within a second.

    Raises LocalFault, PeerRefused; ValueError where `path` does not have four parts.
    """
    address = GatewayAddress(Tenancy.of(path), gateway)
    return enrol_into(Authority.open(authority_folder), address, out)


def revoke_gateway(authority_folder: Path, path: str, gateway: str, why: str) -> None:
    """Shut a gateway out; a running broker ends its session within a second. Raises LocalFault, PeerRefused."""
    Authority.open(authority_folder).revoke(GatewayAddress(Tenancy.of(path), gateway), why)
