"""Messages of claiming, renewing and handing in site files. Pure; every byte from the other end is distrusted.

    gateway                                   cloud                                     owner
       │ Offer: request, MAC by the code ───────►│ waits, at most an hour
       │                                         │◄────────────── code, site, gateway id ──┤ (right checked)
       │◄─── Grant: certificate, CA, time, MAC ──┤ signed by the CA
       │ Signed(renew | site), by its own key ──►│ key known from the enrolment
       │◄─── Word: certificate, time, signed by the CA ─┤

Nothing here rests on anybody's clock or on the transport: a box that believes in 1970 proves by the code or its key
who it is, and knows by the code or the CA's signature who answers. The nonce makes each answer an answer to this
question, so the time in it is a time that the cloud said just now.
"""

from __future__ import annotations

import hmac
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.claim_code import ClaimSecret

Kind = Literal["renew", "site", "fetch"]
UNCLAIMED = "unclaimed"  # the name in a request of a box that belongs nowhere yet; no certificate ever carries it
OFFER_BYTES_MAX = 16 * 1024
SIGNED_BYTES_MAX = 4 * 1024 * 1024  # a site file of 2 MiB, written as JSON
_OFFER, _GRANT, _ASK, _WORD = b"tocsin offer 1\0", b"tocsin grant 1\0", b"tocsin ask 1\0", b"tocsin word 1\0"


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gateway waits to be claimed. offer: from its code; request: PEM; nonce: hex; mac: hex; model: for people."""

    v: int
    offer: str
    request: str
    nonce: str
    mac: str
    model: str = ""
    asset: str = ""


class Grant(msgspec.Struct, frozen=True):
    """The answer to an offer whose code somebody with the right has typed. at_us: real time. known_site: the cloud
    has a site file of this gateway, which the box then asks for with its own key (a broken one was replaced)."""

    gateway: str
    certificate: str
    ca: str
    host: str
    port: int
    site_name_en: str
    site_name_zh: str
    at_us: int
    mac: str
    known_site: bool = False


class SignedAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an enrolled gateway asks, signed by its key. body: the request for renewal (PEM), or the site file that it
    hands in; fetch asks for the one that it handed in last.
    clock_us: what its own clock says, for the log alone."""

    v: int
    gateway: str
    kind: Kind
    body: str
    nonce: str
    clock_us: int
    signature: str


class Word(msgspec.Struct, frozen=True):
    """What the cloud answers, signed by its CA over the nonce. body: the new certificate, the site file, or ""."""

    gateway: str
    body: str
    nonce: str
    at_us: int
    signature: str


def make_offer(secret: ClaimSecret, request_pem: bytes, nonce: str, *, model: str = "", asset: str = "") -> bytes:
    """The offer as bytes."""
    request = request_pem.decode()
    offer = Offer(1, secret.offer, request, nonce, _mac(secret, _OFFER, request, nonce, model, asset), model, asset)
    return msgspec.json.encode(offer)


def read_offer(payload: bytes) -> Offer:
    """An offer whose form is right; ValueError says what is not. Its MAC can be judged only with the code."""
    if len(payload) > OFFER_BYTES_MAX:
        raise ValueError("the offer is too large")
    offer = msgspec.json.decode(payload, type=Offer)
    if offer.v != 1 or not _is_hex(offer.offer, 32) or not _is_hex(offer.nonce, 32):
        raise ValueError("the offer is not of this form")
    if len(offer.model) > 80 or len(offer.asset) > 80:
        raise ValueError("the offer's names are too long")
    return offer


def offer_holds(offer: Offer, secret: ClaimSecret) -> bool:
    """Whether the box that made this offer knows the code."""
    expected = _mac(secret, _OFFER, offer.request, offer.nonce, offer.model, offer.asset)
    return offer.offer == secret.offer and hmac.compare_digest(expected.encode(), offer.mac.encode())


