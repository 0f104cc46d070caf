"""~ Where pictures come from. Every source gives `Frame`s by iteration, blocks in its own thread, and can be closed.

```
 file: folder:   PyAV / Pillow          rtsp:  PyAV over TCP, key frames only on wish, reconnects, keeps the packets
 v4l2:           PyAV (v4l2)            http:  MJPEG or snapshots, by the standard library
 picamera2:      on a Pi, import inside open()      jetson: jetson-rtsp: test:   GStreamer child (gstreamer.py)
```
A source raises PeerSilent when nothing came in time and PeerGarbled when bytes are no picture; `following` turns both
into a pause and another try, so that a camera that is switched off costs its thread and nobody else's.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from device_drivers.vision.frames import Frame, Packet, SourceSpec, parse_source
from device_drivers.vision.gstreamer import RawShape, gstreamer_command
from device_drivers.vision.mjpeg import JpegCutter
from device_model.errors import LocalFault, PeerError, PeerGarbled, PeerSilent

RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0
STALLED_S = 10.0
SNAPSHOT_BYTES_MAX = 16 * 1024 * 1024
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class Source(Protocol):
    """An opened source. Iterating blocks until the next frame; `close` may come from another thread."""

    def frames(self) -> Iterator[Frame]:
        """Frames until the end of a file, or for ever. Raises PeerSilent, PeerGarbled."""
        ...

    def close(self) -> None:
        """Give back device, socket or child."""
        ...


def now_us() -> int:
    """Wall time of arrival, µs since 1970 UTC."""
    return time.time_ns() // 1000


def open_source(
    address: str,
    *,
    timeout_s: float = 10.0,
    keys_only: bool = False,
    keep: Callable[[Packet], None] | None = None,
    quick: bool = False,
) -> Source:
    """Open by address. keep: is given every encoded packet (rtsp, v4l2 and files), for the evidence ring.
    quick: for a single look, without probing the stream.

    Raises ConfigError for an address of no kind, LocalFault where a package is missing, PeerSilent or PeerRefused
    where the camera does not answer.
    """
    spec = parse_source(address)
    if spec.kind == "folder":
        return FolderSource(Path(spec.rest), spec)
    if spec.kind in ("file", "rtsp", "v4l2"):
        return AvSource(spec, timeout_s=timeout_s, keys_only=keys_only, keep=keep, quick=quick)
    if spec.kind == "http":
        return HttpSource(spec, timeout_s=timeout_s)
    if spec.kind == "picamera2":
        return PiSource(spec)
    return GStreamerSource(address, spec)


class FolderSource:
    """Pictures of a folder in the order of their names, once."""

    def __init__(self, folder: Path, spec: SourceSpec) -> None:
        self._files = sorted(f for f in folder.iterdir() if f.suffix.lower() in PICTURES) if folder.is_dir() else []
        if not self._files:
            raise LocalFault(f"{folder}: no pictures ({', '.join(PICTURES)})")
        self._step_us = int(1e6 / spec.fps)
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Every picture, spaced by the rate of the address."""
        began = now_us()
        for index, file in enumerate(self._files):
            if self._closed:
                return
            try:
                with Image.open(file) as image:
                    picture = np.asarray(image.convert("RGB"))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise PeerGarbled(f"{file.name}: {error}") from error
            yield Frame(picture, began + index * self._step_us, began + index * self._step_us)

    def close(self) -> None:
        """No more pictures."""
        self._closed = True


