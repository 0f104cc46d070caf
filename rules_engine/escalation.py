"""Escalation (pure): one step after another is told until enough people have acknowledged.

    start ─► step 0 ──after──► step 1 ──after──► step 2 ──► round again, as often as the policy says
               └─ reminder ─┘     each step reminded until the next       acknowledge × n ─► answered
                                                                          stop ─► over

Timers stand in the checkpoint and run at the moment they were due. An acknowledgement ends the calling, and nothing
else: no alarm is silenced and no queue is left by it (law 3).
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

# Matters that are called for at once; a site has some dozens of incidents. The oldest answered ones go first.
MATTERS_MAX = 2_000


class Target(msgspec.Struct, frozen=True):
    """Whom a step tells: people, a rota's people of the moment, receivers of the routing file."""

    people: tuple[str, ...] = ()
    rotas: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """One step. after_us: since the matter began."""

    after_us: int
    target: Target


class Policy(msgspec.Struct, frozen=True):
    """How a matter is escalated. acknowledgements: how many different people must answer. reminder_us: how often the
    running step is said again, the last one without end; 0 for never. rounds: how often all steps are gone
    through; one at least. round_us: from one round's begin to the next."""

    id: str
    steps: tuple[Step, ...]
    acknowledgements: int = 1
    reminder_us: int = 0
    rounds: int = 1
    round_us: int = 0


class Ended(StrEnum):
    """Why nobody is called for a matter any more; RUNNING while they are."""

    RUNNING = "running"
    ANSWERED = "answered"
    STOPPED = "stopped"
    EXHAUSTED = "exhausted"  # all steps told, no reminders wanted; an answer still counts


class Call(msgspec.Struct, frozen=True):
    """Tell these of this matter. reminder: 0 the first time, then counted. escalated: not the first step."""

    id: str
    matter: str
    policy: str
    step: int
    round: int
    reminder: int
    at_us: int
    target: Target

    @property
    def escalated(self) -> bool:
        """Whether those before did not answer."""
        return self.step > 0 or self.round > 0


class Matter(msgspec.Struct):
    """One matter that people are called for. step: the one that runs; -1 before the first."""

    policy: str
    began_us: int
    step: int = -1
    round: int = 0
    reminder: int = 0
    next_us: int | None = None
    answered_by: dict[str, int] = {}
    ended: Ended = Ended.RUNNING
    ended_us: int = 0
    why: str = ""
    starts: int = 0


class EscalationState(msgspec.Struct):
    """The checkpoint."""

    matters: dict[str, Matter]
    version: int = 1


_decoder = msgspec.json.Decoder(EscalationState)


