"""ProfileRun (I/O): an edited profile come alive: a simulated device on a real port, read by the gateway's driver.

    profile ─► SimRuntime ═ real port, real broker ═ LinePoller | MqttSensors | PanelListener | StationListener
                  │ what it shows, its registers                     │ readings, failures
                  └──────────────► view: truth | words | read | quality | agreement ◄──┘

It runs beside the live devices and never touches them. What goes wrong in it is said in the view.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog

from device_drivers.driver import DeviceFailed, DeviceRead, Driver, DriverEvent, LineDevice, LineState
from device_drivers.links import open_modbus_line, open_mqtt_line
from device_drivers.listeners import PanelListener, StationListener, listener_for
from device_drivers.payload_map import PayloadMap
from device_drivers.poller import LinePoller
from device_drivers.sensors import MqttSensors
from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault
from device_model.library import shipped_profiles
from device_model.profile import DeviceProfile, ProfilePoint
from device_model.reading import Quality, Reading, Value
from device_model.site import Device, Line, Text
from device_model.site import LineKind as SiteLine
from firmware_sim.controls import PointView, SimControls
from firmware_sim.scenario import Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.serve import SimRuntime
from firmware_sim.world import STEP_S, SimWorld
from trial.agreement import TruthMemory, agreement, grace_s
from trial.own_broker import own_broker
from trial.profile_look import in_unit_of, unplayed
from wire_codecs.gbt26875_objects import COMPONENT_BITS, SYSTEM_BITS, UITD_BITS

_log = structlog.get_logger("sim.profile")
DEVICE = "device"
READ_EVERY_S = (0.25, 1.0)  # a person waits for it: faster than most profiles, and never a storm
LISTENS_WITHIN_S = 10.0
_BEHIND = {"gbt26875-uitd": "", "gbt26875-facility": "1.1"}
_MN = "010000A8900016F000169DC0"
_KINDS = {"modbus": (LineKind.MODBUS_TCP, SiteLine.MODBUS_TCP), "lls": (LineKind.LLS_TCP, SiteLine.LLS_TCP),
          "mqtt": (LineKind.MQTT, SiteLine.MQTT), "gbt26875": (LineKind.GBT26875, SiteLine.GBT26875_TCP_SERVER),
          "hj212": (LineKind.HJ212, SiteLine.HJ212_TCP_SERVER)}


class RunPoint(msgspec.Struct, frozen=True):
    """One point side by side. shown: the truth; read: in its unit; age_s: since it was proved fresh, -1 never."""

    shown: PointView
    read: Value | None
    quality: str
    reason: str
    age_s: float
    agreement: str


class RunView(msgspec.Struct, frozen=True):
    """state: starting, running, failed; trouble: what the line, the driver or the start says is wrong."""

    state: str
    profile: str
    address: str
    protocol: str
    trouble: str
    points: tuple[RunPoint, ...]


class ProfileRun:
    """One edited profile. `run` until cancelled."""

    def __init__(self, profile: DeviceProfile, clock: Clock, folder: Path, broker: str = "") -> None:
        """folder: for a broker of its own where none is named. Raises LocalFault where there is no such device."""
        why = unplayed(profile)
        if why:
            raise LocalFault(why[0])
        self.profile = profile = _read_often(profile)
        self.address = self.trouble = ""
        self.state = "starting"
        self._clock, self._folder, self._broker = clock, folder, broker
        self._kind, self._site_kind = _KINDS[profile.protocol]
        self._devices = _devices(profile)
        self._profiles = {**shipped_profiles(), profile.id: profile}
        self._world: SimWorld | None = None
        self._memory: TruthMemory | None = None
        self._runtime: SimRuntime | None = None
        self._readings: dict[str, Reading] = {}
        self._fresh_us: dict[str, int] = {}
        self._lost, self._line_up = "", False

    # ---- life -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the port, read it, until cancelled. What cannot be is said in `trouble`, and ends it."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                if self._kind is LineKind.MQTT and not self._broker:
                    self._broker = await stack.enter_async_context(own_broker(self._folder / "profile-broker"))
                async with asyncio.TaskGroup() as group:
                    if self._kind in (LineKind.GBT26875, LineKind.HJ212):
                        port = await self._listening(group)
                        await self._simulated(group, port)
                    elif self._kind is LineKind.MQTT:
                        await self._subscribed(group)
                        await self._simulated(group, 0)
                    else:
                        await self._simulated(group, 0)
                        group.create_task(self._driver(self.address).run())
                    self.state = "running"
                    group.create_task(self._remember())
        except* (LocalFault, OSError, ValueError) as failed:
            self.state, self.trouble = "failed", str(failed.exceptions[0])
        except* Exception as failed:  # noqa: BLE001
            # Task boundary: what trips a fault of ours ends this run alone, and is said on the page.
            _log.exception("profile_run_failed", profile=self.profile.id)
            self.state, self.trouble = "failed", f"{type(failed.exceptions[0]).__name__}: {failed.exceptions[0]}"

    async def _simulated(self, group: asyncio.TaskGroup, port: int) -> None:
        line = SimLine("line", self._kind, port=port, url=self._broker or "mqtt://127.0.0.1",
                       real_time_s=1, minutes=1)
        world = SimWorld(Scenario(self.profile.id, (line,), self._devices), self._profiles, {})
        self._memory = TruthMemory(world.devices[DEVICE])
        self._runtime = SimRuntime(world, self._clock)
        group.create_task(self._runtime.run())
        await self._runtime.ready.wait()
        self._world = world
        self.address = self.address or self._runtime.addresses["line"]

    async def _listening(self, group: asyncio.TaskGroup) -> int:
        """Panels and stations call the gateway: it listens first."""
        driver = self._driver("127.0.0.1:0")
        if not isinstance(driver, PanelListener | StationListener):
            raise LocalFault("this protocol has no listening driver")
        group.create_task(driver.run())
        async with asyncio.timeout(LISTENS_WITHIN_S):
            while not driver.port:  # noqa: ASYNC110  the listener offers its port, no event
                await asyncio.sleep(0.02)
        self.address = f"127.0.0.1:{driver.port}"
        return driver.port

    async def _subscribed(self, group: asyncio.TaskGroup) -> None:
        """The gateway hears before the device speaks: its first message is not retained."""
        group.create_task(self._driver(self._broker).run())
        self.address = self._broker
        while not self._line_up:  # noqa: ASYNC110  a broker that is not there is said in `trouble`, and waited for
            await asyncio.sleep(0.02)

    def _driver(self, address: str) -> Driver:
        at = urlsplit(address if "//" in address else f"//{address}")
        line = Line("line", self._site_kind, host=at.hostname or "127.0.0.1", port=at.port or 0)
        listed = tuple(LineDevice(_site_device(entry), self._profiles[entry.profile]) for entry in self._devices)
        if self._site_kind is SiteLine.MQTT:
            topics = PayloadMap(listed, self._clock.now()).subscriptions()
            return MqttSensors(line, listed, open_mqtt_line(line, topics), self._clock, self._take)
        if self._kind in (LineKind.GBT26875, LineKind.HJ212):
            return listener_for(line, listed, self._clock, self._take)
        return LinePoller(line, listed, open_modbus_line(line), self._clock, self._take)

    async def _remember(self) -> None:
        while True:
            if self._memory is not None and self._runtime is not None:
                self._memory.note(self._runtime.at_s())
            await self._clock.sleep(STEP_S)

    # ---- the driver speaks ------------------------------------------------------------------------------------

    def _take(self, event: DriverEvent) -> None:
        if isinstance(event, DeviceRead) and event.device == DEVICE:
            self._lost = self.trouble = ""
            self._readings.update({reading.point: reading for reading in event.readings})
            self._fresh_us.update(dict.fromkeys(event.fresh, event.at.mono_us))
        elif isinstance(event, DeviceFailed) and event.device == DEVICE:
            self._lost, self.trouble = event.reason.value, f"{event.reason.value}: {event.detail}"
        elif isinstance(event, LineState):
            self.trouble, self._line_up = "" if event.up else event.detail, event.up

    # ---- to see and to do -------------------------------------------------------------------------------------

    def view(self) -> RunView:
        """Everything, side by side."""
        points: tuple[RunPoint, ...] = ()
        if self._world is not None and self._runtime is not None:
            shown = SimControls(self._world).device(DEVICE).points
            points = tuple(self._point(spec, view) for spec, view in zip(self.profile.points, shown, strict=True))
        return RunView(self.state, self.profile.id, self.address, self.profile.protocol, self.trouble, points)

    def _point(self, spec: ProfilePoint, shown: PointView) -> RunPoint:
        name = f"{DEVICE}.{spec.id}"
        reading, fresh_us = self._readings.get(name), self._fresh_us.get(name)
        held = reading.value if reading is not None else None
        quality = reading.quality.value if reading is not None else "never"
        reason = reading.reason.value if reading is not None else ""
        if self._lost and reading is not None:
            held, quality, reason = None, Quality.BAD.value, self._lost
        lately: Sequence[Value | None] = ()
        if self._memory is not None and self._runtime is not None:
            lately = self._memory.lately(spec.id, self._runtime.at_s(), grace_s(self.profile, spec))
        age_s = -1.0 if fresh_us is None else (self._clock.now().mono_us - fresh_us) / SECOND_US
        return RunPoint(shown, in_unit_of(spec, held), quality, reason, round(age_s, 1),
                        agreement(self.profile, spec, shown.value, lately, held, quality).value)

    def set(self, point: str, value: Value | str) -> None:
        """The simulated device shows this. Raises ConfigError, LocalFault."""
        if self._world is None:
            raise LocalFault("the device is still coming up")
        SimControls(self._world).set(f"{DEVICE}.{point}", value)


def _read_often(profile: DeviceProfile) -> DeviceProfile:
    """The same profile, read about once a second whatever its interval."""
    least, most = READ_EVERY_S
    return msgspec.structs.replace(profile, points=tuple(
        msgspec.structs.replace(point, poll_interval_s=min(most, max(least, point.poll_interval_s)))
        for point in profile.points))


def _devices(profile: DeviceProfile) -> tuple[SimDevice, ...]:
    if profile.gbt26875 is None:
        return (SimDevice(DEVICE, profile.id, "line", 1, _MN if profile.hj212 is not None else DEVICE),)
    behind = _behind(profile)
    it = SimDevice(DEVICE, profile.id, "line", address=f"889/{behind}" if behind else "889")
    return (it, SimDevice("uitd", "gbt26875-uitd", "line", address="889")) if behind else (it,)


def _behind(profile: DeviceProfile) -> str:
    """Where it stands behind a transmission device, by the states that it names: "" it is that device itself."""
    if profile.id in _BEHIND:
        return _BEHIND[profile.id]
    paths = {p.payload.path for p in profile.points
             if p.payload is not None and not p.payload.path.startswith("analog")}
    if paths <= set(COMPONENT_BITS) | {"note"}:
        return "1.1/0A000200"
    return "1.1" if paths <= set(SYSTEM_BITS) | {"note"} and not paths <= set(UITD_BITS) else ""


def _site_device(entry: SimDevice) -> Device:
    return Device(entry.id, entry.profile, "line", "zone", Text("", ""), unit=entry.unit, address=entry.address)


@contextlib.asynccontextmanager
async def running(run: ProfileRun) -> AsyncIterator[ProfileRun]:
    """A run for as long as the block lasts."""
    task = asyncio.create_task(run.run())
    try:
        yield run
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
