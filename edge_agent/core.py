"""AgentCore: the gateway's mind. One event in, effects out, no I/O; everything else on the gateway is hands.

    event ─► image (frozen for the cycle) ─► Engine.step ─► alarm transitions
                 │                                            ├─► outputs: driven first, from memory (law 4)
                 │                                            └─► AlarmRecord, with the readings that decided
                 └─► telemetry filter ─► ReadingsRecord         impairments, command results, output proofs
                                               └──────────────┬────────────┘
                                                     Outbox.assign ─► Commit ─► (on disk) ─► sent
                          disk slow or broken: the outbox sends copies from memory, marked not journaled (law 4)

All that must survive is in the checkpoint (`agent_checkpoint.py`), which travels in the same transaction as the
alarm records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import tzinfo

import msgspec

from cloud_bridge.lanes import Outbox
from device_drivers.driver import DeviceFailed, DeviceNotice, DeviceRead, DutyAsked, DutySettled, LineState
from device_model.alarm import NEVER_INCIDENT, AlarmState, AlarmTransition, Hazard
from device_model.clock import SECOND_US, Now
from device_model.command import Command
from device_model.duty import DutyCheck
from device_model.errors import Finding
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind, ImpairmentRegister
from device_model.inventory import Inventory
from device_model.messages import (
    AlarmRecord,
    Body,
    CommandResultRecord,
    DutyCheckRecord,
    HeartbeatRecord,
    ImpairmentRecord,
    Lane,
    ReadingsRecord,
)
from device_model.reading import Quality, Reading, Reason
from edge_agent.agent_checkpoint import VERSION, AgentCheckpoint, encode_checkpoint, forgotten, read_checkpoint
from edge_agent.duty_book import DutyBook
from edge_agent.events import (
    AnswerDuty,
    CommandReceived,
    Commit,
    CommitFailed,
    Committed,
    DriveOutput,
    Effect,
    Event,
    JournalOpened,
    LinkState,
    Live,
    NotifyLocal,
    OnSiteAction,
    OpenAlarm,
    OutputWriteFailed,
    OutputWritten,
    PartFailed,
    PowerOn,
    SiteChanged,
    Tick,
)
from edge_agent.health import DeviceHealth, HealthStep
from edge_agent.image import ProcessImage
from edge_agent.orders import AlarmEngine, OrderDesk, OrderStep
from edge_agent.outputs import OutputBook
from edge_agent.panel_isolation import PanelIsolation
from edge_agent.permit_desk import PermitDesk
from edge_agent.proof_alarm import ProofAlarm
from edge_agent.site_diff import SiteChange, names_subject, refusals
from edge_agent.telemetry import TelemetryFilter
from edge_agent.turn import Turn

# What changed without an alarm or a timer is on disk after so long: what was lost or became bad soon, values later,
# for they are read again a moment after a restart, and each checkpoint wears the card.
CHECKPOINT_LOST_US, CHECKPOINT_VALUES_US = 10 * SECOND_US, 60 * SECOND_US
TIMER_CHECKPOINT_US = SECOND_US
SAY_AGAIN_EVERY_US = 10 * SECOND_US  # after failed steps; should every step fail, the lane is not flooded
DECIDING_READINGS_MAX = 50  # readings beside one alarm record; a zone of hundreds must not fill the message
STANDS_MAX = 500  # of a heartbeat: about 20 kB; a site with more lacks is reconciled when it has fewer
TOLD_UP = frozenset({AlarmState.RAISED, AlarmState.HELD, AlarmState.CLEARED})


class AgentCore:
    """The pure core of one gateway. Not thread-safe; owned by one task."""

    def __init__(
        self, inventory: Inventory, engine: AlarmEngine, outbox: Outbox, *, zone: tzinfo, version: str = "",
        started: Now,
    ) -> None:
        site = inventory.site
        self.inventory = inventory
        self.outbox = outbox
        self._gateway = site.gateway.id
        self._version = version
        self._engine = engine
        self._register = ImpairmentRegister()
        self.image = ProcessImage(inventory, started)
        self.health = DeviceHealth(inventory, self.image, self._register)
        self.outputs = OutputBook(inventory, self._register)
        self._panel_isolation = PanelIsolation(inventory, self._register)
        self._proof = ProofAlarm(site.tenancy.path, site.gateway.proof_hour, zone)
        self.duties = DutyBook(inventory)
        self.permits = PermitDesk(inventory, engine, zone)
        self.orders = OrderDesk(
            inventory, engine, self.outputs, self._register, self._proof, self.duties, self.permits)
        self._telemetry = TelemetryFilter(inventory, site.gateway.telemetry_heartbeat_s)
        self._dirty_due: int | None = None
        self._timers_dirty = False
        self._checkpoint_at = started.mono_us - TIMER_CHECKPOINT_US
        self.counts = {"alarm_records": 0, "telemetry_records": 0, "drives": 0, "failed_steps": 0}
        self._failed = False
        self._say_again_from = started.mono_us

    # -- the step ----------------------------------------------------------------------------------------------

    def step(self, event: Event, now: Now) -> tuple[Effect, ...]:
        """Take one event. Effects are to be done in their order: outputs, alarm records, telemetry, notes."""
        turn = Turn()
        handler = self._HANDLERS[type(event)]
        try:
            if self._failed and now.mono_us >= self._say_again_from:
                self._failed, self._say_again_from = False, now.mono_us + SAY_AGAIN_EVERY_US
                turn.outputs(self.outputs.again(self._engine.open_alarms(), now))
                self._say_open(now, turn)
            handler(self, event, now, turn)
        except Exception as error:  # noqa: BLE001  a mistake of ours must not swallow what the step had found
            # What was gathered is done; the next step says again what stands.
            self._failed = True
            self.counts["failed_steps"] += 1
            turn.log("error", "step failed", event=type(event).__name__, detail=f"{type(error).__name__}: {error}")
        return self._effects(turn, now)

    def _say_open(self, now: Now, turn: Turn) -> None:
        """Say again what stands: a later step may have been told from memory that died, or not at all."""
        for transition in self._engine.open_alarms():
            if transition.state in TOLD_UP:
                self._watch(transition, now)
                turn.alarms.append(AlarmRecord(msgspec.structs.replace(
                    transition, at_us=now.wall_us, previous=transition.state)))

    def _on_read(self, event: DeviceRead, now: Now, turn: Turn) -> None:
        readings = self.image.admit(event.readings, event.fresh, event.at)
        health = self.health.heard(event.device, readings, event.fresh, event.at)
        if health.back:
            turn.log("info", "device back", device=event.device)
            turn.outputs(self.outputs.device_back(event.device, now))
        self._take_health(health, turn)
        turn.impairments(self._panel_isolation.heard(readings))
        self._judge(readings, event.fresh, now, turn)

    def _on_failed(self, event: DeviceFailed, now: Now, turn: Turn) -> None:
        health = self.health.failed(event.device, event.reason, event.detail, event.at)
        self._take_health(health, turn)
        self._judge(health.readings, (), now, turn)

    def _on_line(self, event: LineState, now: Now, turn: Turn) -> None:
        health = self.health.line(event.line, event.up, event.detail, event.at)
        turn.log("info" if event.up else "warning", "line up" if event.up else "line down", line=event.line,
                 detail=event.detail)
        self._take_health(health, turn)
        self._judge(health.readings, (), now, turn)

    def _on_notice(self, event: DeviceNotice, now: Now, turn: Turn) -> None:
        turn.log("warning", "device notice", line=event.line, device=event.device, kind=event.kind,
                 text=event.text.en)
        turn.notes.append(NotifyLocal(event.kind, event.device or event.line, detail=event.text.zh))

    def _on_duty_asked(self, event: DutyAsked, now: Now, turn: Turn) -> None:
        self._duty(self.duties.asked(event, now), turn)

    def _on_duty_settled(self, event: DutySettled, now: Now, turn: Turn) -> None:
        self._duty(self.duties.settled(event), turn)

    @staticmethod
    def _duty(check: DutyCheck | None, turn: Turn) -> None:
        if check is not None:
            turn.facts.append(DutyCheckRecord(check))
            turn.log("warning", f"duty check {check.state.value}", check=check.id, asker=check.asker, who=check.who,
                     detail=check.detail)
            turn.notes.append(NotifyLocal(f"duty_{check.state.value}", check.device, check.who, check.detail))

    def _on_tick(self, event: Tick, now: Now, turn: Turn) -> None:
        health = self.health.check(now)
        self._take_health(health, turn)
        for check in self.duties.check(now):
            self._duty(check, turn)
        self._take_order(self.orders.check(now), now, turn)
        if not self.outbox.journal_ok:
            self._not_journaled("the disk takes longer than an alarm may wait", now, turn)
        proof = self._proof.due(now)
        if proof is not None:
            self._tell([proof], now, turn)
        self._judge(health.readings, (), now, turn)

    def _take_health(self, health: HealthStep, turn: Turn) -> None:
        turn.impairments(health.changes)
        for device in health.lost:
            turn.log("warning", "device lost", device=device)
            turn.notes.append(NotifyLocal("device_lost", device))

    def _judge(self, readings: tuple[Reading, ...], fresh: tuple[str, ...], now: Now, turn: Turn) -> None:
        """One cycle: rules see the frozen image's changes; outputs and records follow."""
        transitions = self._engine.step(readings, now, fresh)
        self._tell(transitions, now, turn)
        turn.outputs(self.outputs.check(self.image, now))
        self._telemetry.offer(readings)
        if readings:
            lost = any(reading.quality is not Quality.GOOD for reading in readings)
            due = now.mono_us + (CHECKPOINT_LOST_US if lost else CHECKPOINT_VALUES_US)
            self._dirty_due = due if self._dirty_due is None else min(self._dirty_due, due)

    def _tell(self, transitions: Iterable[AlarmTransition], now: Now, turn: Turn) -> None:
        transitions = tuple(transitions)
        if not transitions:
            return
        turn.outputs(self.outputs.transitions(transitions, now))
        for transition in transitions:
            if transition.state not in TOLD_UP:
                turn.timers = True
                continue
            deciding = [reading for point in transition.points[:DECIDING_READINGS_MAX]
                        if (reading := self.image.latest(point)) is not None]
            turn.alarms.append(AlarmRecord(transition, tuple(deciding)))
            turn.log("warning", f"alarm {transition.state.value}", alarm=transition.alarm,
                     rule=transition.key.rule, subject=transition.key.subject, detail=transition.detail)
            turn.notes.append(NotifyLocal(f"alarm_{transition.state.value}", transition.alarm,
                                          detail=transition.detail))
            if transition.state is AlarmState.RAISED:
                self._watch(transition, now)
            elif transition.state is AlarmState.CLEARED:
                self._telemetry.unwatch(transition.alarm)
                self.orders.forget_alarm(transition.alarm)

    def _watch(self, transition: AlarmTransition, now: Now) -> None:
        """Give the board its plot; a fault or a proof has none, and must not wear the card for half an hour."""
        if transition.hazard not in NEVER_INCIDENT:
            self._telemetry.watch(transition.alarm, transition.points, transition.zone, now)

    # -- orders and outputs ------------------------------------------------------------------------------------

    def _on_command(self, event: CommandReceived, now: Now, turn: Turn) -> None:
        self._order(event.command, now, turn, on_site=False)

    def _on_site(self, event: OnSiteAction, now: Now, turn: Turn) -> None:
        self._order(event.command, now, turn, on_site=True)

    def _order(self, command: Command, now: Now, turn: Turn, *, on_site: bool) -> None:
        step = self.orders.apply(command, now, on_site=on_site)
        self._take_order(step, now, turn)
        if step.result is not None:
            turn.facts.append(CommandResultRecord(step.result))
            turn.log("info", f"command {step.result.outcome.value}", command=command.id, kind=command.kind.value,
                     target=command.target, who=command.who, detail=step.result.detail)
            turn.notes.append(NotifyLocal(command.kind.value, command.target, command.who,
                                          step.result.detail or step.result.outcome.value))

    def _take_order(self, step: OrderStep, now: Now, turn: Turn) -> None:
        turn.outputs(step.outputs)
        self._tell(step.transitions, now, turn)
        turn.impairments(step.changes)
        if step.duty is not None:
            self._duty(step.duty.check, turn)
            turn.notes.append(AnswerDuty(step.duty.line, step.duty.check.device, step.duty.check.id))

    def _on_written(self, event: OutputWritten, now: Now, turn: Turn) -> None:
        turn.outputs(self.outputs.written(event.output, event.on, now))

    def _on_write_failed(self, event: OutputWriteFailed, now: Now, turn: Turn) -> None:
        turn.log("error", "output not written", output=event.output, on=event.on, detail=event.detail)
        turn.outputs(self.outputs.write_failed(event.output, event.on, event.detail, now))

    # -- start and journal -------------------------------------------------------------------------------------

    def _on_power(self, event: PowerOn, now: Now, turn: Turn) -> None:
        self.image.start(now)
        journal = event.journal
        if journal is None:
            self._not_journaled(event.detail or "the journal cannot be opened", now, turn)
        memory = read_checkpoint(journal, turn.log)
        readings: tuple[Reading, ...] = ()
        if memory is None:
            turn.outputs(self.outputs.resume({}, None, now))
            turn.impairments([self._register.begin(lack) for lack in forgotten(journal, self._gateway, now)])
        else:
            readings = self._resume(memory, now, turn)
        self._judge(readings, (), now, turn)

    def _resume(self, memory: AgentCheckpoint, now: Now, turn: Turn) -> tuple[Reading, ...]:
        for impairment in memory.impairments:
            self._register.begin(impairment)
            if not names_subject(self.inventory, impairment.subject):
                turn.impairments([self._register.end(impairment.kind, impairment.subject, now.wall_us)])
        self._resume_engine(memory, now, turn)
        self._proof.resume(memory.proof_dates)
        self.orders.resume(memory.orders, now)
        for check in self.duties.resume(memory.duties, now):
            self._duty(check, turn)
        turn.outputs(self.outputs.resume(memory.outputs, memory.away_us(now), now))
        open_alarms = self._engine.open_alarms()
        self._say_open(now, turn)
        turn.facts += [ImpairmentRecord(ImpairmentChange(i)) for i in self._register.present()]
        turn.log("info", "resumed", open_alarms=len(open_alarms), impairments=len(memory.impairments))
        return self.health.resume(memory.health, now).readings

    def _resume_engine(self, memory: AgentCheckpoint, now: Now, turn: Turn) -> None:
        try:
            self._engine.resume(memory.engine)
        except ValueError as error:
            turn.log("error", "rules cannot go on where they were, alarms rise again", detail=str(error))
            return
        if now.wall_us < memory.wall_us:
            # No battery clock: this boot begins in the past. Told the old time first, the engine sees a step of
            # the wall clock and moves its memory along; else it would take every reading for an old one.
            self._tell(self._engine.step((), Now(memory.wall_us, now.mono_us, now.boot)), now, turn)

    def _on_journal(self, event: JournalOpened, now: Now, turn: Turn) -> None:
        turn.log("info", "journal opened", epoch=event.journal.epoch)
        turn.timers = True
        memory = read_checkpoint(event.journal, turn.log)
        if memory is not None:
            self._merge(memory, now, turn)
        turn.impairments([self._register.begin(lack) for lack in forgotten(event.journal, self._gateway, now)])

    def _merge(self, memory: AgentCheckpoint, now: Now, turn: Turn) -> None:
        """The journal opened only after this life had begun without it. What stood before stands again beside what
        this life found itself; nothing that is raised or on now is taken back."""
        try:
            transitions = self._engine.merge(memory.engine, now)
        except ValueError as error:
            transitions = ()
            turn.log("error", "rules cannot go on where they were, alarms rise again", detail=str(error))
        self.orders.merge(memory.orders, now)
        self._proof.resume((*memory.proof_dates, *self._proof.done))
        for check in self.duties.resume((*memory.duties, *self.duties.memory()), now):
            self._duty(check, turn)
        turn.impairments(self._register.begin(i) for i in memory.impairments
                         if i.kind in (ImpairmentKind.ISOLATED, ImpairmentKind.IN_TEST)
                         and names_subject(self.inventory, i.subject) and not 0 < i.expires_us <= now.wall_us)
        self._tell(transitions, now, turn)
        standing = {transition.alarm for transition in self._engine.open_alarms()}
        turn.outputs(self.outputs.merge(memory.outputs, standing, now))
        turn.log("info", "resumed late", open_alarms=len(standing), impairments=len(memory.impairments))

    def _on_committed(self, event: Committed, now: Now, turn: Turn) -> None:
        if self.outbox.journal_ok:
            turn.impairments([self._register.end(ImpairmentKind.NOT_JOURNALED, self._gateway, now.wall_us)])

    def _on_commit_failed(self, event: CommitFailed, now: Now, turn: Turn) -> None:
        self._not_journaled(event.reason, now, turn)

    def _not_journaled(self, why: str, now: Now, turn: Turn) -> None:
        change = self._register.begin(Impairment(
            ImpairmentKind.NOT_JOURNALED, self._gateway, now.wall_us, why=why))
        if change is not None:
            turn.log("error", "not journaled", reason=why)
            turn.notes.append(NotifyLocal("not_journaled", self._gateway, detail=why))
            turn.impairments([change])

    @property
    def journal_ok(self) -> bool:
        """Whether the last alarm record reached the disk in time."""
        return not self._register.stands(ImpairmentKind.NOT_JOURNALED, self._gateway)

    def checkpoint(self, now: Now) -> bytes:
        """The state that goes into the transaction of the records assigned so far."""
        return encode_checkpoint(AgentCheckpoint(
            VERSION, now.wall_us, now.mono_us, now.boot, self._engine.checkpoint(), self.outputs.memory(),
            self.health.memory(), self.orders.memory(), self._register.present(), self._proof.done,
            self.duties.memory()))

    # -- the site file changes ---------------------------------------------------------------------------------

    def objections(self, inventory: Inventory, change: SiteChange) -> list[Finding]:
        """Why that change may not be made now; empty when it may."""
        return refusals(
            self.inventory, inventory, change, open_alarms=self._engine.open_alarms(),
            isolated={i.subject for i in self._register.present() if i.kind is ImpairmentKind.ISOLATED},
            outputs_on={name for name in self.outputs.names() if self.outputs.state(name).on})

    def _on_site_changed(self, event: SiteChanged, now: Now, turn: Turn) -> None:
        """What stays goes on untouched. The engine is made first: should that fail, nothing has changed yet."""
        inventory, anew = event.inventory, event.change.anew
        passed = self._engine.step((), now)
        engine, transitions = self._engine.rebound(event.rules, inventory)
        self.inventory, self._engine = inventory, engine
        self.image.rebind(inventory, anew, now)
        self.health.rebind(inventory, anew)
        self.outputs.rebind(inventory)
        self.duties.rebind(inventory)
        self.orders.rebind(inventory, engine)
        self.permits.rebind(inventory, engine, event.zone)
        self._telemetry.rebind(inventory, anew)
        self._panel_isolation = PanelIsolation(inventory, self._register)
        site = inventory.site
        self._proof = ProofAlarm(site.tenancy.path, site.gateway.proof_hour, event.zone, self._proof.done)
        self.orders.prove_by(self._proof)
        turn.impairments(self._register.end(i.kind, i.subject, now.wall_us)
                         for i in self._register.present() if not names_subject(self.inventory, i.subject))
        turn.log("warning", "site file changed", change=event.change.words())
        self._tell((*passed, *transitions), now, turn)
        if event.change.outputs_added or event.change.outputs_changed:
            turn.outputs(self.outputs.again(engine.open_alarms(), now))
        unread = tuple(point.name for device in event.change.changed if device in anew
                       for point in inventory.of_device(device))
        self._judge(self.image.impose(unread, Reason.NOT_YET_READ, now), (), now, turn)
        turn.timers = True

    # -- link and parts ----------------------------------------------------------------------------------------

    def _on_link(self, event: LinkState, now: Now, turn: Turn) -> None:
        turn.log("info" if event.up else "warning", "uplink up" if event.up else "uplink down")
        turn.notes.append(NotifyLocal("uplink_up" if event.up else "uplink_down", self._gateway))

    def _on_part_failed(self, event: PartFailed, now: Now, turn: Turn) -> None:
        turn.log("error", "part failed, started again", part=event.part, detail=event.detail)

    # -- effects -----------------------------------------------------------------------------------------------

    def _effects(self, turn: Turn, now: Now) -> tuple[Effect, ...]:
        effects: list[Effect] = [DriveOutput(drive) for drive in turn.drives]
        bodies: list[Body] = [*turn.alarms, *turn.facts, *self.permits.news(now)]
        alarm_records = tuple((Lane.ALARM, self.outbox.assign(Lane.ALARM, body, now)) for body in bodies)
        telemetry = tuple((Lane.TELEMETRY, self.outbox.assign(Lane.TELEMETRY, ReadingsRecord(chunk), now))
                          for chunk in self._telemetry.flush(self.image, now))
        self.counts["alarm_records"] += len(alarm_records)
        self.counts["telemetry_records"] += len(telemetry)
        self.counts["drives"] += len(turn.drives)
        checkpoint = self._checkpoint_due(turn, bool(alarm_records or turn.drives), now)
        if alarm_records or telemetry or checkpoint:
            effects.append(Commit(alarm_records + telemetry, checkpoint, bool(alarm_records)))
        effects += turn.notes
        return tuple(effects)

    def _checkpoint_due(self, turn: Turn, at_once: bool, now: Now) -> bool:
        """Whether the state goes to disk with this step: with every record of the alarm lane; when a timer began
        or ended, but not more often than each second (a value that flutters around its limit wears no card);
        and some time after anything else changed."""
        self._timers_dirty = self._timers_dirty or turn.timers
        since = now.mono_us - self._checkpoint_at
        timers = self._timers_dirty and since >= TIMER_CHECKPOINT_US
        aged = self._dirty_due is not None and now.mono_us >= self._dirty_due
        if not (at_once or timers or aged):
            return False
        self._dirty_due, self._timers_dirty, self._checkpoint_at = None, False, now.mono_us
        return True

    # -- to look at --------------------------------------------------------------------------------------------

    def due_us(self, now: Now) -> int | None:
        """Monotonic time of the next Tick that will have something to do before a second is over, or None."""
        engine = self._engine.due_us()
        times = [now.mono_us + engine - now.wall_us] if engine is not None else []
        times += [at for at in (self.outputs.due_us(), self.orders.due_us(now), self._telemetry.due_us())
                  if at is not None]
        return min(times, default=None)

    def heartbeat(self, now: Now) -> HeartbeatRecord:
        """The gateway is alive, and this is what it has."""
        return HeartbeatRecord(
            now.wall_us, self.outbox.heartbeat_last(), self.health.expected, self.health.alive, self.journal_ok,
            self.outbox.backlog(), now.wall_error_us, self._version, self._stands())

    def _stands(self) -> tuple[str, ...] | None:
        """Impairments and faults that hold now, for the cloud to compare; None when there are too many to say."""
        stands = [f"{i.kind}|{i.subject}" for i in self._register.present()]
        stands += [f"fault|{t.key.rule}|{t.key.subject}" for t in self._engine.open_alarms()
                   if t.hazard is Hazard.FAULT and t.state in TOLD_UP]
        return tuple(stands) if len(stands) <= STANDS_MAX else None

    def impairments(self) -> tuple[Impairment, ...]:
        """What does not protect right now, oldest first."""
        return self._register.present()

    def open_alarms(self) -> tuple[OpenAlarm, ...]:
        """The alarms that are not over, for the people at the gateway."""
        return tuple(
            OpenAlarm(t.alarm, t.key.rule, t.key.subject, t.state.value, t.zone, t.onset_us,
                      self.orders.acknowledged.get(t.alarm, ""))
            for t in self._engine.open_alarms() if t.state in TOLD_UP)

    def live(self) -> tuple[Live, ...]:
        """The present value of every point, for the people at the gateway."""
        return tuple(Live(name, r.value if r else None, r.quality.value if r else "never heard",
                          self.image.fresh_at(name))
                     for name in self.inventory.points for r in (self.image.latest(name),))

    _HANDLERS: dict[type, Callable[..., None]] = {
        DeviceRead: _on_read, DeviceFailed: _on_failed, LineState: _on_line, DeviceNotice: _on_notice,
        DutyAsked: _on_duty_asked, DutySettled: _on_duty_settled,
        Tick: _on_tick, SiteChanged: _on_site_changed,
        CommandReceived: _on_command, OnSiteAction: _on_site, OutputWritten: _on_written,
        OutputWriteFailed: _on_write_failed, PowerOn: _on_power, JournalOpened: _on_journal,
        Committed: _on_committed, CommitFailed: _on_commit_failed, LinkState: _on_link,
        PartFailed: _on_part_failed,
    }
