"""AgentCore: input, leap of the clock, output. No I/O, no latency: effects and their order."""

from __future__ import annotations

import pytest

from device_drivers.driver import DeviceFailed, LineState
from device_model.alarm import AlarmState, Hazard
from device_model.command import Command, CommandKind, CommandOutcome
from device_model.impairment import ImpairmentKind
from device_model.messages import (
    AlarmRecord,
    CommandResultRecord,
    ImpairmentRecord,
    Lane,
    OutputRecord,
    ReadingsRecord,
)
from device_model.reading import Quality, Reason
from edge_agent.events import (
    CommandReceived,
    Commit,
    CommitFailed,
    Committed,
    DriveOutput,
    NotifyLocal,
    OnSiteAction,
    OutputWriteFailed,
    OutputWritten,
    PowerOn,
    Tick,
)


def bodies(effects, kind=None):
    found = [record.body for e in effects if isinstance(e, Commit) for _, record in e.records]
    return found if kind is None else [body for body in found if isinstance(body, kind)]


def drives(effects):
    return [(e.drive.output, e.drive.on) for e in effects if isinstance(e, DriveOutput)]


def started(kit, **more):
    core = kit.core(**more)
    core.step(PowerOn(more.get("state", kit.journal)), kit.at(0))
    return core


def command(kind, target="", ident="c-1", who="Li Wei", why="seen", **more):
    if kind is CommandKind.ISOLATE:
        more.setdefault("compensating_measure", "guard walks hourly")
    expires_us = more.pop("expires_us", 2**62 if kind is CommandKind.WRITE_OUTPUT else 0)
    return Command(ident, kind, target, who, why, 0, expires_us, **more)


def alarm_of(effects):
    return bodies(effects, AlarmRecord)[0].transition.alarm


def test_a_reading_in_alarm_drives_first_then_commits_at_once(kit):
    core = started(kit)
    effects = core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    assert isinstance(effects[0], DriveOutput) and drives(effects) == [("bell", True), ("cut", True)]
    commits = [e for e in effects if isinstance(e, Commit)]
    assert len(commits) == 1 and commits[0].urgent and commits[0].checkpoint
    lanes = [lane for lane, _ in commits[0].records]
    assert lanes == sorted(lanes, key=lambda lane: lane is not Lane.ALARM), "alarm records stand before telemetry"
    first = commits[0].records[0][1].body
    assert isinstance(first, AlarmRecord) and first.transition.state is AlarmState.RAISED
    assert [(r.point, r.value) for r in first.readings] == [("smoke-1.smoke", True)]
    assert isinstance(effects[-1], NotifyLocal)


def test_pending_is_not_told_but_its_timer_reaches_the_disk(kit):
    core = started(kit, engine=kit.engine(for_us=60_000_000))
    core.step(Tick(), kit.at(0.5))
    effects = core.step(kit.read(kit.at(2), smoke_1__smoke=True), kit.at(2))
    assert bodies(effects, AlarmRecord) == [] and [e.checkpoint for e in effects if isinstance(e, Commit)] == [True]
    assert core.due_us(kit.at(2)) is not None
    assert drives(core.step(Tick(), kit.at(61.9))) == []
    assert drives(core.step(Tick(), kit.at(62))) == [("bell", True), ("cut", True)]


def test_fluttering_around_a_limit_wears_no_card(kit):
    core = started(kit, engine=kit.engine(for_us=60_000_000))
    effects = [core.step(kit.read(kit.at(1 + n / 100), smoke_1__smoke=n % 2 == 0), kit.at(1 + n / 100))
               for n in range(100)]
    assert sum(e.checkpoint for step in effects for e in step if isinstance(e, Commit)) <= 2


