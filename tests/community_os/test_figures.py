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


def test_an_inspection_goes_through_the_stream_into_the_list_and_survives_a_restart() -> None:
    from community_os.envelopes import DeedEnvelope, decode_envelope, encode_envelope
    from community_os.figures import open_inspections
    from community_os.store_changes import OutcomeRow
    from device_model.inspection import FillInspection, ItemResult, RaiseInspection
    from device_model.site import Text
    from tests.community_os.site_messages import rows

    house = House()
    wanted = RaiseInspection(Text("Hose", "水带"), "b1-0", (Text("There", "在位"),), "wang", HOUR_US)
    asked = DeedEnvelope(PATH, "", wanted, "Li", "", "r1", T0)
    assert decode_envelope(encode_envelope(asked)) == asked
    house.take(asked)
    (view,) = open_inspections(house.store, "hangzhou").inspections
    kept = house.worker.checkpoint()
    house.worker = worker()
    house.worker.resume(kept)
    filled = FillInspection(view.inspection.id, (ItemResult(False, "torn"),))
    effects = house.take(DeedEnvelope(PATH, "", filled, "wang", "", "r2", T0 + SECOND_US))
    assert rows(effects, OutcomeRow)[0].outcome.done  # type: ignore[arg-type]  # effects
    listed = open_inspections(house.store, "")
    assert listed.inspections[0].inspection.results[0].note == "torn" and "found: 1" in listed.text()
    again = house.take(DeedEnvelope(PATH, "", filled, "wang", "", "r3", T0 + 2 * SECOND_US))
    assert not rows(again, OutcomeRow)[0].outcome.done  # type: ignore[arg-type]  # effects
