"""Trace: everything that happened, in order, as bytes whose hash two runs of one seed must share.

    link, line, disk, stream, store, output, fault ──note()──► one line each ──► sha256, and a file if wanted
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import IO


class Trace:
    """The whole story of one run. `now_us`: virtual microseconds since the start."""

    def __init__(self, now_us: Callable[[], int], file: IO[bytes] | None = None) -> None:
        self._now_us = now_us
        self._file = file
        self._hash = hashlib.sha256()
        self.counts: Counter[str] = Counter()

    def note(self, who: str, what: str, detail: str = "", payload: bytes = b"") -> None:
        """One event: who it happened to, what, and every byte that was moved by it."""
        self.counts[what] += 1
        line = b"%d %s %s %s %s\n" % (self._now_us(), who.encode(), what.encode(), detail.encode(), payload)
        self._hash.update(line)
        if self._file is not None:
            self._file.write(line)

    def digest(self) -> str:
        """sha256 of all lines so far, in hex."""
        return self._hash.hexdigest()
