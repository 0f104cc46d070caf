"""~ The folder of candidates: short clips as single pictures, bounded, on site.

```
 candidates/  <camera>-<ms>/  clip.json   camera, times, scores, why it was kept, model
                              0.jpg 1.jpg …
              labels.jsonl    what people said (label_book.py)      exports.jsonl   who took labels off site, and what
```
When the folder is full the oldest clips without a label go first; labelled ones stay, and when only those are left a
new clip is refused and counted. Nothing here leaves the site but by `tocsin vision labels --export`.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from device_model.errors import LocalFault

CLIP, LABELS, EXPORTS = "clip.json", "labels.jsonl", "exports.jsonl"
SIDE = 640  # pixels: enough for a person to judge, and for the net's 256
QUALITY = 85
CLIPS_MAX = 20_000  # a folder is listed whole; a person labels some hundreds
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}-[0-9]{10,17}\Z")


class Candidate(msgspec.Struct, frozen=True):
    """A clip's own file. times_us: of its pictures, µs since 1970 UTC; scores: the strongest, a class; incident,
    evidence: where it came from one."""

    id: str
    camera: str
    reason: str
    times_us: tuple[int, ...]
    scores: dict[str, float]
    model_sha256: str
    incident: str = ""
    evidence: str = ""

    @property
    def group(self) -> str:
        """What must not be split between fitting and holding back: a camera's clips of the same ten minutes."""
        return f"{self.camera}/{self.times_us[0] // 600_000_000}" if self.times_us else self.camera


class CandidateFolder:
    """One folder. Raises LocalFault where it cannot be used."""

    def __init__(self, folder: Path, quota: int) -> None:
        self.folder, self._quota = folder, quota
        self.refused = self.pruned = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalFault(f"{folder}: {error.strerror}; give a folder that can be written") from error

    def clips(self) -> list[Candidate]:
        """All whole ones, oldest first; what does not parse is left out."""
        found = []
        for path in sorted(self.folder.iterdir())[: CLIPS_MAX * 2] if self.folder.is_dir() else []:
            if _NAME.match(path.name):
                clip = self.read(path.name)
                if clip is not None:
                    found.append(clip)
        return sorted(found, key=lambda c: (c.times_us[:1], c.id))[:CLIPS_MAX]

    def read(self, identity: str) -> Candidate | None:
        """One clip; None where there is none or its file is broken."""
        if not _NAME.match(identity):
            return None
        try:
            clip = msgspec.json.decode((self.folder / identity / CLIP).read_bytes(), type=Candidate)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return clip if clip.id == identity else None

    def pictures(self, clip: Candidate) -> list[Path]:
        """Its pictures that are there, in order."""
        paths = [self.folder / clip.id / f"{n}.jpg" for n in range(len(clip.times_us))]
        return [path for path in paths if path.is_file()]

    def add(
        self, clip: Candidate, pictures: Sequence[NDArray[np.uint8]], labelled: frozenset[str] = frozenset()
    ) -> bool:
        """Keep a clip. False where it was refused for want of room (counted). Raises LocalFault: the disk fails."""
        encoded = [jpeg(picture) for picture in pictures]
        if not self._room(sum(map(len, encoded)) + 4096, labelled):
            self.refused += 1
            return False
        part = self.folder / f"{clip.id}.part"
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for number, octets in enumerate(encoded):
                (part / f"{number}.jpg").write_bytes(octets)
            (part / CLIP).write_bytes(msgspec.json.format(msgspec.json.encode(clip), indent=1))
            shutil.rmtree(self.folder / clip.id, ignore_errors=True)
            part.rename(self.folder / clip.id)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise LocalFault(f"{self.folder}: {error.strerror}; free disk space or give another folder") from error
        return True

    def _room(self, wanted: int, labelled: frozenset[str]) -> bool:
        """Make room for so many bytes; oldest without a label first."""
        sizes = {clip.id: self._size(clip) for clip in self.clips()}
        total = sum(sizes.values()) + wanted
        for identity, size in sizes.items():
            if total <= self._quota:
                break
            if identity not in labelled:
                shutil.rmtree(self.folder / identity, ignore_errors=True)
                self.pruned += 1
                total -= size
        return total <= self._quota

    def _size(self, clip: Candidate) -> int:
        return sum(path.stat().st_size for path in self.pictures(clip)) + 4096


def append_line(path: Path, line: bytes) -> None:
    """Add a line, synced; what a power cut left of the last one is closed first, so that it costs that line only.
    Raises OSError."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def jpeg(picture: NDArray[np.uint8]) -> bytes:
    """As it is stored: the longest side at most SIDE."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
