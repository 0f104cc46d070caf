"""The site of the outage: leak and smoke detectors and one meter on a line whose driver says what changes.

Nothing is polled: 72 hours of polls would measure the polling. What a driver says, and all behind it, is production.
"""

from __future__ import annotations

import asyncio
import functools

import msgspec

from bench.outage_plan import STIMULI_MAX
from device_drivers.driver import DeviceRead, Emit
from device_model.clock import Clock
from device_model.inventory import Inventory
from device_model.library import shipped_profiles
from device_model.profile import DeviceProfile
from device_model.reading import Reading, Value
from device_model.site import (
    Building,
    Device,
    Floor,
    GatewaySettings,
    Line,
    LineKind,
    RuleChoice,
    Site,
    Tenancy,
    Text,
    Zone,
)
from rules_engine import RuleSet
from rules_engine.packs import rules_of_site

LINE = "field"
METER = "meter.humidity"
SMOKE, LEAK = "smoke", "leak"
LEAK_FOR_S = 10.0  # water.leak: a kill falls into its `for`
NEVER_STALE_S = 1e7  # the driver speaks when something changes


def subject_of(detector: int) -> str:
    """Even: smoke, at once and latched. Odd: leak, after its `for`."""
    return f"d{detector}.{LEAK if detector % 2 else SMOKE}"


@functools.cache
def outage_site() -> tuple[Inventory, RuleSet]:
    """Inventory and rules; made once, as a gateway reads its file once a life."""
    def text(words: str) -> Text:
        return Text(words, words)

    shipped = shipped_profiles()
    profiles = {name: _one_point(shipped[name], point) for name, point in
                ((_profile_with(shipped, "smoke_alarm"), SMOKE), (_profile_with(shipped, "leak"), LEAK),
                 (_profile_with(shipped, "humidity"), "humidity"))}
    smoke, leak, meter = profiles
    devices = [Device(f"d{n}", leak if n % 2 else smoke, LINE, "z1", text(f"d{n}"), 1 + n)
               for n in range(STIMULI_MAX)]
    devices.append(Device("meter", meter, LINE, "z1", text("meter"), 200))
    site = Site(
        Tenancy("hangzhou", "yuhang", "cangqian", "outage"), text("Outage"),
        GatewaySettings("gw-1", heartbeat_s=30.0, telemetry_heartbeat_s=3600.0),
        (Building("b1", text("b1"), (Floor("f1", text("f1")),)),), (Zone("z1", text("z1"), "b1", "f1"),),
        (Line(LINE, LineKind.MODBUS_TCP, "field", 502),), tuple(devices), rules=RuleChoice(packs=("fire", "water")))
    return Inventory(site, profiles), rules_of_site(site)


def _profile_with(profiles: dict[str, DeviceProfile], quantity: str) -> str:
    """A shipped profile that has such a point; the first by name, so that a run can be repeated."""
    return min(name for name, profile in profiles.items() if any(p.quantity == quantity for p in profile.points)
               and profile.certainty.value != "C" and profile.protocol == "modbus")


def _one_point(profile: DeviceProfile, point: str) -> DeviceProfile:
    quantity = {SMOKE: "smoke_alarm", LEAK: "leak"}.get(point, point)
    spec = next(p for p in profile.points if p.quantity == quantity)
    return msgspec.structs.replace(profile, points=(
        msgspec.structs.replace(spec, id=point, stale_after_s=NEVER_STALE_S, deadband=0.0),))


class World:
    """What the devices show. `changed` wakes whichever gateway listens."""

    def __init__(self) -> None:
        self.shown: dict[str, Value] = {subject_of(n): False for n in range(STIMULI_MAX)}
        self.shown[METER] = 0
        self.listener: Feed | None = None

    def set(self, point: str, value: Value) -> None:
        """A device shows another value from now on; a living gateway hears it at once."""
        self.shown[point] = value
        if self.listener is not None:
            self.listener.say((point,))


class Feed:
    """The driver of the line; implements device_drivers.driver.Driver. dead: its process was killed."""

    def __init__(self, world: World, inventory: Inventory, clock: Clock, emit: Emit) -> None:
        self._world, self._inventory, self._clock, self._emit = world, inventory, clock, emit
        self.dead = False

    async def run(self) -> None:
        """All at the start, then each change."""
        self._world.listener = self
        self.say(tuple(self._world.shown))
        await asyncio.get_running_loop().create_future()

    def say(self, points: tuple[str, ...]) -> None:
        """These points were read."""
        if self.dead:
            return
        now = self._clock.now()
        for point in points:
            reading = Reading(point, self._world.shown[point], self._inventory.points[point].unit,
                              source_time_us=now.wall_us, receive_time_us=now.wall_us, mono_us=now.mono_us,
                              boot=now.boot)
            self._emit(DeviceRead(reading.device, (reading,), (point,), now))

    async def write(self, device: str, point: str, value: bool | float) -> None:
        """Nothing is driven here."""
