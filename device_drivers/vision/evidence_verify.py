"""~ `tocsin evidence verify`: whether a folder of evidence is what the gateway wrote. No network, no secret."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from device_drivers.vision.evidence import (
    FIRST,
    ChainHead,
    EvidenceRecord,
    check_chain,
    is_canonical,
    parse_head,
    parse_holds,
    parse_record,
    signature_fits,
)
from device_drivers.vision.evidence_folder import CHAIN, HEAD, HOLDS, PICTURES, PUBLIC, hash_of
from device_drivers.vision.evidence_store import PRUNED
from device_model.errors import ConfigError, Finding, PeerGarbled

CHAIN_BYTES_MAX = 512 * 1024 * 1024


class Verification(msgspec.Struct, frozen=True):
    """What `tocsin evidence verify` says. trusted: whether the key was given by the person who asks, and not merely
    found beside the files. anchor: number and hash of the last record: written down elsewhere, it shows later that
    nothing was cut off even by somebody who has the key."""

    ok: bool
    records: int
    files: int
    key: str
    trusted: bool
    problems: tuple[str, ...]
    gaps: tuple[str, ...]
    anchor: str = ""

    def text(self) -> str:
        """For people."""
        lines = [
            f"{'ok' if self.ok else 'NOT OK'}: {self.records} records, {self.files} files, key {self.key[:16]}…"
            + ("" if self.trusted else " (found beside the files: compare it with the one that the gateway shows)"),
            f"anchor: {self.anchor}",
        ]
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"declared gap: {gap}" for gap in self.gaps]
        return "\n".join(lines)


def verify(path: Path, key: str = "", anchor: str = "") -> Verification:
    """Check a folder, or the folder that a chain or clip lies in. anchor: "number:hash" as an earlier check told it.

    Raises ConfigError where there is nothing to check.
    """
    folder = path if path.is_dir() else path.parent
    octets, public = _chain_and_key(folder, key.strip().lower())
    lines = octets.split(b"\n")
    problems = [] if lines.pop() == b"" else ["the last record is cut off"]
    if octets and problems:
        lines.append(octets.rpartition(b"\n")[2])
    found = [file for file in sorted(folder.iterdir()) if file.is_file()]
    hashes = {file.name: hash_of(file) for file in found if file.suffix.lower() in PICTURES}
    records: list[EvidenceRecord] = []
    for line in lines:
        with contextlib.suppress(PeerGarbled):
            records.append(parse_record(line))
    pruned = frozenset(name for r in records if r.name == PRUNED for name in r.note.split())
    problems += check_chain(lines, public, hashes, pruned)
    problems += _head_problems(folder, records, public) + _hold_problems(folder, public)
    problems += _anchor_problems(anchor, records)
    named = {f.name for r in records for f in r.files}
    if not path.is_dir() and path.name != CHAIN and path.name not in named:
        problems.append(f"{path.name} stands in no record")
    gaps = tuple(f"{r.id}: {gap.why}" for r in records for gap in r.gaps)
    return Verification(
        not problems,
        len(lines),
        len(hashes),
        public,
        bool(key),
        tuple(dict.fromkeys(problems)),
        gaps,
        f"{len(records)}:{records[-1].digest() if records else FIRST}",
    )


def _chain_and_key(folder: Path, key: str) -> tuple[bytes, str]:
    chain = folder / CHAIN
    try:
        if chain.stat().st_size > CHAIN_BYTES_MAX:
            raise ConfigError([Finding(str(chain), 0, 0, "larger than 512 MiB", "split the folder by year")])
        octets = chain.read_bytes()
        return octets, key or (folder / PUBLIC).read_text(encoding="ascii", errors="replace").removesuffix("\n")
    except OSError as error:
        remedy = f"give the evidence folder, with {CHAIN} and {PUBLIC} in it"
        raise ConfigError([Finding(str(error.filename), 0, 0, str(error.strerror), remedy)]) from error


def _head_problems(folder: Path, records: list[EvidenceRecord], key: str) -> list[str]:
    """Whether the chain goes at least as far as its head says. After a kill it may go further."""
    try:
        octets = (folder / HEAD).read_bytes()
    except OSError:
        return [f"{HEAD} is missing: records may have been cut off at the end"]
    try:
        head = parse_head(octets)
    except PeerGarbled as error:
        return [f"{HEAD}: {error}"]
    if not signature_fits(head, key) or not is_canonical(head, octets):
        return [f"{HEAD}: was changed"]
    return [] if _reaches(records, head) else [f"records were cut off at the end: {head.count} stood in the chain"]


def _reaches(records: list[EvidenceRecord], head: ChainHead) -> bool:
    if not head.count:
        return head.digest == FIRST
    return len(records) >= head.count and records[head.count - 1].digest() == head.digest


def _hold_problems(folder: Path, key: str) -> list[str]:
    try:
        octets = (folder / HOLDS).read_bytes()
        holds = parse_holds(octets)
    except FileNotFoundError:
        return []
    except (OSError, PeerGarbled) as error:
        return [f"{HOLDS}: {error}"]
    return [] if signature_fits(holds, key) and is_canonical(holds, octets) else [f"{HOLDS}: was changed"]


def _anchor_problems(anchor: str, records: list[EvidenceRecord]) -> list[str]:
    if not anchor:
        return []
    number, _, digest = anchor.strip().partition(":")
    if not number.isascii() or not number.isdigit() or len(number) > 9 or len(digest) != 64:
        raise ConfigError([Finding("--anchor", 0, 0, f"{anchor!r} is no anchor", "number:hash as told before")])
    return [] if _reaches(records, ChainHead(int(number), digest)) else [f"the chain does not hold anchor {number}"]
