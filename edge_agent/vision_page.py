"""VisionPage (I/O): `tocsin vision page`, the process that serves the cameras' page of a gateway.

    browser ─► dashboards/vision_page ─► VisionDoor ─► vision file (checked, with its versions), sweep folder, cameras

A process of its own, as the local page is. What is drawn goes into the vision file, whose process takes it within a
second; the file as it was before stays beside it, ten versions deep.
"""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import msgspec
import structlog
import uvicorn
from PIL import Image

from dashboards.people import Person
from dashboards.pin_rights import CONTRACTOR, DUTY, PROPERTY
from dashboards.pins import PinDoor, people_of, set_pin
from dashboards.rights import ROLES, Deed, may
from dashboards.vision_page import CameraSketch, CamerasView, SweepView, SweptRow, create_vision_app
from device_drivers.vision.blur import blurred
from device_drivers.vision.label_desk import FolderDesk
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.object_detector import ObjectDetector
from device_drivers.vision.objects import Tile
from device_drivers.vision.reports import SEEN
from device_drivers.vision.run import read_plan
from device_drivers.vision.scenes import SCENES, paint_masks
from device_drivers.vision.sources import now_us, open_source
from device_drivers.vision.sweep_result import Outcome
from device_drivers.vision.sweep_store import Looked, SweepStore
from device_drivers.vision.vision_file import VisionPlan
from device_drivers.vision.zone_edit import Drawing, with_drawing
from device_model.errors import ConfigError, Finding, LocalFault, PeerError
from device_model.site_checks import LOOPBACK

log = structlog.get_logger("vision page")
VERSIONS = 10
# Which role a PIN has that is made for somebody whom the vision file names: never more than that person may there.
ROLE_OF_PIN = {"property": PROPERTY, "admin": PROPERTY, "contractor": CONTRACTOR, "brigade": DUTY, "desk": DUTY,
               "officer": DUTY}
ROWS_MAX = 5000
# Faces are small: the frame is looked at whole and in four overlapping parts.
LOOKS = (Tile(0, 0, 1, 1), Tile(0, 0, 0.6, 0.6), Tile(0.4, 0, 1, 0.6), Tile(0, 0.4, 0.6, 1), Tile(0.4, 0.4, 1, 1))


