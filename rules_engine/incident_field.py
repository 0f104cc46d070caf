"""What is done at an incident by telephone and on the scene: calls, ticked steps, units, reports. Pure functions.

    Handling, deed ──► Handling with one record more, the word and the detail of the timeline's line

None of this answers for the brigade: a unit that is coming keeps the alarm sounding and every clock running (law 1).
"""

from __future__ import annotations

import math

import msgspec

from device_model.clock import DAY_US
from device_model.handling import CallRecord, Handling, SceneReport, StepCheck, UnitRecord
from device_model.incident_deeds import CallMade, CheckStep, FieldDeed, ReportScene, UnitSays
from device_model.site import Position

# Bounds of one incident; more than anybody would read, and the checkpoint stays small. The audit log has all.
CALLS_MAX = 60
CHECKS_MAX = 60
UNITS_MAX = 60
REPORTS_MAX = 40
NAME_MAX = 80
TEXT_MAX = 500
_SHA256 = 64


def field_deed(handling: Handling, deed: FieldDeed, who: str, at_us: int) -> tuple[Handling, str, str]:
    """The handling after it, the timeline's word, and its detail. Raises ValueError with the reason."""
    if isinstance(deed, CallMade):
        return _call(handling, deed, who, at_us)
    if isinstance(deed, CheckStep):
        return _check(handling, deed, who, at_us)
    if isinstance(deed, UnitSays):
        return _unit(handling, deed, who, at_us)
    return _report(handling, deed, who, at_us)


def _call(handling: Handling, deed: CallMade, who: str, at_us: int) -> tuple[Handling, str, str]:
    person, phone = deed.person.strip()[:NAME_MAX], deed.phone.strip()[:40]
    if not person:
        raise ValueError("say who was called")
    if len(handling.calls) >= CALLS_MAX:
        raise ValueError(f"{CALLS_MAX} calls are written down already")
    record = CallRecord(at_us, who, person, phone, deed.outcome, deed.text.strip()[:TEXT_MAX])
    detail = f"{person} {phone}: {deed.outcome.value} {record.text}".strip()
    return msgspec.structs.replace(handling, calls=(*handling.calls, record)), "call", detail


def _check(handling: Handling, deed: CheckStep, who: str, at_us: int) -> tuple[Handling, str, str]:
    step = deed.step.strip()[:TEXT_MAX]
    if not step:
        raise ValueError("say which step")
    known = any(check.step == step for check in handling.checked)
    if deed.done and known:
        raise ValueError("this step is ticked already")
    if not deed.done and not known:
        raise ValueError("this step is not ticked")
    if deed.done and len(handling.checked) >= CHECKS_MAX:
        raise ValueError(f"{CHECKS_MAX} steps are ticked already")
    rest = tuple(check for check in handling.checked if check.step != step)
    checked = (*rest, StepCheck(step, at_us, who)) if deed.done else rest
    return msgspec.structs.replace(handling, checked=checked), "step" if deed.done else "step_undone", step


def _unit(handling: Handling, deed: UnitSays, who: str, at_us: int) -> tuple[Handling, str, str]:
    unit = deed.unit.strip()[:NAME_MAX]
    if not unit:
        raise ValueError("say which unit")
    if len(handling.units) >= UNITS_MAX:
        raise ValueError(f"{UNITS_MAX} words of units are written down already")
    record = UnitRecord(unit, deed.move, said_at(deed.said_us, at_us), at_us, who, checked_position(deed.position))
    return (msgspec.structs.replace(handling, units=(*handling.units, record)), f"unit_{deed.move.value}",
            f"{unit} {_where(record.position)}".strip())


def _report(handling: Handling, deed: ReportScene, who: str, at_us: int) -> tuple[Handling, str, str]:
    text, photo = deed.text.strip()[:TEXT_MAX], deed.photo
    if not text and not photo:
        raise ValueError("say what you see, or send a picture")
    if photo and (len(photo) != _SHA256 or set(photo) - set("0123456789abcdef")):
        raise ValueError("this is no picture that was handed in")
    if len(handling.reports) >= REPORTS_MAX:
        raise ValueError(f"{REPORTS_MAX} reports are written down already")
    record = SceneReport(said_at(deed.said_us, at_us), at_us, who, text, photo, checked_position(deed.position))
    parts = (text, f"photo {photo[:12]}" if photo else "", _where(record.position))
    detail = " ".join(part for part in parts if part)
    return msgspec.structs.replace(handling, reports=(*handling.reports, record)), "scene_report", detail


def said_at(said_us: int, at_us: int) -> int:
    """When it was said: the phone's time where it can be: not ahead of the cloud, at most a day back."""
    return said_us if at_us - DAY_US <= said_us <= at_us else at_us


def checked_position(position: Position | None) -> Position | None:
    """The position, or None where it is none on this earth."""
    if position is None or not (math.isfinite(position.latitude) and math.isfinite(position.longitude)):
        return None
    return position if abs(position.latitude) <= 90 and abs(position.longitude) <= 180 else None


def _where(position: Position | None) -> str:
    return f"at {position.latitude:.5f}, {position.longitude:.5f} {position.datum.value}" if position else ""
