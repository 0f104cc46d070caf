"""NoticeDesk (pure): what people and systems are told of one site, as rows that are stored before anything is sent.

    step of an alarm ──► Router (tree, groups, silences) ──► receivers ──► endpoints ─┐
    change of an incident ──► stage, queue, tasks ──────────► receivers, people ──────┼─► NoticeRow, once per endpoint
    nobody answers ──► Escalations ──► people on duty ──────────────────────────────┘

Without a routing file nothing is sent from here; boards show everything either way. Ids follow from what is said, so
that a replay says nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from community_os.centre_words import DutyBody, endpoint_of, state_of
from community_os.duty_desk import CENTRE_DEVICE
from community_os.envelopes import DeedEnvelope, RotaEnvelope, ShelfEnvelope, SilenceEnvelope
from community_os.store_changes import (
    AuditRow,
    InspectionRow,
    NoticeRow,
    OutcomeRow,
    ShelfRow,
    SilenceRow,
    StoreChange,
    row_id,
)
from device_model.alarm import LIFE_SAFETY, AlarmState, AlarmTransition
from device_model.duty import DutyCheck
from device_model.errors import LawRefusal
from device_model.handling import Stage
from device_model.inspection import InspectionDeed, InspectionView
from device_model.read_models import ActionOutcome, IncidentView
from device_model.register_views import ShelfView, SilenceView
from device_model.site import Site
from rules_engine.alarm_shelf import AlarmShelf, ShelfKind, ShelfState, Shelved
from rules_engine.duty_file import DutyFile
from rules_engine.duty_rota import DutyBook, DutyPlan, Swap
from rules_engine.escalation import Call, Escalations
from rules_engine.incident import IncidentChange
from rules_engine.incident_record import entry_name
from rules_engine.inspections import InspectionBook, InspectionStep
from rules_engine.response_file import Response
from rules_engine.routing import Router
from rules_engine.routing_file import Party, RoutingPlan
from rules_engine.routing_labels import RoutedSite
from rules_engine.routing_match import parse_matcher
from rules_engine.routing_record import Notification, Silence

# Words of an incident's timeline that those of law 1 are told of beside the alarms themselves.
TOLD_TO_ALL = frozenset({"queued", "verified", "permit_over", "raised_again", "reopened", "dispatched", "merged"})
BEGINS = frozenset({"opened", "new_zone", "raised_again", "reopened"})
ANSWERS = frozenset({"acknowledged", "confirmed", "dispatched", "on_scene"})
ENDS = frozenset({"resolved", "false", "closed", "merged_into"})
WATCHED = TOLD_TO_ALL | BEGINS | ANSWERS | ENDS | {"stage"}
PARTY_OF = {Stage.SELF_CHECK: Party.OWNER, Stage.STREET: Party.STREET, Stage.DEPARTMENT: Party.DEPARTMENT}
# The policy of the duty file by which nobody's answer is followed up, by grade.
# Places named in one message: nobody reads more.
PLACES_MAX = 40
POLICY_OF = {Stage.ALL: "life_safety", Stage.SELF_CHECK: "self_check", Stage.STREET: "street",
             Stage.DEPARTMENT: "department"}


class DutyFiles(msgspec.Struct, frozen=True):
    """What the cloud's settings name for a site; each may be absent."""

    routing: RoutingPlan | None = None
    duty: DutyFile | None = None
    response: Response | None = None
    centre: str = ""  # the monitoring centre that this site reports to


class NoticeState(msgspec.Struct):
    """The checkpoint; parts have their own form."""

    router: msgspec.Raw = msgspec.Raw(b"null")
    escalations: msgspec.Raw = msgspec.Raw(b"null")
    duty: msgspec.Raw = msgspec.Raw(b"null")
    routed: dict[str, dict[str, str]] = {}
    shelf: ShelfState = msgspec.field(default_factory=ShelfState)


_decoder = msgspec.json.Decoder(NoticeState)
ViewOf = Callable[[str], IncidentView | None]