class VisionDoor:
    """`dashboards.vision_page.VisionDesk`. Thread-safe."""

    def __init__(self, config: Path, detector: ObjectDetector | None = None) -> None:
        """Raises ConfigError, LocalFault: no page without a vision file that can be read."""
        self._config = config
        self._lock = threading.Lock()
        self._detector = detector or _detector()
        self.plan()

    def plan(self) -> VisionPlan:
        """The vision file of now."""
        return read_plan(self._config)

    def may_look(self, who: str) -> bool:
        """Whether that person's role may see pictures (`Deed.SEE_EVIDENCE`)."""
        return self._may(who, Deed.SEE_EVIDENCE)

    def may_draw(self, who: str) -> bool:
        """The same, for zones and masks (`Deed.CONFIGURE`)."""
        return self._may(who, Deed.CONFIGURE)

    def may_label(self, who: str) -> bool:
        """The same, for saying what the cameras saw (`Deed.LABEL_PICTURES`)."""
        return self._may(who, Deed.LABEL_PICTURES)

    def _may(self, who: str, deed: Deed) -> bool:
        role = self.plan().page.people.get(who, "")
        return may(Person(who, role), deed)

    # -- zones and masks ---------------------------------------------------------------------------------------

    def cameras(self) -> CamerasView:
        """Everything drawn. Raises ConfigError."""
        plan = self.plan()
        return CamerasView(
            tuple(CameraSketch(c.id, tuple(msgspec.to_builtins(z) for z in c.zones), c.masks) for c in plan.cameras),
            SCENES, CLASSES, bool(self._versions()))

    def save(self, camera: str, drawing: bytes, who: str) -> None:
        """Check and write. Raises ConfigError with every finding, LocalFault."""
        try:
            wanted = msgspec.json.decode(drawing, type=Drawing)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError([Finding(camera, 0, 0, f"no drawing: {error}", "draw it again")]) from error
        with self._lock:
            text = self._config.read_text(encoding="utf-8")
            changed = with_drawing(text, camera, wanted, str(self._config))
            if changed == text:
                return
            self._keep_version(text)
            self._write(changed)
        log.info("zones drawn", camera=camera, who=who, zones=len(wanted.zones), masks=len(wanted.masks))

    def undo(self, who: str) -> bool:
        """The version before the last change; False where there is none. Raises LocalFault."""
        with self._lock:
            versions = self._versions()
            if not versions:
                return False
            self._write(versions[-1].read_text(encoding="utf-8"))
            versions[-1].unlink()
        log.info("zones undone", who=who)
        return True

    def _folder(self) -> Path:
        return self._config.with_name(f".{self._config.name}.before")

    def _versions(self) -> list[Path]:
        folder = self._folder()
        return sorted(folder.glob("*.yaml")) if folder.is_dir() else []

    def _keep_version(self, text: str) -> None:
        try:
            self._folder().mkdir(mode=0o700, exist_ok=True)
            versions = self._versions()
            number = int(versions[-1].stem) + 1 if versions else 1
            (self._folder() / f"{number:09}.yaml").write_text(text, encoding="utf-8")
            for old in versions[: -VERSIONS + 1]:
                old.unlink()
        except OSError as error:
            raise LocalFault(f"{self._folder()}: {error.strerror}: without a way back nothing is changed") from error

    def _write(self, text: str) -> None:
        try:
            fresh = self._config.with_name(f".{self._config.name}.new")
            fresh.write_text(text, encoding="utf-8")
            fresh.chmod(self._config.stat().st_mode & 0o777)
            fresh.replace(self._config)
        except OSError as error:
            raise LocalFault(f"{self._config}: {error.strerror}") from error

    # -- pictures ----------------------------------------------------------------------------------------------

    def picture(self, camera: str, who: str) -> bytes:
        """A fresh picture, people blurred. Raises KeyError, LocalFault."""
        plan = self.plan()
        found = next((c for c in plan.cameras if c.id == camera), None)
        if found is None:
            raise KeyError(camera)
        self._log(plan, Looked(now_us(), who, camera, "now"))
        try:
            source = open_source(found.source, timeout_s=5.0, keys_only=True)
            try:
                frame = next(source.frames(), None)
            finally:
                source.close()
        except PeerError as error:
            raise LocalFault(str(error)) from error
        if frame is None:
            raise KeyError(camera)
        return self._shown(paint_masks(frame.picture, found.masks))

    def _log(self, plan: VisionPlan, looked: Looked) -> None:
        folder = self._config.parent / (plan.sweep.folder if plan.sweep is not None else "looks")
        SweepStore(folder).log(looked)

    def swept_picture(self, camera: str, who: str) -> bytes:
        """The newest of a sweep, people blurred. Raises KeyError, LocalFault."""
        store = self._store()
        if store is None:
            raise KeyError(camera)
        return self._shown(store.look(camera, who, now_us()))

    def _shown(self, picture: object) -> bytes:
        import numpy as np

        pixels = np.asarray(picture, np.uint8)
        with self._lock:
            boxes = self._detector.see(pixels, LOOKS) if self._detector is not None else None
        buffer = io.BytesIO()
        Image.fromarray(blurred(pixels, boxes)).save(buffer, "JPEG", quality=85)
        return buffer.getvalue()

    def _store(self) -> SweepStore | None:
        sweep = self.plan().sweep
        return SweepStore(self._config.parent / sweep.folder) if sweep is not None else None

    def sweep(self) -> SweepView:
        """The last sweep: the dead and the suspicious first."""
        now = now_us()
        store = self._store()
        last = store.last() if store is not None else None
        if store is None or last is None:
            return SweepView(now)
        rows = []
        for result in last.report.results[:ROWS_MAX]:
            known = last.cameras_of.get(result.camera)
            decided = tuple(n for n, s in last.decided.get(result.camera, {}).items() if s >= SEEN)
            rows.append(SweptRow(
                result.camera, result.outcome.value, result.state.value, result.took_s,
                known.seen_us if known else 0, known.missed if known else 0, store.has(result.camera),
                result.alarms, decided, _without_address(result.what)))
        rows.sort(key=lambda r: (not r.decided, not r.alarms, r.outcome == Outcome.SEEN.value, -r.missed, r.camera))
        ages = [(now - c.seen_us, name) for name, c in last.cameras_of.items() if c.seen_us]
        longest, name = max(ages, default=(0, ""))
        return SweepView(
            now, last.began_us, last.period_s, last.report.sweep_s, last.cameras, last.report.swept,
            last.report.outcomes.get(Outcome.SEEN.value, 0), last.kept,
            sum(1 for c in last.cameras_of.values() if not c.seen_us), round(longest / 1e6, 1), name,
            self._detector is not None, tuple(rows))


