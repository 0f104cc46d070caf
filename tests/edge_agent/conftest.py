"""A small site made by hand, a scripted rules engine, and readings: what the gateway's tests stand on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta, timezone

import msgspec
import pytest

from cloud_bridge.lanes import Outbox
from device_drivers.driver import DeviceRead
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.clock import SECOND_US, Now
from device_model.errors import LawRefusal
from device_model.inventory import Inventory
from device_model.messages import GatewayAddress
from device_model.ports import JournalState
from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    ModbusTraits,
    ProfilePoint,
    RegisterSource,
    RegisterType,
    Table,
)
from device_model.reading import Quality, Reading, Reason
from device_model.site import (
    Building,
    Device,
    Floor,
    GatewaySettings,
    Line,
    LineKind,
    Output,
    OutputPurpose,
    OutputState,
    Site,
    Tenancy,
    Text,
    Zone,
)
from edge_agent.core import AgentCore

START_US = 1_780_000_000_000_000  # 2026-05-28 20:26:40 UTC = 04:26:40 on the 29th in Shanghai: before proof_hour
SHANGHAI = timezone(timedelta(hours=8))


def _text(text: str) -> Text:
    return Text(text, text)


def _point(point: str, quantity: str, unit: str = "1", address: int = 0, **more: object) -> ProfilePoint:
    if quantity == "obscuration":
        source = RegisterSource(Table.INPUT, address, scale=0.01)
    else:
        table = Table.COIL if more.get("writable") else Table.DISCRETE_INPUT
        source = RegisterSource(table, address, RegisterType.BIT)
    return ProfilePoint(point, quantity, unit, point, point, source, poll_interval_s=1.0, certainty=Certainty.A,
                        **more)  # type: ignore[arg-type]


def _profile(name: str, device_class: DeviceClass, *points: ProfilePoint) -> DeviceProfile:
    return DeviceProfile(name, 1, "maker", name, name, name, device_class, Certainty.A, "test", points,
                         ModbusTraits())


PROFILES = {profile.id: profile for profile in (
    _profile("smoke", DeviceClass.SMOKE, _point("smoke", "smoke_alarm"),
             _point("obscuration", "obscuration", "dB/m", 1, deadband=0.05)),
    _profile("button", DeviceClass.CALL_POINT, _point("pressed", "call_point")),
    _profile("io", DeviceClass.IO_MODULE, _point("bell", "relay", "1", 0, writable=True),
             _point("cut", "relay", "1", 1, writable=True), _point("limit", "valve_closed", "1", 2),
             _point("gas_open", "valve_open", "1", 3, writable=True)),
)}


def _output(name: str, point: str, purpose: OutputPurpose, hazards: tuple[Hazard, ...], **more: object) -> Output:
    return Output(name, "io-1", point, purpose, hazards, OutputState.OFF, OutputState.HOLD,
                  more.pop("on_restart", OutputState.HOLD), **more)  # type: ignore[arg-type]


def _device(name: str, profile: str, line: str, zone: str, unit: int) -> Device:
    return Device(name, profile, line, zone, _text(name), unit)


SITE = Site(
    Tenancy("hangzhou", "yuhang", "cangqian", "riverside"), _text("Riverside"),
    GatewaySettings("gw-1", proof_hour=9),
    (Building("b1", _text("b1"), (Floor("f1", _text("f1")),)),),
    tuple(Zone(zone, _text(zone), "b1", "f1") for zone in ("kitchen", "hall", "plant")),
    (Line("tcp-1", LineKind.MODBUS_TCP, "127.0.0.1", 502), Line("tcp-2", LineKind.MODBUS_TCP, "127.0.0.1", 503)),
    (_device("smoke-1", "smoke", "tcp-1", "kitchen", 1), _device("smoke-2", "smoke", "tcp-1", "hall", 2),
     _device("button-1", "button", "tcp-1", "hall", 3), _device("io-1", "io", "tcp-2", "plant", 1)),
    (_output("bell", "bell", OutputPurpose.SOUNDER, (Hazard.FIRE, Hazard.CALL_POINT, Hazard.WATER)),
     _output("cut", "cut", OutputPurpose.CHARGER_CUT_OFF, (Hazard.FIRE,), proof="io-1.limit", zones=("kitchen",)),
     _output("gas", "gas_open", OutputPurpose.GAS_VALVE, (Hazard.GAS_HIGH,), on_restart=OutputState.OFF)),
)
ADDRESS = GatewayAddress(SITE.tenancy, "gw-1")
JOURNAL = JournalState("e-1", (), None)


class ScriptedEngine:
    """A rules engine of one rule: `<device>.smoke` true for `for_us` raises; false holds; `reset` clears.

    Small enough to be obviously right, and all of it is in its checkpoint, as with the real one.
    """

    def __init__(self, for_us: int = 0) -> None:
        self.for_us = for_us
        self.onsets: dict[str, int] = {}
        self.alarms: dict[str, AlarmTransition] = {}
        self.values: dict[str, object] = {}
        self.isolated: dict[str, int] = {}
        self.tests: dict[str, int] = {}
        self.say: list[AlarmTransition] = []  # what the next step returns as well

    def step(self, readings: Sequence[Reading], now: Now, fresh: Sequence[str] = ()) -> tuple[AlarmTransition, ...]:
        out = [self.say.pop(0) for _ in range(len(self.say))]
        for reading in readings:
            if reading.point.endswith(".smoke"):
                self.values[reading.point] = reading.value
                out += self._value(reading)
        for point, onset in list(self.onsets.items()):
            if onset + self.for_us <= now.wall_us:
                del self.onsets[point]
                out.append(self._move(point, AlarmState.RAISED, AlarmState.PENDING, onset + self.for_us, onset))
        return tuple(out)

    def _value(self, reading: Reading) -> list[AlarmTransition]:
        point, at = reading.point, reading.source_time_us
        alarm = self.alarms.get(point)
        if reading.value is True:
            if alarm is None and point not in self.onsets:
                self.onsets[point] = at
                return [self._transition(point, AlarmState.PENDING, AlarmState.INACTIVE, at, at)]
            if alarm is not None and alarm.state is AlarmState.HELD:
                return [self._move(point, AlarmState.RAISED, AlarmState.HELD, at, alarm.onset_us)]
        elif reading.value is False:
            if self.onsets.pop(point, None) is not None:
                return [self._transition(point, AlarmState.INACTIVE, AlarmState.PENDING, at, at)]
            if alarm is not None and alarm.state is AlarmState.RAISED:
                return [self._move(point, AlarmState.HELD, AlarmState.RAISED, at, alarm.onset_us)]
        return []

    def _move(self, point: str, state: AlarmState, previous: AlarmState, at: int, onset: int) -> AlarmTransition:
        self.alarms[point] = self._transition(point, state, previous, at, onset)
        return self.alarms[point]

    @staticmethod
    def _transition(point: str, state: AlarmState, previous: AlarmState, at: int, onset: int) -> AlarmTransition:
        zone = next(device.zone for device in SITE.devices if device.id == point.partition(".")[0])
        return transition(point=point, state=state, previous=previous, at_us=at, onset_us=onset, zone=zone)

    def due_us(self) -> int | None:
        return min((onset + self.for_us for onset in self.onsets.values()), default=None)

    def open_alarms(self) -> tuple[AlarmTransition, ...]:
        return tuple(self.alarms.values())

    def reset(self, alarm: str, who: str, now: Now) -> tuple[AlarmTransition, ...]:
        point, known = next((p, t) for p, t in self.alarms.items() if t.alarm == alarm)
        if self.values.get(point) is not False:
            raise LawRefusal(3, f"{point} is still in alarm, bad or silent")
        del self.alarms[point]
        return (self._transition(point, AlarmState.CLEARED, AlarmState.HELD, now.wall_us, known.onset_us),)

    def shield(self, shields: dict[str, str], now: Now) -> tuple[AlarmTransition, ...]:
        return ()

    def isolate(self, device: str, until_us: int) -> tuple[AlarmTransition, ...]:
        self.isolated[device] = until_us
        return ()

    def restore_device(self, device: str) -> tuple[AlarmTransition, ...]:
        self.isolated.pop(device, None)
        return ()

    def test_mode(self, device: str, until_us: int) -> tuple[AlarmTransition, ...]:
        self.tests[device] = until_us
        return ()

    def checkpoint(self) -> bytes:
        return msgspec.json.encode([self.onsets, self.alarms, self.values])

    def resume(self, checkpoint: bytes) -> None:
        self.onsets, self.alarms, self.values = msgspec.json.decode(
            checkpoint, type=tuple[dict[str, int], dict[str, AlarmTransition], dict[str, object]])


def transition(
    point: str = "smoke-1.smoke", state: AlarmState = AlarmState.RAISED, hazard: Hazard = Hazard.FIRE,
    zone: str = "kitchen", onset_us: int = START_US, rule: str = "smoke", **more: object,
) -> AlarmTransition:
    """One alarm step; the alarm's id follows from rule, point and onset."""
    key = AlarmKey(rule, point)
    fields: dict[str, object] = {"previous": AlarmState.PENDING, "at_us": onset_us, "latched": True, **more}
    return AlarmTransition(alarm_id(SITE.tenancy.path, key, onset_us), key, state, hazard=hazard,
                           severity=Severity.ALARM, onset_us=onset_us, zone=zone, points=(point,),
                           **fields)  # type: ignore[arg-type]


