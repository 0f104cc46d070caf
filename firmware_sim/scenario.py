"""Scenario: lines, devices, world, faults and what must come of it. scenario_file.py reads it, README.md shows it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from firmware_sim.ageing import Ageing
from firmware_sim.device_bugs import DeviceBug
from firmware_sim.expectations import Expectations
from firmware_sim.faults import Fault
from firmware_sim.scenario_lines import SimLine
from firmware_sim.sense import Sense
from firmware_sim.world_plan import WorldPlan

BUTTONS = ("test", "silence", "reset", "answer")


class SimDevice(msgspec.Struct, frozen=True):
    """One device: profile id, line id, Modbus unit or MQTT address; first values by point (profile's units).

    latching None: as the model suggests. cold: starts with its warm-up. profile and line may be left out where the
    scenario names a site that has the device.
    """

    id: str
    profile: str = ""
    line: str = ""
    unit: int = 1
    address: str = ""
    start: dict[str, bool | int | float | str] = {}
    latching: bool | None = None
    cold: bool = False
    # Where it is in `world:` (a room, tank, pipe …); its points read what is there. Height over the floor and
    # distance from what burns, None: as is usual. senses: by point, where the usual is not meant.
    place: str = ""
    mounted_m: float | None = None
    distance_m: float | None = None
    senses: dict[str, Sense] = {}
    ageing: Ageing = Ageing()
    bugs: tuple[DeviceBug, ...] = ()


class Feed(msgspec.Struct, frozen=True):
    """One column of a recording into one point. threshold, lag_s: override the sensor's (firmware_sim/physics.py).
    scale, offset: the recorded value * scale + offset reaches the sensor (a farther or nearer place)."""

    column: str
    point: str
    lag_s: float | None = None
    threshold: float | None = None
    scale: float = 1.0
    offset: float = 0.0


class Replay(msgspec.Struct, frozen=True):
    """A recording played into devices. Before `start_s` and after its end its first and last values stand.
    speed: recorded seconds per shown second. fire: the id that truth lines carry, "" for no fire."""

    recording: str
    feeds: tuple[Feed, ...]
    start_s: float = 0.0
    speed: float = 1.0
    fire: str = ""


class Event(msgspec.Struct, frozen=True):
    """Something done at a time: `set` points to values, `world` turns knobs of the world (`door.open: false`),
    or `press` a button of `device`."""

    at_s: float
    set: dict[str, bool | int | float | str] = {}
    press: str = ""
    device: str = ""
    fire: str = ""
    world: dict[str, bool | int | float] = {}


class PermitDeed(msgspec.Struct, frozen=True):
    """What a person does with a permit for hot work (device_model/permit.py); `target` of the deed is its number.
    starts_s, ends_s: scenario seconds. percent_vol, gas: of a sample, taken age_s before."""

    act: str
    zone: str = ""
    level: str = "two"
    starts_s: float = 0.0
    ends_s: float = 3600.0
    workers: tuple[str, ...] = ("Wang Qiang",)
    watcher: str = "Zhao Min"
    gases: tuple[str, ...] = ()
    outdoors: bool = False
    measures: tuple[str, ...] = (
        "combustibles_cleared", "drains_covered", "isolated", "cylinders_apart", "extinguishers")
    percent_vol: float = 0.0
    gas: str = ""
    age_s: float = 0.0


class Deed(msgspec.Struct, frozen=True):
    """Something that a person does at the gateway or in the community OS; a verdict's run plays it (trial/).

    does: what a person may do to an incident (acknowledge, confirm, resolve, false_alarm, close; `target` a hazard,
        "" all open ones), reset (on site; alarms of the rule `target`, "" all), silence (an output, "" all),
        test, isolate, restore (a device), permit (`permit` says what). minutes: how long a test or isolation lasts.
    """

    at_s: float
    does: str
    target: str = ""
    who: str = "Li Na"
    why: str = "as the scenario says"
    minutes: float = 10.0
    permit: PermitDeed | None = None


class Proxy(msgspec.Struct, frozen=True):
    """A TCP link that can be cut: listens on `listen`, passes on to `to`, both host:port."""

    id: str
    listen: str
    to: str


class CutKind(StrEnum):
    """How a link is bad."""

    CUT = "cut"  # connections are closed and new ones refused
    HALF_OPEN = "half_open"  # connections stay, nothing passes
    DELAY = "delay"  # all bytes come `delay_s` later
    THROTTLE = "throttle"  # at most `bytes_per_s` in each direction


class Cut(msgspec.Struct, frozen=True):
    """When a proxied link is bad. delay_s in shown seconds, bytes_per_s per shown second."""

    proxy: str
    from_s: float
    for_s: float
    kind: CutKind = CutKind.CUT
    delay_s: float = 1.0
    bytes_per_s: int = 1000


class Scenario(msgspec.Struct, frozen=True):
    """A whole scenario; all times in shown seconds since its beginning."""

    scenario: str
    lines: tuple[SimLine, ...] = ()
    devices: tuple[SimDevice, ...] = ()
    en: str = ""
    zh: str = ""
    seed: int = 1
    replays: tuple[Replay, ...] = ()
    events: tuple[Event, ...] = ()
    faults: tuple[Fault, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    cuts: tuple[Cut, ...] = ()
    expect: Expectations = Expectations()
    # A site file beside the scenario, or its content: makes the scenario complete, so that a verdict can be had.
    site: str | dict[str, Any] = ""
    people: tuple[Deed, ...] = ()
    begins: str = ""  # local date and time of the site, "2026-01-15T23:30"; for a verdict's run
    world: WorldPlan = WorldPlan()

    def device(self, device_id: str) -> SimDevice | None:
        """The device of that id, or None."""
        return next((device for device in self.devices if device.id == device_id), None)
