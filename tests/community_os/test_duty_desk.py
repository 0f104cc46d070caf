"""Duty checks: from the panel's frame over gateway, worker and store to a row, and the click back to the asker."""

from __future__ import annotations

import msgspec
import pytest

from community_os.duty_desk import KEPT_MAX, TELL_EVERY_US
from community_os.envelopes import AnswerDutyEnvelope, UpEnvelope, decode_envelope, encode_envelope
from community_os.site_setup import SiteSetup
from community_os.store import IncidentStore
from community_os.store_changes import DutyRow, OutcomeRow, SiteCommit
from device_model.clock import MINUTE_US, SECOND_US
from device_model.command import CommandKind, CommandOutcome, CommandResult
from device_model.duty import DutyCheck, DutyState
from device_model.messages import Batch, CommandResultRecord, DutyCheckRecord, Lane, decode_batch, encode
from edge_agent.events import CommandReceived
from tests.community_os.site_messages import PATH, rows, up, worker
from tests.edge_agent.test_panel_site import AT, answers, asks, in_house
from tests.rules_engine.incident_house import T0
from wire_codecs.gbt26875 import Command, Frame
from wire_codecs.gbt26875_objects import UitdOperation, decode_unit

CHECK = DutyCheck("c1", "multi-b1-0", "b1-0", "889", T0, T0 + 10 * MINUTE_US)


def click(at_s: float = 5, *, check: str = "c1", who: str = "Li Wei", request: str = "r1") -> AnswerDutyEnvelope:
    return AnswerDutyEnvelope(PATH, check, who, request, T0 + round(at_s * SECOND_US))


def state(check: DutyCheck, state: DutyState, **more: object) -> DutyCheckRecord:
    return DutyCheckRecord(msgspec.structs.replace(check, state=state, **more))


def outcome(effects) -> tuple[bool, str]:
    (row,) = rows(effects, OutcomeRow)
    return row.outcome.done, row.outcome.refusal


def test_a_click_becomes_a_command_until_the_gateway_answers() -> None:
    site = worker()
    (row,) = rows(site.step(up(DutyCheckRecord(CHECK))), DutyRow)
    assert row.view.check == CHECK and [c.name for c in row.view.must_answer] == ["Li"]
    effects = site.step(click())
    assert outcome(effects) == (True, "")
    (sent,) = effects.commands
    assert (sent.command.kind, sent.command.target, sent.command.who) == (CommandKind.ANSWER_DUTY, "c1", "Li Wei")
    assert sent.command.expires_us == CHECK.due_us
    assert outcome(site.step(click(6, request="r2", who="Wang"))) == (False, "Li Wei has answered it already")
    (again,) = site.tick(T0 + 5 * SECOND_US + TELL_EVERY_US).commands
    assert again == sent
    result = CommandResult(sent.command.id, CommandKind.ANSWER_DUTY, "c1", CommandOutcome.APPLIED, T0 + 8 * SECOND_US)
    answered = state(CHECK, DutyState.ANSWERED, who="Li Wei", answered_us=T0 + 8 * SECOND_US)
    last = site.step(up(CommandResultRecord(result), answered, state(CHECK, DutyState.DELIVERED, who="Li Wei"),
                        first=2, at_s=8))
    assert rows(last, DutyRow)[-1].view.check.state is DutyState.DELIVERED and not last.commands
    assert not site.tick(T0 + 30 * MINUTE_US).commands


def test_nobody_clicks_and_it_is_shown_as_unanswered_also_while_the_gateway_is_not_heard() -> None:
    site = worker()
    site.step(up(DutyCheckRecord(CHECK)))
    assert site.due_us() <= CHECK.due_us + 1
    effects = site.tick(CHECK.due_us + 1)
    (row,) = rows(effects, DutyRow)
    assert row.view.check.state is DutyState.UNANSWERED and not effects.commands
    assert outcome(site.step(click(601)))[0] is False


def test_a_refusal_of_the_gateway_is_shown_and_the_next_click_counts() -> None:
    site = worker()
    site.step(up(DutyCheckRecord(CHECK)))
    (sent,) = site.step(click()).commands
    result = CommandResult(sent.command.id, CommandKind.ANSWER_DUTY, "c1", CommandOutcome.REFUSED, T0, detail="no")
    (row,) = rows(site.step(up(CommandResultRecord(result), first=2, at_s=6)), DutyRow)
    assert row.view.refused == "no" and row.view.answering == ""
    assert outcome(site.step(click(7, request="r2"))) == (True, "")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1, 0)])
def test_states_never_go_back(order: tuple[int, ...]) -> None:
    site = worker()
    steps = [DutyCheckRecord(CHECK), state(CHECK, DutyState.ANSWERED), state(CHECK, DutyState.DELIVERED)]
    for number, index in enumerate(order, 1):
        site.step(up(steps[index], first=number, at_s=number))
    assert site._duties.told["c1"].check.state is DutyState.DELIVERED


def test_a_gateway_gone_mad_does_not_outgrow_its_site_and_a_checkpoint_keeps_the_rest() -> None:
    site = worker()
    for number in range(1, KEPT_MAX + 20):
        site.step(up(DutyCheckRecord(msgspec.structs.replace(CHECK, id=f"c{number}")), first=number))
    assert len(site._duties.told) == KEPT_MAX
    site.step(click())
    again = worker()
    again.resume(site.checkpoint())
    assert again.checkpoint() == site.checkpoint() and len(again._duties.told) == KEPT_MAX


def test_envelopes_survive_the_stream() -> None:
    assert decode_envelope(encode_envelope(click())) == click()


def test_from_the_askers_frame_to_the_row_and_from_the_click_to_the_askers_confirm() -> None:
    """Listener, core, outbox records, worker and store are the real ones; sockets and broker are left out."""
    async def script(house, clock) -> None:
        store = IncidentStore("sqlite://")
        store.open()
        site = SiteSetup(house.inventory, None).worker(clock.now().wall_us)
        path, sequence = house.inventory.site.tenancy.path, 0

        def carry() -> None:
            """What the gateway has said since, as its batch; what the worker wants done."""
            nonlocal sequence
            records = tuple(record for record in house.records if record.sequence > 0
                            and not hasattr(record.body, "readings"))
            house.records.clear()
            batch = decode_batch(encode(Batch(1, "gw-1", "e1", Lane.ALARM, records)))
            handle(UpEnvelope(path, clock.now().wall_us, batch))

        def handle(envelope) -> None:
            nonlocal sequence
            sequence += 1
            effects = site.step(decode_envelope(encode_envelope(envelope)))
            store.apply([SiteCommit(path, sequence, tuple(effects.changes))])
            for sent in effects.commands:
                house.runtime._take(CommandReceived(sent.command))

        asks(house)
        carry()
        (view,) = store.snapshot(path, 0).duties
        assert view.check.state is DutyState.ASKED and view.check.asker == "889"
        await clock.sleep(120.0)
        assert not answers(house.sent)
        handle(AnswerDutyEnvelope(path, view.check.id, "Li Wei", "r1", clock.now().wall_us))
        await clock.sleep(1.0)
        (sent, *_) = answers(house.sent)
        assert isinstance(decode_unit(sent.unit)[0], UitdOperation)
        house.listener._take(house.peer, Frame(sent.serial, AT, 889, 1, int(Command.CONFIRM)))
        carry()
        (view,) = store.snapshot(path, 0).duties
        assert (view.check.state, view.check.who) == (DutyState.DELIVERED, "Li Wei")
        assert store.verify_audit().broken == ()

    in_house(script)
