"""Exchanges of GB/T 26875.3: what one side asked, and whether it was answered in time. Pure, for both roles.

    ask ─► [ waiting … ] ─► in flight ── confirm / reply, same serial ──► Finished
                               │  deny, or nothing within 10 s: again, 3 times (standard 6.5)
                               └──────────────────────────────────────► Finished with a reason

One exchange at a time: the standard gives a serial number no lifetime, so two in flight could be mistaken.
"""

from __future__ import annotations

from collections import deque

import msgspec

from wire_codecs.gbt26875 import Command, Frame, Stamp

TIMEOUT_S = 10.0  # at most, standard 6.5
RETRIES = 3
WAITING_MAX = 256  # a UITD's own store of alarms is of that order; past it the caller is told


class Finished(msgspec.Struct, frozen=True):
    """An exchange is over. reply: the confirm or reply; None where it failed for `reason`."""

    command: int
    unit: bytes
    reply: Frame | None
    reason: str = ""


class Exchange:
    """One side's own exchanges with one peer. `stamp` is the local time to write into frames."""

    def __init__(
        self, source: int, destination: int, *, timeout_s: float = TIMEOUT_S, retries: int = RETRIES,
    ) -> None:
        self.source, self.destination = source, destination
        self._timeout_us, self._retries = round(timeout_s * 1e6), retries
        self._waiting: deque[tuple[Command, bytes]] = deque()
        self._serial = 0
        self._flying: Frame | None = None
        self._tries = 0
        self._due_us = 0

    def __len__(self) -> int:
        return len(self._waiting) + (self._flying is not None)

    def ask(self, command: Command, unit: bytes, *, first: bool = False) -> bool:
        """Start an exchange when its turn comes; `first`: before all others (a fire). False where the queue is
        full: nothing was taken, and the caller says so."""
        if len(self._waiting) >= WAITING_MAX:
            return False
        (self._waiting.appendleft if first else self._waiting.append)((command, unit))
        return True

    def due(self, mono_us: int, stamp: Stamp) -> tuple[Frame | Finished, ...]:
        """What is to be sent now, and what failed for want of an answer."""
        found: list[Frame | Finished] = []
        if self._flying is not None and mono_us >= self._due_us:
            found.append(self._again(mono_us, stamp, "no answer in time"))
        if self._flying is None and self._waiting:
            command, unit = self._waiting.popleft()
            self._flying = Frame(self._serial, stamp, self.source, self.destination, int(command), unit)
            self._serial = (self._serial + 1) & 0xFFFF
            self._tries, self._due_us = 1, mono_us + self._timeout_us
            found.append(self._flying)
        return tuple(found)

    def answered(self, frame: Frame, mono_us: int, stamp: Stamp) -> Finished | Frame | None:
        """A confirm, reply or deny came. None where it answers nothing that is in flight."""
        flying = self._flying
        if flying is None or frame.serial != flying.serial:
            return None
        if frame.command == Command.DENY:
            return self._again(mono_us, stamp, "denied")
        wanted = Command.REPLY if flying.command == Command.REQUEST else Command.CONFIRM
        if frame.command != wanted:
            return None
        self._flying = None
        return Finished(flying.command, flying.unit, frame)

    def drop_all(self) -> tuple[tuple[Command, bytes], ...]:
        """The connection is gone: nothing is in flight or waits any more; what was not answered comes back."""
        left = list(self._waiting)
        if self._flying is not None:
            left.insert(0, (Command(self._flying.command), self._flying.unit))
        self._waiting.clear()
        self._flying = None
        return tuple(left)

    def _again(self, mono_us: int, stamp: Stamp, reason: str) -> Frame | Finished:
        flying = self._flying
        assert flying is not None
        if self._tries > self._retries:
            self._flying = None
            return Finished(flying.command, flying.unit, None, f"{reason}, {self._tries} times")
        self._tries += 1
        self._due_us = mono_us + self._timeout_us
        self._flying = msgspec.structs.replace(flying, sent=stamp)
        return self._flying