class NoticeDesk:
    """One site's. Owned by its worker."""

    def __init__(self, site: Site, files: DutyFiles) -> None:
        self._site, self._path, self._plan = site, site.tenancy.path, files.routing
        self._centre = files.centre
        self._router = Router(files.routing, self._path) if files.routing else None
        self._policies = files.duty.policies if files.duty else {}
        self._escalations = Escalations(self._policies, self._path)
        self._duty = DutyBook(files.duty.plan) if files.duty else None
        self._routed = RoutedSite({})
        self._shelf = AlarmShelf()
        # What a changed routing file says of what stands; told with the next tick.
        self._owed: tuple[Notification, ...] = ()

    # --- what happens -------------------------------------------------------------------------------------

    def alarm(self, step: AlarmTransition, now_us: int, incident_of: Callable[[str], str], *, isolated: bool
              ) -> list[StoreChange]:
        """A step of an alarm. isolated: its device is taken out by name (law 2's one exception)."""
        if isolated and step.state is AlarmState.RAISED:
            return []
        rows = self._to_centre(step, incident_of)
        if self._router is None:
            return rows
        if self._shelf.holds(step):
            # For the router it is over until the shelf's time is.
            step = msgspec.structs.replace(step, state=AlarmState.CLEARED)
        return rows + self._said(self._routed.take(step, self._site, self._router, now_us), now_us, incident_of)

    def _to_centre(self, step: AlarmTransition, incident_of: Callable[[str], str]) -> list[StoreChange]:
        """Fires, and when they are over, to the brigade's monitoring centre."""
        body = state_of(step) if self._centre else None
        if body is None:
            return []
        name = row_id(self._path, "centre", step.alarm, step.state.value, str(step.at_us))
        return [NoticeRow(name, self._path, endpoint_of(self._centre), incident_of(entry_name(step.key)), "centre",
                          step.at_us, body.fire, msgspec.json.encode(body))]

    def duty_answer(self, check: DutyCheck) -> list[StoreChange]:
        """A person answered a centre's duty check."""
        centre = check.device.removeprefix(CENTRE_DEVICE)
        name = row_id(self._path, "duty", check.id)
        return [NoticeRow(name, self._path, endpoint_of(centre), "", "duty", check.answered_us, True,
                          msgspec.json.encode(DutyBody(check.id, check.who, check.answered_us)))]

    def changes(self, changes: Iterable[IncidentChange], now_us: int, view_of: ViewOf) -> list[StoreChange]:
        """Changes of incidents: grades, queue, tasks, and who is called when nobody answers."""
        rows: list[StoreChange] = []
        for change in changes:
            if not (change.incident and (change.notify or change.what in WATCHED)):
                continue  # a view costs something, and a flood has thousands of plain lines
            view = view_of(change.incident)
            if view is None or view.drill:
                continue
            rows += self._incident_rows(change, view)
            rows += self._escalate(change, view, now_us)
        return rows

    def tick(self, now_us: int, incident_of: Callable[[str], str], view_of: ViewOf) -> list[StoreChange]:
        """Let time pass."""
        rows: list[StoreChange] = []
        for entry, standing in self._shelf.expire(now_us):
            rows.append(AuditRow(self._path, entry.until_us, "shelf_over", "", incident_of(entry.alarm), entry.alarm))
            rows.append(self._shelf_row(entry, shown=False))
            rows += self.alarm(standing, now_us, incident_of, isolated=False) if standing is not None else []
        owed, self._owed = self._owed, ()
        rows += self._said((*owed, *self._router.tick(now_us)), now_us, incident_of) if self._router else []
        return rows + self._called(self._escalations.tick(now_us), view_of)

    def due_us(self) -> int | None:
        """When `tick` will next have something to do."""
        if self._owed:
            return self._owed[0].at_us
        dues = [self._router.due_us() if self._router else None, self._escalations.due_us(), self._shelf.due_us()]
        return min((due for due in dues if due is not None), default=None)

    def ask(self, asked: SilenceEnvelope, now_us: int) -> list[StoreChange]:
        """A person sets a silence or ends one; refused like any click."""
        refusal, law = "", 0
        rows: list[StoreChange] = []
        try:
            if asked.matchers:
                matchers = tuple(parse_matcher(text) for text in asked.matchers)
                rows = self.silence(Silence(asked.name, matchers, asked.at_us, asked.ends_us, asked.who, asked.why),
                                    now_us)
            else:
                rows = self.end_silence(asked.name, asked.who, now_us)
        except LawRefusal as error:
            refusal, law = str(error), error.law
        except ValueError as error:
            refusal = str(error)
        return [*rows, OutcomeRow(self._path, asked.request, "", ActionOutcome(not refusal, refusal, law))]

    def shelve(
        self, asked: ShelfEnvelope, now_us: int, incident_of: Callable[[str], str], standing: AlarmTransition | None
    ) -> list[StoreChange]:
        """A person puts an alarm on the shelf or takes it off; refused like any click."""
        refusal, law = "", 0
        rows: list[StoreChange] = []
        try:
            if asked.kind:
                if asked.kind not in list(ShelfKind):
                    raise ValueError(f"{asked.kind!r} is none of {', '.join(ShelfKind)}")
                entry = Shelved(asked.alarm, ShelfKind(asked.kind), asked.who, asked.why, asked.at_us, asked.until_us)
                self._shelf.put(entry, standing)
                rows.append(self._shelf_row(entry))
                rows += self.alarm(standing, now_us, incident_of, isolated=False) if standing is not None else []
                what, detail = asked.kind, f"{asked.alarm} until {_time(asked.until_us)}: {asked.why}"
            else:
                entry, waiting = self._shelf.end(asked.alarm)
                rows.append(self._shelf_row(entry, shown=False))
                rows += self.alarm(waiting, now_us, incident_of, isolated=False) if waiting is not None else []
                what, detail = "shelf_ended", f"{entry.kind.value} {asked.alarm} {asked.why}".strip()
            rows.append(AuditRow(self._path, asked.at_us, what, asked.who, incident_of(asked.alarm), detail[:500]))
        except LawRefusal as error:
            refusal, law = str(error), error.law
        except ValueError as error:
            refusal = str(error)
        return [*rows, OutcomeRow(self._path, asked.request, "", ActionOutcome(not refusal, refusal, law))]

    def inspect(self, asked: DeedEnvelope, deed: InspectionDeed, book: InspectionBook) -> list[StoreChange]:
        """A person raises, fills or judges an inspection; refused like any click."""
        refusal = ""
        rows: list[StoreChange] = []
        try:
            rows = self.inspections([book.do(deed, who=asked.who, request=asked.request, at_us=asked.at_us)])
        except ValueError as error:
            refusal = str(error)
        return [*rows, OutcomeRow(self._path, asked.request, "", ActionOutcome(not refusal, refusal))]

    def inspections(self, steps: Iterable[InspectionStep]) -> list[StoreChange]:
        """Rows of inspections, and a word to whom they concern."""
        rows: list[StoreChange] = []
        for step in steps:
            rows.append(InspectionRow(InspectionView(self._site.tenancy, step.inspection)))
            rows.append(AuditRow(self._path, step.at_us, step.what, step.who, "", step.detail))
            name = row_id(self._path, step.inspection.id, step.what, str(step.at_us))
            data = {"what": step.what, "who": step.who, "inspection": msgspec.to_builtins(step.inspection)}
            rows += self._rows(name, "inspection", "", step.at_us, data,
                               self._endpoints_of_people((step.told,), step.at_us), urgent=False)
        return rows

    def shown(self, view: IncidentView) -> IncidentView:
        """The incident with the shelf's word on its alarms."""
        kinds = [self._shelf.kind_of(f"{alarm.rule}|{alarm.subject}") for alarm in view.alarms]
        if not any(kinds):
            return view
        return msgspec.structs.replace(view, alarms=tuple(
            msgspec.structs.replace(alarm, shelf=kind) for alarm, kind in zip(view.alarms, kinds, strict=True)))

    def silence(self, silence: Silence, now_us: int) -> list[StoreChange]:
        """Take a silence in. Raises ValueError, LawRefusal."""
        if self._router is None:
            raise ValueError("there is no routing file here, so that nothing is sent")
        self._router.silence(silence, now_us)
        what = " ".join(str(matcher) for matcher in silence.matchers)
        detail = f"{silence.id} {what} until {_time(silence.ends_us)}: {silence.why}"[:500]
        return [self._silence_row(silence), AuditRow(self._path, now_us, "silence", silence.who, "", detail)]

    def end_silence(self, name: str, who: str, now_us: int) -> list[StoreChange]:
        """Somebody ends one early. Raises ValueError where there is none."""
        ended = self._router.end_silence(name, who, now_us) if self._router else None
        if ended is None:
            raise ValueError(f"there is no silence {name!r}")
        return [self._silence_row(msgspec.structs.replace(ended, ended_by=who)),
                AuditRow(self._path, now_us, "silence_ended", who, "", name)]

    def _silence_row(self, silence: Silence) -> SilenceRow:
        return SilenceRow(SilenceView(
            self._site.tenancy, silence.id, tuple(str(matcher) for matcher in silence.matchers), silence.starts_us,
            silence.ends_us, silence.who, silence.why, silence.ended_by))

    def _shelf_row(self, entry: Shelved, *, shown: bool = True) -> ShelfRow:
        return ShelfRow(ShelfView(self._site.tenancy, entry.alarm, entry.kind.value, entry.since_us, entry.until_us,
                                  entry.who, entry.why), shown)

    def rota(self, asked: RotaEnvelope) -> list[StoreChange]:
        """A person changes who is on duty; refused like any click. Whoever comes and whoever leaves is told."""
        refusal = ""
        rows: list[StoreChange] = []
        what = "swap" if asked.leaving else "take_over"
        try:
            if self._duty is None:
                raise ValueError("no duty file is named in cloud.yaml")
            if asked.leaving:
                self._duty.swap(Swap(asked.rota, asked.day, asked.shift, asked.leaving, asked.coming, asked.who,
                                     asked.why, asked.at_us))
            else:
                self._duty.take_over(asked.rota, asked.coming, asked.at_us, asked.why)
        except ValueError as error:
            refusal = str(error)
        else:
            rows = self._rota_rows(asked, what, self._duty.plan)
        return [*rows, OutcomeRow(self._path, asked.request, "", ActionOutcome(not refusal, refusal))]

    def _rota_rows(self, asked: RotaEnvelope, what: str, plan: DutyPlan) -> list[StoreChange]:
        both = (asked.leaving, asked.coming)
        named = {person: plan.people[person].name for person in both if person in plan.people}
        detail = f"{asked.rota} {asked.day} {asked.shift}: {asked.leaving} → {asked.coming}: {asked.why}"
        data = {"what": what, "rota": asked.rota, "rota_title": msgspec.to_builtins(plan.rotas[asked.rota].title),
                "day": asked.day, "shift": asked.shift, "leaving": named.get(asked.leaving, ""),
                "coming": named.get(asked.coming, ""), "why": asked.why, "who": asked.who}
        told = self._endpoints_of_named(tuple(named)) if what == "swap" else []
        name = row_id(self._path, "rota", asked.request)
        return [AuditRow(self._path, asked.at_us, f"duty_{what}", asked.who, "", detail[:500]),
                *self._rows(name, "rota", "", asked.at_us, data, told, urgent=False)]

    # --- rows ---------------------------------------------------------------------------------------------

    def _said(
        self, said: Iterable[Notification], now_us: int, incident_of: Callable[[str], str]
    ) -> list[StoreChange]:
        rows: list[StoreChange] = []
        for one in said:
            first = one.alarms[0].labels.get("alarm", "") if one.alarms else ""
            data = {**msgspec.to_builtins(one), "state": one.state, "incident": incident_of(first),
                    **self._where(one)}
            rows += self._rows(one.id, "notification", str(data["incident"]), one.at_us, data,
                               self._endpoints_of(one.receiver, now_us), urgent=one.life_safety)
        return rows

    def _where(self, one: Notification) -> dict[str, Any]:
        """Places by name, for those who do not know ids by heart."""
        places = {}
        for alarm in one.alarms[:PLACES_MAX]:
            zone = self._site.zone(alarm.labels.get("zone", ""))
            if zone is not None:
                places[zone.id] = msgspec.to_builtins(zone.name)
        return {"site_name": msgspec.to_builtins(self._site.name),
                "address": msgspec.to_builtins(self._site.address), "places": places}

    def _incident_rows(self, change: IncidentChange, view: IncidentView) -> list[StoreChange]:
        if self._plan is None or not (change.notify or change.what in TOLD_TO_ALL):
            return []
        receivers: list[str] = []
        people: tuple[str, ...] = ()
        if change.what in TOLD_TO_ALL and view.hazard in LIFE_SAFETY:
            receivers += [name for name in self._plan.life_safety
                          if not (view.audience and self._plan.receivers[name].party is Party.BRIGADE)]
        elif change.what == "stage" and view.handling is not None and view.handling.stage in PARTY_OF:
            party = PARTY_OF[view.handling.stage]
            receivers += [name for name, receiver in self._plan.receivers.items() if receiver.party is party]
        elif change.what.startswith("task") and view.handling is not None:
            named = change.detail.partition(" ")[0]
            people = tuple(task.person for task in view.handling.tasks if task.id == named)
        endpoints = [e for name in receivers for e in self._endpoints_of(name, change.at_us)]
        endpoints += self._endpoints_of_people(people, change.at_us)
        name = row_id(self._path, change.incident, change.what, str(change.at_us), change.detail)
        data = {"what": change.what, "who": change.who, "detail": change.detail, **_summary(view)}
        return self._rows(name, "incident", change.incident, change.at_us, data, endpoints,
                          urgent=view.hazard in LIFE_SAFETY)

    def _escalate(self, change: IncidentChange, view: IncidentView, now_us: int) -> list[StoreChange]:
        """Follow up what nobody answers."""
        policy = POLICY_OF[view.handling.stage] if view.handling else ""
        at_us = min(change.at_us, now_us)
        calls: tuple[Call, ...] = ()
        if change.what in ENDS:
            self._escalations.stop(change.incident, at_us, change.what)
        elif change.what in ANSWERS and change.who:
            self._escalations.acknowledge(change.incident, change.who, at_us)
        elif change.what == "stage" and policy in self._policies:
            calls = self._escalations.restart(change.incident, policy, at_us)
        elif change.what in BEGINS and policy in self._policies:
            begin = self._escalations.start if change.what == "opened" else self._escalations.restart
            calls = begin(change.incident, policy, at_us)
        return self._called(calls, lambda _: view)

    def _called(self, calls: Iterable[Call], view_of: ViewOf) -> list[StoreChange]:
        rows: list[StoreChange] = []
        for call in calls:
            view = view_of(call.matter)
            people = (*call.target.people, *call.target.rotas)
            endpoints = self._endpoints_of_people(people, call.at_us)
            endpoints += [e for name in call.target.receivers for e in self._endpoints_of(name, call.at_us)]
            told = self._on_duty(people, call.at_us)
            data = {"policy": call.policy, "step": call.step, "round": call.round, "reminder": call.reminder,
                    "people": told, **(_summary(view) if view else {})}
            rows += self._rows(call.id, "call", call.matter, call.at_us, data, endpoints, urgent=True)
            rows.append(AuditRow(self._path, call.at_us, "called", "", call.matter,
                                 f"{call.policy} step {call.step + 1}, reminder {call.reminder}: {', '.join(told)}"))
        return rows

    def _rows(
        self, name: str, kind: str, incident: str, at_us: int, data: dict[str, Any], endpoints: Iterable[str], *,
        urgent: bool,
    ) -> list[StoreChange]:
        """One row per endpoint, its body a CloudEvent (specversion 1.0, structured JSON)."""
        rows: list[StoreChange] = []
        for endpoint in dict.fromkeys(endpoints):
            row = row_id(self._path, name, endpoint)
            body = msgspec.json.encode({
                "specversion": "1.0", "id": row, "source": f"/tocsin/{self._path}", "type": f"tocsin.{kind}.v1",
                **({"subject": incident} if incident else {}), "time": _time(at_us),
                "datacontenttype": "application/json", "data": data})
            rows.append(NoticeRow(row, self._path, endpoint, incident, kind, at_us, urgent, body))
        return rows

    # --- who ----------------------------------------------------------------------------------------------

    def _endpoints_of(self, receiver: str, at_us: int) -> list[str]:
        known = self._plan.receivers.get(receiver) if self._plan else None
        if known is None:
            return []
        return [*known.endpoints, *(self._endpoints_of_people((known.rota,), at_us) if known.rota else [])]

    def _on_duty(self, names: Iterable[str], at_us: int) -> list[str]:
        """People, rotas replaced by who is on duty then."""
        people: list[str] = []
        for name in names:
            if self._duty is not None and name in self._duty.plan.rotas:
                people += self._duty.on_duty(name, at_us).people
            else:
                people.append(name)
        return list(dict.fromkeys(people))

    def _endpoints_of_people(self, names: Iterable[str], at_us: int) -> list[str]:
        if self._duty is None:
            return []
        plan = self._duty.plan
        return [endpoint for person in self._on_duty(names, at_us) if person in plan.people
                for endpoint in plan.people[person].endpoints]

    def _endpoints_of_named(self, people: tuple[str, ...]) -> list[str]:
        """Those of just these people, on duty or not."""
        plan = self._duty.plan if self._duty is not None else None
        return [endpoint for person in people if plan is not None and person in plan.people
                for endpoint in plan.people[person].endpoints]

    # --- keeping ------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        """Everything, as JSON."""
        return msgspec.json.encode(NoticeState(
            msgspec.Raw(self._router.checkpoint()) if self._router else msgspec.Raw(b"null"),
            msgspec.Raw(self._escalations.checkpoint()),
            msgspec.Raw(self._duty.checkpoint()) if self._duty else msgspec.Raw(b"null"), self._routed.routed,
            self._shelf.state))

    def resume(self, checkpoint: bytes, now_us: int) -> None:
        """From a checkpoint, also from one without. What a changed routing file would say at once is said by `tick`.
        ValueError where it does not fit."""
        if checkpoint in (b"", b"null"):
            return
        state = _decoder.decode(checkpoint)
        self._routed = RoutedSite(state.routed)
        self._shelf.state = state.shelf
        if self._router is not None and bytes(state.router) != b"null":
            self._owed = self._router.resume(bytes(state.router), now_us)
        if bytes(state.escalations) != b"null":
            self._escalations.resume(bytes(state.escalations))
        if self._duty is not None and bytes(state.duty) != b"null":
            self._duty.resume(bytes(state.duty))


def _summary(view: IncidentView) -> dict[str, Any]:
    """What every message about an incident says of it."""
    place = [part for part in (view.building, view.floor, view.zone_name) if part.en or part.zh]
    return {
        "incident": view.id, "site": view.tenancy.path, "site_name": msgspec.to_builtins(view.site_name),
        "hazard": view.hazard.value, "severity": view.severity.value, "state": view.state.value,
        "verification": view.verification.value, "verified": view.verification.value != "none",
        "in_dispatch_queue": view.in_dispatch_queue, "zone": view.zone,
        "place": {"en": ", ".join(p.en for p in place), "zh": "".join(p.zh for p in place)},
        "address": msgspec.to_builtins(view.address), "position": msgspec.to_builtins(view.position),
        "opened": _time(view.opened_us), "audience": view.audience,
        "stage": view.handling.stage.value if view.handling else "",
    }


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
