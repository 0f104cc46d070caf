"""The vision file: cameras, zones, masks, thresholds, where readings and evidence go. Pure: text in, config out.

```yaml
cameras:
  - id: yard-1
    source: "rtsp://viewer:word@10.0.0.21/stream2"
    zones: [{id: cutting-bay, outline: [[0.1, 0.3], [0.6, 0.3], [0.6, 1], [0.1, 1]]}]
    masks: [[[0.8, 0], [1, 0], [1, 0.4]]]
broker: {host: 127.0.0.1, port: 1883}
evidence: {folder: evidence, quota_mib: 2048}
```
"""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from device_drivers.vision.camera_health import HealthLimits
from device_drivers.vision.frames import parse_source
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.places import PlaceRule
from device_drivers.vision.scenes import Corner, ZoneView, check_zone
from device_drivers.vision.sweep_plan import SweepPlan, check_sweep
from device_drivers.vision.temporal import TemporalRule
from device_model.errors import ConfigError, Finding

CAMERAS_MAX = 256  # of one gateway, watched all the time; a sweep takes a list of any length
FILE_BYTES_MAX = 1024 * 1024


class CameraPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One camera. every_s: at most one judged frame in so many seconds; keys_only: decode key frames only;
    device: the id it has in the site file, empty: its own id."""

    id: str
    source: str
    every_s: float = 0.5
    keys_only: bool = False
    zones: tuple[ZoneView, ...] = ()
    masks: tuple[tuple[Corner, ...], ...] = ()
    thresholds: dict[str, float] = {}
    decide: TemporalRule = TemporalRule()
    places: PlaceRule = PlaceRule()
    health: HealthLimits = HealthLimits()
    device: str = ""


class BrokerPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The site's broker, where each camera speaks as a device of profile tocsin-camera."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password_file: str = ""


class EvidencePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where clips go and how much of the disk they may take. ring_mib: of memory, a camera."""

    folder: str
    quota_mib: float = 2048.0
    before_s: float = 10.0
    after_s: float = 20.0
    ring_mib: float = 16.0


class DelegatePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An accelerator: the library of its delegate ("libedgetpu.so.1"), its options, the model compiled for it (a file
    beside this one; empty: the shipped model). The processor takes over within two seconds when it fails."""

    library: str
    options: dict[str, str] = {}
    model: str = ""


class ViewerPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page of the cameras on the gateway. pin_file: who may sign in (`tocsin vision pin`); people: of them, who
    has which role of dashboards/rights.py: it decides who sees pictures and who draws. Nobody who is not named."""

    host: str = "127.0.0.1"
    port: int = 8444
    pin_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    people: dict[str, str] = {}


class VisionPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. detectors: interpreters that share the work; trusted_keys: a site's own model keys;
    heads: folder of what the site taught it (`tocsin vision learn`), candidates: of `tocsin vision record`, to be
    labelled on the cameras' page; both beside this file."""

    cameras: tuple[CameraPlan, ...] = ()
    broker: BrokerPlan | None = None
    evidence: EvidencePlan | None = None
    detectors: int = 2
    say_every_s: float = 2.0
    model: str = ""
    trusted_keys: tuple[str, ...] = ()
    delegate: DelegatePlan | None = None
    sweep: SweepPlan | None = None
    page: ViewerPlan = ViewerPlan()
    heads: str = ""
    candidates: str = ""


def parse_vision(text: str, name: str) -> VisionPlan:
    """Raises ConfigError with every finding: place, what, remedy."""
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError([Finding(name, 0, 0, "larger than 1 MiB", "this is no vision file")])
    try:
        raw: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 0
        raise ConfigError(
            [Finding(name, line, 0, f"no YAML: {error}".replace("\n", " "), "mend the line")]
        ) from error
    try:
        plan = msgspec.convert(raw, VisionPlan)
    except msgspec.ValidationError as error:
        raise ConfigError([Finding(name, 0, 0, str(error), "its README shows a file")]) from error
    findings = list(_findings(plan, name))
    if findings:
        raise ConfigError(findings)
    return plan


def _findings(plan: VisionPlan, name: str) -> list[Finding]:
    found: list[Finding] = []

    def say(what: str, remedy: str) -> None:
        found.append(Finding(name, 0, 0, what, remedy))

    if plan.sweep is not None:
        found += check_sweep(plan.sweep, name)
    if not (0 if plan.sweep is not None else 1) <= len(plan.cameras) <= CAMERAS_MAX:
        say(f"{len(plan.cameras)} cameras", f"name 1 to {CAMERAS_MAX}")
    if not 1 <= plan.detectors <= 16:
        say(f"{plan.detectors} detectors", "1 to 16; one a core that may be used")
    if not 0.2 <= plan.say_every_s <= 4:
        say(f"say_every_s is {plan.say_every_s}", "0.2 to 4 s: a camera counts as silent after 8")
    names = [camera.id for camera in plan.cameras]
    for twice in sorted({n for n in names if names.count(n) > 1}):
        say(f"camera {twice} stands twice", "give each its own id")
    for camera in plan.cameras:
        if not camera.id or not all(c.isascii() and (c.isalnum() or c in "-_") for c in camera.id):
            say(f"camera id {camera.id!r}", "letters, digits, - and _")
        try:
            parse_source(camera.source)
        except ConfigError as error:
            found += [Finding(name, 0, 0, f"{camera.id}: {f.what}", f.remedy) for f in error.findings]
        for zone in camera.zones:
            found += check_zone(zone, f"{name} {camera.id}")
        if camera.decide.k > camera.decide.n or camera.decide.k < 1 or camera.decide.n > 100:
            say(f"{camera.id}: {camera.decide.k} of {camera.decide.n} frames", "k is 1 to n, n at most 100")
        if not set(camera.thresholds) <= set(CLASSES) or any(not 0 < t < 1 for t in camera.thresholds.values()):
            say(f"{camera.id}: thresholds {camera.thresholds}", f"{', '.join(CLASSES)}, each between 0 and 1")
        if not 0.02 <= camera.every_s <= 3600:
            say(f"{camera.id}: every_s is {camera.every_s}", "0.02 to 3600 s")
        rule = camera.places
        if not (1 <= rule.k <= rule.n <= 20 and 0.1 <= rule.hint <= rule.score < 1 and 0.2 <= rule.every_s <= 60):
            say(f"{camera.id}: places {rule.k} of {rule.n}, hint {rule.hint}, score {rule.score}, {rule.every_s} s",
                "k <= n <= 20, 0.1 <= hint <= score < 1, every_s 0.2 to 60")
        if any(len(mask) < 3 for mask in camera.masks):
            say(f"{camera.id}: a mask has fewer than 3 corners", "draw at least 3")
    return found
