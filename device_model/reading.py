"""Reading: one value of one point, with everything needed to trust it or not.

A read that failed is never a number: where `quality` is bad, `value` is None and `reason` says why. Missing is
never false (law of safety 7).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

Value = bool | int | float | str


class Quality(StrEnum):
    """How far a value may be trusted."""

    GOOD = "good"
    UNCERTAIN = "uncertain"  # usable, but say so: warm-up, calibration due, clock unknown, out of stated range
    BAD = "bad"  # no value


class Reason(StrEnum):
    """Why a reading is not good. One vocabulary for drivers, rules, pages and the fault report."""

    NONE = ""
    SILENT = "silent"  # no answer within the point's limit
    REFUSED = "refused"  # the device answered with an exception or a refusal
    GARBLED = "garbled"  # answers that do not parse or do not fit
    ERROR_VALUE = "error_value"  # the profile's own error mark, e.g. 0x7FFF
    OVER_RANGE = "over_range"  # saturated: for gas a latched high alarm, never a fault alone (law 3)
    UNDER_RANGE = "under_range"
    OUT_OF_LIMITS = "out_of_limits"  # outside what the profile says is physically possible
    WARM_UP = "warm_up"
    DEVICE_FAULT = "device_fault"  # the device says itself that it is faulty
    LINE_DOWN = "line_down"  # the whole line or broker is unreachable
    GATEWAY_SILENT = "gateway_silent"  # set by the cloud when the gateway itself is not heard
    NOT_YET_READ = "not_yet_read"


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of one point at one time.

    point: "<device id>.<point id>", unique within its gateway.
    value: None exactly when quality is bad (over-range readings are bad and carry the reason).
    unit: UCUM code, one that the point's quantity may carry (`quantities.py`).
    source_time_us: when the device measured it, µs since 1970 UTC; equals receive_time_us for devices
        without a clock of their own.
    receive_time_us: when the gateway received it, µs since 1970 UTC.
    mono_us, boot: the gateway's monotonic time of receipt, µs, and the boot it belongs to; order within a
        gateway comes from these, for the wall clock may be wrong (DESIGN, "Time").
    stream, epoch, sequence: name the journaled record, set when the reading enters its lane; sequence 0 while
        the reading lives in memory only.
    """

    point: str
    value: Value | None
    unit: str
    quality: Quality = Quality.GOOD
    reason: Reason = Reason.NONE
    source_time_us: int = 0
    receive_time_us: int = 0
    mono_us: int = 0
    boot: str = ""
    stream: str = ""
    epoch: str = ""
    sequence: int = 0

    def __post_init__(self) -> None:
        if (self.value is None) != (self.quality is Quality.BAD):
            raise ValueError(f"{self.point}: value {self.value!r} does not go with quality {self.quality}")

    @property
    def device(self) -> str:
        """The device that the point belongs to."""
        return self.point.partition(".")[0]

    def same_as(self, other: Reading) -> bool:
        """Whether value, quality and reason are equal (times and sequence apart)."""
        return (
            self.value == other.value
            and type(self.value) is type(other.value)
            and self.quality is other.quality
            and self.reason is other.reason
        )