class AvSource:
    """RTSP, a film, or a V4L2 device through PyAV. Packets are kept encoded; decoding skips to key frames on wish."""

    def __init__(
        self,
        spec: SourceSpec,
        *,
        timeout_s: float,
        keys_only: bool,
        keep: Callable[[Packet], None] | None,
        quick: bool = False,
    ) -> None:
        try:
            import av
        except ImportError as error:
            raise LocalFault("PyAV is not installed: pip install 'tocsin[cameras]'") from error
        self._av: Any = av
        self._keep, self._live = keep, spec.kind != "file"
        options: dict[str, str] = {}
        if spec.kind == "rtsp":
            options = {"rtsp_transport": "tcp", "timeout": str(int(timeout_s * 1e6)), "fflags": "nobuffer"}
            if quick:  # one picture is wanted: nothing is probed that the session description already says
                options |= {"probesize": "32", "analyzeduration": "0"}
        try:
            self._container: Any = av.open(
                spec.url,
                format="v4l2" if spec.kind == "v4l2" else None,
                options=options,
                timeout=(timeout_s, timeout_s),
            )
            self._stream: Any = self._container.streams.video[0]
        except (av.error.FFmpegError, OSError) as error:
            raise PeerSilent(f"{spec.shown}: {error}") from error
        except IndexError as error:
            raise PeerGarbled(f"{spec.shown}: no picture stream in it") from error
        self._stream.thread_type = "NONE"
        # One converter a source: to_ndarray(format=…) makes one a frame, which took 6.9 ms of 640 x 360 and now 0.2.
        self._converter: Any = av.video.reformatter.VideoReformatter()
        if keys_only:
            self._stream.codec_context.skip_frame = "NONKEY"
        self._shown = spec.shown
        self._origin: tuple[int, int] | None = None
        self._closed = threading.Event()

    @property
    def template(self) -> Any:
        """The stream, as the template of a remuxed clip."""
        return self._stream

    def frames(self) -> Iterator[Frame]:
        """Decoded pictures. Times come from the stream's clock, fastened to the arrival of the first packet."""
        try:
            for packet in self._container.demux(self._stream):
                if self._closed.is_set():
                    return
                arrived = now_us()
                if self._keep is not None and packet.size:
                    self._keep(
                        Packet(
                            bytes(packet),
                            packet.pts,
                            packet.dts,
                            packet.duration or 0,
                            bool(packet.is_keyframe),
                            float(packet.time_base or 0),
                            arrived,
                        )
                    )
                clock_us = self._clock_us(packet)
                for frame in packet.decode():
                    picture = self._converter.reformat(frame, format="rgb24").to_ndarray()
                    yield Frame(picture, self._time_us(frame, arrived), arrived, clock_us)
        except self._av.error.EOFError:
            return
        except (self._av.error.FFmpegError, OSError) as error:
            if self._closed.is_set():
                return
            kind = PeerGarbled if isinstance(error, self._av.error.InvalidDataError) else PeerSilent
            raise kind(f"{self._shown}: {error}") from error
        if self._live and not self._closed.is_set():
            raise PeerSilent(f"{self._shown}: the stream ended")

    def _clock_us(self, packet: Any) -> int:
        if not self._live:
            return 0
        told = getattr(packet, "iter_sidedata", None)  # older releases of PyAV have none
        side = next((s for s in told() if str(s.data_type) == "prft"), None) if told is not None else None
        return camera_clock_us(bytes(side) if side is not None else None)

    def _time_us(self, frame: Any, arrived: int) -> int:
        if frame.pts is None or frame.time_base is None:
            return arrived
        stream_us = int(frame.pts * float(frame.time_base) * 1e6)
        if self._origin is None:
            self._origin = (stream_us, arrived)
        return self._origin[1] + stream_us - self._origin[0]

    def close(self) -> None:
        """Ends the session; a thread that waits in `frames` gets its end."""
        self._closed.set()
        with contextlib.suppress(self._av.error.FFmpegError, OSError):
            self._container.close()


def camera_clock_us(side: bytes | None) -> int:
    """The camera's own wall time of a packet, µs since 1970 UTC, as the stream tells it (FFmpeg's producer reference
    time, made of RTCP sender reports: a little-endian 64-bit number first); 0 where it tells none.

    A camera whose clock was never set says times near 1900 or 1970: those are wrong, not unknown, so never 0.
    """
    if side is None or len(side) < 8:
        return 0
    return int.from_bytes(side[:8], "little", signed=True) or 1


class HttpSource:
    """MJPEG (multipart/x-mixed-replace) or single snapshots asked for again and again."""

    def __init__(self, spec: SourceSpec, *, timeout_s: float) -> None:
        self._spec, self._timeout_s = spec, timeout_s
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame]:
        """Pictures as they come; a snapshot address is asked at the rate of the address."""
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                with self._ask() as reply:
                    if "multipart" in (reply.headers.get("Content-Type") or ""):
                        yield from self._parts(reply)
                        raise PeerSilent(f"{self._spec.shown}: the stream ended")
                    yield _jpeg(reply.read(SNAPSHOT_BYTES_MAX), self._spec.shown)
            except (OSError, ValueError) as error:
                raise PeerSilent(f"{self._spec.shown}: {error}") from error
            self._closed.wait(max(0.0, 1 / self._spec.fps - (time.monotonic() - began)))

    def _ask(self) -> Any:
        parts = urllib.parse.urlsplit(self._spec.url)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a camera is on site, behind no proxy
        if parts.username:
            plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            book = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            book.add_password(
                None, plain, urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
            )
            opener.add_handler(urllib.request.HTTPDigestAuthHandler(book))
            opener.add_handler(urllib.request.HTTPBasicAuthHandler(book))
            return opener.open(plain, timeout=self._timeout_s)
        return opener.open(self._spec.url, timeout=self._timeout_s)

    def _parts(self, reply: Any) -> Iterator[Frame]:
        cutter = JpegCutter()
        while not self._closed.is_set():
            octets = reply.read1(65_536)
            if not octets:
                return
            for picture in cutter.feed(octets):
                yield _jpeg(picture, self._spec.shown)

    def close(self) -> None:
        """No further asking; a waiting read ends with its time-out."""
        self._closed.set()


