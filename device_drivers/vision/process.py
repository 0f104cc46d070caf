"""~ The vision process: a thread a camera, a few detector threads that all share, one that tells the site.

```
 camera thread: source ─► masks ─► first stage, health ─► offer ┐        evidence ring ◄─ encoded packets
 camera thread: …                                               ├─ fair share ─► detector threads ─► scenes ─► report
 camera thread: …                                               ┘                                  │
                                             MQTT (a device of profile tocsin-camera) ◄────────────┴─► evidence
```
A process of its own: what a decoder or a model does wrong never touches the gateway's alarms. The gateway reads it as
it reads any MQTT device, so that silence, unwell cameras and late values are what they are for every other sensor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from device_drivers.vision.camera_health import CameraHealth, CameraState
from device_drivers.vision.clips import PacketRing, StreamHeader
from device_drivers.vision.detector import Detector, DetectorPool
from device_drivers.vision.first_stage import Crop, FirstLook, FirstStage
from device_drivers.vision.frames import Frame, Packet, grey_of
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.object_detector import ObjectPool
from device_drivers.vision.place_watch import PlaceWatch
from device_drivers.vision.pooling import Spot
from device_drivers.vision.reports import CameraReport
from device_drivers.vision.scenes import CameraScenes, paint_masks
from device_drivers.vision.share import FairShare, ShareCount
from device_drivers.vision.sources import Source, following, now_us, open_source
from device_drivers.vision.vision_file import CameraPlan, VisionPlan
from device_model.errors import ConfigError, LocalFault

_log = structlog.get_logger(__name__)
CLOSER_EVERY_S = 0.1
AGAIN_S = 10.0  # until a camera whose thread failed is opened anew
HANGS_S = 5.0  # one frame with its crops and tiles takes well under one second


class Look(msgspec.Struct, frozen=True):
    """A frame that waits for a detector. picture: masks already painted; inputs: the whole frame and its crops, made
    ready in the camera's own thread, so that detector threads do little else than detect."""

    frame: Frame
    picture: NDArray[np.uint8]
    first: FirstLook
    state: CameraState
    inputs: tuple[tuple[Crop | None, NDArray[Any]], ...]


class WatchedCamera:
    """One camera's memory across frames, and its evidence ring."""

    def __init__(self, plan: CameraPlan, thresholds: dict[str, float], ring_s: float, ring_bytes: int) -> None:
        self.plan = plan
        self.stage, self.health = FirstStage(), CameraHealth(plan.health)
        self.places = PlaceWatch(plan.zones, plan.places)
        self.scenes = CameraScenes(plan.id, plan.zones, {**thresholds, **plan.thresholds}, plan.decide)
        self.ring = PacketRing(ring_s, ring_bytes) if ring_bytes else None
        self.last: CameraReport | None = None
        self.last_picture: NDArray[np.uint8] | None = None
        self.offline = plan.source.startswith(("file:", "folder:"))
        self.light_box: Spot | None = None
        self.trouble = ""
        self._source: Source | None = None
        self._next_us = 0
        self.values: dict[str, str] = {}  # of the sensors beside it, as the gateway last said
        self._closer_until_us = 0

    def thresholds(self) -> dict[tuple[str, str], float]:
        """By zone and class."""
        return {(z.id, name): self.scenes.threshold(z, name) for z in self.scenes.zones for name in z.watch}

    def open(self, timeout_s: float) -> Source:
        """A fresh session; the ring learns the stream's header from its first key packet."""
        if self.ring is not None:
            self.ring.header = None
        return open_source(
            self.plan.source,
            timeout_s=timeout_s,
            keys_only=self.plan.keys_only,
            keep=self._keep if self.ring is not None else None,
        )

    def opened(self, source: Source) -> None:
        """Remember the session: its stream is the template of the clip's header."""
        self._source = source

    def _keep(self, packet: Packet) -> None:
        assert self.ring is not None
        if self.ring.header is None and packet.key and self._source is not None:
            template: Any = getattr(self._source, "template", None)
            if template is not None:
                self.ring.header = StreamHeader(template, packet)
        self.ring.add(packet)

    def time_us(self, frame: Frame) -> int:
        """What counts as now: arrival for a live camera, whose own clock may leap; a film's own time for a film."""
        return frame.taken_us if self.offline else frame.arrived_us

    def due(self, frame: Frame) -> bool:
        """Whether this frame is one to judge, by the camera's `every_s`."""
        at = self.time_us(frame)
        if at < self._next_us:
            return False
        every_s = min(self.plan.every_s, CLOSER_EVERY_S) if at < self._closer_until_us else self.plan.every_s
        self._next_us = at + int(every_s * 1e6)
        return True

    def look_closer(self, until_us: int) -> None:
        """A neighbour's alarm: more frames are judged until then, beginning with the next one."""
        self._closer_until_us, self._next_us = max(self._closer_until_us, until_us), 0

    def look(self, frame: Frame, prepare: Callable[[Image.Image], NDArray[Any]]) -> Look:
        """The cheap part, in the camera's own thread."""
        picture = paint_masks(frame.picture, self.plan.masks)
        grey = grey_of(picture)
        first = self.stage.look(grey)
        state = self.health.frame(
            first, grey, self.time_us(frame), 0.0 if self.offline else late_s(frame)
        )
        image = Image.fromarray(picture)
        parts = [(None, image), *((crop, image.crop(_pixels(crop, image.size))) for crop in first.crops)]
        return Look(frame, picture, first, state, tuple((crop, prepare(part)) for crop, part in parts))