@pytest.mark.parametrize(("event", "impairments", "quality"), [
    ("failed", [(ImpairmentKind.SILENT, "smoke-1")], Reason.SILENT),
    ("line", [(ImpairmentKind.LINE_DOWN, "tcp-1"), (ImpairmentKind.SILENT, "smoke-1"),
              (ImpairmentKind.SILENT, "smoke-2"), (ImpairmentKind.SILENT, "button-1")], Reason.LINE_DOWN),
])
def test_lost_once_back_once(kit, event, impairments, quality):
    core = started(kit)
    core.step(kit.read(kit.at(1), smoke_1__smoke=False, smoke_1__obscuration=0.1), kit.at(1))
    assert core.health.alive == 1 and core.health.expected == 4
    lost = {"failed": DeviceFailed("smoke-1", Reason.SILENT, "three times", kit.at(5)),
            "line": LineState("tcp-1", False, "refused", kit.at(5))}[event]
    effects = core.step(lost, kit.at(5))
    begun = [b.change.impairment.key for b in bodies(effects, ImpairmentRecord)]
    assert begun == impairments and core.health.alive == 0
    latest = core.image.latest("smoke-1.smoke")
    assert latest.quality is Quality.BAD and latest.value is None and latest.reason is quality
    assert bodies(core.step(lost, kit.at(6)), ImpairmentRecord) == []
    # Back: the driver proves fresh without a change, and the measured values are there again.
    effects = core.step(kit.read(kit.at(9), fresh=("smoke-1.smoke", "smoke-1.obscuration")), kit.at(9))
    ended = [b.change.impairment.key for b in bodies(effects, ImpairmentRecord) if b.change.ended_us]
    assert ended == [(ImpairmentKind.SILENT, "smoke-1")]
    assert core.image.latest("smoke-1.smoke").value is False


def test_a_device_that_says_nothing_is_lost_after_its_limit_with_one_impairment(kit):
    core = started(kit)
    core.step(kit.read(kit.at(1), smoke_1__smoke=False, smoke_1__obscuration=0.1), kit.at(1))
    assert bodies(core.step(Tick(), kit.at(29)), ImpairmentRecord) == []
    core.step(kit.read(kit.at(29), fresh=("smoke-2.smoke",)), kit.at(29))
    effects = core.step(Tick(), kit.at(32))
    begun = {b.change.impairment.key[1] for b in bodies(effects, ImpairmentRecord)}
    # button-1 and io-1 were never heard; of smoke-2 one point is live and one is not.
    assert begun == {"smoke-1", "button-1", "io-1", "smoke-2.obscuration"}
    assert bodies(core.step(Tick(), kit.at(33)), ImpairmentRecord) == []


def test_a_raised_alarm_stays_while_its_point_is_silent(kit):
    core = started(kit)
    core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    effects = core.step(DeviceFailed("smoke-1", Reason.SILENT, "", kit.at(9)), kit.at(9))
    assert bodies(effects, AlarmRecord) == [] and drives(effects) == []
    assert core.outputs.state("bell").on


@pytest.mark.parametrize("step_s", [-3600.0, -1.0, 1.0, 3600.0, -50 * 365 * 86400.0])
def test_a_stepped_wall_clock_reorders_nothing(kit, step_s):
    core = started(kit)
    before = core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    later = kit.at(2, wall_step_s=step_s)
    after = core.step(kit.read(later, smoke_2__smoke=True), later)
    numbers = [record.sequence for effects in (before, after) for e in effects if isinstance(e, Commit)
               for lane, record in e.records if lane is Lane.ALARM]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
    monos = [record.mono_us for effects in (before, after) for e in effects if isinstance(e, Commit)
             for _, record in e.records]
    assert monos == sorted(monos)


def test_acknowledging_records_who_and_silences_nothing(kit):
    core = started(kit)
    alarm = alarm_of(core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1)))
    effects = core.step(CommandReceived(command(CommandKind.ALARM_ACKNOWLEDGED, alarm)), kit.at(2))
    (result,) = bodies(effects, CommandResultRecord)
    assert result.result.outcome is CommandOutcome.APPLIED and result.result.who == "Li Wei"
    assert drives(effects) == [] and core.outputs.state("bell").on
    assert core.open_alarms()[0].acknowledged_by == "Li Wei"
    # A repeat is not applied again, and is answered at most each minute.
    again = CommandReceived(command(CommandKind.ALARM_ACKNOWLEDGED, alarm))
    assert bodies(core.step(again, kit.at(3))) == []
    (repeat,) = bodies(core.step(again, kit.at(63)), CommandResultRecord)
    assert repeat.result.outcome is CommandOutcome.ALREADY_APPLIED


