"""Command and Acknowledgement: who wants what, until when, and what came of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.permit import PermitStep


class CommandKind(StrEnum):
    """What the cloud or a person on site may ask of a gateway."""

    ALARM_ACKNOWLEDGED = "alarm_acknowledged"  # tells the site that somebody has taken the alarm
    SILENCE_SOUNDER = "silence_sounder"  # on site only: acknowledging never silences (law 3)
    RESET_ALARM = "reset_alarm"  # on site only, by a named person
    ISOLATE = "isolate"  # a named, reasoned, expiring disablement of one device (law 2)
    RESTORE = "restore"
    TEST_MODE = "test_mode"  # per device, at most 30 minutes, self-ending (law 6)
    PROOF_ALARM = "proof_alarm"  # raise the synthetic alarm now
    ANSWER_DUTY = "answer_duty"  # a person on duty answers the duty check `target`
    WRITE_OUTPUT = "write_output"  # manual, rate limited, expiring
    INCIDENT_CLOSED = "incident_closed"  # the incident of alarm `target` is closed: its evidence may age
    INCIDENT_REOPENED = "incident_reopened"  # it is open again: the evidence of alarm `target` is held again
    EVIDENCE_AGAIN = "evidence_again"  # the file of evidence `target` was not kept: it is to be sent once more
    PERMIT = "permit"  # one act on a permit for hot work: `permit`; `target` is the permit's id


# Law 3 and 5: trips, latches and sounders are reset and silenced on site by a person, never from afar.
ON_SITE_ONLY: frozenset[CommandKind] = frozenset({CommandKind.SILENCE_SOUNDER, CommandKind.RESET_ALARM})


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """A wish with an owner and an end. Applied at most once per `id`; refused after `expires_us`.

    target: alarm id, device id, output id or duty check id, as the kind needs.
    value: for WRITE_OUTPUT the wanted state; for TEST_MODE and ISOLATE the duration in seconds.
    compensating_measure: what is done meanwhile ("guard walks hourly"); an ISOLATE needs it (law 3).
    """

    id: str
    kind: CommandKind
    target: str
    who: str
    why: str
    issued_us: int
    expires_us: int
    value: float | bool | None = None
    on_site: bool = False
    compensating_measure: str = ""
    permit: PermitStep | None = None


class CommandOutcome(StrEnum):
    """What became of a command."""

    APPLIED = "applied"
    ALREADY_APPLIED = "already_applied"
    REFUSED = "refused"
    EXPIRED = "expired"


class CommandResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The gateway's answer, journaled in the alarm lane like an alarm."""

    command: str
    kind: CommandKind
    target: str
    outcome: CommandOutcome
    at_us: int
    who: str = ""
    detail: str = ""
