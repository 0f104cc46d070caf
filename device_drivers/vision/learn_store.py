"""~ A site's heads on disk: every head ever in use is kept, a history says which counts, rollback is a line of it.

```
 heads/  history.jsonl   {"what": "learn", "head": "<sha256>", "by": …, "at_us": …}   {"what": "rollback", …}
         <sha256>.json   the head itself; its name is its hash
```
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from device_drivers.vision.anchors import parse_anchors
from device_drivers.vision.detector import SHIPPED
from device_drivers.vision.learn import Anchors, SiteHead, parse_head
from device_drivers.vision.record_folder import append_line
from device_model.errors import ConfigError, Finding, LocalFault

HISTORY = "history.jsonl"
LEARN, ROLLBACK = "learn", "rollback"
HEAD_BYTES_MAX = 4 * 1024 * 1024


class HeadChange(msgspec.Struct, frozen=True):
    """One line. head: the one taken in, or taken back."""

    what: str
    head: str
    by: str
    at_us: int


class HeadStore:
    """One folder of heads. Raises LocalFault where the disk fails, ConfigError where a file was changed."""

    def __init__(self, folder: Path, now_us: Callable[[], int]) -> None:
        self.folder, self._now_us = folder, now_us

    def history(self) -> list[HeadChange]:
        """All changes in order; half a line of a power cut is left out."""
        try:
            lines = (self.folder / HISTORY).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LocalFault(f"{self.folder}: {error.strerror}") from error
        found = []
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=HeadChange))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return found

    def stack(self) -> list[str]:
        """Hashes of the heads, the one in use last; empty: the shipped model alone."""
        stack: list[str] = []
        for change in self.history():
            if change.what == LEARN:
                stack.append(change.head)
            elif stack:
                stack.pop()
        return stack

    def current(self) -> SiteHead | None:
        """The head in use. Raises ConfigError where its file is missing or was changed: then nothing runs unseen."""
        stack = self.stack()
        return self.read(stack[-1]) if stack else None

    def read(self, digest: str) -> SiteHead:
        """One head, its hash checked."""
        path = self.folder / f"{digest}.json"
        try:
            if path.stat().st_size > HEAD_BYTES_MAX:
                raise ConfigError(
                    [Finding(str(path), 0, 0, "too large to be a head", "`tocsin vision learn --rollback`")]
                )
            head = parse_head(path.read_bytes(), str(path))
        except OSError as error:
            raise ConfigError(
                [Finding(str(path), 0, 0, str(error.strerror), "put it back, or `tocsin vision learn --rollback`")]
            ) from error
        if head.digest() != digest:
            raise ConfigError(
                [Finding(str(path), 0, 0, "was changed since it was fitted", "`tocsin vision learn --rollback`")]
            )
        return head

    def take(self, head: SiteHead) -> str:
        """Put a head in use. Returns its hash."""
        digest = head.digest()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{digest}.json"
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                file.write(head.encoded())
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            self._say(HeadChange(LEARN, digest, head.by, self._now_us()))
        except OSError as error:
            raise LocalFault(f"{self.folder}: {error.strerror}; give --heads a folder that can be written") from error
        return digest

    def rollback(self, by: str) -> tuple[str, str]:
        """Back to the head before. Returns what was taken back and what is in use now ("" the shipped model alone).

        Raises ConfigError where nothing is to be taken back.
        """
        stack = self.stack()
        if not stack:
            raise ConfigError([Finding(str(self.folder), 0, 0, "no head is in use", "there is nothing to take back")])
        try:
            self._say(HeadChange(ROLLBACK, stack[-1], by, self._now_us()))
        except OSError as error:
            raise LocalFault(f"{self.folder}: {error.strerror}") from error
        return stack[-1], stack[-2] if len(stack) > 1 else ""

    def _say(self, change: HeadChange) -> None:
        append_line(self.folder / HISTORY, msgspec.json.encode(change))


def shipped_anchors(card_file: Path = SHIPPED) -> Anchors:
    """The anchors beside a model. Raises LocalFault where there are none."""
    path = card_file.with_suffix(".anchors.gz")
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise LocalFault(f"{path}: {error.strerror}; install the release's own model files") from error
    return parse_anchors(octets, str(path))
