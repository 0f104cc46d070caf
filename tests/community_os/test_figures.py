"""Figures out of the incident store: what people read there is what the site worker wrote."""

from __future__ import annotations

from community_os.figures import impairment_register, people_load, rule_quality
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore
from community_os.store_changes import SiteCommit
from device_model.alarm import AlarmState, Hazard
from device_model.clock import HOUR_US, SECOND_US
from device_model.handling import Cause
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.incident_deeds import SelfCheck
from device_model.messages import AlarmRecord, ImpairmentRecord
from tests.community_os.site_messages import PATH, only_incident, up, worker
from tests.rules_engine.incident_house import INVENTORY, T0, step


class House:
    """One site with a store of its own."""

    def __init__(self) -> None:
        self.store, self.worker, self.count = IncidentStore("sqlite://"), worker(), 0
        self.store.open()

    def take(self, envelope: object) -> object:
        effects = self.worker.step(envelope)  # type: ignore[arg-type]  # envelopes of the tests
        self.count += 1
        self.store.apply([SiteCommit(PATH, self.count, tuple(effects.changes))])
        return effects


def test_a_false_alarm_with_a_cause_counts_against_its_rule_and_model() -> None:
    from community_os.envelopes import DeedEnvelope

    house = House()
    assert isinstance(house.worker, SiteWorker)
    alarm = step("b1-0", Hazard.WATER)
    incident = only_incident(house.take(up(AlarmRecord(alarm))))  # type: ignore[arg-type]  # effects
    over = step("b1-0", Hazard.WATER, AlarmState.CLEARED, 60, onset_s=0)
    house.take(up(AlarmRecord(over), first=2, at_s=60))
    house.take(DeedEnvelope(PATH, incident, SelfCheck(Cause.WRONG_PLACE), "Li", "", "r1", T0 + 90 * SECOND_US))
    report = rule_quality(house.store, {PATH: INVENTORY}, "hangzhou", T0 - HOUR_US, T0 + 24 * HOUR_US)
    assert [(rule.rule, rule.true, rule.false) for rule in report.rules] == [(alarm.key.rule, 0, 1)]
    (rate,) = report.rates
    assert (rate.model, rate.cause, rate.false, rate.detectors) == ("leak", Cause.WRONG_PLACE, 1, 8)
    assert report.tasks[0].device == alarm.device
    assert rule_quality(house.store, {PATH: INVENTORY}, "elsewhere", T0 - HOUR_US, T0 + HOUR_US).incidents == 0
    loaded = people_load(house.store, "", T0 - HOUR_US, T0 + HOUR_US, 1)
    assert (loaded.raises, loaded.standing) == (1, ())


def test_the_register_says_who_why_and_until_when_and_what_nobody_watches_comes_first() -> None:
    house = House()
    lacks = [
        Impairment(ImpairmentKind.ISOLATED, "multi-b1-0", T0, "b1-0", "Li", "painting", "guard walks", T0 + HOUR_US),
        Impairment(ImpairmentKind.SILENT, "multi-b1-1", T0 + 1, "b1-1"),
        Impairment(ImpairmentKind.ISOLATED, "multi-b1-2", T0 + 2, "b1-2", "Li", "drilling", "", T0 + 9 * HOUR_US),
    ]
    for number, lack in enumerate(lacks, 1):
        house.take(up(ImpairmentRecord(ImpairmentChange(lack)), first=number))
    register = impairment_register(house.store, "", T0 + 2 * HOUR_US)
    found = [(line.subject, line.state) for line in register.lines if line.subject.startswith("multi")]
    assert found == [("multi-b1-0", "overdue"), ("multi-b1-2", "ends_soon"), ("multi-b1-1", "open")]
    assert register.without_watch == 2 and register.by_kind["isolated"] == 2
    assert "painting Li guard walks" in register.text()

