"""HeldView: what a gateway holds of the simulated devices, beside what these show. Pure.

    LocalView (the gateway's own local page) ─┐
    VirtualDevice, TruthMemory ───────────────┴─► HeldDevice: value, quality, age, alarms, agreement, point by point

The gateway knows the devices by the ids of its site file: the same id on both sides is the same device. A gateway
that does not answer holds nothing that may be believed: there is no HeldDevice then, and nothing agrees.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dashboards.local_view import LocalAlarm, LocalPoint, LocalView
from device_model.clock import SECOND_US
from device_model.reading import Value
from firmware_sim.device import VirtualDevice
from trial.agreement import Agreement, TruthMemory, agreement, grace_s
from trial.profile_look import in_unit_of

ALARMS_SHOWN = 50
# The worst first: what a list shows of a device with several points.
WORST = (Agreement.DIFFERS, Agreement.BAD, Agreement.UNKNOWN, Agreement.BEHIND, Agreement.AGREES)


class HeldAlarm(msgspec.Struct, frozen=True):
    """An open alarm of the gateway. subject: the point or device that it is about, "" where it is a zone's."""

    subject: str
    en: str
    zh: str
    severity: str
    state: str
    acknowledged_by: str


class HeldPoint(msgspec.Struct, frozen=True):
    """value: in the profile's unit; age_s: since the gateway last had it proved, -1 never; alarm: "" or its state."""

    value: Value | None
    quality: str
    age_s: float
    agreement: str
    alarm: str


class HeldDevice(msgspec.Struct, frozen=True):
    """One device as the gateway holds it. agreement: the worst of its points; known: it stands in the site file."""

    known: bool
    agreement: str
    alarms: tuple[HeldAlarm, ...]
    points: dict[str, HeldPoint]


NOT_KNOWN = HeldDevice(False, Agreement.UNKNOWN.value, (), {})


class HeldSite(msgspec.Struct, frozen=True):
    """The gateway as a whole. devices: by id, those that were asked for; differing: of all simulated devices."""

    en: str
    zh: str
    gateway: str
    expected: int
    alive: int
    alarms: tuple[HeldAlarm, ...]
    devices: dict[str, HeldDevice]
    compared: int
    differing: tuple[str, ...]


class HeldSide:
    """One answer of the gateway, taken apart once for all who look at it."""

    def __init__(self, view: LocalView) -> None:
        self.view = view
        self.points: dict[str, dict[str, LocalPoint]] = {}
        self.alarms: dict[str, list[LocalAlarm]] = {}
        for point in view.points:
            device, _, name = point.point.partition(".")
            self.points.setdefault(device, {})[name] = point
        for alarm in view.alarms:
            # "duct.smoke" is about a point, "device:duct" about the device as a whole, others about a zone.
            self.alarms.setdefault(alarm.subject.removeprefix("device:").partition(".")[0], []).append(alarm)

    def device(self, device: VirtualDevice, memory: TruthMemory, at_s: float) -> HeldDevice:
        """One device, when the answer came. at_s: shown time of the simulator."""
        held = self.points.get(device.id)
        if held is None:
            return NOT_KNOWN
        alarms = self.alarms.get(device.id, [])
        points = {}
        for spec in device.profile.points:
            it = held.get(spec.id)
            value, quality = (it.value, it.quality) if it is not None else (None, "never")
            # A faster world moves further while an answer is on its way.
            lately = memory.lately(spec.id, at_s, grace_s(device.profile, spec) + 2.0 * (self.view.speed - 1.0))
            age_s = -1.0
            if it is not None and it.at_us:
                age_s = round(max(0, self.view.at_us - it.at_us) / SECOND_US, 1)
            state = next((alarm.state for alarm in alarms if alarm.subject == f"{device.id}.{spec.id}"), "")
            points[spec.id] = HeldPoint(
                in_unit_of(spec, value), quality, age_s,
                agreement(device.profile, spec, device.shown.get(spec.id), lately, value, quality).value, state)
        found = {point.agreement for point in points.values()}
        worst = next((kind for kind in WORST if kind in found), Agreement.UNKNOWN)
        return HeldDevice(True, worst.value, tuple(map(_alarm, alarms)), points)

    def site(self, devices: dict[str, HeldDevice], compared: int, differing: Iterable[str]) -> HeldSite:
        """The whole, with these devices."""
        view = self.view
        return HeldSite(view.site.en, view.site.zh, view.gateway, view.devices_expected, view.devices_alive,
                        tuple(map(_alarm, view.alarms[:ALARMS_SHOWN])), devices, compared, tuple(differing))


def _alarm(alarm: LocalAlarm) -> HeldAlarm:
    return HeldAlarm(alarm.subject, alarm.title.en, alarm.title.zh, alarm.severity, alarm.state,
                     alarm.acknowledged_by)
