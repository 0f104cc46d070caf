"""SimBench (I/O): a running simulator with what a tester needs beside it: trace, cameras, runs of scenarios, a batch.

    SimRuntime ── bytes, messages ──► FrameLog ──► trace (pcapng, CSV), frames in words
        └─ SimWorld ── SimControls ──► views, deeds            RunKeeper: verdicts      BatchRun: units
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from device_model.clock import SECOND_US, Clock
from device_model.errors import ConfigError, Finding, TocsinError
from firmware_sim.camera import many_cameras
from firmware_sim.camera_server import CameraServer
from firmware_sim.controls import SimControls
from firmware_sim.frame_log import FrameLog
from firmware_sim.frame_words import frame_words
from firmware_sim.mqtt_clients import MqttLine
from firmware_sim.mqtt_device import Publish
from firmware_sim.pcapng import as_pcapng
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.serve import SimRuntime
from firmware_sim.world import STEP_S, SimWorld
from trial.batch import parse_lines
from trial.batch_run import BatchRun
from trial.gateway_join import GatewayJoin
from trial.profile_desk import ProfileDesk
from trial.profile_shelf import ProfileShelf
from trial.runs import RUNS_MAX, RunKeeper
from trial.scenario_files import find_scenario, is_complete, shipped_scenarios, titles_of

FRAMES_SHOWN = 40  # in one look; the page keeps the last 200
RUNS_SHOWN = 20
CAMERAS_SHOWN = 20
_PORTS = {LineKind.MODBUS_TCP: 502, LineKind.MODBUS_TLS: 802, LineKind.MQTT: 1883, LineKind.GBT26875: 5200,
          LineKind.HJ212: 5201}

_log = structlog.get_logger("sim.page")


class LiveFrame(msgspec.Struct, frozen=True):
    """One frame for the page."""

    number: int
    at_s: float
    ours: bool
    hex: str
    words: str


class SimBench:
    """Runs until cancelled. folder: for clips; reports: for verdicts and batches, which outlive the page (by default
    `folder`). cameras: how many RTSP cameras are served as well. shelf: the profiles that the editor opens and keeps.
    broker: where edited MQTT profiles run, "": a broker of their own. gateway_ca: who signs a gateway's page."""

    def __init__(self, world: SimWorld, clock: Clock, folder: Path, *, cameras: int = 0,
                 truth: Path | None = None, reports: Path | None = None, shelf: ProfileShelf | None = None,
                 broker: str = "", gateway_ca: Path | None = None) -> None:
        self.closing = False  # set it, and open pages end: a server waits for its streams
        self._clock, self._folder = clock, folder
        self._gateway_ca = gateway_ca
        self._join: GatewayJoin | None = None
        self._join_task: asyncio.Task[None] | None = None
        self.desk = ProfileDesk(clock, shelf or ProfileShelf(None), folder, broker)
        self._cameras = many_cameras(cameras)
        self.controls = SimControls(world, [camera.id for camera in self._cameras])
        self.frames = FrameLog(clock.now().wall_us)
        self._reports = reports if reports is not None else folder
        began = datetime.fromtimestamp(clock.now().wall_us // SECOND_US, UTC).strftime("%Y%m%d-%H%M%S")
        self.runs = RunKeeper(self._reports / f"runs-{began}")
        self.batch: BatchRun | None = None
        self._batch_task: asyncio.Task[Any] | None = None
        self._batch_error = ""
        self._batch_name = ""
        self._shown: dict[str, str] = {}
        self._camera_server: CameraServer | None = None
        self.cameras_ready = asyncio.Event()
        if not self._cameras:
            self.cameras_ready.set()
        self._titles = _titles()
        self.runtime = SimRuntime(world, clock, truth=truth, on_octets=self._octets, on_message=self._message)

    # ---- life ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open all ports, then live until cancelled. Raises LocalFault for a port that cannot be had."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.runtime.run())
                if self._cameras:
                    group.create_task(self._serve_cameras())
        except* TocsinError as failed:
            raise failed.exceptions[0] from None
        finally:
            self.stop_batch()
            self.part()
            await self.desk.stop()
            await self.runs.close()
            if self._camera_server is not None:
                await self._camera_server.close()

    async def all_up(self) -> None:
        """Returns when ports and cameras stand."""
        await self.runtime.ready.wait()
        await self.cameras_ready.wait()

    async def _serve_cameras(self) -> None:
        self._camera_server = CameraServer(self._cameras, self._folder / "clips")
        await self._camera_server.start()
        self.cameras_ready.set()
        while True:
            for camera in self._cameras:
                state = self.controls.world.camera_state(camera.id, self.at_s())
                if self._shown.get(camera.id, "normal") != state:
                    self._shown[camera.id] = state
                    await self._camera_server.show(camera.id, state)
            await self._clock.sleep(STEP_S)

    def at_s(self) -> float:
        """Shown seconds since the ports opened."""
        return self.runtime.at_s()

    def _octets(self, line: str, connection: int, ours: bool, octets: bytes) -> None:
        self.frames.add(round(self.at_s() * SECOND_US), line, octets, ours=ours, connection=connection)

    def _message(self, line: str, device: str, message: Publish) -> None:
        self.frames.add(round(self.at_s() * SECOND_US), line, message.payload, ours=True, topic=message.topic,
                        device=device)

    # ---- views --------------------------------------------------------------------------------------------

    def about(self, language: str) -> dict[str, Any]:
        """What does not change while it runs."""
        scenario = self.controls.world.scenario
        return {
            "scenario": scenario.scenario, "title": scenario.zh if language == "zh" else scenario.en,
            "seed": scenario.seed, "devices": len(self.controls.world.devices),
            "targets": self.controls.targets(), "names": self.controls.names(),
            "points": self._point_names(), "scenarios": self._titles,
        }

    def cameras(self) -> list[dict[str, Any]]:
        """Each camera as a line: where it is seen, and what it shows."""
        server = self._camera_server
        if server is None or not self.cameras_ready.is_set():
            return []
        return [{"id": camera.id, "kind": "rtsp", "address": server.url(camera.id),
                 "state": self._shown.get(camera.id, "normal")} for camera in self._cameras[:CAMERAS_SHOWN]]

    def _point_names(self) -> dict[str, list[str]]:
        return {profile.id: [point.id for point in profile.points]
                for profile in {d.profile.id: d.profile for d in self.controls.world.devices.values()}.values()}

    def lines(self) -> list[dict[str, Any]]:
        """Each line with its address and how it stands."""
        opened = dict(zip([line.id for line in self.controls.world.scenario.lines], self.runtime.lines, strict=False))
        found = []
        for line in self.controls.world.scenario.lines:
            live = opened.get(line.id)
            address = self.runtime.addresses.get(line.id, "")
            row: dict[str, Any] = {"id": line.id, "kind": line.kind, "address": address}
            if isinstance(live, MqttLine):
                row |= {"connected": live.connected, "sessions": live.sessions, "published": live.published,
                        "lost": live.lost}
            found.append(row)
        return found + self.cameras()

    def look(
        self, find: str, first: int, device: str, line: str, frames_after: int, language: str,
    ) -> tuple[dict[str, Any], list[LiveFrame]]:
        """What one page sees now, and the frames since its last look."""
        controls, world = self.controls, self.controls.world
        chosen = world.devices.get(device)
        entry = world.scenario.device(device) if chosen is not None else None
        line = line or (entry.line if entry is not None else "")
        kind = next((it.kind for it in world.scenario.lines if it.id == line), None)
        frames = self.frames.after(frames_after, line, FRAMES_SHOWN, device) if kind is not None else []
        listed = controls.devices(find, first, 50)
        wanted = {row.id for row in listed.rows} | ({device} if chosen is not None else set())
        view = {
            "at_s": int(self.at_s()), "list": listed, "line": line, "lines": self.lines(),
            "gateway": self._join.view(wanted) if self._join is not None else None,
            "device": controls.device(device) if chosen is not None else None,
            "knobs": controls.knobs(), "readings": controls.readings(), "faults": controls.faults(self.at_s()),
            "runs": self.runs.runs[:-RUNS_SHOWN - 1:-1], "batch": self.batch_state(),
            "fires": self.runtime.fires, "dropped": self.frames.dropped,
        }
        return view, [
            LiveFrame(f.number, round(f.at_us / 1e6, 3), f.ours, f.octets[:256].hex(" ").upper(),
                      frame_words(kind, f, language) if kind is not None else "")
            for f in frames]

    def trace(self, name: str, form: str = "") -> tuple[str, bytes]:
        """(file name, content) of a line's trace: pcapng, csv, or jsonl (to replay); "" as suits the line.
        Raises ConfigError."""
        line = self._line(name)
        serial = line.kind in (LineKind.PTY, LineKind.SERIAL)
        form = form or ("csv" if serial else "pcapng")
        if form == "csv":
            return f"{name}.csv", self.frames.as_csv(line).encode()
        if form == "jsonl":
            from firmware_sim.line_recording import file_text

            recorded = self.frames.line_file(line)
            return f"{name}.jsonl", file_text(recorded.head, recorded.pieces).encode()
        if form != "pcapng":
            raise _no("trace", f"no form {form!r}", "ask for pcapng, csv or jsonl")
        return f"{name}.pcapng", as_pcapng(self.frames.line_file(line), _PORTS.get(line.kind, 502))

    def _line(self, name: str) -> SimLine:
        for line in self.controls.world.scenario.lines:
            if line.id == name:
                return line
        raise _no("trace", f"no line {name!r}", f"there are {', '.join(self.controls.names()['line'][:20])}")

    # ---- the gateway ----------------------------------------------------------------------------------------

    def join(self, url: str) -> str:
        """Show beside the devices what the gateway with this local page holds of them; its address. Raises
        LocalFault for what is none. Within the running loop."""
        joined = GatewayJoin(url, self.runtime, self._gateway_ca)
        self.part()
        self._join = joined
        self._join_task = asyncio.get_running_loop().create_task(joined.run())
        return joined.url

    def part(self) -> None:
        """Show the devices alone."""
        if self._join_task is not None:
            self._join_task.cancel()
        self._join = self._join_task = None

    # ---- runs and batches -----------------------------------------------------------------------------------

    def start_run(self, name: str, seed: int | None, disabled: tuple[str, ...], language: str) -> int:
        """Begin to judge a scenario; its number. Raises ConfigError for one that is not there."""
        path = find_scenario(name)
        if not is_complete(path):
            raise _no(name, "the scenario names no site, so there is no verdict", "see `tocsin sim list`")
        if len(self.runs.runs) >= RUNS_MAX:
            raise _no(name, f"{RUNS_MAX} runs have been made", "start the page again")
        return self.runs.start(name, seed=seed, disabled=disabled, language=language).number

    def start_batch(self, name: str, lines: str, language: str) -> int:
        """Begin a batch; how many units. Raises ConfigError."""
        if self._batch_task is not None and not self._batch_task.done():
            raise _no("batch", "a batch is at work", "wait for its end, or stop it")
        batch = parse_lines(lines, name.strip() or "batch")
        self.batch, self._batch_error, self._batch_name = (
            BatchRun(batch, self._reports / "batches", self._clock, language=language), "", batch.batch)
        self._batch_task = asyncio.get_running_loop().create_task(self._work(self.batch))
        return len(batch.units)

    async def _work(self, batch: BatchRun) -> None:
        try:
            await batch.run()
        except OSError as error:
            self._batch_error = str(error)

    def stop_batch(self) -> None:
        """End the batch at work; it may be started again under its name."""
        if self._batch_task is not None:
            self._batch_task.cancel()

    def batch_state(self) -> dict[str, Any] | None:
        """How the batch stands."""
        if self.batch is None or self._batch_task is None:
            return None
        return {"name": self._batch_name, "units": len(self.batch.batch.units), "done": len(self.batch.results),
                "now_at": self.batch.now_at if not self._batch_task.done() else "", "error": self._batch_error,
                "running": not self._batch_task.done(), "results": self.batch.results[-50:]}

    async def closed(self, task: asyncio.Task[Any]) -> None:
        """End the bench's own task."""
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _titles() -> list[tuple[str, str, str]]:
    """(name, zh, en) of the shipped scenarios that can be judged; one that is broken is not offered."""
    found = []
    for name, path in shipped_scenarios().items():
        with contextlib.suppress(ConfigError):
            if is_complete(path):
                found.append((name, *titles_of(path)))
    return found


def _no(where: str, what: str, remedy: str) -> ConfigError:
    return ConfigError([Finding(where, 0, 0, what, remedy)])
