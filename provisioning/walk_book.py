"""The book of walk and interlock tests (I/O): one line a record, appended; pictures beside it, named by their hash.

    <folder>/walk/records.jsonl     the newest line of a device and its beginning is what holds
             walk/accepted.jsonl    who of the property took the work over, when, with which hash
             walk/photos/SHA256.jpg
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import msgspec

from dashboards.install_view import Accepted, WalkStep
from device_model.errors import LocalFault
from provisioning.authority import write_private

PHOTO_MAX = 4 * 1024 * 1024
PHOTOS_OF_ONE, PHOTOS_MAX = 8, 2000
READ_MAX = 32 * 1024 * 1024


class WalkBook:
    """The records of one gateway."""

    def __init__(self, folder: Path) -> None:
        self._file, self._photos = folder / "walk" / "records.jsonl", folder / "walk" / "photos"
        self._accepted = folder / "walk" / "accepted.jsonl"

    def steps(self) -> tuple[WalkStep, ...]:
        """All records, oldest first; a line that was cut by a power loss is left out."""
        found: dict[tuple[str, int], WalkStep] = {}
        try:
            lines = self._file.read_bytes()[-READ_MAX:].splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise LocalFault(f"{self._file} cannot be read: {error}") from error
        for line in lines:
            try:
                step = msgspec.json.decode(line, type=WalkStep)
            except msgspec.DecodeError:
                continue
            found[step.device, step.begun_us] = step
        return tuple(found.values())

    def newest(self) -> dict[str, WalkStep]:
        """The newest record of each device or output."""
        return {step.device: step for step in self.steps()}

    def keep(self, step: WalkStep) -> WalkStep:
        """Append. LocalFault where it cannot be written: then the test does not count."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode(step) + b"\n")
        except OSError as error:
            raise LocalFault(f"the record of the test cannot be written: {error}") from error
        return step

    def accepted(self) -> tuple[Accepted, ...]:
        """Every time that the property took the work over, oldest first."""
        try:
            lines = self._accepted.read_bytes()[-READ_MAX:].splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise LocalFault(f"{self._accepted} cannot be read: {error}") from error
        found = []
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):  # cut by a power loss: then it was not answered either
                found.append(msgspec.json.decode(line, type=Accepted))
        return tuple(found)

    def accept(self, word: Accepted) -> Accepted:
        """Append. LocalFault where it cannot be written."""
        try:
            self._accepted.parent.mkdir(parents=True, exist_ok=True)
            with self._accepted.open("ab") as file:
                file.write(msgspec.json.encode(word) + b"\n")
        except OSError as error:
            raise LocalFault(f"the acceptance cannot be written: {error}") from error
        return word

    def keep_photo(self, device: str, jpeg: bytes) -> str:
        """Keep a picture with the newest record of a device; its name. LocalFault says why not."""
        if not jpeg.startswith(b"\xff\xd8\xff") or len(jpeg) > PHOTO_MAX:
            raise LocalFault("a photo is a JPEG of at most 4 MiB")
        step = self.newest().get(device)
        if step is None:
            raise LocalFault(f"{device} has not been tested yet: the photo belongs to a test")
        if len(step.photos) >= PHOTOS_OF_ONE:
            raise LocalFault(f"{device} has {PHOTOS_OF_ONE} photos already")
        name = hashlib.sha256(jpeg).hexdigest()
        try:
            self._photos.mkdir(parents=True, exist_ok=True)
            if sum(1 for _ in self._photos.iterdir()) >= PHOTOS_MAX:
                raise LocalFault(f"there are {PHOTOS_MAX} photos already")
            write_private(self._photos / f"{name}.jpg", jpeg)
        except OSError as error:
            raise LocalFault(f"the photo cannot be written: {error}") from error
        if name not in step.photos:
            self.keep(msgspec.structs.replace(step, photos=(*step.photos, name)))
        return name

    def photo(self, name: str) -> bytes:
        """A picture. LocalFault where there is none."""
        if len(name) != 64 or not all(letter in "0123456789abcdef" for letter in name):
            raise LocalFault("there is no such photo")
        try:
            return (self._photos / f"{name}.jpg").read_bytes()
        except OSError as error:
            raise LocalFault("there is no such photo") from error
