"""A picture with its times, an encoded packet, and the address of a source: what sources give and pipelines take."""

from __future__ import annotations

import re

import msgspec
import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.first_stage import COLUMNS, ROWS
from device_model.errors import ConfigError, Finding

KINDS = ("file", "folder", "rtsp", "http", "v4l2", "picamera2", "jetson", "jetson-rtsp", "test")
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})\Z")
_HOST = re.compile(r"//([^/@\s]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/\S*)?(\?\S*)?\Z")


class Frame(msgspec.Struct, frozen=True):
    """picture: (height, width, 3) RGB. taken_us: the stream's own clock, fastened to ours at its first frame;
    arrived_us: when it was here; clock_us: what the camera's own wall clock said, 0 where it says nothing. All µs
    since 1970 UTC."""

    picture: NDArray[np.uint8]
    taken_us: int
    arrived_us: int
    clock_us: int = 0


class Packet(msgspec.Struct, frozen=True):
    """One encoded packet as it came. pts, dts, duration: in time_base seconds, None where the stream gives none."""

    octets: bytes
    pts: int | None
    dts: int | None
    duration: int
    key: bool
    time_base: float
    arrived_us: int


class SourceSpec(msgspec.Struct, frozen=True):
    """A parsed address. url: what the library opens; rest: behind the kind; shown: without name and password."""

    kind: str
    rest: str
    url: str
    shown: str
    width: int = 640
    height: int = 360
    fps: float = 5.0


def parse_source(address: str) -> SourceSpec:
    """ "rtsp://user:word@host/…", "http://…", "file:film.mp4", "folder:pictures", "v4l2:/dev/video0", "picamera2:0",
    "jetson:0", "jetson-rtsp://…", "test:ball"; behind "#" may stand 640x360 and a rate: "test:ball#640x360@10".

    Raises ConfigError with the remedy.
    """
    body, _, form = address.partition("#")
    kind, colon, rest = body.partition(":")
    kind = {"https": "http", "rtsps": "rtsp"}.get(kind, kind)
    if not colon or kind not in KINDS or "\0" in address or len(address) > 1024:
        raise ConfigError(
            [
                Finding(
                    shown_address(address),
                    0,
                    0,
                    "no source of a known kind",
                    f"begin with one of {', '.join(f'{k}:' for k in KINDS)}",
                )
            ]
        )
    if kind in ("rtsp", "http") and not _HOST.match(rest):
        raise ConfigError([Finding(shown_address(address), 0, 0, "no host in it", f"write {kind}://host/path")])
    width, height, fps = _form(form, address)
    return SourceSpec(kind, rest, body if kind in ("rtsp", "http") else rest, shown_address(body), width, height, fps)


def _form(form: str, address: str) -> tuple[int, int, float]:
    size, _, rate = form.partition("@")
    found = _SIZE.match(size or "640x360")
    try:
        fps = float(rate or 5)
    except ValueError:
        fps = 0.0
    if found is None or not 0.01 <= fps <= 120:
        raise ConfigError(
            [Finding(shown_address(address), 0, 0, f"{form!r} is no size and rate", "write #640x360@5")]
        )
    return int(found[1]), int(found[2]), fps


def shown_address(address: str) -> str:
    """Without name and password: what may be logged and shown."""
    return re.sub(r"//[^/@]*@", "//", address)


def grey_of(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The first stage's small picture: the brightest channel, ROWS x COLUMNS, each cell the mean of its pixels' half
    and the brightest of its pixels' half, so that a small light is not averaged away."""
    height, width = picture.shape[:2]
    ys, xs = (np.arange(ROWS * 3) * height) // (ROWS * 3), (np.arange(COLUMNS * 3) * width) // (COLUMNS * 3)
    every = picture[ys][:, xs]
    # Pairs and not reductions over a short axis, which cost three times as much: a camera does this a frame.
    small = np.maximum(np.maximum(every[..., 0], every[..., 1]), every[..., 2])
    nine = small.reshape(ROWS, 3, COLUMNS, 3)
    high = np.maximum(np.maximum(nine[:, 0], nine[:, 1]), nine[:, 2])
    total = nine[:, 0].astype(np.uint16) + nine[:, 1] + nine[:, 2]
    highest = np.maximum(np.maximum(high[..., 0], high[..., 1]), high[..., 2])
    mean = (total[..., 0] + total[..., 1] + total[..., 2]).astype(np.float32) / 9
    return np.asarray(0.5 * mean + 0.5 * highest.astype(np.float32), np.float32)
