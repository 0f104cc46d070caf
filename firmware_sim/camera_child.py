"""The RTSP server (I/O), a program of its own: Debian's python3 with GStreamer's bindings, which no virtual
environment has. Speaks JSON lines on standard input and output with camera_server.py.

    {"port": 0, "pipeline": "…", "fps": 10, "clips": {"normal": "/…/normal.h264"}, "cameras": [["/cam/1", "normal"]]}
    ◄ {"port": 8554}                                    then     {"mount": "/cam/1", "state": "dark"}   any number
                                                        ends when standard input ends

All mounts share the coded pictures in memory; a mount costs a pipeline only while somebody looks. Run by this
file's path: it imports nothing of the product.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

gi: Any = importlib.import_module("gi")
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
Gst: Any = importlib.import_module("gi.repository.Gst")
GLib: Any = importlib.import_module("gi.repository.GLib")
GstRtspServer: Any = importlib.import_module("gi.repository.GstRtspServer")

_MARK = b"\0\0\0\1\x09"


def pictures(path: str) -> list[Any]:
    """A clip as GLib bytes, one a picture; buffers made of them share the memory."""
    parts = Path(path).read_bytes().split(_MARK)[1:]
    return [GLib.Bytes.new(_MARK + part) for part in parts]


class Camera:
    """One mount: which clip plays, and the feeding of its viewers' shared pipeline."""

    def __init__(self, server: "Server", state: str) -> None:
        self.server, self.state = server, state
        self.base = state if state in server.clips else "normal"
        self.at = 0
        self.time = 0

    def show(self, state: str) -> None:
        """Another state from the next picture on; a clip begins with a key frame."""
        self.state = state
        if state in self.server.clips:
            self.base, self.at = state, 0

    def configure(self, _factory: Any, media: Any) -> None:
        """A first viewer came: a pipeline was built."""
        source = media.get_element().get_by_name("picture")
        self.time = self.at = 0
        source.set_property("max-bytes", 200_000)
        source.connect("need-data", self.feed)

    def feed(self, source: Any, _wanted: int) -> None:
        """The pipeline wants a picture."""
        clip = self.server.clips[self.base]
        picture = clip[0 if self.state == "frozen" else self.at % len(clip)]
        self.at += 1
        step = Gst.SECOND // self.server.fps
        buffer = Gst.Buffer.new_wrapped_bytes(picture)
        buffer.pts = buffer.dts = self.time
        buffer.duration = step
        self.time += step
        source.emit("push-buffer", buffer)


class Server:
    """All mounts on one port."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.fps = plan["fps"]
        self.clips = {state: pictures(path) for state, path in plan["clips"].items()}
        self.cameras: dict[str, Camera] = {}
        self.held = b""
        self.server = GstRtspServer.RTSPServer.new()
        self.server.set_address(plan["host"])
        self.server.set_service(str(plan["port"]))
        mounts = self.server.get_mount_points()
        for mount, state in plan["cameras"]:
            factory = GstRtspServer.RTSPMediaFactory.new()
            factory.set_launch(plan["pipeline"])
            factory.set_shared(True)
            camera = self.cameras[mount] = Camera(self, state)
            factory.connect("media-configure", camera.configure)
            mounts.add_factory(mount, factory)
        if not self.server.attach(None):
            raise OSError(f"port {plan['port']} cannot be had")

    def told(self, octets: bytes) -> None:
        """Bytes of standard input: whole lines are orders."""
        self.held += octets
        *lines, self.held = self.held.split(b"\n")
        for line in lines:
            order = json.loads(line)
            camera = self.cameras.get(order["mount"])
            if camera is not None:
                camera.show(order["state"])


def heard(fd: int, _condition: Any) -> bool:
    """Standard input has something, or ended."""
    octets = os.read(fd, 65_536)
    if not octets:
        loop.quit()
        return False
    server.told(octets)
    return True


def first_line(fd: int) -> bytes:
    """The plan, read byte by byte so that nothing behind it is taken."""
    line = b""
    while not line.endswith(b"\n") and (octet := os.read(fd, 1)):
        line += octet
    return line


if __name__ == "__main__":
    Gst.init(None)
    loop = GLib.MainLoop()
    try:
        server = Server(json.loads(first_line(0)))
    except OSError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
    print(json.dumps({"port": server.server.get_bound_port()}), flush=True)
    GLib.io_add_watch(0, GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, heard)
    loop.run()
