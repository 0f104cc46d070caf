"""Grow the saved corpus: python -m tests.fuzz.grow [EXECUTIONS] [TARGET …]. Keeps what reached lines of the product
that nothing before it reached; a failure is printed and kept as a file, so that the next test run shows it."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from pathlib import Path
from random import Random

from tests.fuzz.mutate import lines_of, mutated
from tests.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
KEPT_MAX, KEPT_BYTES_MAX = 40, 2048  # of one target, so that the repository stays small


def saved(target: Target) -> list[bytes]:
    """The corpus of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / target.name).glob("*"))]


def grow(target: Target, executions: int) -> int:
    """How many inputs were added."""
    pool, known, added = [*target.seeds(), *saved(target)], set(), 0
    for octets in pool:
        with contextlib.suppress(*target.raises):
            known |= lines_of(lambda octets=octets: target.run(octets))
    random = Random(target.name)
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(executions):
        octets, failure, reached = mutated(random, pool), "", frozenset()
        try:
            reached = lines_of(lambda octets=octets: _quiet(target, octets))
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        if failure:
            print(f"{target.name}: {failure}: {octets[:80]!r}")
        if (failure or reached - known) and len(octets) <= KEPT_BYTES_MAX and len(list(folder.iterdir())) < KEPT_MAX:
            (folder / hashlib.sha256(octets).hexdigest()[:16]).write_bytes(octets)
            pool.append(octets)
            added += 1
        known |= reached
    return added


def _quiet(target: Target, octets: bytes) -> None:
    with contextlib.suppress(*target.raises):
        target.run(octets)


if __name__ == "__main__":
    names = sys.argv[2:]
    for each in TARGETS:
        if not names or each.name in names:
            print(each.name, grow(each, int(sys.argv[1]) if len(sys.argv) > 1 else 300))
