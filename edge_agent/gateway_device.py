"""GatewayDevice: the gateway as a device of its own site, on a line of kind `gateway`, from two injected looks.

    look (machine.py~) ──► MachineLook ─┐
    inside (links, queues, restarts) ───┴─► points of the profile ──► DeviceRead ──► image, rules, telemetry, board

What this machine cannot say is told once as "not yet read", which is no lack. A look that fails or hangs lets the
points grow silent like those of any device.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from device_drivers.driver import DeviceRead, Emit, LineDevice, LineState
from device_model.clock import Clock, Now
from device_model.errors import LocalFault
from device_model.profile import ProfilePoint
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason, Value
from edge_agent.machine_look import MachineLook, machine_values

Look = Callable[[], Awaitable[MachineLook]]
Inside = Callable[[Now], Mapping[str, Value | None]]
LOOK_EVERY_S = 10.0


class GatewayDevice:
    """The driver of one such line (`device_drivers.driver.Driver`)."""

    def __init__(self, line: str, devices: Sequence[LineDevice], clock: Clock, emit: Emit, *, look: Look,
                 inside: Inside) -> None:
        """look: at the machine. inside: what the gateway knows of itself, by the points' paths."""
        self._line, self._devices, self._clock, self._emit = line, tuple(devices), clock, emit
        self._look, self._inside = look, inside
        self._before: MachineLook | None = None
        self._last: dict[str, Reading] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        self._emit(LineState(self._line, True, "", self._clock.now()))
        every_s = min((d.profile.gateway.look_every_s for d in self._devices if d.profile.gateway),
                      default=LOOK_EVERY_S)
        while True:
            look = await self._look()
            self._tell(look, self._clock.now())
            await self._clock.sleep(every_s)

    async def write(self, device: str, point: str, value: bool | float) -> None:
        """Raises LocalFault: nothing of the machine is switched."""
        raise LocalFault(f"{device}.{point} is the gateway itself, which is only watched")

    def _tell(self, look: MachineLook, now: Now) -> None:
        values = {**machine_values(look, self._before, now.wall_us), **self._inside(now)}
        self._before = look
        for entry in self._devices:
            readings = [_reading(f"{entry.device.id}.{spec.id}", spec, values.get(_path(spec)), now)
                        for spec in entry.profile.points]
            changed = tuple(r for r in readings if (old := self._last.get(r.point)) is None or not old.same_as(r))
            self._last.update({reading.point: reading for reading in changed})
            fresh = tuple(reading.point for reading in readings if reading.quality is not Quality.BAD)
            self._emit(DeviceRead(entry.device.id, changed, fresh, now))


def _path(spec: ProfilePoint) -> str:
    return spec.payload.path if spec.payload is not None else ""


def _reading(name: str, spec: ProfilePoint, value: Value | None, now: Now) -> Reading:
    quantity = QUANTITIES[spec.quantity]
    if value is not None and quantity.boolean:
        value = bool(value)
    quality, reason = (Quality.GOOD, Reason.NONE) if value is not None else (Quality.BAD, Reason.NOT_YET_READ)
    return Reading(name, value, quantity.canonical, quality, reason, now.wall_us, now.wall_us, now.mono_us, now.boot)
