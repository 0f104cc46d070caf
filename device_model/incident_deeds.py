"""What people do with an incident beyond the steps of its life: values, as they stand in the stream. Pure."""

from __future__ import annotations

import msgspec

from device_model.alarm import Hazard
from device_model.handling import Cause, IntakeKind, ProofKind, TaskProof
from device_model.read_models import Verification
from device_model.site import Text


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


Deed = (TakeIn | Merge | Split | VerifyBy | SelfCheck | GiveTask | ReadTask | DoTask | StateCause | GiveFeedback)
