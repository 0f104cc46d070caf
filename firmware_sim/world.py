"""SimWorld: a scenario in motion, without a single port. Time in, true stimuli and messages out.

    recordings ─► replays ─┐
    timeline   ─► events  ─┼──► VirtualDevices ──► Truth lines (what really happened)
    schedule   ─► faults  ─┘         │
                                     ├──► exchange(line, request) ──► bytes to send
                                     └──► publishes(line) ──► MQTT messages to send

Time runs on a fixed grid of STEP_S, so that the same seed gives the same values however the caller's clock jitters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from device_model.errors import ConfigError, Finding
from device_model.profile import DeviceProfile
from device_model.quantities import QUANTITIES
from device_model.reading import Value
from firmware_sim.ageing import Ageing, AgeingDevice
from firmware_sim.device import BOOT_S, VirtualDevice, convert_unit
from firmware_sim.device_bugs import BugState, DeviceBug, bent_request, bent_wall_us
from firmware_sim.faults import CAMERA_FAULTS, POINT_FAULTS, POWER_FAULTS, Fault, FaultKind, LineFaults, Outgoing
from firmware_sim.modbus_device import Framing, ModbusUnits, Request
from firmware_sim.mqtt_device import MqttDevice, Publish
from firmware_sim.physics import DEFAULT_TRAITS, NO_LAG, SensorTraits
from firmware_sim.recording import Recording
from firmware_sim.scenario import Cut, Feed, Replay, Scenario
from firmware_sim.scenario_lines import LineKind
from firmware_sim.sense import BoundSense, wanted_senses
from firmware_sim.surroundings import Surroundings

STEP_S = 0.25
_HOUR_S = 3600.0


class Truth(msgspec.Struct, frozen=True):
    """Something that really happened.

    what: "start" (`device` names the scenario), "stimulus" (a point shows another value), "fault" or "cut"
        (`value` true begins, false ends; a cut's `device` is the proxy), "world" (`device` is a thing of the world,
        `point` what turned: a source's on and stage, a door's open, a valve's open and closed, a tank's spill).
    at_s: shown seconds since the scenario began.
    fire: id of the fire that caused it, "" for none.
    kind: of the fault or cut; of a number whether it is "over" its threshold or "under"; "test" while the device
        is under test.
    """

    what: str
    at_s: float
    device: str = ""
    point: str = ""
    value: Value | None = None
    fire: str = ""
    kind: str = ""


class SimWorld:
    """All devices of a scenario. Raises ConfigError when a replay names what its recording does not have."""

    def __init__(
        self, scenario: Scenario, profiles: Mapping[str, DeviceProfile], recordings: Mapping[str, Recording]
    ) -> None:
        self.scenario = scenario
        self.devices = {
            entry.id: VirtualDevice(entry.id, profiles[entry.profile], seed=scenario.seed, start=entry.start,
                                    latching=entry.latching, cold=entry.cold, bugs=frozenset(entry.bugs))
            for entry in scenario.devices
        }
        self.units: dict[str, ModbusUnits] = {}
        self.publishers: dict[str, dict[str, MqttDevice]] = {}
        self.faults = {line.id: LineFaults(line.id, scenario.faults, scenario.seed) for line in scenario.lines}
        for line in scenario.lines:
            members = [entry for entry in scenario.devices if entry.line == line.id]
            if line.kind is LineKind.MQTT:
                self.publishers[line.id] = {e.id: MqttDevice(self.devices[e.id], e.address) for e in members}
            else:
                self.units[line.id] = ModbusUnits({e.unit: self.devices[e.id] for e in members})
        self._bugs = {entry.id: BugState(frozenset(entry.bugs)) for entry in scenario.devices if entry.bugs}
        self._ageing = [AgeingDevice(self.devices[entry.id], entry.ageing) for entry in scenario.devices
                        if entry.ageing != Ageing()]
        self.surroundings = Surroundings(
            scenario.world, scenario.seed, {a.id: self._commanded(a.point) for a in scenario.world.actuators})
        self._senses = self._bind()
        # The weather alone does not move, and fleets mostly have no more of a world than that.
        self._moves = len(self.surroundings.ids()) > 1 or bool(self._senses)
        self._played = [_Played(replay, recordings, self.devices) for replay in scenario.replays]
        self._events = sorted(scenario.events, key=lambda event: event.at_s)
        self._fires: dict[tuple[str, str], str] = {}
        self._over: dict[tuple[str, str], bool] = {}
        self._lasting: set[int] = set()
        self._cutting: set[int] = set()
        self._set_now: set[tuple[str, str]] = set()
        self._taken: dict[tuple[str, str], BoundSense] = {}  # what `set_point` took from the world
        self._steps = 0
        for played in self._played:
            played.feed(0.0)
            for feed in played.replay.feeds:
                device_id, _, point_id = feed.point.partition(".")
                self._fires[device_id, point_id] = played.replay.fire
        for sense in self._senses.values():
            sense.feed()
        for old in self._ageing:
            old.advance(0.0)
        for device in self.devices.values():
            device.advance(0.0)
            device.take_changes()

    def _bind(self) -> dict[tuple[str, str], BoundSense]:
        bound = {}
        for entry in self.scenario.devices:
            device = self.devices[entry.id]
            noun = self.surroundings.noun(entry.place) if entry.place else None
            for wanted in wanted_senses(device.profile, entry.place, noun, entry.senses):
                bound[entry.id, wanted.point] = BoundSense(device, wanted, self.surroundings, entry.mounted_m,
                                                           entry.distance_m)
        return bound

    def _commanded(self, name: str) -> bool | None:
        """What the point that commands an actuator says; None where there is none or its device has no power."""
        device_id, _, point_id = name.partition(".")
        device = self.devices.get(device_id)
        shown = device.shown.get(point_id) if device is not None and device.on else None
        return shown if isinstance(shown, bool) else None

    def turn(self, name: str, value: float | bool) -> None:
        """Turn a knob of the world (an event, a slider). Raises KeyError for a name that it does not have."""
        self.surroundings.turn(name, value)

    def set_point(self, name: str, value: Value, fire: str = "") -> None:
        """`device.point` has this value from now on, whatever fed it. Raises KeyError, TypeError, ValueError."""
        device, _, point = name.partition(".")
        self.devices[device].set(point, value)
        if fire:
            self._fires[device, point] = fire
        self._set_now.add((device, point))
        for played in self._played:
            played.release(name)
        sense = self._senses.pop((device, point), None)
        if sense is not None:
            self._taken[device, point] = sense

    def give_back(self, name: str) -> None:
        """`device.point` reads the world again, where it did before a person took it."""
        device, _, point = name.partition(".")
        sense = self._taken.pop((device, point), None)
        if sense is not None:
            self._senses[device, point] = sense
            sense.feed()

    def strike(self, fault: Fault) -> int:
        """One fault more, as if the scenario had it; returns its number. The caller has checked its target."""
        self._renew((*self.scenario.faults, fault))
        return len(self.scenario.faults) - 1

    def end_fault(self, number: int, at_s: float) -> None:
        """A fault of that number lasts no longer. Raises IndexError for a number that there is not."""
        faults = list(self.scenario.faults)
        fault = faults[number]
        if fault.end_s > at_s:
            faults[number] = msgspec.structs.replace(fault, from_s=min(fault.from_s, at_s) - 1.0, for_s=1.0)
        self._renew(tuple(faults))

    def _renew(self, faults: tuple[Fault, ...]) -> None:
        self.scenario = msgspec.structs.replace(self.scenario, faults=faults)
        for line in self.faults.values():
            line.renew(faults)

    def _move_world(self, at_s: float) -> Iterator[Truth]:
        for actuator in self.surroundings.actuators.values():
            point = actuator.plan.point
            if point and DeviceBug.DEAF_WRITE not in self.devices[point.partition(".")[0]].bugs:
                actuator.command(self._commanded(actuator.plan.point))
        self.surroundings.step(at_s, STEP_S)
        for sense in self._senses.values():
            sense.feed()
        for it in self.surroundings.take_happenings():
            yield Truth("world", at_s, it.id, it.what, it.value, kind=it.fire)

    def advance(self, to_s: float) -> list[Truth]:
        """Let the world run to a time; what happened on the way, in order."""
        truths: list[Truth] = []
        while (self._steps + 1) * STEP_S <= to_s:
            self._steps += 1
            at_s = self._steps * STEP_S
            self._do_events(at_s)
            truths.extend(self._do_faults(at_s))
            truths.extend(self._do_cuts(at_s))
            if self._moves:
                truths.extend(self._move_world(at_s))
            for played in self._played:
                played.feed(at_s)
            for old in self._ageing:
                old.advance(at_s)
            for device in self.devices.values():
                device.advance(STEP_S)
                if device.changed or self._set_now:  # fleets are mostly of devices that rest
                    truths.extend(self._stimuli(device, at_s))
        return truths

    # ---- what goes onto lines -------------------------------------------------------------------------

    def exchange(self, line: str, request: Request, framing: Framing, at_s: float) -> list[Outgoing]:
        """What the line answers to a request, faults included; empty for silence."""
        units = self.units[line]
        device = units.units.get(request.unit)
        if device is not None and device.bugs:
            request = msgspec.structs.replace(request, pdu=bent_request(device.bugs, request.pdu))
        pdu = units.answer(request, framing)
        if pdu is None:
            return []
        late_s = 0.0
        if device is not None and device.bugs:
            late_s, pdu = self._bugs[device.id].bend(pdu, device.boots)
        sent = self.faults[line].send(device.id if device else "", request, pdu, framing, at_s)
        return [msgspec.structs.replace(out, delay_s=out.delay_s + late_s) for out in sent] if late_s else sent

    def publishes(self, line: str, at_s: float, wall_us: int) -> Iterator[tuple[str, Publish, float]]:
        """(device, message, delay in shown seconds) that an MQTT line has to send now, faults included."""
        for device_id, publisher in self.publishers[line].items():
            if publisher.rests(at_s):
                continue
            for message in publisher.due(at_s, self.wall_us(device_id, at_s, wall_us)):
                for sent in self.faults[line].publish(device_id, message.payload, at_s):
                    yield device_id, Publish(message.topic, sent.octets, message.retained), sent.delay_s

    def wall_us(self, device_id: str, at_s: float, wall_us: int) -> int:
        """What the clock of a device shows at a true wall time."""
        wrong_s = sum(fault.amount for fault in self.scenario.faults if fault.kind is FaultKind.CLOCK_WRONG
                      and fault.target == device_id and fault.active(at_s))
        device = self.devices.get(device_id)
        if device is None:  # a recording replayed: it has no clock but its own bytes
            return wall_us + round(wrong_s * 1e6)
        return bent_wall_us(device.bugs, wall_us, device.since_boot_s) + round(wrong_s * 1e6)

    def camera_state(self, camera_id: str, at_s: float) -> str:
        """How a camera stands: "normal", "frozen", "blind", "moved" or "dark" (the states of camera.py)."""
        return next((CAMERA_FAULTS[fault.kind] for fault in self.scenario.faults
                     if fault.kind in CAMERA_FAULTS and fault.target == camera_id and fault.active(at_s)), "normal")

    def cut_of(self, proxy: str, at_s: float) -> Cut | None:
        """How a proxied link is bad now."""
        return next((cut for cut in self.scenario.cuts
                     if cut.proxy == proxy and cut.from_s <= at_s < cut.from_s + cut.for_s), None)

    # ---- what happens in it ---------------------------------------------------------------------------

    def _stimuli(self, device: VirtualDevice, at_s: float) -> Iterator[Truth]:
        for change in device.take_changes():
            point = device.profile.point(change.point)
            key = (change.device, change.point)
            if point is None:
                continue
            number = isinstance(change.value, float) and not point.state_codes
            over = device.over_threshold(change.point)
            # A number is a stimulus when it passes the threshold that its feed names, or was set by an event.
            if number and key not in self._set_now and over == self._over.get(key, False):
                continue
            self._over[key] = over
            # A tested detector shows an alarm, but there is no fire.
            fire = "" if device.testing else self._fires.get(key, "") or self._fire_seen(key)
            kind = "test" if device.testing else ("over" if over else "under") if number else ""
            yield Truth("stimulus", at_s, change.device, change.point, change.value, fire, kind)
        self._set_now -= {key for key in self._set_now if key[0] == device.id}

    def _fire_seen(self, key: tuple[str, str]) -> str:
        sense = self._senses.get(key)
        if sense is None:
            return ""
        return sense.sense.fire or (self.surroundings.fires_near(sense.room) if sense.room else "")

    def _do_events(self, at_s: float) -> None:
        while self._events and self._events[0].at_s <= at_s:
            event = self._events.pop(0)
            for name, value in event.set.items():
                self.set_point(name, value, event.fire)
            for name, turned in event.world.items():
                self.surroundings.turn(name, turned)
            if event.press:
                self.devices[event.device].press(event.press)

    def _do_faults(self, at_s: float) -> Iterator[Truth]:
        for index, fault in enumerate(self.scenario.faults):
            lasts, lasted = fault.active(at_s), index in self._lasting
            if lasts != lasted:
                (self._lasting.add if lasts else self._lasting.discard)(index)
                device, _, point = fault.target.partition(".")
                yield Truth("fault", at_s, device, point, lasts, kind=fault.kind)
            if lasts or lasted:
                self._bend(fault, at_s, lasts, lasts != lasted)

    def _bend(self, fault: Fault, at_s: float, lasts: bool, turned: bool) -> None:
        device_id, _, point = fault.target.partition(".")
        if fault.kind is FaultKind.JAMMED:
            self.surroundings.turn(f"{fault.target}.jammed", lasts)
        elif fault.kind is FaultKind.BROWN_OUT:
            # Down for a second, up until the next dip.
            period_s = max(fault.delay_s, BOOT_S + 1.0)
            self.devices[device_id].power(on=not lasts or (at_s - fault.from_s) % period_s >= 1.0)
        elif fault.kind in POWER_FAULTS and turned:
            device = self.devices[device_id]
            device.power(on=not lasts)
            if fault.kind is FaultKind.REBOOT:
                device.power(on=True)
        elif fault.kind in POINT_FAULTS:
            device = self.devices[device_id]
            if fault.kind is FaultKind.DRIFT:
                device.shift(point, fault.amount * (at_s - fault.from_s) / _HOUR_S if lasts else 0.0)
            elif turned and fault.kind is FaultKind.STUCK:
                device.freeze(point, lasts)
            elif turned and fault.kind is FaultKind.JUMP:
                device.shift(point, fault.amount if lasts else 0.0)
            elif turned and lasts:
                device.set_bad(point, fault.reason)
            elif turned:
                device.clear_bad(point)

    def _do_cuts(self, at_s: float) -> Iterator[Truth]:
        for index, cut in enumerate(self.scenario.cuts):
            lasts = cut.from_s <= at_s < cut.from_s + cut.for_s
            if lasts != (index in self._cutting):
                (self._cutting.add if lasts else self._cutting.discard)(index)
                yield Truth("cut", at_s, cut.proxy, value=lasts, kind=cut.kind)


class _Played:
    """One replay, bound to its devices and units."""

    def __init__(
        self, replay: Replay, recordings: Mapping[str, Recording], devices: Mapping[str, VirtualDevice]
    ) -> None:
        self.replay = replay
        self._devices = devices
        recording = recordings.get(replay.recording)
        if recording is None:
            raise _no(f"no recording {replay.recording!r}", f"there are: {', '.join(sorted(recordings)) or 'none'}")
        self._recording = recording
        self._feeds = [(feed, traits) for feed in replay.feeds if (traits := self._traits(feed)) is not None]

    def _traits(self, feed: Feed) -> SensorTraits:
        columns = self._recording.columns
        if feed.column not in columns:
            raise _no(f"{self.replay.recording} has no column {feed.column!r}", f"columns: {', '.join(columns)}")
        device_id, _, point_id = feed.point.partition(".")
        point = self._devices[device_id].profile.point(point_id)
        if point is None:
            raise _no(f"{feed.point} is no point", "name a point of the device's profile")
        traits = DEFAULT_TRAITS.get(point.quantity, NO_LAG)
        if not QUANTITIES[point.quantity].boolean:
            traits = msgspec.structs.replace(traits, unit=point.unit)
        if feed.lag_s is not None:
            traits = msgspec.structs.replace(traits, lag_s=feed.lag_s)
        if feed.threshold is not None:
            traits = msgspec.structs.replace(traits, threshold=feed.threshold)
        _shared_quantity(self._recording.units[feed.column], traits.unit, feed.column)
        return traits

    def release(self, point: str) -> None:
        """An event has taken the point over."""
        self._feeds = [(feed, traits) for feed, traits in self._feeds if feed.point != point]

    def feed(self, at_s: float) -> None:
        """Give all sensors the world of this time."""
        t_s = max(0.0, at_s - self.replay.start_s) * self.replay.speed
        for feed, traits in self._feeds:
            device_id, _, point_id = feed.point.partition(".")
            value = self._recording.at(feed.column, t_s) * feed.scale + feed.offset
            unit = self._recording.units[feed.column]
            if unit != traits.unit and traits.unit:
                value = convert_unit(_shared_quantity(unit, traits.unit, feed.column), value, unit, traits.unit)
            self._devices[device_id].feed(point_id, value, traits)


def _shared_quantity(unit: str, into: str, column: str) -> str:
    """A quantity that may carry both units."""
    if unit == into or not into:
        return ""
    for name, quantity in QUANTITIES.items():
        if quantity.unit(unit) is not None and quantity.unit(into) is not None:
            return name
    raise _no(f"column {column} is in {unit}, the point wants {into}", "feed a point of the same quantity")


def _no(what: str, remedy: str) -> ConfigError:
    return ConfigError([Finding("replays", 0, 0, what, remedy)])
