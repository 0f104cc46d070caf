"""How an incident is handled: grade, clock, tasks with proof, what people called in, its cause. Values only.

    hazards and lesser gas:   self_check ──clock──► street ──clock──► department
    fire, call point, high gas, CO:   all at once (law 1)

Tasks have a named person and a deadline; they are unread, read, done, each with its time; a photo is kept by its
hash, a position with its datum.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.alarm import Hazard
from device_model.site import Position, Text


class Stage(StrEnum):
    """Whose turn it is. ALL: owner, micro station, desk and brigade in parallel."""

    ALL = "all"
    SELF_CHECK = "self_check"
    STREET = "street"
    DEPARTMENT = "department"


class Cause(StrEnum):
    """What it was, by a person's judgement at the end."""

    UNSTATED = "unstated"
    REAL = "real"  # what the rule guards against
    REAL_CONTROLLED = "real_controlled"  # it was, and was no emergency: a pan, a small leak
    COOKING = "cooking"
    STEAM = "steam"
    DUST = "dust"
    INSECT = "insect"
    SMOKING = "smoking"
    WORKS = "works"  # hot work, painting, drilling
    WEATHER = "weather"
    DEVICE_FAULT = "device_fault"
    WRONG_PLACE = "wrong_place"  # the detector hangs where it must err
    MALICIOUS = "malicious"
    TEST = "test"  # not announced
    OTHER = "other"


# What a cause says of the alarm: it was right, it was wrong, or it says nothing.
TRUE_CAUSES = frozenset({Cause.REAL, Cause.REAL_CONTROLLED})
NO_VERDICT = frozenset({Cause.UNSTATED, Cause.TEST})


class ProofKind(StrEnum):
    """What a task asks for before it counts as done."""

    NONE = "none"
    PHOTO = "photo"
    POSITION = "position"
    BOTH = "both"


class TaskProof(msgspec.Struct, frozen=True, omit_defaults=True):
    """Proof of a deed. photo: sha256 of the picture (kept elsewhere)."""

    photo: str = ""
    position: Position | None = None


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that one person is to do. Times are µs since 1970 UTC, 0 not yet. person: a name or a rota's id."""

    id: str
    title: Text
    person: str
    given_us: int
    due_us: int
    proof_wanted: ProofKind = ProofKind.NONE
    by: str = ""  # who gave it; "" the response plan
    read_us: int = 0
    done_us: int = 0
    done_by: str = ""
    result: str = ""
    proof: TaskProof | None = None
    reminders: int = 0


class IntakeKind(StrEnum):
    """How people told of it."""

    CALL = "call"
    CITIZEN = "citizen"
    RECORD_119 = "record_119"
    PATROL = "patrol"


class Intake(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that people told: typed in by `who`. seen: the one who tells has seen it."""

    kind: IntakeKind
    hazard: Hazard
    zone: str
    text: str
    at_us: int
    who: str
    caller: str = ""
    phone: str = ""
    seen: bool = False


class Feedback(msgspec.Struct, frozen=True):
    """What somebody says of an incident afterwards."""

    at_us: int
    who: str
    text: str


class CallOutcome(StrEnum):
    """How a call to somebody ended."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    WILL_CALL_BACK = "will_call_back"
    WRONG_NUMBER = "wrong_number"


class CallRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that somebody made because of it. who: the one who called; person: the one who was called."""

    at_us: int
    who: str
    person: str
    phone: str
    outcome: CallOutcome
    text: str = ""


class StepCheck(msgspec.Struct, frozen=True):
    """A step of the response plan is ticked off. step: its words in English, which name it."""

    step: str
    at_us: int
    who: str


class UnitMove(StrEnum):
    """What a unit of the micro fire station says of itself. It never answers for the brigade."""

    COMING = "coming"
    ARRIVED = "arrived"
    LEFT = "left"


class UnitRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One word of a unit. at_us: when it was said on the phone; received_us: when it reached the cloud."""

    unit: str
    move: UnitMove
    at_us: int
    received_us: int
    who: str
    position: Position | None = None


class SceneReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody on the scene reports. photo: sha256 of the picture (kept elsewhere), "" for none."""

    at_us: int
    received_us: int
    who: str
    text: str
    photo: str = ""
    position: Position | None = None


class Handling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one incident is handled. deadline_us: when the next grade takes over, 0 where no clock runs. plan: title of
    the response plan. merged_into: the incident that took its alarms. undelivered: notifications given up. ends_us:
    when a drill ends by itself, 0 where none is on."""

    stage: Stage
    since_us: int
    deadline_us: int = 0
    plan: Text | None = None
    steps: tuple[Text, ...] = ()
    tasks: tuple[Task, ...] = ()
    intakes: tuple[Intake, ...] = ()
    cause: Cause = Cause.UNSTATED
    feedback: tuple[Feedback, ...] = ()
    merged_into: str = ""
    split_from: str = ""
    told: int = 0
    undelivered: int = 0
    calls: tuple[CallRecord, ...] = ()
    checked: tuple[StepCheck, ...] = ()
    units: tuple[UnitRecord, ...] = ()
    reports: tuple[SceneReport, ...] = ()
    ends_us: int = 0