class Escalations:
    """All escalations of one site. Owned by one worker."""

    def __init__(self, policies: dict[str, Policy], scope: str) -> None:
        """scope: the site's path, so that ids of calls differ between sites."""
        self._policies, self._scope = policies, scope
        self._state = EscalationState({})

    def start(self, matter: str, policy: str, at_us: int) -> tuple[Call, ...]:
        """Begin to call; a matter that runs goes on as it is. One that ended begins anew. KeyError for a policy
        that does not exist."""
        known = self._state.matters.get(matter)
        if known is not None and known.ended is Ended.RUNNING:
            return ()
        steps = self._policies[policy].steps
        self._make_room()
        starts = known.starts + 1 if known else 0
        self._state.matters[matter] = Matter(policy, at_us, next_us=at_us + steps[0].after_us, answered_by={},
                                             starts=starts)
        return self.tick(at_us)

    def restart(self, matter: str, policy: str, at_us: int) -> tuple[Call, ...]:
        """Something new (another zone, raised again): former answers did not know of it."""
        self.stop(matter, at_us, "begun anew")
        return self.start(matter, policy, at_us)

    def acknowledge(self, matter: str, who: str, at_us: int) -> bool:
        """Somebody answers; the same person counts once. True when that was the last answer that was missing."""
        known = self._state.matters.get(matter)
        if known is None or known.ended not in (Ended.RUNNING, Ended.EXHAUSTED) or not who.strip():
            return False
        known.answered_by.setdefault(who, at_us)
        policy = self._policies.get(known.policy)
        if policy is not None and len(known.answered_by) < policy.acknowledgements:
            return False
        self._end(known, Ended.ANSWERED, at_us, "")
        return True

    def stop(self, matter: str, at_us: int, why: str) -> bool:
        """The matter itself is over. True when it ran."""
        known = self._state.matters.get(matter)
        if known is None or known.ended not in (Ended.RUNNING, Ended.EXHAUSTED):
            return False
        self._end(known, Ended.STOPPED, at_us, why)
        return True

    def tick(self, now_us: int) -> tuple[Call, ...]:
        """Let time pass: every step at the moment it was due; of reminders missed together only the last."""
        calls = []
        for name, matter in self._state.matters.items():
            while matter.next_us is not None and matter.next_us <= now_us and matter.ended is Ended.RUNNING:
                call = self._advance(name, matter, now_us)
                if call is not None:
                    calls.append(call)
        return tuple(sorted(calls, key=lambda call: (call.at_us, call.matter)))

    def due_us(self) -> int | None:
        """When `tick` will next have something to do."""
        return min((m.next_us for m in self._state.matters.values() if m.next_us is not None), default=None)

    def matter(self, name: str) -> Matter | None:
        """What is known of a matter."""
        return self._state.matters.get(name)

    def _advance(self, name: str, matter: Matter, now_us: int) -> Call | None:
        policy = self._policies.get(matter.policy)
        at_us = matter.next_us
        assert at_us is not None
        if policy is None:
            self._end(matter, Ended.STOPPED, at_us, "its policy is gone from the file")
            return None
        following = self._following(policy, matter)
        if following is not None and at_us >= following[2]:
            matter.round, matter.step, matter.reminder = following[0], following[1], 0
        elif policy.reminder_us and matter.step >= 0:
            matter.reminder += 1
        else:
            self._end(matter, Ended.EXHAUSTED, at_us, "nobody answered")
            return None
        self._set_next(policy, matter, at_us, now_us)
        parts = (self._scope, name, matter.starts, matter.began_us, matter.round, matter.step, matter.reminder)
        name_of_call = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:24]
        return Call(name_of_call, name, policy.id, matter.step, matter.round, matter.reminder, at_us,
                    policy.steps[matter.step].target)

    def _following(self, policy: Policy, matter: Matter) -> tuple[int, int, int] | None:
        """(round, step, when) of what comes next, or None after the last."""
        turn, step = matter.round, matter.step + 1
        if step >= len(policy.steps):
            turn, step = turn + 1, 0
        if turn >= policy.rounds:
            return None
        return turn, step, matter.began_us + turn * policy.round_us + policy.steps[step].after_us

    def _set_next(self, policy: Policy, matter: Matter, at_us: int, now_us: int) -> None:
        following = self._following(policy, matter)
        reminder_us = None
        if policy.reminder_us:
            missed = max(1, (now_us - at_us) // policy.reminder_us)
            reminder_us = at_us + missed * policy.reminder_us
            if following is not None:
                # Reminders that were missed never jump over the next step.
                reminder_us = min(reminder_us, max(at_us + policy.reminder_us, following[2]))
        times = [t for t in (following[2] if following else None, reminder_us) if t is not None]
        matter.next_us = min(times, default=at_us)  # nothing more to say: it is over at once

    def _end(self, matter: Matter, ended: Ended, at_us: int, why: str) -> None:
        matter.ended, matter.ended_us, matter.why, matter.next_us = ended, at_us, why, None

    def _make_room(self) -> None:
        over = [name for name, matter in self._state.matters.items() if matter.ended is not Ended.RUNNING]
        for name in over[:max(0, len(self._state.matters) - MATTERS_MAX + 1)]:
            del self._state.matters[name]

    def checkpoint(self) -> bytes:
        """Everything, as JSON; equal histories give equal bytes."""
        return msgspec.json.encode(self._state)

    def resume(self, checkpoint: bytes) -> None:
        """From a checkpoint; ValueError where it does not fit."""
        self._state = _decoder.decode(checkpoint)
