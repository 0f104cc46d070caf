"""LearntFile (I/O): what the lines have learnt and counted, kept beside the journal. Safe to lose.

    runtime.learnt() ──► changed? ──► a thread of its own: temporary file, fsync, rename
    at the start: the file, if it is there and ours; else nothing, said once

A disk that hangs takes that thread with it and nothing else: the gateway goes on, and stops when it is told to.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import structlog

from device_drivers.line_memory import BYTES_MAX, join_lines, split_lines

log = structlog.get_logger(__name__)
KEEP_EVERY_S = 600.0  # a counter rolls over once in years, a refusal is taught again in seconds; an SD card wears


class LearntFile:
    """One small file. `keep` never waits for the disk."""

    def __init__(self, journal_path: str | Path) -> None:
        self._path = Path(f"{journal_path}.learnt")
        self._kept = b""
        self._writer: threading.Thread | None = None

    def read(self) -> dict[str, bytes]:
        """Line id → its memory; empty when there is no file, or none that can be read."""
        try:
            with self._path.open("rb") as file:
                octets = file.read(16 * BYTES_MAX + 1)
            lines = split_lines(octets)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as problem:
            log.warning("what the lines had learnt cannot be read, they learn anew", path=str(self._path),
                        reason=str(problem))
            return {}
        self._kept = octets
        return lines

    def keep(self, lines: Mapping[str, bytes]) -> bool:
        """Write it if it changed; False when there is nothing to write, or the disk still has the last one."""
        octets = join_lines(lines)
        if octets == self._kept or (self._writer is not None and self._writer.is_alive()):
            return False
        # Not a thread of the event loop's pool: Python waits for those at the end, also for one that hangs.
        self._writer = threading.Thread(target=self._write, args=(octets,), daemon=True, name="learnt")
        self._writer.start()
        return True

    def wait(self, limit_s: float) -> None:
        """Until the disk has it, for tests and a clean stop."""
        if self._writer is not None:
            self._writer.join(limit_s)

    def _write(self, octets: bytes) -> None:
        aside = self._path.with_name(f"{self._path.name}.new")
        try:
            with aside.open("wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
        except OSError as problem:
            log.warning("what the lines have learnt cannot be kept", path=str(self._path), reason=str(problem))
            return
        self._kept = octets
