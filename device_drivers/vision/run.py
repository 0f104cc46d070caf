"""~ `tocsin vision run`: the process of a site's cameras, told by one file, speaking to the site's broker.

Each camera is an MQTT device of profile tocsin-camera: `tocsin/vision/<camera>`, each drawn zone `…/<camera>/<zone>`.
A state is sent when it changes in kind, and every `say_every_s`; a process that is dead is a silent device to the
gateway, which is what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import sdnotify
import structlog

from device_drivers.mqtt_client import GmqttClientLink
from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.delegates import DelegatedDetector, TakeOver, litert_delegate
from device_drivers.vision.detector import SHIPPED, DetectorPool
from device_drivers.vision.evidence_store import EvidenceStore
from device_drivers.vision.evidence_thread import EvidenceThread
from device_drivers.vision.learn_store import HeadStore
from device_drivers.vision.model_card import TRUSTED_KEYS
from device_drivers.vision.object_detector import ObjectPool
from device_drivers.vision.places import PlaceState
from device_drivers.vision.process import VisionProcess, WatchedCamera
from device_drivers.vision.recorder import EvidenceRecorder
from device_drivers.vision.reports import SEEN, CameraReport, payloads
from device_drivers.vision.share import ShareCount
from device_drivers.vision.sources import now_us
from device_drivers.vision.vision_file import BrokerPlan, EvidencePlan, VisionPlan, parse_vision
from device_model.errors import ConfigError, Finding, LocalFault, PeerSilent
from device_model.site import Line, LineKind
from device_model.vision_words import CONTEXT, VERIFY, decode_ask, decode_values

_log = structlog.get_logger(__name__)
TICK_S = 0.5
UNJUDGED_S = 8.0


def read_plan(path: Path) -> VisionPlan:
    """The vision file. Raises ConfigError with every finding."""
    try:
        return parse_vision(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Finding(str(path), 0, 0, str(error), "give --config a vision file")]) from error


def run_vision(path: Path, *, for_s: float = 0.0, as_lines: bool = False) -> int:
    """Run until a signal, until every film has ended, or for so many seconds. A vision file that was changed, and is
    sound, is taken within a second. Returns the exit code."""
    while _run_once(path, for_s, as_lines=as_lines):
        _log.info("the vision file was changed and is taken")
    return 0


def _run_once(path: Path, for_s: float, *, as_lines: bool) -> bool:
    """Until the end, or (True) until the file is another."""
    plan = read_plan(path)
    watch = FileWatch(path)
    pool = detector_pool(plan, path.parent)
    evidence: EvidenceThread | None = None
    if plan.evidence is not None:
        evidence = EvidenceThread(partial(evidence_recorder, plan.evidence, path.parent, pool), now_us)
        evidence.start()

    def on_report(camera: WatchedCamera, report: CameraReport) -> None:
        if evidence is not None:
            evidence.report(camera, report)
        if as_lines:
            print(json.dumps(_line(report)), flush=True)

    process = VisionProcess(plan, pool, on_report, objects=object_pool(plan))
    try:
        return asyncio.run(_serve(process, for_s, watch))
    finally:
        process.stop()
        if evidence is not None:
            evidence.close()


def evidence_recorder(plan: EvidencePlan, beside: Path, pool: DetectorPool) -> EvidenceRecorder:
    """With its folder open. Raises LocalFault where the disk refuses."""
    store = EvidenceStore(beside / plan.folder, int(plan.quota_mib * 1024 * 1024), now_us)
    head = pool.head.digest() if pool.head is not None else ""
    return EvidenceRecorder(store, plan, pool.card, head_sha256=head)


def detector_pool(plan: VisionPlan, beside: Path) -> DetectorPool:
    """The detectors of a vision file, with the site's head where it has one. A head that is broken, or was fitted on
    another release, is left out and said: the shipped model watches all the same."""
    card_file = beside / plan.model if plan.model else SHIPPED
    trusted = (*TRUSTED_KEYS, *plan.trusted_keys)
    if plan.heads:
        try:
            head = HeadStore(beside / plan.heads, now_us).current()
            return DetectorPool(plan.detectors, card_file, trusted, head)
        except (ConfigError, LocalFault) as error:
            _log.error("the site's head is left out, the shipped model watches alone", what=str(error))
    if plan.delegate is None:
        return DetectorPool(plan.detectors, card_file, trusted)
    wish = plan.delegate
    # One accelerator for all detectors: who finds it busy uses the processor.
    take_over = TakeOver(lambda: litert_delegate(
        wish.library, wish.options, card_file, beside / wish.model if wish.model else None))
    return DetectorPool(plan.detectors, card_file, trusted,
                        make=lambda: DelegatedDetector(take_over, card_file, trusted))


class FileWatch:
    """Whether a vision file is another than at the beginning, and sound. A broken one is said once and changes
    nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self._stamp = path, self._seen(path)

    @staticmethod
    def _seen(path: Path) -> tuple[int, int]:
        try:
            stat = path.stat()
        except OSError:
            return (0, 0)
        return (stat.st_mtime_ns, stat.st_size)

    def changed(self) -> bool:
        """True where it is to be read anew."""
        stamp = self._seen(self._path)
        if stamp in (self._stamp, (0, 0)):
            return False
        self._stamp = stamp
        try:
            read_plan(self._path)
        except ConfigError as error:
            _log.error("the changed vision file is not taken, the old one runs on", what=str(error))
            return False
        return True


