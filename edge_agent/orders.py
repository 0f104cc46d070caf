"""Orders: commands from the cloud and from people on site, each applied at most once and answered.

    command ─► known id? ─ yes ─► (answered already)
               expired, or nobody can tell? on-site-only from afar? nobody's name? ─► refused, with the reason
               else applied: engine, outputs, impairments ─► CommandResult in the alarm lane

Law 3: acknowledging silences nothing, resets nothing. Law 6: test mode is per device, at most 30 minutes, ends by
itself, and never covers a call point. Deadlines run on monotonic time, so that a stepped clock prolongs nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from device_model.alarm import AlarmTransition
from device_model.clock import DAY_US, MINUTE_US, SECOND_US, Now
from device_model.command import ON_SITE_ONLY, Command, CommandKind, CommandOutcome, CommandResult
from device_model.errors import LawRefusal
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind, ImpairmentRegister
from device_model.inventory import Inventory
from device_model.permit import PERMIT_ON_SITE, Permit
from device_model.profile import DeviceClass
from device_model.reading import Reading
from edge_agent.command_age import too_late
from edge_agent.duty_book import DutyBook, OpenDuty
from edge_agent.outputs import OutputBook, OutputStep, joined
from edge_agent.permit_desk import PermitDesk
from edge_agent.proof_alarm import ProofAlarm
from rules_engine import RuleSet

TEST_MAX_US = 30 * MINUTE_US  # law 6
ISOLATE_MAX_US = 7 * DAY_US  # law 2: expiring; whoever needs longer names it again
APPLIED_KEPT = 1_024  # ids remembered: a sender repeats for hours at most, some commands a day
ANSWER_AGAIN_US = MINUTE_US  # the answer travels reliably; a repeat is answered only this often
NAMELESS = frozenset({CommandKind.PROOF_ALARM})
NEEDS_REASON = frozenset({CommandKind.ISOLATE, CommandKind.TEST_MODE, CommandKind.WRITE_OUTPUT})


class AlarmEngine(Protocol):
    """What the gateway uses of rules_engine.Engine."""

    def step(
        self, readings: Sequence[Reading], now: Now, fresh: Sequence[str] = (),
    ) -> tuple[AlarmTransition, ...]: ...
    def due_us(self) -> int | None: ...
    def open_alarms(self) -> tuple[AlarmTransition, ...]: ...
    def reset(self, alarm_id: str, who: str, now: Now) -> tuple[AlarmTransition, ...]: ...
    def isolate(self, device: str, until_us: int) -> tuple[AlarmTransition, ...]: ...
    def restore_device(self, device: str) -> tuple[AlarmTransition, ...]: ...
    def shield(self, shields: Mapping[str, str], now: Now) -> tuple[AlarmTransition, ...]: ...
    def test_mode(self, device: str, until_us: int) -> tuple[AlarmTransition, ...]: ...
    def checkpoint(self) -> bytes: ...
    def resume(self, checkpoint: bytes) -> None: ...
    def merge(self, checkpoint: bytes, now: Now) -> tuple[AlarmTransition, ...]: ...
    def rebound(
        self, rules: RuleSet, inventory: Inventory,
    ) -> tuple[AlarmEngine, tuple[AlarmTransition, ...]]: ...


class Absence(msgspec.Struct, frozen=True):
    """One device isolated or in test: until_us on the wall, duration_us as it was asked for."""

    kind: ImpairmentKind
    device: str
    until_us: int
    duration_us: int


class OrdersMemory(msgspec.Struct, frozen=True):
    """What survives a restart."""

    applied: tuple[tuple[str, str, int], ...] = ()  # command id, outcome, wall µs
    absences: tuple[Absence, ...] = ()
    acknowledged: dict[str, str] = {}  # open alarm → who
    permits: tuple[Permit, ...] = ()


class OrderStep(msgspec.Struct, frozen=True):
    """What one order asks of the core. result None: a repeat that was answered a moment ago."""

    result: CommandResult | None = None
    transitions: tuple[AlarmTransition, ...] = ()
    outputs: OutputStep = OutputStep()
    changes: tuple[ImpairmentChange, ...] = ()
    duty: OpenDuty | None = None
    detail: str = ""


class OrderDesk:
    """Applies commands. Owned by one core; shares its engine, outputs and impairment register."""

    def __init__(
        self, inventory: Inventory, engine: AlarmEngine, outputs: OutputBook, register: ImpairmentRegister,
        proof: ProofAlarm, duties: DutyBook, permits: PermitDesk,
    ) -> None:
        self._inventory = inventory
        self._engine = engine
        self._outputs = outputs
        self._register = register
        self._proof = proof
        self._duties = duties
        self._permits = permits
        self._applied: OrderedDict[str, tuple[CommandOutcome, int]] = OrderedDict()
        self._answered: dict[str, int] = {}
        self._absences: dict[tuple[ImpairmentKind, str], tuple[Absence, int]] = {}  # with its end on the mono clock
        self.acknowledged: dict[str, str] = {}

    def apply(self, command: Command, now: Now, *, on_site: bool) -> OrderStep:
        """Apply or refuse. Never raises for what a sender can get wrong: the refusal says it."""
        known = self._applied.get(command.id)
        if known is not None:
            return self._repeat(command, known[1], now)
        reason = self._objection(command, on_site) or self._output_objection(command, on_site)
        late = None if on_site else too_late(command, now)
        if late is not None and (late[0] is CommandOutcome.EXPIRED or not reason):
            return self._done(command, *late, now, OrderStep())
        if reason:
            return self._done(command, CommandOutcome.REFUSED, reason, now, OrderStep())
        try:
            step = self._carry_out(command, now)
        except (LawRefusal, LookupError, ValueError) as refusal:
            text = refusal.args[0] if refusal.args else type(refusal).__name__
            return self._done(command, CommandOutcome.REFUSED, str(text), now, OrderStep())
        return self._done(command, CommandOutcome.APPLIED, step.detail, now, step)

    @staticmethod
    def _objection(command: Command, on_site: bool) -> str:
        if command.kind in ON_SITE_ONLY and not on_site:
            return "refused by law of safety 3: silenced and reset on site only, by a person"
        if not command.who.strip() and command.kind not in NAMELESS:
            return "nobody is named: give who"
        if command.permit is not None and command.permit.act in PERMIT_ON_SITE and not on_site:
            return f"{command.permit.act.value} of a permit is done on site only, by whoever is there"
        if command.kind in NEEDS_REASON and not command.why.strip():
            return "no reason is given: give why"
        if command.kind is CommandKind.WRITE_OUTPUT and command.expires_us <= 0 and not on_site:
            return "it has no end: a command that switches an output by hand names when it expires"
        if command.kind is CommandKind.ISOLATE and not command.compensating_measure.strip():
            return ("refused by law of safety 3: no compensating measure is given: say what is done meanwhile, "
                    "as \"guard walks hourly\"")
        return ""

    def _is_output(self, target: str) -> bool:
        return target in self._outputs.names() and target not in self._inventory.devices

    def _output_objection(self, command: Command, on_site: bool) -> str:
        if not self._is_output(command.target):
            return ""
        if command.kind is CommandKind.ISOLATE and not on_site:
            return "refused by law of safety 5: an output is inhibited on site only, by a person"
        if command.kind is CommandKind.TEST_MODE:
            return "refused by law of safety 6: test mode is of a device; inhibit the output beside it on site"
        return ""

    def _carry_out(self, command: Command, now: Now) -> OrderStep:
        match command.kind:
            case CommandKind.ALARM_ACKNOWLEDGED:
                self.acknowledged[command.target] = command.who
                return OrderStep()
            case CommandKind.INCIDENT_CLOSED | CommandKind.INCIDENT_REOPENED | CommandKind.EVIDENCE_AGAIN:
                return OrderStep()  # the evidence part hears the result; no alarm, latch or output is touched
            case CommandKind.SILENCE_SOUNDER:
                return OrderStep(outputs=self._outputs.silence(command.target, command.who, now))
            case CommandKind.RESET_ALARM:
                return self._reset(command, now)
            case CommandKind.ISOLATE:
                return self._absent(command, ImpairmentKind.ISOLATED, ISOLATE_MAX_US, now)
            case CommandKind.TEST_MODE:
                if self._class_of(command.target) is DeviceClass.CALL_POINT:
                    raise LawRefusal(6, f"{command.target} is a call point: it is always real")
                return self._absent(command, ImpairmentKind.IN_TEST, TEST_MAX_US, now)
            case CommandKind.RESTORE:
                if not self._is_output(command.target):
                    self._class_of(command.target)
                return self._restore(command.target, now)
            case CommandKind.PROOF_ALARM:
                return OrderStep(transitions=(self._proof.ordered(command.issued_us, command.who, now),))
            case CommandKind.ANSWER_DUTY:
                return OrderStep(duty=self._duties.answer(command.target, command.who, now))
            case CommandKind.PERMIT:
                permit, transitions = self._permits.apply(command, now)
                return OrderStep(transitions=transitions, detail=f"{permit.id} {permit.state.value}")
            case CommandKind.WRITE_OUTPUT:
                return OrderStep(outputs=self._outputs.manual(
                    command.target, _switch(command), f"{command.who}: {command.why}", command.expires_us, now))

    def _reset(self, command: Command, now: Now) -> OrderStep:
        if command.target in self._outputs.names():
            return OrderStep(outputs=self._outputs.reset(command.target, command.who, now))
        if command.target not in {transition.alarm for transition in self._engine.open_alarms()}:
            raise LookupError(f"no open alarm and no output named {command.target!r}")
        return OrderStep(transitions=self._engine.reset(command.target, command.who, now))

    # -- isolation and test ------------------------------------------------------------------------------------

    def _class_of(self, device: str) -> DeviceClass:
        if device not in self._inventory.devices:
            raise LookupError(f"no device named {device!r}")
        return self._inventory.profiles[self._inventory.devices[device].profile].device_class

    def _absent(self, command: Command, kind: ImpairmentKind, limit_us: int, now: Now) -> OrderStep:
        output = kind is ImpairmentKind.ISOLATED and self._is_output(command.target)
        if not output:
            self._class_of(command.target)
        zone = "" if output else self._inventory.devices[command.target].zone
        given_s = 0.0 if command.value is None else float(command.value)
        if command.value is None and kind is ImpairmentKind.IN_TEST:
            given_s = limit_us / SECOND_US
        if not 0 < given_s <= limit_us / SECOND_US:  # also what is not a number
            raise LawRefusal(6 if kind is ImpairmentKind.IN_TEST else 2,
                             f"it must end by itself: give 1 to {limit_us // SECOND_US} s")
        duration_us = round(given_s * SECOND_US)
        until_us = now.wall_us + duration_us
        # The engine's own time is that of its last step; a limit must count from now.
        transitions = self._engine.step((), now)
        if output:
            self._outputs.inhibit(command.target)
        elif kind is ImpairmentKind.ISOLATED:
            transitions += self._engine.isolate(command.target, until_us)
        else:
            transitions += self._engine.test_mode(command.target, until_us)
        ended = self._register.end(kind, command.target, now.wall_us)
        begun = self._register.begin(Impairment(
            kind, command.target, now.wall_us, zone, command.who,
            command.why, command.compensating_measure, until_us))
        absence = Absence(kind, command.target, until_us, duration_us)
        self._absences[(kind, command.target)] = (absence, now.mono_us + duration_us)
        return OrderStep(transitions=transitions, changes=tuple(c for c in (ended, begun) if c is not None))

    def _restore(self, device: str, now: Now) -> OrderStep:
        return self._end([(ImpairmentKind.ISOLATED, device), (ImpairmentKind.IN_TEST, device)], now)

    def _end(self, keys: Sequence[tuple[ImpairmentKind, str]], now: Now) -> OrderStep:
        transitions: tuple[AlarmTransition, ...] = ()
        changes: list[ImpairmentChange] = []
        outputs: list[OutputStep] = []
        for kind, device in keys:
            if self._absences.pop((kind, device), None) is None:
                continue
            if self._is_output(device):
                outputs.append(self._outputs.release(device, now))
                change = self._register.end(kind, device, now.wall_us)
                changes += [change] if change is not None else []
                continue
            transitions += self._engine.step((), now)
            transitions += (self._engine.restore_device(device) if kind is ImpairmentKind.ISOLATED
                            else self._engine.test_mode(device, now.wall_us))
            change = self._register.end(kind, device, now.wall_us)
            changes += [change] if change is not None else []
        return OrderStep(transitions=transitions, outputs=joined(outputs), changes=tuple(changes))

    def check(self, now: Now) -> OrderStep:
        """End what is over, by the monotonic clock or the wall clock, whichever says so first (law 6)."""
        ended = self._end([key for key, (absence, mono_end) in self._absences.items()
                           if mono_end <= now.mono_us or absence.until_us <= now.wall_us], now)
        over = self._permits.check(now)
        return msgspec.structs.replace(ended, transitions=ended.transitions + over) if over else ended

    def due_us(self, now: Now) -> int | None:
        """Monotonic time of the next end, or None."""
        ends = [mono_end for _, mono_end in self._absences.values()]
        permit = self._permits.due_us(now)
        return min(ends if permit is None else [*ends, permit], default=None)

    # -- applied once ------------------------------------------------------------------------------------------

    def _done(self, command: Command, outcome: CommandOutcome, detail: str, now: Now, step: OrderStep) -> OrderStep:
        self._applied[command.id] = (outcome, now.wall_us)
        while len(self._applied) > APPLIED_KEPT:
            self._answered.pop(self._applied.popitem(last=False)[0], None)
        self._answered[command.id] = now.mono_us
        result = CommandResult(command.id, command.kind, command.target, outcome, now.wall_us, command.who, detail)
        return OrderStep(result, step.transitions, step.outputs, step.changes, step.duty)

    def _repeat(self, command: Command, applied_us: int, now: Now) -> OrderStep:
        last = self._answered.get(command.id)
        if last is not None and now.mono_us - last < ANSWER_AGAIN_US:
            return OrderStep()
        self._answered[command.id] = now.mono_us
        outcome = self._applied[command.id][0]
        told = CommandOutcome.ALREADY_APPLIED if outcome is CommandOutcome.APPLIED else outcome
        return OrderStep(CommandResult(command.id, command.kind, command.target, told, applied_us, command.who))

    def forget_alarm(self, alarm: str) -> None:
        """The alarm is over: who acknowledged it is in the records."""
        self.acknowledged.pop(alarm, None)

    def merge(self, memory: OrdersMemory, now: Now) -> None:
        """What was applied before a restart, known only now; what was ordered meanwhile counts before it."""
        mine = self.memory()
        self.resume(OrdersMemory(
            tuple({entry[0]: entry for entry in (*memory.applied, *mine.applied)}.values()),
            tuple(absence for absence in memory.absences if absence.until_us > now.wall_us
                  and (absence.kind, absence.device) not in self._absences),
            {**memory.acknowledged, **mine.acknowledged}, memory.permits), now)

    def rebind(self, inventory: Inventory, engine: AlarmEngine) -> None:
        """The site file changed: the absences of devices that are gone are over."""
        self._inventory, self._engine = inventory, engine
        for key in [key for key in self._absences if key[1] not in inventory.devices and not self._is_output(key[1])]:
            del self._absences[key]

    def prove_by(self, proof: ProofAlarm) -> None:
        """The site file gave the daily proof another hour or time zone."""
        self._proof = proof

    def memory(self) -> OrdersMemory:
        """What the checkpoint keeps."""
        return OrdersMemory(
            tuple((name, outcome.value, at) for name, (outcome, at) in self._applied.items()),
            tuple(absence for absence, _ in self._absences.values()), dict(self.acknowledged),
            self._permits.permits())

    def resume(self, memory: OrdersMemory, now: Now) -> None:
        """After a restart: an absence lasts no longer than what the wall says is left of it, and never longer
        than was asked for, however wrong the wall is. The engine keeps its own side of it."""
        self._applied = OrderedDict((name, (CommandOutcome(outcome), at)) for name, outcome, at in memory.applied)
        self.acknowledged = dict(memory.acknowledged)
        self._permits.resume(memory.permits)
        for absence in memory.absences:
            if absence.device in self._inventory.devices or self._is_output(absence.device):
                left_us = max(0, min(absence.until_us - now.wall_us, absence.duration_us))
                self._absences[(absence.kind, absence.device)] = (absence, now.mono_us + left_us)


def _switch(command: Command) -> bool:
    if command.value is None:
        raise ValueError("no state is given: give value 1 or 0")
    return bool(command.value)
