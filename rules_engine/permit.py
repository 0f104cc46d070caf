"""PermitBook: the life of permits for hot work, after GB 30871-2022; pure.

    PermitStep, who, now ──► apply ──► Permit as it stands now      (or PermitRefusal, in both languages)
    time ──────────────────► tick  ──► permits whose time is over   (work goes to its fire watch, the rest expires)

Work is never started, and never goes on after a long break, without a gas sample that is young enough and below the
limit of the gas that is there. Who works neither watches nor approves. What the standard leaves open stands in the
site's `PermitPolicy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo

import msgspec

from device_model.clock import DAY_US, SECOND_US
from device_model.permit import (
    PERMIT_ENDED,
    GasSample,
    Permit,
    PermitAct,
    PermitLevel,
    PermitPlan,
    PermitPolicy,
    PermitSign,
    PermitState,
    PermitStep,
)
from device_model.site import Site, Text
from rules_engine.permit_hours import PermitHours

# All of them stand in the gateway's checkpoint, so few that are over are kept; the records of what was done to each
# went up with the commands. A plant works on some twenty at a time.
OPEN_MAX = 50
ENDED_KEPT = 10
STORY_MAX = 60
SAMPLES_MAX = 20
TEXT_MAX = 500
STEP_BYTES_MAX = 4096  # an act with all its names; permits stand in the checkpoint
AHEAD_US = 31 * DAY_US  # nobody plans hot work further ahead
_S, _A = PermitState, PermitAct
_OPEN = (_S.READY, _S.WORKING, _S.SUSPENDED)
# What may be done in which state.
ALLOWED: dict[PermitAct, tuple[PermitState, ...]] = {
    _A.APPROVE: (_S.DRAFT,), _A.COUNTERSIGN: (_S.APPROVED,),
    _A.SAMPLE: (_S.DRAFT, _S.APPROVED, *_OPEN),
    _A.WATCHER_ON: (_S.APPROVED, *_OPEN, _S.FIRE_WATCH), _A.WATCHER_OFF: (_S.APPROVED, *_OPEN, _S.FIRE_WATCH),
    _A.START: (_S.READY,), _A.SUSPEND: (_S.WORKING,), _A.RESUME: (_S.SUSPENDED,),
    _A.FINISH: (_S.WORKING, _S.SUSPENDED), _A.CLOSE: (_S.FIRE_WATCH,),
    _A.CANCEL: (_S.DRAFT, _S.APPROVED, _S.READY),
}


class PermitRefusal(ValueError):
    """An act that is not allowed, and why, in both languages."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(f"{en} · {zh}")
        self.text = Text(en, zh)


def _refuse(en: str, zh: str) -> PermitRefusal:
    return PermitRefusal(en, zh)


def sample_fault(permit: Permit, policy: PermitPolicy, now_us: int) -> Text | None:
    """What is wrong with the gas analysis for work that begins now; None where it is good."""
    if not permit.samples:
        return Text("no gas sample has been taken", "未做气体分析")
    last = permit.samples[-1]
    age_us = now_us - last.at_us
    if age_us > policy.sample_valid_s * SECOND_US:
        minutes = age_us // (60 * SECOND_US)
        return Text(f"the gas sample is {minutes} min old: sample again", f"气体分析已过 {minutes} 分钟，须重新分析")
    return over_limit(last, policy)


def over_limit(sample: GasSample, policy: PermitPolicy) -> Text | None:
    """What is wrong with the sample's result. A gas whose LEL is not known is judged by the lower limit."""
    limit = policy.limit_vol(sample.gas)
    limit = min(policy.limit_percent, policy.limit_low_percent) if limit is None else limit
    if 0.0 <= sample.percent_vol <= limit:  # false for what is not a number, too
        return None
    gas = sample.gas or "gas"
    return Text(f"{sample.percent_vol:g} % {gas} is above the limit of {limit:g} %",
                f"{gas} 浓度 {sample.percent_vol:g}%（体积）超过限值 {limit:g}%")


