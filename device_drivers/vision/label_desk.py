"""~ The labelling page's desk: clips of a folder with their labels, in the order in which they teach most.

Clips that the model alarmed on or was unsure of come before plain samples; of each kind the newest first.
"""

from __future__ import annotations

import threading
from pathlib import Path

from device_drivers.vision.label_book import LabelBook, Saying
from device_drivers.vision.learn import CLIPS_MIN
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.record_choice import ALARM, SAMPLE, UNSURE
from device_drivers.vision.record_folder import Candidate, CandidateFolder
from device_drivers.vision.sources import now_us
from device_model.errors import ConfigError, Finding
from device_model.labelling import ClipView, Counts

SHOWN_MAX = 2000  # clips on the page at once; labelled ones leave room when it is loaded anew
ORDER = {ALARM: 0, "incident": 0, UNSURE: 1, SAMPLE: 2}


class FolderDesk:
    """One folder. Implements device_model.labelling.LabelDesk; calls may come from several threads."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigError(
                [Finding(str(folder), 0, 0, "no such folder", "give the one of `tocsin vision record`")]
            )
        self._folder = CandidateFolder(folder, 0)
        self._book = LabelBook(folder, now_us)
        self._lock = threading.Lock()

    def clips(self) -> list[ClipView]:
        """All, at most SHOWN_MAX, those without a label first."""
        with self._lock:
            said = self._book.current()
        found = sorted(
            self._folder.clips(),
            key=lambda c: (c.id in said, ORDER.get(c.reason, 3), -c.times_us[0] if c.times_us else 0),
        )
        return [self._view(c, said.get(c.id)) for c in found[:SHOWN_MAX]]

    def counts(self) -> Counts:
        """Of clips that are still there."""
        with self._lock:
            said = self._book.current()
        clips = [c.id for c in self._folder.clips()]
        mine = [said[c] for c in clips if c in said]
        labels = [s.labels for s in mine if not s.skipped]
        shown = [sum(row[i] == 1 for row in labels) for i in range(len(CLASSES))]
        return Counts(
            clips=len(clips),
            labelled=len(labels),
            skipped=sum(s.skipped for s in mine),
            hot_work=shown[0],
            flame=shown[1],
            smoke=shown[2],
            none=sum(1 not in row for row in labels),
            wanting=max(0, CLIPS_MIN - len(labels)),
        )

    def picture(self, clip: str, number: int) -> Path | None:
        """A JPEG of a clip."""
        found = self._folder.read(clip)
        if found is None or not 0 <= number < len(found.times_us):
            return None
        path = self._folder.folder / clip / f"{number}.jpg"
        return path if path.is_file() else None

    def label(self, clip: str, labels: tuple[int, ...], by: str, *, skip: bool) -> ClipView:
        """Keep a label."""
        found = self._folder.read(clip)
        if found is None:
            raise ConfigError([Finding(clip, 0, 0, "no such clip", "load the page anew")])
        with self._lock:
            return self._view(found, self._book.say(clip, labels, by, skip=skip))

    def undo(self, by: str) -> str:
        """Take back that person's last label."""
        with self._lock:
            return self._book.undo(by)

    def _view(self, clip: Candidate, said: Saying | None) -> ClipView:
        return ClipView(
            clip.id,
            clip.camera,
            clip.reason,
            clip.times_us[0] if clip.times_us else 0,
            len(clip.times_us),
            clip.scores,
            said.labels if said else (),
            said.by if said else "",
            said.skipped if said else False,
        )
