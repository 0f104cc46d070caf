"""Agreement: whether what a gateway holds of a point is what the device behind it shows. Pure.

    truth now ─────────────┐
    truth of a moment ago ─┼─► agreement ─► agrees | behind | differs | bad | unknown
    what is held, quality ─┘

A gateway reads in turns, so that it may hold what the device showed a moment ago: that is `behind` and no
disagreement. What the device has not shown within its grace and is off by more than its tolerance `differs`. A value
that is not known, or that the gateway itself calls bad, is never said to agree, unless the device shows none either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import StrEnum

from device_model.profile import DeviceProfile, ProfilePoint
from device_model.quantities import QUANTITIES, to_canonical
from device_model.reading import Value
from firmware_sim.device import VirtualDevice

NOISE_WIDTH = 6.0  # two looks at a noisy sensor, three standard deviations each
KEPT_MAX = 240  # changes of a point that are remembered: a minute of a sensor that moves at every step
TURN_S = 3.0  # a look of the page at the gateway, and of the gateway at its line
TOLD_S_MAX = 120.0  # panels and stations tell by themselves, at least this often


class Agreement(StrEnum):
    """How what is held stands to what is true."""

    AGREES = "agrees"
    BEHIND = "behind"  # it is what the device showed a moment ago
    DIFFERS = "differs"
    BAD = "bad"  # the holder says itself that it has no value
    UNKNOWN = "unknown"  # the holder has no such point, or has never heard it


def tolerance(profile: DeviceProfile, point: ProfilePoint) -> float:
    """How far a reading of this point may be off, in its canonical unit: a step of what carries it, its noise, and
    for what is told only when it moves its deadband."""
    source = point.register
    if source is not None:
        step = 0.1 if source.decimals_point else max(abs(source.scale), 1e-6)
    elif profile.gbt26875 is not None:
        step = 0.1
    else:
        step = (0.01 if profile.hj212 is not None else 1e-4) + point.deadband
    step += NOISE_WIDTH * point.natural_noise
    return abs(to_canonical(point.quantity, point.unit, step) - to_canonical(point.quantity, point.unit, 0.0))


def grace_s(profile: DeviceProfile, point: ProfilePoint) -> float:
    """How long after a change the old value may still be held, shown seconds."""
    if point.register is not None:
        return min(2.0 * point.poll_interval_s, point.stale_after_s) + TURN_S
    return TURN_S if profile.mqtt is not None else min(point.stale_after_s, TOLD_S_MAX) + TURN_S


def same(profile: DeviceProfile, point: ProfilePoint, truth: Value | None, held: Value | None) -> bool:
    """Whether a held value (canonical unit) is that truth (the profile's unit), to the point's tolerance."""
    if truth is None or held is None:
        return truth is held
    quantity = QUANTITIES[point.quantity]
    if quantity.boolean or isinstance(truth, str) or isinstance(held, str):
        return truth == held
    off = abs(to_canonical(point.quantity, point.unit, float(truth)) - float(held))
    return off <= tolerance(profile, point) + 1e-6 * abs(float(held))


def agreement(
    profile: DeviceProfile, point: ProfilePoint, truth: Value | None, lately: Iterable[Value | None],
    held: Value | None, quality: str,
) -> Agreement:
    """quality: good, uncertain, bad, or anything else for what was never heard. lately: what was shown within the
    point's grace."""
    if quality not in ("good", "uncertain", "bad"):
        return Agreement.UNKNOWN
    if held is None:
        return Agreement.AGREES if truth is None else Agreement.BAD
    if same(profile, point, truth, held):
        return Agreement.AGREES
    return Agreement.BEHIND if any(same(profile, point, old, held) for old in lately) else Agreement.DIFFERS


class TruthMemory:
    """What one device showed within the last minutes, point by point; bounded."""

    def __init__(self, device: VirtualDevice) -> None:
        self._device = device
        self._version = -1
        self._kept: dict[str, deque[tuple[float, Value | None]]] = {}

    def note(self, at_s: float) -> None:
        """Look at the device; cheap where nothing moved."""
        if self._device.version == self._version and self._kept:
            return
        self._version = self._device.version
        for point, value in self._device.shown.items():
            kept = self._kept.setdefault(point, deque(maxlen=KEPT_MAX))
            if not kept or kept[-1][1] != value or type(kept[-1][1]) is not type(value):
                kept.append((at_s, value))

    def lately(self, point: str, at_s: float, within_s: float) -> list[Value | None]:
        """What was shown in that time, the newest first; also what it began with."""
        found: list[Value | None] = []
        for since_s, value in reversed(self._kept.get(point, ())):
            found.append(value)
            if since_s <= at_s - within_s:
                break
        return found
