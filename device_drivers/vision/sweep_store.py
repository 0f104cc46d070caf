"""~ What a gateway keeps of its sweeps: when each camera was last seen, the last sweep, the newest picture of each.

```
 sweep/ state.json   camera ─► when seen, how often missed          looks.jsonl   who looked at which picture, when
        last.json    the last sweep, every camera's outcome         snapshots/<camera>.jpg   0600, newest only
```
Pictures never leave the gateway; they are shown blurred, to a named person with the right, and each look is logged
before the picture is given (law of safety 9). What is older than its class allows is removed with every sweep.
"""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from device_drivers.vision.sweep_plan import NAME, SweepCamera, SweepPlan
from device_drivers.vision.sweep_result import LastSweep, Outcome, SweepReport, SweepTarget, SweptCamera
from device_model.errors import LocalFault

_log = structlog.get_logger(__name__)
SIDE_MAX = 960
LOOKS_BYTES_MAX = 16 * 1024 * 1024  # then the log is turned once: some hundred thousand looks


class Looked(msgspec.Struct, frozen=True):
    """Somebody looked at a picture."""

    at_us: int
    who: str
    camera: str
    what: str = "sweep"


class SweepStore:
    """One folder; one sweeping process, any number of readers. Raises LocalFault where it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        try:
            (folder / "snapshots").mkdir(parents=True, exist_ok=True)
            (folder / "snapshots").chmod(0o700)
        except OSError as error:
            raise LocalFault(f"{folder}: {error.strerror}; give sweep a folder that can be written") from error

    def state(self) -> dict[str, SweptCamera]:
        """Every camera known; none where the file is missing or broken: then all are visited in the list's order."""
        try:
            return msgspec.json.decode((self.folder / "state.json").read_bytes(), type=dict[str, SweptCamera])
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return {}

    def targets(self, cameras: tuple[SweepCamera, ...]) -> list[SweepTarget]:
        """Whom to visit, with when each was seen: the sweep takes the longest unseen first."""
        state = self.state()
        return [SweepTarget(c.id, c.source, state.get(c.id, SweptCamera()).seen_us) for c in cameras]

    def keep(
        self, report: SweepReport, cameras: tuple[SweepCamera, ...], plan: SweepPlan, began_us: int, now_us: int,
        decided: dict[str, dict[str, float]],
    ) -> LastSweep:
        """The sweep is over: state, last sweep, pictures that are too old."""
        before = self.state()
        after: dict[str, SweptCamera] = {}
        for result in report.results:
            old = before.get(result.camera, SweptCamera())
            seen = result.outcome is Outcome.SEEN
            after[result.camera] = SweptCamera(now_us if seen else old.seen_us, 0 if seen else old.missed + 1)
        kept = report.sweep_s <= plan.period_s and not report.outcomes.get(Outcome.NOT_REACHED.value)
        last = LastSweep(began_us, plan.period_s, len(cameras), kept, report, after, decided)
        self._write("state.json", msgspec.json.encode(after))
        self._write("last.json", msgspec.json.encode(last))
        self._forget(cameras, plan, now_us)
        return last

    def last(self) -> LastSweep | None:
        """None before the first sweep, or where its file cannot be read."""
        try:
            return msgspec.json.decode((self.folder / "last.json").read_bytes(), type=LastSweep)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def picture(self, camera: str, picture: NDArray[np.uint8]) -> None:
        """The newest picture of a camera takes the place of the one before. A full disk costs the picture only."""
        image = Image.fromarray(picture)
        image.thumbnail((SIDE_MAX, SIDE_MAX))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=80)
        path = self._path(camera)
        try:
            fresh = path.with_suffix(f".{threading.get_ident()}")
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(buffer.getvalue())
            fresh.replace(path)
        except OSError as error:
            _log.warning("a sweep's picture was not kept", camera=camera, what=error.strerror)

    def has(self, camera: str) -> bool:
        """Whether there is a picture of it."""
        return bool(NAME.fullmatch(camera)) and self._path(camera).exists()

    def look(self, camera: str, who: str, at_us: int) -> NDArray[np.uint8]:
        """A picture, unblurred, for whoever blurs it; the look is on the disk before it is given. Raises KeyError for
        none, LocalFault where it cannot be logged: then it is not shown."""
        if not self.has(camera):
            raise KeyError(camera)
        self.log(Looked(at_us, who, camera))
        try:
            with Image.open(self._path(camera)) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise KeyError(camera) from error

    def log(self, looked: Looked) -> None:
        """Raises LocalFault where it cannot be written."""
        path = self.folder / "looks.jsonl"
        try:
            with self._lock:
                if path.exists() and path.stat().st_size > LOOKS_BYTES_MAX:
                    path.replace(path.with_suffix(".1.jsonl"))
                with path.open("ab") as file:
                    file.write(msgspec.json.encode(looked) + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise LocalFault(f"{path}: {error.strerror}: a look that cannot be logged is not given") from error

    def looks(self, newest: int = 50) -> tuple[Looked, ...]:
        """Who looked last, newest first."""
        try:
            lines = (self.folder / "looks.jsonl").read_bytes()[-newest * 400 :].split(b"\n")
        except OSError:
            return ()
        found = []
        for line in lines:
            try:
                found.append(msgspec.json.decode(line, type=Looked))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return tuple(reversed(found[-newest:]))

    def _path(self, camera: str) -> Path:
        return self.folder / "snapshots" / f"{camera}.jpg"

    def _forget(self, cameras: tuple[SweepCamera, ...], plan: SweepPlan, now_us: int) -> None:
        """Pictures older than their class allows, and of cameras that are no longer listed."""
        kinds = {camera.id: camera.kind for camera in cameras}
        for path in (self.folder / "snapshots").iterdir():
            try:
                age_s = now_us / 1e6 - path.stat().st_mtime
                if path.stem not in kinds or age_s > plan.kept_s(kinds[path.stem]):
                    path.unlink(missing_ok=True)
            except OSError as error:
                _log.warning("an old picture was not removed", file=path.name, what=error.strerror)

    def _write(self, name: str, octets: bytes) -> None:
        try:
            fresh = self.folder / f"{name}.new"
            with fresh.open("wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.folder / name)
        except OSError as error:
            raise LocalFault(f"{self.folder / name}: {error.strerror}") from error
