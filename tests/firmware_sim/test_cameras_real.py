"""Cameras, opened by ffprobe and ffmpeg: programs that share no code with the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from firmware_sim.camera import CLIP_S, FPS, HEIGHT, WIDTH, CameraState, access_units, many_cameras
from firmware_sim.camera_server import CameraServer

pytestmark = pytest.mark.real


@pytest_asyncio.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CameraServer]:
    clips = tmp_path_factory.getbasetemp() / "clips"  # made once for all tests of the run
    it = CameraServer(many_cameras(5), clips)
    await it.start()
    yield it
    await it.close()


async def output(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return said


async def grey_pictures(url: str, count: int) -> list[bytes]:
    """So many decoded pictures, small and grey."""
    said = await output("ffmpeg", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", url, "-frames:v", str(count),
                        "-vf", "scale=64:36:flags=area,format=gray", "-f", "rawvideo", "-")
    size = 64 * 36
    assert len(said) == count * size
    return [said[at:at + size] for at in range(0, len(said), size)]


def differ(a: bytes, b: bytes) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


async def test_ffprobe_opens_every_camera(server: CameraServer) -> None:
    async def probe(number: int) -> dict[str, object]:
        said = await output("ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-show_streams", "-of", "json",
                            server.url(f"cam-{number}"))
        return json.loads(said)["streams"][0]  # type: ignore[no-any-return]  # json's own Any

    for stream in await asyncio.gather(*(probe(n) for n in range(1, 6))):
        assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", WIDTH, HEIGHT)
        assert stream["avg_frame_rate"] == f"{FPS}/1"


async def test_each_state_looks_like_what_it_is(server: CameraServer) -> None:
    pictures = {}
    for number, state in enumerate(CameraState, 1):
        await server.show(f"cam-{number}", state)
    found = await asyncio.gather(*(grey_pictures(server.url(f"cam-{n}"), 12) for n in range(1, 6)))
    pictures = dict(zip(CameraState, found, strict=True))
    mean = {state: sum(shown[0]) / len(shown[0]) for state, shown in pictures.items()}
    spread = {state: max(shown[0]) - min(shown[0]) for state, shown in pictures.items()}
    assert differ(pictures[CameraState.FROZEN][0], pictures[CameraState.FROZEN][-1]) == 0.0
    assert differ(pictures[CameraState.NORMAL][0], pictures[CameraState.NORMAL][-1]) > 0.3
    assert mean[CameraState.DARK] < 40 < mean[CameraState.NORMAL]
    assert spread[CameraState.BLIND] < 20 < spread[CameraState.NORMAL]
    assert differ(pictures[CameraState.MOVED][0], pictures[CameraState.NORMAL][0]) > 10


async def test_a_state_changes_while_somebody_looks(server: CameraServer) -> None:
    looking = asyncio.create_task(grey_pictures(server.url("cam-1"), 4 * FPS))
    await asyncio.sleep(1.5)  # the viewer is real, so is its time
    await server.show("cam-1", CameraState.DARK)
    shown = await looking
    light = [sum(picture) / len(picture) for picture in shown]
    assert light[0] > 60 and light[-1] < 40


async def test_a_clip_is_cut_into_its_pictures(
    server: CameraServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clip = next(Path(tmp_path_factory.getbasetemp() / "clips").glob("normal-*.h264"))
    units = access_units(clip.read_bytes())
    assert len(units) == FPS * CLIP_S and b"".join(units) == clip.read_bytes()
    with pytest.raises(ValueError, match="no state"):
        await server.show("cam-1", "asleep")
