"""Versions of a gateway's site file (I/O): checked whole before it is written, kept with who and why, undone.

    <folder>/site.yaml
             versions/00001.yaml, 00001.json   what was written, when, by whom, why; the newest is what runs
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from device_model.errors import ConfigError, LocalFault
from device_model.library import profiles_for, read_text
from device_model.site_file import parse_site
from provisioning.authority import write_private
from provisioning.site_draft import difference

KEPT = 200  # a site changes some dozen times in its life


class Version(msgspec.Struct, frozen=True):
    """One version."""

    number: int
    at_us: int
    who: str
    why: str


class SiteVersions:
    """The versions beside a site file. check: what else must hold beyond the file's own check."""

    def __init__(self, file: Path, check: Callable[[Path], object] | None = None) -> None:
        self.file, self._folder = file, file.parent / "versions"
        self._check = check

    def text(self) -> str:
        """The file as it is. ConfigError, LocalFault."""
        return read_text(self.file)

    def check(self, text: str) -> None:
        """ConfigError with every finding where this text would not run."""
        parse_site(text, str(self.file), profiles_for(self.file))
        if self._check is not None:
            beside = self.file.with_name(f".{self.file.name}.{os.getpid()}")
            try:
                write_private(beside, text.encode())
                self._check(beside)
            except OSError as error:
                raise LocalFault(f"{beside} cannot be written: {error}") from error
            finally:
                beside.unlink(missing_ok=True)

    def save(self, text: str, who: str, why: str) -> Version:
        """Check and write. ConfigError: nothing was written."""
        self.check(text)
        try:
            if not self.history() and self.file.exists():
                self._keep(self.text(), "", "as found")
            version = self._keep(text, who, why)
            write_private(self.file, text.encode())
        except OSError as error:
            raise LocalFault(f"{self.file} cannot be written: {error}") from error
        return version

    def undo(self, who: str) -> Version:
        """Go back to the version before the newest, as a new version. LocalFault where there is none."""
        kept = self.history()
        if len(kept) < 2:
            raise LocalFault("there is no version before this one")
        before = kept[-2]
        return self.save(self._text(before.number), who, f"undo of {kept[-1].number}: back to {before.number}")

    def history(self) -> tuple[Version, ...]:
        """Oldest first; what cannot be read is left out."""
        found = []
        for file in sorted(self._folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(file.read_bytes(), type=Version))
            except (OSError, msgspec.DecodeError):
                continue
        return tuple(found)

    def changed(self, number: int) -> str:
        """What a version changed against the one before it, as a diff."""
        before = [one.number for one in self.history() if one.number < number]
        return difference(self._text(before[-1]) if before else "", self._text(number))

    def _text(self, number: int) -> str:
        return read_text(self._folder / f"{number:05}.yaml")

    def _keep(self, text: str, who: str, why: str) -> Version:
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self.history()
        version = Version(kept[-1].number + 1 if kept else 1, time.time_ns() // 1000, who[:80], why[:300])
        write_private(self._folder / f"{version.number:05}.yaml", text.encode())
        write_private(self._folder / f"{version.number:05}.json", msgspec.json.encode(version))
        for old in kept[:-KEPT]:
            for suffix in (".json", ".yaml"):
                (self._folder / f"{old.number:05}{suffix}").unlink(missing_ok=True)
        return version


def findings_text(error: ConfigError) -> str:
    """All findings, one a line."""
    return "\n".join(str(finding) for finding in error.findings)
