"""PermitSite: permits as the people on site see and move them, on the local page and by `tocsin permit`. Pure.

    permits, live values, policy ──► LocalPermit: what is missing, what may be done now, gas and cameras beside it
    PermitAsk, live values ────────► PermitStep, which the gateway judges as any other

What may be done is not guessed: each act is tried on a book of its own that is thrown away, so the page says what the
gateway would say. A sample is % by volume; what an instrument shows in %LEL is converted with the LEL of its gas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo

from dashboards.local_permit_view import LocalAct, LocalMeter, LocalPermit, LocalSample, PermitAsk
from device_model.clock import DAY_US, MINUTE_US, SECOND_US
from device_model.inventory import Inventory
from device_model.permit import (
    GAS_LEL,
    PERMIT_ENDED,
    GasSample,
    Permit,
    PermitAct,
    PermitState,
    PermitStep,
)
from device_model.site import Text
from edge_agent.events import Live
from edge_agent.permit_desk import bookkeeper
from rules_engine.permit import ALLOWED, PermitRefusal, over_limit, sample_fault

ENDED_SHOWN_US = DAY_US
READING_FRESH_US = MINUTE_US  # an older value of a detector is no analysis of the air of now
STORY_SHOWN = 12
GAS = ("combustible_gas", "gas_volume_fraction", "methane")
CAMERA = "hot_work_score"
_A, _S = PermitAct, PermitState
# In the order in which they come; signing is not done at the gateway's door.
ON_SITE = (_A.WATCHER_ON, _A.SAMPLE, _A.START, _A.RESUME, _A.SUSPEND, _A.FINISH, _A.CLOSE, _A.WATCHER_OFF)
ACTS = frozenset(act.value for act in ON_SITE)
_TRIED = frozenset({_A.START, _A.RESUME, _A.CLOSE})


def percent_of(value: float, unit: str, gas: str) -> float:
    """% by volume. unit: vol, lel, or a detector's unit. Raises ValueError where it cannot be known."""
    if unit in ("vol", "%"):
        return value
    if unit in ("lel", "%[LEL]"):
        if gas not in GAS_LEL:
            raise ValueError("name the gas: %LEL of an unknown gas is no % by volume · "
                             "请选择气体：未知气体的 %LEL 无法换算为体积百分比")
        return value * GAS_LEL[gas] / 100.0
    if unit == "[ppm]":
        return value * 1e-4
    raise ValueError(f"{unit!r} is no unit of a gas sample: vol or lel · 单位应为 %（体积）或 %LEL")