class Pulse:
    """The sign of life for whoever started us: a byte on the pipe of TOCSIN_PULSE_FD, systemd's watchdog."""

    def __init__(self) -> None:
        self._fd = int(os.environ.get("TOCSIN_PULSE_FD", "-1"))
        self._notifier = sdnotify.SystemdNotifier()
        self._notifier.notify("READY=1")

    def beat(self) -> None:
        """Alive. A pipe that nobody empties, or whose other end is gone, is none of our business."""
        self._notifier.notify("WATCHDOG=1")
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self._fd, b".")


def object_pool(plan: VisionPlan) -> ObjectPool | None:
    """The person detector where a zone asks for it. Without it the zones' readings are unknown, and that is said."""
    if not any(zone.scenes for camera in plan.cameras for zone in camera.zones):
        return None
    try:
        return ObjectPool(plan.detectors)
    except LocalFault as error:
        _log.error("people are not counted: every such reading is unknown", what=str(error))
        return None


def _line(report: CameraReport) -> dict[str, object]:
    return {
        "camera": report.camera,
        "state": report.state.value,
        "scores": report.scores,
        "delay_s": round(report.delay_s, 3),
        "decided": sorted({f"{s.zone}/{s.name}" for s in report.scenes if s.decision.decided}),
        "people": {p.zone: p.people for p in report.places},
    }


async def _serve(process: VisionProcess, for_s: float, watch: FileWatch) -> bool:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    link = (
        GmqttClientLink(broker_line(process.plan.broker), (f"{CONTEXT}/+", f"{VERIFY}/+"))
        if process.plan.broker is not None else None
    )
    process.start()
    end = loop.time() + for_s if for_s else float("inf")
    teller = Teller(process, now_us)
    beside = [asyncio.ensure_future(_beat(process))]
    if link is not None:
        beside.append(asyncio.ensure_future(_listen(process, link)))
    try:
        while not stop.is_set() and loop.time() < end and not process.ended():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_S)
            if link is not None and not await _tell(link, teller.due()):
                teller.forget()
            if watch.changed():
                return True
        return False
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if link is not None:
            await link.close()


async def _beat(process: VisionProcess) -> None:
    """The sign of life, for as long as no thread hangs; a loop that hangs gives none either."""
    pulse = Pulse()
    while True:
        if not (hung := process.hangs()):
            pulse.beat()
        else:
            _log.error("a thread hangs: no sign of life is given", thread=hung)
        await asyncio.sleep(TICK_S)


