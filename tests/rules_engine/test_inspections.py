"""Inspections: raised, walked, judged by the one who raised them; overdue ones are said again."""

from __future__ import annotations

import pytest

from device_model.clock import HOUR_US
from device_model.inspection import (
    FillInspection,
    InspectionDeed,
    InspectionState,
    ItemResult,
    JudgeInspection,
    RaiseInspection,
)
from device_model.site import Text
from rules_engine.inspections import REMINDERS_MAX, InspectionBook, InspectionStep
from tests.rules_engine.incident_house import INVENTORY, T0

ITEMS = (Text("Clean", "清洁"), Text("Tested", "测试"))
ASK = RaiseInspection(Text("Smoke detector", "感烟探测器"), "b1-0", ITEMS, "wang", 24 * HOUR_US)
GOOD, BAD = ItemResult(True), ItemResult(False, "cover missing")


def book() -> InspectionBook:
    return InspectionBook(INVENTORY)


def do(one: InspectionBook, deed: InspectionDeed, who: str = "Li", request: str = "r1", at_us: int = T0
       ) -> InspectionStep:
    return one.do(deed, who=who, request=request, at_us=at_us)


def test_the_result_goes_back_to_whoever_raised_it() -> None:
    one = book()
    raised = do(one, ASK)
    assert raised.told == "wang" and raised.inspection.state is InspectionState.GIVEN
    done = do(one, FillInspection(raised.inspection.id, (GOOD, BAD)), "wang")
    assert (done.told, done.inspection.passed) == ("Li", False) and "cover missing" in done.detail
    back = do(one, JudgeInspection(raised.inspection.id, False, "mend the cover first"))
    assert (back.told, back.inspection.state, back.inspection.results) == ("wang", InspectionState.GIVEN, ())
    do(one, FillInspection(raised.inspection.id, (GOOD, GOOD)), "wang")
    accepted = do(one, JudgeInspection(raised.inspection.id, True))
    assert accepted.inspection.state is InspectionState.ACCEPTED and one.due_us() is None


@pytest.mark.parametrize(("deed", "who", "why"), [
    (FillInspection("?", (GOOD, GOOD)), "wang", "there is no inspection"),
    (FillInspection("", (GOOD,)), "wang", "has 2 items"),
    (FillInspection("", (GOOD, ItemResult(False))), "wang", "what was found"),
    (FillInspection("", (GOOD, GOOD)), " ", "who you are"),
    (JudgeInspection("", True), "Li", "nothing to judge"),
    (RaiseInspection(ASK.title, "nowhere", ASK.items, "wang", 1), "Li", "neither a zone nor a device"),
    (RaiseInspection(ASK.title, "b1-0", (), "wang", 1), "Li", "1 to 60 items"),
    (RaiseInspection(ASK.title, "b1-0", ASK.items, " ", 1), "Li", "who walks it"),
])
def test_what_does_not_fit_is_refused(deed: InspectionDeed, who: str, why: str) -> None:
    one = book()
    name = do(one, ASK).inspection.id
    if not isinstance(deed, RaiseInspection) and not deed.inspection:
        deed = type(deed)(name, *[getattr(deed, field) for field in deed.__struct_fields__[1:]])
    with pytest.raises(ValueError, match=why):
        do(one, deed, who, "r2")


def test_only_the_one_who_raised_it_judges() -> None:
    one = book()
    name = do(one, ASK).inspection.id
    do(one, FillInspection(name, (GOOD, GOOD)), "wang")
    with pytest.raises(ValueError, match="Li raised it"):
        do(one, JudgeInspection(name, True), "wang")
    with pytest.raises(ValueError, match="why it goes back"):
        do(one, JudgeInspection(name, False))


def test_overdue_ones_are_said_again_each_day_and_missed_days_are_one() -> None:
    one = book()
    do(one, ASK)
    assert one.due_us() == T0 + 24 * HOUR_US and one.tick(T0 + 23 * HOUR_US) == []
    days = [len(one.tick(T0 + day * 24 * HOUR_US)) for day in range(1, 12)]
    assert days == [1] * REMINDERS_MAX + [0] * 4
    other = book()
    do(other, ASK)
    assert len(other.tick(T0 + 30 * 24 * HOUR_US)) == 1 and other.due_us() is None
