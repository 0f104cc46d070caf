"""~ What people said of clips: a line a saying, never rewritten; undo is another line.

    {"clip": "yard-1-1700000000000", "labels": [0, 0, 0], "by": "Li Wei", "at_us": …, "source": "page"}
    {"clip": "yard-1-1700000000000", "undo": true, "by": "Li Wei", "at_us": …}

The last word on a clip counts; an operator's verdict on an incident never overrides a person who looked at the clip.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.record_folder import LABELS, append_line
from device_model.errors import ConfigError, Finding, LocalFault

PAGE, INCIDENT = "page", "incident"
BOOK_BYTES_MAX = 64 * 1024 * 1024
WHO_MAX = 80


class Saying(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. labels: in the order of CLASSES, 1 shown, 0 not, -1 not looked at; skipped: seen and not sure."""

    clip: str
    by: str
    at_us: int
    labels: tuple[int, ...] = ()
    source: str = PAGE
    incident: str = ""
    undo: bool = False
    skipped: bool = False


class LabelBook:
    """The labels of one folder. One writer at a time."""

    def __init__(self, folder: Path, now_us: Callable[[], int]) -> None:
        self._path, self._now_us = folder / LABELS, now_us
        self.broken = 0
        self._lines = self._read()

    def _read(self) -> list[Saying]:
        try:
            if self._path.stat().st_size > BOOK_BYTES_MAX:
                raise LocalFault(f"{self._path}: too large to be a label book; move it away")
            raw = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LocalFault(f"{self._path}: {error.strerror}") from error
        lines = []
        for line in raw:
            try:
                said = msgspec.json.decode(line, type=Saying)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.broken += 1  # half a line of a power cut: the ones before it stand
                continue
            lines.append(said)
        return lines

    def current(self) -> dict[str, Saying]:
        """The saying that counts, a clip."""
        stacks: dict[str, list[Saying]] = {}
        for said in self._lines:
            stack = stacks.setdefault(said.clip, [])
            if said.undo:
                if stack:
                    stack.pop()
            elif said.source == PAGE or not any(s.source == PAGE for s in stack):
                stack.append(said)
        return {clip: stack[-1] for clip, stack in stacks.items() if stack}

    def labelled(self) -> frozenset[str]:
        """Ids of clips with labels that can be learnt from."""
        return frozenset(clip for clip, said in self.current().items() if not said.skipped)

    def say(
        self,
        clip: str,
        labels: tuple[int, ...],
        by: str,
        *,
        source: str = PAGE,
        incident: str = "",
        skip: bool = False,
    ) -> Saying:
        """Add a line, synced. Raises ConfigError for labels that are none, LocalFault where the disk fails."""
        name = " ".join(by.split())[:WHO_MAX]
        if not name:
            raise ConfigError([Finding("by", 0, 0, "nobody's name", "say who labels")])
        if not skip and (len(labels) != len(CLASSES) or any(v not in (-1, 0, 1) for v in labels)):
            raise ConfigError([Finding(clip, 0, 0, f"labels {labels}", f"a number -1, 0, 1 for each of {CLASSES}")])
        return self._add(Saying(clip, name, self._now_us(), () if skip else labels, source, incident, skipped=skip))

    def undo(self, by: str) -> str:
        """Take back the last saying of that person on the page. Returns the clip, "" where there is none."""
        counts = self.current()
        mine = [s for s in counts.values() if s.by == " ".join(by.split())[:WHO_MAX] and s.source == PAGE]
        if not mine:
            return ""
        last = max(mine, key=lambda s: s.at_us)
        self._add(Saying(last.clip, last.by, self._now_us(), undo=True))
        return last.clip

    def _add(self, said: Saying) -> Saying:
        try:
            append_line(self._path, msgspec.json.encode(said))
        except OSError as error:
            raise LocalFault(f"{self._path}: {error.strerror}; free disk space") from error
        self._lines.append(said)
        return said