@pytest.mark.parametrize("kind", [CommandKind.SILENCE_SOUNDER, CommandKind.RESET_ALARM])
def test_on_site_only_is_refused_from_afar_even_if_it_claims_to_be_on_site(kit, kind):
    core = started(kit)
    alarm = alarm_of(core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1)))
    target = alarm if kind is CommandKind.RESET_ALARM else "bell"
    effects = core.step(CommandReceived(command(kind, target, on_site=True)), kit.at(2))
    assert bodies(effects, CommandResultRecord)[0].result.outcome is CommandOutcome.REFUSED
    assert core.outputs.state("bell").on and drives(effects) == []


def test_on_site_by_a_named_person(kit):
    core = started(kit)
    alarm = alarm_of(core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1)))
    nobody = core.step(OnSiteAction(command(CommandKind.SILENCE_SOUNDER, "bell", "c-0", who=" ")), kit.at(2))
    assert bodies(nobody, CommandResultRecord)[0].result.outcome is CommandOutcome.REFUSED
    assert drives(core.step(OnSiteAction(command(CommandKind.SILENCE_SOUNDER, "bell")), kit.at(3))) == [
        ("bell", False)]
    early = core.step(OnSiteAction(command(CommandKind.RESET_ALARM, alarm, "c-2")), kit.at(4))
    assert "law of safety 3" in bodies(early, CommandResultRecord)[0].result.detail
    core.step(kit.read(kit.at(5), smoke_1__smoke=False), kit.at(5))
    reset = core.step(OnSiteAction(command(CommandKind.RESET_ALARM, alarm, "c-3")), kit.at(6))
    assert bodies(reset, AlarmRecord)[0].transition.state is AlarmState.CLEARED
    assert core.outputs.state("cut").on, "the trip waits for its own reset"
    trip = core.step(OnSiteAction(command(CommandKind.RESET_ALARM, "cut", "c-4")), kit.at(7))
    assert drives(trip) == [("cut", False)]


@pytest.mark.parametrize(("kind", "target", "value", "outcome"), [
    (CommandKind.TEST_MODE, "smoke-1", 1800.0, CommandOutcome.APPLIED),
    (CommandKind.TEST_MODE, "smoke-1", None, CommandOutcome.APPLIED),
    (CommandKind.TEST_MODE, "smoke-1", 1801.0, CommandOutcome.REFUSED),
    (CommandKind.TEST_MODE, "button-1", 60.0, CommandOutcome.REFUSED),
    (CommandKind.TEST_MODE, "nobody", 60.0, CommandOutcome.REFUSED),
    (CommandKind.ISOLATE, "button-1", 3600.0, CommandOutcome.APPLIED),
    (CommandKind.ISOLATE, "smoke-1", None, CommandOutcome.REFUSED),
    (CommandKind.ISOLATE, "smoke-1", float("inf"), CommandOutcome.REFUSED),
    (CommandKind.ISOLATE, "smoke-1", float("nan"), CommandOutcome.REFUSED),
    (CommandKind.WRITE_OUTPUT, "bell", True, CommandOutcome.APPLIED),
    (CommandKind.WRITE_OUTPUT, "bell", None, CommandOutcome.REFUSED),
    (CommandKind.WRITE_OUTPUT, "nobody", True, CommandOutcome.REFUSED),
])
def test_commands_and_their_limits(kit, kind, target, value, outcome):
    core = started(kit)
    effects = core.step(CommandReceived(command(kind, target, value=value)), kit.at(1))
    assert bodies(effects, CommandResultRecord)[0].result.outcome is outcome


@pytest.mark.parametrize(("more", "said"), [({"why": " "}, "give why"), ({"expires_us": 0}, "it has no end")])
def test_switching_by_hand_from_afar_needs_a_reason_and_an_end(kit, more, said):
    core = started(kit)
    effects = core.step(CommandReceived(command(CommandKind.WRITE_OUTPUT, "bell", value=True, **more)), kit.at(1))
    (result,) = [body.result for body in bodies(effects, CommandResultRecord)]
    assert result.outcome is CommandOutcome.REFUSED and said in result.detail and not core.outputs.state("bell").on


