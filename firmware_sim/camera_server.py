"""CameraServer (I/O): many RTSP cameras on one port, served by a child that has GStreamer (camera_child.py).

    SimCameras ──clips made once (ffmpeg), kept by recipe──► child ──rtsp://host:port/mount──► viewers
        show(camera, state) ──JSON line──► child
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from device_model.errors import LocalFault
from firmware_sim.camera import DRAWN, FPS, CameraState, SimCamera, clip_command, pipeline

# Debian's interpreter: the GStreamer bindings belong to it.
SYSTEM_PYTHON = "/usr/bin/python3"
CHILD = Path(__file__).resolve().parent / "camera_child.py"
START_S = 30.0
_REMEDY = "install gstreamer1.0-plugins-bad gir1.2-gst-rtsp-server-1.0 python3-gi ffmpeg (tools/bootstrap.sh does)"


class CameraServer:
    """Serves cameras until closed. clips: a folder to keep clips in. scenes: further states by name, each a film."""

    def __init__(
        self, cameras: Sequence[SimCamera], clips: Path, *, host: str = "127.0.0.1", port: int = 0,
        scenes: Mapping[str, Path] | None = None,
    ) -> None:
        self.port = port
        self._cameras = {camera.id: camera for camera in cameras}
        self._clips, self._host, self._scenes = clips, host, dict(scenes or {})
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The child's process id, 0 while there is none; for measuring."""
        return self._child.pid if self._child is not None else 0

    def url(self, camera: str) -> str:
        """Where a camera is seen. Raises KeyError for an unknown one."""
        return f"rtsp://{self._host}:{self.port}{self._cameras[camera].mount}"

    async def start(self) -> None:
        """Make the clips that are not there yet, start the child. Raises LocalFault with the remedy."""
        made = {str(state): await self._clip(state) for state in DRAWN}
        for name, film in self._scenes.items():
            made[name] = await self._clip(name, str(film))
        plan = {"host": self._host, "port": self.port, "fps": FPS, "pipeline": pipeline(), "clips": made,
                "cameras": [[camera.mount, camera.state] for camera in self._cameras.values()]}
        try:
            self._child = await asyncio.create_subprocess_exec(
                SYSTEM_PYTHON, "-I", str(CHILD), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL)
        except OSError as error:
            raise LocalFault(f"no {SYSTEM_PYTHON} ({error.strerror}): {_REMEDY}") from error
        await self._tell(plan)
        assert self._child.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(self._child.stdout.readline(), START_S)
        try:
            answer = msgspec.json.decode(line, type=dict[str, int | str])
            self.port = int(answer["port"])
        except (msgspec.DecodeError, KeyError, ValueError) as error:
            await self.close()
            why = line.decode(errors="replace").strip() or "the child ended"
            raise LocalFault(f"the camera server did not start ({why}): {_REMEDY}, or choose another port") from error

    async def show(self, camera: str, state: str) -> None:
        """From the next picture on a camera shows another state. Raises KeyError, ValueError for unknown names."""
        if state not in (*CameraState, *self._scenes):
            raise ValueError(f"no state {state!r}; there are {', '.join((*CameraState, *self._scenes))}")
        await self._tell({"mount": self._cameras[camera].mount, "state": state})

    async def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 3.0)
        except TimeoutError:
            child.kill()
            await child.wait()

    async def _tell(self, order: object) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.write(msgspec.json.encode(order) + b"\n")
            with contextlib.suppress(ConnectionError):  # an ended child is seen when its answer is read
                await self._child.stdin.drain()

    async def _clip(self, state: str, film: str = "") -> str:
        """A clip's path; made where no clip of this recipe is there."""
        recipe = repr(clip_command(state, "", film)).encode()
        path = self._clips / f"{state}-{hashlib.sha256(recipe).hexdigest()[:12]}.h264"
        if not path.exists():
            self._clips.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".part")
            try:
                making = await asyncio.create_subprocess_exec(
                    *clip_command(state, str(half), film), stderr=asyncio.subprocess.PIPE)
            except OSError as error:
                raise LocalFault(f"no ffmpeg ({error.strerror}): {_REMEDY}") from error
            _, said = await making.communicate()
            if making.returncode:
                raise LocalFault(f"the clip {state} cannot be made ({said.decode(errors='replace')[-300:].strip()})")
            half.rename(path)
        return str(path)
