"""Tasks of an incident: given to a person with a deadline, reminded of, done with proof. Pure functions on values."""

from __future__ import annotations

import hashlib

import msgspec

from device_model.clock import MINUTE_US
from device_model.handling import ProofKind, Task, TaskProof
from device_model.site import Text

# After the deadline it is said again so often, and so many times; then the timeline has said it often enough.
AGAIN_US = 10 * MINUTE_US
REMINDERS_MAX = 8


def task_of(
    what: str, title: Text, person: str, now_us: int, within_us: int, proof: ProofKind, by: str = ""
) -> Task:
    """A task with an id that any replay makes again."""
    name = hashlib.sha256(f"task|{what}".encode()).hexdigest()[:12]
    return Task(name, title, person, now_us, now_us + within_us, proof, by)


def due_again(task: Task) -> int | None:
    """When its person is next reminded: halfway while it is unread, at the deadline, and every ten minutes after."""
    if task.done_us or not task.due_us or task.reminders >= REMINDERS_MAX:
        return None
    if task.reminders == 0 and not task.read_us:
        return task.given_us + (task.due_us - task.given_us) // 2
    return task.due_us + max(0, task.reminders - 1) * AGAIN_US


def reminded(task: Task, now_us: int) -> Task:
    """After a reminder; those that were missed together count as one."""
    count = 1
    if now_us >= task.due_us:
        count = max(task.reminders + 1, 2 + (now_us - task.due_us) // AGAIN_US)
    return msgspec.structs.replace(task, reminders=min(count, REMINDERS_MAX))


def has_proof(wanted: ProofKind, proof: TaskProof | None) -> str:
    """What of the proof is missing, in words; "" when nothing is."""
    photo = bool(proof and len(proof.photo) == 64 and all(c in "0123456789abcdef" for c in proof.photo))
    place = bool(proof and proof.position is not None)
    missing = [word for word, need, have in (
        ("a photo", wanted in (ProofKind.PHOTO, ProofKind.BOTH), photo),
        ("a position", wanted in (ProofKind.POSITION, ProofKind.BOTH), place)) if need and not have]
    return " and ".join(missing)