def at(seconds: float, *, wall_step_s: float = 0.0, boot: str = "boot-1") -> Now:
    """The instant so many seconds after the start; the wall may have been set in between."""
    us = round(seconds * SECOND_US)
    return Now(START_US + us + round(wall_step_s * SECOND_US), 5_000_000 + us, boot)


def reading(point: str, value: bool | float | None, when: Now, reason: Reason = Reason.NONE) -> Reading:
    quality = Quality.BAD if value is None else Quality.GOOD
    unit = "dB/m" if point.endswith("obscuration") else "1"
    return Reading(point, value, unit, quality, reason, when.wall_us, when.wall_us, when.mono_us, when.boot)


def read(when: Now, fresh: Sequence[str] = (), **values: bool | float) -> DeviceRead:
    """What a driver says of one device: read(now, smoke_1__smoke=True)."""
    readings = tuple(reading(name.replace("__", ".").replace("_", "-", 1), value, when)
                     for name, value in values.items())
    points = tuple(r.point for r in readings) + tuple(fresh)
    return DeviceRead(points[0].partition(".")[0], readings, points, when)


class Kit:
    """Everything above, for tests (modules of a test folder cannot import each other)."""

    start_us, site, profiles, address, journal = START_US, SITE, PROFILES, ADDRESS, JOURNAL
    zone = SHANGHAI
    engine = ScriptedEngine
    transition = staticmethod(transition)
    at = staticmethod(at)
    reading = staticmethod(reading)
    read = staticmethod(read)

    @staticmethod
    def inventory(site: Site = SITE) -> Inventory:
        return Inventory(site, PROFILES)

    @staticmethod
    def core(engine: ScriptedEngine | None = None, now: Now | None = None, state: JournalState | None = JOURNAL,
             site: Site = SITE) -> AgentCore:
        when = now or at(0)
        return AgentCore(Inventory(site, PROFILES), engine or ScriptedEngine(), Outbox(ADDRESS, state, when),
                         zone=SHANGHAI, started=when)


@pytest.fixture
def kit() -> type[Kit]:
    return Kit
