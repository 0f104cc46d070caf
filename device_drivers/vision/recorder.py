"""~ From decision to evidence: a snapshot at once, a clip of before and after, one signed record.

```
 decided ──► <id>.jpg (boxes drawn) ──► clip writer on the ring, from before_s ago
          after_s later ──► <id>.mp4 ──► record: files, hashes, model, thresholds, zone, sensors, gaps
```
Everything that fails on the way is a gap in the record, not a lost record; a record that cannot be written is counted
and said. One clip a camera at a time: what else is decided meanwhile lengthens it, to CLIP_MAX_S at most, and is
named in its note; what goes on beyond is a further piece of evidence: a scene that comes and goes is told in time.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from device_drivers.vision.clips import ClipWriter
from device_drivers.vision.evidence import EvidenceGap, EvidenceRecord
from device_drivers.vision.evidence_store import EvidenceStore
from device_drivers.vision.model_card import ModelCard
from device_drivers.vision.object_detector import MODEL_SHA256
from device_drivers.vision.objects import PERSON, VEHICLE
from device_drivers.vision.pooling import Spot
from device_drivers.vision.process import WatchedCamera
from device_drivers.vision.reports import SEEN, CameraReport
from device_drivers.vision.scenes import FIRE_LANE, NO_ENTRY
from device_drivers.vision.vision_file import EvidencePlan
from device_model.errors import LocalFault

_log = structlog.get_logger(__name__)
BYTES_A_CLIP = 8 * 1024 * 1024  # asked of the quota before a clip begins: 30 s of a 2 Mbit/s stream
CLIP_MAX_S = 300.0  # from the decision on: a longer one would be signed, and sent, too late
NAMES_MAX = 100  # of decisions in one note; what is beyond is counted
COLOURS = {"hot_work": (0, 200, 255), "flame": (255, 60, 0), "smoke": (255, 255, 0)}


class _Open(msgspec.Struct):
    record: EvidenceRecord
    camera: WatchedCamera
    writer: ClipWriter | None
    until_us: int
    names: list[str]
    gaps: list[EvidenceGap]


class Onsets:
    """Which decisions of a report were not yet made in the one before. Kept apart from all writing."""

    def __init__(self) -> None:
        self._decided: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def of(self, report: CameraReport) -> list[tuple[str, str]]:
        """Zone and class of each."""
        fresh = []
        with self._lock:
            for zone, name, decided in decisions(report):
                key = (report.camera, zone, name)
                if not decided:
                    self._decided.discard(key)
                elif key not in self._decided:
                    self._decided.add(key)
                    fresh.append((zone, name))
        return fresh


class EvidenceRecorder:
    """Give it every report, or each onset by `begin`, and `tick` it some times a second. All of it waits for the
    disk: a process that watches keeps it in a thread of its own (evidence_thread.py)."""

    def __init__(
        self,
        store: EvidenceStore,
        plan: EvidencePlan,
        card: ModelCard,
        sensors: Callable[[], dict[str, str]] = dict,
        *,
        head_sha256: str = "",
    ) -> None:
        self._head_sha256 = head_sha256
        self._store, self._plan, self._card, self._sensors = store, plan, card, sensors
        self._open: dict[str, _Open] = {}
        self._onsets = Onsets()
        self._lock = threading.Lock()
        self._finished: list[EvidenceRecord] = []  # until the next tick tells them, half a second
        self.lost = 0

    def report(self, camera: WatchedCamera, report: CameraReport) -> None:
        """Begin or lengthen evidence where a class was decided in a zone just now."""
        for zone, name in self._onsets.of(report):
            self.begin(camera, report, zone, name, camera.last_picture)

    def begin(
        self, camera: WatchedCamera, report: CameraReport, zone: str, name: str, picture: NDArray[np.uint8] | None
    ) -> None:
        """One onset. picture: what the camera showed then."""
        with self._lock:
            self._begin(camera, report, zone, name, picture)

    def _begin(
        self, camera: WatchedCamera, report: CameraReport, zone: str, name: str, picture: NDArray[np.uint8] | None
    ) -> None:
        going = self._open.get(report.camera)
        now = report.judged_us
        if going is not None:
            until_us = now + int(self._plan.after_s * 1e6)
            if until_us <= going.record.decided_us + int(max(CLIP_MAX_S, self._plan.after_s) * 1e6):
                going.until_us = until_us
                going.names.append(f"{name} in {zone}")
                return
            stored = self._finish(self._open.pop(report.camera), now_us=now)
            self._finished += [] if stored is None else [stored]
        identity = f"{report.camera}-{now // 1000}"
        from_us = now - int(self._plan.before_s * 1e6)
        record = EvidenceRecord(
            id=identity,
            camera=report.camera,
            zone=zone,
            name=name,
            decided_us=now,
            from_us=from_us,
            to_us=now + int(self._plan.after_s * 1e6),
            scores=dict(report.scores),
            thresholds=_thresholds(camera, zone, name),
            model=f"{self._card.name} {self._card.version}",
            model_sha256=self._card.sha256,
            head_sha256=self._head_sha256,
            previous="",
            boxes=report.spots | _object_boxes(report),
            sensors={**camera.values, **self._sensors()},
        )
        opened = _Open(record, camera, None, record.to_us, [f"{name} in {zone}{_seen_by(name)}"], [])
        self._open[report.camera] = opened
        self._snapshot(opened, picture)
        self._clip(opened)

    def _snapshot(self, opened: _Open, picture: NDArray[np.uint8] | None) -> None:
        if picture is None:
            return
        try:
            self._store.write(f"{opened.record.id}.jpg", snapshot(picture, opened.record))
        except LocalFault as error:
            self._gap(opened, f"no snapshot: {error}")

    def _clip(self, opened: _Open) -> None:
        ring = opened.camera.ring
        if ring is None or ring.header is None:
            self._gap(opened, "no clip: the source gives pictures, not an encoded stream")
            return
        if not self._store.room_for(BYTES_A_CLIP):
            self._gap(opened, "no clip: the quota is full of evidence of open incidents and legal holds")
            return
        try:
            opened.writer = ClipWriter(self._store.part(opened.record.id), ring.header)
        except LocalFault as error:
            self._gap(opened, f"no clip: {error}")
            return
        ring.open(opened.writer, opened.record.from_us)

    def _gap(self, opened: _Open, why: str) -> None:
        opened.gaps.append(EvidenceGap(opened.record.from_us, opened.record.to_us, why))
        _log.warning("evidence has a gap", record=opened.record.id, why=why)

    def tick(self, now_us: int) -> list[EvidenceRecord]:
        """Finish what is due. Returns the records that were stored."""
        with self._lock:
            for opened in self._open.values():
                if opened.writer is not None:
                    opened.writer.write()
            due = [name for name, opened in self._open.items() if now_us >= opened.until_us]
            told, self._finished = self._finished, []
            return told + [r for r in (self._finish(self._open.pop(name)) for name in due) if r is not None]

    def close(self) -> list[EvidenceRecord]:
        """The process ends: finish everything now; what is missing of the time after is a gap."""
        with self._lock:
            stored = [self._finish(opened, early=True) for opened in self._open.values()]
            self._open.clear()
            return [r for r in stored if r is not None]

    def _finish(self, opened: _Open, *, early: bool = False, now_us: int = 0) -> EvidenceRecord | None:
        """now_us: when a further piece of evidence takes over, 0 where the time was waited for."""
        record, gaps = opened.record, list(opened.gaps)
        until_us = min(opened.until_us, now_us) if now_us else opened.until_us
        files = [self._store.folder / f"{record.id}.jpg"]
        from_us, to_us = record.decided_us, record.decided_us
        if opened.writer is not None:
            assert opened.camera.ring is not None
            opened.camera.ring.leave(opened.writer)
            final = self._store.folder / f"{record.id}.mp4"
            if opened.writer.close(final):
                files.append(final)
                from_us, to_us = opened.writer.first_us, opened.writer.last_us
            gaps += opened.writer.gaps
            if from_us > record.from_us + 1_000_000:
                gaps.append(EvidenceGap(record.from_us, from_us, "the ring did not reach back so far"))
            if to_us < until_us - 2_000_000:
                gaps.append(EvidenceGap(to_us, until_us, "the process ended" if early else "no packets came"))
        whole = msgspec.structs.replace(
            record, from_us=from_us, to_us=to_us, gaps=tuple(gaps), note=_note(opened.names)
        )
        try:
            return self._store.keep(whole, [path for path in files if path.exists()])
        except LocalFault as error:
            self.lost += 1
            _log.error("evidence could not be recorded", record=record.id, what=str(error), lost=self.lost)
            return None


def decisions(report: CameraReport) -> list[tuple[str, str, bool]]:
    """Zone, what, whether it is decided: the model's scenes, people where nobody may be, blocked fire lanes."""
    found = [(scene.zone, scene.name, scene.decision.decided) for scene in report.scenes]
    for place in report.places:
        if place.intrusion is not None:
            found.append((place.zone, NO_ENTRY, place.intrusion >= SEEN))
        if place.obstruction is not None:
            found.append((place.zone, FIRE_LANE, place.obstruction >= SEEN))
    return found


