"""Verdict: expected against seen. Pure: a Witness and a scenario in, a value for machines and people out.

    expectations ─► one Check each: what was wanted, what was seen, delay, ok
    alarms that nobody expected or allowed ─► unexpected
    programs' own mistakes, records that never arrived ─► checks of kind "sound"
"""

from __future__ import annotations

from typing import Any

import msgspec

from device_model.alarm import LIFE_SAFETY, Hazard, Severity
from firmware_sim.expectations import (
    AlarmClass,
    ExpectedAlarm,
    ExpectedFire,
    ExpectedIncident,
    ExpectedLack,
    ExpectedOutput,
    ExpectedQuantity,
    ExpectedReading,
    NoAlarm,
)
from firmware_sim.scenario import Scenario
from trial.setup import TrialSetup, duration_s, moments_of
from trial.witness import Entry, SeenAlarm, Witness

_CLASSES: dict[AlarmClass, frozenset[Hazard]] = {
    AlarmClass.FIRE: frozenset({Hazard.FIRE, Hazard.CALL_POINT}),
    AlarmClass.GAS: frozenset({Hazard.GAS, Hazard.GAS_HIGH, Hazard.CO}),
    AlarmClass.LIFE: LIFE_SAFETY,
    AlarmClass.ANY: frozenset(Hazard) - {Hazard.PROOF},
}


class Check(msgspec.Struct, frozen=True):
    """One expectation judged. want: the expectation as written; seen: in words; delay_s: after its moment."""

    kind: str
    want: dict[str, Any]
    seen: str
    ok: bool
    delay_s: float | None = None
    at_s: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """The outcome of one run, as `--json` prints it."""

    scenario: str
    seed: int
    verdict: str
    expected: tuple[Check, ...]
    unexpected: tuple[SeenAlarm, ...]
    timeline: tuple[Entry, ...]
    duration_s: float
    wall_s: float
    digest: str
    without: tuple[str, ...] = ()
    hashes: dict[str, Any] = {}
    versions: dict[str, str] = {}

    @property
    def passed(self) -> bool:
        """Whether the scenario came out as it must."""
        return self.verdict == "pass"


def judge(setup: TrialSetup, witness: Witness, *, seed: int) -> Verdict:
    """Hold what was seen against what was expected. wall_s is the caller's to fill in."""
    outputs = {f"{output.device}.{output.point}": output.id for output in setup.site.outputs}
    judge_of = _Judge(setup.scenario, witness, outputs)
    checks = judge_of.checks()
    unexpected = judge_of.unexpected()
    passed = all(check.ok for check in checks) and not unexpected
    return Verdict(
        setup.scenario.scenario, seed, "pass" if passed else "fail", tuple(checks), unexpected,
        tuple(witness.timeline), duration_s(setup.scenario), 0.0, witness.digest(), setup.without,
        msgspec.to_builtins(setup.hashes))


