"""What a sweep visits, how often, and how long its pictures stay. Pure: text in, targets out.

```csv
camera,source,class
gate-1,rtsp://viewer:word@10.0.0.21/stream2,public
kitchen-3,http://10.0.0.77/snapshot.jpg,indoor
```
"""

from __future__ import annotations

import csv
import io
import re

import msgspec

from device_drivers.vision.frames import parse_source
from device_model.errors import ConfigError, Finding

CAMERAS_MAX = 20_000
LIST_BYTES_MAX = 8 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
HOURS_MAX = 30 * 24.0  # a sweep's pictures are no archive


class SweepPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """cameras: the list, a CSV file beside the vision file. period_s: all are visited in so long. folder: where the
    state and the newest picture of each camera lie. keep_h: hours that a picture stays, by class of camera; a class
    that is not named: 24. burst_s: how long a suspicious camera is watched before anything is told of it."""

    cameras: str
    period_s: float = 600.0
    timeout_s: float = 5.0
    workers: int = 48
    folder: str = "sweep"
    keep_h: dict[str, float] = {}
    burst_s: float = 3.0

    def kept_s(self, kind: str) -> float:
        """Seconds that a picture of this class stays."""
        return self.keep_h.get(kind, 24.0) * 3600


class SweepCamera(msgspec.Struct, frozen=True):
    """One line of the list."""

    id: str
    source: str
    kind: str = ""


def check_sweep(plan: SweepPlan, name: str) -> list[Finding]:
    """What is wrong in the plan."""
    found: list[Finding] = []
    if not (5 <= plan.period_s <= 86_400 and 0.5 <= plan.timeout_s <= 60 and 1 <= plan.workers <= 256):
        found.append(Finding(name, 0, 0, "sweep: period_s, timeout_s or workers out of range",
                             "5 s to a day, 0.5 to 60 s, 1 to 256"))
    if any(not 0 <= hours <= HOURS_MAX for hours in plan.keep_h.values()):
        found.append(Finding(name, 0, 0, "sweep: keep_h out of range", "0 to 720 hours a class"))
    if not 0 <= plan.burst_s <= 30:
        found.append(Finding(name, 0, 0, f"sweep: burst_s is {plan.burst_s}", "0 to 30 s"))
    return found


def parse_cameras(text: str, name: str) -> tuple[SweepCamera, ...]:
    """Raises ConfigError with every finding; passwords of addresses are in none of them."""
    if len(text) > LIST_BYTES_MAX:
        raise ConfigError([Finding(name, 0, 0, "larger than 8 MiB", "this is no list of cameras")])
    found: list[Finding] = []
    cameras: list[SweepCamera] = []
    seen: set[str] = set()
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise ConfigError([Finding(name, 0, 0, f"no CSV: {error}", "camera,source,class")]) from error
    for line, row in enumerate(rows, 1):
        if not row or row[0].startswith("#") or (line == 1 and row[0].strip() == "camera"):
            continue
        cells = [cell.strip() for cell in row] + ["", ""]
        camera = SweepCamera(cells[0], cells[1], cells[2])
        if not NAME.fullmatch(camera.id) or camera.id in seen:
            found.append(Finding(name, line, 1, f"camera {camera.id[:64]!r} is no name, or stands twice",
                                 "letters, digits, - and _"))
        seen.add(camera.id)
        try:
            parse_source(camera.source)
        except ConfigError as error:
            found += [Finding(name, line, 0, f"{camera.id[:64]}: {f.what}", f.remedy) for f in error.findings]
        cameras.append(camera)
    if not 1 <= len(cameras) <= CAMERAS_MAX:
        found.append(Finding(name, 0, 0, f"{len(cameras)} cameras", f"1 to {CAMERAS_MAX}"))
    if found:
        raise ConfigError(found[:50])
    return tuple(cameras)