def _note(names: list[str]) -> str:
    beyond = len(names) - NAMES_MAX
    return "; ".join(names[:NAMES_MAX]) + (f"; and {beyond} more" if beyond > 0 else "")


def _thresholds(camera: WatchedCamera, zone: str, name: str) -> dict[str, float]:
    if name in (NO_ENTRY, FIRE_LANE):
        return {PERSON if name == NO_ENTRY else VEHICLE: camera.plan.places.score}
    return {n: camera.scenes.threshold(z, n) for z in camera.scenes.zones if z.id == zone for n in z.watch}


def _object_boxes(report: CameraReport) -> dict[str, tuple[Spot, ...]]:
    boxes: dict[str, tuple[Spot, ...]] = {}
    for box in report.objects[:16]:
        boxes[box.label] = (*boxes.get(box.label, ()), Spot(box.left, box.top, box.right, box.bottom, box.score))
    return boxes


def _seen_by(name: str) -> str:
    """Which other model decided it, for the record's note."""
    return f" (seen by the object detector {MODEL_SHA256})" if name in (NO_ENTRY, FIRE_LANE) else ""


def snapshot(picture: np.ndarray, record: EvidenceRecord) -> bytes:
    """JPEG with boxes and their scores."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for name, boxes in record.boxes.items():
        for box in boxes:
            corners = (
                box.left * image.width,
                box.top * image.height,
                box.right * image.width,
                box.bottom * image.height,
            )
            draw.rectangle(corners, outline=COLOURS.get(name, (255, 255, 255)), width=2)
            draw.text(
                (corners[0] + 3, corners[1] + 2), f"{name} {box.score:.2f}", fill=COLOURS.get(name, (255, 255, 255))
            )
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
