"""What people do with an incident beyond the steps of its life: values, as they stand in the stream. Pure."""

from __future__ import annotations

import msgspec

from device_model.alarm import Hazard
from device_model.handling import CallOutcome, Cause, IntakeKind, ProofKind, TaskProof, UnitMove
from device_model.read_models import Verification
from device_model.site import Position, Text


class TakeIn(msgspec.Struct, frozen=True, tag="take_in", omit_defaults=True):
    """A call, a citizen's report, a 119 record: into the incident of that place and cause, or a new one."""

    kind: IntakeKind
    hazard: Hazard
    zone: str
    text: str
    caller: str = ""
    phone: str = ""
    seen: bool = False


class Merge(msgspec.Struct, frozen=True, tag="merge"):
    """This incident and another are one: this one's alarms go over, and it is closed."""

    into: str


class Split(msgspec.Struct, frozen=True, tag="split"):
    """These alarms ("rule|subject") are another matter."""

    alarms: tuple[str, ...]


class VerifyBy(msgspec.Struct, frozen=True, tag="verify"):
    """Somebody or something else has seen it."""

    by: Verification
    detail: str = ""


class SelfCheck(msgspec.Struct, frozen=True, tag="self_check"):
    """What the firm's own check found."""

    cause: Cause
    text: str = ""


class GiveTask(msgspec.Struct, frozen=True, tag="give_task", omit_defaults=True):
    """A task by hand."""

    title: Text
    person: str
    within_us: int
    proof: ProofKind = ProofKind.NONE


class ReadTask(msgspec.Struct, frozen=True, tag="read_task"):
    """Its person has seen it."""

    task: str


class DoTask(msgspec.Struct, frozen=True, tag="do_task", omit_defaults=True):
    """It is done."""

    task: str
    result: str
    proof: TaskProof | None = None


class StateCause(msgspec.Struct, frozen=True, tag="state_cause"):
    """What it was."""

    cause: Cause
    text: str = ""


class GiveFeedback(msgspec.Struct, frozen=True, tag="feedback"):
    """What somebody says of it, also afterwards."""

    text: str


class CallMade(msgspec.Struct, frozen=True, tag="call_made", omit_defaults=True):
    """Somebody was called because of it."""

    person: str
    phone: str
    outcome: CallOutcome
    text: str = ""


class CheckStep(msgspec.Struct, frozen=True, tag="check_step", omit_defaults=True):
    """A step of the response plan is done, or (done false) is not after all. step: its words in English."""

    step: str
    done: bool = True


class UnitSays(msgspec.Struct, frozen=True, tag="unit_says", omit_defaults=True):
    """A unit of a micro fire station is coming, has arrived, has left. said_us: on the phone's clock, 0 now."""

    unit: str
    move: UnitMove
    said_us: int = 0
    position: Position | None = None


class ReportScene(msgspec.Struct, frozen=True, tag="report_scene", omit_defaults=True):
    """What is seen there. photo: sha256 of a picture that was handed in before."""

    text: str
    photo: str = ""
    said_us: int = 0
    position: Position | None = None


DRILL_LEAST_S, DRILL_MOST_S = 5 * 60, 8 * 3600


class StartDrill(msgspec.Struct, frozen=True, tag="start_drill"):
    """An exercise: an incident that is marked everywhere; nobody is dispatched to it, and it hides no real one.
    for_s: when it ends by itself, DRILL_LEAST_S to DRILL_MOST_S: one that nobody ended would dull the word."""

    hazard: Hazard
    zone: str
    text: str
    for_s: int = 3600


Deed = (TakeIn | Merge | Split | VerifyBy | SelfCheck | GiveTask | ReadTask | DoTask | StateCause | GiveFeedback
        | CallMade | CheckStep | UnitSays | ReportScene | StartDrill)
FieldDeed = CallMade | CheckStep | UnitSays | ReportScene
