"""Plain functions behind `tocsin site key|sign` (I/O)."""

from __future__ import annotations

from pathlib import Path

from device_model.errors import LocalFault
from device_model.library import read_site
from device_model.messages import GatewayAddress
from provisioning.authority import write_private, write_public
from provisioning.site_signing import make_site_key, sign_site


def make_key(folder: Path) -> tuple[Path, Path]:
    """(private, public) key files in that folder; a key that is there is never overwritten. Raises LocalFault."""
    private, public = folder / "site-key.pem", folder / "site-key.pub.pem"
    if private.exists():
        raise LocalFault(f"{private} is there already: every gateway that pinned it would refuse a new one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        secret, known = make_site_key()
        write_private(private, secret)
        write_public(public, known)
    except OSError as error:
        raise LocalFault(f"the key cannot be written to {folder}: {error}") from error
    return private, public


def sign_file(site_file: Path, version: int, key: Path) -> tuple[GatewayAddress, bytes]:
    """The message for the gateway that the file names. Raises ConfigError with all its findings, LocalFault."""
    site = read_site(site_file)
    address = GatewayAddress(site.tenancy, site.gateway.id)
    try:
        return address, sign_site(site_file.read_text(encoding="utf-8"), version, address, key.read_bytes())
    except (OSError, ValueError) as error:
        raise LocalFault(f"{site_file} cannot be signed: {error}") from error