async def _listen(process: VisionProcess, link: GmqttClientLink) -> None:
    """The gateway's words."""
    async for message in link.messages():
        heard(process, message.topic, message.payload, now_us())


def heard(process: VisionProcess, topic: str, payload: bytes, now: int) -> None:
    """One message: values beside a camera, or a neighbour's alarm to look at. Anything else is no message of ours."""
    kind, _, name = topic.rpartition("/")
    camera = process.cameras.get(name)
    if camera is None:
        return
    if kind == CONTEXT and (values := decode_values(payload)) is not None:
        camera.values = values.values
    elif kind == VERIFY and (ask := decode_ask(payload)) is not None:
        camera.look_closer(now + int(ask.for_s * 1e6))
        _log.info("looking closer", camera=name, alarm=ask.alarm, for_s=ask.for_s)


async def _tell(link: GmqttClientLink, told: dict[str, bytes]) -> bool:
    """Whether the broker took all of it."""
    for topic, payload in told.items():
        try:
            await link.publish(f"tocsin/vision/{topic}", payload)
        except PeerSilent as error:
            _log.warning("the site's broker did not take a camera's state", topic=topic, what=str(error))
            return False
    return True


def broker_line(plan: BrokerPlan, name: str = "vision") -> Line:
    """The site's broker as a line that we speak on."""
    return Line(
        id=name,
        kind=LineKind.MQTT,
        host=plan.host,
        port=plan.port,
        username=plan.username,
        password_file=plan.password_file,
    )


class Teller:
    """What is to be sent now: a camera whose state changed at once, the others in their turn."""

    def __init__(self, process: VisionProcess, clock_us: Callable[[], int]) -> None:
        self._process, self._clock_us = process, clock_us
        self._said: dict[str, tuple[object, int]] = {}

    def due(self) -> dict[str, bytes]:
        """Topics behind `tocsin/vision/` and payloads."""
        now = self._clock_us()
        out: dict[str, bytes] = {}
        counts = self._process.counts()
        for name, camera in self._process.cameras.items():
            state = seen_state(camera, now)
            scenes = camera.last.scenes if camera.last is not None else ()
            places = camera.places.states if camera.places.asked else ()
            kind = (state, tuple(s.decision.decided for s in scenes), _kind(places))
            said = self._said.get(name)
            if said is None or said[0] != kind or now - said[1] >= self._process.plan.say_every_s * 1e6:
                self._said[name] = (kind, now)
                out.update(payloads(name, state, scenes, camera.thresholds(), counts.get(name, ShareCount()), places))
                if counts.get(name, ShareCount()).dropped:
                    _log.info(
                        "frames were dropped", camera=name, dropped=counts[name].dropped, judged=counts[name].judged
                    )
        return out


    def forget(self) -> None:
        """The broker did not take it: everything is due again at once, not in its turn."""
        self._said.clear()


def seen_state(camera: WatchedCamera, now: int) -> CameraState:
    """The camera's state; SILENT also when pictures come and nobody judges them: old scores are no scores."""
    state = camera.health.at(now)
    judged_us = camera.last.judged_us if camera.last is not None else 0
    if not camera.offline and now - judged_us > max(UNJUDGED_S, 4 * camera.plan.every_s) * 1e6:
        return CameraState.SILENT
    return state


def _kind(places: tuple[PlaceState, ...]) -> tuple[object, ...]:
    """What of the places is worth saying at once: another count, or a decision."""
    return tuple((p.people, (p.intrusion or 0) >= SEEN, (p.obstruction or 0) >= SEEN) for p in places)


def print_check(path: Path) -> int:
    """`tocsin vision check`: what is wrong in a vision file, or that nothing is."""
    plan = read_plan(path)
    print(f"ok: {len(plan.cameras)} camera(s)", file=sys.stdout)
    return 0
