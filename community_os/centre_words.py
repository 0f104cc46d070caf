"""What a site says to the brigade's monitoring centre over GB/T 26875.3, and what it answers. Pure.

    AlarmTransition ─► component state (type 2), fire bit set or not ─► stored as a notice ─► sent
    queries 61, 62, 81, 85, 86, 88 ─► states from the incident store, our version, our time

A site is one user information transmission device (UITD) to its centre. Components that hang behind a panel keep the
panel's address; others get one from their place in the site file: zone and number, two bytes each.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import msgspec

from device_model.alarm import LIFE_SAFETY, AlarmState, AlarmTransition, Hazard
from device_model.inventory import Inventory
from device_model.profile import DeviceClass
from device_model.read_models import IncidentView
from wire_codecs.gbt26875 import Stamp
from wire_codecs.gbt26875_objects import (
    NOTE_BYTES,
    AskUitd,
    ComponentState,
    Content,
    Part,
    ReadComponent,
    ReadSystem,
    System,
    SystemState,
    UitdConfiguration,
    UitdOperation,
    UitdState,
    UitdTime,
    UitdVersion,
)

# The fire alarm system (table 4) under which we list components of our own.
SYSTEM = System(1, 1)
# Table 5: kinds of components.
KIND = {DeviceClass.SMOKE: 40, DeviceClass.HEAT: 31, DeviceClass.CALL_POINT: 23, DeviceClass.GAS: 10}
KIND_OTHER = 25  # a fire detector without further word
RUNNING, FIRE = 1, 2
UITD_MONITORING, UITD_FIRE = 1, 2
DUTY_ANSWER = 0x20
VERSION = UitdVersion(1, 0)
ENDPOINT = "gbt26875:"


class CentreSettings(msgspec.Struct, frozen=True):
    """A monitoring centre. sites: tenancy path → our UITD address there. centre: its own address."""

    name: str
    host: str
    port: int
    sites: dict[str, int]
    centre: int = 1


class StateBody(msgspec.Struct, frozen=True, tag="state"):
    """The state of one component, as a notice keeps it."""

    device: str
    fire: bool
    at_us: int


class DutyBody(msgspec.Struct, frozen=True, tag="duty"):
    """A person's answer to a duty check."""

    check: str
    who: str
    at_us: int


CentreBody = StateBody | DutyBody
_decoder: msgspec.json.Decoder[CentreBody] = msgspec.json.Decoder(CentreBody)


def endpoint_of(centre: str) -> str:
    """The endpoint of notices to that centre."""
    return ENDPOINT + centre


def decode_body(body: bytes) -> CentreBody:
    """A notice's body. ValueError where it is none."""
    return _decoder.decode(body)


def state_of(step: AlarmTransition) -> StateBody | None:
    """What a step of an alarm tells the centre: fires only, real ones, and when they are over. A smoke under a
    permit for hot work is not told while the work goes on."""
    told = step.hazard in LIFE_SAFETY and not step.audience and not step.late and not step.drill
    if not told or not step.device or (step.test and step.hazard is not Hazard.CALL_POINT):
        return None
    if step.state is AlarmState.RAISED:
        return StateBody(step.device, True, step.at_us)
    if step.state is AlarmState.CLEARED:
        return StateBody(step.device, False, step.at_us)
    return None


class CentreWords:
    """One site's words to its centre."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._parts: dict[str, tuple[Part, int]] = {}
        zones = {zone.id: i + 1 for i, zone in enumerate(inventory.site.zones)}
        counts: dict[str, int] = {}
        for device in inventory.devices.values():
            counts[device.zone] = counts.get(device.zone, 0) + 1
            profile = inventory.profiles.get(device.profile)
            kind = KIND.get(profile.device_class, KIND_OTHER) if profile else KIND_OTHER
            self._parts[device.id] = (_part(device.address, zones.get(device.zone, 0), counts[device.zone]), kind)

    def objects(self, body: CentreBody, utc_offset_h: float = 8.0) -> list[Content]:
        """What to send. ValueError for a device that the site file does not know any more."""
        if isinstance(body, DutyBody):
            return [UitdOperation(DUTY_ANSWER, operator_of(body.who), Stamp.at(body.at_us, utc_offset_h))]
        if body.device not in self._parts:
            raise ValueError(f"there is no device {body.device!r} any more")
        return [self._state(body.device, fire=body.fire, at_us=body.at_us, utc_offset_h=utc_offset_h)]

    def answers(self, asked: Iterable[Content], incidents: Iterable[IncidentView], now_us: int,
                utc_offset_h: float = 8.0) -> list[Content]:
        """What is answered to a query; [] is a deny: it asks for what is not known here."""
        burning = {alarm.device for incident in incidents if not incident.drill for alarm in incident.alarms
                   if alarm.hazard in LIFE_SAFETY and alarm.state in ("raised", "held") and not alarm.test}
        found: list[Content] = []
        now = Stamp.at(now_us, utc_offset_h)
        for question in asked:
            match question:
                case AskUitd(type=81):
                    found.append(UitdState(UITD_MONITORING | (UITD_FIRE if burning else 0), now))
                case AskUitd(type=85):
                    found.append(VERSION)
                case AskUitd(type=86):
                    found.append(UitdConfiguration(f"{len(self._parts)} components"))
                case AskUitd(type=88):
                    found.append(UitdTime(now))
                case ReadSystem(type=61, system=system) if system == SYSTEM:
                    found.append(SystemState(system, RUNNING | (FIRE if burning else 0), now))
                case ReadComponent(type=62, part=part):
                    device = next((name for name, (known, _) in self._parts.items() if known == part), "")
                    if device:
                        found.append(self._state(device, fire=device in burning, at_us=now_us,
                                                 utc_offset_h=utc_offset_h))
        return found

    def _state(self, device: str, *, fire: bool, at_us: int, utc_offset_h: float) -> ComponentState:
        part, kind = self._parts[device]
        known = self._inventory.devices[device]
        zone = self._inventory.site.zone(known.zone)
        note = f"{zone.name.zh if zone else ''}{known.place.zh}" or device
        return ComponentState(part, kind, RUNNING | (FIRE if fire else 0), _cut(note), Stamp.at(at_us, utc_offset_h))


def operator_of(who: str) -> int:
    """A person as an operator's number, 1 to 255: the standard has one byte for it; the audit log has the name."""
    return 1 + zlib.crc32(who.encode()) % 255


def _part(address: str, zone: int, number: int) -> Part:
    """The panel's own address ("889/1.1/0A000200"), or zone and number."""
    pieces = address.split("/")
    if len(pieces) == 3 and len(pieces[2]) == 8:
        kind, _, unit = pieces[1].partition(".")
        try:
            return Part(System(int(kind), int(unit)), int.from_bytes(bytes.fromhex(pieces[2]), "little"))
        except ValueError:
            pass  # written otherwise: by its place, like any other
    return Part(SYSTEM, (zone & 0xFFFF) | (number & 0xFFFF) << 16)


def _cut(note: str) -> str:
    """As much of it as the 31 bytes hold, whole characters."""
    while len(note.encode("gb18030")) > NOTE_BYTES:
        note = note[:-1]
    return note
