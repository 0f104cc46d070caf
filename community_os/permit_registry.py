"""Permit registry (pure): the permits of one site, as its gateway tells them and as people ask from afar.

    PermitEnvelope ──► ask, waiting ─Command─► gateway's permit desk ─Result─► applied | refused, why
                          │ one at a time, again until answered              └──PermitRecord──► as it stands
                          └─► row: "not confirmed by the gateway" with its age

The gateway's book is the truth (`rules_engine/permit.py` judges there): nothing is decided here. With the link cut
the site goes on with what it has; what was asked waits, is shown as waiting, and is given up after a day.
"""

from __future__ import annotations

import msgspec

from community_os.envelopes import PermitEnvelope
from community_os.store_changes import AuditRow, OutcomeRow, PermitRow, StoreChange
from device_model.clock import HOUR_US, SECOND_US
from device_model.command import Command, CommandKind, CommandOutcome, CommandResult
from device_model.inventory import Inventory
from device_model.messages import PermitRecord
from device_model.permit import GAS_LEL, PERMIT_ENDED, PERMIT_ON_SITE, Permit, PermitAct
from device_model.permit_views import PermitAsk, PermitView
from device_model.read_models import ActionOutcome
from device_model.site import Text

TELL_EVERY_US = 5 * SECOND_US
TELL_FOR_US = 24 * HOUR_US
# As many as the gateway's own book holds open and ended, and those that wait for it; with rows of a few kB.
KEPT_MAX = 80
ASKS_KEPT = 8
PERMIT_BYTES_MAX = 8 * 1024
WAITING_MAX = 20  # acts of one permit that have not reached its gateway
_DONE = (CommandOutcome.APPLIED, CommandOutcome.ALREADY_APPLIED)


def _cut(permit: Permit) -> Permit:
    """What a gateway says, never larger than the checkpoint can bear: the story's end is kept."""
    if len(msgspec.json.encode(permit)) <= PERMIT_BYTES_MAX:
        return permit
    plan = msgspec.structs.replace(permit.plan, outline=permit.plan.outline[:16], certificates=(),
                                   workers=permit.plan.workers[:10], measures=permit.plan.measures[:10])
    return msgspec.structs.replace(permit, plan=plan, story=permit.story[-4:], samples=permit.samples[-3:])


class PermitTold(msgspec.Struct):
    """One permit: the last word of the gateway, what was asked, and what still has to reach it (oldest first).
    told_us: the gateway's own time of that word, for its order; next_us: when the first command is sent again."""

    permit: Permit
    heard_us: int = 0
    told_us: int = 0
    refused: str = ""
    asks: list[PermitAsk] = []
    waiting: list[Command] = []
    next_us: int = 0


