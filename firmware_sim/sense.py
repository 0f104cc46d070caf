"""Sense: which quantity of the world a point of a device reads, and with what placement, lag and noise.

    kitchen.smoke ──height, distance──► factor, offset ──► unit of the sensor ──► device.feed (lag, noise, threshold)

A device with `place:` reads by itself whatever its points can read there (world_names.BY_QUANTITY); `senses:` says
more, or otherwise. Lags of detectors under a ceiling follow the ceiling jet: smoke enters a chamber within L / u
(Heskestad, L 1.8 m, kept between 2 and 18 s), heat follows with RTI / sqrt(u) (RTI 20 sqrt(m s): 20 s at 1 m/s).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from device_model.profile import DeviceClass, DeviceProfile, ProfilePoint
from device_model.quantities import QUANTITIES
from firmware_sim.device import VirtualDevice
from firmware_sim.physics import DEFAULT_TRAITS, NO_LAG, SensorTraits
from firmware_sim.room_view import RoomView
from firmware_sim.surroundings import Surroundings
from firmware_sim.world_names import BY_QUANTITY, READABLE, Noun

_ENTRY_LENGTH_M = 1.8
_ENTRY_S = (2.0, 18.0)
_HEAT_RTI = 20.0
_SMOKE = frozenset({"smoke_alarm", "fire_alarm"})
_CEILING_CLASSES = frozenset({DeviceClass.SMOKE, DeviceClass.HEAT, DeviceClass.FIRE_PANEL})


class Sense(msgspec.Struct, frozen=True):
    """How one point reads the world. reads: `<id>.<quantity>`, or a quantity of the device's place; "" the usual one.

    height_m, distance_m: other than the device's. factor, offset: of the world's value, before units are converted
    (a badly placed detector sees a fraction). lag_s: time constant; rti: (m s)^0.5, for heat. noise: standard
    deviation in the sensor's unit. threshold: of an alarm point, or where truth is written down for a number; in the
    sensor's unit.
    below: the point is true while the value is under the threshold. fire: the id that truth lines carry.
    """

    reads: str = ""
    height_m: float | None = None
    distance_m: float | None = None
    factor: float = 1.0
    offset: float = 0.0
    lag_s: float | None = None
    rti: float | None = None
    noise: float | None = None
    threshold: float | None = None
    below: bool = False
    fire: str = ""


class Wanted(msgspec.Struct, frozen=True):
    """One point that reads the world: resolved name and how."""

    point: str
    name: str
    sense: Sense


def wanted_senses(
    profile: DeviceProfile, place: str, noun: Noun | None, senses: dict[str, Sense]
) -> Iterator[Wanted]:
    """Which points of a device read what; a name that is not in the world is left to the checker."""
    for point in profile.points:
        sense = senses.get(point.id)
        usual = BY_QUANTITY[noun].get(point.quantity, "") if noun is not None else ""
        if sense is None:
            if usual and not point.writable and not point.state_codes:
                yield Wanted(point.id, f"{place}.{usual}", Sense())
            continue
        reads = sense.reads or usual
        yield Wanted(point.id, reads if "." in reads or not place else f"{place}.{reads}", sense)


def linear_between(unit: str, into: str) -> tuple[float, float] | None:
    """(factor, offset) from one unit into another of the same quantity; None where they have none in common."""
    if unit == into:
        return 1.0, 0.0
    for quantity in QUANTITIES.values():
        one, other = quantity.unit(unit), quantity.unit(into)
        if one is not None and other is not None:
            return one.factor / other.factor, (one.offset - other.offset) / other.factor
    return None


def sensor_traits(point: ProfilePoint, unit: str, sense: Sense) -> SensorTraits:
    """How the sensor behind a point sees a value of that unit."""
    traits = DEFAULT_TRAITS.get(point.quantity, NO_LAG)
    boolean = QUANTITIES[point.quantity].boolean
    if boolean and (not traits.threshold or linear_between(unit, traits.unit) is None):
        traits = SensorTraits(unit, 0.0, 0.5, 0.999)  # a switch: limit, door, motion
    elif not boolean:
        traits = msgspec.structs.replace(traits, unit=point.unit)
    if sense.threshold is not None:
        traits = msgspec.structs.replace(traits, threshold=sense.threshold)
    if sense.lag_s is not None:
        traits = msgspec.structs.replace(traits, lag_s=sense.lag_s)
    return traits


class BoundSense:
    """One point bound to what it reads. Raises KeyError for names that the world or the profile does not have."""

    def __init__(
        self, device: VirtualDevice, wanted: Wanted, world: Surroundings, mounted_m: float | None,
        distance_m: float | None,
    ) -> None:
        self.device = device
        self.point_id = wanted.point
        self.sense = sense = wanted.sense
        thing_id, _, quantity = wanted.name.rpartition(".")
        noun = world.noun(thing_id)
        readable = READABLE[noun][quantity]
        point = device.profile.point(wanted.point)
        if point is None:
            raise KeyError(wanted.point)
        self.room = thing_id if noun is Noun.ROOM else ""
        self._view: RoomView | None = None
        if noun is Noun.ROOM:
            height = sense.height_m if sense.height_m is not None else mounted_m
            if height is None:
                height = _usual_height(device.profile, world.rooms[thing_id].height)
            self._view = world.view(thing_id, height,
                                    sense.distance_m if sense.distance_m is not None else distance_m)
        self._thing = self._view if self._view is not None else world.thing(thing_id)
        self._read = readable.read
        self.traits = sensor_traits(point, readable.unit, sense)
        self._factor, self._offset = linear_between(readable.unit, self.traits.unit) or (1.0, 0.0)
        self._rti = sense.rti
        self._entry = False
        if sense.lag_s is None and sense.rti is None and self._view is not None:
            self._rti = _HEAT_RTI if point.quantity == "heat_alarm" else None
            self._entry = point.quantity in _SMOKE

    def feed(self) -> None:
        """Tell the device what stands at its sensor now."""
        value = float(self._read(self._thing)) * self.sense.factor + self.sense.offset
        value = value * self._factor + self._offset
        if self.sense.below:
            # Mirrored at the threshold, so that less of the quantity is more of the alarm.
            value = 2.0 * self.traits.threshold - value
        lag_s = None
        if self._view is not None and self._rti is not None:
            lag_s = self._rti / math.sqrt(self._view.speed_m_s())
        elif self._view is not None and self._entry:
            lag_s = min(_ENTRY_S[1], max(_ENTRY_S[0], _ENTRY_LENGTH_M / self._view.speed_m_s()))
        self.device.feed(self.point_id, value, self.traits, lag_s=lag_s, deviation=self.sense.noise)


def _usual_height(profile: DeviceProfile, ceiling_m: float) -> float:
    """Where such devices hang: smoke and heat under the ceiling, gas 0.3 m below it, others at breathing height."""
    if profile.device_class in _CEILING_CLASSES:
        return ceiling_m - 0.05
    if profile.device_class is DeviceClass.GAS:
        return ceiling_m - 0.3
    return min(1.5, ceiling_m)
