"""From operators' verdicts on incidents to labels: what a person judged at the end says what the camera showed. Pure.

    cause            of a camera's alarm "hot_work"      "flame"              "smoke"
    real, controlled  hot_work 1                          flame 1              smoke 1
    works             hot_work 1                          flame 0, hot_work 1  smoke left open (fumes)
    others, wrong     that class 0                        0                    0
    unstated, test    nothing is learnt
What the verdict does not speak of stays -1: not looked at.

It reads the JSON that the board gives: one incident, a list of them, or a snapshot with `incidents`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from device_drivers.vision.model_card import CLASSES
from device_model.errors import ConfigError, Finding
from device_model.handling import NO_VERDICT, TRUE_CAUSES, Cause

EXPORT_BYTES_MAX = 256 * 1024 * 1024


class ClosedAlarm(msgspec.Struct, frozen=True):
    """The part of an alarm that is needed here."""

    rule: str
    device: str
    at_us: int
    subject: str = ""
    hazard: str = ""


class ClosedHandling(msgspec.Struct, frozen=True):
    """The part of an incident's handling that is needed here."""

    cause: str = ""


class ClosedIncident(msgspec.Struct, frozen=True):
    """The part of an incident that is needed here."""

    id: str
    state: str
    cause: str = ""
    drill: bool = False
    alarms: tuple[ClosedAlarm, ...] = ()
    handling: ClosedHandling | None = None


class Verdict(msgspec.Struct, frozen=True):
    """An alarm of a camera, judged. at_us: when it was raised."""

    incident: str
    device: str
    at_us: int
    labels: tuple[int, ...]
    by_cause: str


def parse_incidents(octets: bytes, name: str) -> list[ClosedIncident]:
    """Raises ConfigError where the file is no export of incidents."""
    if len(octets) > EXPORT_BYTES_MAX:
        raise ConfigError([Finding(name, 0, 0, f"{len(octets)} bytes", "export a shorter time")])
    try:
        raw: Any = msgspec.json.decode(octets)
        if isinstance(raw, dict):
            raw = raw.get("incidents", [raw])
        return msgspec.convert(raw, list[ClosedIncident])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            [Finding(name, 0, 0, f"no incidents: {error}", "give the JSON of /api/board or of an incident")]
        ) from error


def seen_class(alarm: ClosedAlarm) -> str:
    """The class that a camera's alarm stands for, "" where it is none: by the rule's or the subject's name."""
    words = f"{alarm.rule} {alarm.subject}".replace("-", "_").lower()
    return next((name for name in CLASSES if name in words), "")


def labels_of(name: str, cause: str) -> tuple[int, ...] | None:
    """Labels of a class's alarm under a cause; None where nothing may be learnt."""
    try:
        judged = Cause(cause)
    except ValueError:
        return None
    if judged in NO_VERDICT:
        return None
    labels = dict.fromkeys(CLASSES, -1)
    if judged in TRUE_CAUSES:
        labels[name] = 1
    elif judged is Cause.WORKS:
        labels |= {"hot_work": 1}
        if name == "flame":
            labels["flame"] = 0
    else:
        labels[name] = 0
    return tuple(labels[n] for n in CLASSES)


def verdicts(incidents: list[ClosedIncident], cameras: frozenset[str]) -> list[Verdict]:
    """Of every judged alarm that one of these cameras raised. A drill teaches nothing."""
    found = []
    for incident in incidents:
        cause = incident.cause or (incident.handling.cause if incident.handling else "")
        if incident.state == "false" and cause in ("", Cause.UNSTATED):
            cause = Cause.OTHER
        if incident.drill:
            continue
        for alarm in incident.alarms:
            name = seen_class(alarm)
            labels = labels_of(name, cause) if name and alarm.device in cameras else None
            if labels is not None:
                found.append(Verdict(incident.id, alarm.device, alarm.at_us, labels, cause))
    return found
