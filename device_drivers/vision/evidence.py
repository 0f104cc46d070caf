"""Evidence as a chain that a stranger can check: what was seen, by which model, with which limits, nothing altered.

```
 record n−1 ──hash──► record n ──hash──► record n+1          one line of JSON each, in chain.jsonl
                        │ SHA-256 of clip.mp4, snapshot.jpg
                        └ Ed25519 of the gateway's evidence key
```
Every record names the hash of the one before it and of every file it stands for, and is signed. A changed byte in a
file breaks its hash; a changed record breaks its signature; a record that was taken out breaks the chain. A signed
head says how far the chain goes.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from device_drivers.vision.pooling import Spot
from device_model.errors import PeerGarbled

RECORD_BYTES_MAX = 256 * 1024
FIRST = "0" * 64  # what the first record of a chain names as the one before it


class EvidenceFile(msgspec.Struct, frozen=True):
    """A file that a record stands for. name: beside the chain, no folders."""

    name: str
    sha256: str
    size: int


class EvidenceGap(msgspec.Struct, frozen=True):
    """Time that the clip should hold and does not, and why: said instead of smoothed over."""

    from_us: int
    to_us: int
    why: str


class EvidenceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of evidence. Times are µs since 1970 UTC.

    from_us, to_us: what the clip holds; gaps: what it lacks of the time asked for. boxes: by class. sensors:
    readings of the moment as "point: value unit". head_sha256: of what the site taught the model, "" nothing.
    previous: hash of the record before. key, signature: of the gateway.
    """

    id: str
    camera: str
    zone: str
    name: str
    decided_us: int
    from_us: int
    to_us: int
    scores: dict[str, float]
    thresholds: dict[str, float]
    model: str
    model_sha256: str
    previous: str
    files: tuple[EvidenceFile, ...] = ()
    boxes: dict[str, tuple[Spot, ...]] = {}
    gaps: tuple[EvidenceGap, ...] = ()
    sensors: dict[str, str] = {}
    incident: str = ""
    note: str = ""
    head_sha256: str = ""
    key: str = ""
    signature: str = ""

    def signed_bytes(self) -> bytes:
        """What the signature is over: everything but itself."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="deterministic")

    def digest(self) -> str:
        """What the next record names as `previous`: over the signature too."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


class ChainHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a chain goes at least. count: records; digest: of the last of them, FIRST where there is none."""

    count: int
    digest: str
    key: str = ""
    signature: str = ""

    def signed_bytes(self) -> bytes:
        """What the signature is over: everything but itself."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="deterministic")


class HoldList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Legal holds: id of a record or an incident to the reason, with who holds it."""

    holds: dict[str, str]
    key: str = ""
    signature: str = ""

    def signed_bytes(self) -> bytes:
        """What the signature is over: everything but itself."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="deterministic")


Signed = TypeVar("Signed", EvidenceRecord, ChainHead, HoldList)


def sign(record: Signed, key: Ed25519PrivateKey) -> Signed:
    """With the key's public half and its signature."""
    public = key.public_key().public_bytes_raw().hex()
    named = msgspec.structs.replace(record, key=public, signature="")
    return msgspec.structs.replace(named, signature=key.sign(named.signed_bytes()).hex())


def is_canonical(record: EvidenceRecord | ChainHead | HoldList, octets: bytes) -> bool:
    """Whether these bytes are how we write it, so that not even a blank can be slipped in."""
    return msgspec.json.encode(record, order="deterministic") == octets


def parse_head(octets: bytes) -> ChainHead:
    """Raises PeerGarbled."""
    try:
        return msgspec.json.decode(octets, type=ChainHead)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PeerGarbled(f"no head of a chain: {error}") from error


def parse_holds(octets: bytes) -> HoldList:
    """Raises PeerGarbled. What an earlier release wrote has no signature: it holds all the same."""
    try:
        return msgspec.json.decode(octets, type=HoldList)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            return HoldList(msgspec.json.decode(octets, type=dict[str, str]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise PeerGarbled(f"no list of holds: {error}") from error


def parse_record(line: bytes) -> EvidenceRecord:
    """Raises PeerGarbled where a line is no record."""
    if len(line) > RECORD_BYTES_MAX:
        raise PeerGarbled(f"{len(line)} bytes are no evidence record")
    try:
        return msgspec.json.decode(line, type=EvidenceRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PeerGarbled(f"no evidence record: {error}") from error


def signature_fits(record: EvidenceRecord | ChainHead | HoldList, key: str) -> bool:
    """Whether the record was signed with that key (public half, hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            bytes.fromhex(record.signature), record.signed_bytes()
        )
    except (InvalidSignature, ValueError):
        return False
    # Hex has two spellings of a letter; only one of them is ours.
    return record.key == key and record.signature == record.signature.lower()


def check_chain(
    lines: list[bytes],
    key: str,
    hash_of: dict[str, tuple[str, int]],
    pruned: frozenset[str] = frozenset(),
) -> list[str]:
    """Everything that does not fit, in words with the record's number; an empty list says that all does.

    hash_of: SHA-256 and size of every file found beside the chain. pruned: files that a signed quota record names as
    taken out. The whole line is compared with its own canonical form, so that not even a blank can be slipped in.
    """
    problems: list[str] = []
    previous = FIRST
    claimed: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            record = parse_record(line)
        except PeerGarbled as error:
            problems.append(f"record {number}: {error}")
            previous = ""
            continue
        if not is_canonical(record, line):
            problems.append(f"record {number}: bytes were changed that carry no meaning")
        if not signature_fits(record, key):
            problems.append(f"record {number} ({record.id}): the signature does not fit")
        if record.previous != previous:
            problems.append(
                f"record {number} ({record.id}): does not follow the one before it: something was taken "
                "out, put in or changed"
            )
        previous = record.digest()
        for file in record.files:
            claimed.add(file.name)
            found = hash_of.get(file.name)
            if found is None and file.name not in pruned:
                problems.append(f"record {number} ({record.id}): {file.name} is missing")
            elif found is not None and found != (file.sha256, file.size):
                problems.append(f"record {number} ({record.id}): {file.name} was changed")
    problems.extend(f"{name} stands in no record" for name in sorted(set(hash_of) - claimed))
    return problems


class Kept(msgspec.Struct, frozen=True):
    """One record's files as the quota sees them. held: a legal hold, or the incident is still open."""

    id: str
    decided_us: int
    size: int
    held: bool


def to_prune(kept: list[Kept], quota: int, wanted: int = 0) -> list[str]:
    """Which records' files go so that `wanted` more bytes fit: oldest first, never those that are held.

    When only held ones are left nothing more goes: the new clip is then refused and that is declared, as evidence of
    an open incident is worth more than a newer clip of something else.
    """
    total = sum(item.size for item in kept) + wanted
    out = []
    for item in sorted(kept, key=lambda k: k.decided_us):
        if total <= quota:
            break
        if not item.held:
            out.append(item.id)
            total -= item.size
    return out
