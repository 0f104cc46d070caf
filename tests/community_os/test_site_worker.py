"""SiteWorker: what arrives becomes gaps, incidents, impairments, proofs and commands; replays give the same."""

from __future__ import annotations

import msgspec
import pytest

from community_os.acknowledgements import TELL_EVERY_US, TELL_FOR_US
from community_os.gateway_watch import PROOF_WITHIN_US
from community_os.plot_buffers import SAMPLES_KEPT, PlotBuffers
from community_os.site_worker import CloudEngine, SiteWorker
from community_os.store_changes import (
    AuditRow,
    GapGone,
    GapRow,
    GatewayRow,
    ImpairmentRow,
    IncidentRow,
    OutcomeRow,
    ProofRow,
)
from device_model.alarm import AlarmState, Hazard
from device_model.clock import SECOND_US, Now
from device_model.command import CommandKind, CommandOutcome, CommandResult
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import (
    AlarmRecord,
    CommandResultRecord,
    ImpairmentRecord,
    Lane,
    LossRecord,
    OutputRecord,
    ReadingsRecord,
)
from device_model.read_models import IncidentAction
from tests.community_os.site_messages import act, heartbeat, only_incident, reading, rows, up, worker
from tests.rules_engine.incident_house import INVENTORY, T0, step

SMOKE = "multi-b1-0.smoke"


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND_US)


def test_an_edge_alarm_becomes_an_incident_with_its_plot_and_is_notified() -> None:
    site = worker()
    site.step(up(ReadingsRecord((reading(SMOKE, 0.1, -20), reading(SMOKE, None, -10))), lane=Lane.TELEMETRY))
    effects = site.step(up(AlarmRecord(step(), (reading(SMOKE, 1.4, 0),)), at_s=0.2))
    (row,) = rows(effects, IncidentRow)
    (plot,) = row.view.plots
    assert [sample.value for sample in plot.samples] == [0.1, None, 1.4]
    assert (plot.point, plot.unit) == (SMOKE, "dB/m")
    assert [n.what for n in effects.notices] == ["opened"]
    assert {"opened", "raised"} <= {a.what for a in rows(effects, AuditRow)}
    assert row.view.opened_us == T0 and row.view.contacts[0].name == "Li"


def test_an_alarm_raised_during_a_cut_of_the_uplink_is_an_incident_when_it_arrives() -> None:
    site = worker()
    effects = site.step(up(AlarmRecord(step(at_s=-7200)), at_s=0, backlog=True))
    (row,) = rows(effects, IncidentRow)
    assert row.view.opened_us == at(-7200) and row.view.in_dispatch_queue


def test_a_record_that_comes_twice_counts_once() -> None:
    site = worker()
    site.step(up(AlarmRecord(step())))
    before = site.checkpoint()
    effects = site.step(up(AlarmRecord(step())))
    assert effects.changes == [] and site.checkpoint() == before


def test_gaps_open_and_close_with_their_reason() -> None:
    site = worker()
    site.step(up(OutputRecord("o", True, "restart", T0), first=1))
    opened = site.step(up(OutputRecord("o", True, "restart", T0), first=5, at_s=1))
    (gap,) = rows(opened, GapRow)
    assert (gap.view.first, gap.view.last, gap.view.closed_us) == (2, 4, 0)
    part = site.step(up(OutputRecord("o", True, "restart", T0), first=2, at_s=2))
    assert [g.view.first for g in rows(part, GapGone)] == [2]
    assert {(g.view.first, g.view.last, g.view.outcome) for g in rows(part, GapRow)} == {
        (3, 4, ""), (2, 2, "delivered")}
    lost = site.step(up(LossRecord("e1", Lane.ALARM, ((3, 4),), "disk", T0), first=6, at_s=3))
    assert {(g.view.first, g.view.last, g.view.outcome) for g in rows(lost, GapRow)} == {(3, 4, "disk")}
    assert [a.what for a in rows(lost, AuditRow)] == ["loss_declared"]


def test_a_lost_tail_is_known_from_the_heartbeat() -> None:
    effects = worker().step(up(heartbeat(alarm=("e1", 3))))
    (gap,) = rows(effects, GapRow)
    assert (gap.view.first, gap.view.last) == (1, 3)


