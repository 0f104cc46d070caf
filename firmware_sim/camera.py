"""Cameras: what each shows, where it is mounted, and how its pictures are made. Pure.

    state ──picture_filter──► ffmpeg filter ──once──► clip (H.264, 10 frames/s) ──shared──► every mount in that state

    normal   a depot yard: racks, a door, somebody walking, picture noise       frozen  one picture again and again
    dark     the lamp is off: a fiftieth of the light, noise stays              blind   a hand or paint on the lens
    moved    turned aside: another cut of the yard                              other names: clips given by file

The pictures are drawn, not filmed: what they must show a program is movement, light, place and occlusion. Filmed
scenes (flame, hot work …) come in as files, one name each.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

WIDTH, HEIGHT, FPS, CLIP_S = 640, 360, 10, 6


class CameraState(StrEnum):
    """What a camera shows. Scenes given by file have names of their own."""

    NORMAL = "normal"
    FROZEN = "frozen"
    BLIND = "blind"
    MOVED = "moved"
    DARK = "dark"


DRAWN = (CameraState.NORMAL, CameraState.BLIND, CameraState.MOVED, CameraState.DARK)


class SimCamera(msgspec.Struct, frozen=True):
    """One camera: id, where it is mounted ("/cam/yard-1"), what it shows first."""

    id: str
    mount: str
    state: str = CameraState.NORMAL


def many_cameras(count: int, prefix: str = "cam") -> tuple[SimCamera, ...]:
    """So many cameras, numbered from 1, for a sweep."""
    return tuple(SimCamera(f"{prefix}-{n}", f"/{prefix}/{n}") for n in range(1, count + 1))


def scene_filter() -> str:
    """The yard as a filter graph from ffmpeg's own sources: no file is needed, the same pictures every time."""
    boxes = [
        f"color=c=0x8a8f94:s=960x{HEIGHT}:r={FPS}:d={CLIP_S}",
        "drawbox=x=0:y=220:w=960:h=140:color=0x5b5a55:t=fill",  # the ground
        *(f"drawbox=x={x}:y=110:w=90:h=130:color=0x{colour}:t=fill" for x, colour in
          ((40, "a0522d"), (180, "3d5a80"), (320, "6b8e23"), (560, "b8860b"), (820, "2f4f4f"))),
        *(f"drawbox=x={x}:y=150:w=90:h=4:color=black:t=fill" for x in (40, 180, 320, 560, 820)),
        "drawbox=x=450:y=90:w=70:h=150:color=0xd8d8d0:t=fill",  # the door
    ]
    # Somebody walks by (drawbox cannot move, an overlay can).
    walker = f"color=c=0x202028:s=22x76:r={FPS}:d={CLIP_S},drawbox=x=6:y=0:w=10:h=14:color=0xc8a080:t=fill"
    return f"{','.join(boxes)}[yard];{walker}[walker];[yard][walker]overlay=x='60+100*t':y=184:shortest=1"


def picture_filter(state: str) -> str:
    """The ffmpeg source and filters of a drawn state. Raises ValueError for a state that is not drawn."""
    aside = 300 if state == CameraState.MOVED else 0
    steps = [scene_filter(), f"crop={WIDTH}:{HEIGHT}:{aside}:0"]
    if state == CameraState.DARK:
        steps.append("lutyuv=y=val*0.06+14")
    elif state == CameraState.BLIND:
        steps += ["boxblur=60:3", "lutyuv=y=val*0.2+40:u=124:v=134"]
    elif state not in DRAWN:
        raise ValueError(f"{state!r} is not drawn; there are {', '.join(DRAWN)}, and scenes given by file")
    return ",".join([*steps, "noise=alls=4:allf=t:all_seed=7", "format=yuv420p"])


def clip_command(state: str, out: str, source: str = "") -> list[str]:
    """ffmpeg's arguments that make a clip: Annex B H.264 with access unit delimiters, a key frame each second, no
    B-frames. source: a film to take instead of drawing."""
    taken = ["-stream_loop", "-1", "-t", str(CLIP_S), "-i", source, "-vf",
             f"fps={FPS},scale={WIDTH}:{HEIGHT}:force_original_aspect_ratio=decrease,"
             f"pad={WIDTH}:{HEIGHT}:-1:-1,format=yuv420p"]
    drawn = [] if source else ["-f", "lavfi", "-i", picture_filter(state)]
    return ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *(taken if source else drawn), "-an",
            "-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-crf", "30", "-g", str(FPS),
            "-bf", "0", "-threads", "1", "-x264-params", "aud=1:scenecut=0:repeat-headers=1", "-f", "h264", out]


def pipeline() -> str:
    """What the RTSP server builds for a mount when its first viewer comes (GStreamer launch text)."""
    return (f"( appsrc name=picture is-live=true format=time block=false "
            f"caps=video/x-h264,stream-format=byte-stream,alignment=au,framerate={FPS}/1 "
            "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )")


def access_units(clip: bytes) -> list[bytes]:
    """A clip cut at its access unit delimiters: one picture each. The first has the parameter sets."""
    mark = b"\0\0\0\1\x09"
    places = []
    at = clip.find(mark)
    while at >= 0:
        places.append(at)
        at = clip.find(mark, at + len(mark))
    return [clip[a:b] for a, b in zip(places, [*places[1:], len(clip)], strict=True)]
