"""Outputs: sounders, valves, cut-offs bound to hazards and zones; driven from memory in the same step.

    raised alarm ─► demand ─┬─ sounder, strobe: on while a demand is not silenced; a new zone sounds again
                            └─ trip (valve, cut-off, fan): latched; reset only on site by a named person
    on ─► Drive now ─► proof input true in time? ─ yes ─► "proved"
                                    │            └─ no ──► "failed" + impairment, checked on
                                    └─ no input: "unproved" (an echo proves nothing)

Laws 3 and 5: acknowledging, clearing, time or a restart never silences, resets or re-energises a trip. Alarms of
devices under test, of drills, of the proof alarm and of late backlog drive nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from device_model.alarm import AlarmState, AlarmTransition, Hazard
from device_model.clock import SECOND_US, Now
from device_model.errors import LawRefusal
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind, ImpairmentRegister, real_changes
from device_model.inventory import Inventory
from device_model.messages import OutputRecord
from device_model.reading import Quality
from device_model.site import Output, OutputPurpose, OutputState
from edge_agent.image import ProcessImage

OVER = frozenset({AlarmState.CLEARED, AlarmState.INACTIVE})
AUDIBLE = frozenset({OutputPurpose.SOUNDER, OutputPurpose.STROBE})
RETRY_US = SECOND_US  # a refused or silent write is tried again; trips are not rate-limited (law 5)
MANUAL_GAP_US = 5 * SECOND_US  # a person's manual switching is rate-limited, so that a relay is not worn
MANUAL_MAX_US = 30 * 60 * SECOND_US  # and ends by itself, unless it is a trip


class Drive(msgspec.Struct, frozen=True):
    """Write this now. value: what the point is written (a `valve_open` point is written false to trip)."""

    output: str
    device: str
    point: str
    value: bool
    on: bool
    cause: str


class OutputMemory(msgspec.Struct):
    """What survives a restart, of one output.

    demands: alarm id → (zone, hazard) of raised alarms. silenced: the (zone, hazard) pairs that a person
    silenced. tripped: latched. confirmed: the device took the last write. inhibited: taken out by a named person for
    a while; what demands it meanwhile is remembered, and acts when the while is over.
    """

    on: bool = False
    cause: str = ""
    demands: dict[str, tuple[str, str]] = {}
    silenced: list[tuple[str, str]] = []
    tripped: bool = False
    manual: bool = False
    manual_until_us: int = 0
    confirmed: bool = True
    proof: str = ""
    inhibited: bool = False


class OutputStep(msgspec.Struct, frozen=True):
    """What one event asks of the outside."""

    drives: tuple[Drive, ...] = ()
    records: tuple[OutputRecord, ...] = ()
    changes: tuple[ImpairmentChange, ...] = ()


class _Timers(msgspec.Struct):
    """Monotonic deadlines of this boot, µs; None: none."""

    commanded: int = 0
    proof_due: int | None = None
    retry_at: int | None = None
    settle_at: int | None = None
    manual_end: int | None = None
    manual_last: int | None = None


class OutputBook:
    """All outputs of one site. Owned by one core; shares its impairment register."""

    def __init__(self, inventory: Inventory, register: ImpairmentRegister) -> None:
        self._inventory = inventory
        self._register = register
        self._outputs: dict[str, Output] = {output.id: output for output in inventory.site.outputs}
        self._memory = {name: OutputMemory() for name in self._outputs}
        self._timers = {name: _Timers() for name in self._outputs}

    # -- what moves outputs ------------------------------------------------------------------------------------

    def transitions(self, transitions: Iterable[AlarmTransition], now: Now) -> OutputStep:
        """Raised alarms demand, cleared ones no longer do."""
        touched: dict[str, str] = {}
        for transition in transitions:
            for name, output in self._outputs.items():
                memory = self._memory[name]
                if transition.state is AlarmState.RAISED and _demands(output, transition):
                    memory.demands[transition.alarm] = (transition.zone, transition.hazard.value)
                    memory.tripped = memory.tripped or output.purpose not in AUDIBLE
                    touched[name] = transition.alarm
                elif transition.state in OVER and memory.demands.pop(transition.alarm, None) is not None:
                    self._forget_silence(memory)
                    touched.setdefault(name, transition.alarm)
        return joined(self._settle(name, cause, now) for name, cause in touched.items())

    def silence(self, target: str, who: str, now: Now) -> OutputStep:
        """A named person on site silences sounders and strobes ("" or "all": every one) until a new zone or
        hazard sounds again. LookupError: no such output; LawRefusal: it is a trip."""
        names = list(self._outputs) if target in ("", "all") else [target]
        steps = []
        for name in names:
            output = self._named(name)
            if output.purpose not in AUDIBLE:
                if target in ("", "all"):
                    continue
                raise LawRefusal(5, f"{name} is a trip: it is reset, not silenced")
            memory = self._memory[name]
            memory.silenced = sorted(set(memory.demands.values()))
            memory.manual = False
            steps.append(self._off_again(name, self._settle(name, f"silenced by {who}", now), now))
        return joined(steps)

    def reset(self, target: str, who: str, now: Now) -> OutputStep:
        """A named person on site resets a trip. LawRefusal while an alarm that demands it is open."""
        self._named(target)
        memory = self._memory[target]
        if memory.demands:
            raise LawRefusal(5, f"{target} is demanded by {len(memory.demands)} open alarm(s): reset these first")
        memory.tripped = memory.manual = False
        return self._off_again(target, self._settle(target, f"reset by {who}", now), now)

    def inhibit(self, target: str) -> None:
        """A named person on site takes an output out, for a while that orders.py bounds. LawRefusal while it is on:
        what has tripped is reset first, and nothing that sounds is stopped this way."""
        self._named(target)
        memory = self._memory[target]
        if memory.on or memory.demands or memory.tripped:
            raise LawRefusal(5, f"{target} is on or demanded by an alarm: silence or reset it first")
        memory.inhibited = True

    def release(self, target: str, now: Now) -> OutputStep:
        """The while is over, or a person ended it: what demanded the output meanwhile moves it now."""
        memory = self._memory.get(target)
        if memory is None or not memory.inhibited:
            return OutputStep()
        memory.inhibited = False
        return self._settle(target, next(iter(memory.demands), "end of inhibition"), now)

    def _off_again(self, name: str, step: OutputStep, now: Now) -> OutputStep:
        """What a person on site silences or resets is written off also where it is off as far as is known: a life
        that died with a disk that took nothing may have left it on, and only this person can tell."""
        return step if step.drives or self._memory[name].on else OutputStep((self._drive(name, now),))

    def manual(self, target: str, on: bool, who: str, until_us: int, now: Now) -> OutputStep:
        """A person switches by hand. On: always (the safe side); off: only what was switched on by hand.

        until_us: wall time at which it ends by itself (0 and anything later: after 30 minutes); a trip stays.
        """
        output = self._named(target)
        memory, timers = self._memory[target], self._timers[target]
        if not on and (memory.demands or memory.tripped):
            raise LawRefusal(3 if output.purpose in AUDIBLE else 5,
                             f"{target} is on for an alarm, or has tripped: it is silenced or reset on site only")
        if on and memory.inhibited:
            raise LawRefusal(5, f"{target} is inhibited: end that first")
        if on and output.purpose is OutputPurpose.FAN:
            raise LawRefusal(5, f"{target} is a fan: it starts by its rule only, never by hand from here")
        if timers.manual_last is not None and now.mono_us - timers.manual_last < MANUAL_GAP_US:
            raise LawRefusal(5, f"{target} was switched by hand less than 5 s ago: wait")
        timers.manual_last = now.mono_us
        memory.manual = on
        if output.purpose not in AUDIBLE:
            memory.tripped = on
        elif on:
            limit = MANUAL_MAX_US if until_us <= 0 else max(0, min(until_us - now.wall_us, MANUAL_MAX_US))
            memory.manual_until_us, timers.manual_end = now.wall_us + limit, now.mono_us + limit
        return self._settle(target, f"by hand: {who}", now)

    def _settle(self, name: str, cause: str, now: Now) -> OutputStep:
        output, memory = self._outputs[name], self._memory[name]
        if output.purpose in AUDIBLE:
            silenced = set(memory.silenced)
            want = memory.manual or any(demand not in silenced for demand in memory.demands.values())
        else:
            want = memory.tripped
        want = want and not memory.inhibited
        return OutputStep() if want == memory.on else self._switch(name, want, cause, now)

    def _switch(self, name: str, on: bool, cause: str, now: Now) -> OutputStep:
        memory = self._memory[name]
        memory.on, memory.cause, memory.proof = on, cause, "unproved"
        record = OutputRecord(name, on, cause, now.wall_us)
        changes: list[ImpairmentChange | None] = []
        if not self._provable(name):
            if on and self._outputs[name].purpose not in AUDIBLE:
                changes.append(self._impair(name, "no independent proof input: nobody knows whether it acted", now))
            elif not on:
                changes.append(self._register.end(ImpairmentKind.OUTPUT_UNPROVED, name, now.wall_us))
        return OutputStep((self._drive(name, now),), (record,), real_changes(changes))

    def _drive(self, name: str, now: Now) -> Drive:
        output, memory, timers = self._outputs[name], self._memory[name], self._timers[name]
        memory.confirmed = False
        timers.commanded, timers.retry_at, timers.settle_at = now.mono_us, None, None
        watched = memory.proof != "" and self._provable(name)
        timers.proof_due = now.mono_us + round(output.proof_within_s * SECOND_US) if watched else None
        point = self._inventory.points.get(f"{output.device}.{output.point}")
        inverted = point is not None and point.quantity == "valve_open"
        return Drive(name, output.device, output.point, memory.on != inverted, memory.on, memory.cause)

    # -- what comes back ---------------------------------------------------------------------------------------

    def written(self, name: str, on: bool, now: Now) -> OutputStep:
        """The device took the write: an echo, no proof."""
        memory = self._memory.get(name)
        if memory is None or memory.on != on:
            return OutputStep()
        memory.confirmed = True
        self._timers[name].retry_at = None
        if memory.proof != "failed" or self._provable(name):
            return OutputStep()
        # The failure was a write that failed; it is taken now, so that it is unproved again, not failed.
        memory.proof = "unproved"
        ended = None if self._outputs[name].purpose not in AUDIBLE and on else self._register.end(
            ImpairmentKind.OUTPUT_UNPROVED, name, now.wall_us)
        return OutputStep((), (OutputRecord(name, on, memory.cause, now.wall_us),), real_changes([ended]))

    def write_failed(self, name: str, on: bool, detail: str, now: Now) -> OutputStep:
        """The device did not take it: tried again each second for as long as it is wanted; said once."""
        memory = self._memory.get(name)
        if memory is None or memory.on != on:
            return OutputStep()
        self._timers[name].retry_at = now.mono_us + RETRY_US
        return self._fail(name, f"write failed: {detail}", now)

    def device_back(self, device: str, now: Now) -> OutputStep:
        """A device that was lost answers again: what shall be on is written again, for it may have restarted."""
        return OutputStep(tuple(self._drive(name, now) for name, output in self._outputs.items()
                                if output.device == device and self._memory[name].on))

    def again(self, open_alarms: Iterable[AlarmTransition], now: Now) -> OutputStep:
        """After a step that failed half-way: what open alarms demand, and every write that no device confirmed."""
        demanded = self.transitions((t for t in open_alarms if t.state is AlarmState.RAISED), now)
        driven = {drive.output for drive in demanded.drives}
        return joined([demanded, OutputStep(tuple(
            self._drive(name, now) for name, memory in self._memory.items()
            if not memory.confirmed and name not in driven))])

    def check(self, image: ProcessImage, now: Now) -> OutputStep:
        """Let time pass: proofs, retries, ends of manual switching, ends of the hold-off."""
        return joined(self._check(name, image, now) for name in self._outputs)

    def _check(self, name: str, image: ProcessImage, now: Now) -> OutputStep:
        memory, timers = self._memory[name], self._timers[name]
        steps = []
        if timers.manual_end is not None and timers.manual_end <= now.mono_us:
            memory.manual, timers.manual_end = False, None
            steps.append(self._settle(name, "end of manual switching", now))
        if timers.settle_at is not None and timers.settle_at <= now.mono_us:
            timers.settle_at = None
            steps.append(self._after_hold_off(name, now))
        if timers.retry_at is not None and timers.retry_at <= now.mono_us:
            steps.append(OutputStep((self._drive(name, now),)))
        steps.append(self._proof(name, image, now))
        return joined(steps)

    def _proof(self, name: str, image: ProcessImage, now: Now) -> OutputStep:
        memory, timers = self._memory[name], self._timers[name]
        if not self._provable(name) or not memory.proof:
            return OutputStep()
        proof = self._outputs[name].proof
        reading, fresh = image.latest(proof), image.fresh_at(proof)
        known = reading is not None and reading.quality is not Quality.BAD and fresh is not None
        inverted = self._inventory.points[proof].quantity == "valve_open"
        agrees = known and reading is not None and (bool(reading.value) != inverted) == memory.on
        if agrees and fresh is not None and fresh.mono_us >= timers.commanded:
            timers.proof_due = None
            if memory.proof == "proved":
                return OutputStep()
            memory.proof = "proved"
            ended = self._register.end(ImpairmentKind.OUTPUT_UNPROVED, name, now.wall_us)
            return OutputStep((), (OutputRecord(name, memory.on, memory.cause, now.wall_us, "proved"),),
                              real_changes([ended]))
        if memory.proof == "proved":
            return OutputStep() if not known else self._fail(name, f"{proof} no longer agrees", now)
        if timers.proof_due is not None and timers.proof_due <= now.mono_us:
            timers.proof_due = None
            return self._fail(name, f"{proof} did not agree within {self._outputs[name].proof_within_s:g} s", now)
        return OutputStep()

    def _fail(self, name: str, why: str, now: Now) -> OutputStep:
        memory = self._memory[name]
        if memory.proof == "failed":
            return OutputStep()
        memory.proof = "failed"
        return OutputStep((), (OutputRecord(name, memory.on, memory.cause, now.wall_us, "failed"),),
                          real_changes([self._impair(name, why, now)]))

    def _impair(self, name: str, why: str, now: Now) -> ImpairmentChange | None:
        output = self._outputs[name]
        return self._register.begin(Impairment(
            ImpairmentKind.OUTPUT_UNPROVED, name, now.wall_us, self._inventory.devices[output.device].zone, why=why))

    # -- restart -----------------------------------------------------------------------------------------------

    def memory(self) -> dict[str, OutputMemory]:
        """What the checkpoint keeps."""
        return self._memory

    def resume(self, memory: dict[str, OutputMemory], away_us: int | None, now: Now) -> OutputStep:
        """After a restart of `away_us` (None: not known, or the first start).

        Within an output's hold-off nothing changes: only a write that no device confirmed is repeated. After
        a longer absence what was on is written again; what was off follows `on_restart` once a whole hold-off
        has shown that no alarm wants it. No restart releases a trip.
        """
        drives = []
        for name, output in self._outputs.items():
            known = memory.get(name)
            if known is not None:
                self._memory[name] = known
            mine, timers = self._memory[name], self._timers[name]
            hold_off_us = round(output.restart_hold_off_s * SECOND_US)
            if mine.manual and output.purpose in AUDIBLE:
                left = max(0, min(mine.manual_until_us - now.wall_us, MANUAL_MAX_US))
                timers.manual_end = now.mono_us + left
            short = known is not None and away_us is not None and 0 <= away_us < hold_off_us
            if (mine.on and not short) or (known is not None and not mine.confirmed):
                drives.append(self._drive(name, now))
            elif mine.on and mine.proof == "unproved" and self._provable(name):
                timers.commanded, timers.proof_due = now.mono_us, now.mono_us + round(
                    output.proof_within_s * SECOND_US)
            elif not mine.on and not short:
                timers.settle_at = now.mono_us + hold_off_us
        return OutputStep(tuple(drives))

    def merge(self, memory: dict[str, OutputMemory], open_alarms: Collection[str], now: Now) -> OutputStep:
        """A memory that could be read only after this life began without it: what had tripped is tripped (law 5),
        what an alarm that still stands had demanded is demanded. Nothing that is on goes off."""
        steps = []
        for output, known in memory.items():
            mine = self._memory.get(output)
            if mine is None:
                continue
            mine.demands = {name: what for name, what in known.demands.items() if name in open_alarms} | mine.demands
            mine.silenced = sorted({(zone, hazard) for zone, hazard in (*known.silenced, *mine.silenced)})
            self._forget_silence(mine)
            mine.tripped = mine.tripped or known.tripped
            mine.inhibited = mine.inhibited or (known.inhibited and not mine.on)
            if not mine.on:
                steps.append(self._settle(output, known.cause or "as before the restart", now))
        return joined(steps)

    def _after_hold_off(self, name: str, now: Now) -> OutputStep:
        output, memory = self._outputs[name], self._memory[name]
        if memory.on or memory.inhibited or output.on_restart is OutputState.HOLD:
            return OutputStep()
        if output.on_restart is OutputState.ON:
            memory.manual = True
            memory.tripped = output.purpose not in AUDIBLE
            return self._switch(name, True, "restart", now)
        if output.purpose in AUDIBLE:
            return OutputStep((self._drive(name, now),))
        return OutputStep()

    def rebind(self, inventory: Inventory) -> None:
        """The site file changed: outputs that stay go on as they are. One that is on must not be among those that go
        (the diff refuses it)."""
        self._inventory = inventory
        self._outputs = {output.id: output for output in inventory.site.outputs}
        self._memory = {name: self._memory.get(name) or OutputMemory() for name in self._outputs}
        self._timers = {name: self._timers.get(name) or _Timers() for name in self._outputs}

    # -- small things ------------------------------------------------------------------------------------------

    def state(self, name: str) -> OutputMemory:
        """One output's state, to look at; KeyError for an unknown name."""
        return self._memory[name]

    def names(self) -> tuple[str, ...]:
        """All outputs, in the order of the site file."""
        return tuple(self._outputs)

    def due_us(self) -> int | None:
        """Monotonic time of the next deadline, or None."""
        times = [at for t in self._timers.values()
                 for at in (t.proof_due, t.retry_at, t.settle_at, t.manual_end) if at is not None]
        return min(times, default=None)

    def _named(self, name: str) -> Output:
        if name not in self._outputs:
            raise LookupError(f"no output named {name!r}; there are: {', '.join(self._outputs) or 'none'}")
        return self._outputs[name]

    def _provable(self, name: str) -> bool:
        """Whether there is a proof input that is not the driven point's own echo."""
        output = self._outputs[name]
        return output.proof in self._inventory.points and output.proof != f"{output.device}.{output.point}"

    @staticmethod
    def _forget_silence(memory: OutputMemory) -> None:
        """A zone whose alarms are all over is no longer silenced: its next alarm sounds."""
        wanted = set(memory.demands.values())
        memory.silenced = [pair for pair in memory.silenced if pair in wanted]


def acts_on(output: Output, rule: str, hazard: Hazard, zone: str) -> bool:
    """Whether a raised alarm of that rule, hazard and zone ("" the whole site) moves the output."""
    here = not output.zones or not zone or zone in output.zones
    return here and hazard in output.hazards and (not output.rules or rule in output.rules)


def _demands(output: Output, transition: AlarmTransition) -> bool:
    if transition.test or transition.drill or transition.late or transition.hazard is Hazard.PROOF:
        return False
    return acts_on(output, transition.key.rule, transition.hazard, transition.zone)


def joined(steps: Iterable[OutputStep]) -> OutputStep:
    """Several steps as one, in order."""
    parts = list(steps)
    return OutputStep(tuple(d for s in parts for d in s.drives), tuple(r for s in parts for r in s.records),
                      tuple(c for s in parts for c in s.changes))