def test_a_silent_gateway_is_an_impairment_and_nothing_of_it_can_be_closed() -> None:
    site = worker()
    incident = only_incident(site.step(up(AlarmRecord(step()), heartbeat())))
    site.step(up(AlarmRecord(step(state=AlarmState.CLEARED, at_s=5, onset_s=0)), first=2, at_s=5))
    assert rows(site.tick(at(94)), ImpairmentRow) == []
    effects = site.tick(at(95))
    (lack,) = rows(effects, ImpairmentRow)
    assert lack.kind is ImpairmentKind.GATEWAY_SILENT and lack.view is not None
    assert rows(effects, GatewayRow)[-1].view.silent
    assert not rows(effects, IncidentRow)[0].view.alarms[0].trustworthy
    assert rows(site.tick(at(96)), ImpairmentRow) == []
    outcome = rows(site.step(act(incident, IncidentAction.CLOSE, 97)), OutcomeRow)[0].outcome
    assert (outcome.done, outcome.law) == (False, 3)
    back = site.step(up(heartbeat(), at_s=100))
    assert rows(back, ImpairmentRow)[0].view is None and not rows(back, GatewayRow)[0].view.silent
    assert rows(site.step(act(incident, IncidentAction.CLOSE, 101, request="r2")), OutcomeRow)[0].outcome.done


def test_while_the_cloud_was_deaf_it_blames_nobody() -> None:
    site = worker()
    site.step(up(heartbeat()))
    site.listen_from(at(5000))
    assert rows(site.tick(at(5000)), ImpairmentRow) == []
    assert rows(site.tick(at(5090)), ImpairmentRow) != []


def test_the_proof_alarm_is_timed_and_missed_and_never_an_incident() -> None:
    site = worker()
    proof = step(hazard=Hazard.PROOF, at_s=10)
    effects = site.step(up(AlarmRecord(proof), heartbeat(), at_s=10.4))
    (row,) = rows(effects, ProofRow)
    assert (row.view.raised_us, row.view.arrived_us) == (at(10), at(10.4))
    assert rows(effects, IncidentRow) == []
    late = site.tick(at(11) + PROOF_WITHIN_US)
    assert ImpairmentKind.PROOF_MISSING in [row.kind for row in rows(late, ImpairmentRow)]
    came = site.step(up(AlarmRecord(step(hazard=Hazard.PROOF, at_s=99_999)), first=2, at_s=100_000))
    assert (ImpairmentKind.PROOF_MISSING, None) in [(r.kind, r.view) for r in rows(came, ImpairmentRow)]


def test_faults_are_lacks_for_as_long_as_one_alarm_of_the_subject_stands() -> None:
    site = worker()
    low = step(hazard=Hazard.FAULT)
    other = msgspec.structs.replace(low, key=msgspec.structs.replace(low.key, rule="tamper"), alarm="x")
    (begun,) = rows(site.step(up(AlarmRecord(low), AlarmRecord(other))), ImpairmentRow)
    assert begun.view is not None and begun.kind is ImpairmentKind.FAULT
    over = msgspec.structs.replace(low, state=AlarmState.CLEARED, at_us=at(5))
    assert rows(site.step(up(AlarmRecord(over), first=3, at_s=5)), ImpairmentRow) == []
    over = msgspec.structs.replace(other, state=AlarmState.CLEARED, at_us=at(6))
    (ended,) = rows(site.step(up(AlarmRecord(over), first=4, at_s=6)), ImpairmentRow)
    assert ended.view is None


def test_an_old_beginning_that_arrives_after_the_end_is_history() -> None:
    site = worker()
    lack = Impairment(ImpairmentKind.SILENT, "multi-b1-0", at(-100))
    site.step(up(ImpairmentRecord(ImpairmentChange(lack, at(-50))), first=9))
    assert rows(site.step(up(ImpairmentRecord(ImpairmentChange(lack)), first=3, backlog=True)), ImpairmentRow) == []
    again = Impairment(ImpairmentKind.SILENT, "multi-b1-0", at(-10))
    assert rows(site.step(up(ImpairmentRecord(ImpairmentChange(again)), first=10)), ImpairmentRow) != []


