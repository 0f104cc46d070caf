"""Replay: the engine that gateway and cloud run, driven by the time stamps of a record.

    rows ──► readings (out of limits, error values, silence as a driver would tell them) ──► Engine.step ──► episodes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from device_model.alarm import AlarmState, AlarmTransition, Hazard, Severity
from device_model.clock import Now
from device_model.inventory import Inventory
from device_model.profile import Certainty, DeviceProfile, ProfilePoint
from device_model.quantities import QUANTITIES
from device_model.reading import Quality, Reading, Reason
from device_model.site import Device, GatewaySettings, Site, Tenancy, Text, Zone
from rules_engine.engine import Engine
from rules_engine.recorded.experiment import Experiment, RecordedPoint
from rules_engine.rule import RuleSet

BOOT = "replay"


class Episode(msgspec.Struct, frozen=True):
    """One alarm from its raising until it was over. Seconds of the experiment's own time."""

    experiment: str
    rule: str
    subject: str
    zone: str
    hazard: Hazard
    severity: Severity
    start_s: float
    end_s: float
    detail: str = ""


Disturb = Callable[[float, int, float | None], "float | Reason | None"]
"""(time, index of the point, value) → what the gateway gets instead: a value, a reason why not, None for no poll."""


class Upset(msgspec.Struct, frozen=True):
    """What befalls whole rows. ahead_s: by how much the gateway's wall clock is wrong at a time (the monotonic one is
    not); repeats: whether a row is delivered a second time."""

    ahead_s: Callable[[float], float] = lambda _: 0.0
    repeats: Callable[[], bool] = lambda: False


def episodes_of(experiment: Experiment, rules: RuleSet, *, from_s: float = float("-inf"), to_s: float = float("inf"),
                disturb: Disturb | None = None, upset: Upset | None = None, decides: str = "edge"
                ) -> tuple[Episode, ...]:
    """All alarms of one run from a cold state, in order of their beginning.

    Timers that fall due between two rows count at their own moment (the engine sees to that).
    """
    engine = Engine(rules, recorded_inventory(experiment.points), decides=decides, lateness_us=10_000_000)
    book = _Book(experiment)
    points = [_Channel(point) for point in experiment.points]
    last_s, upset = 0.0, upset or Upset()
    for t_s, values in experiment.rows(from_s, to_s):
        last_s = t_s
        now, book.ahead_s = _now(experiment, t_s, upset.ahead_s(t_s)), upset.ahead_s(t_s)
        readings: list[Reading] = []
        fresh: list[str] = []
        for index, channel in enumerate(points):
            value: float | Reason | None = values[index]
            if disturb is not None:
                value = disturb(t_s, index, values[index])
            if value is None:
                continue
            reading = channel.reading(value, now)
            if reading is None:
                fresh.append(channel.point.id)
            else:
                readings.append(reading)
        book.take(engine.step(readings, now, fresh))
        if upset.repeats():
            book.take(engine.step(readings, now, fresh))
    return book.episodes(last_s)


def _now(experiment: Experiment, t_s: float, ahead_s: float) -> Now:
    mono_us = experiment.zero_us + round(t_s * 1e6)
    return Now(mono_us + round(ahead_s * 1e6), mono_us, BOOT)


class _Channel:
    """What a driver does for one point: the canonical unit, error values, limits, and only what changed."""

    def __init__(self, point: RecordedPoint) -> None:
        self.point = point
        quantity = QUANTITIES[point.quantity]
        unit = quantity.unit(point.unit)
        if unit is None:
            raise ValueError(f"{point.id}: {point.quantity} may not be in {point.unit!r}")
        self._unit, self._canonical, self._boolean = unit, quantity.canonical, quantity.boolean
        self._last: object = None

    def reading(self, value: float | Reason, now: Now) -> Reading | None:
        """The reading, or None when it is what it was."""
        what = value if isinstance(value, Reason) else self._judged(float(value))
        if what == self._last and type(what) is type(self._last):
            return None
        self._last = what
        common = (now.wall_us, now.wall_us, now.mono_us, now.boot)
        if isinstance(what, Reason):
            return Reading(self.point.id, None, self._canonical, Quality.BAD, what, *common)
        return Reading(self.point.id, what, self._canonical, Quality.GOOD, Reason.NONE, *common)

    def _judged(self, value: float) -> bool | float | Reason:
        point = self.point
        if value != value or value in point.error_values:  # noqa: PLR0124  # NaN
            return Reason.ERROR_VALUE
        if (point.least is not None and value < point.least) or (point.most is not None and value > point.most):
            return Reason.OUT_OF_LIMITS
        return bool(value) if self._boolean else value * self._unit.factor + self._unit.offset


def _is_over(step: AlarmTransition) -> bool:
    """An alarm that keeps stands until it is cleared; one that latches waits for a person whom a record has not, so
    its episode is over with its condition."""
    return step.state in (AlarmState.CLEARED, AlarmState.INACTIVE) or (step.state is AlarmState.HELD and step.latched)


class _Book:
    """Transitions into episodes."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self.ahead_s = 0.0
        self._open: dict[str, tuple[AlarmTransition, float]] = {}
        self._closed: list[Episode] = []

    def take(self, steps: Sequence[AlarmTransition]) -> None:
        for step in steps:
            key = f"{step.key.rule} {step.key.subject}"
            at_s = (step.at_us - self._experiment.zero_us) / 1e6 - self.ahead_s
            if step.state is AlarmState.RAISED and key not in self._open:
                self._open[key] = (step, at_s)
            elif key in self._open and _is_over(step):
                self._close(*self._open.pop(key), at_s)

    def _close(self, step: AlarmTransition, start_s: float, end_s: float) -> None:
        self._closed.append(Episode(self._experiment.name, step.key.rule, step.key.subject, step.zone, step.hazard,
                                    step.severity, start_s, end_s, step.detail))

    def episodes(self, end_s: float) -> tuple[Episode, ...]:
        for step, start_s in self._open.values():
            self._close(step, start_s, end_s)
        self._open.clear()
        return tuple(sorted(self._closed, key=lambda episode: (episode.start_s, episode.rule, episode.subject)))


def recorded_inventory(points: Sequence[RecordedPoint]) -> Inventory:
    """A site that has exactly these points."""
    devices: dict[str, list[RecordedPoint]] = {}
    for point in points:
        devices.setdefault(point.device, []).append(point)
    zones = {point.zone: Zone(point.zone, Text(point.zone, point.zone), "b1", point.floor, point.zone_kind)
             for point in points}
    site = Site(
        Tenancy("city", "district", "street", "recorded"), Text("recorded", "实录"), GatewaySettings("gateway"), (),
        tuple(zones.values()), (),
        tuple(Device(device, device, "line", its[0].zone, Text(device, device),
                     tags=tuple(dict.fromkeys(tag for point in its for tag in point.tags)))
              for device, its in devices.items()))
    return Inventory(site, {device: _profile(device, its) for device, its in devices.items()})


def _profile(device: str, points: Sequence[RecordedPoint]) -> DeviceProfile:
    return DeviceProfile(
        device, 1, "", "", device, device, points[0].device_class, Certainty.A, "recorded",
        tuple(ProfilePoint(name, point.quantity, QUANTITIES[point.quantity].canonical, name, name,
                           stale_after_s=point.stale_after_s, natural_noise=point.natural_noise,
                           certainty=Certainty.A)
              for point in points for name in [point.id.partition(".")[2]]))
