"""~ `tocsin vision sweep`: one sweep after another, told to the site's broker, kept for the page.

```
 list (CSV) ─► sweep ─► suspicious ones: burst of some seconds each ─► state, last sweep, newest pictures
                                                                   └► broker: each camera, the sweep itself
```
The next sweep begins when the period is over, not when the last one ended: N cameras each ten minutes is a promise.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from device_drivers.mqtt_client import GmqttClientLink
from device_drivers.vision.burst import burst, burst_scores, sees
from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.run import broker_line, detector_pool, read_plan
from device_drivers.vision.sources import now_us
from device_drivers.vision.sweep import sweep
from device_drivers.vision.sweep_plan import SweepCamera, SweepPlan, parse_cameras
from device_drivers.vision.sweep_result import LastSweep, Outcome, SweepReport, SweepResult
from device_drivers.vision.sweep_store import SweepStore
from device_drivers.vision.sweep_words import sweep_message, swept_camera
from device_drivers.vision.vision_file import CameraPlan, VisionPlan
from device_model.errors import ConfigError, Finding, PeerSilent
from device_model.vision_words import VERIFY, VERIFY_S, decode_ask

_log = structlog.get_logger(__name__)
BURSTS_MAX = 32  # suspicious cameras looked at closer in one sweep; more are told as not decided, and said
BURSTS_AT_ONCE = 4


class Sweeper:
    """The sweeps of one vision file. Raises ConfigError, LocalFault where it cannot begin."""

    def __init__(self, path: Path, pool: DetectorPool | None = None) -> None:
        self.plan: VisionPlan = read_plan(path)
        if self.plan.sweep is None:
            raise ConfigError([Finding(str(path), 0, 0, "no sweep in it", "write sweep: {cameras: cameras.csv}")])
        self.sweep: SweepPlan = self.plan.sweep
        self.cameras = read_cameras(path.parent / self.sweep.cameras)
        self.store = SweepStore(path.parent / self.sweep.folder)
        self.pool = pool or detector_pool(self.plan, path.parent)

    def once(self) -> LastSweep:
        """One sweep, kept. Blocks for at most the period and a time-out."""
        began = now_us()
        report = sweep(
            self.store.targets(self.cameras),
            self.pool,
            period_s=self.sweep.period_s,
            timeout_s=self.sweep.timeout_s,
            workers=self.sweep.workers,
            picture=self.store.picture,
        )
        decided = self._closer(report)
        return self.store.keep(report, self.cameras, self.sweep, began, now_us(), decided)

    def _closer(self, report: SweepReport) -> dict[str, dict[str, float]]:
        """Bursts of the suspicious, the most suspicious first."""
        sources = {camera.id: camera.source for camera in self.cameras}
        suspicious = sorted((r for r in report.results if r.alarms), key=lambda r: -max(r.scores.values()))
        if not self.sweep.burst_s:
            return {}
        if len(suspicious) > BURSTS_MAX:
            _log.warning("more suspicious cameras than bursts", suspicious=len(suspicious), bursts=BURSTS_MAX)

        def look(camera: str) -> tuple[str, dict[str, float] | None]:
            seen = burst(CameraPlan(camera, sources[camera], every_s=0.2), self.pool, self.sweep.burst_s,
                         timeout_s=self.sweep.timeout_s)
            return camera, burst_scores(seen, self.pool) if seen is not None and sees(seen) else None

        with ThreadPoolExecutor(BURSTS_AT_ONCE) as threads:
            looked = list(threads.map(look, [r.camera for r in suspicious[:BURSTS_MAX]]))
        return {camera: scores for camera, scores in looked if scores is not None}

    def verify(self, camera: str, for_s: float) -> bytes | None:
        """A burst of one camera and its message; None for a camera that is not on the list."""
        source = next((c.source for c in self.cameras if c.id == camera), None)
        if source is None:
            return None
        seen = burst(CameraPlan(camera, source, every_s=0.2), self.pool, min(for_s, VERIFY_S),
                     timeout_s=self.sweep.timeout_s)
        if seen is None or not sees(seen):
            return swept_camera(SweepResult(camera, Outcome.SILENT, {}, (), CameraState.SILENT, 0.0), {}, None)
        result = SweepResult(camera, Outcome.SEEN, seen.scores, (), CameraState.WELL, 0.0)
        return swept_camera(result, {}, burst_scores(seen, self.pool))

    def messages(self, last: LastSweep) -> dict[str, bytes]:
        """Topics and payloads of a sweep."""
        thresholds = dict(zip(CLASSES, self.pool.card.thresholds, strict=True))
        told = {f"tocsin/sweep/{r.camera}": swept_camera(r, thresholds, last.decided.get(r.camera))
                for r in last.report.results}
        return told | {"tocsin/sweeps/all": sweep_message(last)}


def read_cameras(path: Path) -> tuple[SweepCamera, ...]:
    """The list. Raises ConfigError with every finding."""
    try:
        return parse_cameras(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Finding(str(path), 0, 0, str(error), "name a CSV file: camera,source,class")]) from error


def run_sweeps(path: Path, *, once: bool, told: Callable[[LastSweep], None]) -> None:
    """Sweep until a signal, or once. Raises ConfigError, LocalFault before the first."""
    asyncio.run(_sweeps(Sweeper(path), once, told))


async def _sweeps(sweeper: Sweeper, once: bool, told: Callable[[LastSweep], None]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    broker = sweeper.plan.broker
    link = GmqttClientLink(broker_line(broker, "vision-sweep"), (f"{VERIFY}/+",)) if broker is not None else None
    listening = asyncio.ensure_future(_listen(sweeper, link)) if link is not None else None
    try:
        while not stop.is_set():
            due = loop.time() + sweeper.sweep.period_s
            last = await asyncio.to_thread(sweeper.once)
            told(last)
            if link is not None:
                await _tell(link, sweeper.messages(last))
            if once:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, due - loop.time()))
    finally:
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        if link is not None:
            await link.close()


async def _listen(sweeper: Sweeper, link: GmqttClientLink) -> None:
    """A neighbour's alarm: a camera of the list is watched at once, not with the next sweep."""
    async for message in link.messages():
        ask = decode_ask(message.payload)
        camera = message.topic.rpartition("/")[2]
        if ask is None:
            continue
        payload = await asyncio.to_thread(sweeper.verify, camera, ask.for_s)
        if payload is not None:
            _log.info("looked closer", camera=camera, alarm=ask.alarm)
            await _tell(link, {f"tocsin/sweep/{camera}": payload})


async def _tell(link: GmqttClientLink, messages: dict[str, bytes]) -> None:
    for _ in range(100):  # the first sweep may be over before the broker has answered
        if link.connected:
            break
        await asyncio.sleep(0.05)
    for topic, payload in messages.items():
        try:
            await link.publish(topic, payload)
        except PeerSilent as error:
            _log.warning("the site's broker did not take a sweep's result", topic=topic, what=str(error))
            return