def test_an_isolation_ends_by_itself() -> None:
    site = worker()
    lack = Impairment(ImpairmentKind.ISOLATED, "multi-b1-0", T0, who="Li", why="painting", expires_us=at(60))
    site.step(up(ImpairmentRecord(ImpairmentChange(lack)), heartbeat()))
    assert site.due_us() == at(60)
    (ended,) = rows(site.tick(at(61)), ImpairmentRow)
    assert ended.view is None and site.due_us() > at(61)


def test_a_backlog_reading_never_hides_that_a_point_is_bad_now() -> None:
    site = worker()
    incident = only_incident(site.step(up(AlarmRecord(step(), (reading(SMOKE, 1.4, 0),)))))
    site.step(up(ReadingsRecord((reading(SMOKE, None, 50),)), lane=Lane.TELEMETRY, at_s=50))
    shown = site.step(up(ReadingsRecord((reading(SMOKE, 0.2, 20),)), first=2, lane=Lane.TELEMETRY, at_s=60))
    site.tick(at(62))
    view = site._book.view(incident)
    assert not view.alarms[0].trustworthy
    (row,) = rows(shown, IncidentRow)
    assert [s.value for s in row.view.plots[0].samples] == [1.4, 0.2, None]  # in order of time all the same


def test_plots_are_redrawn_once_a_second_at_most() -> None:
    site = worker()
    site.step(up(AlarmRecord(step()), heartbeat()))
    stored = 0
    for n in range(40):  # 4 s of ten readings a second
        effects = site.step(up(ReadingsRecord((reading(SMOKE, n, n / 10),)), first=n + 1, lane=Lane.TELEMETRY,
                               at_s=n / 10))
        stored += len(rows(effects, IncidentRow))
    assert 3 <= stored <= 4
    assert site.due_us() <= at(5)
    (row,) = rows(site.tick(at(5)), IncidentRow)
    assert row.view.plots[0].samples[-1].value == 39


def test_an_acknowledgement_is_told_every_5_s_until_answered() -> None:
    site = worker()
    incident = only_incident(site.step(up(AlarmRecord(step()), heartbeat())))
    effects = site.step(act(incident, IncidentAction.ACKNOWLEDGE, 10))
    (sent,) = effects.commands
    assert (sent.command.kind, sent.command.target, sent.command.who) == (
        CommandKind.ALARM_ACKNOWLEDGED, step().alarm, "Li")
    assert sent.address.gateway == "gw-1" and rows(effects, OutcomeRow)[0].outcome.done
    assert site.due_us() == at(10) + TELL_EVERY_US
    assert site.tick(at(14)).commands == []
    assert [c.command for c in site.tick(at(15)).commands] == [sent.command]
    twin = worker()
    twin.resume(site.checkpoint())
    assert [c.command.id for c in twin.tick(at(20)).commands] == [sent.command.id]
    result = CommandResult(sent.command.id, sent.command.kind, sent.command.target, CommandOutcome.APPLIED, at(21))
    answered = site.step(up(CommandResultRecord(result), first=2, at_s=21))
    assert rows(answered, IncidentRow)[0].view.gateway_told_us == at(21)
    assert site.tick(at(30)).commands == []


@pytest.mark.parametrize("how", ["refused", "never"])
def test_a_gateway_that_refuses_or_never_answers_is_said(how: str) -> None:
    site = worker()
    incident = only_incident(site.step(up(AlarmRecord(step()), heartbeat())))
    (sent,) = site.step(act(incident, IncidentAction.ACKNOWLEDGE, 10)).commands
    if how == "refused":
        result = CommandResult(sent.command.id, sent.command.kind, sent.command.target, CommandOutcome.REFUSED,
                               at(11), detail="unknown alarm")
        effects = site.step(up(CommandResultRecord(result), first=2, at_s=11))
    else:
        effects = site.tick(at(11) + TELL_FOR_US)
    assert "gateway_refused" in [a.what for a in rows(effects, AuditRow)]
    assert site.tick(at(20) + TELL_FOR_US).commands == []