class PermitRegistry:
    """One site's. Owned by its worker."""

    def __init__(self, inventory: Inventory) -> None:
        self._site = inventory.site
        self._path = inventory.site.tenancy.path
        self.told: dict[str, PermitTold] = {}

    # --- what comes up ------------------------------------------------------------------------------------

    def record(self, record: PermitRecord, now_us: int) -> list[StoreChange]:
        """The gateway says how a permit stands. Late and repeated words change nothing."""
        permit = _cut(record.permit)
        known = self.told.get(permit.id)
        if known is not None and record.at_us < known.told_us:
            return []
        if known is None and len(self.told) >= KEPT_MAX + WAITING_MAX:
            return [AuditRow(self._path, record.at_us, "permit not listed", "", "", f"{permit.id}: too many")]
        same = known is not None and known.heard_us > 0 and known.permit == permit
        if known is None:
            known = self.told[permit.id] = PermitTold(permit)
        known.permit, known.heard_us, known.told_us, known.refused = permit, now_us, record.at_us, ""
        rows: list[StoreChange] = [self._row(known)]
        if not same:
            last = permit.story[-1] if permit.story else None
            detail = f"{permit.id} {permit.state.value}" + (f": {last.act} {last.why}".rstrip() if last else "")
            rows.append(AuditRow(self._path, record.at_us, "permit", last.who if last else "", "", detail))
        return rows + self._thin()

    def answered(self, result: CommandResult) -> list[StoreChange]:
        """The gateway took an act, or says why not."""
        known = self.told.get(result.target)
        if known is None or not any(command.id == result.command for command in known.waiting):
            return []
        command = next(command for command in known.waiting if command.id == result.command)
        state = "applied" if result.outcome in _DONE else (
            "expired" if result.outcome is CommandOutcome.EXPIRED else "refused")
        return self._settle(known, command, state, "" if state == "applied" else result.detail)

    # --- people -------------------------------------------------------------------------------------------

    def ask(self, envelope: PermitEnvelope) -> list[StoreChange]:
        """Somebody wants an act: stored, told to the gateway, shown as waiting."""
        step = envelope.step
        known = self.told.get(step.permit)
        refusal = self._objection(envelope, known)
        outcome = OutcomeRow(self._path, envelope.request, "", ActionOutcome(not refusal, refusal))
        if refusal:
            return [outcome, AuditRow(self._path, envelope.at_us, "permit_refused", envelope.who, "",
                                      f"{step.permit} {step.act.value}: {refusal}")]
        if known is None:
            assert step.plan is not None  # _objection: only a create comes without a known permit
            known = self.told[step.permit] = PermitTold(Permit(step.permit, step.plan, envelope.who))
        known.asks = [*known.asks, PermitAsk(step.act.value, envelope.who, envelope.at_us)][-ASKS_KEPT:]
        known.waiting.append(Command(envelope.request, CommandKind.PERMIT, step.permit, envelope.who, envelope.why,
                                     envelope.at_us, envelope.at_us + TELL_FOR_US, permit=step))
        known.next_us = envelope.at_us if len(known.waiting) == 1 else known.next_us
        return [outcome, self._row(known), AuditRow(
            self._path, envelope.at_us, f"permit_{step.act.value}_asked", envelope.who, "",
            f"{step.permit} {envelope.why}".strip())]

    def _objection(self, envelope: PermitEnvelope, known: PermitTold | None) -> str:
        step = envelope.step
        if step.act in PERMIT_ON_SITE:
            return f"{step.act.value} of a permit is done on site only, by whoever is there · 该操作只能在现场进行"
        if step.act is PermitAct.CREATE:
            if known is not None:
                return f"the number {step.permit!r} is taken · 票号已存在"
            if step.plan is None or self._site.zone(step.plan.zone) is None:
                return "a permit needs a plan with a zone of this site · 缺少作业内容或区域"
            waiting = sum(not one.heard_us and not one.refused for one in self.told.values())
            if waiting >= WAITING_MAX or len(self.told) >= KEPT_MAX + WAITING_MAX:
                return "too many permits wait for the gateway · 等待网关确认的作业票过多"
            return ""
        if known is None:
            return f"there is no permit {step.permit!r} · 没有此作业票"
        full = len(known.waiting) >= WAITING_MAX
        return "too many acts wait for the gateway · 等待网关确认的操作过多" if full else ""

    # --- the way down -------------------------------------------------------------------------------------

    def due(self, now_us: int) -> tuple[list[StoreChange], list[Command]]:
        """Commands to send now: of each permit the oldest, so that acts arrive in their order."""
        rows: list[StoreChange] = []
        commands: list[Command] = []
        for known in list(self.told.values()):
            while known.waiting and now_us > known.waiting[0].expires_us:
                rows += self._settle(known, known.waiting[0], "expired", "no answer for a day · 一天内未得到网关答复")
            if known.waiting and now_us >= known.next_us:
                known.next_us = now_us + TELL_EVERY_US
                commands.append(known.waiting[0])
        return rows, commands

    def due_us(self) -> int | None:
        """When `due` will next have something to send."""
        return min((known.next_us for known in self.told.values() if known.waiting), default=None)

    def _settle(self, known: PermitTold, command: Command, state: str, detail: str) -> list[StoreChange]:
        known.waiting = [other for other in known.waiting if other.id != command.id]
        known.next_us = 0
        act = command.permit.act.value if command.permit is not None else ""
        for number, ask in enumerate(known.asks):
            if (ask.act, ask.who, ask.at_us) == (act, command.who, command.issued_us):
                known.asks[number] = msgspec.structs.replace(ask, state=state, detail=detail)
        if act == PermitAct.CREATE.value and state != "applied" and not known.heard_us:
            known.refused = detail or state
        return [self._row(known), *self._thin()]

    def _thin(self) -> list[StoreChange]:
        """Of those that are over only the latest stay here; their rows stay in the store."""
        over = [name for name, known in self.told.items()
                if not known.waiting and (known.refused or known.permit.state in PERMIT_ENDED)]
        for name in over[:max(0, len(self.told) - KEPT_MAX)]:
            del self.told[name]
        return []

    def _row(self, known: PermitTold) -> PermitRow:
        permit, policy = known.permit, self._site.permits
        zone = self._site.zone(permit.plan.zone)
        gas = min(permit.plan.gases or ("",), key=policy.limit_lel)
        vol = policy.limit_vol(gas)
        place = zone.name if zone else Text(permit.plan.zone, permit.plan.zone)
        view = PermitView(
            permit.id, self._site.tenancy, self._site.name, place, permit, known.heard_us,
            tuple(known.asks), known.refused, policy.limit_lel(gas),
            min(policy.limit_percent, policy.limit_low_percent) if vol is None else vol, GAS_LEL.get(gas, 0.0))
        return PermitRow(view, shown=not known.refused and permit.state not in PERMIT_ENDED)
