"""The UITD's side of GB/T 26875.3: for the simulator, and for handing alarms to a city's monitoring centre. Pure.

    send(objects) ─► Exchange ─► frames to the centre            centre's frames ─► take ─► UitdEvent, answers

A duty check (查岗) is confirmed as received and given to a person as `DutyAsked`; only `answer_duty`, called for a
person by name, answers it. Queries are given out as `Asked`; the caller answers with `reply`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from device_model.errors import PeerGarbled
from wire_codecs.gbt26875 import Command, Frame, Stamp
from wire_codecs.gbt26875_exchange import Exchange, Finished
from wire_codecs.gbt26875_objects import (
    UITD_OPERATION_BITS,
    AskUitd,
    Content,
    DutyCheck,
    SetClock,
    UitdOperation,
    decode_unit,
    encode_unit,
)

_DUTY_ANSWER = 1 << UITD_OPERATION_BITS.index("duty_answer")


class DutyAsked(msgspec.Struct, frozen=True):
    """The centre wants to know that somebody is there; a person answers within so many minutes."""

    answer_within_min: int


class ClockGiven(msgspec.Struct, frozen=True):
    """The centre gives its time."""

    at: Stamp


class Asked(msgspec.Struct, frozen=True):
    """The centre asks for states or values, or orders an initialisation; `frame` is to be answered."""

    frame: Frame
    objects: tuple[Content, ...]


UitdEvent = DutyAsked | ClockGiven | Asked | Finished


class Uitd:
    """One UITD's state towards its centre."""

    def __init__(self, address: int, centre: int, *, timeout_s: float = 10.0, retries: int = 3) -> None:
        self.exchange = Exchange(address, centre, timeout_s=timeout_s, retries=retries)

    def send(self, objects: Sequence[Content], *, first: bool = False) -> bool:
        """Upload; `first` for fires (GB 26875.1 4.1.2.3: before every other transfer). False: the queue is full."""
        return self.exchange.ask(Command.SEND, encode_unit(objects), first=first)

    def answer_duty(self, operator: int, stamp: Stamp) -> bool:
        """A person answered the duty check. Never called by a program on its own account."""
        return self.send([UitdOperation(_DUTY_ANSWER, operator, stamp)], first=True)

    def take(self, frame: Frame, mono_us: int, stamp: Stamp) -> tuple[tuple[UitdEvent, ...], tuple[Frame, ...]]:
        """A frame of the centre: what it means, and what to send back."""
        if frame.command in (Command.CONFIRM, Command.REPLY, Command.DENY):
            answer = self.exchange.answered(frame, mono_us, stamp)
            if isinstance(answer, Frame):
                return (), (answer,)
            return ((answer,) if answer else ()), ()
        try:
            objects = decode_unit(frame.unit)
        except PeerGarbled:
            return (), (frame.answer(Command.DENY, stamp),)
        confirm = frame.answer(Command.CONFIRM, stamp)
        if frame.command == Command.REQUEST:
            return (Asked(frame, objects),), ()
        if frame.command != Command.CONTROL:
            return (), (frame.answer(Command.DENY, stamp),)
        match objects[0]:
            case DutyCheck(answer_within_min=minutes):
                return (DutyAsked(minutes),), (confirm,)
            case SetClock(at=at):
                return (ClockGiven(at),), (confirm,)
            case AskUitd():
                return (Asked(frame, objects),), (confirm,)
            case _:
                return (), (frame.answer(Command.DENY, stamp),)

    @staticmethod
    def reply(asked: Asked, objects: Sequence[Content], stamp: Stamp) -> Frame:
        """The reply to a query, or a deny where nothing is given."""
        if not objects:
            return asked.frame.answer(Command.DENY, stamp)
        return asked.frame.answer(Command.REPLY, stamp, encode_unit(objects))
