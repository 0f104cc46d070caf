"""The audit of people: records in a chain of hashes (pure).

    record n: when, who, what, on what, where in the city, why, from where, outcome
              before = hash of n-1          hash = SHA-256 over all of that, before included

Whoever changes, removes, inserts or reorders a record has to make all later ones anew, and then the head differs from
the one that was printed (the anchor: number and hash of the last record, once a day on the log and wherever people
write it down). A cut tail shows beside an anchor only: nothing in a file can say what is no longer in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

FAULTS_MAX = 20  # a broken chain says where; a thousand lines more would not help
TEXT_MAX = 500
_BEGINNING = ""


class Record(msgspec.Struct, frozen=True):
    """One record. at_us: wall time. path: the tenancy path that it concerns, "" for all. outcome: as answered."""

    number: int
    at_us: int
    who: str
    what: str
    subject: str
    path: str
    why: str
    where: str
    outcome: str
    before: str
    hash: str = ""


class Anchor(msgspec.Struct, frozen=True):
    """What somebody wrote down of the chain: the record with this number had this hash."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


class Verdict(msgspec.Struct, frozen=True):
    """What a check found. faults: empty for a chain that holds."""

    records: int
    head: Anchor
    faults: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the chain holds."""
        return not self.faults


def chained(head: Anchor, record: Record) -> Record:
    """The record as it stands after that head."""
    placed = msgspec.structs.replace(record, number=head.number + 1, before=head.hash, hash="",
                                     **{name: getattr(record, name)[:TEXT_MAX] for name in
                                        ("who", "what", "subject", "path", "why", "where", "outcome")})
    return msgspec.structs.replace(placed, hash=digest(placed))


def digest(record: Record) -> str:
    """The hash of a record: over its fields in their order, without the hash itself."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.astuple(record)[:-1])).hexdigest()


def line(record: Record) -> bytes:
    """The record as it stands in a file."""
    return msgspec.json.encode(record) + b"\n"


def parse_anchor(text: str) -> Anchor:
    """`number:hash`, as printed. Raises ValueError."""
    number, _, digest_ = text.strip().partition(":")
    if not number.isascii() or not number.isdigit() or len(digest_) != 64:
        raise ValueError(f"{text!r} is no anchor: number:hash, as `tocsin audit verify` prints it")
    return Anchor(int(number), digest_)


def verify(lines: Iterable[bytes], anchors: Sequence[Anchor] = ()) -> Verdict:
    """Hold a chain against itself and against what was written down. Lines as in the files, in their order."""
    head, count = Anchor(0, _BEGINNING), 0
    faults: list[str] = []
    wanted = {anchor.number: anchor.hash for anchor in anchors}
    decoder = msgspec.json.Decoder(Record, strict=True)

    def fault(text: str) -> None:
        if len(faults) < FAULTS_MAX:
            faults.append(text)

    for at, raw in enumerate(lines, 1):
        try:
            record = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            fault(f"line {at}: no record; it was changed or cut (after record {head.number})")
            continue
        count += 1
        # The bytes themselves, not only what they mean: nothing may be added beside the fields.
        if digest(record) != record.hash or line(record) != raw.rstrip(b"\n") + b"\n":
            fault(f"record {record.number}: changed")
        elif record.number != head.number + 1:
            fault(f"records {head.number + 1} to {record.number - 1}: missing" if record.number > head.number
                  else f"record {record.number}: stands after {head.number}, inserted or reordered")
        elif record.before != head.hash:
            fault(f"record {record.number}: does not follow the one before it")
        if (wanted_hash := wanted.pop(record.number, None)) is not None and wanted_hash != record.hash:
            fault(f"record {record.number}: not the one that was written down")
        head = Anchor(record.number, record.hash)
    for number in sorted(wanted):
        fault(f"record {number}: written down, but not here; the tail was cut off")
    return Verdict(count, head, tuple(faults))
