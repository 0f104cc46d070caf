"""SiteWorker: everything the cloud decides for one site (pure): values in, effects out, `now` passed in.

    UpEnvelope ─► Ledger ─► gaps          ┌─ alarms of the edge (facts) ─┐
                    └─► fresh records ────┼─ readings ─► cloud engine ───┼─► IncidentDesk ─► views, audit
                                          │                              └─► NoticeDesk ─► notices to send
                                          ├─ impairments, proof, heartbeat ─► registers
    ActEnvelope, DeedEnvelope ──────────► IncidentDesk ─► outcome, command to the gateway (repeated)
    PermitEnvelope, PermitRecord ───────► PermitRegistry ─► the same, for hot work
    tick ───────────────────────────────► timers of all of these

Time is the ingest's time of arrival, never stepping back, so that replaying the stream gives the same state.
An alarm that was on its way for hours is an incident with its true time; only what the *cloud* would decide from
old backlog is a finding (DESIGN, "Edge and cloud").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from community_os.acknowledgements import Acknowledgements
from community_os.bounds import bounded
from community_os.clock_book import ClockBook
from community_os.cloud_engine import CloudEngine
from community_os.duty_desk import DutyDesk
from community_os.envelopes import (
    ActEnvelope,
    AnswerDutyEnvelope,
    CentreAskedEnvelope,
    DeedEnvelope,
    DeliveredEnvelope,
    Envelope,
    MaintainEnvelope,
    PermitEnvelope,
    RotaEnvelope,
    ShelfEnvelope,
    SilenceEnvelope,
    UpEnvelope,
)
from community_os.gap_rows import GapRows
from community_os.gateway_watch import GatewayWatch, place_of
from community_os.ledger import Ledger
from community_os.maintenance_desk import MaintenanceDesk
from community_os.notice_desk import DutyFiles, NoticeDesk
from community_os.now_book import NowBook
from community_os.permit_registry import PermitRegistry
from community_os.plot_buffers import PlotBuffers
from community_os.site_effects import Effects, Notify, SendCommand
from community_os.site_lacks import SiteLacks
from community_os.site_state import SiteState, decode_state
from community_os.store_changes import (
    AuditRow,
    GatewayRow,
    ImpairmentRow,
    IncidentRow,
    OutcomeRow,
    ProofRow,
    StoreChange,
)
from device_model.alarm import LIFE_SAFETY, AlarmState, AlarmTransition, Hazard
from device_model.clock import SECOND_US, Now
from device_model.command import CommandKind, CommandOutcome, CommandResult
from device_model.impairment import ImpairmentChange, ImpairmentKind
from device_model.inspection import InspectionDeed
from device_model.inventory import Inventory
from device_model.messages import (
    AlarmRecord,
    CommandResultRecord,
    DutyCheckRecord,
    GatewayAddress,
    HeartbeatRecord,
    ImpairmentRecord,
    LossRecord,
    OutputRecord,
    PermitRecord,
    ReadingsRecord,
    Record,
    WalkRecord,
)
from device_model.read_models import IncidentView
from device_model.reading import Quality, Reading
from device_model.site import Text
from rules_engine.incident import IncidentChange
from rules_engine.incident_desk import IncidentDesk
from rules_engine.incident_record import Place
from rules_engine.inspections import InspectionBook

__all__ = ["CloudEngine", "Effects", "Notify", "SendCommand", "SiteState", "SiteWorker"]

# A plot is redrawn once a second; every alarm and action redraws it at once.
PLOT_EVERY_US = SECOND_US
# Alarms of an incident beyond which a further one of a lesser class is drawn with the next second's.
SMALL = 20
CLOUD_BOOT = "cloud"


class SiteWorker:
    """One site. Owned by one partition's worker; not thread-safe."""

    def __init__(
        self, inventory: Inventory, titles: Mapping[str, Text], engine: CloudEngine | None, now_us: int,
        files: DutyFiles | None = None,
    ) -> None:
        """now_us: since when the cloud listens for this site. files: who is told; None: only the boards."""
        self._inventory, self._site = inventory, inventory.site
        self._path = self._site.tenancy.path
        self._engine = engine
        self._now_us = now_us
        files = files or DutyFiles()
        self._book = IncidentDesk(inventory, titles, files.response)
        self._notices, self._inspections = NoticeDesk(self._site, files), InspectionBook(inventory)
        self._gap_rows = GapRows(self._site.tenancy, Ledger())
        self._watches = {self._site.gateway.id: GatewayWatch(self._site, self._site.gateway.id, now_us)}
        self._lacks = SiteLacks(inventory, titles)
        self._plots = PlotBuffers(inventory)
        self._duties = DutyDesk(inventory)
        self._permits, self._now_book = PermitRegistry(inventory), NowBook(inventory)
        self._maintenance = MaintenanceDesk(inventory)
        self._acknowledgements = Acknowledgements(self._path)
        self._seen_us: dict[str, int] = {}
        self._clocks = ClockBook()
        self._bad: set[str] = set()
        # Not in the checkpoint: which plots changed since they were last stored.
        self._redraw: dict[str, None] = {}
        self._drawn_us = 0
        self._at_once: dict[str, None] = {}

    # --- steps --------------------------------------------------------------------------------------------

    def step(self, envelope: Envelope) -> Effects:
        """Take one message of the stream."""
        effects = Effects([], [], [])
        if isinstance(envelope, ActEnvelope):
            self._now_us = max(self._now_us, envelope.at_us)
            self._act(envelope, effects)
        elif isinstance(envelope, AnswerDutyEnvelope):
            self._now_us = max(self._now_us, envelope.at_us)
            effects.changes += self._duties.act(envelope, self._now_us)
            rows, answered = self._duties.answered_to_centre(envelope.check, envelope.at_us)
            effects.changes += rows + (self._notices.duty_answer(answered) if answered else [])
        elif isinstance(envelope, CentreAskedEnvelope):
            self._now_us = max(self._now_us, envelope.at_us)
            effects.changes += self._duties.asked_by_centre(envelope)
        elif not isinstance(envelope, UpEnvelope):
            self._now_us = max(self._now_us, envelope.at_us)
            self._duty(envelope, effects)
        else:
            self._now_us = max(self._now_us, envelope.arrived_us)
            self._up(envelope, effects)
        self._settle(effects)
        return effects

    def tick(self, now_us: int) -> Effects:
        """Let time pass."""
        effects = Effects([], [], [])
        self._now_us = max(self._now_us, now_us)
        for watch in self._watches.values():
            was_silent = watch.state.silent
            for impairment in watch.overdue(self._now_us):
                self._lack(ImpairmentChange(impairment), effects)
            if watch.state.silent and not was_silent:
                effects.changes.append(GatewayRow(watch.view()))
        for change in self._lacks.expire(self._now_us):
            self._lack(change, effects)
        due_us = self._engine.due_us() if self._engine else None
        if self._engine and due_us is not None and due_us <= self._now_us:
            self._decided(self._engine.step((), self._now()), effects)
        self._incidents(self._book.tick(self._now_us), effects)
        effects.changes += self._notices.tick(self._now_us, self._book.holder_of, self._view)
        effects.changes += self._notices.inspections(self._inspections.tick(self._now_us))
        self._settle(effects)
        return effects

    def due_us(self) -> int:
        """When `tick` will next have something to do (µs since 1970)."""
        dues = [watch.due_us() for watch in self._watches.values()]
        dues += [pending.next_us for pending in self._acknowledgements.pending.values()]
        dues += [due for due in (self._book.due_us(), self._lacks.due_us(), self._duties.due_us(),
                                 self._notices.due_us(), self._inspections.due_us(), self._permits.due_us(),
                                 self._now_book.due_us(), self._maintenance.due_us()) if due is not None]
        if self._engine and (due := self._engine.due_us()) is not None:
            dues.append(due)
        if self._redraw:
            dues.append(self._drawn_us + PLOT_EVERY_US)
        return min(dues)

    def listen_from(self, now_us: int) -> None:
        """After a pause of the cloud itself: silence counts from now."""
        for watch in self._watches.values():
            watch.listen_from(now_us)

    def lack(self, change: ImpairmentChange) -> Effects:
        """An impairment that the shell found (a message that could not be applied)."""
        effects = Effects([], [], [])
        self._lack(change, effects)
        return effects

    def first_rows(self) -> Effects:
        """What the board should show of a site before anything more is heard of it.

        What time alone found (silence, a missing proof) is in no message: a worker that died between the store and
        its checkpoint leaves a row that no replay would end, so what does not stand is said not to stand.
        """
        changes: list[StoreChange] = [GatewayRow(watch.view()) for watch in self._watches.values()]
        changes += [ImpairmentRow(self._path, kind, gateway, None) for gateway in self._watches
                    for kind in (ImpairmentKind.GATEWAY_SILENT, ImpairmentKind.PROOF_MISSING)
                    if not self._lacks.stands(kind, gateway)]
        return Effects(changes, [], [])

    # --- what comes up ------------------------------------------------------------------------------------

    def _up(self, envelope: UpEnvelope, effects: Effects) -> None:
        batch = envelope.batch
        applied, rows = self._gap_rows.apply(batch, self._now_us)
        effects.changes += rows
        watch = self._watches.get(batch.gateway)
        if watch is not None and watch.heard(self._now_us):
            change = self._lacks.end(ImpairmentKind.GATEWAY_SILENT, batch.gateway, self._now_us)
            if change is not None:
                self._lack_changed(change, effects)
            effects.changes.append(GatewayRow(watch.view()))
        for record in self._clocks.correct(batch, applied.fresh, self._now_us):
            self._record(record, batch.gateway, batch.epoch, effects)

    def _record(self, record: Record, gateway: str, epoch: str, effects: Effects) -> None:
        body = bounded(record.body)
        if isinstance(body, ReadingsRecord):
            self._readings(body.readings, effects)
        elif isinstance(body, AlarmRecord):
            self._keep(body.readings, effects)
            self._alarm(body.transition, gateway, effects, place_of(record, body.transition, epoch))
        elif isinstance(body, ImpairmentRecord):
            self._lack(body.change, effects)
        elif isinstance(body, CommandResultRecord):
            self._answered(body.result, effects)
        elif isinstance(body, OutputRecord):
            state = f"{body.output} {'on' if body.on else 'off'} ({body.proof})"
            effects.changes.append(AuditRow(self._path, body.at_us, "output", "", "", f"{state} by {body.cause}"))
            self._incidents(self._book.remark(body.cause, "output", body.at_us, state), effects)
        elif isinstance(body, DutyCheckRecord):
            effects.changes += self._duties.record(body.check)
        elif isinstance(body, PermitRecord):
            effects.changes += self._permits.record(body, self._now_us)
        elif isinstance(body, WalkRecord):
            said = f"{gateway} {body.kind} {body.subject}: {body.result} {body.value} {body.note}".strip()
            effects.changes.append(AuditRow(self._path, body.begun_us, "walk_test", body.who, "", said))
        elif isinstance(body, HeartbeatRecord):
            self._heartbeat(body, gateway, effects)
        elif isinstance(body, LossRecord):
            detail = f"{gateway} {body.epoch} {body.lane.value} {list(body.ranges)}: {body.reason}"
            effects.changes.append(AuditRow(self._path, body.at_us, "loss_declared", "", "", detail))

    def _readings(self, readings: tuple[Reading, ...], effects: Effects) -> None:
        self._keep(readings, effects)
        if self._engine is not None:
            known = tuple(reading for reading in readings if reading.point in self._inventory.points)
            self._decided(self._engine.step(known, self._now(), tuple(r.point for r in known)), effects)

    def _keep(self, readings: Iterable[Reading], effects: Effects) -> None:
        """For plots, and for whether the point can be believed now (the latest counts, backlog does not)."""
        changed: list[IncidentChange] = []
        for reading in readings:
            self._now_book.add(reading)
            if seen := self._plots.add(reading):
                self._redraw.update((i.id, None) for i in self._book.open_incidents() if not seen.isdisjoint(i.zones))
            if reading.point not in self._inventory.points:
                continue
            # A gateway whose clock ran ahead and was corrected is believed again at once.
            received_us = min(reading.receive_time_us, self._now_us)
            if received_us < self._seen_us.get(reading.point, 0):
                continue
            self._seen_us[reading.point] = received_us
            bad = reading.quality is Quality.BAD
            (self._bad.add if bad else self._bad.discard)(reading.point)
            changed += self._book.reading(reading.point, reading.reason.value if bad else "", self._now_us)
        self._incidents(changed, effects)

    def _alarm(
        self, step: AlarmTransition, gateway: str, effects: Effects, place: Place | None = None
    ) -> None:
        if step.hazard is Hazard.PROOF:
            watch = self._watches.get(gateway)
            if watch is not None and step.state is AlarmState.RAISED:
                effects.changes.append(ProofRow(watch.proof(step.at_us, self._now_us)))
                change = self._lacks.end(ImpairmentKind.PROOF_MISSING, gateway, self._now_us)
                if change is not None:
                    self._lack_changed(change, effects)
        elif step.hazard is Hazard.FAULT:
            for change in self._lacks.fault(step):
                self._lack_changed(change, effects)
        else:
            self._incidents(self._book.apply(step, self._now_us, place), effects)
            isolated = bool(step.device) and self._book.trust.isolated(step.device)
            effects.changes += self._notices.alarm(step, self._now_us, self._book.holder_of, isolated=isolated)

    def _decided(self, steps: tuple[AlarmTransition, ...], effects: Effects) -> None:
        """What the cloud's own engine found."""
        for step in steps:
            self._alarm(step, self._site.gateway.id, effects)

    def _heartbeat(self, beat: HeartbeatRecord, gateway: str, effects: Effects) -> None:
        watch = self._watches.get(gateway)
        if watch is None:
            return
        watch.heartbeat(beat, self._now_us)
        effects.changes.append(GatewayRow(watch.view()))
        if beat.stands is not None:
            for change in self._lacks.reconcile(frozenset(beat.stands), beat.at_us):
                self._lack_changed(change, effects)
        if self._engine is not None:
            # Telemetry tells changes only; that the gateway lives and has not called a point bad proves the rest.
            fresh = tuple(point for point in self._seen_us if point not in self._bad)
            self._decided(self._engine.step((), self._now(), fresh), effects)

    # --- what lacks ---------------------------------------------------------------------------------------

    def _lack(self, change: ImpairmentChange, effects: Effects) -> None:
        """Enter a change that somebody reports; repetitions and stragglers change nothing."""
        entered = self._lacks.enter(change)
        if entered is not None:
            self._lack_changed(entered, effects)

    def _lack_changed(self, change: ImpairmentChange, effects: Effects) -> None:
        """A lack has begun or ended in the register."""
        i, ended = change.impairment, change.ended_us > 0
        effects.changes.append(self._lacks.row(change))
        effects.changes.append(AuditRow(
            self._path, change.ended_us or i.since_us, f"{i.kind.value} {'ended' if ended else 'began'}", i.who, "",
            f"{i.subject} {i.why} {i.compensation}".strip()))
        at_us = change.ended_us or self._now_us
        self._incidents(self._book.impairment(i, ended=ended, at_us=at_us), effects)

    # --- people and the way down --------------------------------------------------------------------------

    def _act(self, act: ActEnvelope, effects: Effects) -> None:
        result = self._book.act(act.incident, act.action, who=act.who, why=act.why, request=act.request,
                                at_us=act.at_us)
        self._incidents(result.changes, effects)
        effects.changes.append(OutcomeRow(self._path, act.request, act.incident, result.outcome))

    def _duty(
        self, envelope: DeedEnvelope | SilenceEnvelope | ShelfEnvelope | PermitEnvelope | MaintainEnvelope
        | RotaEnvelope | DeliveredEnvelope, effects: Effects,
    ) -> None:
        """Deeds, silences, the shelf, and what became of notices."""
        if isinstance(envelope, DeedEnvelope):
            deed = envelope.deed
            if isinstance(deed, InspectionDeed):
                effects.changes += self._notices.inspect(envelope, deed, self._inspections)
                return
            result = self._book.do(envelope.incident, deed, who=envelope.who, why=envelope.why,
                                   request=envelope.request, at_us=envelope.at_us)
            self._incidents(result.changes, effects)
            effects.changes.append(OutcomeRow(self._path, envelope.request, envelope.incident, result.outcome))
        elif isinstance(envelope, PermitEnvelope):
            effects.changes += self._permits.ask(envelope)
        elif isinstance(envelope, MaintainEnvelope):
            effects.changes += self._maintenance.act(envelope, self._now_us)
        elif isinstance(envelope, RotaEnvelope):
            effects.changes += self._notices.rota(envelope)
        elif isinstance(envelope, SilenceEnvelope):
            effects.changes += self._notices.ask(envelope, self._now_us)
        elif isinstance(envelope, ShelfEnvelope):
            effects.changes += self._notices.shelve(envelope, self._now_us, self._book.holder_of,
                                                    self._book.standing_step(envelope.alarm))
            self._redraw.setdefault(self._book.holder_of(envelope.alarm), None)
        else:
            effects.changes += self._duties.centre_confirmed(envelope.notice, envelope.given_up)
            word = "notice_given_up" if envelope.given_up else "notified"
            detail = f"{envelope.endpoint} {envelope.notice} {envelope.given_up}".strip()
            effects.changes.append(AuditRow(self._path, envelope.at_us, word, "", envelope.incident, detail[:500]))
            self._book.delivered(envelope.incident, given_up=bool(envelope.given_up))
            if envelope.given_up:
                self._incidents(self._book.line(envelope.incident, word, envelope.at_us, detail[:300]), effects)
            if envelope.incident:
                self._redraw.setdefault(envelope.incident, None)

    def _view(self, incident: str) -> IncidentView | None:
        """What messages say of an incident: no plots."""
        return self._book.view(incident) if self._book.incident(incident) is not None else None

    def _answered(self, result: CommandResult, effects: Effects) -> None:
        detail = f"{result.kind.value} {result.target}: {result.outcome.value} {result.detail}".strip()
        effects.changes.append(AuditRow(self._path, result.at_us, "command_result", result.who, "", detail))
        if result.kind is CommandKind.ANSWER_DUTY:
            effects.changes += self._duties.answered(result)
        elif result.kind is CommandKind.PERMIT:
            effects.changes += self._permits.answered(result)
        elif result.kind in (CommandKind.ISOLATE, CommandKind.RESTORE):
            effects.changes += self._maintenance.answered(result)
        if result.kind is not CommandKind.ALARM_ACKNOWLEDGED:
            return
        done = result.outcome in (CommandOutcome.APPLIED, CommandOutcome.ALREADY_APPLIED)
        refused = "" if done else result.detail or result.outcome.value
        self._incidents(self._book.gateway_told(result.target, result.at_us, refused=refused), effects)

    def _tell_gateway(self, effects: Effects) -> None:
        """Commands that are not answered: new ones now, others when they are due."""
        changed, commands = self._acknowledgements.due(self._book, self._now_us)
        self._incidents(changed, effects)
        for desk in (self._duties, self._permits, self._maintenance):
            rows, more = desk.due(self._now_us)
            effects.changes += rows
            commands += more
        address = GatewayAddress(self._site.tenancy, self._site.gateway.id)
        effects.commands += [SendCommand(address, command) for command in commands]

    def incident_of(self, alarm: str) -> str:
        """Which incident holds the real alarm of that name ("rule|subject"); "" for none."""
        return self._book.holder_of(alarm)

    # --- effects ------------------------------------------------------------------------------------------

    def _incidents(self, changes: Iterable[IncidentChange], effects: Effects) -> None:
        changes = tuple(changes)
        effects.changes += self._notices.changes(changes, self._now_us, self._view)
        for change in changes:
            if change.audit:
                effects.changes.append(AuditRow(self._path, change.at_us, change.what, change.who, change.incident,
                                                change.detail))
            if change.incident:
                self._redraw.setdefault(change.incident, None)
                if change.notify or change.who or self._is_small(change.incident):
                    self._at_once.setdefault(change.incident, None)
            if change.notify:
                effects.notices.append(Notify(self._path, change.incident, change.what, change.at_us))

    def _settle(self, effects: Effects) -> None:
        """What follows from the step: commands to send, views to store."""
        self._tell_gateway(effects)
        effects.changes += self._now_book.rows(self._now_us)
        all_due = self._now_us >= self._drawn_us + PLOT_EVERY_US
        draw, self._at_once = self._redraw if all_due else self._at_once, {}
        for name in list(draw):
            incident = self._book.incident(name)
            if incident is not None:
                plots = self._plots.plots(incident)
                self._incidents(self._book.look_around(name, plots, self._now_us), effects)
                live = self._plots.live.live(incident.zones)
                view = msgspec.structs.replace(self._book.view(name, plots), live=live)
                effects.changes.append(IncidentRow(self._notices.shown(view)))
        if all_due and draw:
            self._drawn_us = self._now_us
        self._redraw = {} if all_due else {name: None for name in self._redraw if name not in draw}

    def _is_small(self, name: str) -> bool:
        """Whether each further line of this incident is shown at once; one that a flood swells, once a second."""
        incident = self._book.incident(name)
        return incident is not None and (incident.hazard in LIFE_SAFETY or len(incident.alarms) <= SMALL)

    def _now(self) -> Now:
        """The site's time for the engine: one monotonic life, whatever machine runs the worker."""
        return Now(self._now_us, self._now_us, CLOUD_BOOT)

    # --- keeping ------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Everything that must survive, as JSON; equal histories give equal bytes."""
        zones = {zone for incident in self._book.open_incidents() for zone in incident.zones}
        return msgspec.json.encode(SiteState(
            now_us=self._now_us, book=msgspec.Raw(self._book.checkpoint()),
            ledger=msgspec.Raw(self._gap_rows.ledger.checkpoint()),
            engine=self._engine.checkpoint() if self._engine else b"",
            watches={name: watch.state for name, watch in self._watches.items()}, lacks=self._lacks.state(),
            pending=self._acknowledgements.pending,
            maintenance=self._maintenance.asked,
            permits=self._permits.told, samples=self._plots.kept(zones), seen_us=self._seen_us,
            duties=self._duties.told, clocks=self._clocks.boots,
            desk=msgspec.Raw(self._book.desk_checkpoint()), notices=msgspec.Raw(self._notices.checkpoint()),
            inspections=self._inspections.open, live=self._plots.live.kept(zones),
        ))

    def resume(self, checkpoint: bytes) -> None:
        """From a checkpoint; ValueError where it does not fit."""
        state = decode_state(checkpoint)
        self._now_us = state.now_us
        self._book.resume(bytes(state.book))
        self._book.resume_desk(bytes(state.desk), state.now_us)
        self._notices.resume(bytes(state.notices), state.now_us)
        self._inspections.open = state.inspections
        self._gap_rows = GapRows(self._site.tenancy, Ledger.resume(bytes(state.ledger)))
        if self._engine is not None and state.engine:
            self._engine.resume(state.engine)
        for name, watched in state.watches.items():
            if name in self._watches:
                self._watches[name].state = watched
        self._lacks.resume(state.lacks)
        self._acknowledgements.pending, self._permits.told = state.pending, state.permits
        self._maintenance.asked = state.maintenance
        self._seen_us, self._duties.told = state.seen_us, state.duties
        self._clocks = ClockBook(state.clocks)
        self._bad = {point for point in self._seen_us if self._book.trust.has_bad_reading(point)}
        self._plots.resume(state.samples)
        self._plots.live.resume(state.live)
