"""Signed numbers: what the cloud may change of a gateway's rules by itself. Pure; every byte is distrusted.

    asked, back-tested, approved by a second person ─► SignedNumbers (rule, name, value; gateway, version; signed by
                                                        the cloud's CA) ─► open_numbers ─► with_numbers(site file)

Nothing but numbers can be said in it: no device, no line, no output, no choice of packs. Whether a number lies within
its pack's bounds the gateway judges by the packs that it has itself. The version grows: no old one comes again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from device_model.messages import GatewayAddress

PAYLOAD_MAX = 64 * 1024
NUMBERS_MAX = 500
VERSION_MAX = 2**53 - 1
# A context of its own: what the CA signs here can never be taken for a certificate or for a word to a gateway.
_CONTEXT = b"tocsin numbers 1\0"
_RULE, _NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}"), re.compile(r"[A-Za-z0-9_-]{1,40}")
_VALUE = re.compile(r"[^\x00-\x1f]{1,60}")

Numbers = dict[str, dict[str, str]]  # rule id → name → value text, as in a site file


class SignedNumbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On the wire. gateway: common name; signature: hex, of the CA's key."""

    v: int
    gateway: str
    version: int
    numbers: Numbers
    signature: str


def sign_numbers(numbers: Numbers, version: int, address: GatewayAddress, sign: Callable[[bytes], str]) -> bytes:
    """The message for that gateway. sign: the authority's `sign_word`. ValueError: past the bounds."""
    _check(numbers, version)
    signature = sign(_signed(address.common_name, version, numbers))
    message = msgspec.json.encode(SignedNumbers(1, address.common_name, version, numbers, signature))
    if len(message) > PAYLOAD_MAX:
        raise ValueError(f"the numbers take {len(message)} bytes, {PAYLOAD_MAX} can be sent")
    return message


def open_numbers(payload: bytes, address: GatewayAddress, ca_pem: bytes) -> SignedNumbers:
    """What was sent, when our authority signed it for this gateway. ValueError says why not."""
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"numbers of {len(payload)} bytes exceed {PAYLOAD_MAX}")
    try:
        message = msgspec.json.decode(payload, type=SignedNumbers)
    except RecursionError as error:
        raise ValueError("the message is nested too deep") from error
    if message.v != 1:
        raise ValueError(f"numbers of form {message.v}; this program reads 1")
    key = x509.load_pem_x509_certificate(ca_pem).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("the authority's key is none of ours")
    _check(message.numbers, message.version)
    try:
        key.verify(bytes.fromhex(message.signature), _signed(message.gateway, message.version, message.numbers),
                   ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise ValueError("the numbers are not signed by the authority of this gateway's cloud") from error
    if message.gateway != address.common_name:
        raise ValueError(f"the numbers are for {message.gateway}, this is {address.common_name}")
    return message


def with_numbers(text: str, numbers: Mapping[str, Mapping[str, str]]) -> str:
    """The site file with those numbers; all but its `rules:` block stays to the letter. ValueError: it would not."""
    whole = _mapping(text)
    rules = dict(whole.get("rules") or {})
    parameters = {key: dict(entry or {}) for key, entry in (rules.get("parameters") or {}).items()}
    for rule, own in numbers.items():
        parameters.setdefault(rule, {}).update(own)
    rules["parameters"] = parameters
    block = yaml.safe_dump({"rules": rules}, allow_unicode=True, sort_keys=False)
    lines = text.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if line.startswith("rules:")), None)
    if start is None:
        changed = text.rstrip("\n") + "\n\n" + block
    else:
        after = range(start + 1, len(lines))
        end = next((n for n in after if lines[n][:1] not in (" ", "\t", "\n", "#", "-")), len(lines))
        changed = "".join(lines[:start]) + block + ("\n" if end < len(lines) else "") + "".join(lines[end:])
    # The text was cut by its look: what it means must be the same but for the numbers.
    if _mapping(changed) != {**whole, "rules": rules}:
        raise ValueError("the numbers cannot be put into this site file without changing more; write `rules:` as a "
                         "block of its own")
    return changed


def without_known(numbers: Mapping[str, Mapping[str, str]], running: Mapping[str, Mapping[str, str]]) -> Numbers:
    """Those of them that do not run."""
    left = {rule: {name: value for name, value in own.items() if running.get(rule, {}).get(name) != value}
            for rule, own in numbers.items()}
    return {rule: own for rule, own in left.items() if own}


def merged(base: Mapping[str, Mapping[str, str]], numbers: Mapping[str, Mapping[str, str]]) -> Numbers:
    """The base with those numbers put in."""
    return {rule: {**base.get(rule, {}), **numbers.get(rule, {})} for rule in (*base, *numbers)}


def _mapping(text: str) -> dict[str, Any]:
    try:
        whole = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"the site file is no YAML: {error}") from error
    if not isinstance(whole, dict):
        raise ValueError("the site file is no mapping")
    return whole


def _check(numbers: Numbers, version: int) -> None:
    said = [(rule, name, value) for rule, own in numbers.items() for name, value in own.items()]
    if not 0 < len(said) <= NUMBERS_MAX or not 0 < version <= VERSION_MAX:
        raise ValueError(f"1 to {NUMBERS_MAX} numbers and a version of 1 or more are sent")
    for rule, name, value in said:
        if not (_RULE.fullmatch(rule) and _NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise ValueError(f"{rule!r} {name!r} {value!r} is no number of a rule")


def _signed(gateway: str, version: int, numbers: Numbers) -> bytes:
    plain = sorted((rule, sorted(own.items())) for rule, own in numbers.items())
    return _CONTEXT + msgspec.json.encode([gateway, version, plain])
