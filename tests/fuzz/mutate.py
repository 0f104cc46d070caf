"""Mutations, and which lines of the product an input reaches: a coverage-guided fuzzer for small parsers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

ROOT = str(Path(__file__).resolve().parents[2])
SIZE_MAX = 4096
LINES_MAX = 3_000_000  # traced lines of one input: past it the input counts as a hang
_WORDS = (b"\x00", b"\xff", b"\x80", b"##", b"@@", b"&&", b"0000", b"9999", b"-1", b"1e309", b"NaN", b"{}", b"[[",
          b"]", b"\n", b": ", b'"', b"*a", b"&a ", b"true", b"null", b"\xed\xa0\x80", b"\xe7\x83\x9f", b"1" * 40)


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """A changed copy of one seed."""
    octets = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(octets) + 1)
        kind = random.randrange(6)
        if kind == 0 and octets:
            octets[at % len(octets)] ^= 1 << random.randrange(8)
        elif kind == 1:
            octets[at:at] = random.choice(_WORDS)
        elif kind == 2:
            del octets[at:at + random.randrange(1, 16)]
        elif kind == 3:
            other = random.choice(seeds)
            start = random.randrange(len(other) + 1)
            octets[at:] = other[start:]
        elif kind == 4:
            octets[at:at] = octets[at:at + random.randrange(1, 64)]
        elif octets:
            octets[at % len(octets)] = random.randrange(256)
    return bytes(octets[:SIZE_MAX])


class Hang(Exception):
    """An input kept its parser busy past every bound."""


def lines_of(run: Callable[[], object]) -> frozenset[tuple[str, int]]:
    """The product's lines that a call reaches. Hang where there is no end of them; else what the call raises."""
    reached: set[tuple[str, int]] = set()
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        name = frame.f_code.co_filename
        if not name.startswith(ROOT) or "/.venv/" in name or "/tests/" in name:
            return None
        if event == "line":
            count += 1
            reached.add((name, frame.f_lineno))
            if count > LINES_MAX:
                raise Hang(f"more than {LINES_MAX} lines")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return frozenset(reached)
