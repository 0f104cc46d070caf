"""A gateway that is killed and resumed at any step tells the same as one that ran through."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_drivers.driver import DeviceFailed
from device_model.command import Command, CommandKind, CommandOutcome
from device_model.messages import AlarmRecord, CommandResultRecord, ImpairmentRecord
from device_model.ports import JournalState
from device_model.reading import Reason
from edge_agent.agent_checkpoint import decode_checkpoint
from edge_agent.events import Commit, DriveOutput, OnSiteAction, OutputWritten, PowerOn, Tick

STEP = st.one_of(
    st.tuples(st.just("smoke"), st.sampled_from(["smoke_1", "smoke_2"]), st.booleans()),
    st.tuples(st.just("lost"), st.sampled_from(["smoke-1", "smoke-2", "io-1"]), st.booleans()),
    st.tuples(st.just("order"), st.sampled_from(["silence", "test", "isolate", "restore", "reset cut"]),
              st.integers(0, 3)),
    st.tuples(st.just("wait"), st.integers(1, 40), st.just(0)),
)
ORDERS = {
    "silence": (CommandKind.SILENCE_SOUNDER, "bell", None), "test": (CommandKind.TEST_MODE, "smoke-1", 60.0),
    "isolate": (CommandKind.ISOLATE, "smoke-2", 90.0), "restore": (CommandKind.RESTORE, "smoke-2", None),
    "reset cut": (CommandKind.RESET_ALARM, "cut", None),
}


class Player:
    """Plays events at one second each; may be killed between any two and resumed from its last checkpoint."""

    def __init__(self, kit):
        self.kit, self.second, self.told, self.checkpoint = kit, 0, [], None
        self._power_on()

    def _power_on(self):
        state = JournalState("e-1", (), self.checkpoint)
        self.core = self.kit.core(self.kit.engine(for_us=7_000_000), now=self.now(), state=state)
        self._keep(self.core.step(PowerOn(state), self.now()))

    def now(self):
        return self.kit.at(self.second)

    def step(self, event):
        effects = self.core.step(event, self.now())
        self._keep(effects)
        for effect in effects:
            if isinstance(effect, DriveOutput):
                self._keep(self.core.step(OutputWritten(effect.drive.output, effect.drive.on), self.now()))

    def _keep(self, effects):
        for effect in effects:
            if isinstance(effect, Commit):
                self.told += [body for body in (record.body for _, record in effect.records) if not _telemetry(body)]
        # The disk is as fast as can be: what happens between a step and its transaction is in test_runtime.py.
        self.checkpoint = self.core.checkpoint(self.now())

    def kill(self):
        self._power_on()

    def play(self, kind, what, how):
        self.second += 1
        if kind == "smoke":
            self.step(self.kit.read(self.now(), **{f"{what}__smoke": how}))
        elif kind == "lost":
            self.step(DeviceFailed(what, Reason.SILENT, "", self.now()) if how
                      else self.kit.read(self.now(), fresh=(f"{what}.{'bell' if what == 'io-1' else 'smoke'}",)))
        elif kind == "order":
            order, target, value = ORDERS[what]
            self.step(OnSiteAction(Command(f"c-{what}-{how}", order, target, "Li Wei", "why", 0, 0, value,
                                           compensating_measure="guard walks hourly")))
        else:
            self.second += what
        self.step(Tick())

    def state(self):
        core = self.core
        return ({name: (core.outputs.state(name).on, core.outputs.state(name).tripped)
                 for name in core.outputs.names()}, core.open_alarms(), core.impairments())


def _telemetry(body):
    return not isinstance(body, (AlarmRecord, CommandResultRecord, ImpairmentRecord))


def carried_out(player):
    return [body.result for body in player.told if isinstance(body, CommandResultRecord)
            and body.result.outcome is not CommandOutcome.ALREADY_APPLIED]


@settings(max_examples=150)
@given(steps=st.lists(STEP, min_size=1, max_size=14), kills=st.sets(st.integers(0, 13), max_size=4))
def test_killed_and_resumed_at_any_step(kit_class, steps, kills):
    through, killed = Player(kit_class), Player(kit_class)
    for number, step in enumerate(steps):
        through.play(*step)
        if number in kills:
            killed.kill()
        killed.play(*step)
    # A silence that began just before a kill is counted from the start again: the same lacks, a little later.
    begun = {body.change.impairment.key for body in through.told if isinstance(body, ImpairmentRecord)}
    assert {body.change.impairment.key for body in killed.told if isinstance(body, ImpairmentRecord)} <= begun
    alarms = [body.transition for body in through.told if isinstance(body, AlarmRecord)]
    # After a restart what is open is stated anew (its state did not change); nothing else is told twice.
    assert [body.transition for body in killed.told if isinstance(body, AlarmRecord)
            and body.transition.previous is not body.transition.state] == alarms
    # A repeat may be answered once more after a restart, but nothing is carried out twice.
    assert carried_out(killed) == carried_out(through)
    assert killed.state()[:2] == through.state()[:2]


@pytest.fixture(scope="module")
def kit_class(request):
    from tests.edge_agent.conftest import Kit

    return Kit


def test_a_proof_alarm_is_not_made_twice_across_a_restart(kit):
    player = Player(kit)
    player.play("wait", 6 * 3600, 0)
    player.kill()
    player.play("wait", 3600, 0)
    proofs = [body for body in player.told if isinstance(body, AlarmRecord) and body.transition.hazard == "proof"]
    assert len(proofs) == 1


@pytest.mark.parametrize("junk", [b"", b"\x00", b"{}", b"\x81\xa1v\x01", b"not a checkpoint" * 100])
def test_a_broken_checkpoint_starts_fresh_and_is_said(kit, junk):
    with pytest.raises(ValueError):
        decode_checkpoint(junk)
    state = JournalState("e-1", (), junk)
    core = kit.core(state=state)
    effects = core.step(PowerOn(state), kit.at(0))
    assert any(getattr(effect, "what", "").startswith("checkpoint not readable") for effect in effects)
    (lack,) = core._register.present()
    assert (lack.kind, lack.subject) == ("fault", "gw-1") and "walk the site" in lack.why and lack.expires_us > 0
    assert core.step(kit.read(kit.at(1), smoke_1__smoke=True), kit.at(1))[0].drive.output == "bell"


@given(junk=st.binary(max_size=200))
def test_no_bytes_break_the_checkpoint_reader(junk):
    with pytest.raises(ValueError):
        decode_checkpoint(junk)


def test_what_the_site_file_no_longer_names_ends(kit):
    core = kit.core()
    core.step(PowerOn(kit.journal), kit.at(0))
    core.step(DeviceFailed("button-1", Reason.SILENT, "", kit.at(1)), kit.at(1))
    checkpoint = core.checkpoint(kit.at(1))
    smaller = msgspec.structs.replace(kit.site, devices=tuple(d for d in kit.site.devices if d.id != "button-1"))
    state = JournalState("e-1", (), checkpoint)
    after = kit.core(state=state, site=smaller, now=kit.at(9))
    effects = after.step(PowerOn(state), kit.at(9))
    ended = [record.body.change for effect in effects if isinstance(effect, Commit) for _, record in effect.records
             if isinstance(record.body, ImpairmentRecord)]
    assert [change.impairment.subject for change in ended if change.ended_us] == ["button-1"]
    assert after.impairments() == ()
