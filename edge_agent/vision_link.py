"""VisionLink (I/O): the gateway's words to its cameras: a neighbour's alarm to verify, the sensors' values.

    fire or smoke alarm of another device ─► cameras of its zone ─► "look closer" ─► their scores, as ever, by MQTT
    process image, each 5 s ─► values of each camera's zones ─► its next evidence record

What a camera then sees comes back as readings and raises its own alarm, which verifies the first: law of safety 1,
verification may raise and never delays, hides or lowers. Nothing waits for an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from device_model.alarm import AlarmState, Hazard
from device_model.clock import SECOND_US, Clock
from device_model.errors import PeerError
from device_model.inventory import Inventory
from device_model.messages import AlarmRecord, Lane, Record
from device_model.ports import MessageLink
from device_model.quantities import unit_display
from device_model.reading import Quality, Reading
from device_model.vision_words import CONTEXT, VALUES_MAX, VERIFY, VerifyAsk, ZoneValues
from edge_agent.runtime import GatewayRuntime

log = structlog.get_logger("gateway.vision")
TURN_S = 0.5
CONTEXT_EVERY_S = 5.0
AGAIN_US = 30 * SECOND_US  # values that did not change are said so often
ASKS_MAX = 100  # of one turn: a storm of alarms is one look of each camera
VERIFIED = frozenset({Hazard.FIRE})


class VisionLink:
    """Owned by one gateway. `run` until cancelled."""

    def __init__(self, link: MessageLink, runtime: GatewayRuntime, clock: Clock) -> None:
        self._link, self._runtime, self._clock = link, runtime, clock
        self._asks: dict[str, VerifyAsk] = {}
        self._said: dict[str, tuple[dict[str, str], int]] = {}
        self.asked = 0

    async def run(self) -> None:
        """Listen and speak."""
        self._runtime.listeners.append(self._heard)
        next_us = 0
        try:
            while True:
                await self._ask()
                now_us = self._clock.now().mono_us
                if now_us >= next_us:
                    next_us = now_us + round(CONTEXT_EVERY_S * SECOND_US)
                    await self._tell()
                await self._clock.sleep(TURN_S)
        finally:
            self._runtime.listeners.remove(self._heard)

    def _heard(self, records: Sequence[tuple[Lane, Record]]) -> None:
        for _, record in records:
            if not isinstance(record.body, AlarmRecord):
                continue
            step = record.body.transition
            if step.state is not AlarmState.RAISED or step.hazard not in VERIFIED or step.late or step.test:
                continue
            for camera in cameras_beside(self._runtime.inventory, step.zone, step.device):
                if len(self._asks) < ASKS_MAX:
                    self._asks[camera] = VerifyAsk(step.alarm)

    async def _ask(self) -> None:
        asks, self._asks = self._asks, {}
        for camera, ask in asks.items():
            self.asked += 1
            try:
                await self._link.publish(f"{VERIFY}/{camera}", msgspec.json.encode(ask))
            except PeerError as error:
                log.warning("a camera was not asked to look", camera=camera, alarm=ask.alarm, reason=str(error))

    async def _tell(self) -> None:
        inventory, latest = self._runtime.inventory, tuple(self._runtime.core.image.frozen().values())
        now = self._clock.now()
        for camera, zones in camera_zones(inventory).items():
            values = zone_values(inventory, zones, latest)
            said = self._said.get(camera)
            if said is not None and said[0] == values and now.mono_us - said[1] < AGAIN_US:
                continue
            try:
                await self._link.publish(f"{CONTEXT}/{camera}", msgspec.json.encode(ZoneValues(now.wall_us, values)))
            except PeerError:
                return  # the broker is away: its line says so
            self._said[camera] = (values, now.mono_us)


def camera_zones(inventory: Inventory) -> dict[str, frozenset[str]]:
    """Camera id (of the vision file or of a sweep's list) to the zones that it is said to watch."""
    zones: dict[str, set[str]] = {}
    for device in inventory.site.devices:
        if device.profile.startswith(("tocsin-camera", "tocsin-sweep-camera")):
            zones.setdefault(device.address.split("/")[0], set()).add(device.zone)
    return {camera: frozenset(of) for camera, of in zones.items()}


def cameras_beside(inventory: Inventory, zone: str, device: str) -> tuple[str, ...]:
    """Cameras that watch a zone, unless the alarm is that camera's own."""
    own = inventory.devices[device].address.split("/")[0] if device in inventory.devices and \
        inventory.devices[device].profile.startswith("tocsin-") else ""
    return tuple(camera for camera, zones in camera_zones(inventory).items() if zone in zones and camera != own)


def zone_values(inventory: Inventory, zones: frozenset[str], readings: Sequence[Reading]) -> dict[str, str]:
    """The values of the zones' other devices, in the order of the site file."""
    cameras = {d.id for d in inventory.site.devices if d.profile.startswith("tocsin-")}
    wanted = {d.id for d in inventory.site.devices if d.zone in zones} - cameras
    found: dict[str, str] = {}
    for reading in readings:
        device = reading.point.partition(".")[0]
        if device in wanted and len(found) < VALUES_MAX:
            bad = reading.quality is Quality.BAD
            shown = f"{_shown(reading.value)} {unit_display(reading.unit)}".strip()
            found[reading.point] = reading.reason.value if bad else shown
    return found


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
