"""IncidentDesk: incidents with the duty that follows from them: grades with clocks, tasks, intake, causes. Pure.

    alarm, click, deed, time ──► incidents (incident.py) ──changes──► Handling of each:
                                          stage: self_check ─clock─► street ─clock─► department
                                                 all, for fire, call point, high gas, CO
                                          tasks of the response plan, reminders

The grade decides who is told next; it never keeps anything from those whom law 1 names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from device_model.alarm import LIFE_SAFETY, AlarmTransition
from device_model.clock import HOUR_US, SECOND_US
from device_model.errors import LawRefusal
from device_model.handling import (
    TRUE_CAUSES,
    Cause,
    Feedback,
    Handling,
    Intake,
    Stage,
    Task,
)
from device_model.incident_deeds import (
    Deed,
    DoTask,
    FieldDeed,
    GiveFeedback,
    GiveTask,
    Merge,
    ReadTask,
    SelfCheck,
    Split,
    StartDrill,
    StateCause,
    TakeIn,
    VerifyBy,
)
from device_model.inventory import Inventory
from device_model.read_models import ActionOutcome, IncidentAction, IncidentState, IncidentView, Plot, Verification
from device_model.site import Text
from rules_engine.incident import ActResult, IncidentChange
from rules_engine.incident_field import field_deed
from rules_engine.incident_life import ENDED, UNANSWERED
from rules_engine.incident_neighbours import neighbour_says
from rules_engine.incident_record import Incident, Place
from rules_engine.incident_regroup import RegroupingBook
from rules_engine.incident_tasks import due_again, has_proof, reminded, task_of
from rules_engine.response_file import Response, ResponsePlan

# Bounds of one incident; more than anybody would read, and the checkpoint stays small.
TASKS_MAX = 40
INTAKES_MAX = 40
FEEDBACK_MAX = 40
WITHIN_US_MAX = 30 * 24 * HOUR_US
# Nobody works on these: the grade's clock stands.
_WORKED_ON = frozenset({IncidentState.DISPATCHED, IncidentState.ON_SCENE, IncidentState.RESOLVED})
_NEXT = {Stage.SELF_CHECK: Stage.STREET, Stage.STREET: Stage.DEPARTMENT}


class DeskState(msgspec.Struct):
    """The checkpoint, beside the book's own."""

    handling: dict[str, Handling]
    version: int = 1


_decoder = msgspec.json.Decoder(DeskState)


