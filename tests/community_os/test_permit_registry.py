"""Permits between cloud and gateway: asked from afar, judged on site, told back; with the link cut, late, twice."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec
import pytest

from community_os.envelopes import PermitEnvelope, UpEnvelope
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore
from community_os.store_changes import OutcomeRow, PermitRow, SiteCommit
from device_model.clock import HOUR_US, SECOND_US, Now
from device_model.command import Command, CommandOutcome, CommandResult
from device_model.messages import Batch, Body, CommandResultRecord, Lane, Record
from device_model.permit import GasSample, PermitAct, PermitLevel, PermitPlan, PermitPolicy, PermitState, PermitStep
from device_model.permit_views import PermitView
from edge_agent.permit_desk import PermitDesk
from rules_engine import Engine
from rules_engine.packs import shipped_packs
from rules_engine.permit import PermitRefusal
from rules_engine.rule_tests import TestPoint, synthetic_inventory

BEGIN = 1_772_499_600_000_000  # 2026-03-03 09:00 in Shanghai, a Tuesday
POINTS = {"cam.score": TestPoint(quantity="hot_work_score", stale_after_s=100_000)}


class Street:
    """A site's cloud worker, its gateway's permit desk, and a link that may be cut. Times are seconds since BEGIN."""

    def __init__(self) -> None:
        inventory = synthetic_inventory(POINTS)
        self.path = inventory.site.tenancy.path
        self.gateway = inventory.site.gateway.id
        self.inventory = inventory
        self.cloud = SiteWorker(inventory, {}, None, BEGIN)
        self.desk = PermitDesk(inventory, Engine(shipped_packs(["hot_work"]), inventory, decides="edge",
                                                 lateness_us=10_000_000), ZoneInfo("Asia/Shanghai"))
        self.rows: dict[str, PermitView] = {}
        self.changes: list[object] = []
        self.number, self.cut, self.sent = 0, False, 0
        self.applied: dict[str, CommandResult] = {}

    def ask(self, act: str, at: float, who: str, permit: str = "HW-1", plan: PermitPlan | None = None) -> OutcomeRow:
        self.number += 1
        step = PermitStep(permit, PermitAct(act), plan)
        at_us = BEGIN + round(at * SECOND_US)
        effects = self.cloud.step(PermitEnvelope(self.path, step, who, "", f"r{self.number}", at_us))
        self.take(effects, at)
        return next(row for row in effects.changes if isinstance(row, OutcomeRow))

    def tick(self, at: float) -> None:
        self.take(self.cloud.tick(BEGIN + round(at * SECOND_US)), at)

    def on_site(self, act: str, at: float, who: str, sample: GasSample | None = None) -> None:
        now = self.now(at)
        self.desk.apply(Command("x", "permit", "HW-1", who, "", 0, 0,  # type: ignore[arg-type]
                                permit=PermitStep("HW-1", PermitAct(act), sample=sample)), now)
        self.up(at, *self.desk.news(now))

    @staticmethod
    def now(at: float) -> Now:
        return Now(BEGIN + round(at * SECOND_US), round(at * SECOND_US), "b")

    def take(self, effects, at: float) -> None:
        self.changes += effects.changes
        self.rows |= {row.view.id: row.view for row in effects.changes if isinstance(row, PermitRow)}
        for send in effects.commands:
            self.sent += 1
            if not self.cut:
                self.deliver(send.command, at)

    def deliver(self, command: Command, at: float) -> None:
        now = self.now(at)
        if command.id not in self.applied:
            try:
                permit, _ = self.desk.apply(command, now)
                outcome, detail = CommandOutcome.APPLIED, f"{permit.id} {permit.state.value}"
            except PermitRefusal as refusal:
                outcome, detail = CommandOutcome.REFUSED, str(refusal)
            self.applied[command.id] = CommandResult(command.id, command.kind, command.target, outcome, now.wall_us,
                                                     command.who, detail)
        self.up(at, CommandResultRecord(self.applied[command.id]), *self.desk.news(now))

    def up(self, at: float, *bodies: Body) -> None:
        at_us = BEGIN + round(at * SECOND_US)
        records = []
        for body in bodies:
            self.number += 1
            records.append(Record(self.number, at_us, at_us, "b", body))
        batch = Batch(1, self.gateway, "e1", Lane.ALARM, tuple(records))
        self.take(self.cloud.step(UpEnvelope(self.path, at_us, batch)), at)

    @property
    def permit(self) -> PermitView:
        return self.rows["HW-1"]


def plan(zone: str = "z1", hours: float = 2.0) -> PermitPlan:
    return PermitPlan(zone, PermitLevel.TWO, BEGIN, BEGIN + round(hours * HOUR_US), ("Wang",), "Zhao",
                      gases=("propane",), measures=PermitPolicy().measures)


@pytest.fixture
def street() -> Street:
    return Street()


def test_a_permit_goes_down_is_judged_and_comes_back(street: Street) -> None:
    assert street.ask("create", 0, "Chen", plan=plan()).outcome.done
    assert street.permit.permit.state is PermitState.DRAFT and street.permit.heard_us > 0
    assert street.ask("approve", 5, "Li").outcome.done
    assert street.permit.permit.state is PermitState.READY and street.permit.permit.approver == "Li"
    street.on_site("sample", 10, "Qian", GasSample(BEGIN + 10 * SECOND_US, 0.05, "Qian", "propane"))
    street.on_site("watcher_on", 11, "Zhao")
    street.on_site("start", 12, "Wang")
    assert street.permit.permit.state is PermitState.WORKING and street.permit.permit.watched
    assert [ask.state for ask in street.permit.asks] == ["applied", "applied"]
    assert street.permit.lel == 2.1 and street.permit.limit_vol == 0.2
    assert street.permit.limit_lel == pytest.approx(9.52, abs=0.01)


def test_with_the_link_cut_it_says_so_and_acts_arrive_in_their_order(street: Street) -> None:
    street.cut = True
    street.ask("create", 0, "Chen", plan=plan())
    street.ask("approve", 1, "Li")
    assert street.permit.heard_us == 0 and [ask.state for ask in street.permit.asks] == ["waiting", "waiting"]
    street.tick(6)
    street.tick(12)
    assert street.sent == 3, "only the oldest is told, again and again"
    street.cut = False
    street.tick(18)
    assert street.permit.permit.state is PermitState.READY and street.permit.heard_us == BEGIN + 18 * SECOND_US
    assert [ask.state for ask in street.permit.asks] == ["applied", "applied"]


def test_the_gateways_refusal_is_shown_with_its_reason(street: Street) -> None:
    street.ask("create", 0, "Chen", plan=plan(hours=2))
    street.ask("approve", 1, "Chen")
    last = street.permit.asks[-1]
    assert last.state == "refused" and "cannot approve" in last.detail and "不能审批" in last.detail
    assert street.permit.permit.state is PermitState.DRAFT


def test_a_permit_that_the_gateway_does_not_take_is_no_permit(street: Street) -> None:
    street.ask("create", 0, "Chen", plan=plan(hours=100))
    assert "at most 72 h" in street.permit.refused and street.permit.heard_us == 0
    assert not [row for row in street.changes if isinstance(row, PermitRow)][-1].shown


@pytest.mark.parametrize("act", ["sample", "watcher_on", "start", "resume", "close"])
def test_what_is_done_on_site_is_not_done_from_afar(street: Street, act: str) -> None:
    street.ask("create", 0, "Chen", plan=plan())
    outcome = street.ask(act, 1, "Li").outcome
    assert not outcome.done and "on site only" in outcome.refusal


def test_unknown_permits_zones_and_taken_numbers_are_refused(street: Street) -> None:
    assert "no permit" in street.ask("approve", 0, "Li", "HW-9").outcome.refusal
    assert "zone" in street.ask("create", 0, "Chen", plan=plan("nowhere")).outcome.refusal
    street.ask("create", 0, "Chen", plan=plan())
    assert "taken" in street.ask("create", 1, "Chen", plan=plan()).outcome.refusal


def test_nothing_is_waited_for_longer_than_a_day(street: Street) -> None:
    street.cut = True
    street.ask("create", 0, "Chen", plan=plan())
    street.tick(86_401)
    assert street.permit.asks[-1].state == "expired" and street.permit.refused
    sent = street.sent
    street.tick(86_500)
    assert street.sent == sent


def test_time_ends_a_permit_at_the_gateway_and_the_cloud_hears_it(street: Street) -> None:
    street.ask("create", 0, "Chen", plan=plan(hours=1))
    now = street.now(3601)
    street.desk.check(now)
    street.up(3601, *street.desk.news(now))
    assert street.permit.permit.state is PermitState.EXPIRED
    assert street.desk.news(now) == ()


def test_a_late_word_never_takes_a_newer_one_back_and_a_restart_changes_nothing(street: Street) -> None:
    street.ask("create", 0, "Chen", plan=plan())
    before = street.desk.permits()[0]
    street.ask("approve", 5, "Li")
    state = street.cloud.checkpoint()
    again = SiteWorker(street.inventory, {}, None, BEGIN)
    again.resume(state)
    assert again.checkpoint() == state
    from device_model.messages import PermitRecord

    street.up(6, PermitRecord(before, BEGIN))
    assert street.permit.permit.state is PermitState.READY


def test_a_restarted_gateway_says_all_its_permits_again(street: Street) -> None:
    street.ask("create", 0, "Chen", plan=plan())
    kept = street.desk.permits()
    fresh = Street()
    fresh.desk.resume(kept)
    assert [record.permit.id for record in fresh.desk.news(fresh.now(1))] == ["HW-1"]


def test_rows_stand_in_the_store_by_tenancy(street: Street) -> None:
    street.ask("create", 0, "Chen", plan=plan())
    store = IncidentStore("sqlite://")
    store.open()
    store.apply([SiteCommit(street.path, 1, tuple(street.changes))])  # type: ignore[arg-type]
    rows = msgspec.json.decode(store.listed("permits", street.path), type=list[PermitView])
    assert [view.id for view in rows] == ["HW-1"]
    assert store.listed("permits", "elsewhere") == b"[]"


def test_a_gateway_that_floods_permits_never_outgrows_the_sites_checkpoint(street: Street) -> None:
    from device_model.messages import PermitRecord
    from device_model.permit import Permit, PermitSign

    story = tuple(PermitSign(BEGIN, "x" * 400, "y" * 400, "z" * 400) for _ in range(90))
    for number in range(300):
        permit = Permit(f"P{number}", plan(), "Chen", PermitState.WORKING, story=story)
        street.up(1 + number, PermitRecord(permit, BEGIN + number))
    assert len(street.cloud.checkpoint()) < 900_000


def test_what_is_measured_now_is_one_row_and_no_change_that_boards_follow(street: Street) -> None:
    from community_os.store_changes import NowRow
    from device_model.messages import ReadingsRecord
    from device_model.reading import Reading

    def read(at: float, value: float) -> None:
        at_us = BEGIN + round(at * SECOND_US)
        reading = Reading("cam.score", value, "1", source_time_us=at_us, receive_time_us=at_us)
        street.up(at, ReadingsRecord((reading,)))

    for second in range(20):
        read(second, 0.1)
    rows = [row for row in street.changes if isinstance(row, NowRow)]
    assert len(rows) == 1, "repetitions wait half a minute"
    read(21, 0.9)
    street.tick(24)
    rows = [row for row in street.changes if isinstance(row, NowRow)]
    assert len(rows) == 2 and rows[-1].view.values[0].value == 0.9
    store = IncidentStore("sqlite://")
    store.open()
    store.apply([SiteCommit(street.path, 1, tuple(rows))])
    assert store.revision() == 0 and b"cam.score" in store.listed("now", "")
