"""Expectations: what must come of a scenario. Said by its author, judged by whoever runs it beside a gateway.

Times `*_s` are seconds of the scenario unless a field says otherwise. `of` names a moment of the timeline that
`within_s` counts from: a fire's id, "event:N" (the N-th entry of `events`, from 0), "fault:N", "replay:N",
"deed:N" (of `people`), or "" for `after_s` alone.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.alarm import Hazard, Severity
from device_model.impairment import ImpairmentKind
from device_model.reading import Quality, Value


class AlarmClass(StrEnum):
    """Hazards named together."""

    FIRE = "fire"  # fire, call point
    GAS = "gas"  # gas, high gas, CO
    LIFE = "life"  # everything of law 1
    ANY = "any"


class ExpectedFire(msgspec.Struct, frozen=True):
    """A fire that must become one incident. onset_s: when it begins; within_s: by when the alarm must be known."""

    id: str
    devices: tuple[str, ...]
    onset_s: float
    within_s: float = 300.0


class ExpectedAlarm(msgspec.Struct, frozen=True):
    """An alarm that must be raised within `within_s` of `after_s` (plus the moment `of`).

    zone, device: where; "" for anywhere. severity: at least this. count: so many alarms of the rule (over devices).
    at_most: no more than so many in the whole run, so that chatter fails; 0: any number.
    cleared_within_s: and it must be cleared within so many seconds of being raised; 0: not judged.
    """

    rule: str
    zone: str = ""
    device: str = ""
    within_s: float = 60.0
    after_s: float = 0.0
    of: str = ""
    severity: Severity | None = None
    count: int = 1
    at_most: int = 0
    cleared_within_s: float = 0.0


class ExpectedIncident(msgspec.Struct, frozen=True):
    """An incident that the community OS must open. alarms: rules that must stand in it; count: how many such
    incidents at most exist at the end (0: any number). verified: the verification it must reach, "" any. audience:
    "permit" (told to watcher and control room only) or "all": judged is then only that it became so in that time."""

    hazard: Hazard
    zone: str = ""
    within_s: float = 60.0
    after_s: float = 0.0
    of: str = ""
    alarms: tuple[str, ...] = ()
    count: int = 1
    verified: str = ""
    audience: str = ""


class NoAlarm(msgspec.Struct, frozen=True):
    """No such alarm may be raised in from_s..to_s (to_s 0: to the end). Give rule, hazard or class."""

    rule: str = ""
    hazard: Hazard | None = None
    class_: AlarmClass | None = msgspec.field(default=None, name="class")
    zone: str = ""
    device: str = ""
    from_s: float = 0.0
    to_s: float = 0.0


class ExpectedOutput(msgspec.Struct, frozen=True):
    """An output of a device ("device.point", as the device itself shows it) that must become a value in time.

    proved: whether the gateway must have proof by the independent input; None: not judged. never: it must not
    become `becomes` at all.
    """

    output: str
    becomes: Value = True
    within_s: float = 60.0
    after_s: float = 0.0
    of: str = ""
    proved: bool | None = None
    never: bool = False


class ExpectedQuantity(msgspec.Struct, frozen=True):
    """A quantity of the world ("tank-1.level", as the world has it, or "device.point" as it shows) that must stay
    below, above or between at all times of from_s..to_s (to_s 0: to the end)."""

    quantity: str
    below: float | None = None
    above: float | None = None
    between: tuple[float, float] | None = None
    from_s: float = 0.0
    to_s: float = 0.0


class ExpectedLack(msgspec.Struct, frozen=True):
    """An impairment that must stand on the board in time. subject: device, output, line or gateway."""

    kind: ImpairmentKind
    subject: str = ""
    within_s: float = 60.0
    after_s: float = 0.0
    of: str = ""
    ended_within_s: float = 0.0


class ExpectedReading(msgspec.Struct, frozen=True):
    """A reading that the gateway must have had in time: of this quality, or of this value."""

    point: str
    quality: Quality | None = None
    value: Value | None = None
    within_s: float = 60.0
    after_s: float = 0.0
    of: str = ""


class Allowed(msgspec.Struct, frozen=True):
    """An alarm that may come and need not. Empty fields match everything."""

    rule: str = ""
    device: str = ""
    zone: str = ""


class Variant(msgspec.Struct, frozen=True):
    """A weaker rule set under which the verdict must fail: where it is a guard that protects (a second criterion, a
    waiting time, a hysteresis) and not a whole rule. rules: rule id → key of the rule file → other text."""

    id: str
    zh: str
    en: str
    rules: dict[str, dict[str, str]]


class Expectations(msgspec.Struct, frozen=True):
    """What must come of the scenario; judged by verdict and demo, not by the devices.

    Any alarm of warning level or more that is neither expected nor allowed fails the verdict. duration_s: how long
    the scenario is watched (0: a minute beyond the last thing that is scheduled or expected). protected_by: rules and
    outputs each of which, when disabled, must make the verdict fail; variants: weaker rules that must, too.
    """

    fires: tuple[ExpectedFire, ...] = ()
    silent_devices: tuple[str, ...] = ()
    alarms: tuple[ExpectedAlarm, ...] = ()
    incidents: tuple[ExpectedIncident, ...] = ()
    no_alarms: tuple[NoAlarm, ...] = ()
    outputs: tuple[ExpectedOutput, ...] = ()
    world: tuple[ExpectedQuantity, ...] = ()
    faults: tuple[ExpectedAlarm, ...] = ()
    impairments: tuple[ExpectedLack, ...] = ()
    readings: tuple[ExpectedReading, ...] = ()
    allow: tuple[Allowed, ...] = ()
    protected_by: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    duration_s: float = 0.0