class IncidentDesk(RegroupingBook):
    """All incidents of one site with their handling. Owned by one worker."""

    def __init__(self, inventory: Inventory, titles: Mapping[str, Text], response: Response | None = None) -> None:
        super().__init__(inventory, titles)
        self._response = response or Response()
        self._desk = DeskState({})

    # --- what happens -------------------------------------------------------------------------------------

    def apply(self, step: AlarmTransition, now_us: int, place: Place | None = None) -> tuple[IncidentChange, ...]:
        """As the book; then grade and tasks."""
        return self._follow(super().apply(step, now_us, place), now_us)

    def act(
        self, incident_id: str, action: IncidentAction, *, who: str, why: str, request: str, at_us: int,
        cause: Cause = Cause.UNSTATED,
    ) -> ActResult:
        """As the book. cause: what it was, where somebody says so when ending it."""
        result = super().act(incident_id, action, who=who, why=why, request=request, at_us=at_us)
        changes = list(result.changes)
        if result.outcome.done and changes and cause is not Cause.UNSTATED and incident_id in self._state.incidents:
            self._set(incident_id, cause=cause)
            changes.append(self._note(self._state.incidents[incident_id], "cause", at_us, who, cause.value))
        return ActResult(result.outcome, self._follow(tuple(changes), at_us))

    def tick(self, now_us: int) -> tuple[IncidentChange, ...]:
        """As the book; then clocks that have run out and tasks to be reminded of."""
        changes = list(self._follow(super().tick(now_us), now_us))
        for name, handling in list(self._desk.handling.items()):
            incident = self._state.incidents.get(name)
            if incident is None:
                del self._desk.handling[name]
                continue
            while (handling := self._desk.handling[name]).deadline_us and handling.deadline_us <= now_us:
                changes.append(self._advance(incident, handling, handling.deadline_us, "no answer in time"))
            changes += self._remind(incident, handling, now_us)
            if handling.ends_us and handling.ends_us <= now_us:
                self._set(name, ends_us=0)
                changes += self.end_drill(incident, handling.ends_us)
        return tuple(changes)

    def due_us(self) -> int | None:
        """When `tick` will next have something to do."""
        dues = [handling.deadline_us for handling in self._desk.handling.values() if handling.deadline_us]
        dues += [handling.ends_us for handling in self._desk.handling.values() if handling.ends_us]
        dues += [due for handling in self._desk.handling.values() for task in handling.tasks
                 if (due := due_again(task)) is not None]
        if (due := super().due_us()) is not None:
            dues.append(due)
        return min(dues, default=None)

    def _follow(self, changes: tuple[IncidentChange, ...], now_us: int) -> tuple[IncidentChange, ...]:
        """What the changes of incidents mean for their handling."""
        more: list[IncidentChange] = []
        for name in dict.fromkeys(change.incident for change in changes):
            incident = self._state.incidents.get(name)
            if incident is not None:
                words = [change.what for change in changes if change.incident == name]
                more += self._grade(incident, words, now_us)
                more += self._plan_tasks(incident, words, now_us)
        return (*changes, *more)

    def _grade(self, incident: Incident, words: list[str], now_us: int) -> list[IncidentChange]:
        known = self._desk.handling.get(incident.id)
        if known is None:
            self._desk.handling[incident.id] = known = self._begin(incident, now_us)
            if known.stage is not Stage.ALL and incident.state not in ENDED:
                return [self._note(incident, "stage", now_us, detail=known.stage.value, notify=not incident.drill)]
            return []
        if incident.state in ENDED:
            tasks = tuple(task if task.done_us else msgspec.structs.replace(task, due_us=0) for task in known.tasks)
            self._set(incident.id, deadline_us=0, tasks=tasks)
            return []
        if incident.hazard in LIFE_SAFETY:
            if known.stage is Stage.ALL:
                return []
            # It has become what law 1 names: everybody, now.
            plan = self._plan(incident)
            self._set(incident.id, stage=Stage.ALL, since_us=now_us, deadline_us=0,
                      plan=plan.title if plan else None, steps=plan.steps if plan else ())
            return [self._note(incident, "stage", now_us, detail=Stage.ALL.value, notify=not incident.drill)]
        if "reopened" in words:
            fresh = self._begin(incident, now_us)
            self._set(incident.id, stage=fresh.stage, since_us=now_us, deadline_us=fresh.deadline_us)
            return [self._note(incident, "stage", now_us, detail=fresh.stage.value, notify=not incident.drill)]
        if incident.state in _WORKED_ON and known.deadline_us:
            self._set(incident.id, deadline_us=0)
        elif incident.state is IncidentState.CONFIRMED and known.stage is Stage.SELF_CHECK:
            return [self._advance(incident, known, now_us, "confirmed by the self-check")]
        return []

    def _begin(self, incident: Incident, now_us: int) -> Handling:
        plan = self._plan(incident)
        title, steps = (plan.title, plan.steps) if plan else (None, ())
        if incident.hazard in LIFE_SAFETY:
            return Handling(Stage.ALL, now_us, plan=title, steps=steps)
        deadline_us = 0 if incident.drill else now_us + self._response.self_check_us
        return Handling(Stage.SELF_CHECK, now_us, deadline_us, title, steps)

    def _advance(self, incident: Incident, handling: Handling, at_us: int, why: str) -> IncidentChange:
        stage = _NEXT.get(handling.stage, Stage.DEPARTMENT)
        runs = stage is Stage.STREET and not incident.drill
        self._set(incident.id, stage=stage, since_us=at_us,
                  deadline_us=at_us + self._response.street_us if runs else 0)
        return self._note(incident, "stage", at_us, detail=f"{stage.value}: {why}", notify=not incident.drill)

    # --- tasks --------------------------------------------------------------------------------------------

    def _plan(self, incident: Incident) -> ResponsePlan | None:
        zone = self._site.zone(incident.zones[0]) if incident.zones else None
        return self._response.plan_for(incident.hazard, zone.kind if zone else "")

    def _plan_tasks(self, incident: Incident, words: list[str], now_us: int) -> list[IncidentChange]:
        plan = self._plan(incident)
        changes: list[IncidentChange] = []
        if plan is None or incident.drill:
            return changes
        for i, planned in enumerate(plan.tasks):
            task = task_of(f"{incident.id}|{plan.id}|{i}", planned.title, planned.person, now_us, planned.within_us,
                           planned.proof)
            known = {one.id for one in self._desk.handling[incident.id].tasks}
            if planned.on.value in words and task.id not in known:
                changes += self._give(incident, task, "")
        return changes

    def _give(self, incident: Incident, task: Task, who: str) -> list[IncidentChange]:
        handling = self._desk.handling[incident.id]
        if len(handling.tasks) >= TASKS_MAX:
            raise ValueError(f"an incident has {TASKS_MAX} tasks at most")
        self._set(incident.id, tasks=(*handling.tasks, task))
        return [self._note(incident, "task", task.given_us, who, f"{task.id} {task.person}: {task.title.en}",
                           notify=True)]

    def _remind(self, incident: Incident, handling: Handling, now_us: int) -> list[IncidentChange]:
        changes = []
        tasks = list(handling.tasks)
        for i, task in enumerate(tasks):
            due_us = due_again(task)
            if due_us is not None and due_us <= now_us:
                tasks[i] = reminded(task, now_us)
                word = "task_overdue" if now_us >= task.due_us else "task_reminder"
                changes.append(self._note(incident, word, due_us, detail=f"{task.id} {task.person}: {task.title.en}",
                                          notify=True))
        if changes:
            self._set(incident.id, tasks=tuple(tasks))
        return changes

    # --- deeds --------------------------------------------------------------------------------------------

    def do(self, incident_id: str, deed: Deed, *, who: str, why: str, request: str, at_us: int) -> ActResult:
        """What a person does beyond the steps of the life, once per request. Refusals are outcomes and audited."""
        if request in self._state.requests:
            return ActResult(self._state.requests[request])
        if isinstance(deed, SelfCheck):
            return self._self_check(incident_id, deed, who=who, request=request, at_us=at_us)
        incident = self._state.incidents.get(incident_id)
        changes: list[IncidentChange] = []
        refusal, law = "", 0
        try:
            if not who.strip():
                raise ValueError("say who you are")
            if isinstance(deed, TakeIn):
                changes += self._take_in(deed, who, request, at_us)
            elif isinstance(deed, StartDrill):
                drill, made = self.begin_drill(deed, who, request, at_us)
                self._desk.handling[drill.id] = msgspec.structs.replace(
                    self._begin(drill, at_us), ends_us=at_us + deed.for_s * SECOND_US)
                changes += made
            elif incident is None:
                raise ValueError("there is no such incident that can still be changed")
            else:
                changes += self._deed(incident, deed, who, why, request, at_us)
        except LawRefusal as error:
            refusal, law = str(error), error.law
        except ValueError as error:
            refusal = str(error)
        if refusal and incident is not None:
            changes = [self._note(incident, "refused", at_us, who, f"{type(deed).__name__}: {refusal}")]
        return self._once(request, ActionOutcome(not refusal, refusal, law), self._follow(tuple(changes), at_us))

    def _once(self, request: str, outcome: ActionOutcome, changes: tuple[IncidentChange, ...]) -> ActResult:
        self._state.requests[request] = outcome
        while len(self._state.requests) > 500:
            del self._state.requests[next(iter(self._state.requests))]
        return ActResult(outcome, changes)

    def _self_check(self, incident_id: str, deed: SelfCheck, *, who: str, request: str, at_us: int) -> ActResult:
        """The firm's own check: real is confirmed, anything else is a false alarm (if law 3 allows)."""
        action = IncidentAction.CONFIRM if deed.cause in TRUE_CAUSES else IncidentAction.FALSE_ALARM
        why = f"self-check: {deed.cause.value} {deed.text}".strip()
        return self.act(incident_id, action, who=who, why=why, request=request, at_us=at_us, cause=deed.cause)

    def _take_in(self, deed: TakeIn, who: str, request: str, at_us: int) -> list[IncidentChange]:
        if not deed.text.strip():
            raise ValueError("say what was told")
        incident, changes = self.take_in(deed, who, request, at_us)
        changes = list(self._follow(tuple(changes), at_us))
        intakes = self._desk.handling[incident.id].intakes
        if len(intakes) >= INTAKES_MAX:
            return changes  # the timeline has it; the list is full
        intake = Intake(deed.kind, deed.hazard, deed.zone, deed.text[:1000], at_us, who, deed.caller[:80],
                        deed.phone[:40], deed.seen)
        self._set(incident.id, intakes=(*intakes, intake))
        return changes

    def _deed(
        self, incident: Incident, deed: Deed, who: str, why: str, request: str, at_us: int
    ) -> list[IncidentChange]:
        handling = self._desk.handling.setdefault(incident.id, self._begin(incident, at_us))
        if isinstance(deed, Merge):
            target = self._state.incidents.get(deed.into)
            if target is None:
                raise ValueError(f"there is no incident {deed.into!r} that can still be changed")
            changes = self.merge(incident, target, who, why, at_us)
            self._set(incident.id, merged_into=target.id)
            return changes
        if isinstance(deed, Split):
            split, changes = self.split(incident, deed.alarms, who, why, request, at_us)
            self._desk.handling[split.id] = msgspec.structs.replace(self._begin(split, at_us), split_from=incident.id)
            return changes
        if isinstance(deed, VerifyBy):
            if deed.by is Verification.NONE:
                raise ValueError("say by what it was verified")
            return self.verify(incident, deed.by, at_us, who, deed.detail)
        if isinstance(deed, GiveTask):
            if not deed.person.strip() or not 0 < deed.within_us <= WITHIN_US_MAX:
                raise ValueError("a task needs a person, and a time of at most 30 days")
            if incident.state in ENDED:
                raise ValueError("the incident has ended")
            given = task_of(f"{incident.id}|{request}", deed.title, deed.person, at_us, deed.within_us, deed.proof,
                            who)
            return self._give(incident, given, who)
        if isinstance(deed, ReadTask | DoTask):
            return self._task_deed(incident, handling, deed, who, at_us)
        if isinstance(deed, FieldDeed):
            changed, word, detail = field_deed(handling, deed, who, at_us)
            self._desk.handling[incident.id] = changed
            return [self._note(incident, word, at_us, who, detail)]
        if isinstance(deed, StateCause):
            self._set(incident.id, cause=deed.cause)
            return [self._note(incident, "cause", at_us, who, f"{deed.cause.value} {deed.text}".strip()[:500])]
        if isinstance(deed, GiveFeedback):
            if not deed.text.strip() or len(handling.feedback) >= FEEDBACK_MAX:
                raise ValueError("say something" if not deed.text.strip() else "there is feedback enough")
            self._set(incident.id, feedback=(*handling.feedback, Feedback(at_us, who, deed.text[:1000])))
            return [self._note(incident, "feedback", at_us, who, deed.text[:500])]
        raise ValueError("this deed is not known here")

    def _task_deed(
        self, incident: Incident, handling: Handling, deed: ReadTask | DoTask, who: str, at_us: int
    ) -> list[IncidentChange]:
        found = next((task for task in handling.tasks if task.id == deed.task), None)
        if found is None:
            raise ValueError(f"there is no task {deed.task!r}")
        if found.done_us:
            raise ValueError(f"{found.done_by} has done it already")
        if isinstance(deed, ReadTask):
            done = msgspec.structs.replace(found, read_us=found.read_us or max(1, at_us))
            word, detail = "task_read", found.id
        else:
            missing = has_proof(found.proof_wanted, deed.proof)
            if missing:
                raise ValueError(f"this task needs {missing} as proof")
            if not deed.result.strip():
                raise ValueError("say what the result is")
            done = msgspec.structs.replace(found, read_us=found.read_us or max(1, at_us), done_us=max(1, at_us),
                                           done_by=who, result=deed.result[:500], proof=deed.proof)
            word, detail = "task_done", f"{found.id} {deed.result}"[:500]
        self._set(incident.id, tasks=tuple(done if task.id == found.id else task for task in handling.tasks))
        return [self._note(incident, word, at_us, who, detail)]

    # --- reading and keeping ------------------------------------------------------------------------------

    def handling(self, incident_id: str) -> Handling | None:
        """How it is handled; None for one that is not known."""
        return self._desk.handling.get(incident_id)

    def holder_of(self, alarm: str) -> str:
        """Which incident holds the real alarm of that name ("rule|subject"); "" for none."""
        return self._state.holder.get(alarm, "")

    def look_around(self, incident_id: str, plots: tuple[Plot, ...], at_us: int) -> tuple[IncidentChange, ...]:
        """A neighbour that rises verifies what one detector found."""
        incident = self._state.incidents.get(incident_id)
        if (incident is None or incident.drill or incident.state in ENDED or incident.hazard not in LIFE_SAFETY
                or incident.verification is not Verification.NONE):
            return ()
        seen = neighbour_says(incident, plots)
        if not seen:
            return ()
        return self._follow(tuple(self.verify(incident, Verification.SECOND_DETECTOR, at_us, "", seen)), at_us)

    def standing_step(self, alarm: str) -> AlarmTransition | None:
        """The latest step of a real alarm that stands; None for one that does not."""
        incident = self._state.incidents.get(self.holder_of(alarm))
        entry = incident.alarms.get(alarm) if incident is not None else None
        if entry is None or not entry.standing:
            return None
        return AlarmTransition(
            entry.alarm, entry.key, entry.state, entry.state, entry.hazard, entry.severity, entry.at_us,
            entry.raised_us, entry.zone, entry.device, entry.points, entry.detail, entry.latched, entry.test,
            journaled=entry.journaled, decided=entry.decided, audience=entry.audience)

    def line(self, incident_id: str, what: str, at_us: int, detail: str) -> tuple[IncidentChange, ...]:
        """A line in the timeline of one incident."""
        incident = self._state.incidents.get(incident_id)
        return (self._note(incident, what, at_us, detail=detail),) if incident is not None else ()

    def delivered(self, incident_id: str, *, given_up: bool) -> None:
        """A notification about it went out, or was given up."""
        known = self._desk.handling.get(incident_id)
        if known is not None:
            self._set(incident_id, told=known.told + (not given_up), undelivered=known.undelivered + given_up)

    def view(self, incident_id: str, plots: tuple[Plot, ...] = ()) -> IncidentView:
        """As the board shows it."""
        return msgspec.structs.replace(super().view(incident_id, plots), handling=self.handling(incident_id))

    def desk_checkpoint(self) -> bytes:
        """The handling, as JSON; the book's own is apart, as it always was."""
        live = {name: handling for name, handling in self._desk.handling.items() if name in self._state.incidents}
        self._desk.handling = live
        return msgspec.json.encode(self._desk)

    def resume_desk(self, checkpoint: bytes, now_us: int) -> None:
        """After `resume`. b"": a checkpoint older than handling: clocks begin now."""
        self._desk = _decoder.decode(checkpoint) if checkpoint not in (b"", b"null") else DeskState({})
        for incident in self._open_without_handling():
            self._desk.handling[incident.id] = self._begin(incident, now_us)

    def _open_without_handling(self) -> Iterable[Incident]:
        return [i for i in self.open_incidents() if i.id not in self._desk.handling and i.state in UNANSWERED]

    def _set(self, incident_id: str, **fields: object) -> None:
        self._desk.handling[incident_id] = msgspec.structs.replace(self._desk.handling[incident_id], **fields)