def make_grant(secret: ClaimSecret, nonce: str, grant: Grant) -> Grant:
    """The grant with its MAC."""
    return msgspec.structs.replace(grant, mac=_mac(secret, _GRANT, nonce, *_words_of(grant)))


def open_grant(payload: bytes, secret: ClaimSecret, nonce: str) -> Grant:
    """The grant, when it comes from a cloud that a person gave this code to. ValueError says why not."""
    grant = msgspec.json.decode(payload, type=Grant)
    expected = _mac(secret, _GRANT, nonce, *_words_of(grant))
    if not hmac.compare_digest(expected.encode(), grant.mac.encode()):
        raise ValueError("the answer was not made with this claim code: somebody else answers in the cloud's place")
    return grant


def _words_of(grant: Grant) -> tuple[str, ...]:
    return (grant.gateway, grant.certificate, grant.ca, grant.host, str(grant.port), grant.site_name_en,
            grant.site_name_zh, str(grant.at_us), str(grant.known_site))


def make_ask(
    key_pem: bytes, gateway: str, kind: Kind, body: str, nonce: str, clock_us: int,
) -> bytes:
    """A signed ask as bytes. ValueError where the key is none of ours."""
    key = serialization.load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the gateway's key is no P-256 key")
    signature = key.sign(_joined(_ASK, gateway, kind, body, nonce, str(clock_us)), ec.ECDSA(hashes.SHA256()))
    return msgspec.json.encode(SignedAsk(1, gateway, kind, body, nonce, clock_us, signature.hex()))


def read_ask(payload: bytes) -> SignedAsk:
    """An ask whose form is right; ValueError says what is not. Not believed before `ask_holds`."""
    if len(payload) > SIGNED_BYTES_MAX:
        raise ValueError("too large")
    ask = msgspec.json.decode(payload, type=SignedAsk)
    if ask.v != 1 or not _is_hex(ask.nonce, 32) or len(ask.gateway) > 64:
        raise ValueError("not of this form")
    return ask


def ask_holds(ask: SignedAsk, key_der: bytes) -> bool:
    """Whether the holder of that key (public, DER) signed it."""
    key = serialization.load_der_public_key(key_der)
    payload = _joined(_ASK, ask.gateway, ask.kind, ask.body, ask.nonce, str(ask.clock_us))
    return isinstance(key, ec.EllipticCurvePublicKey) and _signed(key, ask.signature, payload)


def word_to_sign(gateway: str, body: str, nonce: str, at_us: int) -> bytes:
    """What the CA signs for a Word."""
    return _joined(_WORD, gateway, body, nonce, str(at_us))


def open_word(payload: bytes, ca_pem: bytes, gateway: str, nonce: str) -> Word:
    """The cloud's word, when our CA signed it for this question. Dates are not judged: that is what is asked for.
    ValueError says why not."""
    word = msgspec.json.decode(payload, type=Word)
    key = x509.load_pem_x509_certificate(ca_pem).public_key()
    if word.nonce != nonce or word.gateway != gateway:
        raise ValueError("this answers another question")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _signed(
            key, word.signature, word_to_sign(word.gateway, word.body, word.nonce, word.at_us)):
        raise ValueError("the answer is not signed by the cloud's own authority")
    return word


def _signed(key: ec.EllipticCurvePublicKey, signature: str, payload: bytes) -> bool:
    try:
        key.verify(bytes.fromhex(signature), payload, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _mac(secret: ClaimSecret, context: bytes, *words: str) -> str:
    return hmac.new(secret.key, _joined(context, *words), "sha256").hexdigest()


def _joined(context: bytes, *words: str) -> bytes:
    """Each word with its length, so that no two lists of words look the same."""
    return context + b"".join(len(octets).to_bytes(4, "big") + octets for octets in (w.encode() for w in words))


def _is_hex(text: str, length: int) -> bool:
    return len(text) == length and all(letter in "0123456789abcdef" for letter in text)
