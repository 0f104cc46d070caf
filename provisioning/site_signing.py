"""Signed site files: what the cloud may send a gateway to run by. Pure; every byte is distrusted.

    tocsin site sign ─► SignedSite (text, gateway, version, Ed25519 signature over all of it) ─► open_signed ─► text
                                                                      refused: bad signature, other gateway

The public key is pinned on the gateway when it is enrolled: who owns the broker can hold a file back, and cannot make
one. The version grows with every file, so that an old one cannot be played again.
"""

from __future__ import annotations

import base64
import binascii
import zlib

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from device_model.messages import GatewayAddress

TEXT_MAX = 4 * 1024 * 1024  # 15,000 devices in one file
PAYLOAD_MAX = 700 * 1024  # packed; nats-server's messages end at 1 MiB
VERSION_MAX = 2**53 - 1
_CONTEXT = b"tocsin site file v1\0"  # so that this signature can never be taken for one over something else


class SignedSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On the wire. gateway: common name, city.district.street.site.gateway; packed: zlib and base64 of the text."""

    v: int
    gateway: str
    version: int
    packed: str
    signature: str


class SiteText(msgspec.Struct, frozen=True):
    """A site file whose signature held."""

    gateway: str
    version: int
    text: str


def make_site_key() -> tuple[bytes, bytes]:
    """(private key, public key), PEM. The private one never leaves who signs."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
    return private, key.public_key().public_bytes(serialization.Encoding.PEM,
                                                  serialization.PublicFormat.SubjectPublicKeyInfo)


def sign_site(text: str, version: int, address: GatewayAddress, private_pem: bytes) -> bytes:
    """The message for that gateway. ValueError: not an Ed25519 key, or a text or version past the bounds."""
    key = serialization.load_pem_private_key(private_pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the key is no Ed25519 key")
    octets = text.encode()
    if len(octets) > TEXT_MAX or not 0 < version <= VERSION_MAX:
        raise ValueError(f"a site file has at most {TEXT_MAX} bytes, its version is 1 or more")
    signature = key.sign(_signed(address.common_name, version, octets))
    message = msgspec.json.encode(SignedSite(
        1, address.common_name, version, base64.b64encode(zlib.compress(octets, 9)).decode(),
        base64.b64encode(signature).decode()))
    if len(message) > PAYLOAD_MAX:
        raise ValueError(f"packed it has {len(message)} bytes, {PAYLOAD_MAX} can be sent")
    return message


def open_signed(payload: bytes, address: GatewayAddress, public_pem: bytes) -> SiteText:
    """The text, when this key signed it for this gateway. ValueError says why not; nothing is unpacked past its bound
    and nothing is believed before its signature holds."""
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"a signed site file of {len(payload)} bytes exceeds {PAYLOAD_MAX}")
    key = serialization.load_pem_public_key(public_pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("the pinned key is no Ed25519 key")
    message = msgspec.json.decode(payload, type=SignedSite)
    if message.v != 1:
        raise ValueError(f"signed site file of form {message.v}; this program reads 1")
    try:
        unpacker = zlib.decompressobj()
        octets = unpacker.decompress(base64.b64decode(message.packed, validate=True), TEXT_MAX + 1)
        signature = base64.b64decode(message.signature, validate=True)
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"the signed site file is garbled: {error}") from error
    if len(octets) > TEXT_MAX or not unpacker.eof:
        raise ValueError("the signed site file is cut off or too large")
    try:
        key.verify(signature, _signed(message.gateway, message.version, octets))
    except InvalidSignature as error:
        raise ValueError("the signature is not by the key that was pinned at enrolment") from error
    if message.gateway != address.common_name:
        raise ValueError(f"the site file is for {message.gateway}, this is {address.common_name}")
    return SiteText(message.gateway, message.version, octets.decode())


def _signed(gateway: str, version: int, text: bytes) -> bytes:
    head = gateway.encode()
    return _CONTEXT + len(head).to_bytes(2, "big") + head + version.to_bytes(8, "big") + text