def test_switching_by_hand_says_who_and_why(kit):
    core = started(kit)
    order = command(CommandKind.WRITE_OUTPUT, "bell", why="drill", value=True)
    effects = core.step(CommandReceived(order), kit.at(1))
    assert "Li Wei: drill" in bodies(effects, OutputRecord)[0].cause


def test_an_expired_command_is_not_applied(kit):
    core = started(kit)
    late = Command("c-1", CommandKind.ISOLATE, "smoke-1", "Li Wei", "broken", 0, kit.at(1).wall_us, 60.0)
    assert bodies(core.step(CommandReceived(late), kit.at(2)), CommandResultRecord)[0].result.outcome is (
        CommandOutcome.EXPIRED)
    assert core.impairments() == ()


@pytest.mark.parametrize("step_s", [0.0, -7200.0])
def test_test_mode_ends_by_itself_even_when_the_clock_is_set_back(kit, step_s):
    engine = kit.engine()
    core = started(kit, engine=engine)
    core.step(CommandReceived(command(CommandKind.TEST_MODE, "smoke-1", value=600.0)), kit.at(1))
    assert core.impairments()[0].kind is ImpairmentKind.IN_TEST
    core.step(Tick(), kit.at(600, wall_step_s=step_s))
    assert any(i.kind is ImpairmentKind.IN_TEST for i in core.impairments())
    effects = core.step(Tick(), kit.at(601, wall_step_s=step_s))
    assert next(b.change.impairment.kind for b in bodies(effects, ImpairmentRecord)) is ImpairmentKind.IN_TEST
    assert engine.tests["smoke-1"] == kit.at(601, wall_step_s=step_s).wall_us


def test_isolation_needs_a_compensating_measure_and_the_impairment_carries_it(kit):
    core = started(kit)
    bare = command(CommandKind.ISOLATE, "smoke-1", value=600.0, compensating_measure=" ")
    result = bodies(core.step(CommandReceived(bare), kit.at(1)), CommandResultRecord)[0].result
    assert result.outcome is CommandOutcome.REFUSED and "law of safety 3" in result.detail
    assert "compensating measure" in result.detail and core.impairments() == ()
    core.step(CommandReceived(command(CommandKind.ISOLATE, "smoke-1", "c-2", value=600.0)), kit.at(2))
    assert [i.compensation for i in core.impairments()] == ["guard walks hourly"]


def test_restore_ends_isolation_and_test(kit):
    engine = kit.engine()
    core = started(kit, engine=engine)
    core.step(CommandReceived(command(CommandKind.ISOLATE, "smoke-1", value=600.0)), kit.at(1))
    assert "smoke-1" in engine.isolated
    core.step(CommandReceived(command(CommandKind.RESTORE, "smoke-1", "c-2", value=None)), kit.at(2))
    assert engine.isolated == {} and core.impairments() == ()


def test_the_proof_alarm_comes_once_a_day_and_moves_nothing(kit):
    core = started(kit)  # 04:26 in Shanghai; proof_hour is 9
    seen = {}
    for minute in range(0, 3 * 24 * 60, 7):
        when = kit.at(minute * 60)
        for body in bodies(core.step(Tick(), when), AlarmRecord):
            assert body.transition.hazard is Hazard.PROOF
            seen[body.transition.alarm] = body.transition.onset_us
    assert len(seen) == 3
    assert {onset % 86_400_000_000 for onset in seen.values()} == {3600_000_000}  # 09:00 +08:00 is 01:00 UTC
    assert not any(core.outputs.state(name).on for name in core.outputs.names())


def test_a_proof_by_order_has_one_id_per_order(kit):
    ids = set()
    for _ in range(2):
        core = started(kit)
        effects = core.step(CommandReceived(command(CommandKind.PROOF_ALARM, who="")), kit.at(1))
        ids.add(alarm_of(effects))
    assert len(ids) == 1