class PermitBook:
    """All permits of one site that are open or lately ended. Not thread-safe; owned by one core."""

    def __init__(self, site: Site, policy: PermitPolicy, zone: tzinfo, continuous: Callable[[str], bool]) -> None:
        """continuous: whether the zone has a gas detector that is read all the time (special permits need one)."""
        self._site, self._policy = site, policy
        self._hours = PermitHours(policy, zone)
        self._continuous = continuous
        self._permits: dict[str, Permit] = {}

    @property
    def policy(self) -> PermitPolicy:
        """The site's numbers."""
        return self._policy

    def permits(self) -> tuple[Permit, ...]:
        """All, in order of creation."""
        return tuple(self._permits.values())

    def resume(self, permits: Iterable[Permit]) -> None:
        """Go on with what a checkpoint held."""
        self._permits = {permit.id: permit for permit in permits}

    # --- time -------------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> tuple[Permit, ...]:
        """What ends by itself: permits whose time is over."""
        changed = []
        for permit in list(self._permits.values()):
            ends = permit.plan.ends_us
            if permit.state in PERMIT_ENDED or permit.state is _S.FIRE_WATCH or now_us < ends:
                continue
            if permit.state in (_S.WORKING, _S.SUSPENDED):
                over = self._into_watch(permit, ends, over_time=permit.state is _S.WORKING)
            else:
                over = msgspec.structs.replace(permit, state=_S.EXPIRED)
            changed.append(self._keep(over, PermitSign(ends, "expired", "")))
        return tuple(changed)

    def due_us(self) -> int | None:
        """When `tick` will next have something to do, µs since 1970."""
        return min((permit.plan.ends_us for permit in self._permits.values()
                    if permit.state not in PERMIT_ENDED and permit.state is not _S.FIRE_WATCH), default=None)

    # --- people -----------------------------------------------------------------------------------------------

    def apply(self, step: PermitStep, who: str, why: str, now_us: int) -> Permit:
        """Do it, or raise PermitRefusal. Applying time first, so that nothing is done on a permit that is over."""
        self.tick(now_us)
        who = who.strip()
        if not who:
            raise _refuse("nobody is named", "未写明人员姓名")
        if max(len(who), len(why), len(step.permit)) > TEXT_MAX or len(msgspec.json.encode(step)) > STEP_BYTES_MAX:
            raise _refuse("a text is too long", "文字过长")
        if step.act is _A.CREATE:
            return self._create(step, who, now_us)
        permit = self._permits.get(step.permit)
        if permit is None:
            raise _refuse(f"there is no permit {step.permit!r}", f"没有作业票“{step.permit}”")
        if permit.state not in ALLOWED[step.act]:
            raise _refuse(f"{step.act.value} is not possible: the permit is {permit.state.value}",
                          f"作业票处于“{STATE_ZH[permit.state]}”，不能{ACT_ZH[step.act]}")
        changed = getattr(self, f"_{step.act.value}")(permit, step, who, now_us)
        return self._keep(changed, PermitSign(now_us, step.act.value, who, why))

    def _create(self, step: PermitStep, who: str, now_us: int) -> Permit:
        plan = step.plan
        if plan is None:
            raise _refuse("a permit needs a plan: zone, level, time, workers, watcher", "缺少作业内容")
        if not step.permit.strip() or step.permit in self._permits:
            raise _refuse(f"the number {step.permit!r} is empty or taken", f"票号“{step.permit}”为空或已存在")
        if sum(known.state not in PERMIT_ENDED for known in self._permits.values()) >= OPEN_MAX:
            raise _refuse("too many permits are open: close those that are done", "未关闭的作业票过多，请先关闭")
        self._check_plan(plan, now_us)
        return self._keep(Permit(step.permit, plan, who), PermitSign(now_us, "create", who))

    def _check_plan(self, plan: PermitPlan, now_us: int) -> None:
        zone = self._site.zone(plan.zone)
        if zone is None:
            raise _refuse(f"there is no zone {plan.zone!r}", f"没有区域“{plan.zone}”")
        if not plan.workers or not all(name.strip() for name in plan.workers) or not plan.watcher.strip():
            raise _refuse("workers and the fire watcher must be named", "须写明作业人和监护人姓名")
        if plan.watcher in plan.workers:
            raise _refuse("who works cannot watch", "作业人不能兼任监护人")
        if not now_us < plan.ends_us or not plan.starts_us < plan.ends_us:
            raise _refuse("the end lies before the start or in the past", "结束时间早于开始时间或已过")
        if abs(plan.starts_us - now_us) > AHEAD_US:
            raise _refuse("the start is more than a month away", "开始时间距今超过一个月")
        longest_s = self._policy.validity_s.get(plan.level.value, 0.0)
        if plan.ends_us - plan.starts_us > longest_s * SECOND_US:
            raise _refuse(f"level {plan.level.value} is valid for at most {longest_s / 3600:g} h",
                          f"{LEVEL_ZH[plan.level]}动火有效期最长 {longest_s / 3600:g} 小时")
        if self._hours.off_hours(plan.starts_us, plan.ends_us) and plan.level is PermitLevel.TWO:
            raise _refuse("at night, on weekends and holidays the level goes up by one: apply for level one",
                          "夜间、节假日动火升一级管理：请按一级申请")
        if plan.level is PermitLevel.SPECIAL and not self._continuous(plan.zone):
            raise _refuse("special hot work needs continuous gas monitoring, and the zone has no gas detector",
                          "特级动火须连续检测气体，该区域没有气体探测器")
        if self._hours.open_to_public(zone, plan.starts_us, plan.ends_us):
            raise _refuse(f"{zone.name.en} is open to the public then: no hot work",
                          f"{zone.name.zh}届时正在营业（人员密集），禁止动火")

    def _approve(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        self._not_of_the_crew(permit, who)
        missing = [name for name in self._policy.measures if name not in permit.plan.measures]
        if missing:
            raise _refuse(f"not confirmed on site: {', '.join(missing)}",
                          "现场措施未确认：" + "、".join(MEASURE_ZH.get(name, name) for name in missing))
        state = _S.APPROVED if permit.plan.level in self._policy.countersign else _S.READY
        return msgspec.structs.replace(permit, state=state, approver=who)

    def _countersign(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        self._not_of_the_crew(permit, who)
        if who == permit.approver:
            raise _refuse("a second person must countersign", "会签须由另一人完成")
        return msgspec.structs.replace(permit, state=_S.READY, countersigner=who)

    @staticmethod
    def _not_of_the_crew(permit: Permit, who: str) -> None:
        if who in (*permit.plan.workers, permit.plan.watcher, permit.applicant):
            raise _refuse("who applies, works or watches cannot approve", "申请人、作业人、监护人不能审批")

    def _sample(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        sample = step.sample
        if sample is None or not 0.0 <= sample.percent_vol <= 100.0:
            raise _refuse("a sample needs its result in % by volume", "须填写气体分析结果（%体积）")
        if not 0 < sample.at_us <= now_us + 60 * SECOND_US:
            raise _refuse("the sample lies in the future", "取样时间晚于当前时间")
        if permit.samples and sample.at_us < permit.samples[-1].at_us:
            raise _refuse("a later sample is already known", "已有更晚的分析记录")
        sample = sample if sample.analyst else msgspec.structs.replace(sample, analyst=who)
        permit = msgspec.structs.replace(permit, samples=(*permit.samples, sample)[-SAMPLES_MAX:])
        if permit.state is _S.WORKING and over_limit(sample, self._policy) is not None:
            return self._suspend(permit, step, who, now_us)  # the work stops with the sample
        return permit

    def _watcher_on(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        if who in permit.plan.workers:
            raise _refuse("who works cannot watch", "作业人不能兼任监护人")
        plan = permit.plan if who == permit.plan.watcher else msgspec.structs.replace(permit.plan, watcher=who)
        return msgspec.structs.replace(permit, watched=True, plan=plan)

    def _watcher_off(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        return msgspec.structs.replace(permit, watched=False)

    def _start(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        if now_us < permit.plan.starts_us:
            raise _refuse("its time has not come", "未到作业开始时间")
        self._fit_to_work(permit, now_us)
        wrong = sample_fault(permit, self._policy, now_us)
        if wrong is not None:
            raise _refuse(wrong.en, wrong.zh)
        return msgspec.structs.replace(permit, state=_S.WORKING, started_us=permit.started_us or now_us)

    def _suspend(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        return msgspec.structs.replace(permit, state=_S.SUSPENDED, suspended_us=now_us)

    def _resume(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        self._fit_to_work(permit, now_us)
        if self.retest_due(permit, now_us):
            wrong = sample_fault(permit, self._policy, now_us)
            if wrong is None and permit.samples[-1].at_us < permit.suspended_us:
                wrong = Text("the sample is from before the break: sample again", "气体分析在中断之前，须重新分析")
            if wrong is not None:
                raise _refuse(f"after so long a break: {wrong.en}", f"中断时间过长：{wrong.zh}")
        elif permit.samples and (bad := over_limit(permit.samples[-1], self._policy)) is not None:
            raise _refuse(bad.en, bad.zh)
        return msgspec.structs.replace(permit, state=_S.WORKING, suspended_us=0)

    def retest_due(self, permit: Permit, now_us: int) -> bool:
        """Whether the break has been so long that work needs a new sample."""
        allowed_s = self._policy.break_retest_s.get(permit.plan.level.value, 0.0)
        return permit.state is _S.SUSPENDED and now_us - permit.suspended_us > allowed_s * SECOND_US

    def _fit_to_work(self, permit: Permit, now_us: int) -> None:
        if not permit.watched:
            raise _refuse("the fire watcher is not on the spot", "监护人未到位")
        zone = self._site.zone(permit.plan.zone)
        if zone is None:
            raise _refuse("its zone is no longer part of the site", "作业区域已不在场所内")
        if self._hours.open_to_public(zone, now_us, now_us + 1):
            raise _refuse(f"{zone.name.en} is open to the public now: no hot work",
                          f"{zone.name.zh}正在营业（人员密集），禁止动火")
        if permit.plan.level is PermitLevel.SPECIAL and not self._continuous(permit.plan.zone):
            raise _refuse("the zone has no gas detector any more", "该区域已没有气体探测器")

    def _finish(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        return self._into_watch(permit, now_us, over_time=False)

    def _into_watch(self, permit: Permit, at_us: int, *, over_time: bool) -> Permit:
        return msgspec.structs.replace(
            permit, state=_S.FIRE_WATCH, finished_us=at_us, suspended_us=0, over_time=over_time,
            fire_watch_until_us=at_us + round(self._policy.fire_watch_s * SECOND_US))

    def _close(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        if now_us < permit.fire_watch_until_us:
            left = -(-(permit.fire_watch_until_us - now_us) // (60 * SECOND_US))
            raise _refuse(f"the fire watch lasts {left} min more", f"动火后监护还须 {left} 分钟")
        return msgspec.structs.replace(permit, state=_S.CLOSED, watched=False)

    def _cancel(self, permit: Permit, step: PermitStep, who: str, now_us: int) -> Permit:
        return msgspec.structs.replace(permit, state=_S.CANCELLED, watched=False)

    # --- keeping ----------------------------------------------------------------------------------------------

    def _keep(self, permit: Permit, sign: PermitSign) -> Permit:
        story: Sequence[PermitSign] = (*permit.story, sign)
        if len(story) > STORY_MAX:  # the beginning says who approved, the end what happened last
            story = (*story[:10], *story[-(STORY_MAX - 10):])
        permit = msgspec.structs.replace(permit, story=tuple(story))
        self._permits[permit.id] = permit
        ended = [known.id for known in self._permits.values() if known.state in PERMIT_ENDED]
        for name in ended[:-ENDED_KEPT]:
            del self._permits[name]
        return permit


STATE_ZH: dict[PermitState, str] = {
    _S.DRAFT: "草稿", _S.APPROVED: "已审批", _S.READY: "可开工", _S.WORKING: "作业中", _S.SUSPENDED: "中断",
    _S.FIRE_WATCH: "动火后监护", _S.CLOSED: "已关闭", _S.CANCELLED: "已取消", _S.EXPIRED: "已过期",
}
ACT_ZH: dict[PermitAct, str] = {
    _A.CREATE: "申请", _A.APPROVE: "审批", _A.COUNTERSIGN: "会签", _A.SAMPLE: "登记气体分析",
    _A.WATCHER_ON: "监护到位", _A.WATCHER_OFF: "监护离开",
    _A.START: "开工", _A.SUSPEND: "中断", _A.RESUME: "复工", _A.FINISH: "完工",
    _A.CLOSE: "关闭", _A.CANCEL: "取消",
}
LEVEL_ZH: dict[PermitLevel, str] = {
    PermitLevel.SPECIAL: "特级", PermitLevel.ONE: "一级", PermitLevel.TWO: "二级"}
MEASURE_ZH: dict[str, str] = {
    "combustibles_cleared": "15 米内可燃物已清除", "drains_covered": "地漏、沟井已封盖", "isolated": "已加盲板或断开",
    "cylinders_apart": "气瓶间距 5 米、距火点 10 米", "extinguishers": "灭火器材已到位",
}
