"""Who is on duty, and who is called next: rota, swaps, hand-over, escalation."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from device_model.clock import MINUTE_US, SECOND_US
from device_model.errors import ConfigError
from rules_engine.duty_file import parse_duty
from rules_engine.duty_rota import DutyBook, Swap
from rules_engine.escalation import Call, Ended, Escalations, Policy, Step, Target
from rules_engine.routing_commands import check_duty, show_duty

FILE = Path(__file__).parents[2] / "examples/routing/duty.yaml"
TEXT = FILE.read_text(encoding="utf-8")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text + "+08:00").timestamp()) * SECOND_US


def book() -> DutyBook:
    return DutyBook(parse_duty(TEXT, "duty.yaml").plan)


@pytest.mark.parametrize(("moment", "shift", "people"), [
    ("2026-01-05T12:00", "day", ("li",)),  # Monday of the first week
    ("2026-01-05T22:00", "night", ("wang",)),
    ("2026-01-06T03:00", "night", ("wang",)),  # began the evening before
    ("2026-01-10T12:00", "day", ("zhao",)),  # Saturday
    ("2026-01-12T12:00", "day", ("wang",)),  # the second week
    ("2026-01-19T12:00", "day", ("li",)),  # the cycle begins again
    ("2026-10-01T12:00", "day", ("chen",)),  # a holiday
    ("2026-10-01T22:00", "night", ("wang",)),  # of which only the day shift is special
])
def test_who_has_the_shift(moment: str, shift: str, people: tuple[str, ...]) -> None:
    found = book().shift_at("property-duty", at(moment))
    assert (found.name, found.people) == (shift, people)
    assert found.starts_us <= at(moment) < found.ends_us


def test_hours_without_a_shift_belong_to_the_stand_in() -> None:
    found = book().shift_at("electricians", at("2026-01-05T22:00"))
    assert (found.people, found.standing_in) == (("chen",), True)
    assert (found.starts_us, found.ends_us) == (at("2026-01-05T18:00"), at("2026-01-06T08:00"))


def test_until_somebody_takes_over_both_shifts_are_told() -> None:
    duty = book()
    early = duty.on_duty("property-duty", at("2026-01-05T20:05"))
    assert (early.people, early.overdue) == (("wang", "li"), False)
    assert duty.on_duty("property-duty", at("2026-01-05T20:20")).overdue
    with pytest.raises(ValueError, match="wang can take over"):
        duty.take_over("property-duty", "li", at("2026-01-05T20:21"))
    duty.take_over("property-duty", "wang", at("2026-01-05T20:21"), "pump 2 in repair")
    kept = duty.checkpoint()
    duty = book()
    duty.resume(kept)
    after = duty.on_duty("property-duty", at("2026-01-05T20:22"))
    assert (after.people, after.taken_over_by) == (("wang",), "wang")
    assert duty.on_duty("property-duty", at("2026-01-05T20:20")).people == ("wang", "li"), "it was not so before"
    late = duty.on_duty("property-duty", at("2026-01-06T11:00"))
    assert (late.people, late.overdue) == (("li",), True), "the old shift sleeps; the finding stays"


def test_a_swap_holds_for_its_shift_alone() -> None:
    duty = book()
    duty.swap(Swap("property-duty", "2026-01-06", "night", "wang", "zhao", "chen", "wedding", at("2026-01-05T09:00")))
    assert duty.shift_at("property-duty", at("2026-01-07T03:00")).people == ("zhao",)
    assert duty.shift_at("property-duty", at("2026-01-07T23:00")).people == ("wang",)
    with pytest.raises(ValueError, match="does not have that shift"):
        duty.swap(Swap("property-duty", "2026-01-06", "night", "wang", "li", "chen", "why", at("2026-01-05T09:00")))


@pytest.mark.parametrize("bad", [
    Swap("x", "2026-01-06", "night", "wang", "zhao", "chen", "why", 0),
    Swap("property-duty", "2026-01-06", "noon", "wang", "zhao", "chen", "why", 0),
    Swap("property-duty", "soon", "night", "wang", "zhao", "chen", "why", 0),
    Swap("property-duty", "2026-01-06", "night", "wang", "nobody", "chen", "why", 0),
    Swap("property-duty", "2026-01-06", "night", "wang", "wang", "chen", "why", 0),
    Swap("property-duty", "2026-01-06", "night", "wang", "zhao", "chen", "", 0),
    Swap("property-duty", "2026-01-06", "night", "wang", "zhao", "chen", "why", at("2026-02-01T00:00")),
])
def test_swaps_that_do_not_fit_are_refused(bad: Swap) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        book().swap(bad)


def test_days_of_summer_time_are_covered_whole() -> None:
    content = yaml.safe_load(TEXT)
    content["timezone"] = "Europe/Berlin"
    duty = DutyBook(parse_duty(yaml.safe_dump(content), "duty.yaml").plan)
    for day in ("2026-03-28T00:00", "2026-10-24T00:00"):
        for hour in range(72):
            moment = at(day) + hour * 60 * MINUTE_US
            shift = duty.shift_at("property-duty", moment)
            assert shift.name and shift.starts_us <= moment < shift.ends_us


def test_the_example_is_sound_and_shown() -> None:
    assert check_duty([FILE]) == []
    shown = show_duty(FILE, "", "2026-01-05T20:30+08:00", 2)
    assert shown.people == ("wang", "li") and len(shown.calendar) == 4
    assert "Wang Fang" in shown.text()


@pytest.mark.parametrize(("where", "value", "what"), [
    (("timezone",), "Mars/Base", "there is no time zone"),
    (("rotas", 0, "begins"), "2026-01-06", "is not a Monday"),
    (("rotas", 0, "stand_in"), [], "nobody stands in"),
    (("rotas", 0, "stand_in"), ["nobody"], "nobody is called 'nobody'"),
    (("rotas", 0, "weeks", 0, "noon"), ["li"], "there is no shift 'noon'"),
    (("rotas", 0, "shifts", 1, "start"), "19:00", "night overlaps day"),
    (("rotas", 0, "shifts", 1, "start"), "8 pm", "'8 pm' is not a time of day"),
    (("escalations", 0, "steps", 1, "after"), "0s", "is not later than the step before"),
    (("escalations", 0, "reminder"), "1s", "only disturb"),
    (("escalations", 1, "round"), "0s", "a round is shorter"),
    (("escalations", 0, "steps", 0, "rotas"), ["x"], "there is no rota 'x'"),
    (("holidays", 0, "date"), "soon", "'soon' is not a date"),
])
def test_every_mistake_of_a_duty_file_is_found(where: tuple[str | int, ...], value: object, what: str) -> None:
    content = node = yaml.safe_load(TEXT)
    for step in where[:-1]:
        node = node[step]
    node[where[-1]] = value
    with pytest.raises(ConfigError) as caught:
        parse_duty(yaml.safe_dump(content, sort_keys=False), "duty.yaml")
    assert any(what in f.what and f.line > 0 and f.remedy for f in caught.value.findings), caught.value


# --- escalation -----------------------------------------------------------------------------------------------

S = SECOND_US
NOBODY = Target(("li",))
POLICIES = {
    "plain": Policy("plain", (Step(0, NOBODY), Step(10 * S, NOBODY), Step(25 * S, NOBODY))),
    "reminded": Policy("reminded", (Step(3 * S, NOBODY), Step(20 * S, NOBODY)), reminder_us=7 * S),
    "rounds": Policy("rounds", (Step(0, NOBODY), Step(5 * S, NOBODY)), 2, 0, 3, 12 * S),
    "all": Policy("all", (Step(1 * S, NOBODY), Step(9 * S, NOBODY)), 2, 4 * S, 2, 30 * S),
}


def schedule(policy: Policy, began_s: int, until_s: int) -> list[tuple[int, int, int, int]]:
    """The obvious model: walk second by second. (second, round, step, reminder)."""
    steps = [(began_s + r * (policy.round_us // S) + step.after_us // S, r, i)
             for r in range(policy.rounds) for i, step in enumerate(policy.steps)]
    said, last = [], None
    for second in range(began_s, until_s + 1):
        here = [one for one in steps if one[0] == second]
        if here:
            last = (second, here[0][1], here[0][2], 0)
            said.append(last)
        elif last and policy.reminder_us and second == last[0] + policy.reminder_us // S:
            last = (second, last[1], last[2], last[3] + 1)
            said.append(last)
    return said


class Calling(RuleBasedStateMachine):
    """Matters that begin, are answered, stop and come again; calls must be those of the schedule."""

    @initialize()
    def begin(self) -> None:
        self.one = Escalations(POLICIES, "a/b/c/d")
        self.now_s = 0
        self.calls: dict[str, list[Call]] = {}
        self.running: dict[str, tuple[str, int, set[str]]] = {}
        self.ids: set[str] = set()

    def take(self, calls: tuple[Call, ...]) -> None:
        for call in calls:
            assert call.id not in self.ids
            self.ids.add(call.id)
            assert call.matter in self.running, "nobody is called for what is answered"
            self.calls.setdefault(call.matter, []).append(call)

    @rule(matter=st.sampled_from("xy"), policy=st.sampled_from(sorted(POLICIES)), anew=st.booleans())
    def start(self, matter: str, policy: str, anew: bool) -> None:
        if matter not in self.running or anew:
            self.running[matter] = (policy, self.now_s, set())
            self.calls[matter] = []
        begin = self.one.restart if anew else self.one.start
        self.take(begin(matter, policy, self.now_s * S))

    @rule(passes=st.integers(1, 15))
    def time(self, passes: int) -> None:
        for _ in range(passes):
            self.now_s += 1
            self.take(self.one.tick(self.now_s * S))

    @rule(matter=st.sampled_from("xy"), who=st.sampled_from(("li", "wang", "")))
    def answer(self, matter: str, who: str) -> None:
        done = self.one.acknowledge(matter, who, self.now_s * S)
        if matter not in self.running or not who:
            assert not done
            return
        policy, _, answered = self.running[matter]
        answered.add(who)
        assert done == (len(answered) >= POLICIES[policy].acknowledgements)
        if done:
            del self.running[matter]

    @rule(matter=st.sampled_from("xy"))
    def stop(self, matter: str) -> None:
        assert self.one.stop(matter, self.now_s * S, "closed") == (matter in self.running)
        self.running.pop(matter, None)

    @precondition(lambda self: self.running)
    @rule()
    def restart(self) -> None:
        kept = self.one.checkpoint()
        self.one = Escalations(POLICIES, "a/b/c/d")
        self.one.resume(kept)
        assert self.one.checkpoint() == kept

    @invariant()
    def calls_are_those_of_the_schedule(self) -> None:
        for matter, (policy, began_s, _) in getattr(self, "running", {}).items():
            said = [(c.at_us // S, c.round, c.step, c.reminder) for c in self.calls[matter]]
            assert said == schedule(POLICIES[policy], began_s, self.now_s)


Calling.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCalling = Calling.TestCase


def test_a_machine_that_slept_goes_through_every_step_and_reminds_once() -> None:
    one = Escalations(POLICIES, "s")
    one.start("m", "reminded", 0)
    calls = one.tick(1_000 * S)
    assert [(c.at_us // S, c.step) for c in calls if not c.reminder] == [(3, 0), (20, 1)]
    assert len([c for c in calls if c.reminder]) <= 4


def test_without_reminders_the_last_step_is_the_end_and_an_answer_still_counts() -> None:
    one = Escalations(POLICIES, "s")
    one.start("m", "plain", 0)
    assert len(one.tick(100 * S)) == 2
    known = one.matter("m")
    assert known is not None and known.ended is Ended.EXHAUSTED and one.due_us() is None
    assert one.acknowledge("m", "li", 101 * S)


def test_a_policy_that_is_gone_from_the_file_stops_its_matters() -> None:
    one = Escalations(POLICIES, "s")
    one.start("m", "reminded", 0)
    other = Escalations({"plain": POLICIES["plain"]}, "s")
    other.resume(one.checkpoint())
    assert other.tick(100 * S) == ()
    known = other.matter("m")
    assert known is not None and known.why