def test_a_click_is_carried_out_once_and_an_unknown_incident_is_refused() -> None:
    site = worker()
    incident = only_incident(site.step(up(AlarmRecord(step()))))
    first = rows(site.step(act(incident, IncidentAction.NOTE, 1)), AuditRow)
    again = site.step(act(incident, IncidentAction.NOTE, 2))
    assert [a.what for a in first] == ["note"] and rows(again, AuditRow) == []
    assert rows(again, OutcomeRow)[0].outcome.done
    assert not rows(site.step(act("ghost", IncidentAction.NOTE, 3, request="r3")), OutcomeRow)[0].outcome.done


def test_a_checkpoint_goes_on_exactly_where_it_was() -> None:
    def story(site: SiteWorker, restart_at: int) -> list[bytes]:
        incident = ""
        trail = []
        for n in range(12):
            if n == restart_at:
                site, kept = worker(), site.checkpoint()
                site.resume(kept)
                assert site.checkpoint() == kept
            if n == 4:
                incident = site._book.open_incidents()[0].id
                effects = site.step(act(incident, IncidentAction.ACKNOWLEDGE, n))
            elif n % 5 == 3:
                effects = site.tick(at(n * 40))
            else:
                effects = site.step(up(
                    AlarmRecord(step(f"b1-{n % 3}", at_s=n), (reading(f"multi-b1-{n % 3}.smoke", n, n),)),
                    heartbeat(n), first=n + 1, at_s=n))
            trail.append(msgspec.json.encode([effects.changes, effects.commands]))
        return [*trail, site.checkpoint()]

    whole = story(worker(), -1)
    for restart_at in range(5, 12):  # from the first incident on, so that its plots are in the checkpoint
        assert story(worker(), restart_at) == whole


class Cloud:
    """An engine that reports what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.answer: tuple = ()

    def step(self, readings, now: Now, fresh=()):
        self.calls.append((tuple(r.point for r in readings), tuple(fresh)))
        answer, self.answer = self.answer, ()
        return answer

    def due_us(self) -> int | None:
        return at(100)

    def checkpoint(self) -> bytes:
        return b"\x00cloud"

    def resume(self, checkpoint: bytes) -> None:
        assert checkpoint == b"\x00cloud"


def test_the_cloud_engine_judges_arrived_readings_and_the_heartbeat_proves_freshness() -> None:
    engine = Cloud()
    judged: CloudEngine = engine
    site = SiteWorker(INVENTORY, {}, judged, T0)
    site.step(up(ReadingsRecord((reading(SMOKE, 1, 0), reading("multi-b1-1.smoke", None, 0))), lane=Lane.TELEMETRY))
    assert engine.calls[-1][0] == (SMOKE, "multi-b1-1.smoke")
    site.step(up(heartbeat(), at_s=30))
    assert engine.calls[-1] == ((), (SMOKE,))  # a bad point is not proved by the gateway's life
    engine.answer = (step(at_s=100, decided="cloud"),)
    assert rows(site.tick(at(100)), IncidentRow) != []
    twin = SiteWorker(INVENTORY, {}, Cloud(), T0)
    twin.resume(site.checkpoint())
    assert twin.checkpoint() == site.checkpoint()


def test_unknown_points_devices_and_zones_do_no_harm() -> None:
    site = worker()
    odd = msgspec.structs.replace(step(), zone="gone", device="gone", points=("gone.x",))
    unknown = msgspec.structs.replace(reading(SMOKE, 1, 0), point="gone.x")
    effects = site.step(up(AlarmRecord(odd, (unknown,)), ReadingsRecord((unknown,))))
    assert rows(effects, IncidentRow)[0].view.alarms[0].device == "gone"
    assert site.step(up(heartbeat(), gateway="gw-9")).changes == []


def test_samples_are_bounded_and_ordered() -> None:
    buffers = PlotBuffers(INVENTORY)
    for n in range(SAMPLES_KEPT * 2):
        assert buffers.add(reading(SMOKE, n, n))
    buffers.add(msgspec.structs.replace(reading(SMOKE, 1, 1), point="multi-b1-0.flag", value=True))
    kept = buffers.kept({"b1-0"})
    assert list(kept) == [SMOKE] and kept[SMOKE] == sorted(kept[SMOKE]) and kept[SMOKE][-1][1] == 479
    assert buffers.kept({"b2-0"}) == {}
