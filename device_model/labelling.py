"""What a labelling page shows and does: clips of a site's cameras, what people said of them. Nouns and a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class ClipView(msgspec.Struct, frozen=True):
    """One clip as the page shows it. labels: hot work, flame, smoke; empty without a label."""

    id: str
    camera: str
    reason: str
    taken_us: int
    pictures: int
    scores: dict[str, float]
    labels: tuple[int, ...] = ()
    by: str = ""
    skipped: bool = False


class Counts(msgspec.Struct, frozen=True):
    """How far the work is. wanting: clips still missing before anything can be learnt."""

    clips: int
    labelled: int
    skipped: int
    hot_work: int
    flame: int
    smoke: int
    none: int
    wanting: int


class LabelDesk(Protocol):
    """What a program offers this page. Its calls may touch the disk; they are made from a thread."""

    def clips(self) -> Sequence[ClipView]:
        """All, in the order in which they are to be looked at."""
        ...

    def counts(self) -> Counts:
        """Of the same moment."""
        ...

    def picture(self, clip: str, number: int) -> Path | None:
        """A JPEG's path; None where there is none."""
        ...

    def label(self, clip: str, labels: tuple[int, ...], by: str, *, skip: bool) -> ClipView:
        """Keep a label. Raises ConfigError where it may not be."""
        ...

    def undo(self, by: str) -> str:
        """Take back that person's last label; the clip's id, "" for none."""
        ...