class _Judge:
    def __init__(self, scenario: Scenario, witness: Witness, outputs: dict[str, str]) -> None:
        """outputs: "device.point" that is driven → output id."""
        self._expect, self._seen, self._outputs = scenario.expect, witness, outputs
        self._moments = moments_of(scenario)
        self._end_s = duration_s(scenario)

    def checks(self) -> list[Check]:
        expect = self._expect
        checks = [self._fire(wish) for wish in expect.fires]
        checks += [self._alarm(wish, "alarm") for wish in expect.alarms]
        checks += [self._alarm(wish, "fault") for wish in expect.faults]
        checks += [self._incident(wish) for wish in expect.incidents]
        checks += [self._output(wish) for wish in expect.outputs]
        checks += [self._quantity(wish) for wish in expect.world]
        checks += [self._lack(wish) for wish in expect.impairments]
        checks += [self._silent(device) for device in expect.silent_devices]
        checks += [self._reading(wish) for wish in expect.readings]
        checks += [self._none(wish) for wish in expect.no_alarms]
        checks.append(self._sound())
        return checks

    def _from_s(self, of: str, after_s: float) -> float:
        return self._moments.get(of, 0.0) + after_s

    # -- alarms ------------------------------------------------------------------------------------------------

    def _matching(self, rule: str, zone: str, device: str) -> list[SeenAlarm]:
        return [alarm for alarm in self._seen.alarms.values()
                if rule in ("", alarm.rule) and zone in ("", alarm.zone) and device in ("", alarm.device)]

    def _alarm(self, wish: ExpectedAlarm, kind: str) -> Check:
        from_s = self._from_s(wish.of, wish.after_s)
        matching = self._matching(wish.rule, wish.zone, wish.device)
        for alarm in matching:  # what came before its time stays unexpected
            alarm.expected = alarm.expected or alarm.raised_s >= from_s - 1e-6
        strong = [alarm for alarm in matching if wish.severity is None or alarm.severity.rank >= wish.severity.rank]
        timely = sorted((alarm for alarm in strong if from_s - 1e-6 <= alarm.raised_s <= from_s + wish.within_s),
                        key=lambda alarm: alarm.raised_s)
        if len(timely) < wish.count:
            early = [alarm for alarm in strong if alarm.raised_s < from_s]
            late = [alarm for alarm in strong if alarm.raised_s > from_s + wish.within_s]
            weak = [alarm for alarm in matching if alarm not in strong]
            why = (f"{len(timely)} of {wish.count} in time" if timely else
                   f"too early, at {early[0].raised_s:g} s" if early else
                   f"too late, at {late[0].raised_s:g} s" if late else
                   f"only of severity {weak[0].severity.value}" if weak else "never raised")
            nearest = next(iter(early or late or weak or timely), None)
            return Check(kind, written(wish), why, ok=False,
                         delay_s=None if nearest is None else round(nearest.raised_s - from_s, 3),
                         at_s=None if nearest is None else nearest.raised_s)
        last = timely[wish.count - 1]
        text = ", ".join(f"{alarm.subject} at {alarm.raised_s:g} s" for alarm in timely[:4])
        ok = not wish.at_most or len(matching) <= wish.at_most
        text += "" if ok else f"; {len(matching)} in all, at most {wish.at_most} were asked for"
        if wish.cleared_within_s:
            over = [alarm for alarm in timely
                    if alarm.cleared_s is not None and alarm.cleared_s - alarm.raised_s <= wish.cleared_within_s]
            ok = ok and len(over) >= wish.count
            text += f"; cleared at {over[0].cleared_s:g} s" if over else "; not cleared in time"
        return Check(kind, written(wish), text, ok, round(last.raised_s - from_s, 3), last.raised_s)

    def _fire(self, wish: ExpectedFire) -> Check:
        onset_s = self._seen.fires.get(wish.id, wish.onset_s)
        found = sorted((alarm for alarm in self._seen.alarms.values()
                        if alarm.device in wish.devices and alarm.hazard in LIFE_SAFETY), key=lambda a: a.raised_s)
        for alarm in found:
            alarm.expected = alarm.expected or alarm.raised_s >= wish.onset_s
        ids = {incident.id for incident in self._seen.incidents.values() if incident.hazard in LIFE_SAFETY
               and any(alarm.zone in incident.zones for alarm in found)}
        ok = bool(found) and wish.onset_s <= found[0].raised_s <= wish.onset_s + wish.within_s and len(ids) == 1
        if not found:
            return Check("fire", written(wish), "no alarm", ok=False)
        text = f"{found[0].subject} at {found[0].raised_s:g} s, {len(ids)} incident(s), onset at {onset_s:g} s"
        return Check("fire", written(wish), text, ok, round(found[0].raised_s - wish.onset_s, 3), found[0].raised_s)

    def _none(self, wish: NoAlarm) -> Check:
        to_s = wish.to_s or self._end_s
        hazards = _CLASSES[wish.class_] if wish.class_ is not None else None
        wrong = [alarm for alarm in self._matching(wish.rule, wish.zone, wish.device)
                 if wish.from_s <= alarm.raised_s <= to_s and (wish.hazard is None or alarm.hazard is wish.hazard)
                 and (hazards is None or alarm.hazard in hazards)]
        text = f"{wrong[0].rule} of {wrong[0].subject} at {wrong[0].raised_s:g} s" if wrong else "none"
        return Check("no_alarm", written(wish), text, not wrong, at_s=wrong[0].raised_s if wrong else None)

    def unexpected(self) -> tuple[SeenAlarm, ...]:
        """Alarms of warning or more that nothing named. Call after `checks`."""
        expect = self._expect
        found = []
        for alarm in self._seen.alarms.values():
            expected = (
                alarm.expected or alarm.severity.rank < Severity.WARNING.rank or alarm.test
                or any(alarm.rule in wish.alarms and wish.zone in ("", alarm.zone)
                       and alarm.raised_s >= self._from_s(wish.of, wish.after_s) - 1e-6 for wish in expect.incidents)
                or (alarm.device in expect.silent_devices and alarm.hazard is Hazard.FAULT)
                or any(allow.rule in ("", alarm.rule) and allow.device in ("", alarm.device)
                       and allow.zone in ("", alarm.zone) for allow in expect.allow))
            if not expected:
                found.append(alarm)
        return tuple(sorted(found, key=lambda alarm: alarm.raised_s))

    # -- what people see ---------------------------------------------------------------------------------------

    def _incident(self, wish: ExpectedIncident) -> Check:
        from_s = self._from_s(wish.of, wish.after_s)
        matching = sorted((incident for incident in self._seen.incidents.values()
                           if incident.hazard is wish.hazard and not incident.drill
                           and wish.zone in ("", incident.zone, *incident.zones)),
                          key=lambda incident: incident.opened_s)
        if not matching:
            return Check("incident", written(wish), "none opened", ok=False)
        first = matching[0]
        limit_s = from_s + wish.within_s
        if wish.audience:
            at_s = next((at for at in first.audiences.get(wish.audience, ()) if from_s - 1e-6 <= at <= limit_s), None)
            text = ", ".join(f"{who} at {at:g} s" for who, times in first.audiences.items() for at in times)
            return Check("incident", written(wish), text, at_s is not None,
                         None if at_s is None else round(at_s - from_s, 3), at_s)
        late = [rule for rule in wish.alarms if not first.rules.get(rule, limit_s + 1) <= limit_s]
        verified = not wish.verified or first.verified.get(wish.verified, limit_s + 1) <= limit_s
        ok = (from_s - 1e-6 <= first.opened_s <= limit_s and not late and verified
              and (wish.count == 0 or len(matching) == wish.count))
        text = f"opened at {first.opened_s:g} s, {len(matching)} in all, {first.state}"
        text += f"; lacks {', '.join(late)}" if late else ""
        text += "" if verified else f"; not verified by {wish.verified}"
        return Check("incident", written(wish), text, ok, round(first.opened_s - from_s, 3), first.opened_s)

    def _lack(self, wish: ExpectedLack) -> Check:
        from_s = self._from_s(wish.of, wish.after_s)
        rows = sorted((row for (kind, subject), rows in self._seen.lacks.items()
                       if kind == wish.kind.value and wish.subject in ("", subject) for row in rows),
                      key=lambda row: row[0] or 0.0)
        row = next((row for row in rows if from_s - 1e-6 <= (row[0] or 0.0) <= from_s + wish.within_s), None)
        if row is None:
            return Check("impairment", written(wish), "never stood" if not rows else f"at {rows[0][0]:g} s", ok=False)
        began_s = row[0] or 0.0
        ended = not wish.ended_within_s or (row[1] is not None and row[1] - began_s <= wish.ended_within_s)
        text = f"from {began_s:g} s" + (f" to {row[1]:g} s" if row[1] is not None else "")
        return Check("impairment", written(wish), text, ended, round(began_s - from_s, 3), began_s)

    def _silent(self, device: str) -> Check:
        rows = self._seen.lacks.get(("silent", device), [])
        text = f"silent from {rows[0][0]:g} s" if rows else "never shown silent"
        return Check("silent_device", {"device": device}, text, bool(rows), at_s=rows[0][0] if rows else None)

    # -- outputs, readings, world ------------------------------------------------------------------------------

    def _output(self, wish: ExpectedOutput) -> Check:
        from_s, samples = self._from_s(wish.of, wish.after_s), self._seen.shown.get(wish.output, [])
        limit_s = from_s + wish.within_s
        before = [value for at_s, value in samples if at_s <= from_s]
        became = next((at_s for at_s, value in samples if from_s < at_s <= limit_s and value == wish.becomes), None)
        if became is None and before and before[-1] == wish.becomes:
            became = from_s
        if wish.never:
            text = "never" if became is None else f"{wish.becomes} at {became:g} s"
            return Check("output", written(wish), text, became is None, at_s=became)
        if became is None:
            text = f"stays {samples[-1][1]}" if samples else "no such output"
            return Check("output", written(wish), text, ok=False)
        text, ok = f"{wish.becomes} at {became:g} s", True
        if wish.proved is not None:
            told = [seen for seen in self._seen.outputs if seen.output == self._outputs.get(wish.output, wish.output)
                    and from_s <= seen.at_s <= limit_s]
            proof = next((seen for seen in told if seen.proof == "proved"), None)
            ok = (proof is not None) == wish.proved
            text += f"; proved at {proof.at_s:g} s" if proof else f"; {told[-1].proof if told else 'unproved'}"
        return Check("output", written(wish), text, ok, round(became - from_s, 3), became)

    def _quantity(self, wish: ExpectedQuantity) -> Check:
        to_s = wish.to_s or self._end_s
        samples = self._seen.quantities.get(wish.quantity, [])
        within = [(at_s, value) for at_s, value in samples if wish.from_s <= at_s <= to_s]
        low, high = wish.between or (wish.above, wish.below)
        wrong = next(((at_s, value) for at_s, value in within
                      if (low is not None and value <= low) or (high is not None and value >= high)), None)
        if not within:
            return Check("world", written(wish), "no such quantity", ok=False)
        values = [value for _, value in within]
        text = f"{min(values):.4g} to {max(values):.4g}" + (f"; {wrong[1]:.4g} at {wrong[0]:g} s" if wrong else "")
        return Check("world", written(wish), text, wrong is None, at_s=wrong[0] if wrong else None)

    def _reading(self, wish: ExpectedReading) -> Check:
        from_s, readings = self._from_s(wish.of, wish.after_s), self._seen.readings.get(wish.point, [])
        fits = next((r for r in readings if from_s <= r.at_s <= from_s + wish.within_s
                     and (wish.quality is None or r.quality is wish.quality)
                     and (wish.value is None or r.value == wish.value)), None)
        if fits is None:
            text = f"last {readings[-1].value} {readings[-1].quality.value}" if readings else "never read"
            return Check("reading", written(wish), text, ok=False)
        text = f"{fits.value} {fits.unit} {fits.quality.value} {fits.reason}".strip()
        return Check("reading", written(wish), f"{text} at {fits.at_s:g} s", True, round(fits.at_s - from_s, 3),
                     fits.at_s)

    def _sound(self) -> Check:
        """The run itself: no part made a mistake, and what the gateway journaled has arrived."""
        problems = list(dict.fromkeys(self._seen.mistakes))[:5]
        if self._seen.waiting:
            problems.append(f"{self._seen.waiting} alarm records were never acknowledged by the community OS")
        return Check("sound", {"programs": "no mistakes, all delivered"}, "; ".join(problems) or "yes", not problems)


def written(wish: msgspec.Struct) -> dict[str, Any]:
    """An expectation as its author wrote it: without what is left at its default."""
    fields = {field.name: field for field in msgspec.structs.fields(wish)}
    kept = {}
    for name, field in fields.items():
        value = getattr(wish, name)
        if field.required or value != field.default:
            kept[field.encode_name] = msgspec.to_builtins(value)
    return kept