def test_the_disk_that_fails_is_an_impairment_until_it_takes_records_again(kit):
    core = started(kit)
    core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    batch = core.outbox.to_commit()
    core.outbox.commit_failed(batch, kit.at(1.2))
    effects = core.step(CommitFailed("disk full"), kit.at(1.2))
    assert [b.change.impairment.kind for b in bodies(effects, ImpairmentRecord)] == [ImpairmentKind.NOT_JOURNALED]
    assert not core.journal_ok and core.heartbeat(kit.at(2)).journal_ok is False
    assert bodies(core.step(CommitFailed("disk full"), kit.at(3))) == []
    orders = core.outbox.to_send(kit.at(3))
    sent = [record for order in orders for record in core.outbox.records_of(order) or ()]
    assert any(isinstance(r.body, AlarmRecord) and not r.body.transition.journaled for r in sent)
    core.outbox.committed(core.outbox.to_commit())
    effects = core.step(Committed(), kit.at(9))
    assert [b.change.ended_us > 0 for b in bodies(effects, ImpairmentRecord)] == [True]
    assert core.journal_ok


def test_without_a_journal_alarms_go_from_memory(kit):
    core = kit.core(state=None)
    core.step(PowerOn(None, "read-only"), kit.at(0))
    effects = core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    assert drives(effects)[0] == ("bell", True)
    sent = [record for order in core.outbox.to_send(kit.at(1)) for record in core.outbox.records_of(order) or ()]
    assert any(isinstance(r.body, AlarmRecord) and not r.body.transition.journaled for r in sent)


def test_a_write_that_fails_is_an_impairment_and_is_tried_again(kit):
    core = started(kit)
    core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))
    effects = core.step(OutputWriteFailed("bell", True, "no answer"), kit.at(2))
    assert [(b.output, b.proof) for b in bodies(effects, OutputRecord)] == [("bell", "failed")]
    assert drives(core.step(Tick(), kit.at(3))) == [("bell", True)]
    taken = core.step(OutputWritten("bell", True), kit.at(3.1))
    assert [b.proof for b in bodies(taken, OutputRecord)] == ["unproved"]


def test_telemetry_is_changes_beyond_the_deadband_and_heartbeats_in_cycles(kit):
    core = started(kit)
    telemetry = []
    for second in range(1, 400):
        value = 0.10 + (0.01 if second % 2 else 0.0)  # within the deadband of 0.05
        when = kit.at(second)
        effects = core.step(kit.read(when, smoke_1__obscuration=value), when) + core.step(Tick(), when)
        telemetry += [(second, r.value) for b in bodies(effects, ReadingsRecord) for r in b.readings
                      if r.point == "smoke-1.obscuration"]
    assert telemetry[0][0] <= 2 and len(telemetry) == 2  # the first value, one heartbeat
    assert 300 <= telemetry[1][0] <= 303


def test_an_open_alarm_gets_its_plot_at_two_seconds(kit):
    core = started(kit)
    core.step(kit.read(kit.at(1), smoke_1__obscuration=0.3, smoke_1__smoke=True), kit.at(1))
    plotted = []
    for second in range(2, 32):
        when = kit.at(second)
        effects = core.step(kit.read(when, fresh=("smoke-1.obscuration",)), when) + core.step(Tick(), when)
        plotted += [r for b in bodies(effects, ReadingsRecord) for r in b.readings
                    if r.point == "smoke-1.obscuration"]
    assert 13 <= len(plotted) <= 16
    assert [r.source_time_us for r in plotted] == sorted({r.source_time_us for r in plotted})


def test_a_fault_has_no_plot(kit):
    engine = kit.engine()
    core = started(kit, engine=engine)
    core.step(kit.read(kit.at(1), smoke_1__obscuration=0.3), kit.at(1))
    engine.say = [kit.transition(hazard=Hazard.FAULT, rule="silent")]
    core.step(Tick(), kit.at(2))
    sent = []
    for second in range(3, 20):
        when = kit.at(second)
        effects = core.step(kit.read(when, fresh=("smoke-1.obscuration",)), when) + core.step(Tick(), when)
        sent += bodies(effects, ReadingsRecord)
    assert sent == []


def test_a_number_that_is_none_and_a_point_that_is_none_of_ours(kit):
    core = started(kit)
    core.step(kit.read(kit.at(1), smoke_1__obscuration=float("nan")), kit.at(1))
    assert core.image.latest("smoke-1.obscuration").reason is Reason.GARBLED
    core.step(kit.read(kit.at(1), ghost_1__smoke=True), kit.at(1))
    assert core.image.unknown_points == 1 and core.open_alarms() == ()