class VisionProcess:
    """All cameras of a plan. `start`, then `stop`; reports go to `on_report`, from detector threads."""

    def __init__(
        self,
        plan: VisionPlan,
        pool: DetectorPool,
        on_report: Callable[[WatchedCamera, CameraReport], None],
        clock_us: Callable[[], int] = now_us,
        objects: ObjectPool | None = None,
    ) -> None:
        self._objects = objects
        self.plan, self._pool, self._on_report, self._clock_us = plan, pool, on_report, clock_us
        shipped = dict(zip(CLASSES, pool.card.thresholds, strict=True))
        evidence = plan.evidence
        ring_s = evidence.before_s if evidence is not None else 0.0
        ring_bytes = int(evidence.ring_mib * 1024 * 1024) if evidence is not None else 0
        self.cameras = {c.id: WatchedCamera(c, shipped, ring_s, ring_bytes) for c in plan.cameras}
        self._share: FairShare[Look] = FairShare()
        self._ready = threading.Condition()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._living = 0
        self._beats: dict[str, float] = {}  # detector thread → monotonic s of its last turn

    def start(self) -> None:
        """Start all threads."""
        for camera in self.cameras.values():
            self._run(f"camera {camera.plan.id}", self._watch, camera)
        for number in range(self.plan.detectors):
            self._run(f"detector {number}", self._detect)

    def _run(self, name: str, target: Callable[..., None], *given: Any) -> None:
        thread = threading.Thread(target=target, args=given, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End all threads; a camera that hangs in a read ends with its time-out, or with the process."""
        self._stop.set()
        with self._ready:
            self._ready.notify_all()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def ended(self) -> bool:
        """Whether every film and folder has come to its end and all their frames are judged."""
        with self._ready:
            waiting = self._living
        cameras = [t for t in self._threads if t.name.startswith("camera ")]
        return not waiting and not any(t.is_alive() for t in cameras)

    def hangs(self) -> str:
        """Which detector thread is dead or has hung over one frame for HANGS_S; empty: none."""
        now = time.monotonic()
        for thread in self._threads:
            beat = self._beats.get(thread.name)
            if thread.name.startswith("detector ") and (
                not thread.is_alive() or (beat is not None and now - beat > HANGS_S)
            ):
                return thread.name
        return ""

    def counts(self) -> dict[str, ShareCount]:
        """Frames offered, judged, dropped of each camera since the last asking."""
        with self._ready:
            return self._share.counts()

    def _watch(self, camera: WatchedCamera) -> None:
        def say(what: str) -> None:
            camera.trouble = what
            _log.warning("camera does not answer", camera=camera.plan.id, what=what)

        while not self._stop.is_set():
            try:
                for frame in following(lambda: camera.open(10.0), self._stop, say, camera.opened):
                    camera.trouble = ""
                    if camera.due(frame):
                        self._offer(camera, camera.look(frame, self._pool.prepare))
                return
            except ConfigError as error:
                camera.trouble = str(error)
                _log.error("camera cannot be opened", camera=camera.plan.id, what=str(error))
                return  # a wrong address does not mend itself
            except LocalFault as error:
                camera.trouble = str(error)
                _log.error("camera cannot be opened", camera=camera.plan.id, what=str(error))
            except Exception:  # noqa: BLE001  # a camera's boundary: no end to the others, nor for ever to itself
                camera.trouble = "stopped by a fault of ours"
                _log.exception("camera thread failed", camera=camera.plan.id, again_s=AGAIN_S)
            if camera.offline or self._stop.wait(AGAIN_S):
                return

    def _offer(self, camera: WatchedCamera, look: Look) -> None:
        with self._ready:
            # A film waits for its turn instead of losing pictures: it is there to be judged whole.
            while camera.offline and not self._stop.is_set() and camera.plan.id in self._share.waiting:
                self._ready.wait(0.5)
            if self._share.offer(camera.plan.id, look):
                self._living += 1
            self._ready.notify_all()

    def _detect(self) -> None:
        name = threading.current_thread().name
        while not self._stop.is_set():
            self._beats[name] = time.monotonic()
            with self._ready:
                taken = self._share.take()
                if taken is None:
                    self._ready.wait(0.5)
                    continue
                self._ready.notify_all()
            camera = self.cameras[taken[0]]
            try:
                with self._pool.lend() as detector:
                    report = judge(detector, camera, taken[1], self._clock_us)
                report = self._people(camera, taken[1], report)
                camera.last, camera.last_picture = report, taken[1].picture
                self._on_report(camera, report)
            except Exception:  # noqa: BLE001 # a detector's task boundary: the next frame is another one
                _log.exception("a frame could not be judged", camera=taken[0])
            finally:
                with self._ready:
                    self._living -= 1


    def _people(self, camera: WatchedCamera, look: Look, report: CameraReport) -> CameraReport:
        """The look for people and vehicles, when it is due."""
        at = camera.time_us(look.frame)
        if not camera.places.due(at):
            return msgspec.structs.replace(report, places=camera.places.states) if camera.places.asked else report
        try:
            if self._objects is None:
                states = camera.places.look(look.picture, None, look.state, at)
            else:
                with self._objects.lend() as seer:
                    states = camera.places.look(look.picture, seer.see, look.state, at)
        except Exception:  # noqa: BLE001  # what it does wrong must not take the flame out of the same frame
            _log.exception("people could not be counted", camera=camera.plan.id)
            states = camera.places.look(look.picture, None, look.state, at)
        return msgspec.structs.replace(report, places=states, objects=camera.places.boxes)


def judge(detector: Detector, camera: WatchedCamera, look: Look, clock_us: Callable[[], int]) -> CameraReport:
    """Whole frame and crops through the model, then zones and time."""
    scores = dict.fromkeys(CLASSES, 0.0)
    spots: dict[str, list[Spot]] = {name: [] for name in CLASSES}
    # A zone with a lower threshold than the shipped one must be told where its weaker spots are.
    least = {name: min(detector.card.threshold(name), camera.scenes.least(name)) for name in CLASSES}
    for crop, prepared in look.inputs:
        logits = detector.invoke(prepared)
        for name, score in zip(CLASSES, detector.judge(logits).scores, strict=True):
            scores[name] = max(scores[name], score)
            if score >= least[name] * 0.5:
                spots[name] += [_placed(s, crop) for s in detector.locate(logits, name, least[name])]
    light, elsewhere = _light_of(camera, look, spots)
    scenes = camera.scenes.frame(scores, spots, light, camera.time_us(look.frame), elsewhere=elsewhere)
    return CameraReport(
        camera.plan.id,
        look.frame.taken_us,
        clock_us(),
        look.state,
        scores,
        tuple(scenes),
        {n: tuple(sorted(s, key=lambda x: -x.score)[:8]) for n, s in spots.items() if s},
        len(look.inputs),
    )


def late_s(frame: Frame) -> float:
    """How far the camera's clock is behind ours (negative: ahead), else how far its stream has drifted."""
    return (frame.arrived_us - (frame.clock_us or frame.taken_us)) / 1e6


def _pixels(crop: Crop, size: tuple[int, int]) -> tuple[int, int, int, int]:
    width, height = size
    return (
        int(crop.left * width),
        int(crop.top * height),
        max(int(crop.left * width) + 8, int(crop.right * width)),
        max(int(crop.top * height) + 8, int(crop.bottom * height)),
    )


def _placed(spot: Spot, crop: Crop | None) -> Spot:
    """A spot of a crop in shares of the whole frame."""
    if crop is None:
        return spot
    wide, high = crop.right - crop.left, crop.bottom - crop.top
    return Spot(
        crop.left + spot.left * wide,
        crop.top + spot.top * high,
        crop.left + spot.right * wide,
        crop.top + spot.bottom * high,
        spot.score,
    )


def _light_of(camera: WatchedCamera, look: Look, spots: dict[str, list[Spot]]) -> tuple[float, bool]:
    """Brightness of the fire-like spot, else of the whole frame, and whether the place is another than before.

    The box stays where it was while the strongest spot still touches it: a box that wandered would itself flicker.
    """
    fiery = [spot for name in ("hot_work", "flame") for spot in spots[name]]
    held = camera.light_box
    if not fiery:
        camera.light_box = None
        return look.first.mean, held is not None
    spot = max(fiery, key=lambda s: s.score)
    if (
        held is None
        or spot.left > held.right
        or spot.right < held.left
        or spot.top > held.bottom
        or spot.bottom < held.top
    ):
        camera.light_box = spot
    box = camera.light_box or spot
    height, width = look.picture.shape[:2]
    top, left = int(box.top * height), int(box.left * width)
    part = look.picture[
        top : max(top + 1, int(box.bottom * height)) : 2, left : max(left + 1, int(box.right * width)) : 2
    ]
    return float(part.mean()), camera.light_box is not held
