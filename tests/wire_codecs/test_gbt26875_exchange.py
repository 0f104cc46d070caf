"""Exchanges: one at a time, echoed serials, three retries; the UITD's role never answers a duty check by itself."""

from __future__ import annotations

import pytest

from wire_codecs.gbt26875 import Command, Frame, Stamp
from wire_codecs.gbt26875_exchange import WAITING_MAX, Exchange, Finished
from wire_codecs.gbt26875_objects import (
    AskUitd,
    ComponentState,
    DutyCheck,
    Part,
    SetClock,
    System,
    UitdOperation,
    UitdState,
    decode_unit,
    encode_unit,
)
from wire_codecs.gbt26875_uitd import Asked, ClockGiven, DutyAsked, Uitd

AT = Stamp(0, 0, 0, 1, 1, 26)
S = 1_000_000


def sent(found: tuple[Frame | Finished, ...]) -> list[Frame]:
    return [item for item in found if isinstance(item, Frame)]


def test_one_exchange_at_a_time_with_its_own_serial() -> None:
    exchange = Exchange(1, 2)
    assert exchange.ask(Command.SEND, b"a") and exchange.ask(Command.REQUEST, b"b")
    (first,) = sent(exchange.due(0, AT))
    assert (first.serial, first.source, first.destination, first.unit) == (0, 1, 2, b"a")
    assert exchange.due(1 * S, AT) == () and len(exchange) == 2
    other = Frame(5, AT, 2, 1, Command.CONFIRM)
    assert exchange.answered(other, 1 * S, AT) is None
    assert exchange.answered(first.answer(Command.REPLY, AT), 1 * S, AT) is None
    finished = exchange.answered(first.answer(Command.CONFIRM, AT), 1 * S, AT)
    assert isinstance(finished, Finished) and finished.reply is not None
    (second,) = sent(exchange.due(1 * S, AT))
    assert second.serial == 1 and second.command == Command.REQUEST
    assert isinstance(exchange.answered(second.answer(Command.REPLY, AT, b"x"), 2 * S, AT), Finished)
    assert len(exchange) == 0


def test_silence_is_tried_four_times_in_all_and_then_told() -> None:
    exchange = Exchange(1, 2)
    exchange.ask(Command.SEND, b"a")
    times = [second for second in range(60) if sent(exchange.due(second * S, AT))]
    assert times == [0, 10, 20, 30]
    exchange.ask(Command.SEND, b"b")
    assert sent(exchange.due(60 * S, AT))[0].serial == 1


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_deny_is_tried_again_as_often(retries: int) -> None:
    exchange = Exchange(1, 2, retries=retries)
    exchange.ask(Command.SEND, b"a")
    (frame,) = sent(exchange.due(0, AT))
    for _ in range(retries):
        again = exchange.answered(frame.answer(Command.DENY, AT), 0, AT)
        assert again == frame
    failed = exchange.answered(frame.answer(Command.DENY, AT), 0, AT)
    assert isinstance(failed, Finished) and failed.reply is None
    assert failed.reason == f"denied, {retries + 1} times"


def test_a_fire_goes_before_what_waits_and_a_full_queue_is_said() -> None:
    exchange = Exchange(1, 2)
    for _ in range(WAITING_MAX):
        assert exchange.ask(Command.SEND, b"a")
    assert not exchange.ask(Command.SEND, b"b")
    sent(exchange.due(0, AT))
    assert exchange.ask(Command.SEND, b"fire", first=True)
    left = exchange.drop_all()
    assert left[0] == (Command.SEND, b"a") and left[1] == (Command.SEND, b"fire") and len(exchange) == 0


def test_serials_wrap() -> None:
    exchange = Exchange(1, 2)
    for number in range(0x10001):
        exchange.ask(Command.SEND, b"")
        (frame,) = sent(exchange.due(0, AT))
        assert frame.serial == number & 0xFFFF
        exchange.answered(frame.answer(Command.CONFIRM, AT), 0, AT)


# -- the UITD's role ---------------------------------------------------------------------------------------------


def order(*objects: DutyCheck | SetClock | AskUitd, command: Command = Command.CONTROL) -> Frame:
    return Frame(3, AT, 88888, 889, command, encode_unit(objects))


def test_a_duty_check_is_given_to_a_person_and_never_answered_by_itself() -> None:
    uitd = Uitd(889, 88888)
    events, answers = uitd.take(order(DutyCheck(10)), 0, AT)
    assert events == (DutyAsked(10),) and [f.command for f in answers] == [Command.CONFIRM]
    for second in range(0, 1200, 10):
        assert uitd.exchange.due(second * S, AT) == ()
    assert uitd.answer_duty(7, AT)
    (frame,) = sent(uitd.exchange.due(1200 * S, AT))
    assert decode_unit(frame.unit) == (UitdOperation(0x20, 7, AT),)


def test_clock_and_queries_are_given_out() -> None:
    uitd = Uitd(889, 88888)
    events, answers = uitd.take(order(SetClock(AT)), 0, AT)
    assert events == (ClockGiven(AT),) and answers[0].command == Command.CONFIRM and answers[0].serial == 3
    events, answers = uitd.take(order(AskUitd(81), command=Command.REQUEST), 0, AT)
    (asked,) = events
    assert isinstance(asked, Asked) and answers == ()
    reply = Uitd.reply(asked, [UitdState(1, AT)], AT)
    assert (reply.command, reply.serial, decode_unit(reply.unit)) == (Command.REPLY, 3, (UitdState(1, AT),))
    assert Uitd.reply(asked, [], AT).command == Command.DENY
    events, answers = uitd.take(order(AskUitd(89)), 0, AT)
    assert isinstance(events[0], Asked) and answers[0].command == Command.CONFIRM


@pytest.mark.parametrize("frame", [
    Frame(1, AT, 88888, 889, Command.CONTROL, b"\x09\x01"), Frame(1, AT, 88888, 889, Command.SEND, b"\x15\x01\x02"),
    Frame(1, AT, 88888, 889, Command.CONTROL, b""), Frame(1, AT, 88888, 889, 77, b""),
])
def test_what_is_no_order_is_denied(frame: Frame) -> None:
    events, answers = Uitd(889, 88888).take(frame, 0, AT)
    assert events == () and [f.command for f in answers] == [Command.DENY]


def test_a_fire_is_sent_again_until_it_is_confirmed() -> None:
    uitd = Uitd(889, 88888)
    uitd.send([ComponentState(Part(System(1, 1), 5), 40, 2, "", AT)], first=True)
    (frame,) = sent(uitd.exchange.due(0, AT))
    _, again = uitd.take(frame.answer(Command.DENY, AT), 1, AT)
    assert again == (frame,)
    events, _ = uitd.take(frame.answer(Command.CONFIRM, AT), 2, AT)
    assert isinstance(events[0], Finished) and events[0].reply is not None
    assert uitd.take(frame.answer(Command.CONFIRM, AT), 3, AT) == ((), ())  # a second confirm means nothing