class PermitSite:
    """What one site file says of permits."""

    def __init__(self, inventory: Inventory, zone: tzinfo) -> None:
        self._inventory, self._zone = inventory, zone

    # -- what is shown -----------------------------------------------------------------------------------------

    def views(
        self, permits: Iterable[Permit], live: Iterable[Live], said: Mapping[str, tuple[Text, ...]], now_us: int,
    ) -> tuple[LocalPermit, ...]:
        """Open permits and those of the last day, the ones at work first. said: zone → titles of open alarms about
        hot work there."""
        values = {one.point: one for one in live}
        shown = [permit for permit in permits if permit.state not in PERMIT_ENDED
                 or not permit.story or now_us - permit.story[-1].at_us < ENDED_SHOWN_US]
        order = {_S.WORKING: 0, _S.FIRE_WATCH: 1, _S.SUSPENDED: 2, _S.READY: 3, _S.APPROVED: 4, _S.DRAFT: 5}
        shown.sort(key=lambda permit: (order.get(permit.state, 9), permit.plan.starts_us))
        return tuple(self._view(permit, values, said.get(permit.plan.zone, ()), now_us) for permit in shown)

    def _view(self, permit: Permit, values: Mapping[str, Live], said: tuple[Text, ...], now_us: int) -> LocalPermit:
        policy, plan = self._inventory.site.permits, permit.plan
        zone = self._inventory.site.zone(plan.zone)
        gases = plan.gases or ("",)
        limits = [policy.limit_vol(gas) for gas in gases]
        least = min(policy.limit_percent, policy.limit_low_percent)
        limit_vol = min(least if limit is None else limit for limit in limits)
        limit_lel = min(policy.limit_lel(gas) for gas in gases)
        acts = tuple(self._act(permit, act, now_us) for act in ON_SITE if permit.state in ALLOWED[act]
                     and (act is not _A.WATCHER_ON or not permit.watched)
                     and (act is not _A.WATCHER_OFF or permit.watched))
        meters = self._meters(permit, values, limit_vol, limit_lel)
        return LocalPermit(
            permit.id, permit.state.value, plan.level.value,
            zone.name if zone is not None else Text(plan.zone, plan.zone), plan.spot, plan.work, plan.workers,
            plan.watcher, permit.watched, (permit.applicant, permit.approver, permit.countersigner),
            plan.starts_us, plan.ends_us, permit.fire_watch_until_us, permit.suspended_us,
            limit_vol, limit_lel, {gas: GAS_LEL[gas] for gas in plan.gases if gas in GAS_LEL} or dict(GAS_LEL),
            self._sample(permit, now_us), self._missing(permit, acts, meters, now_us), acts, meters, said,
            tuple((sign.at_us, sign.act, sign.who) for sign in permit.story[-STORY_SHOWN:]))

    def _sample(self, permit: Permit, now_us: int) -> LocalSample | None:
        if not permit.samples:
            return None
        last, policy = permit.samples[-1], self._inventory.site.permits
        lel = GAS_LEL.get(last.gas)
        return LocalSample(
            last.percent_vol, None if lel is None else 100.0 * last.percent_vol / lel, last.gas, last.analyst,
            last.where, last.at_us, last.at_us + round(policy.sample_valid_s * SECOND_US),
            over_limit(last, policy) or Text("", ""))

    def _act(self, permit: Permit, act: PermitAct, now_us: int) -> LocalAct:
        if act not in _TRIED:
            return LocalAct(act.value)
        book = bookkeeper(self._inventory, self._zone)
        book.resume((permit,))
        try:
            book.apply(PermitStep(permit.id, act), permit.plan.watcher, "", now_us)
        except PermitRefusal as refusal:
            return LocalAct(act.value, refusal.text)
        return LocalAct(act.value)

    def _missing(
        self, permit: Permit, acts: tuple[LocalAct, ...], meters: tuple[LocalMeter, ...], now_us: int,
    ) -> tuple[Text, ...]:
        policy, missing = self._inventory.site.permits, list[Text]()
        if permit.state is _S.DRAFT:
            missing.append(Text("It is not approved yet: by somebody who neither applies, works nor watches.",
                                "尚未审批：须由申请人、作业人、监护人以外的人员审批。"))
        if permit.state is _S.APPROVED:
            missing.append(Text("A second person must countersign it.", "尚缺另一人会签。"))
        if permit.state in (_S.APPROVED, _S.READY, _S.SUSPENDED) and now_us < permit.plan.starts_us:
            missing.append(Text("Its time has not come.", "未到作业开始时间。"))
        if permit.state in (_S.APPROVED, _S.READY, _S.WORKING, _S.SUSPENDED, _S.FIRE_WATCH) and not permit.watched:
            missing.append(Text("The fire watcher is not on the spot.", "监护人未到位。"))
        if permit.state in (_S.APPROVED, _S.READY):
            wrong = sample_fault(permit, policy, now_us)
            missing += [_sentence(wrong)] if wrong is not None else []
        if any(meter.kind == "gas" and meter.high for meter in meters):
            missing.append(Text("A gas detector here shows more than the limit: no hot work.",
                                "此处气体探测器读数超过限值：禁止动火。"))
        known = " ".join(one.en.casefold() for one in missing)
        for act in acts:  # what else the gateway would say
            if act.why_not.en and act.why_not.en.casefold() not in known:
                missing.append(_sentence(act.why_not))
        return tuple(missing)

    def _meters(
        self, permit: Permit, values: Mapping[str, Live], limit_vol: float, limit_lel: float,
    ) -> tuple[LocalMeter, ...]:
        meters = []
        for point in self._inventory.in_zone(permit.plan.zone):
            if point.quantity not in (*GAS, CAMERA):
                continue
            name = f"{point.device.id}.{point.spec.id}"
            found = values.get(name)
            value = found.value if found is not None else None
            quality = found.quality if found is not None else "never heard"
            place = point.device.place if point.device.place.en else Text(point.device.id, point.device.id)
            meters.append(LocalMeter(
                name, "camera" if point.quantity == CAMERA else "gas", place, Text(point.spec.en, point.spec.zh),
                point.unit, value, "never" if quality == "never heard" else quality,
                found.at.wall_us if found is not None and found.at is not None else 0,
                point.quantity != CAMERA and _high(value, point.unit, limit_vol, limit_lel)))
        return tuple(meters)

    # -- what is asked -----------------------------------------------------------------------------------------

    def step(self, asked: PermitAsk, permits: Iterable[Permit], live: Iterable[Live], who: str, now_us: int
             ) -> PermitStep:
        """The act as a command carries it. Raises ValueError with the reason, in both languages."""
        if asked.act not in ACTS:
            raise ValueError("this is not done at the gateway · 此项不在网关办理")
        act = PermitAct(asked.act)
        if act is not _A.SAMPLE:
            return PermitStep(asked.permit, act)
        if asked.point:
            permit = next((one for one in permits if one.id == asked.permit), None)
            return PermitStep(asked.permit, act, sample=self._from_point(asked, permit, live, who, now_us))
        if asked.value is None or not 0.0 <= asked.minutes_ago <= 24 * 60:
            raise ValueError("a sample needs its result and when it was taken · 须填写分析结果和取样时间")
        percent = percent_of(asked.value, asked.unit, asked.gas)
        at_us = now_us - round(asked.minutes_ago * MINUTE_US)
        return PermitStep(asked.permit, act, sample=GasSample(at_us, percent, who, asked.gas, asked.where))

    def _from_point(
        self, asked: PermitAsk, permit: Permit | None, live: Iterable[Live], who: str, now_us: int,
    ) -> GasSample:
        point = self._inventory.points.get(asked.point)
        if permit is None or point is None or point.quantity not in GAS or point.device.zone != permit.plan.zone:
            raise ValueError("this point measures no gas where the work is · 该测点不在作业区域或不是气体测点")
        found = next((one for one in live if one.point == asked.point), None)
        value = found.value if found is not None else None
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if found is None or found.at is None or found.quality != "good" or value is None or not number:
            raise ValueError("the detector gives no good value now: measure by hand · "
                             "探测器当前无有效读数，请人工检测")
        if now_us - found.at.wall_us > READING_FRESH_US:
            raise ValueError("the detector's value is older than a minute: measure by hand · "
                             "探测器读数已超过 1 分钟，请人工检测")
        plan = permit.plan.gases
        gas = "methane" if point.quantity == "methane" else asked.gas or (plan[0] if len(plan) == 1 else "")
        return GasSample(found.at.wall_us, percent_of(float(value), point.unit, gas), who, gas, asked.point)


def _high(value: object, unit: str, limit_vol: float, limit_lel: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if unit == "%[LEL]":
        return value > limit_lel
    return (value * 1e-4 if unit == "[ppm]" else value) > limit_vol


def _sentence(text: Text) -> Text:
    return Text(text.en[:1].upper() + text.en[1:] + ".", text.zh.rstrip("。") + "。")
