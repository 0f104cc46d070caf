"""Duty checks (查岗) asked of us over a panel line: heard, passed to a person, answered for that person only. Pure.

    asker ── control, type 91, minutes ──► PanelDuty.asked ──► DutyAsked ──► … a page … a person's click
    asker ◄── send, type 24, bit 5 ─────── PanelDuty.answer ◄──────────────────────────────┘
          ── confirm ────────────────────► DutySettled "delivered"; a deny, or nothing in time: "failed"

Nothing here answers by itself: a check that no person answers in its time is dropped, and its asker sees that nobody
did. The confirm of the control frame says only that the check was received.
"""

from __future__ import annotations

import hashlib

import msgspec

from device_drivers.driver import DutyAsked, DutySettled
from device_model.clock import MINUTE_US, Now
from wire_codecs.gbt26875 import Frame, Stamp
from wire_codecs.gbt26875_objects import UITD_OPERATION_BITS, UitdOperation, encode_unit

OPEN_MAX = 16  # checks of one line at a time: a site has one or two centres above it
OPERATOR = 1  # people have no numbers here; their names stand in the records of this product
ANSWER_TYPE = 24
DELIVER_WITHIN_US = MINUTE_US  # three repeats of 10 s and some waiting
_ANSWER = 1 << UITD_OPERATION_BITS.index("duty_answer")


class _Check(msgspec.Struct):
    device: str
    asker: int
    serial: int
    due_us: int  # monotonic: until when a person may answer; once one did, until when it must be delivered
    answered: bool = False


class PanelDuty:
    """The open duty checks of one line."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._open: dict[str, _Check] = {}

    def asked(self, device: str, frame: Frame, within_min: int, now: Now) -> DutyAsked | None:
        """A check came. None: too many stand open, it is to be denied. A repeat of an open one is the same check."""
        for name, check in self._open.items():
            if check.asker == frame.source and check.serial == frame.serial and not check.answered:
                return self._event(name, check, now)
        if len(self._open) >= OPEN_MAX:
            return None
        text = f"{self._line}|{frame.source}|{frame.serial}|{frame.sent.octets().hex()}|{now.boot}|{now.mono_us}"
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        check = self._open[name] = _Check(device, frame.source, frame.serial, now.mono_us + within_min * MINUTE_US)
        return self._event(name, check, now)

    def _event(self, name: str, check: _Check, now: Now) -> DutyAsked:
        left_us = max(0, check.due_us - now.mono_us)
        return DutyAsked(self._line, check.device, name, str(check.asker), now.wall_us + left_us, now)

    def waits(self, name: str, now: Now) -> str | None:
        """The device of a check that a person may still answer, else None."""
        check = self._open.get(name)
        return None if check is None or check.answered or now.mono_us > check.due_us else check.device

    def answer(self, name: str, stamp: Stamp, now: Now) -> bytes:
        """A person answered a check that waits: the data unit to send to its asker."""
        check = self._open[name]
        check.answered, check.due_us = True, now.mono_us + DELIVER_WITHIN_US
        return encode_unit([UitdOperation(_ANSWER, OPERATOR, stamp)])

    def settled(self, device: str, reason: str, now: Now) -> tuple[DutySettled, ...]:
        """The answers sent for that device were confirmed (`reason` ""), or not."""
        names = [name for name, check in self._open.items() if check.answered and check.device == device]
        return tuple(self._settle(name, reason, now) for name in names)

    def look(self, now: Now) -> tuple[DutySettled, ...]:
        """Checks that nobody answered in time are dropped; answers that were not delivered in time are told."""
        over = [name for name, check in self._open.items() if now.mono_us > check.due_us]
        late = [name for name in over if self._open[name].answered]
        events = tuple(self._settle(name, "the asker did not confirm it in time", now) for name in late)
        for name in over:
            self._open.pop(name, None)
        return events

    def _settle(self, name: str, reason: str, now: Now) -> DutySettled:
        check = self._open.pop(name)
        return DutySettled(self._line, check.device, name, not reason, reason, now)
