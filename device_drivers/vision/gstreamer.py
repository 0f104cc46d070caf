"""Pipelines for a GStreamer child whose standard output is raw pictures: the Jetson's way in, and any other's.

JetPack's Python is older than ours and its GStreamer knows the camera (`nvarguscamerasrc`) and the decoder chip, so
the child is `gst-launch-1.0 … ! fdsink` and we read fixed-size RGB frames. Text is checked here: a camera's address
may not smuggle another element into the pipeline.
"""

from __future__ import annotations

import re

import msgspec

from device_model.errors import ConfigError, Finding

_ADDRESS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@$&'()*+,;=%-]{1,512}\Z")


class RawShape(msgspec.Struct, frozen=True):
    """Size and rate of the raw pictures. One is width x height x 3 bytes, RGB."""

    width: int = 640
    height: int = 360
    fps: int = 5

    @property
    def frame_bytes(self) -> int:
        """Bytes of one picture."""
        return self.width * self.height * 3


def gstreamer_command(source: str, shape: RawShape) -> list[str]:
    """Arguments of the child for a source: "jetson:0", "jetson-rtsp://…", "v4l2:/dev/video0", "test:ball".

    Raises ConfigError for anything else.
    """
    raw = f"video/x-raw,format=RGB,width={shape.width},height={shape.height}"
    tail = [
        "!",
        "videoconvert",
        "!",
        "videoscale",
        "!",
        "videorate",
        "drop-only=true",
        "!",
        f"{raw},framerate={shape.fps}/1",
        "!",
        "fdsink",
        "fd=1",
        "sync=false",
    ]
    return ["gst-launch-1.0", "-q", *_head(source, shape), *tail]


def _head(source: str, shape: RawShape) -> list[str]:
    kind, _, rest = source.partition(":")
    nvidia = f"video/x-raw,format=BGRx,width={shape.width},height={shape.height}"
    if kind == "jetson" and rest.isdigit():
        return [
            "nvarguscamerasrc",
            f"sensor-id={rest}",
            "!",
            "video/x-raw(memory:NVMM),format=NV12",
            "!",
            "nvvidconv",
            "!",
            nvidia,
        ]
    if kind == "jetson-rtsp" and _ADDRESS.match(rest):
        return [
            "rtspsrc",
            f"location=rtsp:{rest}",
            "protocols=tcp",
            "latency=200",
            "!",
            "rtph264depay",
            "!",
            "h264parse",
            "!",
            "nvv4l2decoder",
            "!",
            "nvvidconv",
            "!",
            nvidia,
        ]
    if kind == "v4l2" and re.fullmatch(r"/dev/video\d{1,3}", rest):
        return ["v4l2src", f"device={rest}"]
    if kind == "test" and re.fullmatch(r"[a-z0-9-]{1,24}", rest):
        return ["videotestsrc", "is-live=true", f"pattern={rest}"]
    raise ConfigError(
        [
            Finding(
                source,
                0,
                0,
                "no GStreamer source of ours",
                "write jetson:0, jetson-rtsp://…, v4l2:/dev/video0 or test:ball",
            )
        ]
    )