def _jpeg(octets: bytes, shown: str) -> Frame:
    import io

    arrived = now_us()
    try:
        with Image.open(io.BytesIO(octets)) as image:
            picture: NDArray[np.uint8] = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PeerGarbled(f"{shown}: no picture: {error}") from error
    return Frame(picture, arrived, arrived)


class PiSource:
    """A Raspberry Pi's own camera. The package belongs to the system (libcamera), so the import is here."""

    def __init__(self, spec: SourceSpec) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise LocalFault(
                "picamera2 is not here: on Raspberry Pi OS `apt install python3-picamera2`, and make the "
                "venv with --system-site-packages"
            ) from error
        self._camera: Any = Picamera2(int(spec.rest or 0))
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"size": (spec.width, spec.height), "format": "BGR888"}, controls={"FrameRate": spec.fps}
            )
        )
        self._camera.start()
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Pictures as the camera gives them. "BGR888" is the library's name of bytes in the order R, G, B."""
        while not self._closed:
            try:
                picture = self._camera.capture_array("main")
            except (OSError, RuntimeError) as error:
                raise PeerSilent(f"picamera2: {error}") from error
            arrived = now_us()
            yield Frame(np.ascontiguousarray(picture[..., :3]), arrived, arrived)

    def close(self) -> None:
        """Stop the camera."""
        self._closed = True
        self._camera.stop()
        self._camera.close()


class GStreamerSource:
    """Raw pictures from a child's standard output."""

    def __init__(self, address: str, spec: SourceSpec) -> None:
        self._shape = RawShape(spec.width, spec.height, max(1, round(spec.fps)))
        try:
            self._child = subprocess.Popen(
                gstreamer_command(f"{spec.kind}:{spec.rest}", self._shape),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise LocalFault(
                f"gst-launch-1.0 cannot be run ({error.strerror}): install gstreamer1.0-tools"
            ) from error
        self._shown = address
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Whole pictures; a child that ends in the middle of one gives PeerSilent."""
        assert self._child.stdout is not None
        size = self._shape.frame_bytes
        while not self._closed:
            octets = self._read(size)
            if len(octets) < size:
                if self._closed:
                    return
                raise PeerSilent(f"{self._shown}: the GStreamer child ended")
            arrived = now_us()
            yield Frame(
                np.frombuffer(octets, np.uint8).reshape(self._shape.height, self._shape.width, 3), arrived, arrived
            )

    def _read(self, size: int) -> bytes:
        """So many bytes, fewer at the end. A pipeline that stalls without ending is a camera that does not answer."""
        assert self._child.stdout is not None
        number, held = self._child.stdout.fileno(), bytearray()
        while len(held) < size:
            if not select.select([number], [], [], STALLED_S)[0]:
                raise PeerSilent(f"{self._shown}: no picture for {STALLED_S:g} s")
            piece = os.read(number, min(size - len(held), 1 << 20))
            if not piece:
                break
            held += piece
        return bytes(held)

    def close(self) -> None:
        """End the child."""
        self._closed = True
        self._child.terminate()
        try:
            self._child.wait(3)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


def following(
    opening: Callable[[], Source],
    stop: threading.Event,
    say: Callable[[str], None],
    opened: Callable[[Source], None] = lambda _: None,
) -> Iterator[Frame]:
    """Frames for ever: opens again after a failure, with pauses that double from 1 to 60 s. say: told each failure
    once a streak. A film or folder that came to its end ends this as well."""
    pause = RETRY_FIRST_S
    told = ""
    while not stop.is_set():
        source: Source | None = None
        try:
            source = opening()
            opened(source)
            for frame in source.frames():
                if stop.is_set():
                    return
                pause, told = RETRY_FIRST_S, ""
                yield frame
            return
        except PeerError as error:
            if str(error) != told:
                told = str(error)
                say(told)
        finally:
            if source is not None:
                source.close()
        stop.wait(pause)
        pause = min(RETRY_MOST_S, pause * 2)