def _without_address(what: str) -> str:
    """Why a camera was not seen, without where it is: the page may be seen by anybody who reaches it."""
    return what.rpartition(": ")[2][:120]


def _detector() -> ObjectDetector | None:
    try:
        return ObjectDetector()
    except LocalFault as fault:
        log.warning("no person detector: whole pictures are made coarse", reason=str(fault))
        return None


def _clips_to_label(config: Path, plan: VisionPlan) -> FolderDesk | None:
    """The folder of `tocsin vision record`, where the vision file names one that is there."""
    folder = config.parent / plan.candidates
    return FolderDesk(folder) if plan.candidates and folder.is_dir() else None


def serve_vision_page(config: Path, *, port: int | None = None) -> None:
    """Serve until SIGTERM. Raises ConfigError, LocalFault."""
    door = VisionDoor(config)
    page = door.plan().page
    if page.host not in LOOPBACK and not (page.certificate_file and page.key_file):
        raise LocalFault(f"the page would be seen on {page.host} without TLS; name certificate_file and key_file")
    pins = PinDoor(config.parent / page.pin_file if page.pin_file else None, time.monotonic)
    try:
        app = create_vision_app(door, pins, _clips_to_label(config, door.plan()))
        uvicorn.run(app, host=page.host, port=page.port if port is None else port,
                    log_level="warning", access_log=False, server_header=False, limit_concurrency=100,
                    ssl_certfile=page.certificate_file or None, ssl_keyfile=page.key_file or None,
                    timeout_graceful_shutdown=2)
    except SystemExit as error:  # uvicorn's way to say that the port is taken
        raise LocalFault(f"the page cannot listen on {page.host}:{page.port}") from error


def set_vision_pin(config: Path, name: str, pin: str) -> Path:
    """Make, replace or (with an empty PIN) remove a person's PIN; returns the file. Raises LocalFault."""
    page = read_plan(config).page
    if not page.pin_file:
        raise LocalFault("the vision file names no pin_file: add page: {pin_file: pins.json}")
    role = page.people.get(name.strip(), "")
    if pin and role not in ROLES:
        raise LocalFault(f"the vision file gives {name!r} no role: add page: {{people: {{{name}: property}}}}; "
                         f"roles are {', '.join(ROLES)}")
    if pin and role not in ROLE_OF_PIN:
        raise LocalFault(f"{role} neither sees pictures nor draws: roles that do are {', '.join(ROLE_OF_PIN)}")
    file = config.parent / page.pin_file
    # Who has a PIN already, in the file that the gateway's page may share, keeps its role: here is no way to another.
    set_pin(file, name, pin, people_of(file).get(name.strip()) or ROLE_OF_PIN.get(role, PROPERTY))
    return file
